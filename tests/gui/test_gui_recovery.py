"""The app autosaves, recovers what a killed process left, and restores the last sessions."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, SHIFT, WAIT, click, press, ready, trained
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox

from fastdrop.experiments import Experiment, ExperimentConfig, load_experiment, save_experiment
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.files import recovery

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def test_autosave_and_recovery_after_a_kill(qtbot, home, open_window, monkeypatch):
    """A real app is killed; the next one offers its experiment."""
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
    assert recovery.left_behind() == []  # it still runs
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
    window.autosave.offer_recovery()  # there is nothing to recover


def test_unsaved_work_is_the_last_session(qtbot, window, open_window):
    trained(qtbot, window)
    window.training.settings.rate.setValue(0.3)
    history = list(window.session.model.history)
    window.close()
    second = open_window(ExperimentConfig())
    press(qtbot, second, Qt.Key.Key_O, SHIFT)
    qtbot.waitUntil(lambda: second.session.model.status is Status.PAUSED, timeout=WAIT)
    assert second.session.document.config == CONFIG.replace(rate=0.3)
    assert second.session.model.history == history


def test_files_of_two_killed_windows_are_offered_in_turn(qtbot, home, open_window):
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
    click(qtbot, window, window.commands.step)  # so this experiment is kept as well
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_O, SHIFT)
    qtbot.waitUntil(
        lambda: window.session.model.status is Status.PAUSED and len(window.session.model.history) == 3, timeout=WAIT
    )
    assert window.session.model.history == history
    press(qtbot, window, Qt.Key.Key_O, SHIFT)
    qtbot.waitUntil(lambda: window.session.document.config == ExperimentConfig(), timeout=WAIT)


def button_of(window, text):
    """A button of the most recent message box."""
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


def test_a_file_of_an_earlier_process_with_the_same_id_is_not_overwritten(home):
    left = recovery.folder() / f"{os.getpid()}-1.fastdrop"
    save_experiment(left, Experiment(CONFIG))
    first, second = recovery.AutosaveFile(), recovery.AutosaveFile()
    assert left not in (first.path, second.path)
    assert first.path != second.path
    assert recovery.left_behind() == [left]
    save_experiment(first.path, Experiment(CONFIG))
    assert recovery.left_behind() == [left]  # the file of a running process is not offered
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
def test_the_file_of_a_running_window_is_neither_recovered_nor_discarded(qtbot, open_window, answer):
    path = recovery.folder() / "99999-1.fastdrop"
    save_experiment(path, Experiment(CONFIG.replace(dataset="xor")))
    window = open_window(ExperimentConfig())
    window.autosave.offer_recovery()
    with recovery.claimed(path) as is_ours:
        assert is_ours
        button_of(window, answer).click()
        assert load_experiment(path).config.dataset == "xor"


def test_a_home_folder_without_write_access(qtbot, home, open_window, monkeypatch):
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
