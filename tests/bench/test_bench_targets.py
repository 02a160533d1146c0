"""The benchmark's targets: which cases they cover, and whether they are met."""

import pytest
from benchtools import CALM, LOUD, result, timing

from fastdrop.bench import (
    plan,
    results,
    targets,
)
from fastdrop.bench.operations import OPERATIONS as OPERATION_TABLE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("copy", "verdict"), [(0.95, "met"), (0.931, "missed by 2.0%")])
def test_target_at_least(copy, verdict):
    found = [result("dropout", (1 << 26,), p, threads, memcpy=2.0) for p in (0.5, 0.3) for threads in (1, 8)]
    found.append(result("dropout backward", (1 << 24,), 0.1, 2, memcpy=2.0, nontemporal_copy=copy, plain_copy=9.0))
    found.append(result("dropout", (1 << 16,), 0.5, 1, memcpy=0.1))  # belongs to another target
    found.append(result("dropout", (1 << 26,), 0.5, 1, np_copyto=0.1))  # no copy was measured for this case
    outcome = targets.evaluate(found)[0]
    assert (outcome.cases, outcome.worst, outcome.median, outcome.verdict) == (5, copy, 2.0, verdict)


@pytest.mark.parametrize(("own", "verdict"), [(1.2, "met"), (1.26, "missed by 5.0%")])
def test_target_at_most(own, verdict):
    found = [result("DropConnect per batch", plan.LAYER, 0.5, 2, own=own, product=1.0)]
    outcome = next(each for each in targets.evaluate(found) if "per batch" in each.target.what)
    assert outcome.verdict == verdict


def test_target_counts_bytes():
    """Half the bytes in half the time is the same GB/s."""
    case = plan.Case("dropout", (1 << 26,), "float16", 0.5, 2)
    found = results.Result(case, {"fastdrop": timing(0.5, 0.5, 4), "fastdrop float32": timing(1.0, 0.5, 8)})
    outcome = next(each for each in targets.evaluate([found]) if "float16" in each.target.what)
    assert (outcome.worst, outcome.verdict) == (1.0, "met")


@pytest.mark.parametrize("operation", ["dropout + add", "zoneout"])
@pytest.mark.parametrize(("own", "verdict"), [(1.57, "met"), (1.64, "missed by 4.1%")])
def test_target_of_three_arrays_is_byte_for_byte(operation, own, verdict):
    """1.5 times the bytes may take 1.5 times as long."""
    case = plan.Case(operation, plan.ROWS if "add" in operation else (1 << 21,), "float32", 0.5, 1)
    assert OPERATION_TABLE[operation].arrays == 3
    found = results.Result(case, {"fastdrop": timing(own, own, 12), "plain copy": timing(1.0, own, 8)})
    outcome = next(each for each in targets.evaluate([found]) if operation in each.target.what)
    assert (outcome.cases, outcome.verdict) == (1, verdict)


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_targets_are_for_every_machine(threads):
    """'All threads' depends on the machine; such a target needs a case with more than one thread."""
    found = [result("dropout", plan.powers(21)[0], 0.5, count, memcpy=1.0, torch=90.0) for count in {1, threads}]
    of_copy, of_torch = (targets.evaluate(found)[number] for number in (1, 6))
    assert (of_copy.cases, of_copy.verdict) == (len(found), "met")
    assert of_torch.target.baseline == "torch"
    assert of_torch.verdict == ("met" if threads > 1 else "not measured")


def test_a_case_without_a_figure_is_counted():
    case = plan.Case("bias + ReLU + dropout", plan.ROWS, "float32", 0.5, 2)
    broken = results.Result(case, {"fastdrop": "no such", "dropout alone": timing(1.0)})
    right = result(*case[:2], 0.3, 1, dropout_alone=1.0)
    verdicts = {outcome.target.what: outcome.verdict for outcome in targets.evaluate([broken, right])}
    assert verdicts["bias + ReLU + dropout"] == "met; 1 of 2 cases have no figure"
    assert set(verdicts.values()) == {"not measured", "met; 1 of 2 cases have no figure"}


def _as_measured(rows, threads=(1, 2)):
    cases = plan.cases(rows, threads)
    return [results.Result(case, dict.fromkeys(("fastdrop", *case.baselines), "")) for case in cases]


@pytest.mark.parametrize(("rows", "made"), [(plan.FULL, targets.TARGETS), (plan.DEVICE, targets.DEVICE_TARGETS)])
def test_the_plan_measures_every_target(rows, made, monkeypatch):
    monkeypatch.setattr(plan.importlib.util, "find_spec", lambda name: name)
    found = (
        _as_measured(rows)
        if rows is plan.FULL
        else [
            results.Result(case, dict.fromkeys(("fastdrop", *case.baselines), ""))
            for case in plan.cases(rows, plan.ON_DEVICE)
        ]
    )
    for target in made:
        covered = [result.case for result in found if target.covers(result)]
        assert {case.threads for case in covered} == set(target.threads), target.what
        assert {case.operation for case in covered} == set(target.operations), target.what
        assert {case.dtype for case in covered} == set(target.dtypes), target.what
        assert {case.shape for case in covered} == set(target.shapes), target.what


def test_a_quick_run_has_the_main_targets():
    made = _as_measured(plan.QUICK)
    left_out = [each.what for each in targets.TARGETS if not any(each.covers(result) for result in made)]
    assert left_out[:3] == [
        "AVX2 forced, against AVX-512",
        "portable code forced",
        "DropConnect, one mask per example, any other p",
    ]
    assert left_out[3:] == [each.what for each in targets.TARGETS[-4:]]  # Dask arrays and torch training steps
    assert sum(case.cost for case in plan.cases(plan.QUICK, (1, 2))) < plan.QUICK_LIMIT


def test_a_target_says_that_its_worst_case_was_disturbed():
    case = plan.Case("dropout", (1 << 16,), "float32", 0.5, 1)
    found = {"fastdrop": timing(1.0), "memcpy": timing(0.5)}
    verdicts = [targets.evaluate([results.Result(case, found, noise)])[3].verdict for noise in (None, CALM, LOUD)]
    assert verdicts == ["missed by 47.4%", "missed by 47.4%", "missed by 47.4% in a disturbed case"]
