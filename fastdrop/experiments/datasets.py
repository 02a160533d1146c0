"""Data sets: real ones from scikit-learn, generated ones, and the user's own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments import reviews
from fastdrop.experiments.splitting import Dataset, sklearn_for, split_source, split_table
from fastdrop.experiments.tables import Column, Table, load_table

__all__ = ["DATASETS", "Dataset", "Source", "load_dataset"]


def _table(features: NDArray[np.float64], labels: NDArray[Any], names: Iterable[Any], classes: Iterable[Any]) -> Table:
    columns = tuple(Column(str(name), "number", "") for name in names)
    return Table("", columns, features, labels.astype(np.intp), tuple(map(str, classes)))


def _from_bunch(bunch: Any) -> Table:
    return _table(bunch.data.astype(np.float64), bunch.target, bunch.feature_names, bunch.target_names)


def _digits(noise: float, seed: int) -> Table:
    return _from_bunch(sklearn_for("the digits data set").datasets.load_digits())


def _breast_cancer(noise: float, seed: int) -> Table:
    return _from_bunch(sklearn_for("the breast cancer data set").datasets.load_breast_cancer())


def _wine(noise: float, seed: int) -> Table:
    return _from_bunch(sklearn_for("the wine data set").datasets.load_wine())


_POINTS = 600


def _plane(points: NDArray[np.float64], labels: NDArray[Any]) -> Table:
    return _table(points, labels, ("x", "y"), ("0", "1"))


def _moons(noise: float, seed: int) -> Table:
    make = sklearn_for("the moons data set").datasets.make_moons
    return _plane(*make(_POINTS, noise=noise, random_state=seed))


def _circles(noise: float, seed: int) -> Table:
    make = sklearn_for("the circles data set").datasets.make_circles
    return _plane(*make(_POINTS, noise=noise / 2, factor=0.5, random_state=seed))


def _spirals(noise: float, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    labels = np.arange(_POINTS) % 2
    radius = np.sqrt(rng.uniform(0.01, 1.0, _POINTS))
    angle = radius * 3 * np.pi + labels * np.pi
    points = 3 * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _plane(points + rng.normal(0, noise, points.shape), labels)


def _xor(noise: float, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (_POINTS, 2))
    labels = (points[:, 0] > 0) ^ (points[:, 1] > 0)
    return _plane(points + rng.normal(0, noise / 2, points.shape), labels)


NOISY_LINEAR_TRAIN, NOISY_LINEAR_TEST = 500, 100


def _noisy_linear(noise: float, seed: int) -> Table:
    """Twenty features of which five matter: the sign of a weighted sum plus noise half as large as the signal."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((NOISY_LINEAR_TRAIN + NOISY_LINEAR_TEST, 20))
    weight = np.zeros(20)
    weight[:5] = rng.choice([-1.0, 1.0], 5)
    signal = x @ weight
    labels = signal + rng.normal(0, 0.5 * np.sqrt(5), len(x)) > 0
    names = tuple(f"x{number}" for number in range(1, 21))
    return _table(x, labels, names, ("negative", "positive"))


NOISY_LABELS_TRAIN, NOISY_LABELS_TEST = 100, 1000


def _noisy_labels(noise: float, seed: int) -> Table:
    """A hundred points, ten features; the class is the sign of their sum, with a fraction `noise` of wrong labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((NOISY_LABELS_TRAIN + NOISY_LABELS_TEST, 10))
    labels = (x.sum(axis=1) > 0) ^ (rng.random(len(x)) < min(noise, 0.5))
    names = tuple(f"x{number}" for number in range(1, 11))
    return _table(x, labels, names, ("negative", "positive"))


REVIEWS_TRAIN, REVIEWS_TEST = 800, 1000


def _reviews(noise: float, seed: int) -> Table:
    words, labels = reviews.reviews(REVIEWS_TRAIN + REVIEWS_TEST, min(noise, 0.5), seed)
    names = tuple(f"word {number}" for number in range(1, reviews.LENGTH + 1))
    return _table(words.astype(np.float64), labels, names, ("negative", "positive"))


@dataclass(frozen=True)
class Source:
    """A data set's description and loader; the first `train` rows are the training set where it has a fixed split."""

    description: str
    load: Callable[[float, int], Table]
    image_shape: tuple[int, int] | None = None
    train: int = 0
    words: tuple[str, ...] = ()


DATASETS: dict[str, Source] = {
    "digits": Source("1,797 handwritten digits, 8 x 8 pixels", _digits, (8, 8)),
    "breast-cancer": Source("569 tumours, 30 measurements, malignant or benign", _breast_cancer),
    "wine": Source("178 wines, 13 measurements, three cultivars", _wine),
    "moons": Source("two interleaved half circles", _moons),
    "circles": Source("one ring inside another", _circles),
    "spirals": Source("two spirals", _spirals),
    "xor": Source("four quadrants, opposite ones in one class", _xor),
    "noisy-linear": Source("500 + 100 points, 20 features of which 5 matter", _noisy_linear, train=NOISY_LINEAR_TRAIN),
    "noisy-labels": Source(
        "100 training points, 10 features, some labels wrong", _noisy_labels, train=NOISY_LABELS_TRAIN
    ),
    "reviews": Source(
        "800 + 1000 short generated reviews, positive or negative", _reviews, train=REVIEWS_TRAIN, words=reviews.WORDS
    ),
}


def load_dataset(
    name: str,
    *,
    data_file: Any = "",
    target: str = "",
    ignore: Sequence[str] = (),
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    sheet: str = "",
    test_data: Any = "",
    noise: float = 0.2,
    train_fraction: float = 0.8,
    seed: int = 0,
) -> Dataset:
    """A data set, split into training and test set with every class in both, features standardised.

    A class with one row is in the training set alone.

    Parameters
    ----------
    name : str
        A key of `DATASETS`, or "file".
    data_file, target, ignore, categorical, numeric, sheet, test_data
        As `data` and the others in `load_table`; for "file".
    noise : float
        Standard deviation of the noise in the two-dimensional sets; fraction of wrong labels in "noisy-labels" and
        "reviews".
    train_fraction : float
        Fraction of the rows to train on.
    seed : int
        Decides generated data and the split.

    Raises
    ------
    DataError
        If the user's data cannot be used.
    BackendUnavailable
        If scikit-learn, or what the file needs, is not installed.

    Examples
    --------
    >>> from fastdrop.experiments import load_dataset
    >>> load_dataset("digits").x_train.shape
    (1437, 64)
    """
    source = DATASETS.get(name)
    if source is not None:
        return split_source(
            name,
            source.load(noise, seed),
            train_fraction,
            seed,
            train=source.train,
            image_shape=source.image_shape,
            words=source.words,
        )
    table = load_table(
        data_file, target=target, ignore=ignore, categorical=categorical, numeric=numeric, sheet=sheet,
        test_data=test_data,
    )  # fmt: skip
    return split_table(table, train_fraction, seed)
