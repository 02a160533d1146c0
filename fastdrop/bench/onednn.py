"""oneDNN's dropout, called through its C library: an attribute of its primitives, and no primitive of its own.

Its wheel finds neither its own libraries nor the OpenCL runtime that its CPU engine wants; both lie beside it, and are
named here. On a CPU only oneDNN's reference code has the attribute: softmax, eltwise and matmul take it, and are slow
with it; binary, reorder and every array of one axis are refused (seen with 3.13). Its threads are its own: the C
interface has no way to limit them.
"""

import contextlib
import ctypes
import functools
import importlib.metadata
import math
import os
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PACKAGE = "onednn"

# From oneDNN's headers dnnl_types.h and dnnl_common_types.h.
_STATUS = (
    *("success", "out of memory", "invalid arguments", "unimplemented", "last implementation reached"),
    *("runtime error", "not required"),
)
_CPU, _IN_ORDER, _FORWARD_TRAINING, _SOFTMAX, _LINEAR = 1, 1, 64, 0x30000, 0x26
_TYPES = {"float32": 3, "int32": 4, "uint8": 6}
_SOURCE, _RESULT, _MASK, _PROBABILITY, _SEED = 1, 17, 509, 510, 511


class _Argument(ctypes.Structure):
    _fields_ = (("number", ctypes.c_int), ("memory", ctypes.c_void_p))


def library_file() -> Path | None:
    """Where the installed wheel has its library; None where it is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())).resolve() for file in files if file.name == "libdnnl.so")
    return next((path for path in found if path.exists()), None)


def _load(path: Path) -> ctypes.CDLL:
    """Load a library, before it those of the same folder that it asks for."""
    asked: set[str] = set()
    while True:
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            name = str(error).partition(":")[0]
            if name in asked or not re.fullmatch(r"lib[^/]*", name) or not (path.parent / name).exists():
                raise
            asked.add(name)
            _load(path.parent / name)


@contextlib.contextmanager
def _intels_opencl(folder: Path) -> Iterator[None]:
    """The OpenCL runtime of the same installation, where the user has named none: it is looked for once."""
    runtime = folder / "libintelocl.so"
    ours = "OCL_ICD_FILENAMES" not in os.environ and runtime.exists()
    if ours:
        os.environ["OCL_ICD_FILENAMES"] = str(runtime)
    try:
        yield
    finally:
        if ours:
            del os.environ["OCL_ICD_FILENAMES"]


class _Library:
    """The library with its CPU engine and a stream, which live as long as the process."""

    def __init__(self) -> None:
        path = library_file()
        if path is None:
            raise ImportError(f"oneDNN is not installed: pip install {PACKAGE}")
        self._functions = _load(path)
        with _intels_opencl(path.parent):
            self.engine = self.new("dnnl_engine_create", _CPU, ctypes.c_size_t(0))
        self.stream = self.new("dnnl_stream_create", self.engine, _IN_ORDER)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library; RuntimeError where it does not succeed."""
        status = getattr(self._functions, name)(*arguments)
        if status:
            word = _STATUS[status] if 0 <= status < len(_STATUS) else f"status {status}"
            raise RuntimeError(f"oneDNN: {name}: {word}")

    def new(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """The handle that a function of the library makes."""
        handle = ctypes.c_void_p()
        self.call(name, ctypes.byref(handle), *arguments)
        return handle


_library = functools.cache(_Library)


class Dropout:
    """x (its softmax along the last axis, if asked) with dropout, into `out`; the mask is stored, as training needs it.

    Another mask with every call.
    """

    def __init__(self, x: Array, out: Array, p: float, *, softmax: bool) -> None:
        self._library = _library()
        self.out, self.mask = out, np.empty(x.shape, np.uint8)
        self._seed, self._p = np.zeros(1, np.int32), np.full(1, p, np.float32)
        self._x = x  # the library keeps its address
        handles = contextlib.ExitStack()
        weakref.finalize(self, handles.close)
        shape, mask = self._describe(handles, x), self._describe(handles, self.mask)
        attribute = self._new(handles, "dnnl_primitive_attr_create", "dnnl_primitive_attr_destroy")
        self._library.call("dnnl_primitive_attr_set_dropout", attribute, mask)
        what: tuple[Any, ...] = (_SOFTMAX, shape, shape, x.ndim - 1)
        if not softmax:  # eltwise: 1 * x + 0
            what = (_LINEAR, shape, shape, ctypes.c_float(1), ctypes.c_float(0))
        create = f"dnnl_{'softmax' if softmax else 'eltwise'}_forward_primitive_desc_create"
        destroy = "dnnl_primitive_desc_destroy"
        plan = self._new(handles, create, destroy, self._library.engine, _FORWARD_TRAINING, *what, attribute)
        self._primitive = self._new(handles, "dnnl_primitive_create", "dnnl_primitive_destroy", plan)
        arrays = {_SOURCE: x, _RESULT: out, _MASK: self.mask, _PROBABILITY: self._p, _SEED: self._seed}
        memories = [_Argument(number, self._memory(handles, array)) for number, array in arrays.items()]
        self._arguments = (_Argument * len(memories))(*memories)

    def __call__(self) -> Array:
        self._seed += 1
        stream, arguments = self._library.stream, self._arguments
        self._library.call("dnnl_primitive_execute", self._primitive, stream, len(arguments), arguments)
        self._library.call("dnnl_stream_wait", stream)
        return self.out

    def _new(self, handles: contextlib.ExitStack, create: str, destroy: str, *arguments: Any) -> ctypes.c_void_p:
        handle = self._library.new(create, *arguments)
        handles.callback(self._library.call, destroy, handle)
        return handle

    def _describe(self, handles: contextlib.ExitStack, array: Array) -> ctypes.c_void_p:
        many, kind = ctypes.c_int64 * array.ndim, _TYPES.get(array.dtype.name)
        if kind is None or not array.flags.c_contiguous:
            raise TypeError(f"oneDNN is called here for contiguous float32 arrays; got {array.dtype}")
        # From the shape: NumPy gives an axis of size 1 any stride.
        strides = many(*(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)))
        create, destroy = "dnnl_memory_desc_create_with_strides", "dnnl_memory_desc_destroy"
        return self._new(handles, create, destroy, array.ndim, many(*array.shape), kind, strides)

    def _memory(self, handles: contextlib.ExitStack, array: Array) -> ctypes.c_void_p:
        what = (self._describe(handles, array), self._library.engine, ctypes.c_void_p(array.ctypes.data))
        return self._new(handles, "dnnl_memory_create", "dnnl_memory_destroy", *what)
