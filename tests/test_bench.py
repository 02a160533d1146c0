"""The benchmark on tiny plans: what it measures, keeps, draws and compares. No test asserts a time."""

import itertools
import json
import types

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.bench import compare, measure, operations, peers, plan, promises, report, results
from fastdrop.bench.measure import Candidate, Timing
from fastdrop.cli import main as cli
from fastdrop.threads import kernels

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
    for words in ("np.copyto", "promises", "not measured: ", "1/9", "left", "call overhead"):
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
    keep = {peer} if peer else {*OWN, "product", "dropout alone", "fastdrop float32", *plan.ISAS}
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


@pytest.mark.parametrize(("copyto", "verdict"), [(1.8, "reached"), (1.79, "short by 0.6%")])
def test_promise_at_least(copyto, verdict):
    found = [_result("dropout", (1 << 26,), p, 2, np_copyto=2.0) for p in (0.5, 0.3)]
    found.append(_result("dropout backward", (1 << 26,), 0.1, 2, np_copyto=copyto))
    found.append(_result("dropout", (1 << 26,), 0.5, 1, np_copyto=1.0))  # another promise's
    outcome = promises.evaluate(found, MACHINE)[0]
    assert (outcome.cases, outcome.worst, outcome.median, outcome.verdict) == (3, copyto, 2.0, verdict)


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
        covered = [result.case for result in made if promise.yardstick in ("", *result.candidates)]
        covered = [case for case in covered if promise.covers(results.Result(case, {"fastdrop": "error"}))]
        assert covered, promise.what
        assert {case.threads for case in covered} == set(promise.threads), promise.what
        assert {case.operation for case in covered} == set(promise.operations), promise.what
        assert {case.dtype for case in covered} == set(promise.dtypes), promise.what
        assert {case.shape for case in covered} == set(promise.shapes), promise.what


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
        ('{"format": "fastdrop bench", "version": 99}', "format version 99; this fastdrop reads version 1"),
        ('{"format": "fastdrop bench", "version": 1}', "damaged"),
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
