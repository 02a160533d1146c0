"""The app's window opens, trains, and names its controls: the part of the app's tests that `make test` runs."""

import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, click, ready
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

from fastdrop_gui.views.training.heat_map import CELL

pytestmark = pytest.mark.gui


def test_starts_ready_and_shows_the_untrained_network(window):
    assert "ready" in window.status.figures.text()
    assert window.training.heat_map.layer.count() == 3
    assert window.training.heat_map.pixels.shape == (32 * CELL, 64 * CELL)
    assert "480 to train, 120 to test" in window.training.settings.about.text()
    assert "2\nfeatures" in window.training.cards.data.text.text()
    assert not window.commands.pause.isEnabled()


def test_run_pause_step_reset(qtbot, window):
    first = window.session.model.history[0]
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.session.model.history) > 5, timeout=WAIT)
    curve = window.training.curves.curves["train_loss"]
    qtbot.waitUntil(lambda: len(curve.getData()[0]) > 5, timeout=WAIT)
    assert curve.getData()[1][-1] < curve.getData()[1][0]
    assert "left" in window.status.figures.text()
    assert window.status.progress.value() > 0
    click(qtbot, window, window.commands.pause)
    qtbot.waitUntil(lambda: "paused" in window.status.figures.text(), timeout=WAIT)
    qtbot.wait(300)
    step = window.session.model.snapshot.step
    qtbot.wait(300)
    assert window.session.model.snapshot.step == step
    click(qtbot, window, window.commands.step)
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == step + 1, timeout=WAIT)
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == (step // 15 + 1) * 15, timeout=WAIT)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.session.model.snapshot.step == 0
    assert window.session.model.history == [first]  # the same initial weights
    click(qtbot, window, window.commands.new_seed)
    ready(qtbot, window)
    assert window.session.model.config.seed == CONFIG.seed + 1
    assert window.session.model.history != [first]


def test_every_control_has_a_name_to_read_out(window):
    for name in window.pages.names:
        window.pages.show_page(name)
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
