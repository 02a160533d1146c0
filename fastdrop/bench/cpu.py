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
    """One operation on one size: medians in seconds."""

    operation: str
    elements: int
    p: float
    fastdrop: float
    numpy: float
    copy: float

    @property
    def speedup(self) -> float:
        """How many times faster than NumPy at its best."""
        return self.numpy / self.fastdrop

    @property
    def gigabytes_per_second(self) -> float:
        """Four bytes read and four written per float32 element."""
        return self.elements * 8 / self.fastdrop / 1e9


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
    """What NumPy can do at its best: float32 draws and work in place, on buffers that are there already."""

    def __init__(self, shape: tuple[int, ...], p: float) -> None:
        self.rng = np.random.Generator(np.random.SFC64(0))
        self.draws = np.empty(shape, np.float32)
        self.p = np.float32(p)
        self.scale = np.float32(1 / (1 - p))

    def __call__(self, x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        self.rng.random(out=self.draws, dtype=np.float32)
        kept = self.draws >= self.p
        np.multiply(x, self.scale, out=out)
        np.multiply(out, kept, out=out)


def _check(y: NDArray[Any], x: NDArray[Any], mask: fd.Mask | None) -> None:
    assert mask is not None
    kept = np.asarray(mask).ravel()[:CHECKED]
    if mask.decision_shape == mask.shape:
        assert np.array_equal(kept, reference.keep(*mask.recipe, (kept.size,)))
    assert np.array_equal(y.ravel()[:CHECKED], reference.apply(x.ravel()[:CHECKED], kept, mask.scale))


def _dropout(elements: int, p: float) -> Timing:
    x = np.random.default_rng(0).standard_normal(elements, np.float32)
    out, stream, peer = np.empty_like(x), fd.Stream(0), _NumpyDropout(x.shape, p)
    _check(*_reorder(fd.dropout(x, p, rng=stream), x))
    return Timing(
        "dropout",
        elements,
        p,
        _median_time(lambda: fd.dropout(x, p, rng=stream, out=out)),
        _median_time(lambda: peer(x, out)),
        _median_time(lambda: np.copyto(out, x)),
    )


def _backward(elements: int, p: float) -> Timing:
    dy = np.random.default_rng(0).standard_normal(elements, np.float32)
    out, peer = np.empty_like(dy), _NumpyDropout(dy.shape, p)
    _, mask = fd.dropout(dy, p, rng=0)
    _check(fd.dropout_backward(dy, mask), dy, mask)
    kept = np.asarray(mask)

    def numpy_backward() -> None:
        np.multiply(dy, peer.scale, out=out)
        np.multiply(out, kept, out=out)

    return Timing(
        "dropout backward",
        elements,
        p,
        _median_time(lambda: fd.dropout_backward(dy, mask, out=out)),
        _median_time(numpy_backward),
        _median_time(lambda: np.copyto(out, dy)),
    )


def _spatial(elements: int, p: float, channels_last: bool) -> Timing:
    batch, channels = 8, 64
    side = (elements // (batch * channels)) ** 0.5
    positions = (int(side), int(elements / (batch * channels) / int(side)))
    shape = (batch, *positions, channels) if channels_last else (batch, channels, *positions)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    out, stream, axis = np.empty_like(x), fd.Stream(0), -1 if channels_last else 1
    draws = _NumpyDropout((batch, 1, 1, channels) if channels_last else (batch, channels, 1, 1), p)

    def numpy_spatial() -> None:
        draws.rng.random(out=draws.draws, dtype=np.float32)
        np.multiply(x, (draws.draws >= draws.p) * draws.scale, out=out)

    _check(*_reorder(fd.spatial_dropout(x, p, channel_axis=axis, rng=stream), x))
    return Timing(
        "spatial, channels last" if channels_last else "spatial, channels first",
        x.size,
        p,
        _median_time(lambda: fd.spatial_dropout(x, p, channel_axis=axis, rng=stream, out=out)),
        _median_time(numpy_spatial),
        _median_time(lambda: np.copyto(out, x)),
    )


def _connect(elements: int, p: float, per_example: bool, backward: bool) -> Timing:
    """One mask per example: `elements` connections in all. One per batch: as many weights."""
    batch = 32 if per_example else 64
    side = int((elements / batch if per_example else elements) ** 0.5)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, side), np.float32)
    weight = rng.standard_normal((side, side), np.float32)
    dy = rng.standard_normal((batch, side), np.float32)
    bias, stream = np.zeros(side, np.float32), fd.Stream(0)
    y, mask = fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=stream)
    assert mask is not None
    kept = np.asarray(mask)
    assert np.allclose(y, reference.dropconnect(x, weight, bias, kept, mask.scale), atol=1e-2)
    peer = _NumpyDropout(mask.shape, p)
    masked = np.empty(mask.shape, np.float32)
    weights = np.broadcast_to(weight, mask.shape)

    def numpy_connect() -> None:
        if not backward:
            peer(weights, masked)
            (masked @ x[:, :, None])[..., 0] if per_example else x @ masked.T
            return
        np.multiply(weights, kept, out=masked)
        np.multiply(masked, peer.scale, out=masked)
        (dy[:, None, :] @ masked) if per_example else dy @ masked
        if per_example:
            np.multiply(dy[:, :, None], x[:, None, :], out=masked)
            np.multiply(masked, kept, out=masked)
            masked.sum(axis=0)
        else:
            np.multiply(dy.T @ x, kept, out=masked)

    def run() -> object:
        if backward:
            return fd.dropconnect_backward(dy, x, weight, mask)
        return fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=stream)

    copies = np.empty(kept.shape, np.float32)
    name = f"DropConnect per {'example' if per_example else 'batch'}{' backward' if backward else ''}"
    return Timing(
        name,
        kept.size,
        p,
        _median_time(run),
        _median_time(numpy_connect),
        _median_time(lambda: np.copyto(copies, weights)),
    )


def _reorder(result: tuple[NDArray[Any], fd.Mask | None], x: NDArray[Any]) -> tuple[Any, Any, Any]:
    return result[0], x, result[1]


def run(elements: int) -> Iterator[Timing]:
    """Every operation at p = 0.5 and 0.3, float32."""
    for p in (0.5, 0.3):
        yield _dropout(elements, p)
        yield _backward(elements, p)
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
