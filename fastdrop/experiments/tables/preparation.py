"""From a table's features to the network's inputs, by transformers of scikit-learn that learn from training rows alone.

What they have learned is plain numbers, from which `Preparation.restored` makes the same transformers again, so that a
model can be kept without pickle.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.tables.contents import Column, TableProblem

LARGEST_INPUT = 1e6
"""Inputs that are further from 0 are limited: single values far outside those of the training rows."""


class Preparation:
    """Fills missing numbers with the training rows' median and marks them, scales numbers, makes categories 0/1 inputs.

    A missing category is a category of its own. One with two values is a single input. A category that the training
    rows do not have is 0 in all its inputs.

    Parameters
    ----------
    columns : tuple of Column
        The columns of the features: `Table.used`.
    features : numpy.ndarray of float64, shape (rows, columns)
        Training rows.

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

    def __init__(self, columns: tuple[Column, ...], features: NDArray[np.float64]) -> None:
        self._learn(columns, features)

    def _learn(self, columns: tuple[Column, ...], features: NDArray[np.float64]) -> NDArray[np.float32]:
        self._set_columns(columns)
        self._transformer = _transformer(self._numbers, self._categories, None)
        with _quiet():
            found: NDArray[np.float32] = self._transformer.fit_transform(features)
        self._describe()
        return found

    @classmethod
    def learned_from(
        cls, columns: tuple[Column, ...], features: NDArray[np.float64]
    ) -> tuple["Preparation", NDArray[np.float32]]:
        """The preparation, and the training rows' inputs, which come with learning it."""
        found = cls.__new__(cls)
        return found, found._learn(columns, features)

    def _set_columns(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns
        self._numbers = [place for place, column in enumerate(columns) if column.role != "category"]
        self._categories = [place for place, column in enumerate(columns) if column.role == "category"]

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
        if names:
            self.center[: len(names)], self.scale[: len(names)] = self._scaler.mean_, self._scaler.scale_
        with np.errstate(over="ignore"):
            fits = np.isfinite(self.center.astype(np.float32)) & np.isfinite(self.scale.astype(np.float32))
        if not fits.all():
            column = self.feature_names[int(np.argmin(fits))]
            raise TableProblem("the values are too large; rescale them", f"column {shown(column)}")

    def transform(self, features: NDArray[np.float64]) -> NDArray[np.float32]:
        """The network's inputs, of shape (rows, len(feature_names))."""
        with _quiet():
            found: NDArray[np.float32] = self._transformer.transform(features)
        return found

    # -- what was learned

    @property
    def _imputer(self) -> Any:
        return self._transformer.named_transformers_["numbers"][0]

    @property
    def _scaler(self) -> Any:
        return self._transformer.named_transformers_["numbers"][1]

    @property
    def _marked(self) -> list[int]:
        """Places among the numbers whose missing cells are marked."""
        return list(map(int, self._transformer.named_transformers_["marks"].features_)) if self._numbers else []

    @property
    def _codes(self) -> list[NDArray[np.float64]]:
        return self._transformer.named_transformers_["categories"].categories_ if self._categories else []

    @property
    def _dropped(self) -> list[int | None]:
        """For each category column, the place of the category without an input."""
        if not self._categories:
            return []
        dropped = self._transformer.named_transformers_["categories"].drop_idx_
        return [None] * len(self._categories) if dropped is None else list(dropped)

    def numbers_described(self) -> list[tuple[Column, float, tuple[int, ...]]]:
        """For each column of numbers, what fills it, and the places of its value and its mark among the inputs."""
        fills = self.learned()["fills"]
        marks = {place: len(self._numbers) + number for number, place in enumerate(self._marked)}
        return [
            (self.columns[place], fills[number], (number, *([marks[number]] if number in marks else [])))
            for number, place in enumerate(self._numbers)
        ]

    def categories_described(self) -> list[tuple[Column, list[tuple[str, int]]]]:
        """For each category column, its texts ("" for missing cells) and their places among the inputs, -1 for none."""
        found, next_place = [], len(self._numbers) + len(self._marked)
        for place, codes, dropped in zip(self._categories, self._codes, self._dropped, strict=True):
            texts = []
            for number, code in enumerate(codes):
                texts.append(("" if np.isnan(code) else self.columns[place].categories[int(code)], next_place))
                if number == dropped:
                    texts[-1] = (texts[-1][0], -1)
                else:
                    next_place += 1
            found.append((self.columns[place], texts))
        return found

    def learned(self) -> dict[str, Any]:
        """What was learned, in types that JSON has."""
        numbers: dict[str, Any] = {"fills": [], "means": [], "scales": []}
        if self._numbers:
            numbers = {"fills": self._imputer.statistics_, "means": self._scaler.mean_, "scales": self._scaler.scale_}
        return {
            **{name: list(map(float, values)) for name, values in numbers.items()},
            "marked": self._marked,
            "categories": [[None if np.isnan(code) else int(code) for code in codes] for codes in self._codes],
        }

    @classmethod
    def restored(cls, columns: tuple[Column, ...], learned: dict[str, Any]) -> "Preparation":
        """The preparation that has learned this; a ValueError or KeyError where no preparation can have learned it."""
        found = cls.__new__(cls)
        found._set_columns(columns)
        codes = [
            np.array([np.nan if code is None else float(code) for code in codes]) for codes in learned["categories"]
        ]
        found._transformer = _transformer(found._numbers, found._categories, codes)
        rows = np.zeros((1, len(columns)))  # fitting them gives the transformers their shapes
        rows[0, [found._numbers[place] for place in learned["marked"]]] = np.nan
        rows[0, found._categories] = [each[0] for each in codes]
        with _quiet():
            found._transformer.fit(rows)
        if found._numbers:
            found._imputer.statistics_[:] = learned["fills"]
            found._scaler.mean_[:] = learned["means"]
            found._scaler.scale_[:] = learned["scales"]
        found._describe()
        return found


def _transformer(numbers: list[int], categories: list[int], codes: list[NDArray[np.float64]] | None) -> Any:
    try:
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import MissingIndicator, SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    except ImportError:
        raise missing_package("scikit-learn", "tables", "preparing a table") from None
    # The median as a function takes a sixth of the time of scikit-learn's own, which masks its array. ColumnTransformer
    # hands out copies of the columns, so that none of these needs another.
    filled = SimpleImputer(strategy=_median, keep_empty_features=True, copy=False)
    scaled = make_pipeline(filled, StandardScaler(copy=False), FunctionTransformer(_limited))
    marks = MissingIndicator(error_on_new=False)
    encoder = OneHotEncoder(
        categories="auto" if codes is None else codes,
        drop="if_binary",
        handle_unknown="ignore",
        sparse_output=False,
        dtype=np.float32,
    )
    parts = [("numbers", scaled, numbers), ("marks", marks, numbers), ("categories", encoder, categories)]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)


def _median(values: NDArray[np.float64]) -> float:
    """The median; 0 for a column that is empty in the training rows."""
    return float(np.median(values)) if len(values) else 0.0


def _limited(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.clip(values, -LARGEST_INPUT, LARGEST_INPUT, out=values).astype(np.float32)


class _quiet(warnings.catch_warnings):
    """Without scikit-learn's warnings: columns that are empty in the training rows, unknown categories, overflows."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
