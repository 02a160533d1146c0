"""Checks of arrays that several functions share."""

from typing import Any

from numpy.typing import NDArray

from fastdrop.backends import Backend
from fastdrop.mask import Mask


def check_gradient(backend: Backend, dy: Any, x: NDArray[Any], mask: Mask | None) -> NDArray[Any]:
    """dy as kernels read it, of x's shape and dtype; and whether the mask fits."""
    dy = backend.as_input(dy, "dy")
    if dy.shape != x.shape:
        raise ValueError(f"dy has shape {dy.shape} and x {x.shape}; they are to be equal")
    check_dtypes_equal(x, dy=dy)
    check_whole(mask)
    if mask is not None and (mask.shape != x.shape or mask.shared_axes):
        raise ValueError(
            f"a mask of shape {mask.shape} with shared axes {mask.shared_axes} does not fit x {x.shape}, no axis shared"
        )
    return dy


def check_whole(mask: Mask | None) -> None:
    """Raise TypeError for a slice of a mask, for functions that read keep bits from the first one on."""
    if mask is not None and mask.layout is not None:
        raise TypeError(
            "this mask is a slice of another: it can be called, looked at and sliced, and dropout_backward takes it; "
            "this function needs a whole mask"
        )


def check_dtypes_equal(x: NDArray[Any], **others: NDArray[Any] | None) -> None:
    """Raise TypeError where another array has another dtype than x."""
    for name, array in others.items():
        if array is not None and array.dtype != x.dtype:
            raise TypeError(f"{name} has dtype {array.dtype} and x {x.dtype}; give all arrays one dtype")
