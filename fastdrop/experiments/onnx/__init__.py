"""Trained networks as ONNX models, with the preparation of the user's columns inside.

`export` makes the model; `preparation` turns raw columns into the network's input; `layers` has a builder for each
module of `fastdrop.nn`; `graph` collects nodes and constants. The package onnx is imported when a model is made.
"""

from fastdrop.experiments.onnx.export import CLASS, FEATURES, PROBABILITIES, WORDS, export
from fastdrop.experiments.onnx.from_model import inputs_of, onnx_model
from fastdrop.experiments.onnx.preparation import Input, input_names

__all__ = [
    "CLASS",
    "FEATURES",
    "PROBABILITIES",
    "WORDS",
    "Input",
    "export",
    "input_names",
    "inputs_of",
    "onnx_model",
]
