"""Fixtures of the app's tests."""

import pytest

pytest.importorskip("PySide6")
from guitools import home, open_window, window  # noqa: F401
from PySide6.QtWidgets import QFileDialog, QMessageBox
from sweeptools import view  # noqa: F401


@pytest.fixture
def answer(monkeypatch):
    """A function that sets the path which file dialogs return."""

    def say(path):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    return say


@pytest.fixture
def told(monkeypatch):
    """The list of texts of warnings that are shown."""
    texts = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: texts.append(arguments[2]))
    return texts
