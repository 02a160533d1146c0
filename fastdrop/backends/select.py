"""What a backend offers, and which one an array belongs to."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends import cpu
from fastdrop.errors import BackendUnavailable
from fastdrop.threads import kernels

Array = NDArray[np.floating[Any]]
Recipe = kernels.Recipe


class Backend(Protocol):
    """The operations that a device implements; `fastdrop.backends.cpu` says what each one does."""

    def as_input(self, array: Any, name: str) -> Array: ...
    def arithmetic(self, dtype: np.dtype[Any]) -> np.dtype[Any]: ...
    def prepare_out(self, x: Array, out: Any, *others: Array) -> tuple[Array, ...]: ...
    def apply(self, x: Array, out: Array, recipe: Recipe, shared_axes: tuple[int, ...] = ()) -> Array: ...
    def elementwise(
        self,
        operation: str,
        out: Array,
        inputs: tuple[Array, ...],
        recipe: Recipe,
        shared_axes: tuple[int, ...] = (),
    ) -> Array: ...
    def bias_backward(
        self, activation: str, dy: Array, x: Array, bias: Array, recipe: Recipe
    ) -> tuple[Array, Array]: ...
    def softmax(self, out: Array, x: Array, dy: Array | None, recipe: Recipe) -> Array: ...
    def scaled_copy(self, x: Array, out: Array, scale: float) -> Array: ...
    def masked_weight(self, weight: Array, recipe: Recipe, out: Array | None = None) -> Array: ...
    def packed_bits(self, recipe: Recipe, count: int) -> NDArray[np.uint8]: ...
    def connect_forward(self, x: Array, weight: Array, bias: Array | None, recipe: Recipe) -> Array: ...
    def connect_dx(self, dy: Array, weight: Array, recipe: Recipe) -> Array: ...
    def connect_dweight(self, dy: Array, x: Array, recipe: Recipe) -> Array: ...


def backend_for(*arrays: Any) -> Backend:
    """The backend of these arrays."""
    for array in arrays:
        if array is None or type(array) is np.ndarray:
            continue
        if type(array).__module__.partition(".")[0] == "cupy":
            raise BackendUnavailable(
                "this version of fastdrop has CPU kernels only; move the CuPy array to the CPU with cupy.asnumpy(array)"
            )
    return cpu


def prepare(x: Any, out: Any, name: str) -> tuple[Backend, Array, Array]:
    """The backend of x; x as its kernels read it; and the array to write to. `name` is x's name in messages."""
    y = kernels.target(x, out)
    if y is not None:  # the usual case, decided in compiled code: calls on small arrays cost little else
        return cpu, x, y
    backend = backend_for(x, out)
    y, x = backend.prepare_out(backend.as_input(x, name), out)
    return backend, x, y
