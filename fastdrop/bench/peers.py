"""Dropout elsewhere: NumPy, torch (also compiled), JAX, numba and oneDNN, each as its users write it."""

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.bench import checks
from fastdrop.bench import onednn as dnnl
from fastdrop.bench.plan import CONNECT, FUSED, Case

Array = NDArray[Any]

OPTIONAL = ("torch", "jax", "numba", dnnl.PACKAGE)
"""Packages that peers need, by the names under which pip knows them."""

_NOTHING = np.empty(0, np.float32)


class Arrays(NamedTuple):
    """What a peer works on; `other` is the residual, or the gradient where the operation is a backward pass."""

    x: Array
    out: Array
    bias: Array = _NOTHING
    other: Array = _NOTHING
    weight: Array = _NOTHING


Made = tuple[Callable[[], Any], Callable[[Any], None]]
"""A call, and the check of what it returns."""


def missing() -> list[str]:
    """The packages that are not installed."""
    # oneDNN's has a library and no module.
    return [
        name
        for name in OPTIONAL
        if (dnnl.library_file() if name == dnnl.PACKAGE else importlib.util.find_spec(name)) is None
    ]


def is_here(name: str) -> bool:
    """Whether there is a peer of this name, and its package is installed."""
    return name in PEERS and name.removesuffix(".compile") not in missing()


def _load(package: str) -> Any:
    """Import a peer so that its idle threads sleep soon, as fastdrop's do (see `fastdrop.threads`).

    Its own copy of GNU's OpenMP reads this when it is loaded; else its team would spin on the cores that the next
    candidate is timed on.
    """
    ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        return importlib.import_module(package)
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]


def _before(xp: Any, operation: str, x: Any, bias: Any) -> Any:
    """What dropout is applied to; `xp` is numpy or jax.numpy."""
    if operation.startswith("bias"):
        z = x + bias
        return (
            xp.maximum(z, 0) if "ReLU" in operation else 0.5 * z * (1 + xp.tanh(0.7978845608 * (z + 0.044715 * z**3)))
        )
    if operation.startswith("softmax"):
        e = xp.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    return x


def _check(case: Case, arrays: Arrays, take: Callable[[Any], Array] = np.asarray) -> Callable[[Any], None]:
    """The check of a forward pass: on whole rows from the start."""
    x, other = arrays.x, arrays.other
    if case.operation in FUSED:
        rows = max(1, checks.HEAD // x.shape[-1])
        x, other = x[:rows], other[:rows]
    before = _before(np, case.operation, x, arrays.bias)
    # Some use GELU's tanh form and some its erf.
    tolerance = 1e-2 if "GELU" in case.operation else 1e-4

    def check(result: Any) -> None:
        y = take(result)
        if case.operation in FUSED:
            y = y[: len(x)]
        if case.operation == "dropout + add":
            y = y - other
        shared = case.operation.startswith("spatial")
        checks.looks_dropped(y, before, case.p, tolerance=tolerance, shared=shared)

    return check


def decision_shape(case: Case) -> tuple[int, ...]:
    """Spatial dropout decides once per example and channel."""
    if not case.operation.startswith("spatial"):
        return case.shape
    batch, channels = case.shape[0], case.shape[-1 if case.operation.endswith("last") else 1]
    return (batch, 1, 1, channels) if case.operation.endswith("last") else (batch, channels, 1, 1)


def plain_numpy(case: Case, arrays: Arrays) -> Made:
    """The recipe of tutorials: float64 draws, a comparison and two multiplications, each a new array."""
    x, bias, other, p, shape = arrays.x, arrays.bias, arrays.other, case.p, decision_shape(case)
    if case.operation == "dropout backward":
        stored = np.random.rand(*shape) > p  # noqa: NPY002
        return lambda: x * stored / (1 - p), _check(case, arrays)
    add = case.operation == "dropout + add"

    def run() -> Array:
        before = _before(np, case.operation, x, bias)
        y = before * (np.random.rand(*shape) > p) / (1 - p)  # noqa: NPY002 - it is what tutorials show
        return np.asarray(y + other if add else y)

    return run, _check(case, arrays)


def best_numpy(case: Case, arrays: Arrays) -> Made:
    """What NumPy can do at its best: float32 draws and work in place, on buffers that are there already.

    Its backward pass needs the mask of the forward pass, which it stores as booleans.
    """
    x, out, p = arrays.x, arrays.out, np.float32(case.p)
    scale = np.float32(1 / (1 - case.p))
    rng = np.random.Generator(np.random.SFC64(0))
    if case.operation in CONNECT:
        return _best_connect(case, arrays, rng)
    shape = decision_shape(case)
    draws, kept = _workspace(shape)
    if case.operation.startswith("spatial"):

        def spatial() -> Array:
            rng.random(out=draws, dtype=np.float32)
            np.multiply(x, (draws >= p) * scale, out=out)
            return out

        return spatial, _check(case, arrays)

    def apply() -> Array:
        np.multiply(x, scale, out=out)
        np.multiply(out, kept, out=out)
        return out

    def run() -> Array:
        rng.random(out=draws, dtype=np.float32)
        np.greater_equal(draws, p, out=kept)
        return apply()

    run()
    return apply if case.operation == "dropout backward" else run, _check(case, arrays)


def _best_connect(case: Case, arrays: Arrays, rng: np.random.Generator) -> Made:
    """A mask per batch, or one example after the other: all masks at once would take gigabytes."""
    x, weight, bias, p = arrays.x, arrays.weight, arrays.bias, np.float32(case.p)
    scale = np.float32(1 / (1 - case.p))
    draws, kept = _workspace(weight.shape)
    masked = np.empty_like(weight)
    y = np.empty((len(x), len(weight)), x.dtype)

    def draw() -> None:
        rng.random(out=draws, dtype=np.float32)
        np.greater_equal(draws, p, out=kept)
        np.multiply(weight, scale, out=masked)
        np.multiply(masked, kept, out=masked)

    def per_batch() -> Array:
        draw()
        return np.asarray(x @ masked.T + bias)

    def per_example() -> Array:
        for example, row in enumerate(x):
            draw()
            np.matmul(masked, row, out=y[example])
        np.add(y, bias, out=y)
        return y

    def check(result: Any) -> None:
        # The last example met the last mask, whichever of the two it was.
        np.testing.assert_allclose(result[-1], masked @ x[-1] + bias, rtol=1e-3, atol=1e-2)
        checks.looks_dropped(masked, weight, case.p)

    return per_example if "example" in case.operation else per_batch, check


@functools.lru_cache(maxsize=1)
def _largest() -> dict[str, Array]:
    return {"draws": _NOTHING, "kept": np.empty(0, np.bool_)}


def _workspace(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Draws and booleans, kept from case to case."""
    arrays, count = _largest(), int(np.prod(shape))
    for name in arrays:
        if arrays[name].size < count:
            arrays[name] = np.zeros(count, arrays[name].dtype)
    return arrays["draws"][:count].reshape(shape), arrays["kept"][:count].reshape(shape)


def _check_backward(case: Case, arrays: Arrays, kept: Array) -> Callable[[Array], None]:
    """The check of a gradient with respect to x, on whole rows from the start; `kept` says what those rows kept."""
    x, bias, other, p = arrays.x, arrays.bias, arrays.other, case.p
    if case.operation == "dropout backward":
        return lambda dx: checks.looks_dropped(dx, x, p)
    rows = len(kept)

    def check(dx: Array) -> None:
        wanted = checks.gradient(case.operation, other[:rows], x[:rows], bias, kept, 1 / (1 - p))
        smooth = np.abs(x[:rows] + bias) > 1e-3 if bias.size else np.ones(wanted.shape, np.bool_)
        slack = 1e-2 * float(np.abs(wanted).max())  # GELU's two forms
        np.testing.assert_allclose(dx[:rows][smooth], wanted[smooth], atol=slack)

    return check


def _kept(case: Case, y: Array) -> Array:
    """What the first rows of a result have kept."""
    return np.asarray(y[: max(1, checks.HEAD // case.shape[-1])]) != 0


def torch(case: Case, arrays: Arrays, compiled: bool = False) -> Made:
    """`torch.nn.functional` on tensors that share the arrays' memory; backward passes are autograd's."""
    library = _load("torch")
    library.set_num_threads(case.threads)
    backward = case.operation.endswith("backward")
    x, bias, other = map(library.from_numpy, (arrays.x, arrays.bias, arrays.other))
    if case.operation.endswith("last"):
        x = x.permute(0, 3, 1, 2)  # torch's channels-last layout: the same memory, channels named first
    if backward:
        x, bias = x.detach().requires_grad_(), bias.detach().requires_grad_()
    call = _torch_forward(library.nn.functional, case.operation.removesuffix(" backward"), case.p)
    if compiled:
        library.compiler.reset()  # else it gives up compiling after some shapes
        call = library.compile(call, fullgraph=True, dynamic=False)
    if not backward:
        as_given = (lambda y: y.permute(0, 2, 3, 1).numpy()) if case.operation.endswith("last") else lambda y: y.numpy()
        return lambda: call(x, bias, other), _check(case, arrays, as_given)
    y = call(x, bias, other)
    inputs = (x, bias) if case.operation.startswith("bias") else (x,)
    # Plain dropout's gradient comes in x's memory, as fastdrop's does.
    gradient = x.detach() if case.operation == "dropout backward" else other
    check = _check_backward(case, arrays, _kept(case, y.detach().numpy()))
    return (
        lambda: library.autograd.grad(y, inputs, gradient, retain_graph=True),
        lambda result: check(result[0].numpy()),
    )


def _torch_forward(functional: Any, operation: str, p: float) -> Callable[[Any, Any, Any], Any]:
    """The operation on x, bias and residual."""
    match operation:
        case "bias + ReLU + dropout":
            return lambda x, bias, other: functional.dropout(functional.relu(x + bias), p, True)
        case "bias + GELU + dropout":
            return lambda x, bias, other: functional.dropout(functional.gelu(x + bias), p, True)
        case "dropout + add":
            return lambda x, bias, other: other + functional.dropout(x, p, True)
        case "softmax + dropout":
            return lambda x, bias, other: functional.dropout(functional.softmax(x, -1), p, True)
        case name if name.startswith("spatial"):
            return lambda x, bias, other: functional.dropout2d(x, p, True)
        case _:
            return lambda x, bias, other: functional.dropout(x, p, True)


def torch_compile(case: Case, arrays: Arrays) -> Made:
    """The same, compiled by inductor for this shape, which needs a C++ compiler."""
    try:
        run, check = torch(case, arrays, compiled=True)
        run()  # compiles
    except Exception as error:
        # The first line names the backend, and one of the next what is wrong.
        raise RuntimeError(" ".join(str(error).split())) from error
    return run, check


def jax(case: Case, arrays: Arrays) -> Made:
    """`jax.random.bernoulli` and `where`, jitted, on the CPU. Its threads are its own: it has no way to limit them."""
    library = _load("jax")
    numpy, random = importlib.import_module("jax.numpy"), library.random
    cpu = library.devices("cpu")[0]
    keep, shape, operation = 1 - case.p, decision_shape(case), case.operation
    add = operation == "dropout + add"

    def dropout(key: Any, call: Any, x: Any, bias: Any, other: Any) -> Any:
        kept = random.bernoulli(random.fold_in(key, call), keep, shape)
        y = numpy.where(kept, _before(numpy, operation, x, bias) / keep, 0)
        return y + other if add else y

    x, bias, other = (library.device_put(array, cpu) for array in (arrays.x, arrays.bias, arrays.other))
    with library.default_device(cpu):
        key = random.key(0)
    if operation.endswith("backward"):
        inputs = (x, bias) if operation.startswith("bias") else (x,)
        y, pull = library.vjp(lambda x, bias=bias: dropout(key, 0, x, bias, other), *inputs)
        gradient, compiled = x if operation == "dropout backward" else other, library.jit(lambda pull, dy: pull(dy))
        check = _check_backward(case, arrays, _kept(case, np.asarray(y)))
        run = lambda: library.block_until_ready(compiled(pull, gradient))  # noqa: E731
        run()  # compiles
        return run, lambda result: check(np.asarray(result[0]))
    compiled = library.jit(dropout)
    calls = 0

    def forward() -> Any:
        nonlocal calls
        calls += 1
        return compiled(key, calls, x, bias, other).block_until_ready()

    forward()  # compiles
    return forward, _check(case, arrays)


def numba(case: Case, arrays: Arrays) -> Made:
    """A parallel loop with numba's own generator, into an array that is there already.

    Its backward pass needs the mask of the forward pass, which is stored as booleans.
    """
    library = _load("numba")
    library.set_num_threads(min(case.threads, library.config.NUMBA_NUM_THREADS))
    loop, backward = _numba_loops()
    x, out, p = arrays.x.reshape(-1), arrays.out.reshape(-1), case.p
    scale = x.dtype.type(1 / (1 - p))
    kept = np.random.default_rng(0).random(x.size, np.float32) >= p if case.operation.endswith("backward") else None

    def run() -> Array:
        if kept is None:
            loop(x, out, p, scale)
        else:
            backward(x, out, kept, scale)
        return out

    run()  # compiles
    return run, _check(case, arrays)


@functools.cache
def _numba_loops() -> Any:
    """Forward and backward."""
    library = importlib.import_module("numba")

    def dropout(x: Any, out: Any, p: float, scale: Any) -> None:
        for i in library.prange(x.size):
            out[i] = x[i] * scale if np.random.random() >= p else x.dtype.type(0)  # noqa: NPY002

    def backward(dy: Any, dx: Any, kept: Any, scale: Any) -> None:
        for i in library.prange(dy.size):
            dx[i] = dy[i] * scale if kept[i] else dy.dtype.type(0)

    parallel = library.njit(parallel=True, fastmath=True)
    return parallel(dropout), parallel(backward)


def onednn(case: Case, arrays: Arrays) -> Made:
    """Its eltwise primitive, which multiplies by 1, or its softmax, with the attribute "dropout".

    With this attribute it refuses arrays of one axis, which are one row here.
    """
    x, out = (np.atleast_2d(array) for array in (arrays.x, arrays.out))
    return dnnl.Dropout(x, out, case.p, softmax=case.operation.startswith("softmax")), _check(case, arrays)


PEERS: dict[str, Callable[[Case, Arrays], Made]] = {
    "plain NumPy": plain_numpy,
    "NumPy at its best": best_numpy,
    "torch": torch,
    "torch.compile": torch_compile,
    "jax": jax,
    "numba": numba,
    "onednn": onednn,
}
