"""An experiment in training, as the window shows it: configuration, state and curves."""

import enum
import time
from collections import deque
from dataclasses import replace

from fastdrop.experiments import (
    Boundary,
    Distributions,
    EpochRecord,
    Experiment,
    ExperimentConfig,
    Misclassified,
    Snapshot,
    UnitView,
)
from fastdrop_gui.model.downsampled import DownsampledSeries
from fastdrop_gui.model.messages import About, Failure, Notice, RequestedViews, Saved, Start, Update
from fastdrop_gui.model.table_choices import in_window
from fastdrop_gui.model.training_process import TrainingProcess

PATIENCE = 3.0
"""Seconds that a process gets to finish loading an experiment that has been replaced."""
SILENCE = 2.0
"""Seconds without a message after which the window says so."""


class Status(enum.Enum):
    """What the experiment is doing; the value is what people read."""

    LOADING = "loading"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"


class ExperimentModel:
    """One experiment in its process. Call `tick` regularly; it returns whether anything changed."""

    def __init__(self, config: ExperimentConfig) -> None:
        self._process = TrainingProcess()
        self._lost = False
        self._run = 0
        self._speed = 0.0
        self._threads = 0
        self._heard = time.monotonic()
        self._rates: tuple[float, ...] | None = None
        self.requested = RequestedViews()
        self._sent_request = RequestedViews()
        self.saved: list[Saved] = []
        """Files that were written; the reader removes them."""
        self.status = Status.READY
        self.reset(config)

    def reset(
        self, config: ExperimentConfig, *, baseline: bool = False, file: str = "", was_saved: bool = False
    ) -> None:
        """Start anew, from the initial weights or from a file's; `was_saved` as in `Start`.

        A process that is loading another experiment finishes that first, or is replaced after `PATIENCE` seconds.
        """
        busy, silent = self.status is Status.LOADING and not self._lost, self.silence > 0
        self._begun = time.monotonic()
        self._run += 1  # messages about the experiment before are ignored
        self.config = config
        self._rates = None
        self._stop_at: int | None = None
        self.status = Status.LOADING
        self.message = self.field = self.details = ""
        self.about: About | None = None
        self.history: list[EpochRecord] = []
        self.baseline_requested = baseline
        self.baseline_history: list[EpochRecord] = []
        self.baseline_step: int | None = None
        self.snapshot: Snapshot | None = None
        self.boundary: Boundary | None = None
        self.misclassified: Misclassified | None = None
        self.unit: UnitView | None = None
        self.distributions: dict[tuple[str, str], DownsampledSeries] = {}
        """By ("weights" or "activations", layer): quantiles over the training."""
        self.unit_means: dict[str, DownsampledSeries] = {}
        self.total_steps = 0
        self.steps_per_epoch = 1
        self._times: deque[tuple[float, int]] = deque(maxlen=30)
        self._start = Start(config, baseline, file, was_saved)
        self._queued = busy or silent
        if not busy:
            self._loading_since = time.monotonic()
        self._send_start()

    def _send_start(self) -> None:
        """Give the process its experiment; replace first a process that has died or has been loading for too long."""
        stuck = self._queued and time.monotonic() - self._loading_since > PATIENCE
        if self._lost or stuck:
            self._process.close(patience=0.0)
            self._process = TrainingProcess()
            self._lost = self._queued = False
            self._loading_since = time.monotonic()
        self._process.send("start", (self._run, self._start))
        self._process.send("speed", self._speed)
        if self._threads:
            self._process.send("threads", self._threads)
        self._request()

    def run(self) -> None:
        """Train until paused or finished."""
        if self.status in (Status.READY, Status.PAUSED):
            self.status = Status.RUNNING
            self._heard = time.monotonic()
            self._stop_at = None
            self._times.clear()
            self._process.send("run")

    def pause(self) -> None:
        """Stop after the current batch."""
        if self.status is Status.RUNNING:
            self.status = Status.PAUSED
            self._process.send("pause")

    def step(self, epoch: bool = False) -> None:
        """Train on one batch, or to the epoch's end."""
        if self.status in (Status.READY, Status.PAUSED):
            self._stop_at = (self.steps_done // self.steps_per_epoch + 1) * self.steps_per_epoch if epoch else None
            self.status = Status.RUNNING if epoch else Status.PAUSED
            self._heard = time.monotonic()
            self._process.send("step", "epoch" if epoch else 1)

    def change(self, config: ExperimentConfig) -> None:
        """Take what may change while training runs: rates, learning rate, number of epochs.

        A slider may move a hundred times while the process loads: only its last rates are sent, when they can be read.
        """
        before, self.config = self.config, config
        if config.rates != before.rates:
            self._rates = config.rates
        if config.learning_rate != before.learning_rate:
            self._process.send("learning_rate", config.learning_rate)
        if config.epochs != before.epochs:
            self._process.send("epochs", config.epochs)
            if self.status is Status.FINISHED and self.history and config.epochs > self.history[-1].epoch:
                self.status = Status.PAUSED

    def set_baseline(self, enabled: bool) -> None:
        """Train the baseline (the same network without dropout) as well, or no longer; a late one catches up."""
        self.baseline_requested = enabled
        self.baseline_history, self.baseline_step = [], None
        if self.status is not Status.FAILED:
            self.message = ""
        self._process.send("baseline", enabled)

    def set_speed(self, steps_per_second: float) -> None:
        """Limit the training's speed; 0 is no limit."""
        self._speed = steps_per_second
        self._process.send("speed", steps_per_second)

    def set_threads(self, threads: int) -> None:
        """How many threads the kernels get; all but one until this is called."""
        self._threads = threads
        self._process.send("threads", threads)

    def save(self, path: str, experiment: Experiment) -> None:
        """Write the experiment with this network's state, or its weights alone where the name ends in .npz.

        The training's process does it; `saved` tells when it is done.
        """
        self._process.send("save", (path, experiment))

    @property
    def steps_done(self) -> int:
        """How many batches the network has been trained on."""
        return self.snapshot.step if self.snapshot else 0

    @property
    def can_save(self) -> bool:
        """Whether there is a network to save."""
        return self.snapshot is not None and not self._lost

    @property
    def is_lost(self) -> bool:
        """Whether the process has ended by itself."""
        return self._lost

    @property
    def silence(self) -> float:
        """Seconds since the last message while training runs; 0 up to `SILENCE`."""
        passed = time.monotonic() - self._heard
        return passed if self.status is Status.RUNNING and passed > SILENCE else 0.0

    @property
    def loading_seconds(self) -> float:
        """Seconds since the experiment began to load; 0 once it is loaded."""
        return time.monotonic() - self._begun if self.status is Status.LOADING else 0.0

    @property
    def steps_per_second(self) -> float:
        """Over the last 30 snapshots; 0 where that is not known."""
        if len(self._times) < 2:
            return 0.0
        (begin, first), (end, last) = self._times[0], self._times[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    @property
    def seconds_left(self) -> float:
        """Until the last epoch; 0 where that is not known."""
        speed = self.steps_per_second
        return (self.total_steps - self.steps_done) / speed if speed else 0.0

    def tick(self) -> bool:
        """Take the process's messages, and ask for the next snapshot; True where something has changed."""
        changed = False
        for message in self._process.receive():
            self._heard = time.monotonic()
            if isinstance(message, Saved):
                self.saved.append(message)
            elif message.run not in (self._run, None):
                continue
            elif isinstance(message, Notice):
                self.message, self.baseline_requested = message.message, False
            elif isinstance(message, Failure):
                self.status = Status.FAILED
                text = in_window(message.message) if message.field == "dataset" else message.message
                self.message, self.field, self.details = text, message.field, message.details
                self._lost = message.run is None
            else:
                self._take(message)
            changed = True
        if self.status is Status.LOADING and self._queued and time.monotonic() - self._loading_since > PATIENCE:
            self._send_start()
        if self._rates is not None and self.status is not Status.LOADING:
            self._process.send("rates", self._rates)
            self._rates = None
        if self.requested != self._sent_request:
            self._request()
        return changed

    def _request(self) -> None:
        self._sent_request = self.requested
        self._process.send("snapshot", self.requested)

    def _take(self, update: Update) -> None:
        self._request()
        seen = self.snapshot.layers if self.snapshot is not None else ()
        self.snapshot = replace(update.snapshot, layers=update.snapshot.layers or seen)
        self.history += update.records
        self._take_baseline(update)
        if update.about is not None:  # the first update of an experiment: a file may hold a baseline
            self.about = update.about
            self.baseline_requested |= update.baseline_step is not None
        self.boundary = update.boundary or self.boundary
        self.misclassified = update.misclassified or self.misclassified
        self.unit = update.unit or self.unit
        if update.distributions is not None:
            self._add_distributions(update.distributions)
        self.total_steps, self.steps_per_epoch = update.total_steps, update.steps_per_epoch
        self._times.append((time.monotonic(), update.snapshot.step))
        if update.finished:
            self.status = Status.FINISHED
        elif self.status is Status.RUNNING and self._stop_at is not None and update.snapshot.step >= self._stop_at:
            self.status = Status.PAUSED
        elif self.status is Status.LOADING:
            self.status = Status.READY if update.snapshot.step == 0 else Status.PAUSED

    def _take_baseline(self, update: Update) -> None:
        if update.baseline_step is None:
            self.baseline_history, self.baseline_step = [], None
            return
        if update.baseline_records and update.baseline_records[0].epoch == 0:
            self.baseline_history = []
        self.baseline_history += update.baseline_records
        self.baseline_step = update.baseline_step

    def _add_distributions(self, found: Distributions) -> None:
        for kind in ("weights", "activations"):
            for layer, quantiles in getattr(found, kind).items():
                self.distributions.setdefault((kind, layer), DownsampledSeries()).add(found.epoch, quantiles)
        for layer, means in found.means.items():
            self.unit_means.setdefault(layer, DownsampledSeries()).add(found.epoch, means)

    def history_of_unit(self, layer: str, unit: int) -> tuple[list[float], list[float]]:
        """Epochs, and the unit's mean activation over test examples in evaluation mode."""
        kept = [(epoch, float(means[unit])) for epoch, means in self.unit_means.get(layer, []) if unit < len(means)]
        return [epoch for epoch, _ in kept], [mean for _, mean in kept]

    def request(self, **changes: object) -> None:
        """Say what the window shows now: fields of `RequestedViews`."""
        self.requested = replace(self.requested, **changes)  # type: ignore[arg-type]

    def close(self) -> None:
        """End the process."""
        self._process.close()
