"""The benchmark on tiny plans: what it measures, saves, plots and compares. No test asserts a time."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from benchtools import CALM, LOUD, TINY, result

import fastdrop as fd
from fastdrop.bench import (
    baselines,
    candidates,
    figures,
    measure,
    noise,
    plan,
    report,
    results,
    targets,
)
from fastdrop.bench.internals import kernels
from fastdrop.bench.measure import Candidate, Timing
from fastdrop.bench.noise import Noise
from fastdrop.bench.operations import Buffers
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow

OWN = (*plan.COPIES, *plan.NUMPY)
SMALL = {
    plan.IMAGES: (2, 8, 6, 6),
    plan.IMAGES_LAST: (2, 6, 6, 8),
    plan.LAYER: (3, 5, 40),
    plan.ROWS: (30, 48),
    plan.TOKENS: (3, 7, 40),
    plan.SEQUENCES: (3, 5, 24),
}


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(plan, "FULL", TINY)


def test_tiny_plan_end_to_end(tiny, tmp_path, capsys):
    figures, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    before = fd.get_num_threads(), kernels.current_isa()
    assert cli.main(["bench", "--threads", "1", "2", "--save", str(figures), "--plot", str(picture)]) == 0
    assert (fd.get_num_threads(), kernels.current_isa()) == before
    printed = capsys.readouterr().out
    for words in ("np.copyto", "targets that were not measured: ", "1/9", "left", "call overhead", "best copy: the"):
        assert words in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(figures.read_text())
    assert document["complete"]
    assert len(document["results"]) == 9
    assert len(document["targets"]) == len(targets.TARGETS)
    assert {"processor", "caches", "cores", "instruction set", "threads", "numpy", "commit"} <= set(document["machine"])
    for found in document["results"]:
        own = found["candidates"]["fastdrop"]
        assert own["median_seconds"] > 0
        assert own["rounds"] >= 5
        assert not any("error" in candidate for candidate in found["candidates"].values())
    loaded = report.load(figures)
    assert [report.record(result) for result in loaded.results] == document["results"]


OPERATIONS = plan.operations(plan.FULL)


def _everything():
    for case in plan.cases(plan.FULL + plan.QUICK, (1, 2)):
        if case.p == 0.5 or case.operation in (plan.TRANSFORMER_STEP, plan.DROPBLOCK):
            yield case._replace(shape=SMALL.get(case.shape, (min(case.elements, 5000),)), seconds=0)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in plan.STEPS])
@pytest.mark.parametrize("baseline", ["", *(name for name in plan.COMPETITORS if name != "torch.compile")])
def test_every_case_of_the_plan_runs_small(operation, baseline):
    """Runs every operation with every baseline of the plan; results are checked as in a real run."""
    if baseline and not baselines.is_installed(baseline):
        pytest.skip(f"{baseline} is not installed")
    others = {plan.PRODUCT, plan.ALONE, plan.WITH_OUT, plan.MULTIPLY, plan.FLOAT32, "copy", *plan.ISAS}
    keep = {baseline} if baseline else {*OWN, *others}
    found = {case._replace(baselines=tuple(name for name in case.baselines if name in keep)) for case in _everything()}
    found = {case for case in found if case.operation == operation and (case.baselines or not baseline)}
    for measured in results.run(sorted(found)):
        assert {name: text for name, text in measured.candidates.items() if isinstance(text, str)} == {}


@pytest.mark.parametrize("operation", plan.operations(plan.FULL)[:-4])
def test_a_wrong_result_of_any_operation_is_not_timed(operation):
    """Change one element at the end of the array that the call returns or writes."""
    case = next(case for case in _everything() if case.operation == operation)
    subject = candidates.subject(case._replace(dtype="float32"), Buffers())
    result = subject.run()
    subject.check(result)
    y = result[0] if isinstance(result, tuple) else result
    last = (-1, 0) if operation in plan.CONNECT_BACKWARD else (-1,) * y.ndim
    y[last] += 3
    with pytest.raises(AssertionError):
        subject.check(result)


def test_ctrl_c_keeps_what_was_measured(tiny, tmp_path, monkeypatch, capsys):
    count, true = itertools.count(), measure.measure

    def stops_at_the_third(*arguments):
        if next(count) == 2:
            raise KeyboardInterrupt
        return true(*arguments)

    monkeypatch.setattr(results, "measure", stops_at_the_third)
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--threads", "1", "--save", str(path)]) == 130
    document = json.loads(path.read_text())
    assert len(document["results"]) == 2
    assert not document["complete"]
    assert "stopped" in capsys.readouterr().out


def test_no_case_is_begun_after_the_limit():
    cases = plan.cases(TINY, (1, 2))
    assert [result.case for result in results.run(cases, limit=-1.0)] == cases[:1]
    assert len(list(results.run(cases))) == len(cases)


def test_a_missing_baseline_is_named(tiny, tmp_path, monkeypatch, capsys):
    find = baselines.importlib.util.find_spec
    monkeypatch.setattr(baselines.importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--threads", "1", "--only", "call-overhead", "--save", str(path)]) == 0
    assert "jax is not installed: no baseline here (pip install jax)" in capsys.readouterr().out
    assert "jax" in json.loads(path.read_text())["missing baselines"]


def test_a_baseline_that_fails_ends_nothing(tiny, monkeypatch, capsys):
    def broken(case, get):
        raise RuntimeError("[no] such thing\nmore")

    monkeypatch.setitem(baselines.BASELINES, "plain NumPy", broken)
    assert cli.main(["bench", "--threads", "1", "--only", "call overhead"]) == 0
    assert "failed: plain NumPy, call overhead (1 cases): RuntimeError: [no] such thing\n" in capsys.readouterr().out


def test_a_wrong_result_is_not_timed():
    def refuse(result):
        raise AssertionError("the result differs from the reference")

    makers = {"fastdrop": lambda: Candidate(lambda: None, refuse)}
    assert measure.measure(makers, 0) == {"fastdrop": "AssertionError: the result differs from the reference"}


def test_candidates_take_turns_and_slow_ones_leave(monkeypatch):
    calls, now = [], [0.0]
    monkeypatch.setattr(measure, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))  # a busy machine is slow

    def candidate(name, seconds):
        def run():
            calls.append(name)
            now[0] += seconds

        return Candidate(run, lambda _: None, 8)

    makers = {"fastdrop": lambda: candidate("fastdrop", 1e-6), "slow": lambda: candidate("slow", 0.02)}
    found = measure.measure(makers, 0)
    assert found["fastdrop"].rounds == measure.FEWEST_ROUNDS
    assert found["slow"].rounds == measure.SLOW_ROUNDS
    timed = [name for name, _ in itertools.groupby(calls)]
    assert timed.count("slow") >= measure.SLOW_ROUNDS


def test_bytes_of_a_case_are_those_of_its_arrays():
    moved = {
        "dropout": 2,
        "dropout + add": 3,
        "zoneout": 3,
        "bias + ReLU + dropout backward": 3,
        "softmax + dropout": 2,
    }
    for operation, arrays in moved.items():
        case = plan.Case(operation, (4, 8), "float32", 0.5, 1, ("plain copy", "dropout alone"), 0)
        (result,) = results.run([case])
        found = {name: result.timing(name).bytes // (4 * 32) for name in result.candidates}
        assert found == {"fastdrop": arrays, "plain copy": 2, "dropout alone": 2}


@pytest.mark.parametrize("kind", plan.COPY_KINDS.values())
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("count", [1, 31, 2048, 5001, (1 << 22) + 77])
def test_every_kind_of_copy_copies(kind, dtype, count):
    x = np.random.default_rng(count).integers(0, 99, count + 1).astype(dtype)
    before = kernels.current_isa()
    try:
        for isa in kernels.available_isas():
            kernels.use_isa(isa)
            for start in (0, 1):
                out = np.zeros_like(x)
                kernels.copy(x[start : start + count], out[start : start + count], kind, 2)
                assert np.array_equal(out[start : start + count], x[start : start + count])
                assert np.count_nonzero(out) == np.count_nonzero(x[start : start + count])
    finally:
        kernels.use_isa(before)


def test_copies_have_names():
    with pytest.raises(KeyError):
        kernels.copy(np.zeros(4), np.zeros(4), "another", 1)


def test_the_terminal_has_one_column_for_the_copies(monkeypatch, capsys):
    row = plan.Row(("dropout",), ((1 << 10,),), (0.5,), plan.COPIES, seconds=0)
    monkeypatch.setattr(plan, "FULL", (row,))
    assert cli.main(["bench", "--threads", "1"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ 2^10")]
    assert re.search(r"│ +[\d.]+ [mps] │ +[\d.]+ │$", line)
    assert line.count("│") == 9


# --- interference by other processes, and scaling

STAT = "cpu 9 9\ncpu0 {user} 10 20 {idle} 5 3 2 {stolen} 7 7\ncpu1 1 1 1 1 1 1 1 1\ncpu10 9000 0 0 0 0 0 0 0\nintr 1\n"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux says which cores a process may use")
def test_only_the_cores_of_this_process_count(tmp_path, monkeypatch):
    tick = 1 / os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr(noise, "STAT", tmp_path / "stat")
    noise.STAT.write_text(STAT.format(user=100, idle=900, stolen=40))
    for cores, expected in (({0}, (135, 905, 40)), ({0, 1}, (140, 907, 41)), ({10}, (9000, 0, 0))):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        assert noise.read()[:3] == pytest.approx([count * tick for count in expected])
    for text in ("", "cpu10 x\n", "cpu10 1\n", "garbage"):
        noise.STAT.write_text(text)
        assert noise.read() is None
    noise.STAT.unlink()
    assert noise.read() is None


def test_what_others_used():
    before, after = noise.Reading(10.0, 50.0, 0.0, 8.0), noise.Reading(11.2, 50.6, 0.2, 8.9)
    found = noise.between(before, after, 0.02)
    assert found == Noise(*map(pytest.approx, (0.15, 0.1)), 0.02)
    assert found.reasons == ["others used 15% of the cores' time", "the host of this virtual machine took 10%"]
    assert noise.between(before, after, 0.02, own=0.3).others == 0.0  # processes that this one started for measuring
    own = noise.between(before, noise.Reading(12.0, 50.0, 0.0, 9.98), 0.2)  # 0.02 s may be a rounding error
    assert (own.others, own.reasons) == (0.0, [])
    for pair in ((None, after), (before, None), (before, before)):
        assert noise.between(*pair, 0.6) == Noise(spread=0.6)
    assert Noise(spread=0.6).reasons == ["repetitions differed by 60%"]


def test_the_remark_has_the_largest_of_each():
    assert noise.remark([]) == noise.remark([CALM]) == ""
    assert noise.remark([CALM, LOUD, Noise(0.1, 0.0, None)]).startswith(
        "2 of 3 cases were disturbed (marked !): others used up to 38% of the cores' time, the host of this virtual "
        "machine took up to 7%. "
    )


@pytest.mark.skipif(noise.read() is None, reason="this machine does not say what others use")
def test_a_busy_process_is_noticed():
    code = "print(flush=True)\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in os.sched_getaffinity(0)]
    try:
        for other in others:
            other.stdout.read(1)
        before, deadline = noise.read(), time.monotonic() + 1.0
        while time.monotonic() < deadline:
            pass
        assert "others used" in noise.between(before, noise.read()).reasons[0]
    finally:
        for other in others:
            other.kill()
            other.wait()
            other.stdout.close()


def test_terminal_and_json_say_what_disturbed(tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(noise, "between", lambda *_, **__: LOUD)
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--threads", "1", "--only", "dropout", "--save", str(path)]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall("│ +! ", printed)) == 4
    assert "GB/s; others used 38% of the cores' time" in printed
    assert "4 of 4 cases were disturbed (marked !): others used up to 38% of the cores' time" in printed
    assert json.loads(path.read_text())["results"][0]["noise"] == {"others": 0.38, "stolen": 0.07, "spread": 0.02}
    assert [result.noise for result in report.load(path).results] == [LOUD] * 4
    assert cli.main(["bench", "compare", str(path), str(path)]) == 0
    assert capsys.readouterr().out.count(f"{path.name}: 4 of 4 cases were disturbed") == 2


def test_scaling_is_against_one_thread_and_beside_the_copy():
    found = [result("dropout", (1 << 21,), 0.5, threads, own=1 / up, memcpy=0.5 / threads)
             for threads, up in ((1, 1.0), (2, 1.6), (4, 2.0))]  # fmt: skip
    expected = [(1, 1, 1), (1.6, 0.8, 1), (2.0, 0.5, 1)]
    assert [each[1:] for each in figures.scaling(found)] == [pytest.approx(each) for each in expected]
    assert figures.scaling(found[1:]) == []


def test_a_run_of_scaling(monkeypatch, tmp_path, capsys):
    row = plan.Row(plan.BOTH, plan.powers(10, 12), (0.5,), plan.COPIES, seconds=0)
    monkeypatch.setattr(plan, "SCALING", (row,))
    figures_path, picture_path = tmp_path / "scaling.json", tmp_path / "scaling.png"
    files = ["--save", str(figures_path), "--plot", str(picture_path)]
    assert cli.main(["bench", "--scaling", "--threads", "1", "2", "3", *files]) == 0
    printed = capsys.readouterr().out
    assert "efficiency of the copy" in printed
    assert "targets" not in printed
    loaded = report.load(figures_path)
    assert loaded.plan == "scaling"
    assert {result.case.threads for result in loaded.results} == {1, 2, 3}
    assert picture_path.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["bench", "--scaling", "--device", "cuda"]) == 2


# --- Dask and training steps


def test_a_dask_array_is_checked(monkeypatch):
    pytest.importorskip("dask")
    from fastdrop.bench import dask_array

    monkeypatch.setattr(dask_array, "CHUNK", 1000)
    case = plan.Case(plan.DASK, (5000,), "float32", 0.5, 2, ("copy",), 0)
    (result,) = results.run([case])
    assert [type(timing) for timing in result.candidates.values()] == [Timing, Timing]
    right = dask_array.fd.dropout
    monkeypatch.setattr(dask_array.fd, "dropout", lambda x, *given, **named: right(x + 1, *given, **named))
    assert "differs from the reference" in next(iter(results.run([case]))).error


@pytest.mark.parametrize("operation", plan.STEPS)
def test_training_steps_are_measured_with_torchs_dropout_and_fastdrops(operation, monkeypatch):
    torch = pytest.importorskip("torch")
    from fastdrop.bench import training_steps

    monkeypatch.setattr(training_steps, "PASSES", 3)
    shape = (4, 20, 16) if operation == plan.TRANSFORMER_STEP else (32, 8)
    case = plan.Case(operation, shape, "float32", 0.3, 1, ("no dropout", "torch"), 0)
    (result,) = results.run([case])
    assert list(result.candidates) == ["fastdrop", "no dropout", "torch"]
    assert {type(timing) for timing in result.candidates.values()} == {Timing}
    model = training_steps._model(case, 0.3).train()
    training_steps.check_rates(model, torch.randn(shape), 0.3)
    with pytest.raises(AssertionError, match="elements are dropped"):
        training_steps.check_rates(model, torch.randn(shape), 0.5)
    monkeypatch.setattr(training_steps, "replace_dropout", lambda model: 0)
    assert "dropout modules were swapped" in next(iter(results.run([case]))).error
