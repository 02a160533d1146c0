"""The benchmark page, offscreen, operated by mouse and keyboard. No test asserts a time."""

import csv
import multiprocessing
import os
import signal

import pytest
from benchtools import CALM, LOUD, TINY, records, saved_run
from benchtools import small_result as result

from fastdrop.bench import baselines, figures, noise, plan, report
from fastdrop.errors import BackendUnavailable
from fastdrop_gui.model import benchmark_run
from fastdrop_gui.model.benchmark_run import Gpu, Status

pytest.importorskip("PySide6")
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QFileDialog, QLabel, QProgressBar, QPushButton

from fastdrop_gui.views.benchmark.benchmark_view import BenchmarkView

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WAIT = 30_000
ENDLESS = (plan.Row(("dropout",), ((1 << 10,),), (0.5, 0.3), plan.COPIES, seconds=0),
           plan.Row(("dropout backward",), ((1 << 23,),), (0.5,), plan.COPIES, seconds=1e4))  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(plan, "QUICK", TINY)
    monkeypatch.setattr(benchmark_run, "get_num_threads", lambda: 2)


@pytest.fixture
def view(qtbot):
    view = BenchmarkView()
    qtbot.addWidget(view)
    view.resize(900, 700)
    view.show()
    qtbot.waitExposed(view)
    view.activateWindow()
    yield view
    view.shutdown()


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(qtbot, view):
    press(qtbot, view.run_button)
    assert view.is_running
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)


def texts(view, column):
    rows = range(view.list.model().rowCount())
    return [view.list.model().index(row, column).data() for row in rows]


def heading(view, column):
    return view.list.model().headerData(column, Qt.Orientation.Horizontal)


def column(view, name):
    return next(number for number in range(view.list.model().columnCount()) if heading(view, number) == name)


def names(plot):
    """The labels of the bars."""
    return [text for _, text in plot.getAxis("left")._tickLevels[0]]


def test_says_what_it_would_do_and_why_there_is_no_gpu(qtbot, view):
    assert "9 cases" in view.status.text()
    qtbot.waitUntil(lambda: not view.model.is_busy, timeout=WAIT)  # if CuPy is installed, the page looks for a GPU
    assert view.model.pid is None  # nothing is started before Run
    with pytest.raises(BackendUnavailable) as why:
        benchmark_run.require()
    assert str(why.value) in view.notes.text()
    assert not view.on_gpu.isEnabled()
    assert not view.on_gpu.isChecked()
    assert "Training pauses when a run starts" in view.notes.text()
    for name in baselines.missing():
        assert name in view.notes.text()
    assert not view.stop_button.isEnabled()
    assert not view.export_button.isEnabled()


def test_a_gpu_is_offered_where_there_is_one(qtbot, view):
    view.model.gpu = Gpu("a fast GPU")
    view._refresh()
    assert view.on_gpu.isEnabled()
    assert view.on_gpu.isChecked()
    assert "GPU: a fast GPU." in view.notes.text()
    cases = len(plan.cases(TINY, [1, 2])) + len(plan.cases(plan.DEVICE_QUICK, (0,)))
    assert f"{cases} cases" in view.status.text()
    qtbot.keyClick(view.on_cpu, Qt.Key.Key_Space)
    assert f"{len(plan.cases(plan.DEVICE_QUICK, (0,)))} cases" in view.status.text()
    qtbot.keyClick(view.on_gpu, Qt.Key.Key_Space)
    assert "choose the CPU" in view.status.text()
    assert not view.run_button.isEnabled()
    qtbot.keyClick(view.on_cpu, Qt.Key.Key_Space)
    run(qtbot, view)
    assert view.on_gpu.isEnabled()
    assert not view.on_gpu.isChecked()


def test_what_cannot_be_run_is_reported_at_once(qtbot, view):
    view.operation.setFocus()
    view.operation.setCurrentIndex(view.operation.findText("zoneout"))
    assert "choose a full one" in view.status.text()
    assert not view.run_button.isEnabled()
    qtbot.keyClick(view.extent, Qt.Key.Key_Down)
    assert view.extent.currentText() == "Full"
    assert "zoneout" not in view.status.text()
    assert view.run_button.isEnabled()


def test_a_run_fills_table_bars_and_lines(qtbot, view):
    with qtbot.waitSignal(view.started):
        press(qtbot, view.run_button)
    assert view.is_running
    assert view.stop_button.isEnabled()
    assert not view.run_button.isEnabled()
    assert not view.operation.isEnabled()
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    assert view.status.text().splitlines()[0] == "9 of 9 cases, finished"
    assert not view._timer.isActive()
    assert view.progress.value() == view.progress.maximum()
    assert texts(view, 0) == ["dropout"] * 8 + ["call overhead"]
    assert "of best copy" in texts(view, column(view, "speed"))[0]
    curves = view.throughput.curves
    assert {name for name, _ in curves} == {line.name for line in figures.lines(view.model.results, "dropout")}
    for line in figures.lines(view.model.results, "dropout"):
        curve = curves[line.name, False]
        assert list(zip(curve.xData, curve.yData, strict=True)) == line.points
        assert curve.opts["pen"].style() == Qt.PenStyle.SolidLine
    for words in ("best copy", "p = 0.5", "p = 0.3", "hollow: 1 thread", "filled: 2 threads"):
        assert words in view.throughput.legend.text().replace("&nbsp;", " ")
    assert "saved" not in view.throughput.legend.text()
    assert [text for _, text in view.throughput.widget.getAxis("bottom")._tickLevels[0]] == ["2^13", "2^10"]


def test_the_page_warns_of_what_disturbed_a_run(view):
    view.model.results = [result()._replace(noise=LOUD)]
    view._refresh()
    assert f"⚠ {noise.remark([LOUD])}" in view.status.text().splitlines()
    assert view.cases.index(0, 5).data() == "! 1 µs"
    assert view.cases.index(0, 5).data(Qt.ItemDataRole.ToolTipRole) == "\n".join(LOUD.reasons)
    view.model.status, view.model.results = Status.FINISHED, [result()._replace(noise=CALM)]
    view._refresh()
    assert "⚠" not in view.status.text()


def test_bars_are_the_newest_cases_or_the_chosen_ones(qtbot, view):
    run(qtbot, view)
    assert "call overhead" in view.case.text()
    view.operation.setCurrentIndex(view.operation.findText("call overhead"))
    assert "9 of 9 cases, finished; now chosen: 1 case," in view.status.text()
    qtbot.keyClick(view.list, Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier)
    assert not view.follow.isChecked()
    first = view.model.results[0]
    assert view.case.text() == str(first.case)
    assert names(view.bars.widget) == ["▶ fastdrop", *plan.COPIES, *plan.NUMPY]
    rates = [first.gigabytes_per_second(name) for name in first.candidates]
    assert list(view.bars.bars.opts["width"]) == rates
    shown = [label.toPlainText() for label in view.bars.labels if label.isVisible()]
    assert shown == [f"{figures.number_text(rate)} GB/s" for rate in rates]
    patterns = [brush.style() for brush in view.bars.bars.opts["brushes"]]
    assert patterns[0] != Qt.BrushStyle.SolidPattern
    assert set(patterns[1:]) == {Qt.BrushStyle.SolidPattern}
    right = view.bars.widget.getPlotItem().vb.viewRect().right()
    pixel = view.bars.widget.getPlotItem().vb.viewPixelSize()[0]
    for label in view.bars.labels[:4]:  # no label is cut off
        assert label.pos().x() + label.boundingRect().width() * pixel <= right
    view.shown_metric.setFocus()
    qtbot.keyClick(view.shown_metric, Qt.Key.Key_Down)
    assert "time" in view.bars.widget.getAxis("bottom").labelText
    assert view.bars.labels[0].toPlainText() == figures.time_text(first.timing().median)
    press(qtbot, view.follow)
    assert "call overhead" in view.case.text()


def test_the_table_sorts_by_numbers(qtbot, view):
    run(qtbot, view)
    header, number = view.list.horizontalHeader(), column(view, "size")
    view.list.scrollTo(view.list.model().index(0, number))
    at = QPoint(header.sectionViewportPosition(number) + 10, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)
    if texts(view, number)[0] != "2^6":
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert texts(view, number) == ["2^6"] + ["2^10"] * 4 + ["2^13"] * 4


def test_stop_keeps_what_was_measured(qtbot, view, monkeypatch):
    monkeypatch.setattr(plan, "QUICK", ENDLESS)
    press(qtbot, view.run_button)
    qtbot.waitUntil(lambda: len(view.model.results) == 4, timeout=WAIT)
    assert "left" in view.status.text()
    press(qtbot, view.stop_button)
    assert not view.is_running
    assert "4 of 6 cases, stopped" in view.status.text()
    qtbot.waitUntil(lambda: not multiprocessing.active_children(), timeout=WAIT)
    assert len(texts(view, 0)) == 4
    assert view.export_button.isEnabled()
    assert not view.model.report().complete
    monkeypatch.setattr(plan, "QUICK", TINY)
    run(qtbot, view)
    assert view.status.text().splitlines()[0] == "9 of 9 cases, finished"


def test_a_process_that_dies_is_reported_and_another_can_be_started(qtbot, view, monkeypatch):
    monkeypatch.setattr(plan, "QUICK", ENDLESS)
    press(qtbot, view.run_button)
    qtbot.waitUntil(lambda: len(view.model.results) == 4, timeout=WAIT)
    os.kill(view.model.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    assert "⚠ the benchmark's process ended unexpectedly (exit status -9)" in view.status.text()
    assert "4 of 6 cases, failed" in view.status.text()
    assert len(texts(view, 0)) == 4
    monkeypatch.setattr(plan, "QUICK", TINY)
    run(qtbot, view)
    assert view.status.text().splitlines()[0] == "9 of 9 cases, finished"


def test_shutdown_ends_the_process(qtbot, view, monkeypatch):
    monkeypatch.setattr(plan, "QUICK", ENDLESS)
    press(qtbot, view.run_button)
    qtbot.waitUntil(lambda: len(view.model.results) == 4, timeout=WAIT)
    pid = view.model.pid
    view.shutdown()
    assert not view.is_running
    assert not view._timer.isActive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_compare_with_a_saved_run(qtbot, view, monkeypatch, tmp_path):
    slow = [result(p=0.5, own=1.0, copy=1e-6), result(p=0.3, own=1.0, copy=1e-6), result(elements=99, copy=1e-6)]
    path = saved_run(tmp_path / "before.json", slow)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *arguments: (path, ""))
    assert not view.alone_button.isVisible()
    press(qtbot, view.compare_button)
    assert "Compared with before.json: 3 cases" in view.status.text()
    assert texts(view, column(view, "before")) == ["1 s", "1 s", "1 µs"]
    view.list.setCurrentIndex(view.list.model().index(0, 0))
    assert "(before.json)" in view.case.text()
    run(qtbot, view)
    assert "2 of 2 figures changed beyond noise" in view.status.text()
    assert "differ in" in view.status.text()
    changes = texts(view, column(view, "change"))
    assert sum("faster" in text for text in changes) == 2
    assert changes[2] == "–"
    assert len(changes) == 10
    dashed = {name for name, old in view.throughput.curves if old}
    assert dashed == {"fastdrop p = 0.5, 1 thread", "copy, 1 thread"}
    for name in dashed:
        assert view.throughput.curves[name, True].opts["pen"].style() == Qt.PenStyle.DashLine
    assert "dashed: saved run" in view.throughput.legend.text()
    press(qtbot, view.alone_button)
    assert "Compared" not in view.status.text()
    assert not any(old for _, old in view.throughput.curves)
    assert heading(view, view.list.model().columnCount() - 1) == "speed"
    assert len(texts(view, 0)) == 9


def test_a_file_that_is_not_a_run_is_reported(qtbot, view, monkeypatch, tmp_path):
    path = tmp_path / "other.json"
    path.write_text("{}")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *arguments: (str(path), ""))
    press(qtbot, view.compare_button)
    assert "other.json: not a file of this fastdrop bench" in view.status.text()
    assert view.model.saved is None


def test_exports_figures_picture_and_numbers(qtbot, view, monkeypatch, tmp_path):
    run(qtbot, view)
    for name in ("run.json", "run.png", "run.csv"):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *arguments, name=name: (str(tmp_path / name), ""))
        press(qtbot, view.export_button)
        assert "⚠" not in view.status.text().replace(f"⚠ {view.model.remark}", "")
    assert records(report.load(tmp_path / "run.json").results) == records(view.model.results)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "run.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(found.candidates) for found in view.model.results)
    assert float(rows[0]["seconds"]) == view.model.results[0].timing().median
    missing = tmp_path / "nowhere" / "run.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *arguments: (str(missing), ""))
    press(qtbot, view.export_button)
    assert view.status.text().splitlines()[-1].startswith("⚠")
    assert "nowhere" in view.status.text()


def test_everything_has_a_name_and_is_reached_by_keys(view):
    assert view.accessibleName() == "Benchmark"
    widgets = [
        widget for kind in (QPushButton, QComboBox, QCheckBox, QProgressBar) for widget in view.findChildren(kind)
    ]
    assert len(widgets) >= 12
    for widget in [*widgets, view.list, view.bars.widget, view.throughput.widget]:
        assert widget.accessibleName()
    for widget in widgets:
        if not isinstance(widget, QProgressBar):
            assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    labelled = [label.text() for label in view.findChildren(QLabel) if label.buddy()]
    shortcuts = [text[text.index("&") + 1].lower() for text in labelled]
    shortcuts += [button.text()[button.text().index("&") + 1].lower() for button in view.findChildren(QPushButton)]
    shortcuts += [box.text()[box.text().index("&") + 1].lower() for box in view.findChildren(QCheckBox)]
    assert len(set(shortcuts)) == len(shortcuts)
    assert not set("tpwkbfevh") & set(shortcuts)  # keys of the window's tabs and menus


def test_follows_a_dark_theme(qtbot, view):
    run(qtbot, view)
    before = QApplication.palette()
    try:
        QApplication.setPalette(QPalette(QColor(40, 40, 40)))
        base = QApplication.palette().color(QPalette.ColorRole.Base)
        text = QApplication.palette().color(QPalette.ColorRole.Text)
        qtbot.waitUntil(lambda: view.throughput.curves["best copy, 1 thread", False].opts["pen"].color() == text)
        assert view.bars.widget.backgroundBrush().color() == base
        assert view.bars.labels[0].color == text
    finally:
        QApplication.setPalette(before)
