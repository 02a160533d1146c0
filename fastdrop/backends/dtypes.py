"""The dtypes that have kernels, on every device."""

from typing import Any

import numpy as np

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes by name."""


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What arrays of this dtype are computed in: float32 for the two half ones, which are rounded once, at the end."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Raise TypeError where there are no kernels for arrays of this dtype."""
    if dtype.name not in ITEMSIZES:
        raise TypeError(f"{name} has dtype {dtype}; {advice(dtype)}")


def advice(dtype: np.dtype[Any]) -> str:
    """What to do with an array of a dtype that has no kernels."""
    if dtype.kind == "c":
        return "dropout is defined for real numbers: apply one mask to .real and .imag"
    if dtype.kind == "f" and dtype.itemsize > 8:
        return "convert it first: array.astype(numpy.float64)"
    if dtype.kind in "iubf":
        return "convert it first: array.astype(numpy.float32)"
    return "give an array of float16, bfloat16, float32 or float64"


def no_array(value: Any) -> str:
    """What it is that NumPy makes no array of numbers of, and what to do."""
    if value is None:
        return "None; give an array"
    kind = type(value)
    where = kind.__module__.split(".")
    if where[:2] == ["scipy", "sparse"] or where[0] == "sparse":
        return (
            f"a sparse {kind.__name__}, most of whose elements are not stored; give x.toarray(), or apply dropout to "
            "the stored values, x.data"
        )
    if hasattr(kind, "_value") or hasattr(value, "_value"):
        return (
            f"a {kind.__name__}, which an autograd library traces; make dropout an operation of that library, whose "
            "gradient is mask(dy)"
        )
    return f"a {kind.__name__}, which NumPy makes no array of numbers of; give a NumPy array of floating-point numbers"
