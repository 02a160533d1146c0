"""The benchmark's baselines: correct results, compilation before timing, reports of missing and failing ones."""

import random
import shutil

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastdrop as fd
from fastdrop.bench import baselines, candidates, plan, results
from fastdrop.bench.internals import kernels
from fastdrop.bench.measure import Timing
from fastdrop.bench.operations import Buffers
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow

SMALL = {plan.IMAGES: (2, 8, 6, 6), plan.IMAGES_LAST: (2, 6, 6, 8), plan.ROWS: (30, 48)}


@pytest.fixture(autouse=True)
def threads_as_before():
    """Restore the number of threads: a baseline sets its own, and torch may share OpenMP with the kernels."""
    with threadpool_limits(limits=fd.get_num_threads()):
        yield


def needs(*names):
    return pytest.mark.skipif(
        not all(map(baselines.is_installed, names)), reason=f"{' and '.join(names)} not installed"
    )


def inductor(test):
    """Skip without torch.compile, and ignore the warnings of torch.compile."""
    return pytest.mark.filterwarnings("ignore::DeprecationWarning")(needs("torch.compile")(test))


def _arrays(case):
    """The case's arrays by role."""
    return candidates.getter(case, Buffers())


def _operations(baseline):
    return list(dict.fromkeys(case.operation for case in plan.cases(plan.FULL, (1,)) if baseline in case.baselines))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@inductor
@pytest.mark.parametrize("operation", _operations("torch.compile"))
def test_what_inductor_compiles_is_right(operation):
    cases = [case for case in plan.cases(plan.FULL, (1,)) if case.operation == operation and case.p == 0.5]
    case = cases[-1]._replace(shape=SMALL.get(cases[-1].shape, (5000,)), seconds=0, baselines=("torch.compile",))
    (result,) = results.run([case])
    assert isinstance(result.candidates["torch.compile"], Timing), result.candidates["torch.compile"]


@inductor
def test_without_a_compiler_the_error_says_so():
    config = pytest.importorskip("torch._inductor.config")
    p = random.uniform(0.1, 0.9)  # a shape that was never compiled, so not in the cache on disk
    case = plan.Case("dropout", (5000,), "float32", p, 1, ("torch.compile",), 0)
    with config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        (result,) = results.run([case])
    assert not result.error
    assert "No working C++ compiler" in result.candidates["torch.compile"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@inductor
def test_a_compiled_baseline_of_another_shape_is_compiled_too():
    """After several shapes, torch stops compiling a function and runs it uncompiled."""
    for size in range(1000, 1012):
        case = plan.Case("dropout", (size,), "float32", 0.5, 1, (), 0)
        run, check = baselines.torch_compile(case, _arrays(case))
        check(run())


@needs("numba")
def test_numba_is_compiled_before_it_is_timed():
    for operation, loop in (("dropout", 0), ("dropout backward", 1)):
        baselines.numba_loops.cache_clear()
        case = plan.Case(operation, (30, 48), "float32", 0.5, 1)
        baselines.numba(case, _arrays(case))
        assert len(baselines.numba_loops()[loop].signatures) == 1


@pytest.mark.parametrize("baseline", ["torch", "jax"])
@pytest.mark.parametrize("operation", [*plan.FUSED_BACKWARD, "dropout backward"])
def test_a_wrong_gradient_is_found(baseline, operation):
    if not baselines.is_installed(baseline):
        pytest.skip(f"{baseline} is not installed")
    case = plan.Case(operation, (30, 48), "float32", 0.4, 1)
    run, check = baselines.BASELINES[baseline](case, _arrays(case))
    right = run()
    check(right)
    wrong = np.asarray(right[0]).copy()
    wrong[0, np.abs(wrong[0]).argmax()] *= -1  # a small one may be within the tolerance for GELU
    (as_given,) = (baselines.importlib.import_module("torch").from_numpy(wrong),) if baseline == "torch" else (wrong,)
    with pytest.raises(AssertionError):
        check((as_given,))


@pytest.mark.parametrize("name", baselines.PACKAGES)
def test_a_missing_baseline_is_named_with_its_pip_line(name, monkeypatch, capsys):
    find = baselines.importlib.util.find_spec
    monkeypatch.setattr(baselines.importlib.util, "find_spec", lambda other: None if other == name else find(other))
    monkeypatch.setattr(plan, "FULL", (plan.Row(("dropout",), ((64,),), (0.5,), ("copy",), seconds=0),))
    assert name in baselines.missing()
    assert [
        baseline for baseline in plan.COMPETITORS if baseline.startswith(name) and baselines.is_installed(baseline)
    ] == []
    assert cli.main(["bench", "--threads", "1"]) == 0
    assert f"{name} is not installed: no baseline here (pip install {name})" in capsys.readouterr().out


def test_every_competitor_of_the_plan_is_a_baseline():
    assert set(plan.COMPETITORS) <= set(baselines.BASELINES)
    assert {name.removesuffix(".compile") for name in plan.COMPETITORS} == set(baselines.PACKAGES)


@needs("torch")
def test_threads_of_a_baseline_do_not_stay_fastdrops():
    """torch may share OpenMP with the kernels: its thread limit in one case does not apply to the next one."""
    before = kernels.max_threads(), fd.get_num_threads()
    case = plan.Case("dropout", (5000,), "float32", 0.5, 1, ("torch",), 0)
    list(results.run([case]))
    assert (kernels.max_threads(), fd.get_num_threads()) == before
