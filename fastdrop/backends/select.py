"""What a backend offers, and which one an array belongs to."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends import cpu, dask
from fastdrop.backends.cuda import capture, device
from fastdrop.backends.window import Window
from fastdrop.threads import kernels

Array = NDArray[np.floating[Any]]
Recipe = kernels.Recipe
P = ParamSpec("P")
T = TypeVar("T")

BACKENDS = ("cpu", "cuda")
"""By name, where a name chooses."""


class Backend(Protocol):
    """The operations that a device implements; `fastdrop.backends.cpu` says what each one does."""

    def as_input(self, array: Any, name: str) -> Array: ...
    def arithmetic(self, dtype: np.dtype[Any]) -> np.dtype[Any]: ...
    def prepare_out(self, x: Array, out: Any, *others: Array) -> tuple[Array, ...]: ...
    def apply(
        self, x: Array, out: Array, recipe: Recipe, shared_axes: tuple[int, ...] = (), window: Window | None = None
    ) -> Array: ...
    def elementwise(
        self,
        operation: str,
        out: Array,
        inputs: tuple[Array, ...],
        recipe: Recipe,
        shared_axes: tuple[int, ...] = (),
        shift: float = 0.0,
    ) -> Array: ...
    def bias_backward(
        self, activation: str, dy: Array, x: Array, bias: Array, recipe: Recipe
    ) -> tuple[Array, Array]: ...
    def softmax(self, out: Array, x: Array, dy: Array | None, recipe: Recipe) -> Array: ...
    def gaussian(self, x: Array, out: Array, recipe: Recipe, sigma: float) -> Array: ...
    def scaled_copy(self, x: Array, out: Array, scale: float) -> Array: ...
    def scratch_like(self, array: Array) -> AbstractContextManager[Array]: ...
    def masked_weight(self, weight: Array, recipe: Recipe, out: Array) -> Array: ...
    def packed_bits(self, recipe: Recipe, count: int, like: Any) -> NDArray[np.uint8]: ...
    def booleans(self, recipe: Recipe, count: int, like: Any) -> NDArray[np.bool_]: ...
    def connect_forward(self, x: Array, weight: Array, bias: Array | None, recipe: Recipe) -> Array: ...
    def connect_dx(self, dy: Array, weight: Array, recipe: Recipe) -> Array: ...
    def connect_dweight(self, dy: Array, x: Array, recipe: Recipe) -> Array: ...


def backend_for(**arrays: Any) -> Backend:
    """The backend of these arrays, by name; None is no array, and what is no array yet becomes one of NumPy's.

    Raises
    ------
    TypeError
        If they lie on different devices, or a Dask array is not alone.
    """
    given = [array for array in arrays.values() if array is not None]
    if any(map(dask.is_array, given)):
        if len(given) > 1:
            where = ", ".join(f"{name} is {_place(array)}" for name, array in arrays.items() if array is not None)
            raise TypeError(f"{dask.ALONE}; {where}")
        return dask
    on_gpus = [array for array in given if device.is_array(array)]
    if not on_gpus:
        return cpu
    device.require()
    if len(on_gpus) == len(given) and len({array.device.id for array in on_gpus}) == 1:
        return _cuda()
    where = ", ".join(f"{name} is {_place(array)}" for name, array in arrays.items() if array is not None)
    raise TypeError(
        f"all arrays of a call are on one device; {where}: move them with cupy.asarray(array) or cupy.asnumpy(array)"
    )


def _place(array: Any) -> str:
    if device.is_array(array):
        return f"on CUDA device {array.device.id}"
    if dask.is_array(array):
        return "a Dask array"
    return "a NumPy array" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"


def as_input(x: Any, out: Any, name: str) -> Array:
    """x as its kernels read it, for a function that has to know its shape; `prepare` takes it, too."""
    if out is None and type(x) is np.ndarray and kernels.is_ready(x):
        return x
    return backend_for(**{name: x, "out": out}).as_input(x, name)


def prepare(x: Any, out: Any, name: str) -> tuple[Backend, Array, Array]:
    """The backend of x; x as its kernels read it; and the array to write to. `name` is x's name in messages."""
    y = kernels.target(x, out)
    if y is not None:  # the usual case, decided in compiled code: calls on small arrays cost little else
        return cpu, x, y
    backend = backend_for(**{name: x, "out": out})
    y, x = backend.prepare_out(backend.as_input(x, name), out)
    return backend, x, y


def prepare_chunkwise(x: Any, out: Any, name: str) -> tuple[Backend, Array, Array]:
    """As `prepare`, for what can go over a Dask array chunk by chunk; then there is nothing to write to."""
    y = kernels.target(x, out)
    if y is not None:
        return cpu, x, y
    if not (dask.is_array(x) or dask.is_array(out)):
        return prepare(x, out, name)
    backend = backend_for(**{name: x, "out": out})
    x = backend.as_input(x, name)
    return backend, x, x


def backend_named(name: str) -> Backend:
    """The backend "cpu" or "cuda"; BackendUnavailable where there is no GPU."""
    if name not in BACKENDS:
        raise ValueError(f"backend is one of {', '.join(BACKENDS)}; got {name!r:.200}")
    if name == "cpu":
        return cpu
    device.require()
    return _cuda()


def _cuda() -> Backend:
    """Loaded when it is first asked for: most processes have NumPy arrays alone."""
    from fastdrop.backends.cuda import operations

    return operations


def namespace(array: Any) -> Any:
    """The package whose functions make and change arrays of this kind: numpy or cupy."""
    return device.cupy() if device.is_array(array) else np


def on_device_of(array: Any) -> AbstractContextManager[Any]:
    """Where arrays made by `namespace(array)` are to lie: on the array's GPU, if it has one.

    There they live as long as the CUDA graph that is being captured, if one is.
    """
    return capture.on(array.device) if device.is_array(array) else nullcontext()


def on_arrays_device(function: Callable[P, T]) -> Callable[P, T]:
    """The function in a block of `on_device_of` its first array on a GPU, if it has one."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with on_device_of(next(filter(device.is_array, (*args, *kwargs.values())), None)):
            return function(*args, **kwargs)

    return run


def moved(array: Any, name: str) -> Any:
    """The array on the backend of this name: itself if it is there, else a copy."""
    backend_named(name)
    if name == "cpu":
        return array.get() if device.is_array(array) else np.asarray(array)
    if getattr(array, "dtype", None) is not None and array.dtype.name == "bfloat16":
        device.check_bfloat16()
    return device.cupy().asarray(array)
