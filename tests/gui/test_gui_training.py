"""The app trains: steps, speed, epochs, the baseline, processes that die or do not answer."""

import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, click, ready, type_number
from PySide6.QtCore import Qt

from fastdrop_gui.model.experiment_model import Status

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def test_every_step_counts(qtbot, window):
    for _ in range(10):
        window.commands.step.trigger()
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 10, timeout=WAIT)
    qtbot.wait(200)
    assert window.session.model.snapshot.step == 10


def test_heat_map_and_rates_follow_live(qtbot, window):
    first = window.training.heat_map
    window.training.settings.rate.setValue(0.0)  # so that masks do not change the heat map
    qtbot.waitUntil(lambda: window.session.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    before = first.pixels.copy()
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.session.model.history) > 2, timeout=WAIT)
    assert not np.array_equal(first.pixels, before)
    window.training.settings.rate.setValue(0.5)
    qtbot.waitUntil(lambda: not window.session.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    window.training.cards.cards[1].rate.setValue(1.0)
    qtbot.waitUntil(lambda: not window.session.model.snapshot.layers[1].kept.any(), timeout=WAIT)
    assert window.session.model.snapshot.layers[0].kept.any()
    assert window.session.model.status is Status.RUNNING
    assert window.status.hint.text() == ""
    type_number(qtbot, window.training.settings.fields["learning_rate"], "0.02")
    assert window.session.model.config.learning_rate == 0.02
    assert window.status.hint.text() == ""


def test_the_epoch_limit_changes_live(qtbot, open_window):
    window = open_window(CONFIG.replace(epochs=1))
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: "finished" in window.status.figures.text(), timeout=WAIT)
    assert not window.commands.run.isEnabled()
    type_number(qtbot, window.training.settings.fields["epochs"], "3")
    assert window.commands.run.isEnabled()
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: window.session.model.history[-1].epoch == 3, timeout=WAIT)


def test_speed_is_limited(qtbot, window):
    window.tool_bar.speed.setCurrentText("10 batches/s")
    click(qtbot, window, window.commands.run)
    qtbot.wait(1500)
    assert 2 <= window.session.model.snapshot.step <= 40
    window.tool_bar.speed.setCurrentText("full speed")
    qtbot.waitUntil(lambda: window.session.model.snapshot.step > 300, timeout=WAIT)


def test_a_baseline_is_trained_by_one_click(qtbot, window):
    click(qtbot, window, window.commands.baseline)
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.session.model.baseline_history) > 5, timeout=WAIT)
    curves = window.training.curves
    qtbot.waitUntil(lambda: len(curves.curves["baseline test_accuracy"].getData()[0]) > 5, timeout=WAIT)
    legend = curves.plots["accuracy"].getPlotItem().legend
    assert {label.text for _, label in legend.items} == {"train", "test", "baseline: train", "baseline: test"}
    assert "baseline (no dropout): test" in window.status.figures.text()
    click(qtbot, window, window.commands.baseline)
    qtbot.waitUntil(lambda: not window.session.model.baseline_history, timeout=WAIT)
    qtbot.waitUntil(lambda: len(legend.items) == 2, timeout=WAIT)


def test_runs_are_pinned_compared_restored_and_removed(qtbot, window):
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(lambda: len(window.session.model.history) == 2, timeout=WAIT)
    qtbot.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert len(window.session.runs) == 1
    kept = window.session.runs[0]
    window.training.settings.rate.setValue(0.1)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert len(window.training.curves.run_curves["accuracy"]) == 1
    _, y = window.training.curves.run_curves["accuracy"][0].getData()
    assert list(y) == [record.test_accuracy for record in kept.history]
    view = window.training.run_table
    window.training.raise_view(view)
    qtbot.waitUntil(lambda: view.cells.rowCount() == 2, timeout=WAIT)
    assert view.cells.item(1, 0).text() == f"pinned 1: {kept.name}"
    assert view.cells.item(1, 3).text() == f"{kept.history[-1].test_accuracy:.1%}"
    view.cells.selectRow(1)
    qtbot.mouseClick(view.restore, Qt.MouseButton.LeftButton)
    assert window.session.document.config.rate == 0.5
    view.cells.selectRow(1)
    qtbot.mouseClick(view.remove, Qt.MouseButton.LeftButton)
    assert window.session.runs == ()
    assert view.cells.rowCount() == 1


def test_killed_training_process_is_reported_and_replaced(qtbot, window):
    click(qtbot, window, window.commands.run)
    os.kill(window.session.model._process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "ended unexpectedly" in window.status.problem.text()
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.status.problem.text() == ""


def test_divergence_is_reported(qtbot, open_window):
    window = open_window(CONFIG.replace(optimizer="sgd", learning_rate=10.0))
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "lower the learning rate" in window.status.problem.text()
    assert "lower the learning rate" in window.training.settings.problem("learning_rate")


def test_long_loading_is_told_with_its_seconds(window, monkeypatch):
    monkeypatch.setattr(window.session.model._process, "receive", list)  # a fast process has finished loading
    window.session.reset()
    assert window.status.figures.text() == "loading"
    monkeypatch.setattr(window.session.model, "_begun", time.monotonic() - 3.2)
    window._tick()
    assert window.status.figures.text() == "loading for 3 s (a large network or table)"


def test_the_number_of_threads_is_handed_on(qtbot, window):
    sent = []
    real = window.session.model._process.send
    window.session.model._process.send = lambda kind, value=None: (sent.append((kind, value)), real(kind, value))
    threads = window.training.settings.threads
    threads.setValue(threads.minimum() if threads.value() > threads.minimum() else threads.maximum())
    assert (("threads", threads.value()) in sent) == (threads.minimum() < threads.maximum())


def test_a_process_that_does_not_answer_is_reported_and_reset_replaces_it(qtbot, window, monkeypatch):
    monkeypatch.setattr("fastdrop_gui.model.experiment_model.PATIENCE", 0.5)
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: window.session.model.snapshot.step > 3, timeout=WAIT)
    process = window.session.model._process
    os.kill(process._process.pid, signal.SIGSTOP)
    qtbot.waitUntil(lambda: "no answer for" in window.status.figures.text(), timeout=WAIT)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.session.model._process is not process


def test_an_epoch_can_be_paused_and_ends_by_itself(qtbot, window):
    window.tool_bar.speed.setCurrentText("10 batches/s")
    click(qtbot, window, window.commands.step_epoch)
    assert window.session.model.status is Status.RUNNING
    qtbot.waitUntil(lambda: window.session.model.snapshot.step >= 2, timeout=WAIT)
    click(qtbot, window, window.commands.pause)
    qtbot.wait(400)
    step = window.session.model.snapshot.step
    assert 2 <= step < 15
    qtbot.wait(300)
    assert window.session.model.snapshot.step == step
    window.tool_bar.speed.setCurrentText("full speed")
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(lambda: window.session.model.status is Status.PAUSED, timeout=WAIT)
    assert window.session.model.snapshot.step == 15


def test_rates_move_also_while_other_changes_wait(qtbot, window):
    window.commands.step.trigger()
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)
    type_number(qtbot, window.training.settings.fields["batch_size"], "64")
    assert "Reset to apply" in window.status.hint.text()
    window.training.settings.rate.setValue(1.0)
    qtbot.waitUntil(lambda: not window.session.model.snapshot.layers[0].kept.any(), timeout=WAIT)
    assert window.session.model.config.batch_size == CONFIG.batch_size
