"""`fastdrop gui`: opens the desktop app, or trains in the terminal where no window is possible."""

import argparse
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from fastdrop.cli import desktop
from fastdrop.errors import missing_package


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = "Open the desktop app."
    parser.add_argument(
        "config", nargs="?", type=Path, metavar="FILE", help="an experiment (.fastdrop, .toml) or a table"
    )


def run(options: argparse.Namespace) -> int:
    """Open the app; without a display, train the same experiment in the terminal."""
    from fastdrop.cli.configs import is_experiment
    from fastdrop.cli.main import main

    config: Path | None = options.config
    if window_is_possible():
        return open_app(config)
    print("No display here (DISPLAY and WAYLAND_DISPLAY are not set): training in the terminal instead.\n")
    if config is None:
        return main(["train"])
    return main(["train", f"{'--config' if is_experiment(config) else '--data'}={config}"])


def window_is_possible() -> bool:
    """Whether there is a display, or the environment names a Qt platform that needs none."""
    return desktop.has_display() or "QT_QPA_PLATFORM" in os.environ


def open_app(config: Path | None) -> int:
    """Open the desktop app; if something is missing, say how to install it."""
    for package in ("PySide6", "pyqtgraph"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "gui", "the desktop app")
    needs = desktop.missing_for_gui()
    if needs:
        command = desktop.install_command(needs)
        print(f"fastdrop: Qt needs {', '.join(need.what for need in needs)}", file=sys.stderr)
        print(f"install with: {' '.join(command or [need.debian for need in needs])}", file=sys.stderr)
        return 2
    app = importlib.import_module("fastdrop_gui.app")
    status: int = app.main([] if config is None else [str(config)])
    return status
