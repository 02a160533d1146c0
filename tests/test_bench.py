"""The benchmark on tiny plans: what it measures, keeps, draws and compares. No test asserts a time."""

import itertools
import json
import re
import types
from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.bench import compare, measure, operations, peers, plan, promises, report, results
from fastdrop.bench.measure import Candidate, Timing
from fastdrop.cli import main as cli
from fastdrop.threads import kernels

pytestmark = pytest.mark.slow

OWN = (*plan.COPIES, *plan.NUMPY)
TINY = (
    plan.Row(("dropout",), ((1 << 10,), (1 << 13,)), (0.5, 0.3), OWN, seconds=0),
    plan.Row(("call overhead",), ((64,),), (0.5,), ("plain NumPy",), seconds=0, one_thread_only=True),
)
SMALL = {
    plan.IMAGES: (2, 8, 6, 6),
    plan.IMAGES_LAST: (2, 6, 6, 8),
    plan.LAYER: (3, 5, 40),
    plan.ROWS: (30, 48),
    plan.TOKENS: (3, 7, 40),
    plan.SEQUENCES: (3, 5, 24),
}
MACHINE = {"available": ["avx512", "avx2", "portable"], "instruction set": "avx512", "cores": 2}


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(plan, "FULL", TINY)


def _timing(seconds, own=1.0, bytes_=8):
    return Timing(seconds, seconds * 0.99, seconds * 1.01, 9, seconds / own, seconds / own, seconds / own, bytes_)


def _result(operation, shape, p, threads, dtype="float32", own=1.0, **others):
    candidates = {name.replace("_", " ").replace("np ", "np."): _timing(each, own) for name, each in others.items()}
    case = plan.Case(operation, shape, dtype, p, threads)
    return results.Result(case, {"fastdrop": _timing(own, own), **candidates})


def _report(found):
    return report.Report(dict(MACHINE), found, [], "full", True)


def test_tiny_plan_end_to_end(tiny, tmp_path, capsys):
    figures, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    before = fd.get_num_threads(), kernels.current_isa()
    assert cli.main(["bench", "--threads", "1", "2", "--save", str(figures), "--plot", str(picture)]) == 0
    assert (fd.get_num_threads(), kernels.current_isa()) == before
    printed = capsys.readouterr().out
    for words in ("np.copyto", "promises (float32", "not measured: ", "1/9", "left", "call overhead", "best copy: the"):
        assert words in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(figures.read_text())
    assert document["complete"]
    assert len(document["results"]) == 9
    assert len(document["promises"]) == len(promises.PROMISES)
    assert {"processor", "caches", "cores", "instruction set", "threads", "numpy", "commit"} <= set(document["machine"])
    for found in document["results"]:
        own = found["candidates"]["fastdrop"]
        assert own["median_seconds"] > 0
        assert own["rounds"] >= 5
        assert not any("error" in candidate for candidate in found["candidates"].values())
    loaded = report.load(figures)
    assert [results.record(result) for result in loaded.results] == document["results"]


def _everything():
    for case in plan.cases(plan.FULL + plan.QUICK, (1, 2)):
        if case.p == 0.5:
            yield case._replace(shape=SMALL.get(case.shape, (min(case.elements, 5000),)), seconds=0)


@pytest.mark.parametrize("operation", plan.OPERATIONS)
@pytest.mark.parametrize("peer", ["", *(name for name in plan.OTHERS if name != "torch.compile")])
def test_every_case_of_the_plan_runs_small(operation, peer):
    """Every operation with every yardstick and peer that the plan names; results are checked as in a real run."""
    if peer and not peers.is_here(peer):
        pytest.skip(f"{peer} is not installed")
    others = {"product", "dropout alone", plan.WITH_OUT, plan.MULTIPLY, "fastdrop float32", *plan.ISAS}
    keep = {peer} if peer else {*OWN, *others}
    found = {case._replace(peers=tuple(name for name in case.peers if name in keep)) for case in _everything()}
    found = {case for case in found if case.operation == operation and (case.peers or not peer)}
    for result in results.run(sorted(found)):
        if any(word in result.error for word in ("this fastdrop has no", "ml_dtypes", "this version has float32")):
            continue  # a build without this function, dtype or package
        assert {name: text for name, text in result.candidates.items() if isinstance(text, str)} == {}


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


def test_missing_peer_is_named(tiny, tmp_path, monkeypatch, capsys):
    find = peers.importlib.util.find_spec
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--threads", "1", "--only", "call-overhead", "--save", str(path)]) == 0
    assert "jax is not installed" in capsys.readouterr().out
    assert "jax" in json.loads(path.read_text())["missing peers"]


def test_a_peer_that_fails_ends_nothing(tiny, monkeypatch, capsys):
    def broken(case, arrays):
        raise RuntimeError("[no] such thing\nmore")

    monkeypatch.setitem(peers.PEERS, "plain NumPy", broken)
    assert cli.main(["bench", "--threads", "1", "--only", "call overhead"]) == 0
    assert "failed: plain NumPy, call overhead (1 cases): RuntimeError: [no] such thing\n" in capsys.readouterr().out


def test_a_wrong_result_is_not_timed():
    x = np.ones(5000, np.float32)

    def wrong():
        y, mask = fd.dropout(x, 0.5, rng=0)
        y[-1] = 7
        return y, mask

    makers = {"fastdrop": lambda: Candidate(wrong, operations._dropout_check(x), 8)}
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
    assert found["slow"].rounds == measure.FIRST_ROUNDS
    timed = [name for name, _ in itertools.groupby(calls)]
    assert timed.count("slow") >= measure.FIRST_ROUNDS


@pytest.mark.parametrize(("copy", "verdict"), [(0.95, "reached"), (0.931, "short by 2.0%")])
def test_promise_at_least(copy, verdict):
    found = [_result("dropout", (1 << 26,), p, threads, memcpy=2.0) for p in (0.5, 0.3) for threads in (1, 8)]
    found.append(_result("dropout backward", (1 << 24,), 0.1, 2, memcpy=2.0, streaming_copy=copy, plain_copy=9.0))
    found.append(_result("dropout", (1 << 16,), 0.5, 1, memcpy=0.1))  # another promise's
    found.append(_result("dropout", (1 << 26,), 0.5, 1, np_copyto=0.1))  # no copy of that machine was measured
    outcome = promises.evaluate(found, MACHINE)[0]
    assert (outcome.cases, outcome.worst, outcome.median, outcome.verdict) == (5, copy, 2.0, verdict)


@pytest.mark.parametrize(("own", "verdict"), [(1.2, "reached"), (1.26, "short by 5.0%")])
def test_promise_at_most(own, verdict):
    found = [_result("DropConnect per batch", plan.LAYER, 0.5, 2, own=own, product=1.0)]
    outcome = next(each for each in promises.evaluate(found, MACHINE) if "per batch" in each.promise.what)
    assert outcome.verdict == verdict


def test_promise_counts_bytes():
    """Half the bytes in half the time is the same GB/s."""
    case = plan.Case("dropout", (1 << 26,), "float16", 0.5, 2)
    found = results.Result(case, {"fastdrop": _timing(0.5, 0.5, 4), "fastdrop float32": _timing(1.0, 0.5, 8)})
    outcome = next(each for each in promises.evaluate([found], MACHINE) if "float16" in each.promise.what)
    assert (outcome.worst, outcome.verdict) == (1.0, "reached")


@pytest.mark.parametrize("operation", ["dropout + add", "zoneout"])
@pytest.mark.parametrize(("own", "verdict"), [(1.57, "reached"), (1.64, "short by 4.1%")])
def test_promise_of_three_arrays_is_byte_for_byte(operation, own, verdict):
    """Half as many bytes again may take half as long again."""
    case = plan.Case(operation, plan.ROWS if "add" in operation else (1 << 21,), "float32", 0.5, 1)
    assert plan.arrays_moved(operation) == 3
    found = results.Result(case, {"fastdrop": _timing(own, own, 12), "plain copy": _timing(1.0, own, 8)})
    outcome = next(each for each in promises.evaluate([found], MACHINE) if operation in each.promise.what)
    assert (outcome.cases, outcome.verdict) == (1, verdict)


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


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (64, 64)])
def test_promises_are_for_every_machine(cores, threads):
    """All threads are as many as a machine has; a promise about many threads needs more than one."""
    machine = {**MACHINE, "cores": cores}
    found = [_result("dropout", plan.powers(21)[0], 0.5, count, memcpy=1.0, torch=90.0) for count in {1, threads}]
    of_copy = promises.evaluate(found, machine)[1]
    assert (of_copy.promise.needs, of_copy.cases, of_copy.verdict) == ([], len(found), "reached")
    of_torch = next(each for each in promises.evaluate(found, machine) if each.promise.yardstick == "torch")
    assert of_torch.promise.needs == ["2 cores", "torch"]
    assert of_torch.verdict == ("reached" if cores > 1 else "not measured: needs 2 cores")


def test_promise_says_why_nothing_was_measured():
    def verdicts(found=(), machine=MACHINE, **how):
        return " | ".join(outcome.verdict for outcome in promises.evaluate(found, machine, **how))

    assert verdicts(quick=True).count("not measured: quick run") == len(promises.PROMISES)
    assert "needs 2 cores" in verdicts(machine={**MACHINE, "cores": 1})
    assert "no avx2 here" in verdicts(machine={**MACHINE, "available": ["avx512", "portable"]})
    assert "torch is not installed" in verdicts(missing=["torch"])
    broken = results.Result(plan.Case("bias + ReLU + dropout", plan.ROWS, "float32", 0.5, 2), {"fastdrop": "no such"})
    assert "not measured: fastdrop: no such" in verdicts([broken])


def test_the_plan_measures_every_promise():
    found = plan.cases(plan.FULL, (1, 2))
    for promise in promises.PROMISES:
        made = [results.Result(case, dict.fromkeys(("fastdrop", *case.peers), "")) for case in found]
        names = set(plan.COPY_KINDS) if promise.yardstick == plan.BEST_COPY else {promise.yardstick} - {""}
        covered = [result.case for result in made if {promise.subject, *names} <= result.candidates.keys()]
        covered = [case for case in covered if promise.covers(results.Result(case, {"fastdrop": "error"}))]
        assert covered, promise.what
        assert {case.threads for case in covered} == set(promise.threads), promise.what
        assert {case.operation for case in covered} == set(promise.operations), promise.what
        assert {case.dtype for case in covered} == set(promise.dtypes), promise.what
        assert {case.shape for case in covered} == set(promise.shapes), promise.what


def test_a_quick_run_has_the_main_promises():
    made = [
        results.Result(case, dict.fromkeys(("fastdrop", *case.peers), "")) for case in plan.cases(plan.QUICK, (1, 2))
    ]
    left_out = [each.what for each in promises.PROMISES if not any(each.covers(result) for result in made)]
    assert left_out == ["AVX2 forced, against AVX-512", "portable code forced", "the same, any other p"]
    assert sum(case.cost for case in plan.cases(plan.QUICK, (1, 2))) < plan.QUICK_LIMIT


# --- the best copy


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


def _copies(**seconds):
    result = _result("dropout", (1 << 21,), 0.5, 1, **seconds)
    return results.Result(result.case, {**result.candidates, "plain copy": "OSError: no such"})


def test_the_best_copy_is_the_fastest_that_was_measured():
    found = _copies(memcpy=0.9, streaming_copy=0.7, np_copyto=0.1)
    assert found.best_copy == "streaming copy"
    assert found.timing(plan.BEST_COPY) == found.timing("streaming copy")
    assert found.speed(plan.BEST_COPY) == pytest.approx(0.7)
    assert _copies(np_copyto=0.1).best_copy == ""
    assert _copies(np_copyto=0.1).timing(plan.BEST_COPY) is None


def test_the_best_of_rounds_is_not_the_best_of_times():
    """Where the machine became faster and slower, ratios in the same rounds decide."""
    case = plan.Case("dropout", (8,), "float32", 0.5, 1)
    candidates = {"fastdrop": _timing(1.0), "memcpy": _timing(0.8)._replace(relative=0.9), "plain copy": _timing(0.85)}
    assert results.Result(case, candidates).best_copy == "plain copy"


def test_json_has_all_copies_and_says_which_was_best(tmp_path):
    on_gpu = _result("dropout", (1 << 28,), 0.5, 0, copy=0.9)
    report.save(_report([_copies(memcpy=0.8, streaming_copy=0.9), on_gpu]), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["version"] == 2
    here, there = document["results"]
    assert here["best_copy"] == "memcpy"
    assert {"memcpy", "plain copy", "streaming copy"} <= here["candidates"].keys()
    assert here["candidates"]["fastdrop"]["ratio_to_best_copy"] == pytest.approx(0.8)
    assert here["candidates"]["streaming copy"]["ratio_to_best_copy"] == pytest.approx(0.8 / 0.9)
    assert there["best_copy"] is None
    assert there["candidates"]["fastdrop"]["ratio_to_copy"] == pytest.approx(0.9)


def test_the_terminal_has_one_column_for_the_copies(monkeypatch, capsys):
    row = plan.Row(("dropout",), ((1 << 10,),), (0.5,), plan.COPIES, seconds=0)
    monkeypatch.setattr(plan, "FULL", (row,))
    assert cli.main(["bench", "--threads", "1"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ 2^10")]
    assert re.search(r"│ +[\d.]+ [mps] │ +[\d.]+ │$", line)
    assert line.count("│") == 11


@pytest.mark.parametrize("name", ["cpu-zen5", "family-zen5"])
def test_files_of_version_1_still_load(name, tmp_path):
    path = Path(__file__).parents[1] / "docs" / "benchmarks" / f"{name}.json"
    known = report.load(path)
    assert results.copy_of(known.results) == ("copy" if json.loads(path.read_text())["version"] == 1 else "best copy")
    assert report.draw(known, tmp_path / "a.png") == (name == "cpu-zen5")
    report.save(known, tmp_path / "again.json")
    assert report.load(tmp_path / "again.json").results == known.results


def test_an_old_copy_is_not_compared_with_the_best_one():
    first = _report([_result("dropout", (1 << 10,), 0.5, 1, copy=0.5, np_copyto=0.9)])
    second = _report([_result("dropout", (1 << 10,), 0.5, 1, memcpy=0.9, np_copyto=0.9)])
    (change,) = compare.compare(first, second)
    assert (change.yardstick, change.verdict) == ("np.copyto", "")
    (change,) = compare.compare(second, second)
    assert change.yardstick == "best copy"


def test_the_picture_has_the_best_copy():
    found = [_result("dropout", (1 << size,), 0.5, threads, memcpy=0.5) for size in (10, 16) for threads in (1, 2)]
    assert [line.label for line in report._lines(found)][:2] == ["best copy, 1 thread", "best copy, 2 threads"]


# --- two files


def test_compare_stays_calm_on_equal_files(tmp_path, capsys):
    found = [_result("dropout", (1 << 10,), p, 1, copy=0.9) for p in (0.5, 0.3)]
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for path in paths:
        report.save(_report(found), tmp_path / path)
    assert cli.main(["bench", "compare", *paths]) == 0
    assert "0 of 2 figures changed beyond noise" in capsys.readouterr().out


def test_compare_finds_a_slowdown():
    def changes(own, copy, **more):
        first = _report([_result("dropout", (1 << 10,), 0.5, 1, copy=0.9)])
        (change,) = compare.compare(first, _report([_result("dropout", (1 << 10,), 0.5, 1, own=own, copy=copy)]))
        return change.verdict

    assert changes(own=1.2, copy=0.9) == "slower"
    assert changes(own=0.8, copy=0.9) == "faster"
    assert changes(own=1.04, copy=0.9) == ""
    assert "the machine, not the kernel" in changes(own=2.0, copy=1.8)
    assert changes(own=1.0, copy=0.6) == "slower against copy alone"


def test_compare_tells_other_machines_and_cases(tmp_path, capsys):
    first = _report([_result("dropout", (1 << 10,), p, 1, copy=0.9) for p in (0.5, 0.3)])
    second = _report([_result("dropout", (1 << 10,), 0.5, 1, own=1.3, copy=0.9)])
    second.machine["processor"] = "another"
    report.save(first, tmp_path / "a.json")
    report.save(second, tmp_path / "b.json")
    assert cli.main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    printed = capsys.readouterr().out
    assert "processor differs: None and another" in printed
    assert "slower" in printed
    assert "1 of 1 figures changed beyond noise; 1 cases are in the first file alone, 0 in the second" in printed


@pytest.mark.parametrize("name", ["[/]", "[bold]", "[/red] x", "[link=a]"])
def test_compare_shows_names_as_they_are(tmp_path, capsys, name):
    before = _report([_result(name, (1 << 10,), 0.5, 1, **{name: 0.9}, copy=0.9)])
    after = _report([_result(name, (1 << 10,), 0.5, 1, own=1.3, copy=0.9)])
    after.machine["processor"] = name
    report.save(before, tmp_path / "a.json")
    report.save(after, tmp_path / "b.json")
    assert cli.main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    assert capsys.readouterr().out.count(name) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a file of this fastdrop bench"),
        ('{"format": "fastdrop bench", "version": 99}', "format version 99; this fastdrop reads versions 1 and 2"),
        ('{"format": "fastdrop bench", "version": 1}', "damaged"),
        ('{"format": "fastdrop bench", "version": 2}', "damaged"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_files_are_told_in_one_line(content, words, tmp_path, capsys):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    assert cli.main(["bench", "compare", str(path), str(path)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("fastdrop: ")
    assert error.count("\n") == 1
