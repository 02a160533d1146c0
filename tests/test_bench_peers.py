"""The benchmark's peers: each is right, ready before it is timed, and named where it is missing or fails."""

import gc
import random
import shutil

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastdrop as fd
from fastdrop import threads
from fastdrop.bench import checks, onednn, peers, plan, results
from fastdrop.bench.measure import Timing
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow

SMALL = {plan.IMAGES: (2, 8, 6, 6), plan.IMAGES_LAST: (2, 6, 6, 8), plan.ROWS: (30, 48)}


@pytest.fixture(autouse=True)
def threads_as_before():
    """A peer that is called by itself sets its number of threads, and torch may share OpenMP with the kernels."""
    with threadpool_limits(limits=fd.get_num_threads()):
        yield


def needs(*names):
    return pytest.mark.skipif(not all(map(peers.is_here, names)), reason=f"{' and '.join(names)} not installed")


def inductor(test):
    """A test of torch.compile, which warns of its own code."""
    return pytest.mark.filterwarnings("ignore::DeprecationWarning")(needs("torch.compile")(test))


def _arrays(shape=(30, 48)):
    rng = np.random.default_rng(0)
    x, other = (rng.standard_normal(shape, np.float32) for _ in range(2))
    return peers.Arrays(x, np.zeros_like(x), rng.standard_normal(shape[-1:], np.float32), other)


def _operations(peer):
    return list(dict.fromkeys(case.operation for case in plan.cases(plan.FULL, (1,)) if peer in case.peers))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@inductor
@pytest.mark.parametrize("operation", _operations("torch.compile"))
def test_what_inductor_compiles_is_right(operation):
    cases = [case for case in plan.cases(plan.FULL, (1,)) if case.operation == operation and case.p == 0.5]
    case = cases[-1]._replace(shape=SMALL.get(cases[-1].shape, (5000,)), seconds=0, peers=("torch.compile",))
    (result,) = results.run([case])
    assert isinstance(result.candidates["torch.compile"], Timing), result.candidates["torch.compile"]


@inductor
def test_without_a_compiler_the_error_says_so():
    config = pytest.importorskip("torch._inductor.config")
    p = random.uniform(0.1, 0.9)  # never compiled before: it is not in the cache on the disk
    case = plan.Case("dropout", (5000,), "float32", p, 1, ("torch.compile",), 0)
    with config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        (result,) = results.run([case])
    assert not result.error
    assert "No working C++ compiler" in result.candidates["torch.compile"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@inductor
def test_a_compiled_peer_of_another_shape_is_compiled_too():
    """torch gives up compiling one function after some shapes, and runs it as it is."""
    for size in range(1000, 1012):
        case = plan.Case("dropout", (size,), "float32", 0.5, 1, (), 0)
        run, check = peers.torch_compile(case, _arrays((size,)))
        check(run())


@needs("numba")
def test_numba_is_compiled_before_it_is_timed():
    for operation, loop in (("dropout", 0), ("dropout backward", 1)):
        peers._numba_loops.cache_clear()
        peers.numba(plan.Case(operation, (30, 48), "float32", 0.5, 1), _arrays())
        assert len(peers._numba_loops()[loop].signatures) == 1


@pytest.mark.parametrize("peer", ["torch", "jax"])
@pytest.mark.parametrize("operation", [*plan.FUSED_BACKWARD, "dropout backward"])
def test_a_wrong_gradient_is_found(peer, operation):
    if not peers.is_here(peer):
        pytest.skip(f"{peer} is not installed")
    run, check = peers.PEERS[peer](plan.Case(operation, (30, 48), "float32", 0.4, 1), _arrays())
    right = run()
    check(right)
    wrong = np.asarray(right[0]).copy()
    wrong[0, np.flatnonzero(np.abs(wrong[0]) > 0.01)[-1]] *= -1
    (as_given,) = (peers.importlib.import_module("torch").from_numpy(wrong),) if peer == "torch" else (wrong,)
    with pytest.raises(AssertionError):
        check((as_given,))


@pytest.mark.parametrize("name", peers.OPTIONAL)
def test_a_missing_peer_is_named_with_its_pip_line(name, monkeypatch, capsys):
    find = peers.importlib.util.find_spec
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda other: None if other == name else find(other))
    if name == onednn.PACKAGE:
        monkeypatch.setattr(onednn, "library_file", lambda: None)
    monkeypatch.setattr(plan, "FULL", (plan.Row(("dropout",), ((64,),), (0.5,), ("copy",), seconds=0),))
    assert name in peers.missing()
    assert [peer for peer in plan.OTHERS if peer.startswith(name) and peers.is_here(peer)] == []
    assert cli.main(["bench", "--threads", "1"]) == 0
    assert f"{name} is not installed: not compared with (pip install {name})" in capsys.readouterr().out


def test_every_other_of_the_plan_is_a_peer():
    assert set(plan.OTHERS) <= set(peers.PEERS)
    assert {name.removesuffix(".compile") for name in plan.OTHERS} == set(peers.OPTIONAL)


@needs("onednn")
class TestOneDNN:
    @pytest.mark.parametrize("softmax", [False, True])
    @pytest.mark.parametrize("shape", [(1, 4096), (4096, 1), (64, 64), (4, 4, 256)])
    def test_its_dropout(self, shape, softmax):
        x = _arrays(shape).x
        dropout = onednn.Dropout(x, np.zeros_like(x), 0.3, softmax=softmax)
        before = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True) if softmax else x
        masks = []
        for _ in range(2):
            y = dropout()
            checks.looks_dropped(y, before, 0.3)
            np.testing.assert_allclose(y, np.where(dropout.mask, before / np.float32(0.7), 0), rtol=1e-5, atol=1e-6)
            masks.append(dropout.mask.copy())
        assert (masks[0] != masks[1]).any()

    def test_all_handles_are_freed(self, monkeypatch):
        made, freed, call = [], [], onednn._Library.call

        def counts(self, name, *arguments):
            call(self, name, *arguments)
            if "destroy" in name:
                freed.append((name.removesuffix("_destroy"), arguments[0].value))
            elif "create" in name:
                kind = "dnnl_primitive_desc" if "primitive_desc" in name else name.partition("_create")[0]
                made.append((kind, arguments[0]._obj.value))

        x = _arrays().x
        onednn.Dropout(x, x, 0.5, softmax=False)()  # the library itself stays
        monkeypatch.setattr(onednn._Library, "call", counts)
        dropout = onednn.Dropout(x, x, 0.5, softmax=False)
        dropout()
        del dropout
        gc.collect()
        assert len(made) > 10
        assert sorted(made) == sorted(freed)

    def test_a_refusal_is_an_error_and_frees_what_there_was(self, monkeypatch):
        x = np.ones(64, np.float32)
        freed, call = [], onednn._Library.call

        def counts(self, name, *arguments):
            call(self, name, *arguments)
            freed.extend([name] * ("destroy" in name))

        monkeypatch.setattr(onednn._Library, "call", counts)
        with pytest.raises(RuntimeError, match="oneDNN: dnnl_eltwise_forward_primitive_desc_create: unimplemented"):
            onednn.Dropout(x, x.copy(), 0.5, softmax=False)
        gc.collect()
        assert len(freed) == 3  # two descriptions and the attribute

    @pytest.mark.parametrize("x", [np.ones((4, 4)), np.ones((4, 4), np.float32).T[:2]])
    def test_other_arrays_are_refused(self, x):
        with pytest.raises(TypeError, match="contiguous float32"):
            onednn.Dropout(x, np.zeros_like(x), 0.5, softmax=False)

    def test_the_environment_is_what_it_was(self, monkeypatch):
        monkeypatch.delenv("OCL_ICD_FILENAMES", raising=False)
        onednn._Library()
        assert "OCL_ICD_FILENAMES" not in onednn.os.environ


@needs("torch")
def test_a_peers_threads_do_not_stay_ours():
    """torch may share OpenMP with the kernels: what it is limited to in a case is not the limit of the next one."""
    before = threads.kernels.max_threads(), fd.get_num_threads()
    case = plan.Case("dropout", (5000,), "float32", 0.5, 1, ("torch",), 0)
    list(results.run([case]))
    assert (threads.kernels.max_threads(), fd.get_num_threads()) == before
