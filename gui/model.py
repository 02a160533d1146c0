"""What the window shows: the experiment's configuration, its state and its curves. Knows nothing of Qt."""

import enum
import time
from collections import deque

from fastdrop.experiments import EpochRecord, ExperimentConfig, Snapshot
from fastdrop_gui.training import Failure, TrainingProcess, Update


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
        self._rate: float | None = None
        self.status = Status.READY
        self.reset(config)

    def reset(self, config: ExperimentConfig) -> None:
        """Start anew, from the configuration's initial weights. A process that is busy loading is replaced."""
        if self.status is Status.LOADING or self._lost:
            self._process.close(patience=0.0)
            self._process = TrainingProcess()
        self._lost = False
        self._run += 1  # what the process still says of the experiment before is not listened to
        self.config = config
        self._rate = None
        self.status = Status.LOADING
        self.message = ""
        self.data = ""
        self.history: list[EpochRecord] = []
        self.snapshot: Snapshot | None = None
        self.total_steps = 0
        self.steps_per_epoch = 1
        self._times: deque[tuple[float, int]] = deque(maxlen=30)
        self._process.send("start", (self._run, config))
        self._process.send("speed", self._speed)
        self._process.send("snapshot")

    def run(self) -> None:
        """Train until paused or finished."""
        if self.status in (Status.READY, Status.PAUSED):
            self.status = Status.RUNNING
            self._times.clear()
            self._process.send("run")

    def pause(self) -> None:
        """Stop after the batch at hand."""
        if self.status is Status.RUNNING:
            self.status = Status.PAUSED
            self._process.send("pause")

    def step(self) -> None:
        """Train on one batch."""
        if self.status in (Status.READY, Status.PAUSED):
            self.status = Status.PAUSED
            self._process.send("step")

    def set_rate(self, rate: float) -> None:
        """Change the probability of dropping, also while training runs; takes effect with the next tick.

        A slider may say so a hundred times while the process loads: only the last one is sent, when it can be read.
        """
        self._rate = rate

    def set_speed(self, steps_per_second: float) -> None:
        """Limit the training's speed; 0 is no limit."""
        self._speed = steps_per_second
        self._process.send("speed", steps_per_second)

    @property
    def steps_per_second(self) -> float:
        """Over the last 30 snapshots; 0 where that is not known."""
        if len(self._times) < 2:
            return 0.0
        (begin, first), (end, last) = self._times[0], self._times[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def tick(self) -> bool:
        """Take in what the process has sent, and ask for the next snapshot."""
        changed = False
        for message in self._process.receive():
            if message.run not in (self._run, None):
                continue
            changed = True
            if isinstance(message, Failure):
                self.status = Status.FAILED
                self.message = message.message
                self._lost = message.run is None
            else:
                self._take(message)
        if self._rate is not None and self.status is not Status.LOADING:
            self._process.send("rate", self._rate)
            self._rate = None
        return changed

    def _take(self, update: Update) -> None:
        self._process.send("snapshot")
        self.snapshot = update.snapshot
        self.history += update.records
        self.data = update.data
        self.total_steps, self.steps_per_epoch = update.total_steps, update.steps_per_epoch
        self._times.append((time.monotonic(), update.snapshot.step))
        if update.finished:
            self.status = Status.FINISHED
        elif self.status is Status.LOADING:
            self.status = Status.READY

    def close(self) -> None:
        """End the process."""
        self._process.close()
