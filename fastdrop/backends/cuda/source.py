"""The kernels' text, and the names of their instances: one place from dtypes and operations to CUDA's names."""

import functools
import re
from importlib import resources

from fastdrop._kernels import cpu as kernels
from fastdrop.backends.cuda.geometry import ACCESS
from fastdrop.backends.dtypes import ITEMSIZES

TYPES = {"float16": "fd_float16", "bfloat16": "fd_bfloat16", "float32": "float", "float64": "double"}
WIDTHS = {dtype: ACCESS // size for dtype, size in ITEMSIZES.items()}
"""Elements of the widest access."""
SELECT = "select"
"""Dropout with a scale of 1, which copies bits."""
OPERATIONS = {name: operation for name, operation in kernels.operations().items() if not operation[2]}
"""Those without sums, by name: how many arrays they read, and whether the last of them is a bias."""

_WITH_SHARED_AXES = [name for name, (_, has_bias, _) in OPERATIONS.items() if not has_bias and name != "multiply"]
"""A bias runs along the last axis, which is not shared, and multiplying by a number has no mask."""

_FILES = {
    "fd_flat_kernel": "flat.cu",
    "fd_keep_bits_kernel": "flat.cu",
    "fd_booleans_kernel": "flat.cu",
    "fd_strided_kernel": "walk.cu",
    "fd_transposed_kernel": "walk.cu",
    "fd_rows_kernel": "walk.cu",
    "fd_columns_kernel": "walk.cu",
    "fd_stepped_kernel": "walk.cu",
    "fd_bias_backward_kernel": "fused.cu",
    "fd_softmax_kernel": "fused.cu",
    "fd_gaussian_kernel": "gaussian.cu",
    "fd_dropconnect_forward_kernel": "dropconnect.cu",
    "fd_dropconnect_gradient_kernel": "dropconnect.cu",
}
FILES = tuple(dict.fromkeys(_FILES.values()))


def elementwise(kernel: str, operation: str, dtype: str, width: int) -> str:
    """The instance of a kernel for one operation, dtype and width of access; width 0: the kernel has one width."""
    arguments = f"{TYPES[dtype]}, op::{operation}"
    return f"{kernel}<{arguments}, {width}>" if width else f"{kernel}<{arguments}>"


def bias_backward(activation: str, dtype: str) -> str:
    return f"fd_bias_backward_kernel<{TYPES[dtype]}, op::bias_{activation}_backward>"


def softmax(dtype: str, backward: bool) -> str:
    return f"fd_softmax_kernel<{TYPES[dtype]}, {_flag(backward)}>"


def gaussian(dtype: str) -> str:
    return f"fd_gaussian_kernel<{TYPES[dtype]}>"


def dropconnect_forward(dtype: str, begins: bool) -> str:
    """`begins`: every row's keep bits begin a 32-bit word."""
    return f"fd_dropconnect_forward_kernel<{TYPES[dtype]}, {_flag(begins)}>"


def dropconnect_gradient(dtype: str, dweight: bool, targets: int) -> str:
    """`targets`: sums of a lane, in each of four columns."""
    return f"fd_dropconnect_gradient_kernel<{TYPES[dtype]}, {_flag(dweight)}, {targets}>"


def _flag(value: bool) -> str:
    return "true" if value else "false"


DROPCONNECT_TARGETS = {False: 2, True: 4}
"""For dx and dweight: there are few examples and many outputs, and the fewer sums the more threads."""


def instances() -> dict[str, list[str]]:
    """Every kernel that there is, by file."""
    found = ["fd_keep_bits_kernel", "fd_booleans_kernel"]
    for dtype in TYPES:
        widths = (WIDTHS[dtype], 1)
        for operation in (SELECT, *OPERATIONS):
            found += [elementwise("fd_flat_kernel", operation, dtype, width) for width in widths]
            found += [elementwise(f"fd_{name}_kernel", operation, dtype, 0) for name in ("strided", "transposed")]
        for operation in (SELECT, *_WITH_SHARED_AXES):
            for name in ("rows", "columns"):
                found += [elementwise(f"fd_{name}_kernel", operation, dtype, width) for width in widths]
        found += [elementwise("fd_stepped_kernel", operation, dtype, 0) for operation in (SELECT, "dropout")]
        found += [bias_backward(activation, dtype) for activation in ("relu", "gelu")]
        found += [softmax(dtype, backward) for backward in (False, True)]
        found.append(gaussian(dtype))
    for dtype in ("float32", "float64"):
        found += [dropconnect_forward(dtype, begins) for begins in (False, True)]
        found += [dropconnect_gradient(dtype, dweight, targets) for dweight, targets in DROPCONNECT_TARGETS.items()]
    return {file: [name for name in found if file_of(name) == file] for file in FILES}


def file_of(expression: str) -> str:
    return _FILES[expression.partition("<")[0]]


@functools.cache
def text(file: str) -> str:
    """A file with the headers that it includes in their places: one text, that a compiled kernel is known again by."""
    sources = resources.files("fastdrop._kernels.sources")
    included: set[str] = set()

    def expand(path: str) -> str:
        if path in included:
            return ""
        included.add(path)
        content = sources.joinpath(path).read_text(encoding="utf-8")
        return re.sub(r'^#include "(.+)"$', lambda found: expand(found[1]), content, flags=re.MULTILINE)

    return expand(f"cuda/{file}")
