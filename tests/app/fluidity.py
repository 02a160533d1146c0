"""How responsive the window is while a network trains: `python tests/app/fluidity.py --save docs/benchmarks/app.json`.

Three figures, for several layouts, digits at full speed:

- the delay of a Qt timer of 5 ms in the event loop: median, 99th percentile, longest;
- how many new snapshots are drawn per second;
- batches per second, against the same training in a process without a window, before and after each round.

It also measures the memory of both processes over 20,000 steps. Needs a display, or QT_QPA_PLATFORM=offscreen.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEventLoop, QSettings, Qt, QTimer

from fastdrop.bench.machine import machine
from fastdrop.experiments import ExperimentConfig, Trainer, one_blas_thread
from fastdrop.threads import get_num_threads, set_num_threads
from fastdrop_gui.app import make_application
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.main_window import MainWindow

CONFIG = ExperimentConfig(epochs=100_000)
ASKED_MS = 5
ROUNDS = 5
LAYOUTS = {
    "curves and heat map": ("curves", "heat_map"),
    "curves and network": ("curves", "network"),
    "distributions and unit": ("distributions", "inspector"),
    "runs and misclassified": ("run_table", "misclassified"),
}


def alone(seconds: float) -> float:
    """Batches per second of the trainer in a process without a window, set up as the app's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_alone, (seconds,))


def _alone(seconds: float) -> float:
    set_num_threads(max(1, get_num_threads() - 1))
    with one_blas_thread():
        trainer = Trainer(CONFIG)
        for _ in range(200):
            trainer.step()
        first, begin = trainer.step_count, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            trainer.step()
        return (trainer.step_count - first) / (time.perf_counter() - begin)


class Meter:
    """Measures the delay of a 5 ms timer, and counts the snapshots that are drawn."""

    def __init__(self, window) -> None:
        self._window = window
        self._timer = QTimer(interval=ASKED_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._draw = window.training.refresh
        window.training.refresh = self._drawn
        self.late: list[float] = []
        self.steps: set[int] = set()
        self._last = 0.0

    def _drawn(self) -> None:
        self._draw()
        if self._window.session.model.snapshot is not None:
            self.steps.add(self._window.session.model.snapshot.step)

    def _tick(self) -> None:
        now = time.perf_counter()
        if self._last:
            self.late.append(1000 * (now - self._last))
        self._last = now

    def run(self, seconds: float) -> dict[str, float]:
        """Run the event loop for this time, and measure it."""
        self.late, self.steps, self._last = [], set(), 0.0
        self._timer.start()
        first, begin = self._window.session.model.snapshot.step, time.perf_counter()
        loop = QEventLoop()  # quitting the application would close the window, which opens a dialog
        QTimer.singleShot(int(1000 * seconds), loop.quit)
        loop.exec()
        self._timer.stop()
        passed = time.perf_counter() - begin
        late = np.array(self.late)
        return {
            "event loop, median ms": round(float(np.median(late)), 1),
            "event loop, 99th percentile ms": round(float(np.quantile(late, 0.99)), 1),
            "event loop, longest ms": round(float(late.max()), 1),
            "drawn a second": round(len(self.steps) / passed, 1),
            "batches a second": round((self._window.session.model.snapshot.step - first) / passed, 0),
        }


def memory(process: int | str) -> float:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path, metavar="FILE.json")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each round of a layout")
    parser.add_argument("--steps", type=int, default=20_000, help="while memory is measured")
    options = parser.parse_args()
    application = make_application()
    application.setApplicationName(f"fastdrop-fluidity-{os.getpid()}")
    begin = time.perf_counter()
    window = MainWindow(CONFIG)
    window.show()
    application.processEvents()
    opened = time.perf_counter() - begin
    while window.session.model.status is Status.LOADING:
        application.processEvents()
        time.sleep(0.005)
    window.tool_bar.speed.setCurrentIndex(0)
    meter = Meter(window)
    found: dict[str, dict[str, float]] = {}
    for name, views in LAYOUTS.items():
        for view in views:
            window.training.raise_view(getattr(window.training, view))
        found[name] = _compared(window, meter, options.seconds)
        print(f"{name}: {found[name]}", flush=True)
    memories = _memory_over(window, meter, options.steps)
    print(f"memory: {memories}")
    window.session.model.pause()
    window.close()
    QSettings().clear()
    result = {
        "machine": machine(),
        "platform": application.platformName(),
        "window opened after seconds": round(opened, 2),
        "layouts": found,
        "memory in MiB": memories,
    }
    if options.save:
        options.save.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {options.save}")
    return 0


def _compared(window, meter: Meter, seconds: float) -> dict[str, float]:
    """Alternate rounds with and without the window, since machine speed varies; returns the medians."""
    without, rounds = [alone(seconds / 2)], []
    for _ in range(ROUNDS):
        window.session.run()
        meter.run(1.0)
        rounds.append(meter.run(seconds))
        window.session.pause()
        meter.run(0.3)
        without.append(alone(seconds / 2))
        beside = (without[-2] + without[-1]) / 2
        rounds[-1]["batches a second without a window"] = round(beside)
        rounds[-1]["share of that speed"] = round(rounds[-1]["batches a second"] / beside, 3)
    return {name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}


def _memory_over(window, meter: Meter, steps: int) -> list[dict[str, float]]:
    """The memory of window and trainer, measured ten times."""
    worker = window.session.model._process.pid
    first = window.session.model.snapshot.step
    rows = []
    window.session.run()
    while (done := window.session.model.snapshot.step - first) < steps:
        rows.append({"steps": done, "window": round(memory("self"), 1), "trainer": round(memory(worker), 1)})
        goal = first + len(rows) * steps // 10
        while window.session.model.snapshot.step < goal:
            meter.run(0.25)
    rows.append({"steps": done, "window": round(memory("self"), 1), "trainer": round(memory(worker), 1)})
    return rows


if __name__ == "__main__":
    sys.exit(main())
