"""Who takes part in a case on the CPU: fastdrop, copies, other calls of fastdrop, and the baselines."""

import functools
import importlib
from functools import partial

import numpy as np

import fastdrop as fd
from fastdrop.bench import baselines, checks
from fastdrop.bench.internals import kernels, threads_for
from fastdrop.bench.measure import SUBJECT, Candidate, Maker
from fastdrop.bench.operations import OPERATIONS, Buffers, Get, dtype_of
from fastdrop.bench.plan import ALONE, COPY_KINDS, DASK, FLOAT32, MULTIPLY, PRODUCT, STEPS, WITH_OUT, Case


def makers(case: Case, buffers: Buffers) -> dict[str, Maker]:
    """The candidates by name, fastdrop first; each is made when its turn comes."""
    if case.operation in STEPS:
        return dict(importlib.import_module("fastdrop.bench.training_steps").makers(case))
    if case.operation == DASK:
        return dict(importlib.import_module("fastdrop.bench.dask_array").makers(case))
    found: dict[str, Maker] = {SUBJECT: partial(subject, case, buffers)}
    for name in case.baselines:
        isa = name.removeprefix(f"{SUBJECT} ")
        if name in _OWN:
            found[name] = partial(_OWN[name], case, buffers)
        elif name in COPY_KINDS or name == "np.copyto":
            found[name] = partial(_copy, name, case, buffers)
        elif isa in kernels.available_isas():
            found[name] = partial(subject, case, buffers, isa=isa)
        elif baselines.is_installed(name):
            found[name] = partial(_baseline, name, case, buffers)
    return found


def getter(case: Case, buffers: Buffers, prefix: str = "") -> Get:
    """The case's arrays by role, each filled once."""
    return functools.cache(lambda role: buffers.get(role, case.shape, case.dtype, prefix=prefix))


def subject(case: Case, buffers: Buffers, isa: str = "", prefix: str = "") -> Candidate:
    """fastdrop's own call."""
    get, operation = getter(case, buffers, prefix), OPERATIONS[case.operation]
    call = operation.make(fd, get, case.p)
    check = lambda result: checks.fastdrop_result(case.operation, result, call.mask, get)  # noqa: E731
    return Candidate(call.run, check, _moved(case, operation.arrays), isa, "per example" in case.operation)


def _moved(case: Case, arrays: int) -> int:
    return arrays * case.elements * dtype_of(case.dtype).itemsize


def _baseline(name: str, case: Case, buffers: Buffers) -> Candidate:
    run, check = baselines.BASELINES[name](case, getter(case, buffers))
    return Candidate(run, check, _moved(case, OPERATIONS[case.operation].arrays))


def _copy(name: str, case: Case, buffers: Buffers) -> Candidate:
    """A copy on as many threads, and in the slices, that dropout of the same array gets; np.copyto has one."""
    get = getter(case, buffers)
    x, out = get("x"), get("out")
    run = partial(np.copyto, out, x)
    if name in COPY_KINDS:
        run = partial(kernels.copy, x, out, COPY_KINDS[name], threads_for(x.size))
    return Candidate(run, lambda _: checks.copied(out, x), 2 * x.nbytes)


def _multiply(case: Case, buffers: Buffers) -> Candidate:
    """One ufunc with a new result: the least that a call costs in NumPy."""
    x, scale = getter(case, buffers)("x"), 1 / (1 - case.p)
    return Candidate(
        lambda: np.multiply(x, scale), lambda found: checks.equal(found, x * x.dtype.type(scale)), 2 * x.nbytes
    )


def _alone(case: Case, buffers: Buffers) -> Candidate:
    """Plain dropout of an array with the same shape."""
    return subject(case._replace(operation="dropout"), buffers)


def _float32(case: Case, buffers: Buffers) -> Candidate:
    return subject(case._replace(dtype="float32"), buffers, prefix="float32 ")


def product(case: Case, get: Get) -> Candidate:
    """DropConnect's matrix products alone, on the CPU or a GPU."""
    x, weight, dy = map(get, ("inputs", "weight", "gradient"))
    run = (lambda: (dy @ weight, dy.T @ x)) if case.operation.endswith("backward") else (lambda: x @ weight.T)
    return Candidate(run, lambda _: None, spins="per example" in case.operation)


def _product(case: Case, buffers: Buffers) -> Candidate:
    return product(case, getter(case, buffers))


_OWN = {MULTIPLY: _multiply, ALONE: _alone, WITH_OUT: _alone, FLOAT32: _float32, PRODUCT: _product}
