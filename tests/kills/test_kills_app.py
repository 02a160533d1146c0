"""The app is killed 100 times while it autosaves and closes: part of `make kills`, 6 minutes.

After each kill the complete experiment can be recovered or restored as the last session, with at least the steps that
were on disk before. The next window opens without delay, and the folder holds no other file.
"""

import os
import random
import signal
import time

import pytest

pytest.importorskip("PySide6")
from PySide6.QtCore import QTimer
from victim import Victim

from fastdrop.experiments import Experiment, ExperimentConfig, load_experiment, save_experiment
from fastdrop_gui import app
from fastdrop_gui.views.files import autosave, recovery
from fastdrop_gui.views.main_window import MainWindow

pytestmark = [pytest.mark.native, pytest.mark.gui, pytest.mark.timeout(3600)]
SEED = 40
KILLS = 50
"""Kills while the app runs, and the same number while it closes."""
CONFIG = ExperimentConfig(dataset="moons", hidden=(16,), epochs=10_000)
_CLOSED_AFTER_MS = 200


def run_app(_folder, closes):
    """A window that trains and autosaves continuously, and can close itself after an autosave."""
    os.setsid()
    autosave.AUTOSAVE_SECONDS = 0.02
    application = app.make_application()
    application.setApplicationName("fastdrop-test")
    window = MainWindow(CONFIG)
    window.show()
    begun = []

    def tick():
        window.session.run()
        if closes and not begun and window.autosave.file.path.exists():
            begun.append(True)
            QTimer.singleShot(_CLOSED_AFTER_MS, window.close)

    timer = QTimer(interval=20)
    timer.timeout.connect(tick)
    timer.start()
    application.exec()


WRITERS = {"app": run_app}


@pytest.fixture
def victim(home):
    found = Victim(__file__)
    yield found
    found.close()


def autosaved():
    return sorted(recovery.folder().glob(f"*{recovery.SUFFIX}"))


def wait_for_group(number):
    """Wait for the training process to end as well: it may still be writing its file."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("a process of the app lives on")


@pytest.mark.parametrize("closes", [0, 1], ids=["running", "closing"])
def test_the_app_is_killed_again_and_again(victim, tmp_path, closes):
    rng = random.Random(f"{SEED} {closes}")
    found = {"left behind": 0, "session": 0}
    kills = 0
    for _ in range(KILLS):
        child = victim.begin("app", tmp_path, closes)
        victim.go()
        end = time.monotonic() + 300
        while not autosaved():
            assert time.monotonic() < end, victim.errors()
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.8 if closes else 0.3))
        before = [load_experiment(path).steps for path in autosaved()] if not closes else [1]
        victim.kill()
        kills += victim.end() == -signal.SIGKILL
        wait_for_group(child)
        left, sessions = recovery.left_behind(), recovery.sessions()
        assert len(left) + len(sessions) == 1, (left, sessions)
        assert load_experiment((left + sessions)[0]).steps >= max(before)
        found["left behind" if left else "session"] += 1
        with recovery.claimed((left + sessions)[0]) as is_ours:
            assert is_ours
            (left + sessions)[0].unlink()
    print(f"seed {SEED}, {kills} kills: {found}")
    assert kills >= KILLS // 4
    assert found["left behind"] > 0
    last = recovery.AutosaveFile()
    save_experiment(last.path, Experiment(CONFIG))
    last.end()
    (session,) = recovery.folder().iterdir()  # and no hidden file
    assert recovery.sessions() == [session]
