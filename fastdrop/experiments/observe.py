"""What one sees of a training run: curves, layers, sub-networks, boundaries, mistakes. Looking changes nothing."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import moved
from fastdrop.blocks import RegionMask
from fastdrop.experiments.model import Block
from fastdrop.mask import Mask
from fastdrop.stream import Stream

if TYPE_CHECKING:
    from fastdrop.experiments.trainer import Trainer

EXAMPLES = 32
"""Of the newest batch, that are looked at."""
DRAWN = 16
"""Units of a layer whose weights come with every snapshot: as many as a drawing of the network shows."""
GRID = 48
"""Points of a decision boundary's side."""
SAMPLES = 30
"""Of Monte Carlo dropout."""
MISTAKES = 20
_TAIL = np.array([0.0, 0.001, 0.003, 0.01])
QUANTILES = np.concatenate([_TAIL, np.linspace(0.03, 0.97, 33), 1 - _TAIL[::-1]])
"""Shares of the values; closer at the ends, where few values span much."""
_TESTED = 128
"""Test examples whose activations are distributed."""
_SUBSAMPLE = 8192
"""Values that quantiles are taken of; more would only take longer."""


@dataclass(frozen=True)
class EpochRecord:
    """Losses in nats and accuracies, in evaluation mode, after `epoch` epochs."""

    epoch: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float

    @property
    def gap(self) -> float:
        """Train less test accuracy."""
        return self.train_accuracy - self.test_accuracy


@dataclass(frozen=True)
class LayerView:
    """What the newest batch's first examples do in one layer, dropped as they were in training.

    Attributes
    ----------
    name : str
    values : numpy.ndarray of float32, shape (units, samples)
        Activations behind dropout; for "weights", (units, inputs) of the first example, the first inputs only.
    kept : numpy.ndarray of bool or None
        Of the same shape: False where dropped. None where nothing is dropped here.
    columns : str
        What the second axis is: samples, or inputs and how many of them.
    shape : tuple of int
        Of one sample's activations: (units,), or (channels, height, width).
    unseen : bool
        Whether something is dropped here that `kept` does not show, such as noise, or what is dropped inside a layer.
    weights : numpy.ndarray of float32 or None, shape (units, inputs)
        Between the first units of the layer before and this one's first, where there is one number for each pair.
    """

    name: str
    values: NDArray[np.float32]
    kept: NDArray[np.bool_] | None
    columns: str = "sample"
    shape: tuple[int, ...] = ()
    weights: NDArray[np.float32] | None = None
    unseen: bool = False

    @property
    def is_weights(self) -> bool:
        """Whether this shows connections, not activations."""
        return self.columns.startswith("input")


@dataclass(frozen=True)
class Snapshot:
    """The state of a training run at one step.

    Attributes
    ----------
    step : int
        Batches so far.
    epoch : float
        Epochs so far, with the fraction.
    batch_loss : float
        Mean training loss of the batches since the last epoch ended, dropout on; NaN before the first.
    history : tuple of EpochRecord
    layers : tuple of LayerView
    weights : dict
        Arrays by name; empty if not asked for.
    """

    step: int
    epoch: float
    batch_loss: float
    history: tuple[EpochRecord, ...]
    layers: tuple[LayerView, ...]
    weights: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def latest(self) -> EpochRecord:
        return self.history[-1]


@dataclass(frozen=True)
class Distributions:
    """Quantiles, at `QUANTILES`, of the weights and activations of each layer, by its name; means of every unit.

    Activations are those of test examples, in evaluation mode.
    """

    epoch: float
    weights: dict[str, NDArray[np.float32]]
    activations: dict[str, NDArray[np.float32]]
    means: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Boundary:
    """The plane of a two-dimensional data set, as the network sees it.

    Attributes
    ----------
    extent : (float, float, float, float)
        x and y of the lower corner, width and height.
    probabilities : numpy.ndarray, shape (GRID, GRID, classes)
        In evaluation mode; the first axis is y.
    uncertainty : numpy.ndarray, shape (GRID, GRID)
        Mutual information over `SAMPLES` sub-networks in nats.
    points, labels, tested : numpy.ndarray
        The examples, their classes, and which of them test.
    """

    extent: tuple[float, float, float, float]
    probabilities: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    points: NDArray[np.float32]
    labels: NDArray[np.intp]
    tested: NDArray[np.bool_]


@dataclass(frozen=True)
class Mistakes:
    """Test images that the network gets wrong.

    Attributes
    ----------
    count, tested : int
        How many there are, of how many.
    images : numpy.ndarray, shape (shown, height, width)
    labels, guesses : numpy.ndarray of int, shape (shown,)
    mean, std : numpy.ndarray, shape (shown, classes)
        Of the probabilities over `SAMPLES` sub-networks.
    class_names : tuple of str
    """

    count: int
    tested: int
    images: NDArray[np.float32]
    labels: NDArray[np.intp]
    guesses: NDArray[np.intp]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class UnitView:
    """What one unit sees: its weights, as an image where its inputs are one."""

    block: int
    unit: int
    weights: NDArray[np.float32]


def layers(trainer: "Trainer") -> Iterator[LayerView]:
    """The newest batch's first examples, with the masks that they had in training, in evaluation mode otherwise.

    The masks are drawn again from the call numbers before that batch: a mask is a function of these, so nothing was
    kept. Where a rate has changed since, the same numbers meet another threshold, and what it kept before stays, as
    far as it can.
    """
    trainer.network.eval()
    x = trainer.data.x_train[trainer.newest_rows[:EXAMPLES]]
    before = None
    with np.errstate(over="ignore", invalid="ignore"), _masks_of_newest_batch(trainer):
        for block in trainer.network.blocks:
            x = yield from _block(block, x, before)
            before = block
        probabilities = moved(nn.softmax(trainer.network.head(x)), "cpu").T
        yield LayerView(
            "output probabilities",
            probabilities,
            None,
            shape=(len(probabilities),),
            weights=_first(trainer.network.head.weight.value),
        )


@contextmanager
def _masks_of_newest_batch(trainer: "Trainer") -> Iterator[None]:
    """Streams that draw again what they drew for the newest batch; the trainer's own do not move."""
    again = {}
    for stream, calls in zip(trainer.streams, trainer.newest_calls, strict=True):
        again[id(stream)] = copy = Stream(0)
        copy.state = {**stream.state, "calls": calls}
    droppers = [dropper for block in trainer.network.blocks for dropper in block.droppers]
    own = [dropper.stream for dropper in droppers]
    for dropper in droppers:
        dropper.stream, dropper.training = again[id(dropper.stream)], True
    try:
        yield
    finally:
        for dropper, stream in zip(droppers, own, strict=True):
            dropper.stream, dropper.training = stream, False


def _block(block: Block, x: NDArray[Any], before: Block | None) -> Generator[LayerView, None, NDArray[Any]]:
    for layer in block.layers:
        x = layer(x)
    kept = None
    weighted = weighted_layer(block)
    if isinstance(block.dropper, nn.DropConnectLinear):
        if block.dropper.mask is not None:
            yield _first_weights(f"{block.name} weights", block.dropper)
    elif block.dropper is not None and isinstance(block.dropper.mask, (Mask, RegionMask)):
        kept = np.asarray(block.dropper.mask).reshape(len(x), -1)
        kept = kept.T if kept.size == x.size else None
    dense = weighted if isinstance(weighted, nn.Linear) and weighted.weight.value.shape[0] == x[0].size else None
    yield LayerView(
        block.name,
        moved(x, "cpu").reshape(len(x), -1).T.copy(),
        kept,
        shape=x.shape[1:],
        weights=None if dense is None else _first(dense.weight.value),
        unseen=kept is None and any(dropper.drops for dropper in block.droppers),
    )
    return x


def weighted_layer(block: Block) -> nn.Linear | nn.Conv2d | None:
    """The layer of a block whose weights are its units'; None where units have several."""
    found = [layer for layer in block.layers if isinstance(layer, (nn.Linear, nn.Conv2d))]
    return found[0] if len(found) == 1 else None


def _first(weight: NDArray[Any]) -> NDArray[np.float32]:
    return moved(weight[:DRAWN, :DRAWN], "cpu").copy()


def _first_weights(name: str, layer: nn.DropConnectLinear) -> LayerView:
    """The first example's weights and their mask: few enough columns to send and to see, drawn without the others'."""
    assert isinstance(layer.mask, Mask)
    inputs = layer.weight.value.shape[1]
    kept = layer.mask.first()
    shown = min(inputs, EXAMPLES)
    columns = "input" if shown == inputs else f"input (first {shown} of {inputs})"
    weight = moved(layer.weight.value[:, :shown], "cpu")
    return LayerView(name, weight.copy(), kept[:, :shown].copy(), columns, weight.shape[:1])


def distributions(trainer: "Trainer") -> Distributions:
    """Of all blocks, and the last layer."""
    weights = {}
    named = [(block.name, weighted_layer(block)) for block in trainer.network.blocks]
    for name, layer in [*named, ("output", trainer.network.head)]:
        if layer is not None:
            weights[name] = _quantiles(moved(layer.weight.value, "cpu"))
    trainer.network.eval()
    x = trainer.data.x_test[:_TESTED]
    activations, means = {}, {}
    with np.errstate(over="ignore", invalid="ignore"):
        for block in trainer.network.blocks:
            for module in block.layers:
                x = module(x)
            seen = moved(x, "cpu").reshape(len(x), -1)
            activations[block.name], means[block.name] = _quantiles(seen), seen.mean(axis=0)
        probabilities = moved(nn.softmax(trainer.network.head(x)), "cpu")
    name = "output probabilities"
    activations[name], means[name] = _quantiles(probabilities), probabilities.mean(axis=0)
    return Distributions(trainer.step_count / trainer.steps_per_epoch, weights, activations, means)


def _quantiles(values: NDArray[Any]) -> NDArray[np.float32]:
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // _SUBSAMPLE)]
    return np.quantile(np.nan_to_num(flat), QUANTILES).astype(np.float32)


def unit(trainer: "Trainer", views: tuple[LayerView, ...], block: int, number: int) -> UnitView | None:
    """The weights of one unit, or of the channel that it belongs to; None where it has no weights of its own."""
    if not 0 <= block < len(trainer.network.blocks):
        return None
    layer = weighted_layer(trainer.network.blocks[block])
    if layer is None:
        return None
    weight, channel = layer.weight.value, number
    if isinstance(layer, nn.Conv2d):
        shape = [view.shape for view in views if not view.is_weights][block]
        channel = number // max(1, math.prod(shape[1:]))
    if not 0 <= channel < len(weight):
        return None
    row = moved(weight[channel], "cpu").copy()
    images = trainer.dataset.image_shape
    if row.ndim == 3:  # a convolution: its kernels side by side
        row = np.concatenate(list(row), axis=1)
    elif block == 0 and images is not None and row.size == images[0] * images[1]:
        row = row.reshape(images)
    else:
        row = row.reshape(1, -1)
    return UnitView(block, number, row)


def boundary(trainer: "Trainer") -> Boundary | None:
    """The decisions over the plane, and what sub-networks disagree about; None where data have not two features."""
    data = trainer.dataset
    if data.features != 2 or data.words:
        return None
    points = np.concatenate([data.x_train, data.x_test])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.25 * (high - low) + 1e-6
    low, high = low - margin, high + margin
    sides = [np.linspace(a, b, GRID, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    x, y = np.meshgrid(*sides)
    grid = moved(np.stack([x.ravel(), y.ravel()], axis=1), trainer.config.backend)
    trainer.network.eval()
    with np.errstate(over="ignore", invalid="ignore"):
        probabilities = moved(nn.softmax(trainer.network(grid)), "cpu").reshape(GRID, GRID, -1)
        sampled = nn.mc_dropout(trainer.network, grid, SAMPLES, rng=0)
    assert sampled.mutual_information is not None
    return Boundary(
        (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
        probabilities.astype(np.float32),
        moved(sampled.mutual_information, "cpu").reshape(GRID, GRID).astype(np.float32),
        points,
        np.concatenate([data.y_train, data.y_test]),
        np.arange(len(points)) >= len(data.x_train),
    )


def mistakes(trainer: "Trainer") -> Mistakes | None:
    """The first test images that are taken for something else, with the spread of sub-networks; None without images."""
    data = trainer.dataset
    if data.image_shape is None:
        return None
    trainer.network.eval()
    with np.errstate(over="ignore", invalid="ignore"):
        guesses = moved(trainer.network(trainer.data.x_test), "cpu").argmax(axis=1)
    wrong = np.flatnonzero(guesses != data.y_test)
    shown = wrong[:MISTAKES]
    mean = std = np.zeros((0, data.classes), np.float32)
    if len(shown):
        with np.errstate(over="ignore", invalid="ignore"):
            sampled = nn.mc_dropout(trainer.network, trainer.data.x_test[shown], SAMPLES, rng=0)
        mean, std = (moved(array, "cpu").astype(np.float32) for array in (sampled.mean, sampled.std))
    images = data.unscaled(data.x_test[shown]).reshape(len(shown), *data.image_shape)
    return Mistakes(
        len(wrong), len(data.y_test), images, data.y_test[shown], guesses[shown], mean, std, data.class_names
    )
