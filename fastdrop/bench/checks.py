"""What a result must be, on pieces of it: written with `fastdrop.reference` alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import reference
from fastdrop.backends import moved

Array = NDArray[Any]

HEAD, PIECE = 1 << 14, 1 << 12
"""Elements checked at the start, and in the middle and at the end of large arrays."""
RELATIVE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-10}
"""Tolerance of results that are computed and not only selected."""


def here(array: Array) -> Array:
    """The array itself, or a copy of it in the host's memory."""
    return np.asarray(moved(array, "cpu"))


def pieces(count: int, unit: int = 1) -> list[slice]:
    """The start; of large arrays also the middle and the end. They begin and end at multiples of `unit`."""
    head, piece = (max(unit, size // unit * unit) for size in (HEAD, PIECE))
    if count <= head + 2 * piece:
        return [slice(0, count)]
    middle = count // 2 // unit * unit
    return [slice(0, head), slice(middle, middle + piece), slice(count - piece, count)]


def decisions(mask: fd.Mask, element: Array) -> NDArray[np.bool_]:
    """Which of the decisions with these numbers are "keep"."""
    key, call, threshold = mask.recipe
    return reference.uniform40(key, call, element) < np.uint64(threshold)


def same_bits(found: Array, wanted: Array) -> None:
    """Raise where two arrays are not equal bit for bit."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape or found.tobytes() != wanted.tobytes():
        raise AssertionError("the result differs from the reference")


def close(found: Array, wanted: Array, scale_of: Array | None = None) -> None:
    """Raise where two arrays differ by more than their dtype explains; zeros are measured against the largest."""
    relative = RELATIVE[found.dtype.name]
    largest = float(np.max(np.abs(wanted if scale_of is None else scale_of), initial=0.0))
    np.testing.assert_allclose(
        found.astype(np.float64), wanted.astype(np.float64), rtol=relative, atol=relative * largest
    )


def dropout(y: Array, x: Array, mask: fd.Mask) -> None:
    """Dropout of every element by itself, forward or backward."""
    y, x = y.reshape(-1), x.reshape(-1)
    for part in pieces(x.size):
        kept = decisions(mask, np.arange(part.start, part.stop))
        same_bits(here(y[part]), reference.apply(here(x[part]), kept, mask.scale))


def spatial(y: Array, x: Array, mask: fd.Mask) -> None:
    """Dropout with one decision for each of the mask's `decision_shape`; the first and the last example."""
    shape = mask.decision_shape
    kept = decisions(mask, np.arange(int(np.prod(shape)))).reshape(shape)
    for part in (slice(0, 1), slice(len(x) - 1, len(x))):
        before = here(x[part])
        same_bits(here(y[part]), reference.apply(before, np.broadcast_to(kept[part], before.shape), mask.scale))


def before_dropout(operation: str, x: Array, bias: Array) -> Array:
    """What a fused operation computes from x before dropout drops of it."""
    if operation.startswith("bias"):
        return np.asarray(_reference("bias_activation")(x, bias, "relu" if "ReLU" in operation else "gelu"))
    return np.asarray(_reference("softmax")(x)) if operation.startswith("softmax") else x


def fused(operation: str, y: Array, x: Array, bias: Array, residual: Array, mask: fd.Mask) -> None:
    """A fused operation forward, on whole rows."""
    columns = x.shape[-1]
    for part in pieces(x.size, columns):
        rows = slice(part.start // columns, part.stop // columns)
        kept = decisions(mask, np.arange(part.start, part.stop)).reshape(-1, columns)
        wanted = reference.apply(before_dropout(operation, here(x[rows]), here(bias)), kept, mask.scale)
        close(here(y[rows]), wanted + here(residual[rows]) if operation == "dropout + add" else wanted)


def gradient(operation: str, dy: Array, x: Array, bias: Array, kept: NDArray[np.bool_], scale: float) -> Array:
    """The gradient of a fused operation with respect to x, from the derivative's definition where it needs one."""
    g, x = np.where(kept, dy.astype(np.float64) * scale, 0), x.astype(np.float64)
    if operation.startswith("softmax"):
        s = np.exp(x - x.max(axis=-1, keepdims=True))
        s /= s.sum(axis=-1, keepdims=True)
        return np.asarray(s * (g - (g * s).sum(axis=-1, keepdims=True)))
    step, bias = 1e-5, bias.astype(np.float64)
    up, down = (before_dropout(operation, x + sign * step, bias) for sign in (1, -1))
    return np.asarray(g * (up - down) / (2 * step))


def fused_backward(operation: str, result: Any, dy: Array, x: Array, bias: Array, mask: fd.Mask) -> None:
    """A fused operation backward, on whole rows; where there is a bias, its gradient too."""
    dx, dbias = result if isinstance(result, tuple) else (result, None)
    columns = x.shape[-1]
    for part in pieces(x.size, columns):
        rows = slice(part.start // columns, part.stop // columns)
        kept = decisions(mask, np.arange(part.start, part.stop)).reshape(-1, columns)
        before, bias_here = here(x[rows]), here(bias)
        wanted = gradient(operation, here(dy[rows]), before, bias_here, kept, mask.scale)
        # At the kink of a ReLU the derivative has no value to compare with.
        smooth = np.ones(wanted.shape, np.bool_) if dbias is None else np.abs(before + bias_here) > 1e-3
        close(here(dx[rows])[smooth], wanted[smooth])
    if dbias is not None:
        total = here(abs(dx.astype(np.float64)).sum(axis=0))
        close(here(dbias), here(dx.sum(axis=0, dtype=np.float64)), scale_of=total)


def connect(y: Array, x: Array, weight: Array, bias: Array, mask: fd.Mask, per_example: bool) -> None:
    """DropConnect forward: the first example on the first outputs, the last on the last."""
    (batch, inputs), outputs = x.shape, weight.shape[0]
    some = min(8, outputs)
    for example, start in ((0, 0), (batch - 1, outputs - some)):
        units = slice(start, start + some)
        numbers = np.arange(start * inputs, (start + some) * inputs) + per_example * example * outputs * inputs
        kept = decisions(mask, numbers).reshape(1, some, inputs)
        inputs_here, weight_here, bias_here = here(x[example : example + 1]), here(weight[units]), here(bias[units])
        wanted = reference.dropconnect(inputs_here, weight_here, bias_here, kept, mask.scale)
        close(here(y[example, units]), wanted[0], scale_of=np.full(1, 10.0))


def connect_backward(result: Any, dy: Array, x: Array, weight: Array, mask: fd.Mask, per_example: bool) -> None:
    """DropConnect backward: one example's gradient and one output's, on the first inputs."""
    dx, dweight, dbias = result
    (batch, inputs), outputs = x.shape, weight.shape[0]
    some = min(8, inputs)
    examples, units, columns = np.ogrid[:batch, :outputs, :some]
    last = outputs - 1
    kept = decisions(mask, (units * inputs + columns + per_example * (batch - 1) * outputs * inputs)[0])
    wanted = np.where(kept, here(weight[:, :some]) * here(dy[-1])[:, None], 0).sum(axis=0) * mask.scale
    close(here(dx[-1, :some]), wanted, scale_of=np.full(1, 10.0))
    kept = decisions(mask, (last * inputs + columns + per_example * examples * outputs * inputs)[:, 0])
    wanted = np.where(kept, here(dy[:, last])[:, None] * here(x[:, :some]), 0).sum(axis=0) * mask.scale
    close(here(dweight[last, :some]), wanted, scale_of=np.full(1, 10.0))
    close(here(dbias), here(dy.sum(axis=0, dtype=np.float64)), scale_of=np.full(1, 10.0))


def looks_dropped(y: Array, before: Array, p: float, *, tolerance: float = 1e-4, shared: bool = False) -> None:
    """A peer's result, whose generator nobody knows: everything is 0 or scaled, and the share of zeros is about p.

    `before` is what its dropout was applied to. The share has six standard deviations of room; it is not looked at
    where elements share a decision, since few decisions are seen here.
    """
    y, before = y.reshape(-1)[:HEAD], before.reshape(-1)[:HEAD]
    wanted = before / (1 - p)
    slack = tolerance * float(np.max(np.abs(wanted)))
    kept, dropped = np.abs(y - wanted) <= slack, np.abs(y) <= slack
    if not np.all(kept | dropped):
        raise AssertionError("elements that are neither dropped nor scaled")
    told_apart = np.abs(wanted) > 3 * slack
    count = int(told_apart.sum())
    share = float(dropped[told_apart].mean()) if count else p
    if not shared and abs(share - p) > 6 * (p * (1 - p) / max(count, 1)) ** 0.5:
        raise AssertionError(f"{share:.1%} dropped where p is {p:g}")


def _reference(name: str) -> Any:
    found = getattr(reference, name, None)
    if found is None:
        raise NotImplementedError(f"fastdrop.reference has no {name}")
    return found
