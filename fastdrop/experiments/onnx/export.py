"""A trained network as an ONNX model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastdrop import nn
from fastdrop._version import __version__
from fastdrop.experiments.network import Network
from fastdrop.experiments.onnx.graph import IR_VERSION, OPSET, ROWS, GraphBuilder, Value, valid_text
from fastdrop.experiments.onnx.layers import add_layer
from fastdrop.experiments.onnx.preparation import Input, add_inputs, add_scaling, input_names

FEATURES, WORDS = "features", "words"
"""The only input where no columns are described, of a network for numbers and of one for words."""
PROBABILITIES, CLASS = "probabilities", "class"
"""The results."""


def export(
    network: Network,
    inputs: Sequence[Input] | None,
    center: ArrayLike | None,
    scale: ArrayLike | None,
    class_names: Sequence[str],
    features: int,
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """A network in evaluation mode as an ONNX model, from the user's raw columns to probabilities and a class name.

    The model has the results "probabilities", float32 of shape (rows, classes), and "class", strings of shape (rows,);
    the number of rows is open. It needs opset 20, which onnxruntime has since 1.17. The network stays as it is.

    Parameters
    ----------
    network : Network
        What a trainer has as `network`, on any device.
    inputs : sequence of Input, or None
        The columns of the user's table; each is an input of the model, named by `input_names`. None stands for one
        float32 input "features" of shape (rows, features) with the columns as they are before scaling; for a network
        that reads words, for one int64 input "words" with their numbers, which the model does not check as the network
        does.
    center, scale : array_like of float, shape (features,), or None
        The network's input is (column - center) / scale, clipped to 1e6 on both sides. None leaves columns as they are.
        float64 is better: where a column's spread is small beside its mean, float32 rounds `center` visibly.
    class_names : sequence of str
        In the order of the network's results.
    features : int
        Columns of the network's input, or words of an example.
    metadata : mapping of str to str, optional
        Stored in the model, such as where it comes from. With `inputs` there is an entry "inputs" as well: a JSON
        object from the names of the model's inputs to those of the columns.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    BackendUnavailable
        If the package onnx is not installed.
    ValueError
        If the arguments do not fit the network or each other.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig, Trainer
    >>> from fastdrop.experiments.onnx import export
    >>> trainer = Trainer(ExperimentConfig(dataset="moons", hidden=(8,), epochs=1))
    >>> data = trainer.dataset
    >>> model = export(trainer.network, None, data.center, data.scale, data.class_names, data.features)
    >>> [result.name for result in model.graph.output]
    ['probabilities', 'class']
    """
    if len(class_names) != len(network.head.weight.value):
        raise ValueError(f"the network has {len(network.head.weight.value)} classes; got {len(class_names)} names")
    if (center is None) != (scale is None):
        raise ValueError("center and scale are given together")
    graph = GraphBuilder()
    described, x = _add_preparation(graph, network, inputs, center, scale, features)
    for block in network.blocks:
        with graph.scope(block.name):
            for layer in block.layers:
                x = add_layer(graph, layer, x)
    with graph.scope("output"):
        logits = add_layer(graph, network.head, x).name
        probabilities = graph.node("Softmax", logits, axis=-1)
        graph.rename(probabilities, PROBABILITIES)
        number = graph.node("ArgMax", PROBABILITIES, axis=1, keepdims=0)
        names = graph.texts("class names", class_names, (len(class_names),))
        graph.rename(graph.node("Gather", names, number), CLASS)
    results = [
        graph.described(PROBABILITIES, "FLOAT", (ROWS, len(class_names)), f"of the classes {', '.join(class_names)}"),
        graph.described(CLASS, "STRING", (ROWS,), "the class of the largest probability"),
    ]
    return _model(graph, graph.graph("fastdrop", described, results), inputs, metadata or {})


def _add_preparation(
    graph: GraphBuilder,
    network: Network,
    inputs: Sequence[Input] | None,
    center: ArrayLike | None,
    scale: ArrayLike | None,
    features: int,
) -> tuple[list[Any], Value]:
    """The model's inputs, and the network's input that the nodes make of them."""
    if inputs is None and isinstance(network.layers[0], nn.Embedding):
        if center is not None and (np.any(np.asarray(center) != 0) or np.any(np.asarray(scale) != 1)):
            raise ValueError("numbers of words cannot be scaled: center is 0 and scale is 1, or both are None")
        return [graph.described(WORDS, "INT64", (ROWS, features), "numbers of words")], Value(WORDS, (features,))
    with graph.scope("preparation"):
        if inputs is None:
            described = [graph.described(FEATURES, "FLOAT", (ROWS, features), "columns before scaling")]
            if center is None or scale is None:
                return described, Value(FEATURES, (features,))
            x = Value(graph.node("Cast", FEATURES, to=graph.onnx.TensorProto.DOUBLE), (features,))
        else:
            described, x = add_inputs(graph, inputs, features)
            if center is None or scale is None:
                return described, Value(graph.node("Cast", x.name, to=graph.onnx.TensorProto.FLOAT), x.shape)
        return described, add_scaling(graph, x, center, scale)


def _model(graph: GraphBuilder, finished: Any, inputs: Sequence[Input] | None, metadata: Mapping[str, str]) -> Any:
    helper = graph.onnx.helper
    columns = "the columns of a table" if inputs is not None else f"a matrix, {finished.input[0].name!r}"
    classes = finished.output[0].type.tensor_type.shape.dim[1].dim_value
    model = helper.make_model(
        finished,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fastdrop",
        producer_version=__version__,
        doc_string=f"A classifier with {classes} classes, trained by fastdrop {__version__}. It takes {columns}, "
        f"and returns {PROBABILITIES} and the name of the most probable {CLASS}.",
    )
    entries = dict(metadata)
    if inputs is not None:
        names = dict(zip(input_names(inputs), (given.name for given in inputs), strict=True))
        entries.setdefault("inputs", json.dumps(names))  # ASCII, so that any name can be stored
    helper.set_model_props(model, {valid_text(key): valid_text(value) for key, value in entries.items()})
    return model
