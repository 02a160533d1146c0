"""fastdrop's side of every operation, and its yardsticks: what is called, and how its result is checked."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import threads
from fastdrop.bench import checks, family, peers
from fastdrop.bench.measure import SUBJECT, Candidate
from fastdrop.bench.plan import (
    CONNECT,
    CONNECT_BACKWARD,
    COPY_KINDS,
    FAMILY,
    FUSED,
    FUSED_BACKWARD,
    MULTIPLY,
    NEW_RESULT,
    OVERHEAD,
    WITH_OUT,
    Case,
    arrays_moved,
)

Array = NDArray[Any]

_BLOCK = 1 << 20


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype of this name; bfloat16 comes from the package ml_dtypes."""
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


class Buffers:
    """Arrays by role, made once at the largest size and used again for every smaller one: warm, all pages there."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def get(self, role: str, shape: tuple[int, ...], dtype: str = "float32", *, filled: bool = True) -> Array:
        """An array of this shape: random numbers, the same ones each time, or zeros at first for a result."""
        kind, count = dtype_of(dtype), int(np.prod(shape))
        known = self._arrays.get(role)
        if known is None or known.dtype != kind or known.size < count:
            self._arrays.pop(role, None)  # first free the old one
            known = np.zeros(count, kind)
            if filled:
                seed = sum(role.encode())
                block = np.random.default_rng(seed).standard_normal(min(count, _BLOCK), np.float32).astype(kind)
                for start in range(0, count, _BLOCK):
                    known[start : start + _BLOCK] = block[: count - start]
            else:
                known.fill(0)  # np.zeros leaves the pages to the first writer
            self._arrays[role] = known
        return known[:count].reshape(shape)


class Work(NamedTuple):
    """What fastdrop does in a case, and the arrays that its peers get."""

    run: Callable[[], Any]
    check: Callable[[Any], None]
    arrays: peers.Arrays
    yardsticks: dict[str, Callable[[], Candidate]]


def makers(case: Case, buffers: Buffers) -> dict[str, Callable[[], Candidate]]:
    """Everyone who takes part in this case, fastdrop first, each made when its turn comes."""
    work = _work(case, buffers)
    products = case.operation in (*CONNECT, *CONNECT_BACKWARD)
    moved = 0 if products else arrays_moved(case.operation) * work.arrays.x.nbytes
    spins = "per example" in case.operation
    found: dict[str, Callable[[], Candidate]] = {SUBJECT: lambda: Candidate(work.run, work.check, moved, spins=spins)}
    for name in case.peers:
        isa = name.removeprefix(f"{SUBJECT} ")
        if name in work.yardsticks:
            found[name] = work.yardsticks[name]
        elif isa in threads.kernels.available_isas():
            found[name] = partial(Candidate, work.run, work.check, moved, isa)
        elif peers.is_here(name) and case.operation not in FAMILY:
            found[name] = partial(_peer, name, case, work.arrays, moved, spins)
    return found


def _peer(name: str, case: Case, arrays: peers.Arrays, moved: int, spins: bool) -> Candidate:
    run, check = peers.PEERS[name](case, arrays)
    return Candidate(run, check, moved, spins=spins)


def _work(case: Case, buffers: Buffers) -> Work:
    if case.operation in (*CONNECT, *CONNECT_BACKWARD):
        return _connect(case, buffers)
    x = buffers.get("x", case.shape, case.dtype)
    out = buffers.get("out", case.shape, case.dtype, filled=False)
    arrays = peers.Arrays(x, out)
    yardsticks = {
        **{name: partial(_copy, kind, x, out) for name, kind in COPY_KINDS.items()},
        "np.copyto": lambda: Candidate(lambda: np.copyto(out, x), lambda _: _same(out, x), 2 * x.nbytes),
        MULTIPLY: lambda: _multiply(x, 1 / (1 - case.p)),
        **dict.fromkeys(("dropout alone", WITH_OUT), lambda: _alone(case, buffers)),
        "fastdrop float32": lambda: _alone(case._replace(dtype="float32"), buffers, "float32 "),
    }
    if case.operation in (*FUSED, *FUSED_BACKWARD):
        return _fused(case, buffers, arrays, yardsticks)
    if case.operation in FAMILY:
        arrays = arrays._replace(other=buffers.get("other", case.shape, case.dtype))
        run, check = family.work(case, arrays)
        return Work(run, check, arrays, yardsticks | family.others(case, arrays))
    stream, p = fd.Stream(0), case.p
    if case.operation == "dropout backward":
        mask = fd.dropout(x, p, rng=stream, out=out)[1]
        return Work(
            lambda: fd.dropout_backward(x, mask, out=out),
            lambda dx: checks.dropout(dx, x, there(mask)),
            arrays,
            yardsticks,
        )
    if case.operation.startswith("spatial"):
        axis = -1 if case.operation.endswith("last") else 1
        return Work(
            lambda: fd.spatial_dropout(x, p, channel_axis=axis, rng=stream, out=out),
            lambda result: checks.spatial(result[0], x, result[1]),
            arrays,
            yardsticks,
        )
    if case.operation in (OVERHEAD, NEW_RESULT):  # what users write: the result is a new array
        return Work(lambda: fd.dropout(x, p, rng=stream), _dropout_check(x), arrays, yardsticks)
    return Work(lambda: fd.dropout(x, p, rng=stream, out=out), _dropout_check(x), arrays, yardsticks)


def _dropout_check(x: Array) -> Callable[[Any], None]:
    return lambda result: checks.dropout(result[0], x, result[1])


def there(mask: fd.Mask | None) -> fd.Mask:
    assert mask is not None
    return mask


def _same(found: Array, wanted: Array) -> None:
    for part in checks.pieces(found.size):
        checks.same_bits(found.reshape(-1)[part], wanted.reshape(-1)[part])


def _copy(kind: str, x: Array, out: Array) -> Candidate:
    """A copy on as many threads, and in the pieces, that a dropout of the same array gets."""
    copy, count = threads.kernels.copy, threads.threads_for(x.size)
    return Candidate(lambda: copy(x, out, kind, count), lambda _: _same(out, x), 2 * x.nbytes)


def _multiply(x: Array, scale: float) -> Candidate:
    wanted = x * x.dtype.type(scale)
    return Candidate(lambda: np.multiply(x, scale), lambda found: _same(found, wanted), 2 * x.nbytes)


def _alone(case: Case, buffers: Buffers, role: str = "") -> Candidate:
    """Plain dropout of an array of the same shape."""
    x = buffers.get(f"{role}x", case.shape, case.dtype)
    out = buffers.get(f"{role}out", case.shape, case.dtype, filled=False)
    stream, p = fd.Stream(0), case.p
    return Candidate(lambda: fd.dropout(x, p, rng=stream, out=out), _dropout_check(x), 2 * x.nbytes)


def _fused(case: Case, buffers: Buffers, arrays: peers.Arrays, yardsticks: dict[str, Callable[[], Candidate]]) -> Work:
    name, p, stream = case.operation, case.p, fd.Stream(0)
    x, out = arrays.x, arrays.out
    bias = buffers.get("bias", case.shape[-1:], case.dtype)
    other = buffers.get("other", case.shape, case.dtype)
    arrays = arrays._replace(bias=bias, other=other)
    # Looked up by name: a build that has them not says so in these cases alone.
    forward: Callable[[], Any]
    if name.startswith("bias"):
        activation = "relu" if "ReLU" in name else "gelu"
        call = _public("bias_activation_dropout")
        forward = lambda: call(x, bias, p, activation=activation, rng=stream, out=out)  # noqa: E731
    elif name == "dropout + add":
        call = _public("dropout_add")
        forward = lambda: call(x, other, p, rng=stream, out=out)  # noqa: E731
    else:
        call = _public("softmax_dropout")
        forward = lambda: call(x, p, rng=stream, out=out)  # noqa: E731
    if name in FUSED:
        return Work(
            forward, lambda result: checks.fused(name, result[0], x, bias, other, result[1]), arrays, yardsticks
        )
    mask = forward()[1]
    if name.startswith("bias"):
        back = _public("bias_activation_dropout_backward")
        run = lambda: back(other, x, bias, mask, activation=activation)  # noqa: E731
    else:
        back = _public("softmax_dropout_backward")
        run = lambda: back(other, x, mask)  # noqa: E731
    return Work(run, lambda result: checks.fused_backward(name, result, other, x, bias, mask), arrays, yardsticks)


def _public(name: str) -> Callable[..., Any]:
    found = getattr(fd, name, None)
    if found is None:
        raise NotImplementedError(f"this fastdrop has no {name}")
    call: Callable[..., Any] = found
    return call


def _connect(case: Case, buffers: Buffers) -> Work:
    batch, outputs, inputs = case.shape
    x = buffers.get("connect x", (batch, inputs), case.dtype)
    dy = buffers.get("connect dy", (batch, outputs), case.dtype)
    weight = buffers.get("connect weight", (outputs, inputs), case.dtype)
    bias = buffers.get("connect bias", (outputs,), case.dtype)
    per_example, p, stream = "example" in case.operation, case.p, fd.Stream(0)
    arrays = peers.Arrays(x, np.empty(0, x.dtype), bias, dy, weight)
    if case.operation in CONNECT:
        return Work(
            lambda: fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=stream),
            lambda result: checks.connect(result[0], x, weight, bias, result[1], per_example),
            arrays,
            {"product": lambda: Candidate(lambda: x @ weight.T, lambda _: None, 0, spins=per_example)},
        )
    mask = there(fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=stream)[1])
    return Work(
        lambda: fd.dropconnect_backward(dy, x, weight, mask),
        lambda result: checks.connect_backward(result, dy, x, weight, mask, per_example),
        arrays,
        {"product": lambda: Candidate(lambda: (dy @ weight, dy.T @ x), lambda _: None, 0, spins=per_example)},
    )
