"""The one trainer: a step is a batch; its whole state can be taken and put back."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import moved
from fastdrop.experiments import observe, states
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.model import build_network
from fastdrop.experiments.observe import EpochRecord, LayerView, Snapshot
from fastdrop.experiments.states import State, StateError
from fastdrop.rule import check_probability
from fastdrop.stream import Stream

__all__ = ["EpochRecord", "LayerView", "Snapshot", "StateError", "Trainer", "TrainingDiverged"]

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
        masks, _ = Stream(config.seed).spawn(2)
        self.data = _moved(self.dataset, config.backend)
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
        self._rates = config.rates
        self._learning_rate = config.learning_rate
        droppers = [dropper for block in self.network.blocks for dropper in block.droppers]
        self.streams = list({id(dropper.stream): dropper.stream for dropper in droppers}.values())
        """What the masks come from; layers may share one."""
        self.newest_rows: Any = np.arange(min(config.batch_size, len(self.dataset.x_train)))
        """The newest batch: places of its examples in the training set; before the first, of those that stand first."""
        self.newest_calls = [stream.calls for stream in self.streams]
        """The streams' call numbers before the newest batch: its masks can be drawn again."""
        self.history = [self._evaluate(0)]

    @property
    def finished(self) -> bool:
        return self.step_count >= self.total_steps

    @property
    def rates(self) -> tuple[float, ...]:
        """Probability of dropping of each hidden layer, which a schedule grows to; may change while training runs."""
        return self._rates

    @rates.setter
    def rates(self, values: Iterable[float]) -> None:
        checked = tuple(check_probability(value, "rate") for value in values)
        if len(checked) != len(self.config.hidden):
            raise ValueError(f"there is a rate for each of {len(self.config.hidden)} layers; got {len(checked)}")
        self._rates = checked
        self._follow_schedules()

    @property
    def learning_rate(self) -> float:
        """What the schedule starts from; may be changed while training runs."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if not 0.0 <= value < math.inf:
            raise ValueError(f"learning_rate is a number from 0 on; got {value!r}")
        self._learning_rate = value
        self._follow_schedules()

    def extend(self, epochs: int) -> None:
        """Set the number of epochs, as many as were trained or more; schedules follow it from here on."""
        config = self.config.replace(epochs=epochs)
        if epochs * self.steps_per_epoch < self.step_count:
            raise ValueError(f"{self.step_count / self.steps_per_epoch:g} epochs are trained; got a limit of {epochs}")
        self.config, self.total_steps = config, epochs * self.steps_per_epoch
        self._follow_schedules()

    def _follow_schedules(self) -> None:
        """Set the rates for the next step."""
        progress = min(1.0, self.step_count / max(1, self.total_steps - 1))
        share = self._rate_share(progress)
        self.network.set_rates(rate * share for rate in self._rates)
        self.optimizer.learning_rate = self._learning_rate * self._learning_rate_share(progress)

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
        """What the network does now; looking does not change the training."""
        return Snapshot(
            self.step_count,
            self.step_count / self.steps_per_epoch,
            float(np.mean(self._epoch_losses)) if self._epoch_losses else math.nan,
            tuple(self.history),
            tuple(observe.layers(self)) if layers else (),
            self.weights() if weights else {},
        )

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters by name."""
        return {name: moved(parameter.value, "cpu").copy() for name, parameter in self.network.parameters()}

    def state(self) -> State:
        """All that is needed to go on as if nothing had happened, as plain arrays."""
        numbers = {
            "step_count": self.step_count,
            "rates": list(self._rates),
            "learning_rate": self._learning_rate,
            "streams": [stream.state for stream in self.streams],
            "newest_calls": self.newest_calls,
            "order_rng": self._order_rng.bit_generator.state,
            "epoch_losses": self._epoch_losses,
        }
        arrays = {name: moved(_get(owner, key), "cpu").copy() for name, owner, key in self._arrays()}
        return {
            "numbers": np.array(json.dumps(numbers)),
            "history": np.array([list(asdict(record).values()) for record in self.history], float),
            "order": moved(self._order, "cpu").copy(),
            "newest_rows": moved(self.newest_rows, "cpu").copy(),
            **arrays,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned, for the same configuration.

        Raises
        ------
        StateError
            If the state is not one of this configuration's. The trainer then is what it was.
        """
        places, backend = list(self._arrays()), self.config.backend
        try:
            numbers = states.check(state, self, {name: _get(owner, key) for name, owner, key in places})
        except StateError as error:
            raise StateError(f"this state is not of this configuration: {error}") from None
        history = list(states.history_of(state))
        order, newest, *values = (
            *(moved(state[name].astype(np.intp), backend) for name in ("order", "newest_rows")),
            *(moved(state[name], backend) for name, _, _ in places),
        )
        for (_, owner, key), value in zip(places, values, strict=True):  # nothing fails from here on
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
        """All arrays of a state that have the trainer's own shapes: name, owner, key."""
        for name, parameter in self.network.parameters():
            yield f"weight {name}", parameter, "value"
        yield from self._kept_arrays()

    def _kept_arrays(self) -> Iterator[tuple[str, Any, str]]:
        """What is neither weight nor number: what the optimiser and batch normalisation gather. Name, owner, key."""
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
    """The same examples on a backend."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return replace(dataset, **{name: moved(getattr(dataset, name), backend) for name in names})
