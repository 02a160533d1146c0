"""Data sets: real ones from scikit-learn, generated ones, and the user's own; split and scaled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.experiments import reviews
from fastdrop.experiments.errors import DataError
from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.tables import Table, read_table


@dataclass(frozen=True)
class Dataset:
    """Training and test examples.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray of float32, shape (rows, features)
        Over the training rows each feature has mean 0 and standard deviation 1; pixels are scaled together.
    y_train, y_test : numpy.ndarray of int, shape (rows,)
        Indices into `class_names`.
    image_shape : tuple of int or None
        The shape of a row that is an image.
    words : tuple of str
        For text: the word of each number. The numbers are not scaled.
    center, scale : numpy.ndarray of float32, shape (features,)
        What was subtracted from the features, and by what they were divided.
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


def _sklearn(use: str) -> Any:
    try:
        import sklearn.datasets
        import sklearn.model_selection
    except ImportError:
        raise missing_package("scikit-learn", "experiments", use) from None
    return sklearn


def _from_bunch(bunch: Any) -> Table:
    names = tuple(str(name) for name in bunch.feature_names)
    return Table(bunch.data.astype(np.float64), bunch.target, names, tuple(str(name) for name in bunch.target_names))


def _digits(noise: float, seed: int) -> Table:
    return _from_bunch(_sklearn("the digits data set").datasets.load_digits())


def _breast_cancer(noise: float, seed: int) -> Table:
    return _from_bunch(_sklearn("the breast cancer data set").datasets.load_breast_cancer())


def _wine(noise: float, seed: int) -> Table:
    return _from_bunch(_sklearn("the wine data set").datasets.load_wine())


_POINTS = 600


def _plane(points: NDArray[np.float64], labels: NDArray[Any]) -> Table:
    return Table(points, labels.astype(np.intp), ("x", "y"), ("0", "1"))


def _moons(noise: float, seed: int) -> Table:
    make = _sklearn("the moons data set").datasets.make_moons
    return _plane(*make(_POINTS, noise=noise, random_state=seed))


def _circles(noise: float, seed: int) -> Table:
    make = _sklearn("the circles data set").datasets.make_circles
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
    return Table(x, labels.astype(np.intp), names, ("negative", "positive"))


NOISY_LABELS_TRAIN, NOISY_LABELS_TEST = 100, 1000


def _noisy_labels(noise: float, seed: int) -> Table:
    """A hundred points, ten features; the class is the sign of their sum, with a fraction `noise` of wrong labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((NOISY_LABELS_TRAIN + NOISY_LABELS_TEST, 10))
    labels = (x.sum(axis=1) > 0) ^ (rng.random(len(x)) < min(noise, 0.5))
    names = tuple(f"x{number}" for number in range(1, 11))
    return Table(x, labels.astype(np.intp), names, ("negative", "positive"))


REVIEWS_TRAIN, REVIEWS_TEST = 800, 1000


def _reviews(noise: float, seed: int) -> Table:
    words, labels = reviews.reviews(REVIEWS_TRAIN + REVIEWS_TEST, min(noise, 0.5), seed)
    names = tuple(f"word {number}" for number in range(1, reviews.LENGTH + 1))
    return Table(words.astype(np.float64), labels, names, ("negative", "positive"))


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
    data_file: str = "",
    label: str = "",
    noise: float = 0.2,
    train_fraction: float = 0.8,
    seed: int = 0,
) -> Dataset:
    """A data set, split into training and test set with every class in both, features standardised.

    Parameters
    ----------
    name : str
        A key of `DATASETS`, or "file".
    data_file, label : str
        As in `read_table`; for "file".
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
        If the user's file cannot be used.
    BackendUnavailable
        If scikit-learn is not installed.

    Examples
    --------
    >>> from fastdrop.experiments import load_dataset
    >>> load_dataset("digits").x_train.shape
    (1437, 64)
    """
    source = DATASETS.get(name)
    table = source.load(noise, seed) if source else read_table(data_file, label)
    shown_name = data_file or name
    train, test = _split(table, source.train if source else 0, train_fraction, seed, shown_name)
    center, scale = _scaling(table, train, source, shown_name)
    with np.errstate(over="ignore"):  # a scale may be tiny
        scaled = np.clip((table.features - center) / scale, -1e6, 1e6).astype(np.float32)
    return Dataset(
        name if source else data_file,
        scaled[train],
        table.labels[train],
        scaled[test],
        table.labels[test],
        table.feature_names,
        table.class_names,
        source.image_shape if source else None,
        source.words if source else (),
        center.astype(np.float32),
        scale.astype(np.float32),
    )


def _split(
    table: Table, fixed: int, train_fraction: float, seed: int, name: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test rows; the first `fixed` rows are the training set, if that is above 0."""
    rows = np.arange(len(table.labels))
    split = _sklearn("splitting data").model_selection.train_test_split
    if fixed:
        return rows[:fixed], rows[fixed:]
    try:
        train, test = split(rows, train_size=train_fraction, random_state=seed, stratify=table.labels)
    except ValueError:
        raise DataError(
            f"{name}: {len(rows)} rows of {len(table.class_names)} classes are too few to train on "
            f"{train_fraction:.0%} of them and test on the others with every class in both"
        ) from None
    return train, test


def _scaling(
    table: Table, train: NDArray[np.intp], source: Source | None, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is subtracted from the features, and by what they are divided."""
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = table.features[train].mean(axis=0), table.features[train].std(axis=0)
        fits = np.isfinite(center.astype(np.float32)) & np.isfinite(scale.astype(np.float32))
    if not fits.all():
        column = table.feature_names[int(np.argmin(fits))]
        raise DataError(f"{name}, column {shown(column)}: the values are too large; rescale them")
    if source and source.words:  # numbers of words are not measurements
        center[:], scale[:] = 0.0, 1.0
    if source and source.image_shape:  # one scale for all pixels: border pixels that are rarely lit would blow up
        scale[:] = np.sqrt((scale**2).mean())
    scale[scale == 0] = 1.0
    return center, scale
