"""`fastdrop gui`: what a window needs, and the window."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from fastdrop import system
from fastdrop.errors import missing_package


def window_is_possible() -> bool:
    """Whether there is a display, or a Qt platform that needs none was asked for."""
    return system.has_display() or "QT_QPA_PLATFORM" in os.environ


def open_app(config: Path | None) -> int:
    """Open the desktop app; if something that it needs is missing, say how to get it."""
    for package in ("PySide6", "pyqtgraph"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, "gui", "the desktop app")
    needs = system.missing_for_gui()
    if needs:
        command = system.install_command(needs)
        print(f"fastdrop: Qt needs {', '.join(need.what for need in needs)}", file=sys.stderr)
        print(f"install with: {' '.join(command or [need.debian for need in needs])}", file=sys.stderr)
        return 2
    app = importlib.import_module("fastdrop_gui.app")
    status: int = app.main([] if config is None else [str(config)])
    return status
