"""What a result must be, on slices of it, by the reference in plain NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import reference
from fastdrop.bench.internals import reference_keep, reference_normals, to_host
from fastdrop.bench.operations import Get
from fastdrop.rule import ALPHA_DROPPED

Array = NDArray[Any]

HEAD, PIECE = 1 << 14, 1 << 12
"""Elements that are checked at the start, and in the middle and at the end of large arrays."""
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-10}
"""Relative, for results that are computed and not only selected and scaled."""
_EXACT = ("dropout", "spatial", "drop path", "locked", "zoneout", "call overhead")
_FEW = 8
"""Outputs or inputs of DropConnect that are checked."""


def slices(shape: tuple[int, ...]) -> list[slice]:
    """The rows to check, along the first axis: the start, and in large arrays also the middle and the end."""
    rows, row = shape[0], max(1, int(np.prod(shape[1:])))
    head, piece = max(1, HEAD // row), max(1, PIECE // row)
    if rows <= head + 2 * piece:
        return [slice(0, rows)]
    return [slice(0, head), slice(rows // 2, rows // 2 + piece), slice(rows - piece, rows)]


def equal(found: Array, expected: Array) -> None:
    """Raise AssertionError where two arrays are not equal bit for bit."""
    if found.dtype != expected.dtype or found.shape != expected.shape or found.tobytes() != expected.tobytes():
        raise AssertionError("the result differs from the reference")


def close(found: Array, expected: Array, scale: float | None = None) -> None:
    """Raise AssertionError where two arrays differ by more than rounding; `scale` is what errors are relative to."""
    tolerance = TOLERANCE[found.dtype.name]
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    largest = float(np.max(np.abs(expected), initial=0.0)) if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * largest)


def copied(found: Array, expected: Array) -> None:
    """Check a copy."""
    for rows in slices(found.shape):
        equal(to_host(found[rows]), to_host(expected[rows]))


def fastdrop_result(operation: str, result: Any, mask: Any, get: Get) -> None:
    """Check what a call of fastdrop returned; `mask` is given where the result does not have it."""
    if operation.startswith("DropConnect"):
        (_connect_backward if operation.endswith("backward") else _connect)(result, mask, get)
        return
    parts = result if isinstance(result, tuple) else (result,)
    y, mask = parts[0], parts[1] if mask is None else mask
    x = get("x")
    for rows in slices(x.shape):
        expected = _expected(operation, mask, rows, get)
        found = to_host(y[rows])
        if operation.startswith(_EXACT):
            equal(found, expected)
        elif operation == "bias + ReLU + dropout backward":
            smooth = np.abs(to_host(x[rows]) + to_host(get("bias"))) > 1e-3  # at the kink there is no derivative
            close(found[smooth], expected[smooth])
        else:
            close(found, expected)
    if operation.startswith("bias") and operation.endswith("backward"):
        total = to_host(abs(y.astype(np.float64)).sum(axis=0))
        close(to_host(parts[1]), to_host(y.sum(axis=0, dtype=np.float64)), float(total.max()))


def _expected(operation: str, mask: Any, rows: slice, get: Get) -> Array:
    x = to_host(get("x")[rows])
    if operation == "Gaussian dropout":
        row = x.size // len(x)
        z = reference_normals(mask, rows.start * row, rows.stop * row).reshape(x.shape)
        return np.asarray((x * (1 + mask.sigma * z.astype(np.float64))).astype(x.dtype))
    if operation == "DropBlock":
        kept = np.asarray(mask)
        return np.where(kept[rows], x * x.dtype.type(kept.size / kept.sum()), x.dtype.type(0))
    keep, scale = np.broadcast_to(reference_keep(mask, rows), x.shape), mask.scale
    activation = "relu" if "ReLU" in operation else "gelu"
    match operation.removesuffix(" backward"), operation.endswith("backward"):
        case ("softmax + dropout", False):
            return reference.softmax_dropout(x, keep, scale)
        case ("softmax + dropout", True):
            return reference.softmax_dropout_backward(to_host(get("other")[rows]), x, keep, scale)
        case ("dropout + add", False):
            return reference.dropout_add(x, to_host(get("other")[rows]), keep, scale)
        case ("zoneout", False):
            return np.where(keep, x, to_host(get("other")[rows]))
        case ("alpha dropout", False):
            return reference.alpha(x, keep, scale, -scale * (1 - mask.keep_prob) * ALPHA_DROPPED)
        case (name, backward) if name.startswith("bias"):
            bias = to_host(get("bias"))
            if backward:
                dy = to_host(get("other")[rows])
                return reference.bias_activation_dropout_backward(dy, x, bias, activation, keep, scale)[0]
            return reference.bias_activation_dropout(x, bias, activation, keep, scale)
    return reference.apply(x, keep, scale)


def _connect(result: Any, _: None, get: Get) -> None:
    """The first example on the first outputs, the last one on the last."""
    y, mask = result
    x, weight, bias = get("inputs"), get("weight"), get("weight bias")
    for example, outputs in (
        (slice(0, 1), slice(0, _FEW)),
        (slice(len(x) - 1, len(x)), slice(max(0, len(weight) - _FEW), len(weight))),
    ):
        index = (example, outputs) if len(mask.shape) == 3 else (outputs,)
        keep = reference_keep(mask, *index)
        expected = reference.dropconnect(
            to_host(x[example]), to_host(weight[outputs]), to_host(bias[outputs]), keep, mask.scale
        )
        close(to_host(y[example, outputs]), expected, 10.0)


def _connect_backward(result: Any, mask: Any, get: Get) -> None:
    """The last example's gradient and the last output's, on the first inputs."""
    dx, dweight, dbias = map(to_host, result)
    dy, x, weight = (to_host(get(role)) for role in ("gradient", "inputs", "weight"))
    few, last, end = slice(0, _FEW), slice(len(weight) - 1, len(weight)), slice(len(x) - 1, len(x))
    per_example = len(mask.shape) == 3
    keep = reference_keep(mask, *[end] * per_example, slice(None), few).reshape(len(weight), -1)
    close(dx[-1, few], mask.scale * (keep * weight[:, few] * dy[-1][:, None]).sum(axis=0), 10.0)
    keep = reference_keep(mask, *[slice(None)] * per_example, last, few).reshape(-1, len(dx[0, few]))
    close(dweight[-1, few], mask.scale * (keep * dy[:, -1:] * x[:, few]).sum(axis=0), 10.0)
    close(dbias, dy.sum(axis=0, dtype=np.float64), 10.0)


def looks_dropped(y: Array, before: Array, p: float, *, tolerance: float = 1e-4, shared: bool = False) -> None:
    """Check a baseline's result, whose random numbers are not known: elements are 0 or scaled, about p of them 0.

    `before` is what its dropout was applied to. The fraction may be six standard deviations away from p; it is not
    checked where elements share their draws (`shared`), since few of these are seen here.
    """
    y, before = y.reshape(-1)[:HEAD], before.reshape(-1)[:HEAD]
    expected = before / (1 - p)
    slack = tolerance * float(np.max(np.abs(expected)))
    kept, dropped = np.abs(y - expected) <= slack, np.abs(y) <= slack
    if not np.all(kept | dropped):
        raise AssertionError("elements that are neither dropped nor scaled")
    clear = np.abs(expected) > 3 * slack  # a small element may be both
    count = int(clear.sum())
    fraction = float(dropped[clear].mean()) if count else p
    if not shared and abs(fraction - p) > 6 * (p * (1 - p) / max(count, 1)) ** 0.5:
        raise AssertionError(f"{fraction:.1%} dropped where p is {p:g}")


Check = Callable[[Any], None]
"""Raises AssertionError where a result is wrong."""
