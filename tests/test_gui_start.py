"""The app's window opens, trains, and names its controls: what `make test` tries of it. test_gui.py has the rest."""

import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, click, home, open_window, ready, window  # noqa: F401
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QLineEdit,
    QMainWindow,
    QScrollBar,
    QTabBar,
)

from fastdrop_gui.views.heatmap import CELL

pytestmark = pytest.mark.gui


def test_starts_ready_and_shows_the_untrained_network(window):
    assert "ready" in window.figures.text()
    assert window.training.heatmap.layer.count() == 3
    assert window.training.heatmap.pixels.shape == (32 * CELL, 64 * CELL)
    assert "480 to train, 120 to test" in window.settings.about.text()
    assert "2\nfeatures" in window.cards.data.text.text()
    assert not window.actions_.pause.isEnabled()


def test_run_pause_step_rewind(qtbot, window):
    first = window.model.history[0]
    click(qtbot, window, window.actions_.run)
    qtbot.waitUntil(lambda: len(window.model.history) > 5, timeout=WAIT)
    curve = window.training.curves.curves["train_loss"]
    qtbot.waitUntil(lambda: len(curve.getData()[0]) > 5, timeout=WAIT)
    assert curve.getData()[1][-1] < curve.getData()[1][0]
    assert "left" in window.figures.text()
    assert window.progress.value() > 0
    click(qtbot, window, window.actions_.pause)
    qtbot.waitUntil(lambda: "paused" in window.figures.text(), timeout=WAIT)
    qtbot.wait(300)
    step = window.model.snapshot.step
    qtbot.wait(300)
    assert window.model.snapshot.step == step
    click(qtbot, window, window.actions_.step)
    qtbot.waitUntil(lambda: window.model.snapshot.step == step + 1, timeout=WAIT)
    click(qtbot, window, window.actions_.step_epoch)
    qtbot.waitUntil(lambda: window.model.snapshot.step == (step // 15 + 1) * 15, timeout=WAIT)
    click(qtbot, window, window.actions_.rewind)
    ready(qtbot, window)
    assert window.model.snapshot.step == 0
    assert window.model.history == [first]  # the same initial weights
    click(qtbot, window, window.actions_.new_seed)
    ready(qtbot, window)
    assert window.model.config.seed == CONFIG.seed + 1
    assert window.model.history != [first]


def test_every_control_has_a_name_to_read_out(window):
    for number in range(1, 5):
        window.tabs.setCurrentIndex(number)
    kinds = (QComboBox, QAbstractSpinBox, QAbstractButton, QAbstractSlider)
    nameless = []
    for widget in (found for kind in kinds for found in window.findChildren(kind)):
        own = type(widget).__module__.startswith("fastdrop")
        parent = widget.parentWidget()
        inside = parent is not None and isinstance(
            parent, (*kinds, QLineEdit, QTabBar, QAbstractScrollArea, QMainWindow, QDockWidget)
        )
        inside |= (
            widget.objectName().startswith("qt_") or "superqt" in type(widget).__module__ + type(parent).__module__
        )
        text = getattr(widget, "text", str)() or widget.toolTip()
        if not (widget.accessibleName() or text or (inside and not own) or isinstance(widget, QScrollBar)):
            nameless.append(f"{type(widget).__name__} in {type(parent).__name__}")
    assert nameless == []
