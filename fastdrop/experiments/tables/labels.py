"""From the values of the target to classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import LONGEST_NAME, cleaned, shown
from fastdrop.experiments.tables.contents import LONG_CLASS, MOST_CLASSES, TableProblem, listed, number_text
from fastdrop.experiments.tables.roles import MOST_REAL_CLASSES, MOST_WHOLE_CLASSES, as_texts, can_be_classes
from fastdrop.experiments.tables.values import Values


def is_regression(values: Values, are_classes: bool = False) -> bool:
    """Whether the target is a number to estimate: too many different numbers to be classes.

    `are_classes`: whether the user says that it is a class, or the labels are integers beside an array of features.
    """
    different = values.different
    if values.kind == "text" or different < 2 or (are_classes and different <= MOST_CLASSES):
        return False
    return not can_be_classes(values) and (values.kind == "date" or different > 2)


def classes_of(values: Values, place: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Indices into the classes, -1 where the target is missing; and the classes' names in order.

    `place` is the column or array, for messages.
    """
    different = values.different
    if different == 0:
        raise TableProblem("empty; it must hold the class of each row", place)
    names = _class_names(values)
    if different == 1:
        raise TableProblem(
            f"one class only ({cleaned(names[0])[:50]}); there must be at least two; choose another target", place
        )
    if different > MOST_CLASSES:
        raise TableProblem(
            f"{different:,} different values; at most {MOST_CLASSES} classes are possible; choose another target", place
        )
    if max(map(len, names)) > LONGEST_NAME:
        raise TableProblem(LONG_CLASS, place)
    texts = values if values.kind == "text" else as_texts(values)
    return np.where(np.isnan(texts.cells), -1, np.nan_to_num(texts.cells)).astype(np.intp), names


def described_regression(values: Values) -> str:
    """Why it is a regression, in words."""
    low, high = np.nanmin(values.cells), np.nanmax(values.cells)
    return (
        f"{values.different:,} different numbers from {low:g} to {high:g}: a regression (classes are at most "
        f"{MOST_WHOLE_CLASSES} whole numbers, or {MOST_REAL_CLASSES} others)"
    )


def _class_names(values: Values) -> tuple[str, ...]:
    if values.kind == "text":
        return values.texts
    present = np.unique(values.cells[~np.isnan(values.cells)])[: MOST_CLASSES + 1]
    return tuple(map(number_text, present))


def series_of_labels(y: NDArray[Any], rows: int, name: str, class_names: tuple[str, ...]) -> Any:
    """The labels of an array as a pandas Series: (rows,), (rows, 1), or one-hot (rows, classes).

    Raises
    ------
    TableProblem
        If they have another shape.
    """
    import pandas as pd

    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape[:1] != (rows,):
        raise TableProblem(f"{name} has shape {y.shape} for {rows:,} examples; it must be ({rows},)")
    if y.ndim == 2 and y.shape[1] > 1:
        y = _from_one_hot(y, name)
    if y.ndim != 1:
        raise TableProblem(f"{name} has shape {y.shape}; it must be (rows,), (rows, 1), or one-hot (rows, classes)")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    series = pd.Series(
        y.astype(object) if y.dtype.kind == "U" else np.ascontiguousarray(y.astype(y.dtype.newbyteorder("=")))
    )
    if class_names and y.dtype.kind in "iu":
        if y.min(initial=0) < 0 or y.max(initial=0) >= len(class_names):
            raise TableProblem(
                f"{name} has numbers outside the {len(class_names)} class names {listed(class_names, 8)}"
            )
        return series.map(dict(enumerate(class_names)))
    return series


def _from_one_hot(y: NDArray[Any], name: str) -> NDArray[np.intp]:
    if y.dtype.kind not in "biuf":
        raise TableProblem(f"{name} has shape {y.shape} and dtype {y.dtype}; labels of several columns must be one-hot")
    ones = y == 1
    good = (ones.sum(axis=1) == 1) & ((y == 0) | ones).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise TableProblem(
            f"{shown(y[row].tolist())} is not one-hot: one 1, and 0 elsewhere", f"row {row + 1} of {name}"
        )
    return ones.argmax(axis=1)
