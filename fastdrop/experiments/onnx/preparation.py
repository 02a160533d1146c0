"""From the user's raw columns to the network's input: missing numbers, categories, centring and scaling, as nodes."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastdrop.experiments.onnx.graph import ROWS, GraphBuilder, Value

LARGEST = 1e6
"""Prepared columns are clipped to this on both sides, as in `fastdrop.experiments.load_dataset`."""


@dataclass(frozen=True)
class Input:
    """A raw column of the user, which becomes an input of the model.

    Attributes
    ----------
    name : str
        The column's name, which may be any text; see `input_names`.
    kind : {"number", "category"}
        A number is float32 of shape (rows, 1); NaN means that it is missing. A category is a string of that shape.
    fill : float or None
        What replaces a missing number. None leaves it NaN: its row has the probabilities NaN, and a class that means
        nothing.
    indicator : bool
        Whether a number has a further column, which is 1 where it was missing and 0 elsewhere.
    categories : tuple of str
        The categories; any other text has 0 in all columns.
    columns : tuple of int
        Where its columns are in the network's input: of a number its value and then its indicator, of a category one
        place for each of `categories`. A category with place -1 has no column: two categories may share one column of 0
        and 1.

    Raises
    ------
    ValueError
        If the attributes contradict each other.

    Examples
    --------
    >>> from fastdrop.experiments.onnx import Input
    >>> age = Input("age", "number", fill=38.5, indicator=True, columns=(0, 1))
    >>> smoker = Input("smoker", "category", categories=("no", "yes"), columns=(-1, 2))
    """

    name: str
    kind: Literal["number", "category"]
    fill: float | None = None
    indicator: bool = False
    categories: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("number", "category"):
            raise ValueError(f'kind is "number" or "category"; got {self.kind!r}')
        number = self.kind == "number"
        if (number and self.categories) or (not number and (self.indicator or self.fill is not None)):
            raise ValueError(f"input {self.name!r}: a number has no categories, a category no fill and no indicator")
        if self.indicator and self.fill is None:
            raise ValueError(f"input {self.name!r}: an indicator needs a fill")
        if self.fill is not None and not math.isfinite(self.fill):
            raise ValueError(f"input {self.name!r}: fill is a finite number; got {self.fill!r}")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"input {self.name!r}: categories differ from each other; got {self.categories!r}")
        needed = 1 + self.indicator if number else len(self.categories)
        if len(self.columns) != needed or min(self.columns, default=0) < (0 if number else -1):
            raise ValueError(f"input {self.name!r}: columns are {needed} places in the matrix; got {self.columns!r}")

    @property
    def kept(self) -> tuple[str, ...]:
        """The categories that have a column."""
        return tuple(text for text, place in zip(self.categories, self.columns, strict=True) if place >= 0)

    @property
    def places(self) -> tuple[int, ...]:
        """The places of the columns that it has."""
        return tuple(place for place in self.columns if place >= 0)


def input_names(inputs: Sequence[Input], reserved: Sequence[str] = ("probabilities", "class")) -> list[str]:
    """The names of the model's inputs, in the order of `inputs`.

    ONNX names are identifiers of C: ASCII letters, digits and underscores. Accents are left out, other characters
    become underscores. A name without any letter or digit becomes "input" and its position, and a name that is taken
    gets a number.

    Parameters
    ----------
    inputs : sequence of Input
    reserved : sequence of str
        Names that are taken: by default those of the model's results.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from fastdrop.experiments.onnx import Input, input_names
    >>> names = ("petal length (cm)", "petal length (cm)", "Größe", "2nd", "", "class")
    >>> input_names([Input(name, "number", columns=(0,)) for name in names])
    ['petal_length_cm', 'petal_length_cm_2', 'Grosse', '_2nd', 'input_5', 'class_2']
    """
    taken, names = set(reserved), []
    for position, given in enumerate(inputs, start=1):
        base = _identifier(given.name) or f"input_{position}"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        names.append(name)
    return names


def _identifier(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    plain = re.sub("[^A-Za-z0-9]+", "_", plain).strip("_")
    return f"_{plain}" if plain[:1].isdigit() else plain


def add_inputs(graph: GraphBuilder, inputs: Sequence[Input], features: int) -> tuple[list[Any], Value]:
    """Nodes from raw columns to a float64 matrix (rows, features); returns the model's inputs, and the matrix.

    Raises
    ------
    ValueError
        If the inputs' columns are not all of the matrix, each once.
    """
    _check_columns(inputs, features)
    names = input_names(inputs)
    kinds = {"number": "FLOAT", "category": "STRING"}
    described = [
        graph.described(name, kinds[given.kind], (ROWS, 1), f"column {given.name!r}")
        for name, given in zip(names, inputs, strict=True)
    ]
    numbers = [(name, given) for name, given in zip(names, inputs, strict=True) if given.kind == "number"]
    categories = [(name, given) for name, given in zip(names, inputs, strict=True) if given.kind == "category"]
    double = graph.onnx.TensorProto.DOUBLE
    parts, flags = [], []
    places = [given.columns[0] for _, given in numbers]
    if numbers:
        values, missing = _add_numbers(graph, numbers)
        parts.append(values)
        flags += missing
        places += [given.columns[1] for _, given in numbers if given.indicator]
    for name, given in categories:
        if given.kept:
            with graph.scope(name):
                known = graph.texts("categories", given.kept, (1, len(given.kept)))
                flags.append(graph.node("Equal", name, known))
            places += given.places
    if flags:
        parts.append(graph.node("Cast", _joined(graph, flags), to=double))
    matrix = _joined(graph, parts)
    if places != sorted(places):
        order = graph.constant("order", np.argsort(places), np.int64)
        matrix = graph.node("Gather", matrix, order, axis=1)
    return described, Value(matrix, (features,))


def _check_columns(inputs: Sequence[Input], features: int) -> None:
    places = sorted(place for given in inputs for place in given.places)
    if places != list(range(features)):
        raise ValueError(f"columns of inputs must be 0 to {features - 1}, each once; got {places}")


def _add_numbers(graph: GraphBuilder, numbers: Sequence[tuple[str, Input]]) -> tuple[str, list[str]]:
    """All numbers at once, however many columns there are: the filled values, and the flags of missing ones."""
    with graph.scope("numbers"):
        raw = _joined(graph, [name for name, _ in numbers])
        values = graph.node("Cast", raw, to=graph.onnx.TensorProto.DOUBLE)
        if all(given.fill is None for _, given in numbers):
            return values, []
        missing = graph.node("IsNaN", raw)
        fills = [math.nan if given.fill is None else given.fill for _, given in numbers]
        values = graph.node("Where", missing, graph.constant("fill", [fills], np.float64), values)
        marked = [position for position, (_, given) in enumerate(numbers) if given.indicator]
        if not marked:
            return values, []
        return values, [graph.node("Gather", missing, graph.constant("marked", marked, np.int64), axis=1)]


def _joined(graph: GraphBuilder, columns: Sequence[str]) -> str:
    return columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)


def add_scaling(graph: GraphBuilder, x: Value, center: ArrayLike, scale: ArrayLike) -> Value:
    """Nodes from a float64 matrix to float32: (x - center) / scale, clipped.

    It is computed in float64, as for the training: of a large number with a small spread float32 keeps few digits.
    """
    offset, divisor = (np.asarray(array, np.float64) for array in (center, scale))
    if not offset.shape == divisor.shape == x.shape:
        raise ValueError(f"center and scale have {x.shape[0]} entries; got shapes {offset.shape} and {divisor.shape}")
    if not (np.isfinite(offset).all() and np.isfinite(divisor).all() and divisor.all()):
        raise ValueError("center and scale are finite numbers, and scale is not 0")
    with graph.scope("scaling"):
        centred = graph.node("Sub", x.name, graph.constant("center", offset, np.float64))
        scaled = graph.node("Div", centred, graph.constant("scale", divisor, np.float64))
        bounds = (graph.constant(name, bound, np.float64) for name, bound in (("low", -LARGEST), ("high", LARGEST)))
        clipped = graph.node("Clip", scaled, *bounds)
        return Value(graph.node("Cast", clipped, to=graph.onnx.TensorProto.FLOAT), x.shape)
