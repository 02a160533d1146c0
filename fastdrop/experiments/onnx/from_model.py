"""A saved model as an ONNX model whose inputs are the columns of the user's table."""

from typing import Any

from fastdrop.experiments.model import Model
from fastdrop.experiments.onnx.export import export
from fastdrop.experiments.onnx.preparation import Input


def onnx_model(model: Model) -> Any:
    """The ONNX model; a category's missing cell is the empty text, a number's is NaN, and a date is days since 1970.

    Parameters
    ----------
    model : Model

    Returns
    -------
    onnx.ModelProto
        See `fastdrop.experiments.onnx.export`.

    Raises
    ------
    BackendUnavailable
        If the package onnx is not installed.
    """
    metadata = {name: str(value) for name, value in model.provenance.items()}
    inputs = None if model.preparation is None else inputs_of(model)
    return export(
        model.network, inputs, model.center, model.scale, model.class_names, len(model.feature_names), metadata
    )


def inputs_of(model: Model) -> list[Input]:
    """The columns of the table that the model was trained on, in its order."""
    assert model.preparation is not None
    numbers = {
        id(column): Input(column.name, "number", fill, len(places) > 1, columns=places)
        for column, fill, places in model.preparation.numbers_described()
    }
    categories = {
        id(column): Input(
            column.name,
            "category",
            categories=tuple(text for text, _ in texts),
            columns=tuple(place for _, place in texts),
        )
        for column, texts in model.preparation.categories_described()
    }
    found = numbers | categories
    return [found[id(column)] for column in model.preparation.columns]
