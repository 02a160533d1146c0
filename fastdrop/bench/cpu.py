"""Kernels against NumPy at its best, each result checked before it is timed."""

import platform
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import reference
from fastdrop.info import configuration

CHECKED = 1 << 14
"""Elements compared with the reference before a timing."""


class Timing(NamedTuple):
    """One operation on one size: medians in seconds, and how many passes over the elements it makes."""

    operation: str
    elements: int
    p: float
    passes: int
    fastdrop: float
    numpy: float
    copy: float

    @property
    def speedup(self) -> float:
        """How many times faster than NumPy at its best."""
        return self.numpy / self.fastdrop

    @property
    def of_copy(self) -> float:
        """Speed as a share of `numpy.copyto`'s, for as many passes."""
        return self.passes * self.copy / self.fastdrop

    @property
    def gigabytes_per_second(self) -> float:
        """Four bytes read and four written per float32 element and pass."""
        return self.passes * self.elements * 8 / self.fastdrop / 1e9


def _median_time(call: Callable[[], object], seconds: float = 0.3) -> float:
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return median(times)


class _NumpyDropout:
    """What NumPy can do at its best: float32 draws and work in place, on buffers that are there already.

    Its backward pass needs the mask of the forward pass, which it stores as booleans.
    """

    def __init__(self, shape: tuple[int, ...], p: float) -> None:
        self.rng = np.random.Generator(np.random.SFC64(0))
        self.draws = np.empty(shape, np.float32)
        self.kept = np.empty(shape, np.bool_)
        self.p = np.float32(p)
        self.scale = np.float32(1 / (1 - p))

    def forward(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        self.rng.random(out=self.draws, dtype=np.float32)
        np.greater_equal(self.draws, self.p, out=self.kept)
        self.backward(x, out)

    def backward(self, dy: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        np.multiply(dy, self.scale, out=out)
        np.multiply(out, self.kept, out=out)


def _check(y: NDArray[Any], x: NDArray[Any], mask: fd.Mask | None) -> None:
    assert mask is not None
    kept = np.asarray(mask).ravel()[:CHECKED]
    if mask.decision_shape == mask.shape:
        assert np.array_equal(kept, reference.keep(*mask.recipe, (kept.size,)))
    assert np.array_equal(y.ravel()[:CHECKED], reference.apply(x.ravel()[:CHECKED], kept, mask.scale))


def _dropout(elements: int, p: float, backward: bool) -> Timing:
    x = np.random.default_rng(0).standard_normal(elements, np.float32)
    out, stream, peer = np.empty_like(x), fd.Stream(0), _NumpyDropout(x.shape, p)
    y, mask = fd.dropout(x, p, rng=stream)
    _check(y, x, mask)
    _check(fd.dropout_backward(x, mask), x, mask)

    def run() -> None:
        _, mask = fd.dropout(x, p, rng=stream, out=out)
        if backward:
            fd.dropout_backward(x, mask, out=out)

    def run_numpy() -> None:
        peer.forward(x, out)
        if backward:
            peer.backward(x, out)

    name = "dropout, forward + backward" if backward else "dropout"
    return _timing(name, x.size, p, backward, run, run_numpy, lambda: np.copyto(out, x))


def _spatial(elements: int, p: float, channels_last: bool) -> Timing:
    batch, channels = 8, 64
    height = max(1, int((elements // (batch * channels)) ** 0.5))
    width = elements // (batch * channels) // height
    shape = (batch, height, width, channels) if channels_last else (batch, channels, height, width)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    out, stream, axis = np.empty_like(x), fd.Stream(0), -1 if channels_last else 1
    peer = _NumpyDropout((batch, 1, 1, channels) if channels_last else (batch, channels, 1, 1), p)

    def run_numpy() -> None:
        peer.rng.random(out=peer.draws, dtype=np.float32)
        np.multiply(x, (peer.draws >= peer.p) * peer.scale, out=out)

    y, mask = fd.spatial_dropout(x, p, channel_axis=axis, rng=stream)
    _check(y, x, mask)
    return _timing(
        "spatial dropout, channels last" if channels_last else "spatial dropout, channels first",
        x.size,
        p,
        False,
        lambda: fd.spatial_dropout(x, p, channel_axis=axis, rng=stream, out=out),
        run_numpy,
        lambda: np.copyto(out, x),
    )


def _connect(elements: int, p: float, per_example: bool, backward: bool) -> Timing:
    """One mask per example: `elements` connections in all. One per batch: as many weights, and BLAS's product."""
    batch = 32
    side = int((elements / batch if per_example else elements) ** 0.5)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, batch, side), np.float32)
    weight, bias = rng.standard_normal((side, side), np.float32), np.zeros(side, np.float32)
    stream = fd.Stream(0)
    y, mask = fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=stream)
    assert mask is not None
    np.testing.assert_allclose(y, reference.dropconnect(x, weight, bias, np.asarray(mask), mask.scale), atol=0.02)
    peer, masked = _NumpyDropout(mask.shape, p), np.empty(mask.shape, np.float32)
    weights = np.broadcast_to(weight, mask.shape)

    def run() -> None:
        _, mask = fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=stream)
        if backward:
            fd.dropconnect_backward(dy, x, weight, mask)

    def run_numpy() -> None:
        peer.forward(weights, masked)
        np.matmul(masked, x[:, :, None]) if per_example else x @ masked.T
        if not backward:
            return
        np.matmul(dy[:, None, :], masked) if per_example else dy @ masked
        if per_example:
            np.multiply(dy[:, :, None], x[:, None, :], out=masked)
            np.multiply(masked, peer.kept, out=masked)
            masked.sum(axis=0)
        else:
            np.multiply(dy.T @ x, peer.kept, out=masked)

    name = f"DropConnect per {'example' if per_example else 'batch'}{', forward + backward' if backward else ''}"
    return _timing(name, masked.size, p, backward, run, run_numpy, lambda: np.copyto(masked, weights))


def _timing(
    name: str,
    elements: int,
    p: float,
    backward: bool,
    run: Callable[[], object],
    run_numpy: Callable[[], object],
    copy: Callable[[], object],
) -> Timing:
    return Timing(name, elements, p, 1 + backward, _median_time(run), _median_time(run_numpy), _median_time(copy))


def run(elements: int) -> Iterator[Timing]:
    """Every operation at p = 0.5 and 0.3, float32."""
    for p in (0.5, 0.3):
        for backward in (False, True):
            yield _dropout(elements, p, backward)
        yield _spatial(elements, p, channels_last=False)
        yield _spatial(elements, p, channels_last=True)
        for per_example in (False, True):
            for backward in (False, True):
                yield _connect(elements, p, per_example, backward)


OPERATIONS = 16
"""How many timings `run` yields."""


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {**configuration(), "processor": _processor()}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
