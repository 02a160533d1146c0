"""The sweep's view on a cluster and with a table, offscreen, operated by mouse and keyboard."""

import sys
import time

import numpy as np
import pytest

from fastdrop.experiments import Trainer

pytest.importorskip("PySide6")
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFileDialog
from sweeptools import CONFIG, WAIT, press, sweep, write

# The offscreen platform prints this for every window with a minimum size.
pytestmark = [pytest.mark.slow, pytest.mark.gui, pytest.mark.qt_log_ignore("propagateSizeHints")]


def choose_cluster(view, address):
    view.settings.where.setCurrentIndex(view.settings.where.findData("cluster"))
    view.settings.address.setText(address)


def test_on_a_cluster_by_its_address(qtbot, view, tmp_path):
    distributed = pytest.importorskip("distributed")
    pq = pytest.importorskip("pyarrow.parquet")
    assert view.settings.cores.isVisible()
    assert not view.settings.address.isVisible()
    write(qtbot, view, "rate", "0, 0.9")
    choose_cluster(view, "")
    assert "give the cluster's address, such as tcp://" in view.settings.plan.text()
    assert not view.start_button.isEnabled()
    assert view.settings.address.isVisible()
    assert not view.settings.cores.isVisible()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        qtbot.keyClicks(view.settings.address, cluster.scheduler_address)
        view.settings.file.setText(str(tmp_path / "rates.parquet"))
        qtbot.keyClick(view.settings.address, Qt.Key.Key_Return)
        assert view.is_running
        qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
        assert view.status.text() == "4 of 4 runs, finished (MLP 8 on moons)"
        for result in view.results:
            assert result.history == list(Trainer(result.config).run())[-1].history
        assert pq.read_table(tmp_path / "rates.parquet").num_rows == 4
        view.settings.file.setText("")
        view.settings.set_config(CONFIG.replace(epochs=1_000_000))
        press(qtbot, view.start_button)
        qtbot.waitUntil(lambda: not view._run.note, timeout=WAIT)
        press(qtbot, view.cancel_button)
        assert "0 of 4 runs, cancelled" in view.status.text()
        view._run.close(30)


def test_a_cluster_that_does_not_answer_is_reported_and_the_window_lives(qtbot, view, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("fastdrop.experiments.sweeps.cluster_sweep.CONNECT_SECONDS", 2.0)
    write(qtbot, view, "rate", "0, 0.9")
    choose_cluster(view, "tcp://127.0.0.1:9")
    beats = []
    timer = QTimer(view, interval=20)
    timer.timeout.connect(lambda: beats.append(time.monotonic()))
    timer.start()
    press(qtbot, view.start_button)
    qtbot.waitUntil(lambda: "connecting to tcp://127.0.0.1:9" in view.status.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    assert "stopped" in view.status.text()
    assert "No cluster answers at tcp://127.0.0.1:9" in view.status.text()
    assert np.diff(beats).max() < 1.0
    assert view.start_button.isEnabled()


def test_the_results_are_saved_and_continued(qtbot, view, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rates.parquet"
    view.settings.file.setText(str(path))
    sweep(qtbot, view)
    assert pq.read_table(path)["rate"].to_pylist() == [0.0, 0.9, 0.0, 0.9]
    sweep(qtbot, view, seeds=3)
    assert view.status.text() == "6 of 6 runs, 4 from the table, finished (MLP 8 on moons)"
    assert {(result.value, result.seed) for result in view.results} == {(v, s) for v in (0.0, 0.9) for s in range(3)}
    assert len(view._picture.points.getData()[0]) == 6
    for result in view.results:
        assert result.history == list(Trainer(result.config).run())[-1].history
    assert pq.read_table(path).num_rows == 6


def test_a_table_that_cannot_be_continued_is_reported(qtbot, view, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "rates.parquet"
    view.settings.file.setText(str(path))
    sweep(qtbot, view, seeds=1)
    write(qtbot, view, "epochs", "1")
    press(qtbot, view.start_button)
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    assert "stopped" in view.status.text()
    assert "this is the table of another sweep: parameter is rate there and epochs here" in view.status.text()
    view.settings.file.setText(str(tmp_path / "rates.csv"))
    press(qtbot, view.start_button)
    assert not view.is_running
    assert "must end in .parquet" in view.status.text()
    view.settings.file.setText("")
    sweep(qtbot, view, "epochs", "1", seeds=1)


def test_a_missing_package_is_reported(qtbot, view, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    write(qtbot, view, "rate", "0")
    view.settings.file.setText(str(tmp_path / "rates.parquet"))
    press(qtbot, view.start_button)
    assert "needs the package pyarrow" in view.status.text()
    view.settings.file.setText("")
    choose_cluster(view, "tcp://127.0.0.1:9")
    press(qtbot, view.start_button)
    assert "needs the package distributed" in view.status.text()
    assert not view.is_running


def test_a_table_is_chosen_without_asking_whether_to_replace_it(qtbot, view, tmp_path, monkeypatch):
    asked = []

    def answer(parent, title, proposed, kinds, options):
        asked.append((proposed, options))
        return str(tmp_path / "rates"), kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    press(qtbot, view.settings.browse)
    assert view.settings.file.text() == str(tmp_path / "rates.parquet")
    assert asked == [("rate.parquet", QFileDialog.Option.DontConfirmOverwrite)]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: ("", ""))
    press(qtbot, view.settings.browse)
    assert view.settings.file.text() == str(tmp_path / "rates.parquet")
