"""From a table's features to the network's inputs; what that needs is learned from training rows alone.

What is learned is plain numbers, so that a model can be kept without pickle. The inputs are those that scikit-learn's
`SimpleImputer`, `MissingIndicator`, `StandardScaler` and `OneHotEncoder` give in a `ColumnTransformer`, which a test
compares; that one takes three times as long and twice the memory, since each part checks and copies what it is given.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.tables.contents import Column, TableProblem

LARGEST_INPUT = 1e6
"""Inputs that are further from 0 are limited: single values far outside those of the training rows."""
_AT_ONCE = 1 << 20
"""Cells that are learned from, or inputs that are made, at once: they stay in the caches."""


class Preparation:
    """Fills missing numbers with the training rows' median and marks them, scales numbers, makes categories 0/1 inputs.

    A missing category is a category of its own. One with two values is a single input. A category that the training
    rows do not have is 0 in all its inputs.

    Parameters
    ----------
    columns : tuple of Column
        The columns of the features: `Table.used`.
    features : numpy.ndarray of float64, shape (rows, columns)
    rows : numpy.ndarray of int, optional
        The training rows; by default all.

    Attributes
    ----------
    columns : tuple of Column
    feature_names : tuple of str
        The names of the network's inputs: numbers, marks of missing ones, categories.
    center, scale : numpy.ndarray of float64, shape (inputs,)
        What is subtracted from numbers, and by what they are divided; 0 and 1 for inputs that are 0 or 1.

    Raises
    ------
    TableProblem
        If a column's values are too large for float32.
    """

    def __init__(
        self, columns: tuple[Column, ...], features: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> None:
        self._set_columns(columns)
        rows = np.arange(len(features)) if rows is None else rows
        width = max(1, _AT_ONCE // max(1, len(rows)))  # columns
        learned = [np.empty((4, 0))]
        for begin in range(0, len(self._numbers), width):
            places = self._numbers[begin : begin + width]
            learned.append(_learned_numbers(np.stack([features[:, place].take(rows) for place in places])))
        fills, means, scales, have_missing = np.concatenate(learned, axis=1)
        codes = [np.unique(features[:, place].take(rows)) for place in self._categories]
        self._set_learned(fills, means, scales, np.flatnonzero(have_missing), codes)

    @classmethod
    def restored(cls, columns: tuple[Column, ...], learned: dict[str, Any]) -> "Preparation":
        """The preparation that has learned this.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where no preparation can have learned it.
        """
        found = cls.__new__(cls)
        found._set_columns(columns)
        fills, means, scales = (np.array(learned[name], np.float64) for name in ("fills", "means", "scales"))
        marked = np.array(learned["marked"], np.intp)
        codes = [
            np.array([np.nan if code is None else int(code) for code in each], np.float64)
            for each in learned["categories"]
        ]
        numbers = len(found._numbers)
        fits = all(each.shape == (numbers,) and np.isfinite(each).all() for each in (fills, means, scales))
        if not fits or not (scales > 0).all() or not np.isin(marked, np.arange(numbers)).all():
            raise ValueError("what was learned about numbers does not fit the columns")
        for place, each in zip(found._categories, codes, strict=True):
            present = each[~np.isnan(each)]
            in_order = np.array_equal(each, np.unique(each), equal_nan=True)
            if not len(each) or not in_order or not np.isin(present, np.arange(len(columns[place].categories))).all():
                raise ValueError("what was learned about categories does not fit the columns")
        found._set_learned(fills, means, scales, marked, codes)
        return found

    def learned(self) -> dict[str, Any]:
        """What was learned, in types that JSON has."""
        return {
            "fills": self._fills.tolist(),
            "means": self._means.tolist(),
            "scales": self._scales.tolist(),
            "marked": self._marked.tolist(),
            "categories": [[None if np.isnan(code) else int(code) for code in codes] for codes in self._codes],
        }

    def transform(self, features: NDArray[np.float64], rows: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """The network's inputs for these rows, by default for all, of shape (rows, len(feature_names))."""
        columns = np.ascontiguousarray(features.T)
        count = len(features) if rows is None else len(rows)
        inputs = np.zeros((count, len(self.feature_names)), np.float32)
        step = max(1, _AT_ONCE // max(1, inputs.shape[1]))  # rows
        for part in (slice(begin, begin + step) for begin in range(0, count, step)):
            self._write(columns[:, part] if rows is None else columns.take(rows[part], axis=1), inputs[part])
        return inputs

    def _write(self, cells: NDArray[np.float64], inputs: NDArray[np.float32]) -> None:
        """Write the inputs of some rows, whose cells come as (columns, rows), into zeros."""
        numbers = cells[self._numbers]
        missing = np.isnan(numbers)
        np.copyto(numbers, self._fills[:, None], where=missing)
        with np.errstate(over="ignore"):  # a scale may be tiny
            numbers -= self._means[:, None]
            numbers /= self._scales[:, None]
        np.clip(numbers, -LARGEST_INPUT, LARGEST_INPUT, out=numbers)
        inputs[:, : len(numbers)] = numbers.T
        inputs[:, len(numbers) : len(numbers) + len(self._marked)] = missing[self._marked].T
        flat = inputs.reshape(-1)  # whose single numbers are faster to find
        begins = np.arange(0, inputs.size, inputs.shape[1])
        for codes, places in zip(cells[self._categories], self._places, strict=True):
            unknown = len(places) - 1
            known = np.where(np.isnan(codes), unknown - 1, np.minimum(codes, unknown)).astype(np.intp)
            found = places.take(known)
            at = begins + found
            flat[at if found.min() >= 0 else at[found >= 0]] = 1

    # -- what was learned

    def _set_columns(self, columns: tuple[Column, ...]) -> None:
        is_category = np.array([column.role == "category" for column in columns], bool)
        self.columns = columns
        self._numbers, self._categories = np.flatnonzero(~is_category), np.flatnonzero(is_category)

    def _set_learned(
        self,
        fills: NDArray[np.float64],
        means: NDArray[np.float64],
        scales: NDArray[np.float64],
        marked: NDArray[np.intp],
        codes: list[NDArray[np.float64]],
    ) -> None:
        """Keep what was learned; `marked` are places among the numbers, and `codes` have NaN last for missing cells."""
        self._fills, self._means, self._scales, self._marked, self._codes = fills, means, scales, marked, codes
        self._places = []
        next_place = len(fills) + len(marked)
        for place, each in zip(self._categories, codes, strict=True):
            missing = len(self.columns[place].categories)
            places = np.full(missing + 2, -1)  # the last two are those of missing cells and unknown categories
            kept = each[len(each) == 2 :]  # of two, the second says all
            places[np.where(np.isnan(kept), missing, kept).astype(np.intp)] = next_place + np.arange(len(kept))
            next_place += len(kept)
            self._places.append(places)
        self._describe()

    def _describe(self) -> None:
        """Name the inputs, and check that float32 can hold them."""
        names = [self.columns[place].name for place in self._numbers]
        marked = [f"{names[place]} missing" for place in self._marked]
        texts = [
            f"{column.name} = {text or 'missing'}"
            for column, places in self.categories_described()
            for text, place in places
            if place >= 0
        ]
        self.feature_names = (*names, *marked, *texts)
        count = len(self.feature_names)
        self.center, self.scale = np.zeros(count), np.ones(count)
        self.center[: len(names)], self.scale[: len(names)] = self._means, self._scales
        with np.errstate(over="ignore"):
            fits = np.isfinite(self.center.astype(np.float32)) & np.isfinite(self.scale.astype(np.float32))
        if not fits.all():
            column = self.feature_names[int(np.argmin(fits))]
            raise TableProblem("the values are too large; rescale them", f"column {shown(column)}")

    def numbers_described(self) -> list[tuple[Column, float, tuple[int, ...]]]:
        """For each column of numbers, what fills it, and the places of its value and its mark among the inputs."""
        marks = {int(place): len(self._numbers) + number for number, place in enumerate(self._marked)}
        return [
            (self.columns[place], float(fill), (number, *([marks[number]] if number in marks else [])))
            for number, (place, fill) in enumerate(zip(self._numbers, self._fills, strict=True))
        ]

    def categories_described(self) -> list[tuple[Column, list[tuple[str, int]]]]:
        """For each category column, its texts ("" for missing cells) and their places among the inputs, -1 for none."""
        found = []
        for place, codes, places in zip(self._categories, self._codes, self._places, strict=True):
            column = self.columns[place]
            texts = (*column.categories, "")
            known = np.where(np.isnan(codes), len(column.categories), codes).astype(np.intp).tolist()
            found.append((column, [(texts[code], int(places[code])) for code in known]))
        return found


def _learned_numbers(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """What fills columns of numbers, their mean, their scale, and whether cells are missing; shape (4, columns)."""
    missing = np.isnan(cells)
    have_missing = missing.any(axis=1)
    fills = np.array(
        [_median(cell[~gaps]) if gaps.any() else _median(cell) for cell, gaps in zip(cells, missing, strict=True)]
    )
    np.copyto(cells, fills[:, None], where=missing)
    with np.errstate(over="ignore", invalid="ignore"):
        means = cells.mean(axis=1)
        scales = cells.std(axis=1)
    scales[(scales == 0) | (cells == cells[:, :1]).all(axis=1)] = 1.0  # a constant's mean may be rounded
    return np.stack([fills, means, scales, have_missing])


def _median(values: NDArray[np.float64]) -> float:
    """The median; 0 for a column that is empty in the training rows. `np.median` takes five times as long."""
    middle = len(values) // 2
    if not len(values):
        return 0.0
    parts = np.partition(values, middle)
    return float(parts[middle] if len(values) % 2 else np.mean([parts[:middle].max(), parts[middle]]))
