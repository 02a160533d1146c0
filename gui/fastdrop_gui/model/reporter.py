"""Decides when the window gets an update of the training, and what the update contains."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fastdrop.experiments import Snapshot, Trainer, UnitView, diagnostics
from fastdrop_gui.model.messages import About, RequestedViews, Update
from fastdrop_gui.model.rate_limiter import RateLimiter, Result
from fastdrop_gui.model.trainer_pair import TrainerPair

SNAPSHOT_FRACTION = 0.04
DIAGNOSTICS_FRACTION = 0.01
"""Of the process's time, at most about: for snapshots, and for each of boundary, misclassified and distributions."""
_LISTED = 4
"""Classes that a line of text names."""
_NAMED = 4096
"""Features whose names the window gets."""
SHORTEST_SNAPSHOT_WAIT = 1 / 60
"""Seconds between two snapshots: the window draws 30 a second."""


@dataclass
class _Sent:
    """What the window has received of this experiment."""

    step: int = -1
    baseline_step: int | None = -1
    records: int = 0
    baseline_records: int = 0
    about: bool = False
    views: dict[str, Any] = field(default_factory=dict)


class Reporter:
    """Takes requests, and makes an `Update` of what is new since the last one.

    A request is answered once, as soon as something is new and the rate limiters allow the work.
    """

    def __init__(self) -> None:
        self._requested: RequestedViews | None = None
        self._sent = _Sent()
        self._snapshots = RateLimiter(SNAPSHOT_FRACTION, SHORTEST_SNAPSHOT_WAIT)
        self._diagnostics = {
            name: RateLimiter(DIAGNOSTICS_FRACTION, 0.1) for name in ("boundary", "misclassified", "distributions")
        }

    def begin(self) -> None:
        """Another experiment: nothing of it has been sent."""
        self._sent = _Sent()
        for limiter in (self._snapshots, *self._diagnostics.values()):
            limiter.reset()

    def hurry(self) -> None:
        """Training stands still: nothing needs the time that the diagnostics would wait for."""
        for limiter in self._diagnostics.values():
            limiter.reset()

    def request(self, views: RequestedViews | None) -> None:
        """What the window shows, and wants an update of; None takes the request back."""
        self._requested = views

    def invalidate(self) -> None:
        """What was sent is out of date, although no batch was trained."""
        self._sent.step = -1
        self._sent.views.clear()

    def invalidate_baseline(self) -> None:
        """Send the baseline from its first epoch on."""
        self._sent.baseline_records, self._sent.baseline_step = 0, -1

    def wait(self, pair: TrainerPair) -> float | None:
        """Seconds until an update is due; None where there is nothing to report."""
        if self._requested is None:
            return None
        waits = [limiter.wait for name, limiter in self._diagnostics.items() if self._is_stale(name, pair.trainer)]
        moved = pair.trainer.step_count != self._sent.step or pair.baseline_step != self._sent.baseline_step
        if moved or self._is_stale("unit", pair.trainer) or self._is_stale("layers", pair.trainer):
            waits.append(self._snapshots.wait)
        return min(waits) if waits else None

    def _is_stale(self, name: str, trainer: Trainer) -> bool:
        """Whether a requested view was sent at another step, or of another unit."""
        requested = getattr(self._requested, name)
        return bool(requested) and self._sent.views.get(name) != (requested, trainer.step_count)

    def update(self, run: int, pair: TrainerPair) -> Update:
        """The answer to the request."""
        requested, sent, trainer = self._requested, self._sent, pair.trainer
        assert requested is not None
        self._snapshots.reset()
        with_layers = requested.layers or requested.unit is not None
        snapshot = self._snapshots(lambda: trainer.snapshot(layers=with_layers))
        assert snapshot is not None
        sent.views["layers"] = (with_layers, snapshot.step)
        baseline = pair.baseline.history if pair.baseline is not None else []
        update = Update(
            run,
            replace(snapshot, history=()),
            snapshot.history[sent.records :],
            tuple(baseline[sent.baseline_records :]),
            pair.baseline_step,
            trainer.total_steps,
            trainer.steps_per_epoch,
            trainer.finished,
            None if sent.about else _about(trainer),
            self._diagnostic("boundary", trainer, lambda: diagnostics.boundary(trainer)),
            self._diagnostic("misclassified", trainer, lambda: diagnostics.misclassified(trainer)),
            self._diagnostic("distributions", trainer, lambda: diagnostics.distributions(trainer)),
            self._unit(trainer, snapshot),
        )
        self._requested = None
        sent.about = True
        sent.step, sent.baseline_step = snapshot.step, pair.baseline_step
        sent.records, sent.baseline_records = len(snapshot.history), len(baseline)
        return update

    def _diagnostic(self, name: str, trainer: Trainer, look: Callable[[], Result]) -> Result | None:
        if not self._is_stale(name, trainer) or self._diagnostics[name].wait:
            return None
        result = self._diagnostics[name](look)
        self._sent.views[name] = (getattr(self._requested, name), trainer.step_count)
        return result

    def _unit(self, trainer: Trainer, snapshot: Snapshot) -> UnitView | None:
        assert self._requested is not None
        unit = self._requested.unit
        if unit is None:
            return None
        self._sent.views["unit"] = (unit, trainer.step_count)
        return diagnostics.unit(trainer, snapshot.layers, *unit)


def _about(trainer: Trainer) -> About:
    data = trainer.dataset
    examples = f"{len(data.x_train)} to train, {len(data.x_test)} to test"
    names = ", ".join(name if len(name) <= 24 else f"{name[:23]}…" for name in data.class_names[:_LISTED])
    listed = f" ({names})" if data.classes <= _LISTED and data.table is not None else ""
    return About(
        f"{examples}, {data.features} features, {data.classes} classes{listed}",
        data.features,
        data.classes,
        trainer.network.summary((data.features,)),
        data.notes,
        diagnostics.feature_labels(data)[:_NAMED],
        data.class_names,
    )
