"""From a table to a data set: split into training and test part, prepared and scaled by the training part alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.experiments.errors import DataError
from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.tables.contents import Table, listed, plural
from fastdrop.experiments.tables.preparation import LARGEST_INPUT, Preparation
from fastdrop.experiments.tables.reader import data_errors

_AT_ONCE = 1 << 18
"""Cells that are looked at at once: they stay in the caches."""


@dataclass(frozen=True)
class Dataset:
    """Training and test examples.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray of float32, shape (rows, features)
        Over the training rows each feature has mean 0 and standard deviation 1. Pixels are scaled together; features
        that are 0 or 1, such as categories, are not scaled.
    y_train, y_test : numpy.ndarray of int, shape (rows,)
        Indices into `class_names`.
    image_shape : tuple of int or None
        Height and width of a row that is an image.
    channels : int
        Of an image; the pixels of one channel follow those of another.
    words : tuple of str
        For text: the word of each number. The numbers are not scaled.
    center, scale : numpy.ndarray of float32, shape (features,)
        What was subtracted from the features, and by what they were divided.
    table : Table or None
        The user's own table, of which `train_rows` and `test_rows` are the rows of the two parts.
    preparation : Preparation or None
        How its columns became features; None where they are features already.
    fixed_test : bool
        Whether the test set was given, so that every split has the same.
    notes : tuple of str
        What should be known about the data: rows left out, equal rows in both parts.
    data_hash : str
        SHA-256 of the user's data when they were read.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.intp]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.intp]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    center: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None
    channels: int = 1
    table: Table | None = None
    train_rows: NDArray[np.intp] | None = None
    test_rows: NDArray[np.intp] | None = None
    preparation: Preparation | None = None
    fixed_test: bool = False
    notes: tuple[str, ...] = ()
    data_hash: str = ""

    def unscaled(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows before they were scaled."""
        if self.center is None or self.scale is None:
            return x
        return x * self.scale + self.center

    @property
    def features(self) -> int:
        return self.x_train.shape[1]

    @property
    def classes(self) -> int:
        return len(self.class_names)


def sklearn_for(use: str) -> Any:
    """scikit-learn, with what data sets need of it."""
    try:
        import sklearn.datasets
    except ImportError:
        raise missing_package("scikit-learn", "experiments", use) from None
    return sklearn


def split_source(
    name: str,
    table: Table,
    train_fraction: float,
    seed: int,
    *,
    train: int = 0,
    image_shape: tuple[int, int] | None = None,
    words: tuple[str, ...] = (),
) -> Dataset:
    """One of the data sets that come with fastdrop, split and scaled; the first `train` rows are the training set."""
    rows = np.arange(len(table.labels))
    parts = (rows[:train], rows[train:]) if train else stratified_split(table.labels, train_fraction, seed)
    names = tuple(column.name for column in table.used)
    center, scale = _scaling(table.features, parts[0], name, names, image_shape is not None)
    if words:  # numbers of words are not measurements
        center[:], scale[:] = 0.0, 1.0
    x_train, x_test = (scaled(table.features[rows], center, scale) for rows in parts)
    y_train, y_test = (table.labels[rows] for rows in parts)
    return Dataset(
        name,
        x_train,
        y_train,
        x_test,
        y_test,
        names,
        table.class_names,
        image_shape,
        words,
        center.astype(np.float32),
        scale.astype(np.float32),
    )


def split_table(table: Table, train_fraction: float, seed: int) -> Dataset:
    """The user's own table as a data set: split, prepared and scaled by the training rows alone.

    Raises
    ------
    DataError
        If its target is a regression's, or too few rows are left.
    """
    if table.is_regression:
        advice = next((note for note in table.notes if "could also be" in note), "")
        raise DataError(
            f"{table.name}, column {shown(table.target)}: {_note_about(table)}. Networks here predict classes: choose "
            f"another target with --target, or declare this one with --categorical" + (f". {advice}" if advice else "")
        )
    rows = np.arange(len(table.labels))
    if table.train_rows:
        train, test = rows[: table.train_rows], rows[table.train_rows :]
    else:
        train, test = map(np.sort, stratified_split(table.labels, train_fraction, seed))
    if not len(test) or len(np.unique(table.labels[train])) < 2:
        counts = listed([f"{name} ({plural(count, 'row')})" for name, count in table.class_counts])
        raise DataError(f"{table.name}: too few rows to train on some and test on others: {counts}")
    if table.image_shape is None:
        with data_errors(table.name):
            preparation = Preparation(table.used, table.features, train)
        x_train, x_test = (preparation.transform(table.features, rows) for rows in (train, test))
        names, center, scale = preparation.feature_names, preparation.center, preparation.scale
    else:
        preparation, features = None, table.features
        if np.isnan(features).any():
            known = features[train][~np.isnan(features[train])]
            features = np.where(np.isnan(features), known.mean() if len(known) else 0.0, features)
        names = tuple(column.name for column in table.used)
        center, scale = _scaling(features, train, table.name, names, are_pixels=True)
        x_train, x_test = (scaled(features[rows], center, scale) for rows in (train, test))
    return Dataset(
        name=table.name,
        x_train=x_train,
        y_train=table.labels[train],
        x_test=x_test,
        y_test=table.labels[test],
        feature_names=names,
        class_names=table.class_names,
        image_shape=table.image_shape,
        center=center.astype(np.float32),
        scale=scale.astype(np.float32),
        channels=table.channels,
        table=table,
        train_rows=train,
        test_rows=test,
        preparation=preparation,
        fixed_test=bool(table.train_rows),
        notes=(*table.notes, *_notes_of_split(table, train, test)),
    )


def _note_about(table: Table) -> str:
    prefix = f"{table.target}: "
    return next(
        (note.removeprefix(prefix) for note in table.notes if note.startswith(prefix) and "regression" in note), ""
    )


def scaled(features: NDArray[np.float64], center: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.float32]:
    """Inputs of a network; single values that are far outside the training rows' are limited."""
    with np.errstate(over="ignore"):  # a scale may be tiny
        return np.clip((features - center) / scale, -LARGEST_INPUT, LARGEST_INPUT).astype(np.float32)


def stratified_split(
    labels: NDArray[np.intp], train_fraction: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test rows; every class with two or more rows is in both, one with a single row is trained on.

    The rows are those of scikit-learn's `train_test_split`, draw by draw; it collects them in lists, number by number,
    which takes a third of the time that pandas needs to read the table. Where a class is so rare that one part would
    have none of it, a row of it changes sides.
    """
    counts = np.bincount(labels)
    single = counts[labels] == 1
    rows = np.flatnonzero(~single)
    if not len(rows):
        return np.flatnonzero(single), rows
    size, classes = math.floor(train_fraction * len(rows)), np.count_nonzero(counts > 1)
    if min(size, len(rows) - size) >= classes:
        train, test = _drawn(rows, labels[rows], size, np.random.RandomState(seed))
    else:
        order = np.random.default_rng(seed).permutation(rows)
        middle = min(max(1, round(train_fraction * len(rows))), len(rows) - 1)
        train, test = order[:middle], order[middle:]
    for label in np.flatnonzero(counts > 1).tolist():
        if not (labels[train] == label).any():
            train, test = _with_one_of(label, labels, train, test)
        elif not (labels[test] == label).any():
            test, train = _with_one_of(label, labels, test, train)
    return np.concatenate([train, np.flatnonzero(single)]), test


def _drawn(
    rows: NDArray[np.intp], labels: NDArray[np.intp], size: int, rng: np.random.RandomState
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw `size` rows, of each class its share, and the others, both in random order."""
    counts = np.bincount(labels)
    shares = _shares(counts, size, rng)
    _shares(counts - shares, len(rows) - size, rng)  # the others' shares are what is left, but draw ties all the same
    sorted_rows = rows[np.argsort(labels.astype(np.min_scalar_type(len(counts))), kind="stable")]
    by_class = np.split(sorted_rows, np.cumsum(counts)[:-1])
    orders = [members[rng.permutation(len(members))] for members in by_class]
    train = np.concatenate([order[:share] for order, share in zip(orders, shares, strict=True)])
    test = np.concatenate([order[share:] for order, share in zip(orders, shares, strict=True)])
    return rng.permutation(train), rng.permutation(test)


def _shares(counts: NDArray[np.intp], size: int, rng: np.random.RandomState) -> NDArray[np.intp]:
    """How many of each class are among `size` rows: as close to its part of all as whole numbers can be."""
    exact = counts / counts.sum() * size
    found = np.floor(exact)
    rest = exact - found
    for largest in np.unique(rest)[::-1]:
        missing = int(size - found.sum())
        if not missing:
            break
        alike = np.flatnonzero(rest == largest)
        found[rng.choice(alike, min(len(alike), missing), replace=False)] += 1
    return found.astype(np.intp)


def _with_one_of(
    label: int, labels: NDArray[np.intp], lacks: NDArray[np.intp], other: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the part that lacks a class the first row of it from the other part."""
    place = int(np.flatnonzero(labels[other] == label)[0])
    return np.append(lacks, other[place]), np.delete(other, place)


def _notes_of_split(table: Table, train: NDArray[np.intp], test: NDArray[np.intp]) -> list[str]:
    """Classes that cannot be tested, and rows that are in both parts."""
    import pandas as pd

    notes = []
    counts = [np.bincount(table.labels[rows], minlength=len(table.class_names)) for rows in (train, test)]
    untested = np.flatnonzero((counts[0] > 0) & (counts[1] == 0)).tolist()
    if untested:
        names = [table.class_names[label] for label in untested]
        why = "has one row only" if not table.train_rows and len(names) == 1 else "have one row only"
        why = "no test rows" if table.train_rows else why
        notes.append(f"not tested, since {'it ' if len(names) == 1 else 'they '}{why}: {listed(names, 10)}")
    hashes = _row_hashes(table)
    again = int(pd.Series(hashes[test]).isin(hashes[train]).sum())
    if again:
        notes.append(
            f"{plural(again, 'test row')} of {len(test):,} are also in the training part, with the same features and "
            "target: the test accuracy is too good for rows that are new"
        )
    return notes


def _row_hashes(table: Table) -> NDArray[np.uint64]:
    """A number for each row that rows with the same features and target share."""
    odd = np.random.default_rng(0).integers(0, 2**63, table.features.shape[1] + 1, dtype=np.uint64) * 2 + 1
    hashes = table.labels.astype(np.uint64) * odd[0]
    step = max(1, _AT_ONCE // len(odd))
    for begin in range(0, len(hashes), step):
        bits = (table.features[begin : begin + step].T + 0.0).view(np.uint64)  # without a sign of zero
        bits *= odd[1:, None]
        hashes[begin : begin + step] += bits.sum(axis=0)
    return hashes


def _scaling(
    features: NDArray[np.float64], train: NDArray[np.intp], name: str, names: Sequence[str], are_pixels: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is subtracted from the features, and by what they are divided."""
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = features[train].mean(axis=0), features[train].std(axis=0)
        fits = np.isfinite(center.astype(np.float32)) & np.isfinite(scale.astype(np.float32))
    if not fits.all():
        column = names[int(np.argmin(fits))]
        raise DataError(f"{name}, column {shown(column)}: the values are too large; rescale them")
    if are_pixels:  # one scale for all: border pixels that are rarely lit would blow up
        scale[:] = np.sqrt((scale**2).mean())
    scale[scale == 0] = 1.0
    return center, scale
