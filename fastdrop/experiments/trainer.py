"""The one trainer: a step is a batch, snapshots show what the network does."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import moved
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.model import Block, build_network
from fastdrop.rule import check_probability
from fastdrop.stream import Stream

PROBE_EXAMPLES = 32


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
        self.network = build_network(config, self.dataset.features, self.dataset.classes, masks).to(config.backend)
        parameters = self.network.parameters()
        self.optimizer: nn.Optimizer = (
            nn.Adam(parameters, config.learning_rate)
            if config.optimizer == "adam"
            else nn.SGD(parameters, config.learning_rate, config.momentum)
        )
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
        """Probability of dropping; may be changed while training runs."""
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._rate = check_probability(value, "rate")
        for block in self.network.blocks:
            if block.dropper is not None:
                block.dropper.p = self._rate

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
        dropper = block.dropper
        if dropper is not None:
            training_stream, dropper.stream = dropper.stream, self._probe_stream
            dropper.training = True
        try:
            for layer in block.layers:
                x = layer(x)
        finally:
            if dropper is not None:
                dropper.stream, dropper.training = training_stream, False
        kept = None
        if dropper is not None and dropper.mask is not None:
            if isinstance(dropper, nn.DropConnectLinear):
                yield _first_weights(f"{block.name} weights", dropper)
            else:
                kept = np.asarray(dropper.mask).reshape(x.shape).T
        yield LayerView(block.name, moved(x, "cpu").T.copy(), kept)
        return x


def _first_weights(name: str, layer: nn.DropConnectLinear) -> LayerView:
    """The first example's weights and their mask: few enough columns to send and to see, drawn without the others'."""
    assert layer.mask is not None
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
