"""Dropout elsewhere: NumPy, torch (also compiled), JAX and numba, each as its users write it.

Each function takes a case and its arrays, and returns a call and the check of its result.
"""

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import reference
from fastdrop.bench import checks
from fastdrop.bench.operations import Get
from fastdrop.bench.plan import ADD, ALPHA, BOTH, GAUSSIAN, Case
from fastdrop.rule import ALPHA_DROPPED

Array = NDArray[Any]
Made = tuple[Callable[[], Any], checks.Check]

PACKAGES = ("torch", "jax", "numba")
"""What the baselines need, as pip knows them."""


def missing() -> list[str]:
    """The packages that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def is_installed(name: str) -> bool:
    """Whether there is a baseline with this name, and its package is installed."""
    return name in BASELINES and name.removesuffix(".compile") not in missing()


def load(package: str) -> Any:
    """Import a package so that its idle threads sleep soon, as fastdrop's do (see `fastdrop.threads`).

    A copy of GNU's OpenMP reads this when it is loaded; otherwise its team would spin on the cores that the next
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


def draw_shape(case: Case) -> tuple[int, ...]:
    """How many draws a mask has: spatial dropout has one for each example and channel."""
    if not case.operation.startswith("spatial"):
        return case.shape
    last = case.operation.endswith("last")
    batch, channels = case.shape[0], case.shape[-1 if last else 1]
    return (batch, 1, 1, channels) if last else (batch, channels, 1, 1)


def _before(xp: Any, operation: str, x: Any, bias: Any) -> Any:
    """What dropout is applied to; `xp` is numpy or jax.numpy."""
    if operation.startswith("bias"):
        z = x + bias
        if "ReLU" in operation:
            return xp.maximum(z, 0)
        return 0.5 * z * (1 + xp.tanh(0.7978845608 * (z + 0.044715 * z**3)))
    if operation.startswith("softmax"):
        e = xp.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    return x


def _bias_and_other(case: Case, get: Get) -> tuple[Array, Array]:
    """The bias, and the residual or gradient; a single 0 where the operation has none."""
    none, name = np.zeros(1, np.float32), case.operation
    other = name == ADD or (name.endswith("backward") and name != BOTH[1])
    return get("bias") if name.startswith("bias") else none, get("other") if other else none


def _check(case: Case, get: Get, as_array: Callable[[Any], Array] = np.asarray) -> checks.Check:
    """The check of a forward pass, on the first rows."""
    rows = checks.slices(case.shape)[0]
    tolerance = 1e-2 if "GELU" in case.operation else 1e-4  # some use GELU's tanh form, others its erf
    shared = case.operation.startswith("spatial")
    bias, other = _bias_and_other(case, get)

    def check(result: Any) -> None:
        y, x = as_array(result)[rows], get("x")[rows]
        before = _before(np, case.operation, x, bias)
        after = y - other[rows] if case.operation == ADD else y
        checks.looks_dropped(after, before, case.p, tolerance=tolerance, shared=shared)

    return check


def _check_backward(case: Case, get: Get, kept: Array) -> checks.Check:
    """The check of a gradient with respect to x on the first rows; `kept` says what these rows kept."""
    if case.operation == BOTH[1]:
        return lambda dx: checks.looks_dropped(dx, get("x"), case.p)
    bias, other = _bias_and_other(case, get)
    rows, scale, activation = slice(0, len(kept)), 1 / (1 - case.p), "relu" if "ReLU" in case.operation else "gelu"

    def check(dx: Array) -> None:
        dy, x = other[rows], get("x")[rows]
        if case.operation.startswith("softmax"):
            expected = reference.softmax_dropout_backward(dy, x, kept, scale)
        else:
            expected = reference.bias_activation_dropout_backward(dy, x, bias, activation, kept, scale)[0]
        smooth = np.abs(x + bias) > 1e-3  # at the kink of a ReLU there is no derivative
        slack = 1e-2 * float(np.abs(expected).max())  # GELU's two forms
        np.testing.assert_allclose(dx[rows][smooth], expected[smooth], atol=slack)

    return check


def plain_numpy(case: Case, get: Get) -> Made:
    """As tutorials write it: float64 draws, a comparison and two multiplications, each with a new array."""
    x, p, shape = get("x"), case.p, draw_shape(case)
    bias, other = _bias_and_other(case, get)

    def run() -> Array:
        before = _before(np, case.operation, x, bias)
        y = before * (np.random.rand(*shape) > p) / (1 - p)  # noqa: NPY002 - it is what tutorials show
        return np.asarray(y + other if case.operation == ADD else y)

    if case.operation == BOTH[1]:
        stored = np.random.rand(*shape) > p  # noqa: NPY002
        return lambda: x * stored / (1 - p), _check(case, get)
    return run, _check(case, get)


def best_numpy(case: Case, get: Get) -> Made:
    """What NumPy can do at best: float32 draws, and work in place on buffers that exist already.

    The backward pass uses the forward pass' mask, stored as booleans.
    """
    x, out, p = get("x"), get("out"), np.float32(case.p)
    scale = np.float32(1 / (1 - case.p))
    rng = np.random.Generator(np.random.SFC64(0))
    draws = np.zeros(draw_shape(case), np.float32)
    kept = draws >= p

    def apply() -> Array:
        np.multiply(x, scale, out=out)
        return np.multiply(out, kept, out=out)

    def run() -> Array:
        rng.random(out=draws, dtype=np.float32)
        np.greater_equal(draws, p, out=kept)
        return apply()

    def spatial() -> Array:
        rng.random(out=draws, dtype=np.float32)
        return np.multiply(x, (draws >= p) * scale, out=out)

    def alpha() -> Array:
        a, shift = _alpha_factors(case.p)
        rng.random(out=draws, dtype=np.float32)
        np.multiply(x, np.float32(a), out=out)
        np.copyto(out, np.float32(ALPHA_DROPPED * a), where=draws < p)
        return np.add(out, np.float32(shift), out=out)

    def gaussian() -> Array:
        rng.standard_normal(out=draws, dtype=np.float32)
        np.multiply(draws, np.float32((case.p / (1 - case.p)) ** 0.5), out=draws)
        np.add(draws, np.float32(1), out=draws)
        return np.multiply(x, draws, out=out)

    if case.operation in (ALPHA, GAUSSIAN):
        return alpha if case.operation == ALPHA else gaussian, _check_noise(case, get)
    if case.operation.startswith("spatial"):
        return spatial, _check(case, get)
    run()
    return apply if case.operation == BOTH[1] else run, _check(case, get)


def _alpha_factors(p: float) -> tuple[float, float]:
    """Scale and shift of alpha dropout."""
    scale = ((1 - p) * (1 + p * ALPHA_DROPPED**2)) ** -0.5
    return scale, -scale * p * ALPHA_DROPPED


def _check_noise(case: Case, get: Get) -> checks.Check:
    """The check of alpha dropout (values, and the fraction dropped) or of Gaussian noise (its variance)."""

    def check(result: Any) -> None:
        y, x, p = np.asarray(result).reshape(-1)[: checks.HEAD], get("x").reshape(-1)[: checks.HEAD], case.p
        if case.operation == GAUSSIAN:
            np.testing.assert_allclose(np.std(y / x, dtype=np.float64), np.sqrt(p / (1 - p)), rtol=0.1)
            return
        scale, shift = _alpha_factors(p)
        dropped = np.isclose(y, ALPHA_DROPPED * scale + shift, rtol=1e-3)
        np.testing.assert_allclose(y[~dropped], x[~dropped] * scale + shift, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(dropped.mean(), p, atol=0.05 if x.size > 1000 else 0.5)

    return check


def torch(case: Case, get: Get, compiled: bool = False) -> Made:
    """`torch.nn.functional` on tensors that share the arrays' memory; backward passes are autograd's."""
    library = load("torch")
    library.set_num_threads(case.threads)
    backward, last = case.operation.endswith("backward"), case.operation.endswith("last")
    x, bias, other = map(library.from_numpy, (get("x"), *_bias_and_other(case, get)))
    if last:
        x = x.permute(0, 3, 1, 2)  # torch's channels-last layout: the same memory, channels named first
    if backward:
        x, bias = x.detach().requires_grad_(), bias.detach().requires_grad_()
    call = _torch_forward(library.nn.functional, case.operation.removesuffix(" backward"), case.p)
    if compiled:
        library.compiler.reset()  # otherwise it stops compiling after some shapes
        call = library.compile(call, fullgraph=True, dynamic=False)
    if case.operation == ALPHA:
        return lambda: call(x, bias, other), _check_noise(case, get)
    if not backward:
        as_array = (lambda y: y.permute(0, 2, 3, 1).numpy()) if last else (lambda y: y.numpy())
        return lambda: call(x, bias, other), _check(case, get, as_array)
    y = call(x, bias, other)
    inputs = (x, bias) if case.operation.startswith("bias") else (x,)
    gradient = x.detach() if case.operation == BOTH[1] else other
    check = _check_backward(case, get, y.detach().numpy()[checks.slices(case.shape)[0]] != 0)
    run = functools.partial(library.autograd.grad, y, inputs, gradient, retain_graph=True)
    return run, lambda result: check(result[0].numpy())


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
        case "alpha dropout":
            return lambda x, bias, other: functional.alpha_dropout(x, p, True)
        case name if name.startswith("spatial"):
            return lambda x, bias, other: functional.dropout2d(x, p, True)
    return lambda x, bias, other: functional.dropout(x, p, True)


def torch_compile(case: Case, get: Get) -> Made:
    """The same, compiled for this shape, which needs a C++ compiler."""
    try:
        run, check = torch(case, get, compiled=True)
        run()  # compiles
    except Exception as error:  # the first line names the backend, and one of the next what is wrong
        raise RuntimeError(" ".join(str(error).split())) from error
    return run, check


def jax(case: Case, get: Get) -> Made:
    """`jax.random.bernoulli` and `where`, jitted, on the CPU. There is no way to limit its threads."""
    library = load("jax")
    numpy, random = importlib.import_module("jax.numpy"), library.random
    cpu = library.devices("cpu")[0]
    keep, shape, operation = 1 - case.p, draw_shape(case), case.operation
    x, bias, other = (library.device_put(array, cpu) for array in (get("x"), *_bias_and_other(case, get)))
    with library.default_device(cpu):
        key = random.key(0)

    def dropout(key: Any, call: Any, x: Any, bias: Any, other: Any) -> Any:
        kept = random.bernoulli(random.fold_in(key, call), keep, shape)
        y = numpy.where(kept, _before(numpy, operation, x, bias) / keep, 0)
        return y + other if operation == ADD else y

    if operation.endswith("backward"):
        inputs = (x, bias) if operation.startswith("bias") else (x,)
        y, pull = library.vjp(lambda x, bias=bias: dropout(key, 0, x, bias, other), *inputs)
        gradient, backward = x if operation == BOTH[1] else other, library.jit(lambda pull, dy: pull(dy))
        check = _check_backward(case, get, np.asarray(y)[checks.slices(case.shape)[0]] != 0)
        run = lambda: library.block_until_ready(backward(pull, gradient))  # noqa: E731
        run()  # compiles
        return run, lambda result: check(np.asarray(result[0]))
    forward, calls = library.jit(dropout), iter(range(1 << 30))
    run = lambda: forward(key, next(calls), x, bias, other).block_until_ready()  # noqa: E731
    run()  # compiles
    return run, _check(case, get)


def numba(case: Case, get: Get) -> Made:
    """A parallel loop with numba's own generator, into an array that exists already.

    The backward pass uses the forward pass' mask, stored as booleans.
    """
    library = load("numba")
    library.set_num_threads(min(case.threads, library.config.NUMBA_NUM_THREADS))
    loop, backward = numba_loops()
    x, out = get("x").reshape(-1), get("out").reshape(-1)
    scale = x.dtype.type(1 / (1 - case.p))
    kept = np.random.default_rng(0).random(x.size, np.float32) >= case.p
    run: Any = functools.partial(loop, x, out, case.p, scale)
    if case.operation == BOTH[1]:
        run = functools.partial(backward, x, out, kept, scale)
    run()  # compiles
    check = _check(case, get)
    return run, lambda _: check(out.reshape(case.shape))


@functools.cache
def numba_loops() -> Any:
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


BASELINES: dict[str, Callable[[Case, Get], Made]] = {
    "plain NumPy": plain_numpy,
    "best NumPy": best_numpy,
    "torch": torch,
    "torch.compile": torch_compile,
    "jax": jax,
    "numba": numba,
}
