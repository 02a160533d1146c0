"""What a backend offers, and which one an array belongs to."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.backends import cpu
from fastdrop.backends.cuda import capture, device
from fastdrop.backends.dtypes import check_dtype

Array = NDArray[np.floating[Any]]
Mask = kernels.MaskFields | None
"""None keeps every element and scales none."""
P = ParamSpec("P")
T = TypeVar("T")

BACKENDS = ("cpu", "cuda")
"""By name, where a name chooses."""


class Backend(Protocol):
    """The operations that a device implements; `fastdrop.backends.cpu` says what each one does."""

    def as_input(self, array: Any, name: str) -> Array: ...
    def prepare_out(self, x: Array, out: Any, *others: Array) -> tuple[Array, ...]: ...
    def elementwise(
        self, operation: str, out: Array, inputs: tuple[Array, ...], mask: Mask, shift: float = 0.0
    ) -> Array: ...
    def multiply(self, x: Array, out: Array, factor: float) -> Array: ...
    def bias_backward(self, activation: str, dy: Array, x: Array, bias: Array, mask: Mask) -> tuple[Array, Array]: ...
    def softmax(self, out: Array, x: Array, dy: Array | None, mask: Mask) -> Array: ...
    def gaussian(self, x: Array, out: Array, draw: Any, sigma: float) -> Array: ...
    def scratch_like(self, array: Array) -> AbstractContextManager[Array]: ...
    def masked_weight(self, weight: Array, mask: kernels.MaskFields, out: Array) -> Array: ...
    def keep_bits(self, draw: Any, threshold: int, count: int, like: Any) -> NDArray[np.uint8]: ...
    def booleans(self, draw: Any, threshold: int, count: int, like: Any) -> NDArray[np.bool_]: ...
    def dropconnect_forward(self, x: Array, weight: Array, bias: Array | None, mask: kernels.MaskFields) -> Array: ...
    def dropconnect_dx(self, dy: Array, weight: Array, mask: kernels.MaskFields) -> Array: ...
    def dropconnect_dweight(self, dy: Array, x: Array, mask: kernels.MaskFields) -> Array: ...


def backend_for(**arrays: Any) -> Backend:
    """The backend of these arrays, by name; None is no array, and what is no array yet becomes one of NumPy's.

    Raises
    ------
    TypeError
        If they lie on different devices, or one is a Dask array.
    """
    given = {name: array for name, array in arrays.items() if array is not None}
    for name, array in given.items():
        if is_lazy(array):
            raise TypeError(
                f"{name} is a Dask array, which this function does not take: map the function over the chunks with "
                f"dask.array.map_blocks, or give it {name}.compute()"
            )
    on_gpus = [array for array in given.values() if device.is_array(array)]
    if not on_gpus:
        return cpu
    device.require()
    if len(on_gpus) == len(given) and len({array.device.id for array in on_gpus}) == 1:
        return _cuda()
    where = ", ".join(f"{name} is {_place(array)}" for name, array in given.items())
    raise TypeError(
        f"all arrays of a call are on one device; {where}: move them with cupy.asarray(array) or cupy.asnumpy(array)"
    )


def is_lazy(array: Any) -> bool:
    """Whether it is a Dask array; Dask is not imported to find out."""
    kind = type(array)
    if kind not in _lazy:
        _lazy[kind] = any(cls.__module__.startswith("dask.array.") and cls.__name__ == "Array" for cls in kind.__mro__)
    return _lazy[kind]


_lazy: dict[type, bool] = {}


def _place(array: Any) -> str:
    if device.is_array(array):
        return f"on CUDA device {array.device.id}"
    return "a NumPy array" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"


def check_dtype_of(array: Any, name: str) -> None:
    """Raise TypeError unless kernels read arrays of this dtype and class."""
    if not device.is_array(array):
        cpu.check_class(array, name)
    check_dtype(array.dtype, name)


def as_input(x: Any, out: Any, name: str) -> Array:
    """x as its kernels read it, for a function that has to know its shape; `prepare` takes it, too. Not Dask arrays."""
    if out is None and type(x) is np.ndarray and kernels.is_kernel_ready(x):
        return x
    return x if is_lazy(x) else backend_for(**{name: x, "out": out}).as_input(x, name)


def prepare(x: Any, out: Any, name: str) -> tuple[Backend, Array, Array]:
    """The backend of x; x as its kernels read it; and the array to write to. `name` is x's name in messages."""
    y = kernels.target(x, out)
    if y is not None:  # the usual case, decided in compiled code: calls on small arrays cost little else
        return cpu, x, y
    backend = backend_for(**{name: x, "out": out})
    y, x = backend.prepare_out(backend.as_input(x, name), out)
    return backend, x, y


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


def array_module(array: Any) -> Any:
    """The package whose functions make and change arrays of this kind: numpy or cupy."""
    return device.cupy() if device.is_array(array) else np


def on_device_of(array: Any) -> AbstractContextManager[Any]:
    """Where arrays made by `array_module(array)` are to lie: on the array's GPU, if it has one.

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


def to_device(array: Any, name: str) -> Any:
    """The array on the backend of this name: itself if it is there, else a copy."""
    backend_named(name)
    if name == "cpu":
        return array.get() if device.is_array(array) else np.asarray(array)
    if getattr(array, "dtype", None) is not None and array.dtype.name == "bfloat16":
        device.check_bfloat16()
    return device.cupy().asarray(array)
