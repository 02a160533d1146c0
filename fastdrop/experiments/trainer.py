"""The trainer: one step is one batch; its whole state can be saved and restored."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import to_device
from fastdrop.experiments import checkpoint, diagnostics
from fastdrop.experiments.checkpoint import State
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.diagnostics import EpochRecord, LayerView, Snapshot
from fastdrop.experiments.errors import CheckpointError
from fastdrop.experiments.network import build_network
from fastdrop.rule import check_probability
from fastdrop.stream import Stream

__all__ = ["CheckpointError", "EpochRecord", "LayerView", "Snapshot", "Trainer", "TrainingDiverged"]

DROPOUT_FACTORS: dict[str, Callable[[float], float]] = {
    "constant": nn.schedules.Constant(1.0),
    "linear": nn.schedules.Linear(0.0, 1.0),
    "cosine": nn.schedules.Cosine(0.0, 1.0),
    "curriculum": nn.schedules.Curriculum(1.0),
}
"""Dropout schedules by name: the factor of the rate at a progress of the training from 0 to 1."""
LEARNING_RATE_FACTORS: dict[str, Callable[[float], float]] = {
    "constant": nn.schedules.Constant(1.0),
    "linear": nn.schedules.Linear(1.0, 0.0),
    "cosine": nn.schedules.Cosine(1.0, 0.0),
}
"""Learning-rate schedules by name: the factor of the learning rate at a progress of the training from 0 to 1."""


class TrainingDiverged(RuntimeError):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains the network of a configuration; the same configuration gives the same numbers.

    Parameters
    ----------
    config : ExperimentConfig
    dataset : Dataset, optional
        Loaded before; by default that of `config`.

    Raises
    ------
    DataError, BackendUnavailable
        As `fastdrop.experiments.load_dataset`; also where `config.backend` is "cuda" and there is no GPU.

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
        masks, _ = Stream(config.seed).spawn(2)
        self.data = _moved(self.dataset, config.backend)
        self.network = build_network(config, self.dataset, masks).to(config.backend)
        parameters, decay = self.network.parameters(), config.weight_decay
        self.optimizer: nn.Optimizer = (
            nn.Adam(parameters, config.learning_rate, weight_decay=decay)
            if config.optimizer == "adam"
            else nn.SGD(parameters, config.learning_rate, config.momentum, weight_decay=decay)
        )
        self._dropout_factor = DROPOUT_FACTORS[config.dropout_schedule]
        self._learning_rate_factor = LEARNING_RATE_FACTORS[config.learning_rate_schedule]
        self.steps_per_epoch = math.ceil(len(self.dataset.x_train) / config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.step_count = 0
        self._order_rng = np.random.default_rng([config.seed, 1])
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        self._epoch_losses: list[float] = []
        self._rates = config.rates
        self._learning_rate = config.learning_rate
        droppers = [dropper for block in self.network.blocks for dropper in block.droppers]
        self.streams = list({id(dropper.stream): dropper.stream for dropper in droppers}.values())
        """The streams of the masks; layers may share one."""
        self.newest_rows: Any = np.arange(min(config.batch_size, len(self.dataset.x_train)))
        """Indices of the newest batch in the training set; before the first batch, the first indices."""
        self.newest_calls = [stream.calls for stream in self.streams]
        """The streams' call numbers before the newest batch, from which its masks can be drawn again."""
        self.history = [self._evaluate(0)]

    @property
    def finished(self) -> bool:
        return self.step_count >= self.total_steps

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate of each hidden layer, where its schedule ends; may be changed while training runs."""
        return self._rates

    @rates.setter
    def rates(self, values: Iterable[float]) -> None:
        checked = tuple(check_probability(value, "rate") for value in values)
        if len(checked) != len(self.config.hidden):
            raise ValueError(
                f"rates must have an entry for each of {len(self.config.hidden)} layers; got {len(checked)}"
            )
        self._rates = checked
        self._follow_schedules()

    @property
    def learning_rate(self) -> float:
        """The learning rate at the start of its schedule; may be changed while training runs."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if not 0.0 <= value < math.inf:
            raise ValueError(f"learning_rate must be a finite number from 0 on; got {value!r}")
        self._learning_rate = value
        self._follow_schedules()

    def extend(self, epochs: int) -> None:
        """Set the number of epochs, no less than were trained; schedules follow it from now on."""
        config = self.config.replace(epochs=epochs)
        if epochs * self.steps_per_epoch < self.step_count:
            trained = f"{self.step_count / self.steps_per_epoch:g}"
            raise ValueError(f"epochs must be at least {trained}, which are trained already; got {epochs}")
        self.config, self.total_steps = config, epochs * self.steps_per_epoch
        self._follow_schedules()

    def _follow_schedules(self) -> None:
        """Set the rates for the next step."""
        progress = min(1.0, self.step_count / max(1, self.total_steps - 1))
        factor = self._dropout_factor(progress)
        self.network.set_rates(rate * factor for rate in self._rates)
        self.optimizer.learning_rate = self._learning_rate * self._learning_rate_factor(progress)

    def step(self) -> None:
        """Train on one batch; evaluate at the end of an epoch.

        Raises
        ------
        TrainingDiverged
            If the loss is no longer finite.
        """
        place = self.step_count % self.steps_per_epoch
        if place == 0:
            self._order = to_device(self._order_rng.permutation(len(self.dataset.x_train)), self.config.backend)
            self._epoch_losses = []
        self._follow_schedules()
        rows = self._order[place * self.config.batch_size : (place + 1) * self.config.batch_size]
        self.newest_rows, self.newest_calls = rows, [stream.calls for stream in self.streams]
        self.network.train()
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self.network(self.data.x_train[rows])
            loss, dlogits = nn.softmax_cross_entropy(logits, self.data.y_train[rows])
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

    def snapshot(self, *, layers: bool = True, weights: bool = False) -> Snapshot:
        """The present state for views; it does not change the training."""
        return Snapshot(
            self.step_count,
            self.step_count / self.steps_per_epoch,
            float(np.mean(self._epoch_losses)) if self._epoch_losses else math.nan,
            tuple(self.history),
            tuple(diagnostics.layers(self)) if layers else (),
            self.weights() if weights else {},
        )

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters by name."""
        return {name: to_device(parameter.value, "cpu").copy() for name, parameter in self.network.parameters()}

    def state(self) -> State:
        """Everything that is needed to continue to the same bits, as plain arrays."""
        numbers = {
            "step_count": self.step_count,
            "rates": list(self._rates),
            "learning_rate": self._learning_rate,
            "streams": [stream.state for stream in self.streams],
            "newest_calls": self.newest_calls,
            "order_rng": self._order_rng.bit_generator.state,
            "epoch_losses": self._epoch_losses,
        }
        arrays = {name: to_device(_get(owner, key), "cpu").copy() for name, owner, key in self._arrays()}
        return {
            "numbers": np.array(json.dumps(numbers)),
            "history": np.array([list(asdict(record).values()) for record in self.history], float),
            "order": to_device(self._order, "cpu").copy(),
            "newest_rows": to_device(self.newest_rows, "cpu").copy(),
            **arrays,
        }

    def restore(self, state: State) -> None:
        """Continue from what `state` returned, for the same configuration.

        Raises
        ------
        CheckpointError
            If the state does not belong to this configuration. The trainer is unchanged then.
        """
        places, backend = list(self._arrays()), self.config.backend
        try:
            numbers = checkpoint.check(state, self, {name: _get(owner, key) for name, owner, key in places})
        except CheckpointError as error:
            raise CheckpointError(f"this state does not belong to this configuration: {error}") from None
        history = list(checkpoint.history_of(state))
        order, newest, *values = (
            *(to_device(state[name].astype(np.intp), backend) for name in ("order", "newest_rows")),
            *(to_device(state[name], backend) for name, _, _ in places),
        )
        for (_, owner, key), value in zip(places, values, strict=True):  # nothing can fail from here on
            _get(owner, key)[...] = value
        for stream, saved in zip(self.streams, numbers.streams, strict=True):
            stream.state = saved.state
        self._order_rng, self._order, self.newest_rows = numbers.order_rng, order, newest
        self.newest_calls, self._epoch_losses = list(numbers.newest_calls), list(numbers.epoch_losses)
        self.step_count = numbers.step_count
        self.optimizer.set_steps(self.step_count)
        self.rates, self.learning_rate = numbers.rates, numbers.learning_rate
        self.history = history

    def _arrays(self) -> Iterator[tuple[str, Any, str]]:
        """All arrays of a state whose shapes the network decides: name, owner, key."""
        for name, parameter in self.network.parameters():
            yield f"weight {name}", parameter, "value"
        yield from self._kept_arrays()

    def _kept_arrays(self) -> Iterator[tuple[str, Any, str]]:
        """The arrays of the optimiser and of batch normalisation: name, owner, key."""
        for name in self.optimizer.kept:
            for number in range(len(self.optimizer.parameters)):
                yield f"optimizer {name} {number}", getattr(self.optimizer, name), str(number)
        for number, module in enumerate(self.network.modules()):
            for name in module.buffers:
                yield f"buffer {number} {name}", module, name

    def _evaluate(self, epoch: int) -> EpochRecord:
        data = self.data
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


def _get(owner: Any, key: str) -> Any:
    return owner[int(key)] if isinstance(owner, list) else getattr(owner, key)


def _moved(dataset: Dataset, backend: str) -> Dataset:
    """The same examples on a device."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return replace(dataset, **{name: to_device(getattr(dataset, name), backend) for name in names})
