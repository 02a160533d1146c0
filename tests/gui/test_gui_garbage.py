"""Cyclic garbage is collected only in the window's thread."""

import gc
import threading

import pytest

pytest.importorskip("PySide6")
from PySide6.QtCore import QObject

from fastdrop_gui.views.widgets import garbage

pytestmark = pytest.mark.gui


class Cycle(QObject):
    """An object that only the collector can destroy; it records the collecting thread."""

    def __init__(self, found):
        super().__init__()
        self.itself, self.found = self, found

    def __del__(self):
        self.found.append(threading.get_ident())


def allocate():
    """Allocate many objects that the collector counts."""
    return [[number] for number in range(200_000)]


def test_the_collector_runs_in_the_window_s_thread_alone(qtbot):
    found = []
    Cycle(found)
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    kept = allocate()
    assert found == []  # neither in the other thread nor during a call in this one
    qtbot.waitUntil(lambda: found == [threading.get_ident()], timeout=10_000)
    assert kept


def test_without_it_another_thread_does(qapp):
    found = []
    Cycle(found)
    gc.enable()
    try:
        thread = threading.Thread(target=allocate)
        thread.start()
        thread.join()
    finally:
        gc.disable()
    assert found == [thread.ident]


def test_old_garbage_is_collected_too(qapp, monkeypatch):
    asked = []
    monkeypatch.setattr(gc, "collect", asked.append)
    for counts, generation in (((701, 0, 0), 0), ((701, 11, 0), 1), ((0, 11, 11), 2), ((701, 3, 11), 2)):
        monkeypatch.setattr(gc, "get_count", lambda counts=counts: counts)
        monkeypatch.setattr(gc, "get_threshold", lambda: (700, 10, 10))
        garbage.collect()
        assert asked.pop() == generation
    monkeypatch.setattr(gc, "get_count", lambda: (700, 10, 10))
    garbage.collect()
    monkeypatch.setattr(gc, "get_threshold", lambda: (0, 0, 0))  # a program may disable the collector
    garbage.collect()
    assert asked == []
