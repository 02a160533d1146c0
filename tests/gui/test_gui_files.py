"""The app and files, offscreen, as a person would: saving, opening, crashes, exports."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, click, ready
from PIL import Image
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QFileDialog, QMessageBox

from fastdrop.experiments import Experiment, ExperimentConfig, load_experiment, save_experiment
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.files import recorder, recovery
from fastdrop_gui.views.widgets import dialogs
from fastdrop_gui.views.widgets.dialogs import ExportDialog, UnexpectedError

pytestmark = [pytest.mark.gui, pytest.mark.slow]


@pytest.fixture
def answer(monkeypatch):
    """A function that says what file dialogs will answer."""

    def say(path):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    return say


@pytest.fixture
def told(monkeypatch):
    """The warnings that are shown."""
    texts = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: texts.append(arguments[2]))
    return texts


def trained(qtbot, window, epochs=2):
    for epoch in range(1, epochs + 1):
        click(qtbot, window, window.commands.step_epoch)
        qtbot.waitUntil(lambda epoch=epoch: window.session.model.history[-1].epoch == epoch, timeout=WAIT)


def press(qtbot, window, key, *more):
    keys = Qt.KeyboardModifier.ControlModifier
    for modifier in more:
        keys |= modifier
    qtbot.keyClick(window, key, keys)


def questions(monkeypatch, answer):
    """Answer the boxes that ask, by a part of a button's text; what they said is returned."""
    asked = []
    monkeypatch.setattr(QMessageBox, "exec", lambda box: asked.append(box.text()))
    monkeypatch.setattr(
        QMessageBox,
        "clickedButton",
        lambda box: next(button for button in box.buttons() if answer in button.text().replace("&", "")),
    )
    return asked


SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_save_and_open_bring_back_weights_curves_and_pinned_runs(qtbot, window, open_window, answer):
    trained(qtbot, window)
    press(qtbot, window, Qt.Key.Key_K)
    path = window.autosave.file.path.parent.parent / "lesson.fastdrop"
    answer(path)
    press(qtbot, window, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: window.session.document.path == str(path), timeout=WAIT)
    assert window.windowTitle().startswith("lesson.fastdrop")
    history, layers = list(window.session.model.history), window.session.model.snapshot.layers
    trained_more = open_window(CONFIG, str(path))  # as the argument of the command does
    qtbot.waitUntil(lambda: trained_more.session.model.status is Status.PAUSED, timeout=WAIT)
    assert trained_more.session.model.history == history
    np.testing.assert_array_equal(trained_more.session.model.snapshot.layers[0].values, layers[0].values)
    assert len(trained_more.session.runs) == 1
    assert "paused" in trained_more.status.figures.text()
    assert "epoch 2.0" in trained_more.status.figures.text()


def test_saving_again_needs_no_name_and_save_as_another(qtbot, window, home, answer):
    answer(home / "first")  # the ending is added
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
    window.training.cards.cards[0].size_box.setValue(24)  # waits for a reset
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


def test_autosave_and_recovery_after_a_kill(qtbot, home, open_window, monkeypatch):
    """A real app, killed; the next one offers what was there."""
    code = (
        "import sys; from PySide6.QtCore import QSettings, QTimer; from fastdrop_gui import app\n"
        "from fastdrop_gui.views import main_window\nfrom fastdrop_gui.views.files import autosave\n"
        "autosave.AUTOSAVE_SECONDS = 0.5\n"
        "application = app.make_application(); application.setApplicationName('fastdrop-test')\n"
        f"from fastdrop.experiments import ExperimentConfig\n"
        f"w = main_window.MainWindow(ExperimentConfig.from_share_code({CONFIG.to_share_code()!r})); w.show()\n"
        "def go():\n"
        "    w.session.run(); print(w.autosave.file.path, flush=True)\n"
        "t = QTimer(interval=100); t.timeout.connect(lambda: w.session.run()); t.start()\n"
        "QTimer.singleShot(0, go)\n"
        "application.exec()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    path = recovery.folder() / os.path.basename(process.stdout.readline().strip())
    end = time.monotonic() + 60

    def saved_epochs():
        return len(load_experiment(path).history) if path.exists() else 0

    while saved_epochs() < 3:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert recovery.left_behind() == []  # it is alive
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert recovery.left_behind() == [path]
    epochs = saved_epochs()
    window = open_window(ExperimentConfig())
    window.autosave.offer_recovery()
    box = window.findChild(QMessageBox)
    assert "ended unexpectedly" in box.text()
    next(button for button in box.buttons() if "Recover" in button.text()).click()
    qtbot.waitUntil(lambda: window.session.model.status is Status.PAUSED, timeout=WAIT)
    assert window.session.document.config == CONFIG
    assert len(window.session.model.history) == epochs
    window.close()
    assert recovery.left_behind() == []
    assert not list(recovery.folder().glob("*.fastdrop"))


def test_an_orderly_end_leaves_nothing_and_a_discarded_one_is_gone(qtbot, home, open_window):
    window = open_window()
    trained(qtbot, window, 1)
    window.autosave.save()
    qtbot.waitUntil(window.autosave.file.path.exists, timeout=WAIT)
    window.close()
    assert not list(recovery.folder().glob("*.fastdrop"))
    left = recovery.folder() / "99999-1.fastdrop"
    left.write_bytes(b"damaged")
    window = open_window()
    window.autosave.offer_recovery()
    box = window.findChild(QMessageBox)
    next(button for button in box.buttons() if "Discard" in button.text()).click()
    assert not left.exists()
    window.autosave.offer_recovery()  # nothing to offer


def export(qtbot, window, monkeypatch, title, suffix):
    """Choose a view and a format in the dialog, as a person would."""

    def accept(dialog):
        dialog.view.setCurrentIndex(dialog.view.findText(title))
        dialog.format.setCurrentIndex(dialog.format.findData(suffix))
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(ExportDialog, "exec", accept)
    press(qtbot, window, Qt.Key.Key_E)


def test_views_are_exported_as_png_svg_and_csv(qtbot, window, home, answer, monkeypatch):
    trained(qtbot, window)
    for suffix in (".png", ".svg", ".csv"):
        answer(home / f"curves{suffix}")
        export(qtbot, window, monkeypatch, "Curves", suffix)
    curves = window.training.curves
    with Image.open(home / "curves.png") as picture:
        assert picture.size == (2 * curves.width(), 2 * curves.height())
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    svg = ET.parse(home / "curves.svg").getroot()
    texts = "".join(svg.itertext())
    assert "accuracy" in texts
    assert (
        len(list(svg.iter("{http://www.w3.org/2000/svg}path")))
        + len(list(svg.iter("{http://www.w3.org/2000/svg}polyline")))
        > 10
    )
    with (home / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test accuracy"]) for row in rows] == [
        record.test_accuracy for record in window.session.model.history
    ]


def test_every_view_has_numbers_to_export(qtbot, window):
    trained(qtbot, window)
    page = window.training
    for view in page.views:
        page.raise_view(view)
        qtbot.waitUntil(lambda view=view: view.is_seen, timeout=WAIT)
        qtbot.wait(100)
        headings, rows = view.table()
        assert headings
        if view not in (page.feature_maps, page.misclassified):  # which have nothing to show of moons
            qtbot.waitUntil(lambda view=view: len(view.table().rows) > 0, timeout=WAIT)
            headings, rows = view.table()
            assert {len(row) for row in rows} == {len(headings)}, view.title


def test_weights_are_exported(qtbot, window, home, answer):
    answer(home / "weights.npz")
    window.exporter.export_weights()
    qtbot.waitUntil((home / "weights.npz").exists, timeout=WAIT)
    with np.load(home / "weights.npz") as weights:
        assert weights["0.weight"].shape == (80, 2)
    assert window.session.document.path == ""  # an export is no save


def test_code_is_exported_that_trains_the_network(qtbot, window, home, answer):
    window.session.document.change(CONFIG.replace(epochs=2), "shorter")
    ready(qtbot, window)
    answer(home / "network.py")
    press(qtbot, window, Qt.Key.Key_E, SHIFT)
    found = subprocess.run([sys.executable, home / "network.py"], capture_output=True, text=True, check=True)
    trained(qtbot, window)
    assert f"test accuracy {window.session.model.history[-1].test_accuracy:.4f}" in found.stdout


def test_the_training_is_recorded(qtbot, window, home, answer):
    answer(home / "training.gif")
    press(qtbot, window, Qt.Key.Key_G)
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.recorder.recording.frames) >= 4, timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_G)
    qtbot.waitUntil((home / "training.gif").exists, timeout=WAIT)
    with Image.open(home / "training.gif") as picture:
        assert picture.n_frames >= 2  # frames that are alike are one
        first = np.asarray(picture.convert("RGB"))
        picture.seek(picture.n_frames - 1)
        assert (np.asarray(picture.convert("RGB")) != first).any()


def test_a_long_recording_keeps_no_more_frames(qtbot, window, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_FRAMES", 6)
    recording = recorder.Recording(window.training)
    for _ in range(40):
        recording.add_frame()
    assert 3 <= len(recording.frames) <= 6


def test_an_unexpected_error_is_shown_with_details_to_copy_and_the_app_goes_on(qtbot, window, monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    dialogs.show_unexpected_errors(lambda: window)
    try:
        raise RuntimeError("the flux is off")
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    assert "the flux is off" in capsys.readouterr().err
    dialog = window.findChild(UnexpectedError)
    assert "the flux is off" in dialog.informativeText()
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    copied = QGuiApplication.clipboard().text()
    assert "Traceback" in copied
    assert "fastdrop" in copied.splitlines()[0]
    dialog.close()
    click(qtbot, window, window.commands.step)
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)


def test_settings_of_other_programs_are_left_alone(window, home):
    assert str(home) in QSettings().fileName()


def test_what_was_not_saved_is_there_as_the_last_session(qtbot, window, open_window):
    trained(qtbot, window)
    window.training.settings.rate.setValue(0.3)
    history = list(window.session.model.history)
    window.close()
    second = open_window(ExperimentConfig())
    press(qtbot, second, Qt.Key.Key_O, SHIFT)
    qtbot.waitUntil(lambda: second.session.model.status is Status.PAUSED, timeout=WAIT)
    assert second.session.document.config == CONFIG.replace(rate=0.3)
    assert second.session.model.history == history


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


def test_a_file_that_a_dead_process_did_not_write_is_told(qtbot, window, home, told):
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


def test_what_two_windows_left_is_offered_one_after_the_other(qtbot, home, open_window):
    good, damaged = (recovery.folder() / f"{99990 + number}-1.fastdrop" for number in range(2))
    save_experiment(good, Experiment(CONFIG.replace(dataset="xor")))
    damaged.write_bytes(b"damaged")
    os.utime(good, (1, 1))
    window = open_window()
    window.autosave.offer_recovery()
    box = window.findChildren(QMessageBox)[-1]
    next(button for button in box.buttons() if "Discard" in button.text()).click()
    assert not damaged.exists()
    assert good.exists()
    box = window.findChildren(QMessageBox)[-1]
    next(button for button in box.buttons() if "Recover" in button.text()).click()
    qtbot.waitUntil(lambda: window.session.document.config.dataset == "xor", timeout=WAIT)


def test_an_experiment_that_another_one_replaces_is_the_last_session(qtbot, window):
    trained(qtbot, window)
    history = list(window.session.model.history)
    press(qtbot, window, Qt.Key.Key_N)
    ready(qtbot, window)
    assert window.session.document.config == ExperimentConfig()
    click(qtbot, window, window.commands.step)  # which makes this one worth keeping, too
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_O, SHIFT)
    qtbot.waitUntil(
        lambda: window.session.model.status is Status.PAUSED and len(window.session.model.history) == 3, timeout=WAIT
    )
    assert window.session.model.history == history
    press(qtbot, window, Qt.Key.Key_O, SHIFT)
    qtbot.waitUntil(lambda: window.session.document.config == ExperimentConfig(), timeout=WAIT)


def button_of(window, text):
    """Of the box that asked last."""
    box = window.findChildren(QMessageBox)[-1]
    return next(button for button in box.buttons() if text in button.text())


def test_two_windows_that_are_closed_lose_nothing(qtbot, open_window):
    for dataset in ("xor", "moons"):
        window = open_window(ExperimentConfig(dataset=dataset, hidden=(8,)))
        trained(qtbot, window, 1)
        window.close()
    window = open_window(ExperimentConfig(dataset="spirals"))
    found = []
    for _ in range(2):
        press(qtbot, window, Qt.Key.Key_O, SHIFT)
        qtbot.waitUntil(lambda: window.session.model.status is Status.PAUSED, timeout=WAIT)
        found.append((window.session.document.config.dataset, window.session.model.snapshot.step > 0))
    assert found == [("moons", True), ("xor", True)]
    assert len(recovery.sessions()) >= 2


def test_only_the_last_sessions_are_kept(home):
    paths = []
    for _ in range(11):
        paths.append(recovery.new_session())
        paths[-1].write_bytes(b"")
    assert recovery.sessions() == paths[:-9:-1]


def test_an_orderly_end_leaves_no_lock(qtbot, window):
    folder = recovery.folder()
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    window.close()
    assert not list(folder.iterdir())


def test_what_a_process_of_the_same_number_left_is_not_written_over(home):
    left = recovery.folder() / f"{os.getpid()}-1.fastdrop"
    save_experiment(left, Experiment(CONFIG))
    first, second = recovery.AutosaveFile(), recovery.AutosaveFile()
    assert left not in (first.path, second.path)
    assert first.path != second.path
    assert recovery.left_behind() == [left]
    save_experiment(first.path, Experiment(CONFIG))
    assert recovery.left_behind() == [left]  # that one is alive
    first.end()
    second.end()


def test_two_windows_that_recover_the_same(qtbot, open_window):
    save_experiment(recovery.folder() / "99999-1.fastdrop", Experiment(CONFIG.replace(dataset="xor")))
    first, second = (open_window(ExperimentConfig()) for _ in range(2))
    first.autosave.offer_recovery()
    second.autosave.offer_recovery()
    button_of(first, "Recover").click()
    qtbot.waitUntil(lambda: first.session.document.config.dataset == "xor", timeout=WAIT)
    button_of(second, "Recover").click()
    assert second.session.document.config == ExperimentConfig()
    assert "another window has recovered it" in second.session.notice


@pytest.mark.parametrize("answer", ["Recover", "Discard"])
def test_what_is_alive_is_neither_recovered_nor_discarded(qtbot, open_window, answer):
    path = recovery.folder() / "99999-1.fastdrop"
    save_experiment(path, Experiment(CONFIG.replace(dataset="xor")))
    window = open_window(ExperimentConfig())
    window.autosave.offer_recovery()
    with recovery.claimed(path) as is_ours:
        assert is_ours
        button_of(window, answer).click()
        assert load_experiment(path).config.dataset == "xor"


def test_a_home_that_cannot_be_written(qtbot, home, open_window, monkeypatch):
    (home / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "file"))
    window = open_window()
    trained(qtbot, window, 1)
    window.autosave.save()
    qtbot.waitUntil(window.autosave.file.path.exists, timeout=WAIT)
    window.close()
    assert recovery.left_behind() == []
    shutil.rmtree(recovery.folder())
    recovery._temporary_folder.cache_clear()
