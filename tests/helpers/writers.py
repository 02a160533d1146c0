"""Every kind of file that the package writes, as functions of a folder and a version: 0 is the old content, 1 the new.

Tests that kill writers or fill their disk use these functions. Add a function here for every new kind of file.
"""

import os
import types
from pathlib import Path

import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
from fake_nvrtc import Module, Nvrtc
from PySide6.QtWidgets import QApplication, QLabel

from fastdrop.backends.cuda import compiler, source
from fastdrop.bench import report
from fastdrop.cli import train
from fastdrop.experiments import Experiment, ExperimentConfig, Model, Run, Sweep, Trainer, save_experiment
from fastdrop.experiments.formats.experiment_file import write_arrays
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop.experiments.script import to_python
from fastdrop.experiments.sweeps import SweepTable
from fastdrop.experiments.sweeps.plan import train_run
from fastdrop_gui.views.files import recorder, view_files

CONFIG = ExperimentConfig(dataset="moons", hidden=(64, 32), epochs=1)


def _trained(version: int) -> Trainer:
    trainer = Trainer(CONFIG.replace(seed=version))
    for _ in range(3):
        trainer.step()
    return trainer


TRAINED = [_trained(version) for version in range(2)]
RESULTS = [train_run(run) for run in Sweep(CONFIG, "rate", (0.0, 0.5), [0]).runs()]
"""Computed at import, so that forked children need not compute them again."""


def experiment(folder: Path, version: int) -> None:
    trainer = TRAINED[version]
    runs = (Run("before", CONFIG, tuple(trainer.history)),)
    save_experiment(folder / "a.fastdrop", Experiment(trainer.config, {"main": trainer.state()}, runs))


def configuration(folder: Path, version: int) -> None:
    CONFIG.replace(seed=version).save(folder / "a.toml")


def weights(folder: Path, version: int) -> None:
    write_arrays(folder / "weights.npz", dict(TRAINED[version].weights()))


def model(folder: Path, version: int) -> None:
    Model.of(TRAINED[version]).save(folder / "a.fdmodel")


def code(folder: Path, version: int) -> None:
    write_atomically(folder / "network.py", to_python(CONFIG.replace(seed=version)).encode())


def figure(folder: Path, version: int) -> None:
    train.draw([train.Run("dropout", TRAINED[version])], folder / "a.png")


def benchmark(folder: Path, version: int) -> None:
    report.save(report.Report({"version": version}, [], [], "quick", True), folder / "bench.json")


def table(folder: Path, version: int) -> None:
    sweep = Sweep(CONFIG, "rate", (0.0, 0.5)[: version + 1], [0])
    found = SweepTable(folder / "rates.parquet", sweep)
    found.wait()
    found.add(RESULTS[: version + 1])
    found.close()


def picture(folder: Path, version: int) -> None:
    widget = _widget(version)
    write_atomically(folder / "view.png", view_files.png(widget))


def recording(folder: Path, version: int) -> None:
    widget = _widget(version)
    found = recorder.Recording(widget)
    found.add_frame()
    found.add_frame()
    recorder.write_gif(found.frames, str(folder / "training.gif"))


def _widget(version: int) -> QLabel:
    QApplication.instance() or QApplication([])
    widget = QLabel(f"version {version}")
    widget.resize(200, 100)
    widget.setStyleSheet(f"background: {('red', 'blue')[version]}")
    widget.show()
    return widget


def kernel(folder: Path, version: int) -> None:
    """The cache of compiled CUDA kernels; NVRTC is a stand-in."""
    place = types.SimpleNamespace(compute_capability="90")
    cuda = types.SimpleNamespace(nvrtc=Nvrtc(), Module=Module, Device=lambda number: place)
    compiler.cupy = lambda: types.SimpleNamespace(cuda=cuda)
    os.environ["CUPY_CACHE_DIR"] = str(folder)
    image, _ = compiler.compiled(source.gaussian(("float32", "float64")[version]), "90")
    assert image.startswith(b"\x7fELF")


WRITERS = {
    "experiment": experiment,
    "configuration": configuration,
    "weights": weights,
    "model": model,
    "code": code,
    "figure": figure,
    "benchmark": benchmark,
    "table": table,
    "picture": picture,
    "recording": recording,
    "kernel": kernel,
}
