"""The one trainer: a step is a batch, snapshots show what the network does."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import moved
from fastdrop.blocks import RegionMask
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.model import Block, build_network
from fastdrop.mask import Mask
from fastdrop.rule import check_probability
from fastdrop.stream import Stream

PROBE_EXAMPLES = 32

RATES: dict[str, Callable[[float], float]] = {
    "constant": nn.schedules.Constant(1.0),
    "linear": nn.schedules.Linear(0.0, 1.0),
    "cosine": nn.schedules.Cosine(0.0, 1.0),
    "curriculum": nn.schedules.Curriculum(1.0),
}
"""By the names of `ExperimentConfig.rate_schedule`: the share of the rate, as the training goes on from 0 to 1."""
LEARNING_RATES: dict[str, Callable[[float], float]] = {
    "constant": nn.schedules.Constant(1.0),
    "linear": nn.schedules.Linear(1.0, 0.0),
    "cosine": nn.schedules.Cosine(1.0, 0.0),
}


class TrainingDiverged(RuntimeError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class EpochRecord:
    """Losses in nats and accuracies, in evaluation mode, after `epoch` epochs."""

    epoch: int
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float


@dataclass(frozen=True)
class LayerView:
    """What the probe batch does in one layer, dropout on.

    Attributes
    ----------
    name : str
    values : numpy.ndarray of float32, shape (units, samples)
        Activations behind dropout; for "weights", (units, inputs) of the first example, the first inputs only.
    kept : numpy.ndarray of bool or None
        Of the same shape: False where dropped. None where nothing is dropped here.
    columns : str
        What the second axis is: samples, or inputs and how many of them.
    """

    name: str
    values: NDArray[np.float32]
    kept: NDArray[np.bool_] | None
    columns: str = "sample"


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


class Trainer:
    """Trains the network of a configuration; the same configuration gives the same numbers.

    Parameters
    ----------
    config : ExperimentConfig
    dataset : Dataset, optional
        Loaded already; else `config` says which.

    Raises
    ------
    DataError, BackendUnavailable
        As `fastdrop.experiments.load_dataset`; and where `config.backend` is "cuda" and there is no GPU.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig, Trainer
    >>> trainer = Trainer(ExperimentConfig(dataset="xor", hidden=(16,), epochs=3))
    >>> [snapshot.latest.epoch for snapshot in trainer.run()]
    [1, 2, 3]
    """

    def __init__(self, config: ExperimentConfig, dataset: Dataset | None = None) -> None:
        self.config = config
        self.dataset = config.load_dataset() if dataset is None else dataset
        masks, self._probe_stream = Stream(config.seed).spawn(2)
        self._data = _moved(self.dataset, config.backend)
        self.network = build_network(config, self.dataset, masks).to(config.backend)
        parameters, decay = self.network.parameters(), config.weight_decay
        self.optimizer: nn.Optimizer = (
            nn.Adam(parameters, config.learning_rate, weight_decay=decay)
            if config.optimizer == "adam"
            else nn.SGD(parameters, config.learning_rate, config.momentum, weight_decay=decay)
        )
        self._rate_share = RATES[config.rate_schedule]
        self._learning_rate_share = LEARNING_RATES[config.learning_rate_schedule]
        self.steps_per_epoch = math.ceil(len(self.dataset.x_train) / config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.step_count = 0
        self._order_rng = np.random.default_rng([config.seed, 1])
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        self._epoch_losses: list[float] = []
        self._rate = config.rate
        self.history = [self._evaluate(0)]

    @property
    def finished(self) -> bool:
        return self.step_count >= self.total_steps

    @property
    def rate(self) -> float:
        """Probability of dropping, which a schedule grows to; may be changed while training runs."""
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate = check_probability(value, "rate")
        self._follow_schedules()

    def _follow_schedules(self) -> None:
        """Set the rates for the next step."""
        progress = min(1.0, self.step_count / max(1, self.total_steps - 1))
        self.network.set_rate(self._rate * self._rate_share(progress))
        self.optimizer.learning_rate = self.config.learning_rate * self._learning_rate_share(progress)

    def step(self) -> None:
        """Train on one batch; at an epoch's end, evaluate.

        Raises
        ------
        TrainingDiverged
            If the loss is no longer finite.
        """
        place = self.step_count % self.steps_per_epoch
        if place == 0:
            self._order = moved(self._order_rng.permutation(len(self.dataset.x_train)), self.config.backend)
            self._epoch_losses = []
        self._follow_schedules()
        rows = self._order[place * self.config.batch_size : (place + 1) * self.config.batch_size]
        self.network.train()
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self.network(self._data.x_train[rows])
            loss, dlogits = nn.softmax_cross_entropy(logits, self._data.y_train[rows])
            if not math.isfinite(loss):
                raise TrainingDiverged(
                    f"the loss is {loss} at step {self.step_count + 1}: training diverged; lower the learning rate"
                )
            self.network.backward(dlogits)
            self.optimizer.step()
        self._epoch_losses.append(loss)
        self.step_count += 1
        if self.step_count % self.steps_per_epoch == 0:
            self.history.append(self._evaluate(self.step_count // self.steps_per_epoch))

    def run(self) -> Iterator[Snapshot]:
        """Train to the last epoch; a snapshot after each."""
        while not self.finished:
            self.step()
            if self.step_count % self.steps_per_epoch == 0:
                yield self.snapshot()

    def snapshot(self, weights: bool = False) -> Snapshot:
        """What the network does now; looking does not change the training."""
        return Snapshot(
            self.step_count,
            self.step_count / self.steps_per_epoch,
            float(np.mean(self._epoch_losses)) if self._epoch_losses else math.nan,
            tuple(self.history),
            tuple(self._probe()),
            self.weights() if weights else {},
        )

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters by name."""
        return {name: moved(parameter.value, "cpu").copy() for name, parameter in self.network.parameters()}

    def _evaluate(self, epoch: int) -> EpochRecord:
        data = self._data
        self.network.eval()
        with np.errstate(over="ignore", invalid="ignore"):
            train, test = self.network(data.x_train), self.network(data.x_test)
            return EpochRecord(
                epoch,
                nn.softmax_cross_entropy(train, data.y_train)[0],
                nn.softmax_cross_entropy(test, data.y_test)[0],
                nn.accuracy(train, data.y_train),
                nn.accuracy(test, data.y_test),
            )

    def _probe(self) -> Iterator[LayerView]:
        """The first test examples, in evaluation mode but with dropout on, by masks of the probe's own stream."""
        self.network.eval()
        x = self._data.x_test[:PROBE_EXAMPLES]
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self.network.blocks:
                x = yield from self._probe_block(block, x)
            yield LayerView("output probabilities", moved(nn.softmax(self.network.head(x)), "cpu").T, None)

    def _probe_block(self, block: Block, x: NDArray[Any]) -> Generator[LayerView, None, NDArray[Any]]:
        droppers, streams = block.droppers, [dropper.stream for dropper in block.droppers]
        for dropper in droppers:
            dropper.stream, dropper.training = self._probe_stream, True
        try:
            for layer in block.layers:
                x = layer(x)
        finally:
            for dropper, stream in zip(droppers, streams, strict=True):
                dropper.stream, dropper.training = stream, False
        kept = None
        if isinstance(block.dropper, nn.DropConnectLinear):
            if block.dropper.mask is not None:
                yield _first_weights(f"{block.name} weights", block.dropper)
        elif block.dropper is not None and isinstance(block.dropper.mask, (Mask, RegionMask)):
            kept = np.asarray(block.dropper.mask).reshape(len(x), -1)
            kept = kept.T if kept.size == x.size else None
        yield LayerView(block.name, moved(x, "cpu").reshape(len(x), -1).T.copy(), kept)
        return x


def _first_weights(name: str, layer: nn.DropConnectLinear) -> LayerView:
    """The first example's weights and their mask: few enough columns to send and to see, drawn without the others'."""
    assert isinstance(layer.mask, Mask)
    inputs = layer.weight.value.shape[1]
    kept = layer.mask.first()
    shown = min(inputs, PROBE_EXAMPLES)
    columns = "input" if shown == inputs else f"input (first {shown} of {inputs})"
    weight = moved(layer.weight.value[:, :shown], "cpu")
    return LayerView(name, weight.copy(), kept[:, :shown].copy(), columns)


def _moved(dataset: Dataset, backend: str) -> Dataset:
    """The same examples on a backend."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return replace(dataset, **{name: moved(getattr(dataset, name), backend) for name in names})
