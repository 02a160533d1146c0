"""The kernels' text, and the names of their instances: one place from dtypes and operations to CUDA's names."""

import functools
import re
from pathlib import Path

from fastdrop import _kernels
from fastdrop.backends.cuda.geometry import ACCESS
from fastdrop.backends.dtypes import ITEMSIZES

TYPES = {"float16": "fd_float16", "bfloat16": "fd_bfloat16", "float32": "float", "float64": "double"}
WIDTHS = {dtype: ACCESS // size for dtype, size in ITEMSIZES.items()}
"""Elements of the widest access."""
OPERATIONS = {
    "select": "FD_SELECT",  # dropout without a scale
    "dropout": "FD_DROPOUT",
    "dropout_add": "FD_DROPOUT_ADD",
    "bias_relu": "FD_BIAS_RELU",
    "bias_gelu": "FD_BIAS_GELU",
    "choose": "FD_CHOOSE",
    "alpha": "FD_ALPHA",
}
WITH_BIAS = ("bias_relu", "bias_gelu")
"""Those whose last operand has one element for each column: FD_ADDS_BIAS in src_kernels/cuda.cuh."""

_FILES = {
    "fd_flat_kernel": "cuda_flat.cu",
    "fd_bits_kernel": "cuda_flat.cu",
    "fd_booleans_kernel": "cuda_flat.cu",
    "fd_strided_kernel": "cuda_walk.cu",
    "fd_transposed_kernel": "cuda_walk.cu",
    "fd_rows_kernel": "cuda_walk.cu",
    "fd_columns_kernel": "cuda_walk.cu",
    "fd_window_kernel": "cuda_walk.cu",
    "fd_bias_backward_kernel": "cuda_fused.cu",
    "fd_softmax_kernel": "cuda_fused.cu",
    "fd_gaussian_kernel": "cuda_gaussian.cu",
    "fd_connect_forward_kernel": "cuda_connect.cu",
    "fd_connect_gradient_kernel": "cuda_connect.cu",
}
FILES = tuple(dict.fromkeys(_FILES.values()))


def elementwise(kernel: str, operation: str, dtype: str, width: int) -> str:
    """The instance of a kernel for one operation, dtype and width of access; width 0: the kernel has one width."""
    arguments = f"{TYPES[dtype]}, {OPERATIONS[operation]}"
    return f"{kernel}<{arguments}, {width}>" if width else f"{kernel}<{arguments}>"


def bias_backward(activation: str, dtype: str) -> str:
    return f"fd_bias_backward_kernel<{TYPES[dtype]}, FD_BIAS_{activation.upper()}_BACKWARD>"


def softmax(dtype: str, backward: bool) -> str:
    return f"fd_softmax_kernel<{TYPES[dtype]}, {_flag(backward)}>"


def gaussian(dtype: str) -> str:
    return f"fd_gaussian_kernel<{TYPES[dtype]}>"


def connect_forward(dtype: str, begins: bool) -> str:
    """`begins`: every row's decisions begin a 32-bit word."""
    return f"fd_connect_forward_kernel<{TYPES[dtype]}, {_flag(begins)}>"


def connect_gradient(dtype: str, dweight: bool, targets: int) -> str:
    """`targets`: sums of a lane, in each of four columns."""
    return f"fd_connect_gradient_kernel<{TYPES[dtype]}, {_flag(dweight)}, {targets}>"


def _flag(value: bool) -> str:
    return "true" if value else "false"


CONNECT_TARGETS = {False: 2, True: 4}
"""For dx and dweight: there are few examples and many outputs, and the fewer sums the more threads."""


def instances() -> dict[str, list[str]]:
    """Every kernel that there is, by file."""
    found = ["fd_bits_kernel", "fd_booleans_kernel"]
    for dtype in TYPES:
        for operation in OPERATIONS:
            found += [elementwise("fd_flat_kernel", operation, dtype, width) for width in (WIDTHS[dtype], 1)]
            found += [elementwise(f"fd_{name}_kernel", operation, dtype, 0) for name in ("strided", "transposed")]
        for operation in ("select", "dropout", "dropout_add", "choose", "alpha"):
            for name in ("rows", "columns"):
                found += [elementwise(f"fd_{name}_kernel", operation, dtype, width) for width in (WIDTHS[dtype], 1)]
        found += [elementwise("fd_window_kernel", operation, dtype, 0) for operation in ("select", "dropout")]
        found += [bias_backward(activation, dtype) for activation in ("relu", "gelu")]
        found += [softmax(dtype, backward) for backward in (False, True)]
        found.append(gaussian(dtype))
    for dtype in ("float32", "float64"):
        found += [connect_forward(dtype, begins) for begins in (False, True)]
        found += [connect_gradient(dtype, dweight, targets) for dweight, targets in CONNECT_TARGETS.items()]
    return {file: [name for name in found if file_of(name) == file] for file in FILES}


def file_of(expression: str) -> str:
    return _FILES[expression.partition("<")[0]]


@functools.cache
def text(file: str) -> str:
    """A file with the headers that it includes in their places: one text, that a compiled kernel is known again by."""
    folder = Path(_kernels.__file__).parent

    def expand(name: str) -> str:
        content = (folder / name).read_text(encoding="utf-8")
        return re.sub(r'^#include "(.+)"$', lambda found: expand(found[1]), content, flags=re.MULTILINE)

    return expand(file)
