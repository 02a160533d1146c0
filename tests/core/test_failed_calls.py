"""A call that fails draws nothing: streams and generators stay as they were."""

import pickle

import numpy as np
import pytest
from calltools import ALL, NO_OUT, NO_P, SHAPE, sources, values

import fastdrop as fd
from fastdrop.backends import cpu


def failures(name):
    """Calls that must fail."""
    call = ALL[name]
    x = values(SHAPE)
    huge = np.broadcast_to(np.float32(1), (2, 2, 2**22, 2**22))  # 2**48 bytes, more than the address space
    yield lambda rng: call(x.astype(int), 0.5, rng=rng)
    yield lambda rng: call(x, 0.5, rng=rng, training="yes")
    yield lambda rng: call(x, 0.5, rng=rng, seed=3)
    if name not in NO_P:
        for p in (2.0, float("nan"), "half", None, True, 1j, np.timedelta64(0, "s"), np.array([0.5]), 10**400):
            yield lambda rng, p=p: call(x, p, rng=rng)
    if name not in NO_OUT:
        for out in (np.empty((2, 3), "f4"), np.empty(SHAPE), "out", np.broadcast_to(np.float32(0), SHAPE)):
            yield lambda rng, out=out: call(x, 0.5, rng=rng, out=out)
        if name != "bias_activation_dropout":
            yield lambda rng: call(huge, 0.5, rng=rng)
            yield lambda rng: call(np.ma.masked_array(x), 0.5, rng=rng)


@pytest.mark.parametrize("name", ALL)
def test_a_call_that_fails_draws_nothing(name):
    for kind, (rng, state) in sources().items():
        before = state(rng)
        for number, fail in enumerate(failures(name)):
            with pytest.raises((TypeError, ValueError, MemoryError)):
                fail(rng)
            assert state(rng) == before, (kind, number)
        ALL[name](values(SHAPE), 0.5, rng=rng)
        assert state(rng) != before


LATE = ["elementwise", "multiply", "softmax", "gaussian", "dropconnect_forward", "masked_weight", "scratch_like"]


@pytest.mark.parametrize("name", [name for name in ALL if name != "dropout"])
@pytest.mark.parametrize("at", [*LATE, "numpy.multiply", "numpy.copyto", "numpy.zeros"])
def test_a_failure_after_the_draw_gives_the_call_number_back(monkeypatch, name, at):
    """Memory runs out while results are computed, or a kernel launch fails."""

    def out_of_memory(*arguments, **keywords):
        raise MemoryError

    for rng, state in sources().values():
        before = state(rng)
        failed = False
        with monkeypatch.context() as patch:
            patch.setattr(*((np, at[6:]) if at.startswith("numpy.") else (cpu, at)), out_of_memory)
            try:
                ALL[name](values(SHAPE), 0.5, rng=rng)
            except MemoryError:
                failed = True
        assert (state(rng) == before) == failed


def test_an_activation_that_fails_draws_nothing():
    stream, calls = fd.Stream(1), []

    def activation(u):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no")
        return u

    with pytest.raises(RuntimeError, match="no"):
        fd.dropconnect_inference(np.ones((2, 3)), np.ones((4, 3)), samples=5, activation=activation, rng=stream)
    assert (stream.calls, len(calls)) == (0, 3)


def test_call_numbers_before_later_ones_are_not_given_back():
    """Otherwise two masks would be equal."""
    stream = fd.Stream(1)

    def activation(u):
        if stream.calls == 2:
            fd.dropout(np.ones(3), rng=stream)
            raise RuntimeError
        return u

    with pytest.raises(RuntimeError):
        fd.dropconnect_inference(np.ones((2, 3)), np.ones((4, 3)), samples=5, activation=activation, rng=stream)
    assert stream.calls == 3


def test_a_masked_dask_array_draws_nothing():
    da = pytest.importorskip("dask.array")
    for rng, state in sources().values():
        before = state(rng)
        for x in (da.ma.masked_array(da.ones((4, 4), chunks=2), False), da.ones((4, 4), dtype=int, chunks=2)):
            with pytest.raises(TypeError):
                fd.dropout(x, rng=rng)
        assert state(rng) == before


def test_generators_that_others_have_drawn_from_are_left_alone():
    for kind, (rng, _) in sources().items():
        inner = []

        def activation(u, rng=rng, inner=inner):
            inner.append(fd.dropout(np.ones(50), rng=rng)[1])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            fd.dropconnect_inference(np.ones((4, 8)), np.ones((3, 8)), rng=rng, activation=activation)
        later = [fd.dropout(np.ones(50), rng=rng)[1] for _ in range(4)]
        assert inner[0] not in later, kind


def test_streams_of_a_users_own_class():
    class Mine(fd.Stream):
        def __init__(self, name):
            super().__init__(3)
            self.name = name

    stream = Mine("a")
    fd.dropout(np.ones(3), rng=stream)
    import copy

    for again in (copy.copy(stream), copy.deepcopy(stream)):
        assert (type(again), again.name, again.state) == (Mine, "a", stream.state)
    assert pickle.loads(pickle.dumps(fd.Stream(5))).state == fd.Stream(5).state
