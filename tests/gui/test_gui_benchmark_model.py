"""The model of the benchmark page: a run in its own process, and the figures shown. No test asserts a time."""

import math
import subprocess
import sys
import time

import benchtools
import pytest
from benchtools import CALM, LOUD, TINY, records, saved_run
from benchtools import small_result as result

from fastdrop.bench import baselines, compare, figures, noise, plan, report, results
from fastdrop.cli import main as cli
from fastdrop.errors import BackendUnavailable
from fastdrop_gui.model import benchmark_figures, benchmark_run
from fastdrop_gui.model.benchmark_run import Began, Benchmark, Choice, Ended, Gpu, Status

pytestmark = pytest.mark.slow

WAIT = 30_000


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(plan, "QUICK", TINY)
    monkeypatch.setattr(benchmark_run, "get_num_threads", lambda: 2)


def finish(model):
    deadline = time.monotonic() + WAIT / 1000
    while model.is_busy and time.monotonic() < deadline:
        model.tick()
        time.sleep(0.01)
    assert not model.is_busy


def test_the_model_knows_nothing_of_qt():
    code = "import fastdrop_gui.model.benchmark_run, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fastdrop_gui.model.benchmark_run" in loaded
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
        (Choice(operation="zoneout"), "not part of a quick run on the CPU; choose a full one"),
        (Choice(operation="CPU or GPU"), "not measured on the CPU"),
        (Choice(quick=False, operation="zoneout", cpu=False, gpu=True), "zoneout is not measured on the GPU"),
        (Choice(operation="zoneout", gpu=True), "not part of a quick run on the CPU and the GPU"),
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
    assert model.missing == baselines.missing()
    assert "processor" in model.machine
    path = tmp_path / "run.json"
    model.save(path)
    loaded = report.load(path)
    assert records(loaded.results) == records(model.results)
    assert loaded.machine == model.machine
    assert (loaded.plan, loaded.complete) == ("quick", True)
    assert cli.main(["bench", "compare", str(path), str(path)]) == 0
    assert "0 of 9 figures changed" in capsys.readouterr().out
    model.close()


def test_both_devices_are_measured_and_a_quick_run_has_a_limit(monkeypatch):
    limits = []

    def fake_run(cases, limit):
        limits.append(limit)
        yield from (results.Result(case, {"fastdrop": benchtools.timing(1.0)}) for case in cases)

    monkeypatch.setattr(benchmark_run, "machine", lambda: {"cores": 2})
    monkeypatch.setattr(benchmark_run.device, "description", lambda: {"device": "a GPU"})
    monkeypatch.setattr(results, "run", fake_run)
    on_cpu, on_gpu = Choice(gpu=True).cases()
    began, *found, ended = benchmark_run.measured(Choice(gpu=True), on_cpu, on_gpu)
    assert began == Began({"cores": 2, "device": "a GPU"}, baselines.missing())
    assert [each.case for each in found] == on_cpu + on_gpu
    assert ended == Ended()
    began, *_ = benchmark_run.measured(Choice(quick=False, cpu=False, gpu=True), [], on_gpu)
    assert set(began.missing) <= set(plan.ON_GPU)
    assert limits == [plan.QUICK_LIMIT, plan.QUICK_LIMIT, math.inf]


def test_a_gpu_that_cannot_be_used_ends_the_run_with_the_reason(monkeypatch):
    def unavailable():
        raise BackendUnavailable("no driver here")

    monkeypatch.setattr(benchmark_run.device, "description", unavailable)
    assert list(benchmark_run.measured(Choice(gpu=True), [], Choice(gpu=True).cases()[1])) == [Ended("no driver here")]
    monkeypatch.setattr(benchmark_run, "require", unavailable)
    assert benchmark_run.find_gpu() == Gpu(problem="no driver here")


def test_a_gpu_is_looked_for_elsewhere_where_cupy_is_installed(monkeypatch):
    model = Benchmark()
    monkeypatch.setattr(benchmark_run.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(benchmark_run, "find_gpu", None)  # not in this process
    model.look_for_gpu()
    assert model.is_busy
    assert not model.is_running
    finish(model)
    assert model.gpu is not None
    assert bool(model.gpu.name) != bool(model.gpu.problem)


def test_lines_of_throughput():
    found = [
        result(elements=1 << size, p=p, threads=threads, own=(1 << size) * 1e-9, copy=(1 << size) * 5e-10)
        for size in (16, 10)
        for p in (0.3, 0.5)
        for threads in (1, 2, 0)
    ]
    found.append(result(elements=1 << 10, p=0.1, threads=1, copy=1e-6))  # fewer sizes
    found.append(result("dropout backward", p=0.5, copy=1e-6))
    drawn = {(line.p, line.threads): line for line in figures.lines(found, "dropout")}
    assert set(drawn) == {(p, threads) for p in (None, 0.5, 0.3) for threads in (0, 1, 2)}
    for (p, _), line in drawn.items():
        assert [size for size, _ in line.points] == [1 << 10, 1 << 16]
        assert all(math.isclose(rate, 16.0 if p is None else 8.0) for _, rate in line.points)
    assert figures.operations([found[-1], *found]) == ["dropout", "dropout backward"]
    assert figures.operations([result("call overhead")]) == []


def test_a_case_of_both_runs_is_one_row(tmp_path):
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
    assert texts[0][5:] == ["2 µs", "2%", "4.1", "50% of copy", "1 µs", "slower (× 0.50)"]
    assert texts[1][5:] == ["–", "–", "–", "–", "1 µs", "–"]
    assert texts[2][5:] == ["1 µs", "2%", "8.19", "100% of copy", "–", "–"]
    headings, lines = figures.table([(row.result, row.saved) for row in rows])
    numbers = [dict(zip(headings, line, strict=True)) for line in lines]
    assert len(numbers) == 6
    assert (numbers[0]["seconds"], numbers[0]["seconds before"]) == (2e-6, 1e-6)
    assert (numbers[2]["seconds"], numbers[2]["seconds before"]) == ("", 1e-6)


def test_the_line_of_the_copy_is_the_best_one_of_each_case():
    first = result(elements=1 << 10, own=1e-6, memcpy=5e-7, plain_copy=4e-7)
    second = result(elements=1 << 16, own=1e-4, memcpy=5e-5, plain_copy=6e-5)
    copy, _ = figures.lines([first, second], "dropout")
    assert copy.name == "best copy, 1 thread"
    assert copy.points == [(1 << 10, pytest.approx(20.48)), (1 << 16, pytest.approx(10.48576))]
    assert benchmark_figures.cells(benchmark_figures.Row(first.case, first, None, None))[8][0] == "40% of best copy"


def test_a_disturbed_case_is_marked():
    calm, loud = (result()._replace(noise=disturbed) for disturbed in (CALM, LOUD))
    rows = [benchmark_figures.Row(each.case, each, None, None) for each in (calm, loud)]
    assert [benchmark_figures.cells(row)[5] for row in rows] == [("1 µs", 1e-6), ("! 1 µs", 1e-6)]
    model = Benchmark()
    model.results = [calm]
    assert model.remark == ""
    model.results = [calm, loud]
    assert model.remark == noise.remark([CALM, LOUD])
    assert "1 of 2 cases were disturbed" in model.remark


def test_figures_in_words():
    assert [figures.number_text(rate) for rate in (2654.4, 99.96, 0.2974, math.nan)] == ["2654", "100", "0.297", "–"]
    assert [figures.time_text(seconds) for seconds in (2.5, 1.5e-3, 4e-7)] == ["2.5 s", "1.5 ms", "0.4 µs"]


def test_a_case_that_failed_has_its_reason():
    case = plan.Case("dropout", (1024,), "float32", 0.5, 1)
    failed = results.Result(case, {"fastdrop": "MemoryError: no room"})
    row = benchmark_figures.Row(case, failed, None, None)
    assert benchmark_figures.cells(row)[5] == ("failed", math.inf)
    assert benchmark_figures.bars(failed)[0].problem == "MemoryError: no room"
    assert figures.table([(failed, None)])[1][0][-1] == "MemoryError: no room"
