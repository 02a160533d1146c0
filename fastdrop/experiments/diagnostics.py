"""Diagnostics of a training run: curves, layers, sub-networks, boundaries, misclassified images. They only read it."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import to_device
from fastdrop.experiments.misclassified import SAMPLES, Misclassified, misclassified
from fastdrop.experiments.network import Block
from fastdrop.mask import Mask
from fastdrop.regions import RegionMask
from fastdrop.stream import Stream

if TYPE_CHECKING:
    from fastdrop.experiments.splitting import Dataset
    from fastdrop.experiments.trainer import Trainer

__all__ = [
    "EXAMPLES",
    "SAMPLES",
    "Boundary",
    "Distributions",
    "EpochRecord",
    "LayerView",
    "Misclassified",
    "Snapshot",
    "UnitView",
    "boundary",
    "distributions",
    "feature_labels",
    "layers",
    "misclassified",
    "unit",
]

EXAMPLES = 32
"""Examples of the newest batch in a snapshot."""
DRAWN = 16
"""Units of a layer whose weights are in every snapshot, for the drawing of the network."""
GRID = 48
"""Points along a side of the decision boundary's grid."""
_TAIL = np.array([0.0, 0.001, 0.003, 0.01])
QUANTILES = np.concatenate([_TAIL, np.linspace(0.03, 0.97, 33), 1 - _TAIL[::-1]])
"""Probabilities of the quantiles; denser at the ends, where few values span a wide range."""
_TESTED = 128
"""Test examples for the distributions of activations."""
_SUBSAMPLE = 8192
"""The most values for quantiles; more would only take longer."""


@dataclass(frozen=True)
class EpochRecord:
    """Cross-entropy losses and accuracies, in evaluation mode, after `epoch` epochs."""

    epoch: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float

    @property
    def gap(self) -> float:
        """Training accuracy minus test accuracy."""
        return self.train_accuracy - self.test_accuracy


@dataclass(frozen=True)
class LayerView:
    """One layer for the first examples of the newest batch, with the masks of the training.

    Attributes
    ----------
    name : str
    values : numpy.ndarray of float32, shape (units, samples)
        Activations after dropout; for "weights", (units, inputs) of the first example, the first inputs only.
    kept : numpy.ndarray of bool or None
        The same shape: False where dropped. None where nothing is dropped here.
    columns : str
        The meaning of the second axis: samples, or inputs and their number.
    shape : tuple of int
        The shape of one sample's activations: (units,), or (channels, height, width).
    unseen : bool
        Whether dropout here is not in `kept`: noise, or dropout inside a layer.
    weights : numpy.ndarray of float32 or None, shape (units, inputs)
        Between the first units of the previous layer and of this one, where each pair has one weight.
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
        Mean training loss of the batches since the last epoch ended, with dropout; NaN before the first batch.
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
    """Quantiles, at `QUANTILES`, of the weights and activations of each layer by name; means of every unit.

    Activations are those of test examples, in evaluation mode.
    """

    epoch: float
    weights: dict[str, NDArray[np.float32]]
    activations: dict[str, NDArray[np.float32]]
    means: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Boundary:
    """The decision boundary in the plane of a two-dimensional data set, in the units of the data.

    Attributes
    ----------
    extent : (float, float, float, float)
        x and y of the lower left corner, width and height.
    probabilities : numpy.ndarray, shape (GRID, GRID, classes)
        In evaluation mode; the first axis is y.
    uncertainty : numpy.ndarray, shape (GRID, GRID)
        Mutual information over `SAMPLES` sub-networks, in nats.
    points, labels, tested : numpy.ndarray
        The examples, their classes, and whether they are test examples.
    feature_names : tuple of str
        Of x and y, with their units.
    class_names : tuple of str
        Empty where classes are numbers from 0 on.
    """

    extent: tuple[float, float, float, float]
    probabilities: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    points: NDArray[np.float32]
    labels: NDArray[np.intp]
    tested: NDArray[np.bool_]
    feature_names: tuple[str, ...] = ("x", "y")
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitView:
    """The weights of one unit, as an image where its inputs are one."""

    block: int
    unit: int
    weights: NDArray[np.float32]


def layers(trainer: "Trainer") -> Iterator[LayerView]:
    """The first examples of the newest batch with the masks of the training, in evaluation mode otherwise.

    The masks are drawn again from the call numbers before that batch: a mask is a function of these, so none was
    stored. Where a rate has changed since, the same draws meet another threshold: a higher rate only drops more.
    """
    trainer.network.eval()
    x = trainer.data.x_train[trainer.newest_rows[:EXAMPLES]]
    before = None
    with np.errstate(over="ignore", invalid="ignore"), _masks_of_newest_batch(trainer):
        for block in trainer.network.blocks:
            x = yield from _block(block, x, before)
            before = block
        probabilities = to_device(nn.softmax(trainer.network.head(x)), "cpu").T
        yield LayerView(
            "output probabilities",
            probabilities,
            None,
            shape=(len(probabilities),),
            weights=_first(trainer.network.head.weight.value),
        )


@contextmanager
def _masks_of_newest_batch(trainer: "Trainer") -> Iterator[None]:
    """Give the layers streams that repeat the draws of the newest batch; the trainer's streams do not advance."""
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
        to_device(x, "cpu").reshape(len(x), -1).T.copy(),
        kept,
        shape=x.shape[1:],
        weights=None if dense is None else _first(dense.weight.value),
        unseen=kept is None and any(dropper.drops for dropper in block.droppers),
    )
    return x


def weighted_layer(block: Block) -> nn.Linear | nn.Conv2d | None:
    """The layer that holds the weights of a block's units; None where there are several."""
    found = [layer for layer in block.layers if isinstance(layer, (nn.Linear, nn.Conv2d))]
    return found[0] if len(found) == 1 else None


def _first(weight: NDArray[Any]) -> NDArray[np.float32]:
    return to_device(weight[:DRAWN, :DRAWN], "cpu").copy()


def _first_weights(name: str, layer: nn.DropConnectLinear) -> LayerView:
    """The first example's weights and mask, drawn without those of the others; few columns, to send and to show."""
    assert isinstance(layer.mask, Mask)
    inputs = layer.weight.value.shape[1]
    kept = layer.mask[0].booleans()
    shown = min(inputs, EXAMPLES)
    columns = "input" if shown == inputs else f"input (first {shown} of {inputs})"
    weight = to_device(layer.weight.value[:, :shown], "cpu")
    return LayerView(name, weight.copy(), kept[:, :shown].copy(), columns, weight.shape[:1])


def distributions(trainer: "Trainer") -> Distributions:
    """The distributions of all blocks and the last layer."""
    weights = {}
    named = [(block.name, weighted_layer(block)) for block in trainer.network.blocks]
    for name, layer in [*named, ("output", trainer.network.head)]:
        if layer is not None:
            weights[name] = _quantiles(to_device(layer.weight.value, "cpu"))
    trainer.network.eval()
    x = trainer.data.x_test[:_TESTED]
    activations, means = {}, {}
    with np.errstate(over="ignore", invalid="ignore"):
        for block in trainer.network.blocks:
            for module in block.layers:
                x = module(x)
            seen = to_device(x, "cpu").reshape(len(x), -1)
            activations[block.name], means[block.name] = _quantiles(seen), seen.mean(axis=0)
        probabilities = to_device(nn.softmax(trainer.network.head(x)), "cpu")
    name = "output probabilities"
    activations[name], means[name] = _quantiles(probabilities), probabilities.mean(axis=0)
    return Distributions(trainer.step_count / trainer.steps_per_epoch, weights, activations, means)


def _quantiles(values: NDArray[Any]) -> NDArray[np.float32]:
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // _SUBSAMPLE)]
    return np.quantile(np.nan_to_num(flat), QUANTILES).astype(np.float32)


def unit(trainer: "Trainer", views: tuple[LayerView, ...], block: int, number: int) -> UnitView | None:
    """The weights of one unit, or of the channel that it belongs to; None where it has none."""
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
    row = to_device(weight[channel], "cpu").copy()
    images = trainer.dataset.image_shape
    if row.ndim == 3:  # a convolution: its kernels side by side
        row = np.concatenate(list(row), axis=1)
    elif block == 0 and images is not None and row.size == images[0] * images[1]:
        row = row.reshape(images)
    else:
        row = row.reshape(1, -1)
    return UnitView(block, number, row)


def boundary(trainer: "Trainer") -> Boundary | None:
    """Probabilities and mutual information over the plane; None where the data do not have two features."""
    data = trainer.dataset
    if data.features != 2 or data.words:
        return None
    points = np.concatenate([data.x_train, data.x_test])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.25 * (high - low) + 1e-6
    low, high = low - margin, high + margin
    sides = [np.linspace(a, b, GRID, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    x, y = np.meshgrid(*sides)
    grid = to_device(np.stack([x.ravel(), y.ravel()], axis=1), trainer.config.backend)
    trainer.network.eval()
    with np.errstate(over="ignore", invalid="ignore"):
        probabilities = to_device(nn.softmax(trainer.network(grid)), "cpu").reshape(GRID, GRID, -1)
        sampled = nn.mc_dropout(trainer.network, grid, SAMPLES, rng=0)
    assert sampled.mutual_information is not None
    points = data.unscaled(points)
    low, high = data.unscaled(low), data.unscaled(high)
    return Boundary(
        (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
        probabilities.astype(np.float32),
        to_device(sampled.mutual_information, "cpu").reshape(GRID, GRID).astype(np.float32),
        points,
        np.concatenate([data.y_train, data.y_test]),
        np.arange(len(points)) >= len(data.x_train),
        feature_labels(data),
        data.class_names,
    )


def feature_labels(data: "Dataset") -> tuple[str, ...]:
    """The features' names for axes: with the unit that the file gives, and what the numbers of dates count."""
    if data.table is None:
        return data.feature_names
    units = {column.name: column.unit for column in data.table.used if column.unit}
    units |= {column.name: "days since 1970" for column in data.table.used if column.role == "date"}
    return tuple(f"{name} ({units[name]})" if name in units else name for name in data.feature_names)
