"""The dtypes that have kernels, on every device."""

from typing import Any

import numpy as np

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes by name."""


def arithmetic(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What arrays of this dtype are computed in: float32 for the two half ones, which are rounded once, at the end."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def advice(dtype: np.dtype[Any]) -> str:
    """What to do with an array of a dtype that has no kernels."""
    if dtype.kind == "c":
        return "dropout is defined for real numbers: apply one mask to .real and .imag"
    if dtype.kind in "iubf":
        return "convert it first: array.astype(numpy.float32)"
    return "give an array of float16, bfloat16, float32 or float64"
