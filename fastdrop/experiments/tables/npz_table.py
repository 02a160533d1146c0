"""NPZ files with arrays x (rows, columns) and y (rows,): a head to look at, and the whole table."""

import itertools
import math
from pathlib import Path

import numpy as np

from fastdrop.experiments.formats.npz import LARGEST, Archive
from fastdrop.experiments.formats.reading import LONGEST_NAME, cleaned, gigabytes
from fastdrop.experiments.tables.contents import (
    HEAD,
    LONG_CLASS,
    MOST_NAMED,
    Preview,
    Table,
    TableProblem,
    check_columns,
    table_of,
)


def preview(path: Path, rows: int) -> Preview:
    """The first rows."""
    with Archive(path) as archive:
        shapes = {name: header.shape for name, header in archive.headers.items()}
        x, y = (archive.head(name, rows, HEAD) if name in shapes else np.empty((0, 0)) for name in ("x", "y"))
    x, y = x.reshape(len(x), math.prod(x.shape[1:])), y.reshape(len(y), math.prod(y.shape[1:]))
    check_columns(x.shape[1])
    columns = [*(f"column {number}" for number in range(1, x.shape[1] + 1)), *["y"][: "y" in shapes]]
    texts = [[f"{value:.6g}" if x.dtype.kind == "f" else str(value) for value in row] for row in x]
    labels = [[str(value) for value in row[:1]] for row in y]
    nothing: list[str] = []
    shown_rows = tuple(tuple(left + right) for left, right in itertools.zip_longest(texts, labels, fillvalue=nothing))
    of_x = shapes.get("x", ())
    return Preview(tuple(columns), shown_rows, of_x[0] if of_x else None, shapes)


def read(path: Path) -> Table:
    """The whole table."""
    with Archive(path) as archive:
        _check_headers(archive)
        x, y = archive.read("x"), archive.read("y")
    with np.errstate(over="ignore", invalid="ignore"):
        features = x.reshape(len(x), -1).astype(np.float64)
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        row, column = bad[0] + 1
        value = features[row - 1, column - 1]
        raise TableProblem(f"{value} is not a finite number", f"row {row}", f"column {column} of x")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise TableProblem(f"{y[row]} is no class", f"row {row + 1} of y")
    feature_names = tuple(f"column {number}" for number in range(1, features.shape[1] + 1))
    classes, labels = np.unique(y, return_inverse=True)
    return table_of(features, feature_names, labels, classes, "array 'y'")


def _check_headers(archive: Archive) -> None:
    """Check, before x and y are read, that they exist and have shapes and dtypes that can be used."""
    found = archive.headers
    if not {"x", "y"} <= found.keys():
        names = ", ".join(cleaned(name[:MOST_NAMED]) for name in list(found)[:MOST_NAMED]) or "nothing"
        raise TableProblem(f"holds {names}; it must hold x (rows, columns) and y (rows,)")
    x, y = found["x"], found["y"]
    if x.shape and math.prod(x.shape) == 0:
        raise TableProblem("no rows")
    if len(x.shape) < 2 or y.shape != x.shape[:1]:
        raise TableProblem(f"x has shape {x.shape} and y {y.shape}; they must be (rows, columns) and (rows,)")
    if x.dtype.kind not in "iuf" or y.dtype.kind not in "iufUSb":
        raise TableProblem(f"x has dtype {x.dtype} and y {y.dtype}; they must be numbers, and numbers or text")
    check_columns(math.prod(x.shape[1:]))
    if y.dtype.kind in "SU" and y.dtype.itemsize > LONGEST_NAME * (4 if y.dtype.kind == "U" else 1):
        raise TableProblem(f"{LONG_CLASS} (its dtype is {y.dtype})", "array 'y'")
    size = math.prod(x.shape) * np.dtype(np.float64).itemsize + math.prod(y.shape) * y.dtype.itemsize
    if size > LARGEST:
        raise TableProblem(
            f"too large: in double precision it takes {gigabytes(size)}; the limit is {gigabytes(LARGEST)}"
        )
