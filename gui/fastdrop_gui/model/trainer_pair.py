"""A network in training, and its baseline: the same network without dropout, trained on the same batches."""

import os
from contextlib import suppress

from fastdrop.experiments import Dataset, ExperimentConfig, Trainer, TrainingDiverged, load_experiment
from fastdrop.experiments.checkpoint import State
from fastdrop.experiments.tables.sources import hash_of
from fastdrop_gui.model.messages import Start

_MAIN, _BASELINE = "main", "baseline"
"""Names of the two states in experiment files."""


class TrainerPair:
    """The trainer, and beside it the baseline's trainer or None.

    `data_hash` is that of the data which the network was trained on, as far as it has been trained: where a file's
    network is restored, that of its data then, which may be other data now.

    A baseline that is added late starts from the same initial weights and catches up. It trains with the learning rates
    that the trainer had at the same steps.
    """

    def __init__(self, trainer: Trainer, with_baseline: bool = False) -> None:
        self.trainer = trainer
        self.data_hash = trainer.dataset.data_hash
        self.baseline = _baseline_of(trainer) if with_baseline else None
        self._learning_rates: list[tuple[int, float]] = []
        """Changes while training ran: the first step with the new rate, and the rate."""

    @classmethod
    def from_start(cls, start: Start, dataset: Dataset) -> "TrainerPair":
        """What a `Start` asks for; raises where the file's states do not belong to its configuration."""
        states = load_experiment(start.file).states if start.file else {}
        trainer = Trainer(start.config, dataset)
        if _MAIN in states:
            trainer.restore(states[_MAIN])
        pair = cls(trainer, start.baseline or _BASELINE in states)
        if pair.baseline is not None and _BASELINE in states:
            pair.baseline.restore(states[_BASELINE])
        if trainer.step_count and start.config.data_hash:
            pair.data_hash = start.config.data_hash
        return pair

    @property
    def baseline_step(self) -> int | None:
        """How many batches the baseline has been trained on; None without one."""
        return None if self.baseline is None else self.baseline.step_count

    @property
    def baseline_is_behind(self) -> bool:
        """Whether the baseline has seen fewer batches."""
        return self.baseline is not None and self.baseline.step_count < self.trainer.step_count

    def set_baseline(self, enabled: bool) -> None:
        """Add a baseline, or remove it."""
        if not enabled:
            self.baseline = None
        elif self.baseline is None:
            self.baseline = _baseline_of(self.trainer)

    def step_baseline(self) -> str:
        """Train the baseline on its next batch. Where that fails, drop it and return why; else return ""."""
        assert self.baseline is not None
        for step, learning_rate in self._learning_rates:
            if step == self.baseline.step_count:
                self.baseline.learning_rate = learning_rate
        try:
            self.baseline.step()
        except (TrainingDiverged, MemoryError) as error:
            self.baseline = None
            return f"the baseline (no dropout) stopped: {error or 'out of memory'}"
        return ""

    def set_learning_rate(self, value: float) -> None:
        """Change the learning rate from the next step on; the baseline's when it gets there."""
        self._learning_rates.append((self.trainer.step_count, value))
        self.trainer.learning_rate = value
        if self.baseline is not None and not self.baseline_is_behind:
            self.baseline.learning_rate = value

    def set_epochs(self, epochs: int) -> None:
        """Change after how many epochs training ends; never before the last epoch that has begun."""
        for trainer in filter(None, (self.trainer, self.baseline)):
            trainer.extend(max(epochs, -(-trainer.step_count // trainer.steps_per_epoch)))

    def states(self) -> dict[str, State]:
        """What an experiment file keeps, to go on from."""
        states = {_MAIN: self.trainer.state()}
        return states if self.baseline is None else {**states, _BASELINE: self.baseline.state()}


def _baseline_of(trainer: Trainer) -> Trainer:
    return Trainer(trainer.config.without_dropout(), trainer.dataset)


class DatasetCache:
    """Keeps the last data set: a large file is not read again at each reset, unless it has changed."""

    def __init__(self) -> None:
        self._loaded: tuple[object, Dataset] | None = None

    def load(self, config: ExperimentConfig) -> Dataset:
        """The configuration's data set, with its notes."""
        key = (*config.data_fields.values(), *map(_state_of, (config.data_file, config.test_data)))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # released first: memory may not hold both
            self._loaded = key, config.replace(data_hash="").load_dataset()
        dataset = self._loaded[1]
        return dataset if config.data_hash in ("", dataset.data_hash) else config.noted(dataset)


def _state_of(path: str) -> object:
    """What changes when a file does, or a folder of pictures."""
    if not path:
        return None
    if os.path.isdir(path):
        return hash_of(path)
    with suppress(OSError, ValueError):  # loading reports it
        stat = os.stat(path)
        return stat.st_mtime_ns, stat.st_size
    return None
