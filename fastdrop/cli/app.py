"""`fastdrop gui`: the window, or the same experiment in the terminal where there can be none."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from fastdrop import system
from fastdrop.errors import missing_package


def open_app(config: Path | None) -> int:
    """Open the desktop app; without a display, say so and train the same experiment in the terminal."""
    for package in ("PySide6", "pyqtgraph"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "gui", "the desktop app")
    if not system.has_display() and "QT_QPA_PLATFORM" not in os.environ:
        print("No display here (DISPLAY and WAYLAND_DISPLAY are not set): training in the terminal instead.\n")
        from fastdrop.cli.main import main

        return main(["train", *(["--config", str(config)] if config else [])])
    needs = system.missing_for_gui()
    if needs:
        command = system.install_command(needs)
        print(f"fastdrop: Qt needs {', '.join(need.what for need in needs)}", file=sys.stderr)
        print(f"install with: {' '.join(command or [need.debian for need in needs])}", file=sys.stderr)
        return 2
    app = importlib.import_module("fastdrop_gui.app")
    status: int = app.main([] if config is None else [str(config)])
    return status
