"""The app saves and opens experiments, and never overwrites a trained file unasked."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, SHIFT, WAIT, press, questions, ready, trained
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QMessageBox

from fastdrop.experiments import ExperimentConfig, load_experiment
from fastdrop_gui.model.experiment_model import Status

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def test_save_and_open_bring_back_weights_curves_and_pinned_runs(qtbot, window, open_window, answer):
    trained(qtbot, window)
    press(qtbot, window, Qt.Key.Key_K)
    path = window.autosave.file.path.parent.parent / "lesson.fastdrop"
    answer(path)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: window.session.document.path == str(path), timeout=WAIT)
    assert window.windowTitle().startswith("lesson.fastdrop")
    history, layers = list(window.session.model.history), window.session.model.snapshot.layers
    trained_more = open_window(CONFIG, str(path))  # like the command's file argument
    qtbot.waitUntil(lambda: trained_more.session.model.status is Status.PAUSED, timeout=WAIT)
    assert trained_more.session.model.history == history
    np.testing.assert_array_equal(trained_more.session.model.snapshot.layers[0].values, layers[0].values)
    assert len(trained_more.session.runs) == 1
    assert "paused" in trained_more.status.figures.text()
    assert "epoch 2.0" in trained_more.status.figures.text()


def test_saving_again_needs_no_name_and_save_as_another(qtbot, window, home, answer):
    answer(home / "first")  # the suffix is added
    press(qtbot, window, Qt.Key.Key_S)
    first = home / "first.fastdrop"
    qtbot.waitUntil(lambda: window.session.document.path == str(first), timeout=WAIT)
    answer(home / "second.toml")
    window.training.settings.rate.setValue(0.1)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: load_experiment(first).config.rate == 0.1, timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_S, SHIFT)
    assert ExperimentConfig.load(home / "second.toml") == CONFIG.replace(rate=0.1)
    assert not window.isWindowModified()
    window.training.settings.rate.setValue(0.2)
    assert window.isWindowModified()


def test_a_changed_configuration_is_saved_without_the_other_ones_weights(qtbot, window, home, answer, monkeypatch):
    trained(qtbot, window)
    window.training.cards.cards[0].size_box.setValue(24)  # applies after a reset
    questions(monkeypatch, "settings alone")
    answer(home / "run.fastdrop")
    press(qtbot, window, Qt.Key.Key_S)
    found = load_experiment(home / "run.fastdrop")
    assert found.config.hidden == (24, 16)
    assert found.states == {}


def test_files_that_cannot_be_used_are_explained_and_the_experiment_goes_on(qtbot, window, home, answer, told):
    (home / "bad.fastdrop").write_text("nonsense")
    answer(home / "bad.fastdrop")
    press(qtbot, window, Qt.Key.Key_O)
    assert "not an experiment of fastdrop" in told[0]
    assert window.session.document.config == CONFIG
    answer(home / "no" / "folder.fastdrop")
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: len(told) == 2, timeout=WAIT)
    assert "there is no folder" in told[1]
    assert window.session.document.path == ""


def test_recent_files_are_remembered(qtbot, window, home, open_window):
    for name in ("one", "two"):
        CONFIG.save(home / f"{name}.toml")
        window.files.open(str(home / f"{name}.toml"))
    (home / "one.toml").unlink()
    second = open_window()
    second.menus.recent.aboutToShow.emit()
    actions = second.menus.recent.actions()
    assert [action.text() for action in actions] == [str(home / "two.toml")]
    actions[0].trigger()
    assert second.session.document.path == str(home / "two.toml")


def test_settings_of_other_programs_are_left_alone(window, home):
    assert str(home) in QSettings().fileName()


def test_saving_with_settings_that_wait_asks_and_never_empties_a_file(qtbot, window, home, answer, monkeypatch):
    path = home / "run.fastdrop"
    trained(qtbot, window)
    answer(path)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: window.session.document.path == str(path), timeout=WAIT)
    window.training.settings.fields["batch_size"].setValue(64)
    asked = questions(monkeypatch, "Cancel")
    before = path.read_bytes()
    press(qtbot, window, Qt.Key.Key_S)
    assert "until Reset" in asked[0]
    assert path.read_bytes() == before
    questions(monkeypatch, "trained network")
    trained_more = window.session.model.snapshot.step
    window.commands.step.trigger()
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == trained_more + 1, timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: path.read_bytes() != before, timeout=WAIT)
    found = load_experiment(path)
    assert found.states
    assert found.config == CONFIG
    assert window.session.document.config.batch_size == 64


def test_saving_while_a_file_loads_waits_for_its_weights(qtbot, window, home, answer):
    path = home / "run.fastdrop"
    trained(qtbot, window)
    answer(path)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: window.session.document.path == str(path), timeout=WAIT)
    window.files.open(str(path))
    assert window.session.model.status is Status.LOADING
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: not window.files._save_when_loaded and not window.session._saving, timeout=WAIT)
    assert len(load_experiment(path).history) == 3


def test_without_a_trainer_a_trained_file_is_not_emptied_unasked(qtbot, window, home, answer, monkeypatch):
    path = home / "run.fastdrop"
    trained(qtbot, window)
    answer(path)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: window.session.document.path == str(path), timeout=WAIT)
    os.kill(window.session.model._process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *arguments: asked.append(arguments[2]) or QMessageBox.StandardButton.No
    )
    press(qtbot, window, Qt.Key.Key_S)
    assert "holds a trained network" in asked[0]
    assert load_experiment(path).states


def test_a_file_that_a_dead_process_did_not_write_is_reported(qtbot, window, home, told):
    trained(qtbot, window, 1)
    pid = window.session.model._process.pid
    os.kill(pid, signal.SIGSTOP)
    window.files.save_to(str(home / "run.fastdrop"))
    window.exporter._session.save(str(home / "weights.npz"), window.session.experiment(), window.exporter._note_saved)
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: len(told) == 2, timeout=WAIT)
    assert "run.fastdrop was not written" in told[0]
    assert "weights.npz was not written" in told[1]
    assert window.session.document.path == ""


def test_a_file_that_is_written_late_is_not_taken_for_another_document(qtbot, window, home):
    other = home / "other.toml"
    CONFIG.replace(dataset="xor").save(other)
    trained(qtbot, window, 1)
    window.files.save_to(str(home / "first.fastdrop"))
    window.files.open(str(other))
    qtbot.waitUntil((home / "first.fastdrop").exists, timeout=WAIT)
    ready(qtbot, window)
    qtbot.waitUntil(lambda: not window.session._saving, timeout=WAIT)
    assert window.session.document.path == str(other)
    assert window.windowTitle().startswith("other.toml")


def test_an_edit_after_save_is_not_marked_saved(qtbot, window, home):
    window.files.save_to(str(home / "run.fastdrop"))
    window.training.settings.rate.setValue(0.1)
    qtbot.waitUntil(lambda: window.session.document.path != "", timeout=WAIT)
    assert window.isWindowModified()
    trained(qtbot, window, 1)
    window.files.save()
    qtbot.waitUntil(lambda: not window.isWindowModified(), timeout=WAIT)
    trained_steps = window.session.model.snapshot.step
    window.commands.step.trigger()
    qtbot.waitUntil(
        lambda: window.session.model.snapshot.step == trained_steps + 1 and window.isWindowModified(), timeout=WAIT
    )
