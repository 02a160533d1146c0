"""Helpers of the tests of the app's sweeps: the view alone in a window, and functions that operate it."""

import pytest

pytest.importorskip("PySide6")
from PySide6.QtCore import Qt

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.views.sweep.sweep_view import SweepView

CONFIG = ExperimentConfig(dataset="moons", hidden=(8,), epochs=2, learning_rate=0.01)
WAIT = 30_000


@pytest.fixture
def view(qtbot):
    view = SweepView(CONFIG)
    qtbot.addWidget(view)
    view.resize(800, 600)
    view.show()
    qtbot.waitExposed(view)
    yield view
    view.shutdown()


def write(qtbot, view, parameter, text, seeds=2):
    """Choose a parameter and type values."""
    view.settings.parameter.setCurrentIndex(view.settings.parameter.findData(parameter))
    view.settings.values.selectAll()
    qtbot.keyClicks(view.settings.values, text)
    view.settings.seeds.setValue(seeds)


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def sweep(qtbot, view, parameter="rate", text="0, 0.9", seeds=2):
    write(qtbot, view, parameter, text, seeds)
    press(qtbot, view.start_button)
    assert view.is_running
    qtbot.waitUntil(lambda: not view.is_running and "finished" in view.status.text(), timeout=WAIT)
