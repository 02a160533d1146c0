"""Helpers of the app's tests: a window with its own home folder, and functions that click, type and train."""

import pytest

pytest.importorskip("PySide6")
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QApplication, QMessageBox

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.main_window import MainWindow

CONFIG = ExperimentConfig(dataset="moons", hidden=(80, 16), epochs=500)
WAIT = 60_000
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def home(tmp_path, monkeypatch, qapp):
    """Put settings and autosaved files into the test's temporary folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "config"))
    QApplication.setOrganizationName("fastdrop")
    QApplication.setApplicationName("fastdrop-test")
    return tmp_path


@pytest.fixture
def open_window(qtbot, home):
    """A function that opens a window and waits until it is ready; windows are closed after the test."""
    windows = []

    def open_it(config=CONFIG, file=""):
        window = MainWindow(config, file)
        windows.append(window)
        qtbot.addWidget(window, before_close_func=lambda window: window.session.model.pause())
        window.show()
        qtbot.waitUntil(lambda: window.session.model.status is not Status.LOADING, timeout=WAIT)
        return window

    return open_it


@pytest.fixture
def window(open_window):
    return open_window()


def click(qtbot, window, action):
    """Press the action's button in the tool bar."""
    qtbot.mouseClick(window.tool_bar.widgetForAction(action), Qt.MouseButton.LeftButton)


def ready(qtbot, window):
    """Wait until the experiment can be run."""
    qtbot.waitUntil(lambda: window.session.model.status is Status.READY, timeout=WAIT)


def choose(box, name):
    """Choose a name in a combo box."""
    place = box.findData(name)
    assert place >= 0, name
    box.setCurrentIndex(place)


def type_number(qtbot, box, text):
    """Type a number into a box, and leave it with Enter."""
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, Qt.Key.Key_Return)


def trained(qtbot, window, epochs=2):
    """Train epoch by epoch, and wait for each."""
    for epoch in range(1, epochs + 1):
        click(qtbot, window, window.commands.step_epoch)
        qtbot.waitUntil(lambda epoch=epoch: window.session.model.history[-1].epoch == epoch, timeout=WAIT)


def press(qtbot, window, key, *more):
    """Press Ctrl and a key, with more modifiers."""
    keys = Qt.KeyboardModifier.ControlModifier
    for modifier in more:
        keys |= modifier
    qtbot.keyClick(window, key, keys)


def questions(monkeypatch, answer):
    """Answer message boxes by a part of a button's text; returns the list of their texts."""
    asked = []
    monkeypatch.setattr(QMessageBox, "exec", lambda box: asked.append(box.text()))
    monkeypatch.setattr(
        QMessageBox,
        "clickedButton",
        lambda box: next(button for button in box.buttons() if answer in button.text().replace("&", "")),
    )
    return asked
