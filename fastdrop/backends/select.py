"""What a backend offers, and which one an array belongs to."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends import cpu
from fastdrop.errors import BackendUnavailable
from fastdrop.rule import Numbers

Array = NDArray[np.floating[Any]]


class Backend(Protocol):
    """The operations that a device implements; `fastdrop.backends.cpu` says what each one does."""

    def as_input(self, array: Any, name: str) -> Array: ...
    def arithmetic(self, dtype: np.dtype[Any]) -> np.dtype[Any]: ...
    def prepare_out(self, x: Array, out: Any, *others: Array) -> tuple[Array, ...]: ...
    def apply(
        self, x: Array, out: Array, recipe: Numbers, scale: float, shared_axes: tuple[int, ...] = ()
    ) -> Array: ...
    def elementwise(
        self,
        operation: str,
        out: Array,
        inputs: tuple[Array, ...],
        recipe: Numbers,
        scale: float,
        shared_axes: tuple[int, ...] = (),
    ) -> Array: ...
    def bias_backward(
        self, activation: str, dy: Array, x: Array, bias: Array, recipe: Numbers, scale: float
    ) -> tuple[Array, Array]: ...
    def softmax(self, out: Array, x: Array, dy: Array | None, recipe: Numbers, scale: float) -> Array: ...
    def scaled_copy(self, x: Array, out: Array, scale: float) -> Array: ...
    def masked_weight(self, weight: Array, recipe: Numbers, scale: float, out: Array | None = None) -> Array: ...
    def packed_bits(self, recipe: Numbers, count: int) -> NDArray[np.uint8]: ...
    def connect_forward(self, x: Array, weight: Array, bias: Array | None, recipe: Numbers, scale: float) -> Array: ...
    def connect_dx(self, dy: Array, weight: Array, recipe: Numbers, scale: float) -> Array: ...
    def connect_dweight(self, dy: Array, x: Array, recipe: Numbers, scale: float) -> Array: ...


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
