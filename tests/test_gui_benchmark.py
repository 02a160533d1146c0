"""The benchmark's tab: its model, and its view offscreen, driven as a person would. No times are asserted."""

import csv
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import benchtools
import pytest

from fastdrop.bench import compare, peers, plan, quiet, report, results
from fastdrop.bench.measure import Timing
from fastdrop.cli import main as cli
from fastdrop.errors import BackendUnavailable
from fastdrop_gui import benchmark, benchmark_figures
from fastdrop_gui.benchmark import Began, Benchmark, Choice, Ended, Gpu, Status

pytest.importorskip("PySide6")
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QFileDialog, QLabel, QProgressBar, QPushButton

from fastdrop_gui.views.benchmark import BenchmarkView

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WAIT = 30_000
TINY = (
    plan.Row(("dropout",), ((1 << 10,), (1 << 13,)), (0.5, 0.3), (*plan.COPIES, "plain NumPy"), seconds=0),
    plan.Row(("call overhead",), ((64,),), (0.5,), ("plain NumPy",), seconds=0, one_thread_only=True),
)
ENDLESS = (plan.Row(("dropout",), ((1 << 10,),), (0.5, 0.3), plan.COPIES, seconds=0),
           plan.Row(("dropout backward",), ((1 << 23,),), (0.5,), plan.COPIES, seconds=1e4))  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(plan, "QUICK", TINY)
    monkeypatch.setattr(benchmark, "get_num_threads", lambda: 2)
    monkeypatch.setattr(benchmark, "_measure", benchtools.measure_at_once)


def timing(seconds, own=1.0, bytes_=8 << 10):
    relative = seconds / own
    return Timing(seconds, seconds * 0.99, seconds * 1.01, 9, relative, relative * 0.99, relative * 1.01, bytes_)


def result(operation="dropout", elements=1 << 10, p=0.5, threads=1, own=1e-6, **others):
    case = plan.Case(operation, (elements,), "float32", p, threads, ("copy",))
    size = 8 * elements
    candidates = {name.replace("_", " "): timing(seconds, own, size) for name, seconds in others.items()}
    return results.Result(case, {"fastdrop": timing(own, own, size), **candidates})


def saved_run(path, found):
    report.save(report.Report({"cores": 2}, found, [], "quick", True), path)
    return str(path)


def records(found):
    """What is kept of results."""
    return [results.record(each) for each in found]


def finish(model):
    deadline = time.monotonic() + WAIT / 1000
    while model.is_busy and time.monotonic() < deadline:
        model.tick()
        time.sleep(0.01)
    assert not model.is_busy


# --- without Qt


def test_the_model_knows_nothing_of_qt():
    code = "import fastdrop_gui.benchmark, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fastdrop_gui.benchmark" in loaded
    assert not {"PySide6", "pyqtgraph", "cupy", "matplotlib"} & {name.partition(".")[0] for name in loaded}


def test_choices_are_the_command_lines_cases():
    assert Choice().cases() == (plan.cases(plan.QUICK, [1, 2]), [])
    assert Choice(quick=False, gpu=True).cases() == (plan.cases(plan.FULL, [1, 2]), plan.cases(plan.DEVICE, (0,)))
    on_cpu, on_gpu = Choice(operation="dropout", gpu=True).cases()
    assert {case.operation for case in on_cpu + on_gpu} == {"dropout"}
    assert {case.threads for case in on_gpu} == {0}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(), ""),
        (Choice(cpu=False), "choose the CPU"),
        (Choice(operation="zoneout"), "no part of a quick run on the CPU; a full one has it"),
        (Choice(operation="CPU or GPU"), "not measured on the CPU"),
        (Choice(quick=False, operation="zoneout", cpu=False, gpu=True), "zoneout is not measured on the GPU"),
        (Choice(operation="zoneout", gpu=True), "no part of a quick run on the CPU and the GPU"),
    ],
)
def test_a_choice_without_cases_says_why(choice, words):
    assert words in choice.problem
    assert bool(words) == bool(choice.problem) == (not any(choice.cases()))
    if words:
        with pytest.raises(ValueError, match=words.partition(";")[0]):
            Benchmark().start(choice)


def test_a_run_in_its_process_is_what_the_command_line_reads(tmp_path, capsys):
    model = Benchmark()
    model.start(Choice())
    assert model.is_running
    finish(model)
    assert (model.status, model.message, model.progress) == (Status.FINISHED, "", 1.0)
    assert [found.case.key for found in model.results] == [case.key for case in plan.cases(TINY, [1, 2])]
    assert model.missing == peers.missing()
    assert "processor" in model.machine
    path = tmp_path / "run.json"
    model.save(path)
    loaded = report.load(path)
    assert records(loaded.results) == records(model.results)
    assert loaded.machine == {**model.machine, "quiet": quiet.summary(results.noises(model.results))}
    assert (loaded.plan, loaded.complete) == ("quick", True)
    assert cli.main(["bench", "compare", str(path), str(path)]) == 0
    assert "0 of 9 figures changed" in capsys.readouterr().out
    model.close()


def test_both_sides_are_measured_and_a_quick_run_ends_in_time(monkeypatch):
    def fake_run(cases, tell=None):
        yield from (results.Result(case, {"fastdrop": timing(1.0)}) for case in cases)

    monkeypatch.setattr(benchmark, "machine", lambda: {"cores": 2})
    monkeypatch.setattr(benchmark.device, "description", lambda: {"device": "a GPU"})
    monkeypatch.setattr(results, "run", fake_run)
    monkeypatch.setattr(results, "run_on_device", fake_run)
    on_cpu, on_gpu = Choice(gpu=True).cases()
    began, *found, ended = benchmark.measured(Choice(gpu=True), on_cpu, on_gpu)
    assert began == Began({"cores": 2, "device": "a GPU"}, peers.missing())
    assert [each.case for each in found] == on_cpu + on_gpu
    assert ended == Ended()
    began, *_ = benchmark.measured(Choice(cpu=False, gpu=True), [], on_gpu)
    assert set(began.missing) <= set(plan.DEVICE_PEERS)
    monkeypatch.setattr(plan, "QUICK_LIMIT", -1.0)
    _, *found, ended = benchmark.measured(Choice(gpu=True), on_cpu, on_gpu)
    assert [each.case for each in found] == [on_cpu[0], on_gpu[0]]
    _, *found, ended = benchmark.measured(Choice(quick=False), on_cpu, [])
    assert len(found) == len(on_cpu)


def test_a_gpu_that_cannot_be_used_ends_the_run_with_the_reason(monkeypatch):
    def unavailable():
        raise BackendUnavailable("no driver here")

    monkeypatch.setattr(benchmark.device, "description", unavailable)
    assert list(benchmark.measured(Choice(gpu=True), [], Choice(gpu=True).cases()[1])) == [Ended("no driver here")]
    monkeypatch.setattr(benchmark, "require", unavailable)
    assert benchmark.find_gpu() == Gpu(problem="no driver here")


def test_a_gpu_is_looked_for_elsewhere_where_cupy_is_installed(monkeypatch):
    model = Benchmark()
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(benchmark, "find_gpu", None)  # not in this process
    model.look_for_gpu()
    assert model.is_busy
    assert not model.is_running
    finish(model)
    assert model.gpu is not None
    assert bool(model.gpu.name) != bool(model.gpu.problem)


def test_lines_of_the_roofline():
    found = [
        result(elements=1 << size, p=p, threads=threads, own=(1 << size) * 1e-9, copy=(1 << size) * 5e-10)
        for size in (16, 10)
        for p in (0.3, 0.5)
        for threads in (1, 2, 0)
    ]
    found.append(result(elements=1 << 10, p=0.1, threads=1, copy=1e-6))  # fewer sizes
    found.append(result("dropout backward", p=0.5, copy=1e-6))
    drawn = {(line.p, line.threads): line for line in benchmark_figures.lines(found, "dropout")}
    assert set(drawn) == {(p, threads) for p in (None, 0.5, 0.3) for threads in (0, 1, 2)}
    for (p, _), line in drawn.items():
        assert [size for size, _ in line.points] == [1 << 10, 1 << 16]
        assert all(math.isclose(rate, 16.0 if p is None else 8.0) for _, rate in line.points)
    assert benchmark_figures.operations([found[-1], *found]) == ["dropout", "dropout backward"]
    assert benchmark_figures.operations([result("call overhead")]) == []


def test_what_was_saved_and_what_is_new_stand_in_one_row(tmp_path):
    model = Benchmark()
    first, second, third = (result(p=p, copy=1e-6) for p in (0.5, 0.3, 0.1))
    model.open_saved(tmp_path / saved_run(tmp_path / "a.json", [first, second]))
    assert "2 cases" in model.comparison
    model.results = [result(p=0.5, own=2e-6, copy=1e-6), third]
    model._compare()
    rows = model.rows()
    assert [(row.case.p, bool(row.result), bool(row.saved)) for row in rows] == [
        (0.5, True, True),
        (0.3, False, True),
        (0.1, True, False),
    ]
    assert rows[0].change == next(iter(compare.compare(model.saved, model.report())))
    texts = [[text for text, _ in benchmark_figures.cells(row)] for row in rows]
    assert texts[0][5:] == ["2 µs", "4.1", "50% of copy", "1 µs", "slower (× 0.50)"]
    assert texts[1][5:] == ["–", "–", "–", "1 µs", "–"]
    assert texts[2][5:] == ["1 µs", "8.19", "100% of copy", "–", "–"]
    numbers = [dict(zip(benchmark_figures.FIGURES, row, strict=True)) for row in benchmark_figures.figures(rows)]
    assert len(numbers) == 6
    assert (numbers[0]["seconds"], numbers[0]["seconds before"], numbers[0]["change"]) == (2e-6, 1e-6, "slower")
    assert (numbers[2]["seconds"], numbers[2]["seconds before"]) == ("", 1e-6)


def test_the_roofline_is_the_best_copy_of_each_case():
    first = result(elements=1 << 10, own=1e-6, memcpy=5e-7, plain_copy=4e-7)
    second = result(elements=1 << 16, own=1e-4, memcpy=5e-5, plain_copy=6e-5)
    copy, _ = benchmark_figures.lines([first, second], "dropout")
    assert copy.name == "best copy, 1 thread"
    assert copy.points == [(1 << 10, pytest.approx(20.48)), (1 << 16, pytest.approx(10.48576))]
    assert benchmark_figures.cells(benchmark_figures.Row(first.case, first, None, None))[7][0] == "40% of best copy"


QUIET = quiet.Noise(0.01, 0.0, 0.0, 0.02, 0.0)
LOUD = quiet.Noise(0.38, 0.07, 0.2, 0.02, 3.0)


def test_a_disturbed_case_is_marked():
    calm, loud = (result()._replace(noise=noise) for noise in (QUIET, LOUD))
    rows = [benchmark_figures.Row(each.case, each, None, None) for each in (calm, loud)]
    assert [benchmark_figures.cells(row)[5] for row in rows] == [("1 µs", 1e-6), ("! 1 µs", 1e-6)]
    model = Benchmark()
    model.results = [calm]
    assert model.remark == ""
    model.results = [calm, loud]
    assert model.remark == quiet.remark([QUIET, LOUD])
    assert "1 of 2 cases were disturbed" in model.remark


def test_waiting_for_free_cores_is_told(monkeypatch):
    def waits(cases, tell):
        tell("waiting for free cores")
        yield result()

    monkeypatch.setattr(results, "run", waits)
    told = []
    on_cpu, on_gpu = Choice().cases()
    assert [type(message) for message in benchmark.measured(Choice(), on_cpu, on_gpu, told.append)][1:] == [
        results.Result, Ended,
    ]  # fmt: skip
    assert told == ["waiting for free cores"]
    model = Benchmark()
    model._take(benchmark.Waiting("waiting for free cores"))
    assert model.waiting == "waiting for free cores"
    model._take(Ended())
    assert model.waiting == ""


def test_figures_in_words():
    assert [benchmark_figures.rate_text(rate) for rate in (2654.4, 99.96, 0.2974)] == ["2654", "100", "0.297"]
    assert [benchmark_figures.time_text(seconds) for seconds in (2.5, 1.5e-3, 4e-7)] == ["2.5 s", "1.5 ms", "0.4 µs"]


def test_a_case_that_failed_has_its_reason():
    case = plan.Case("dropout", (1024,), "float32", 0.5, 1)
    failed = results.Result(case, {"fastdrop": "MemoryError: no room"})
    row = benchmark_figures.Row(case, failed, None, None)
    assert benchmark_figures.cells(row)[5] == ("failed", math.inf)
    assert benchmark_figures.bars(failed)[0].problem == "MemoryError: no room"
    assert benchmark_figures.figures([row])[0][-1] == "MemoryError: no room"


# --- the view


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
    """What stands beside the bars."""
    return [text for _, text in plot.getAxis("left")._tickLevels[0]]


def test_says_what_it_would_do_and_why_there_is_no_gpu(qtbot, view):
    assert "9 cases" in view.status.text()
    qtbot.waitUntil(lambda: not view.model.is_busy, timeout=WAIT)  # where CuPy is installed, it is asked for a GPU
    assert view.model.pid is None  # nothing is started before Run
    with pytest.raises(BackendUnavailable) as why:
        benchmark.require()
    assert str(why.value) in view.notes.text()
    assert not view.on_gpu.isEnabled()
    assert not view.on_gpu.isChecked()
    assert "Training beside a run disturbs" in view.notes.text()
    for name in peers.missing():
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


def test_what_cannot_be_run_is_told_at_once(qtbot, view):
    view.operation.setFocus()
    view.operation.setCurrentIndex(view.operation.findText("zoneout"))
    assert "a full one has it" in view.status.text()
    assert not view.run_button.isEnabled()
    qtbot.keyClick(view.extent, Qt.Key.Key_Down)
    assert view.extent.currentText() == "Full"
    assert "zoneout" not in view.status.text()
    assert view.run_button.isEnabled()


def test_a_run_fills_table_bars_and_roofline(qtbot, view):
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
    curves = view.roofline.curves
    assert {name for name, _ in curves} == {
        line.name for line in benchmark_figures.lines(view.model.results, "dropout")
    }
    for line in benchmark_figures.lines(view.model.results, "dropout"):
        curve = curves[line.name, False]
        assert list(zip(curve.xData, curve.yData, strict=True)) == line.points
        assert curve.opts["pen"].style() == Qt.PenStyle.SolidLine
    for words in ("best copy", "p = 0.5", "p = 0.3", "hollow: 1 thread", "filled: 2 threads"):
        assert words in view.roofline.key.text().replace("&nbsp;", " ")
    assert "saved" not in view.roofline.key.text()
    assert [text for _, text in view.roofline.widget.getAxis("bottom")._tickLevels[0]] == ["2^13", "2^10"]


def test_the_page_warns_of_what_disturbed_a_run(view):
    view.model.results = [result()._replace(noise=LOUD)]
    view._refresh()
    assert f"⚠ {quiet.remark([LOUD])}" in view.status.text().splitlines()
    assert view.cases.index(0, 5).data() == "! 1 µs"
    assert view.cases.index(0, 5).data(Qt.ItemDataRole.ToolTipRole) == "\n".join(LOUD.reasons)
    view.model.status, view.model.waiting = Status.RUNNING, "waiting for free cores: others use 1.5 of 2"
    view._tell()
    assert "waiting for free cores: others use 1.5 of 2" in view.status.text()
    view.model.status, view.model.results = Status.FINISHED, [result()._replace(noise=QUIET)]
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
    assert names(view.bars.widget) == ["▶ fastdrop", *plan.COPIES, "plain NumPy"]
    rates = [first.gigabytes_per_second(name) for name in first.candidates]
    assert list(view.bars.bars.opts["width"]) == rates
    shown = [label.toPlainText() for label in view.bars.labels if label.isVisible()]
    assert shown == [f"{benchmark_figures.rate_text(rate)} GB/s" for rate in rates]
    patterns = [brush.style() for brush in view.bars.bars.opts["brushes"]]
    assert patterns[0] != Qt.BrushStyle.SolidPattern
    assert set(patterns[1:]) == {Qt.BrushStyle.SolidPattern}
    right = view.bars.widget.getPlotItem().vb.viewRect().right()
    pixel = view.bars.widget.getPlotItem().vb.viewPixelSize()[0]
    for label in view.bars.labels[:4]:  # none is cut off
        assert label.pos().x() + label.boundingRect().width() * pixel <= right
    view.quantity.setFocus()
    qtbot.keyClick(view.quantity, Qt.Key.Key_Down)
    assert "time" in view.bars.widget.getAxis("bottom").labelText
    assert view.bars.labels[0].toPlainText() == benchmark_figures.time_text(first.timing().median)
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


def test_a_process_that_dies_is_told_and_another_can_be_started(qtbot, view, monkeypatch):
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
    dashed = {name for name, old in view.roofline.curves if old}
    assert dashed == {"fastdrop p = 0.5, 1 thread", "copy, 1 thread"}
    for name in dashed:
        assert view.roofline.curves[name, True].opts["pen"].style() == Qt.PenStyle.DashLine
    assert "dashed: saved run" in view.roofline.key.text()
    press(qtbot, view.alone_button)
    assert "Compared" not in view.status.text()
    assert not any(old for _, old in view.roofline.curves)
    assert heading(view, view.list.model().columnCount() - 1) == "speed"
    assert len(texts(view, 0)) == 9


def test_a_file_that_is_no_run_is_told(qtbot, view, monkeypatch, tmp_path):
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
    for widget in [*widgets, view.list, view.bars.widget, view.roofline.widget]:
        assert widget.accessibleName()
    for widget in widgets:
        if not isinstance(widget, QProgressBar):
            assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    labelled = [label.text() for label in view.findChildren(QLabel) if label.buddy()]
    shortcuts = [text[text.index("&") + 1].lower() for text in labelled]
    shortcuts += [button.text()[button.text().index("&") + 1].lower() for button in view.findChildren(QPushButton)]
    shortcuts += [box.text()[box.text().index("&") + 1].lower() for box in view.findChildren(QCheckBox)]
    assert len(set(shortcuts)) == len(shortcuts)
    assert not set("tpwkbfevh") & set(shortcuts)  # the window's tabs and menus


def test_follows_a_dark_theme(qtbot, view):
    run(qtbot, view)
    before = QApplication.palette()
    try:
        QApplication.setPalette(QPalette(QColor(40, 40, 40)))
        base = QApplication.palette().color(QPalette.ColorRole.Base)
        text = QApplication.palette().color(QPalette.ColorRole.Text)
        qtbot.waitUntil(lambda: view.roofline.curves["best copy, 1 thread", False].opts["pen"].color() == text)
        assert view.bars.widget.backgroundBrush().color() == base
        assert view.bars.labels[0].color == text
    finally:
        QApplication.setPalette(before)
