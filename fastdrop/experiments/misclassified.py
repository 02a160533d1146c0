"""Misclassified test examples: images, or rows with the original values of their columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import to_device

if TYPE_CHECKING:
    from fastdrop.experiments.splitting import Dataset
    from fastdrop.experiments.trainer import Trainer

SAMPLES = 30
"""Monte Carlo samples."""
MOST_IMAGES = 20
MOST_ROWS = 300
MOST_COLUMNS = 50


@dataclass(frozen=True)
class MisclassifiedRows:
    """Misclassified rows as they are in the user's table.

    Attributes
    ----------
    places : tuple of str
        Where each row is, such as "line 7".
    columns : tuple of str
        Names of the columns that are features, the first `MOST_COLUMNS`.
    cells : tuple of tuple of str
        The original values, row by row.
    values : numpy.ndarray of float64, shape (rows, columns)
        The same as numbers, to sort by; NaN where missing. Categories are in the order of their texts.
    """

    places: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Misclassified:
    """Misclassified test examples.

    Attributes
    ----------
    count, tested : int
        Misclassified examples, and all test examples.
    images : numpy.ndarray, shape (shown, height, width)
        In grey; without images, of no height and width.
    labels, guesses : numpy.ndarray of int, shape (shown,)
    mean, std : numpy.ndarray, shape (shown, classes)
        Mean and standard deviation of the probabilities over `SAMPLES` sub-networks.
    class_names : tuple of str
    rows : MisclassifiedRows or None
        Of data without images.
    """

    count: int
    tested: int
    images: NDArray[np.float32]
    labels: NDArray[np.intp]
    guesses: NDArray[np.intp]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    class_names: tuple[str, ...]
    rows: MisclassifiedRows | None = None


def misclassified(trainer: "Trainer") -> Misclassified:
    """The first misclassified test examples, with the deviation over sub-networks."""
    data = trainer.dataset
    trainer.network.eval()
    with np.errstate(over="ignore", invalid="ignore"):
        guesses = to_device(trainer.network(trainer.data.x_test), "cpu").argmax(axis=1)
    wrong = np.flatnonzero(guesses != data.y_test)
    if data.image_shape is not None:
        shown = wrong[:MOST_IMAGES]
    else:
        order = wrong if data.test_rows is None else wrong[np.argsort(data.test_rows[wrong], kind="stable")]
        shown = order[:MOST_ROWS]
    mean = std = np.zeros((0, data.classes), np.float32)
    if len(shown):
        with np.errstate(over="ignore", invalid="ignore"):
            sampled = nn.mc_dropout(trainer.network, trainer.data.x_test[shown], SAMPLES, rng=0)
        mean, std = (to_device(array, "cpu").astype(np.float32) for array in (sampled.mean, sampled.std))
    images, rows = np.zeros((len(shown), 0, 0), np.float32), None
    if data.image_shape is None:
        rows = _rows(data, shown)
    else:
        images = data.unscaled(data.x_test[shown]).reshape(len(shown), data.channels, *data.image_shape).mean(axis=1)
    return Misclassified(
        len(wrong), len(data.y_test), images, data.y_test[shown], guesses[shown], mean, std, data.class_names, rows
    )


def _rows(data: "Dataset", shown: NDArray[np.intp]) -> MisclassifiedRows:
    """These test rows as people know them."""
    places = tuple(f"test row {row + 1}" for row in shown)
    if data.words:
        texts = tuple((" ".join(data.words[int(word)] for word in row),) for row in data.x_test[shown])
        order = np.argsort(np.argsort([text for (text,) in texts])) if texts else np.zeros(0)
        return MisclassifiedRows(places, ("text",), texts, order.astype(np.float64)[:, None])
    if data.table is None or data.test_rows is None:
        values = data.unscaled(data.x_test[shown])[:, :MOST_COLUMNS].astype(np.float64)
        cells = tuple(tuple(f"{value:.5g}" for value in row) for row in values)
        return MisclassifiedRows(places, data.feature_names[:MOST_COLUMNS], cells, values)
    table, rows = data.table, data.test_rows[shown]
    columns = table.used[:MOST_COLUMNS]
    values = table.features[rows][:, :MOST_COLUMNS]
    cells = tuple(
        tuple(column.text(value) for column, value in zip(columns, row, strict=True)) for row in values.tolist()
    )
    places = tuple(table.place_of(int(row)) for row in rows)
    return MisclassifiedRows(places, tuple(column.name for column in columns), cells, values)
