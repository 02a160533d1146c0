"""The operations that are measured: how fastdrop is called, on arrays of NumPy or CuPy, and the arrays for it.

Nothing of fastdrop is imported here, since `compare --builds` measures other builds with the same table: every function
gets the package as an argument.
"""

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

Get = Callable[[str], Any]
"""The array that has this role in a case."""
Make = Callable[[Any, Get, float], "Call"]
"""Makes the call from the package fastdrop, the arrays and p."""


class Call(NamedTuple):
    """One call of fastdrop, and the mask where the result does not have it."""

    run: Callable[[], Any]
    mask: Any = None


class Operation(NamedTuple):
    """How an operation is called, and how many arrays of x's size it reads and writes: what GB/s count."""

    make: Make
    arrays: int = 2


def _forward(name: str, *roles: str, out: bool = True, **options: Any) -> Make:
    def make(fd: Any, get: Get, p: float) -> Call:
        arrays = {"out": get("out")} if out else {}
        return Call(partial(getattr(fd, name), *map(get, roles), p=p, rng=fd.Stream(0), **arrays, **options))

    return make


def _backward(name: str, forward: Make, *roles: str, out: bool = False, **options: Any) -> Make:
    def make(fd: Any, get: Get, p: float) -> Call:
        arrays = {"out": get("out")} if out else {}
        mask = forward(fd, get, p).run()[1]
        return Call(partial(getattr(fd, name), *map(get, roles), mask, **arrays, **options), mask)

    return make


def _bias(activation: str) -> Make:
    return _forward("bias_activation_dropout", "x", "bias", activation=activation)


def _bias_backward(activation: str) -> Make:
    name = "bias_activation_dropout_backward"
    return _backward(name, _bias(activation), "other", "x", "bias", activation=activation)


def _connect(per_example: bool) -> Make:
    return _forward("dropconnect", "inputs", "weight", "weight bias", out=False, per_example=per_example)


def _connect_backward(per_example: bool) -> Make:
    return _backward("dropconnect_backward", _connect(per_example), "gradient", "inputs", "weight")


_dropout, _softmax = _forward("dropout", "x"), _forward("softmax_dropout", "x")

OPERATIONS: dict[str, Operation] = {
    "dropout": Operation(_dropout),
    "dropout backward": Operation(_backward("dropout_backward", _dropout, "x", out=True)),
    "dropout, new result": Operation(_forward("dropout", "x", out=False)),
    "spatial dropout, channels first": Operation(_forward("spatial_dropout", "x", channel_axis=1)),
    "spatial dropout, channels last": Operation(_forward("spatial_dropout", "x", channel_axis=-1)),
    "bias + ReLU + dropout": Operation(_bias("relu")),
    "bias + GELU + dropout": Operation(_bias("gelu")),
    "dropout + add": Operation(_forward("dropout_add", "x", "other"), 3),
    "softmax + dropout": Operation(_softmax),
    "bias + ReLU + dropout backward": Operation(_bias_backward("relu"), 3),
    "bias + GELU + dropout backward": Operation(_bias_backward("gelu"), 3),
    "softmax + dropout backward": Operation(_backward("softmax_dropout_backward", _softmax, "other", "x"), 3),
    "DropConnect per batch": Operation(_connect(False), 0),
    "DropConnect per example": Operation(_connect(True), 0),
    "DropConnect per batch backward": Operation(_connect_backward(False), 0),
    "DropConnect per example backward": Operation(_connect_backward(True), 0),
    "alpha dropout": Operation(_forward("alpha_dropout", "x")),
    "Gaussian dropout": Operation(_forward("gaussian_dropout", "x")),
    "zoneout": Operation(_forward("zoneout", "x", "other"), 3),
    "DropBlock": Operation(_forward("dropblock", "x", block_size=7)),
    "drop path": Operation(_forward("drop_path", "x")),
    "locked dropout": Operation(_forward("locked_dropout", "x")),
    "call overhead": Operation(_forward("dropout", "x", out=False)),
}
"""Shapes of DropConnect are (batch, outputs, inputs); it has no GB/s, since it is bound by its matrix product."""


def shape_of(role: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the array with this role in a case of this shape."""
    match role:
        case "bias":
            return shape[-1:]
        case "inputs":
            return shape[0], shape[2]
        case "weight":
            return shape[1:]
        case "weight bias":
            return shape[1:2]
        case "gradient":
            return shape[:2]
    return shape


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype with this name; bfloat16 comes from the package ml_dtypes."""
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


class Buffers:
    """Memory by role, allocated once at the largest size and touched, so that no timing waits for new pages."""

    BLOCK = 1 << 20

    def __init__(self, package: Any = np) -> None:
        self._package, self._memory = package, {}  # type: ignore[var-annotated]

    def get(
        self, role: str, shape: tuple[int, ...], dtype: str, offset: int = 0, room: int = 0, prefix: str = ""
    ) -> Any:
        """An array with this role; `offset` bytes into its memory, which has `room` bytes more than the array.

        Every array has the same random numbers each time, except "out", which nothing reads. Another `prefix` is other
        memory.
        """
        kind, shape = dtype_of(dtype), shape_of(role, shape)
        count = math.prod(shape)
        size = count * kind.itemsize
        key = prefix + role
        if key not in self._memory or self._memory[key].size < size + room:
            self._memory.pop(key, None)  # free the old memory first
            self._memory[key] = self._package.zeros(size + room, np.uint8)
            self._memory[key][:] = 0  # zeros() leaves the pages to the first write
        array = self._memory[key][offset : offset + size].view(kind)
        if role != "out":
            rng = np.random.default_rng(sum(role.encode()))
            block = self._package.asarray(rng.standard_normal(min(count, self.BLOCK), np.float32).astype(kind))
            for start in range(0, count, self.BLOCK):
                array[start : start + self.BLOCK] = block[: count - start]
        return array.reshape(shape)
