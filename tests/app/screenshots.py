"""Pictures of every view, light and dark, at two scales, in a real window.

`xvfb-run -a -s "-screen 0 2560x1600x24" python tests/app/screenshots.py`

The window is real and trains; the pictures are taken from the screen. They go to docs/screenshots/.
"""

import argparse
import contextlib
import datetime
import os
import random
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

SCALES = ("1", "1.5")
SIZE = (1280, 800)
TARGET = Path(__file__).parents[2] / "docs" / "screenshots"
COLORS = 255
"""Colours of a picture: a third of the bytes without visible loss."""
MOST_SECONDS = 150.0


class Photographer:
    """Drives the window from state to state and takes pictures of the screen."""

    def __init__(self, scale: str, target: Path, only: list[str]) -> None:
        from PySide6.QtCore import Qt

        from fastdrop.experiments import ExperimentConfig
        from fastdrop_gui.app import make_application
        from fastdrop_gui.views.main_window import MainWindow

        self.application = make_application()
        self.application.setApplicationName(f"fastdrop-screenshots-{os.getpid()}")
        self.scale, self.target, self.only = scale, target, only
        self.schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
        self.window = MainWindow(ExperimentConfig())
        self.window.resize(*SIZE)
        self.window.move(0, 0)
        self.window.show()
        self.wait(lambda: self.window.session.model.status.value == "ready")
        self.window.tool_bar.speed.setCurrentIndex(0)

    def live(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.application.processEvents()
            time.sleep(0.005)

    def wait(self, condition, most: float = MOST_SECONDS) -> None:
        end = time.monotonic() + most
        while not condition() and time.monotonic() < end:
            self.live(0.05)

    def train(self, line: str, epochs: int, baseline: bool = False) -> None:
        """Train a configuration for a number of epochs."""
        from fastdrop.experiments import ExperimentConfig

        window = self.window
        window.session.open_config(ExperimentConfig.from_share_code(line))
        self.wait(lambda: window.session.model.status.value == "ready")
        if baseline != window.session.model.baseline_requested:
            window.commands.baseline.trigger()
        window.session.run()
        self.wait(lambda: len(window.session.model.history) > epochs)
        window.session.pause()
        self.live(0.5)

    def take(self, name: str, window=None) -> None:
        """The main window, or another, light and dark."""
        from PIL import Image
        from PySide6.QtCore import QBuffer, QIODevice

        from fastdrop_gui.views.widgets.theme import set_scheme

        if self.only and name not in self.only:
            return
        window = window or self.window
        for scheme, value in self.schemes.items():
            set_scheme(value)
            self.live(0.6)
            buffer = QBuffer()
            buffer.open(QIODevice.OpenModeFlag.WriteOnly)
            window.screen().grabWindow(window.winId()).save(buffer, "PNG")
            path = self.target / f"{name}-{scheme}{'' if self.scale == '1' else '-' + self.scale + 'x'}.png"
            Image.open(BytesIO(bytes(buffer.data().data()))).convert("RGB").quantize(COLORS).save(path, optimize=True)
            print(path.name, flush=True)
        set_scheme(self.schemes["light"])

    def views(self, name: str, *views: str) -> None:
        self.window.pages.show_page("training")
        for view in views:
            self.window.training.raise_view(getattr(self.window.training, view))
        self.live(1.5)
        self.take(name)

    def page(self, name: str):
        self.window.pages.show_page(name)
        self.live(1.0)
        return self.window.pages.page(name)

    def table(self) -> None:
        """The dialog that opens a table, and what several splits say about it."""
        from fastdrop_gui.views.files.import_dialog import ImportDialog

        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # the dialog shows the path
            path = Path("bicycles.csv")
            path.write_text(made_up_table())
            dialog = ImportDialog(path, self.window)
            dialog.show()
            dialog.move(0, 0)
            self.wait(lambda: not dialog.is_checking)
            self.live(0.5)
            self.take("import", dialog)
            dialog.reject()
            self.window.table_import.use(str(path.absolute()))
            self.wait(lambda: self.window.session.model.status.value == "ready")
            evidence = self.page("evidence")
            if not self.only or "evidence" in self.only:
                evidence.start()
                self.wait(lambda: not evidence.is_running)
            self.take("evidence")

    def all(self) -> None:
        self.train("fastdrop1?", 12, baseline=True)
        self.window.session.pin_run()
        self.window.training.settings.rate.setValue(0.2)
        self.window.session.reset()
        self.wait(lambda: self.window.session.model.status.value == "ready")
        self.window.session.run()
        self.wait(lambda: len(self.window.session.model.history) > 12)
        self.window.session.pause()
        self.views("digits", "curves", "heat_map")
        self.views("network", "curves", "network")
        self.views("distributions-unit", "distributions", "inspector")
        self.views("runs-misclassified", "run_table", "misclassified")
        self.train("fastdrop1?dataset=moons&hidden=32,16&rate=0.2&epochs=300", 120)
        self.views("boundary", "boundary", "network")
        self.train("fastdrop1?network=cnn&hidden=16,32,64&dropout=spatial&rate=0.3", 3)
        self.views("feature-maps", "curves", "feature_maps")
        self.page("presets")
        self.take("presets")
        self.train("fastdrop1?dataset=noisy-linear&hidden=32&epochs=20", 2)
        sweep = self.page("sweep")
        if not self.only or "sweep" in self.only:
            sweep.start()
            self.wait(lambda: not sweep.is_running)
        self.take("sweep")
        self.table()
        self.page("mask explorer")
        self.take("mask-explorer")
        bench = self.page("benchmark")
        if not self.only or "benchmark" in self.only:
            bench.start()
            self.wait(lambda: not bench.is_running)
        self.take("benchmark")
        self.window.close()


def made_up_table() -> str:
    """Rentals of bicycles: a date, numbers, some of them missing, categories, a row label, and two classes."""
    rng = random.Random(0)
    lines = ["rental,day,weather,temperature,humidity,holiday,busy"]
    for row in range(300):
        weather = rng.choice(["sunny", "sunny", "cloudy", "rain"])
        degrees = round(rng.gauss(18, 7), 1)
        crowd = degrees / 8 + {"sunny": 1.5, "cloudy": 0, "rain": -2}[weather] + rng.gauss(0, 1.2)
        day = datetime.date(2025, 1, 1) + datetime.timedelta(row)
        cells = [1000 + row, day, weather, degrees if rng.random() > 0.05 else "", f"{rng.randrange(30, 95)} %"]
        lines.append(",".join(map(str, [*cells, rng.choice(["yes", "no"]), "yes" if crowd > 2.5 else "no"])))
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, help="one of them (default: all)")
    parser.add_argument("--save", type=Path, default=TARGET, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args()
    options.save.mkdir(parents=True, exist_ok=True)
    if options.scale:
        Photographer(options.scale, options.save.absolute(), options.only).all()
        return 0
    for scale in SCALES:
        command = [sys.executable, __file__, "--scale", scale, "--save", str(options.save)]
        command += ["--only", *options.only] if options.only else []
        subprocess.run(command, check=True, env={**os.environ, "QT_SCALE_FACTOR": scale})
    return 0


if __name__ == "__main__":
    sys.exit(main())
