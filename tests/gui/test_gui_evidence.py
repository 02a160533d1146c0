"""The page that answers whether dropout helps: run, stopped, copied, closed."""

import os
import time

import numpy as np
import pytest

from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop.experiments.evidence import Evidence, SplitResult
from fastdrop.experiments.evidence.training import Arm

pytest.importorskip("PySide6")
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QGuiApplication

from fastdrop_gui.model import evidence_text
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.evidence.evidence_view import EvidenceView
from fastdrop_gui.views.main_window import EVIDENCE

pytestmark = pytest.mark.gui
WAIT = 120_000
CONFIG = ExperimentConfig(dataset="wine", hidden=(16,), epochs=2)


@pytest.fixture
def page(qtbot):
    """A function that makes the page; its processes end with the test."""
    views = []

    def make(config=CONFIG, splits=2, rates="0.2, 0.5"):
        view = EvidenceView(config)
        qtbot.addWidget(view)
        views.append(view)
        view.splits.setValue(splits)
        view.rates.setText(rates)
        view.resize(1100, 800)
        view.show()
        return view

    yield make
    for view in views:
        view.shutdown()


def result(number, labels, baseline, dropout):
    """A split whose networks predict these classes of three surely."""
    arms = [Arm(np.eye(3)[:1], np.eye(3)[each] * 0.7 + 0.1, 0.5, 0.5) for each in (baseline, dropout)]
    return SplitResult(
        number, 0.2, *arms, {0.2: 0.5, 0.5: 0.6}, (), np.zeros(1, int), np.array(labels), 10, 0,
        ("red", "green", "blue"), False,
    )  # fmt: skip


def evidence(splits=2):
    plan = evidence_text.plan_of(CONFIG, splits, "0.2 0.5")
    found = [result(0, [0, 0, 1, 2], [0, 0, 1, 0], [0, 0, 1, 2]), result(1, [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0])]
    return Evidence.of(plan, found)


def test_runs_and_shows_what_the_splits_say(qtbot, page):
    view = page()
    assert "6 networks to train" in view.status.text()
    assert "MLP 16 on wine, standard dropout, 2 epochs" in view.status.text()
    assert not view.area.isVisible()
    begin = time.perf_counter()
    qtbot.mouseClick(view.start_button, Qt.MouseButton.LeftButton)
    assert time.perf_counter() - begin < 5  # processes start meanwhile
    assert view.is_running
    assert view.stop_button.isEnabled()
    assert not view.start_button.isEnabled()
    qtbot.waitUntil(lambda: view.evidence is not None and len(view.evidence.results) == 2, timeout=WAIT)
    qtbot.waitUntil(lambda: not view.is_running and view.start_button.isEnabled(), timeout=WAIT)
    assert "2 of 2 splits, finished" in view.status.text()
    assert view.sentence.text() == view.evidence.sentence
    assert view.area.isVisible()
    headings, rows = view.recall.text.table
    assert headings[1:] == ("Baseline (no dropout)", "With dropout", "Test rows")
    assert [row[0] for row in rows] == list(view.evidence.class_names)
    assert len(view.table().rows) == 2
    assert "p = 0.2" in view.notes.text()


def test_stop_keeps_finished_splits(qtbot, page):
    view = page(CONFIG.replace(epochs=40), splits=200)
    view.start()
    qtbot.waitUntil(lambda: view.evidence is not None, timeout=WAIT)
    qtbot.mouseClick(view.stop_button, Qt.MouseButton.LeftButton)
    assert not view.is_running
    qtbot.waitUntil(lambda: "were not finished" in view.notes.text(), timeout=WAIT)
    assert "stopped" in view.status.text()
    assert "left" not in view.status.text()
    assert view.start_button.isEnabled()


def test_closing_ends_the_processes(qtbot, page):
    view = page(CONFIG.replace(epochs=5000), splits=4)
    view.start()
    qtbot.waitUntil(lambda: bool(view._work.run._processes), timeout=WAIT)
    pids = [process.pid for process in view._work.run._processes]
    view.shutdown()
    qtbot.waitUntil(lambda: not any(map(is_alive, pids)), timeout=WAIT)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("config", "rates", "words"),
    [
        (CONFIG, "0.2, x", "must be numbers with commas"),
        (CONFIG, "", "from 1 to 50 candidate rates"),
        (CONFIG, "1.5", "above 0 and at most 1"),
        (CONFIG.replace(dropout="none"), "0.2", "has no dropout"),
    ],
)
def test_what_cannot_be_compared_is_explained(page, config, rates, words):
    view = page(config, rates=rates)
    assert words in view.status.text()
    assert not view.start_button.isEnabled()
    view.start()
    assert not view.is_running
    view.set_config(CONFIG)
    view.rates.setText("0.2")
    assert view.start_button.isEnabled()


def test_a_split_that_fails_is_told(qtbot, page, tmp_path):
    missing = CONFIG.replace(dataset="file", data_file=str(tmp_path / "gone.csv"))
    view = page(missing)
    view.start()
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    qtbot.waitUntil(lambda: "gone.csv" in view.status.text(), timeout=WAIT)
    assert view.evidence is None
    assert view.start_button.isEnabled()


def test_the_confusion_matrix_is_that_of_the_chosen_network(page):
    view = page()
    view._show(evidence())
    model = view.confusion.text
    assert model.table.headings == ("True \\ predicted", "red", "green", "blue")
    assert model.table.rows[1] == ("green", "1", "2", "0")
    view.network.setCurrentIndex(1)
    assert model.table.rows[1] == ("green", "0", "3", "0")
    shade = model.index(1, 2).data(Qt.ItemDataRole.BackgroundRole)
    assert shade.alphaF() == pytest.approx(0.9, abs=0.01)
    assert "3 rows of class green were predicted green (100.0%)" in model.index(1, 2).data(Qt.ItemDataRole.ToolTipRole)


def test_the_text_is_copied_with_its_tables(page):
    view = page()
    view._show(evidence())
    assert view.copy_button.isEnabled()
    view.copy()
    text = QGuiApplication.clipboard().text()
    assert text.startswith(view.evidence.sentence)
    assert "Recall of class\tBaseline (no dropout)\tWith dropout\tTest rows" in text
    assert "blue\t0.0%\t100.0%\t1" in text


def test_pictures_show_the_interval_and_follow_the_theme(page):
    view = page()
    view._show(evidence())
    points = view.differences.points.getData()
    assert list(points[0]) == [1, 2]
    assert list(points[1]) == [25.0, -25.0]
    low, high = view.differences.band.getRegion()
    assert low < 0 < high
    view.changeEvent(QEvent(QEvent.Type.PaletteChange))
    assert view.grab().width() == view.width()


def test_rates_are_read_with_commas_or_spaces():
    assert evidence_text.plan_of(CONFIG, 3, "0.1,0.2; 0.3 0.4").rates == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(ConfigError, match="numbers with commas"):
        evidence_text.plan_of(CONFIG, 3, "a")


def test_the_window_asks_while_it_trains_and_closes_both(qtbot, window):
    window.commands.show_evidence.trigger()
    assert window.pages.current == EVIDENCE
    view = window.pages.page(EVIDENCE)
    view.splits.setValue(50)
    window.session.run()
    view.start()
    qtbot.waitUntil(lambda: view.is_running and window.session.model.steps_done > 20, timeout=WAIT)
    assert window.session.model.status is Status.RUNNING
    assert window.pages.running_work() == ["the comparison with the baseline"]
    window.session.pause()
    view.stop()
    assert window.pages.running_work() == []
    changed = window.session.config.replace(seed=3)
    window.session.document.change(changed, "seed")
    assert "The settings have changed since" in view.status.text()
