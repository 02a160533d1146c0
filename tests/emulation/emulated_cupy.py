"""As much of CuPy's interface as fastdrop uses, over the processor's memory: arrays that are not NumPy's, on a device.

Like CuPy's, these arrays refuse to be mixed with NumPy's.
"""

import ctypes
import importlib.machinery
import time
import types
from typing import ClassVar

import numpy as np


class Device:
    compute_capability = "90"
    attributes: ClassVar = {"L2CacheSize": 1 << 14}

    def __init__(self, number=0):
        self.id = number

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None


class _Memory:
    def __init__(self, ptr):
        self.ptr = ptr


class ndarray(np.ndarray):
    __module__ = "cupy"
    number = 0

    @property
    def data(self):
        return _Memory(self.ctypes.data)

    @property
    def device(self):
        return Device(self.number)

    def get(self):
        return np.array(self.view(np.ndarray))

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        out = kwargs.pop("out", None)
        _refuse_numpy((*inputs, *(out or ())))
        if out:
            kwargs["out"] = tuple(_bare(array) for array in out)
        result = getattr(ufunc, method)(*(_bare(value) for value in inputs), **kwargs)
        return out[0] if out else _own(np.asarray(result))

    def __array_function__(self, function, kinds, arguments, keywords):
        _refuse_numpy(arguments)
        keywords = {name: _bare(value) for name, value in keywords.items()}
        result = function(*(_bare(value) for value in arguments), **keywords)
        return _own(result) if type(result) is np.ndarray else result

    def __getitem__(self, index):
        _refuse_numpy(index if isinstance(index, tuple) else (index,))
        return super().__getitem__(index)

    def __setitem__(self, index, value):
        _refuse_numpy((*(index if isinstance(index, tuple) else (index,)), value))
        super().__setitem__(index, value)


def _bare(value):
    return value.view(np.ndarray) if isinstance(value, ndarray) else value


def _refuse_numpy(values):
    for value in values:
        if type(value) is np.ndarray and value.ndim > 0:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")


def _add_at(target, indices, values):
    _refuse_numpy((target, indices, values))
    np.add.at(_bare(target), _bare(indices), _bare(values))


def _checked(array):
    _refuse_numpy((array,))
    return array


def _copyto(target, source, where=True):
    _refuse_numpy((target, source, where))
    np.copyto(_bare(target), _bare(source), where=_bare(where))


class Event:
    def record(self):
        self.time = time.perf_counter()

    def synchronize(self):
        pass


def _copy_memory(target, source, size, kind, stream):
    ctypes.memmove(target, source, size)


class Stream:
    capturing = False
    ptr = 0

    def synchronize(self):
        pass

    def is_capturing(self):
        return self.capturing


def _own(array):
    return array.view(ndarray)


def make():
    """The module."""
    module = types.ModuleType("cupy")
    module.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    module.ndarray = ndarray
    module.__version__ = "emulated"
    # Memory of an array's own, poisoned: what no kernel writes is seen.
    module.empty = lambda shape, dtype=float: _own(_poisoned(np.empty(shape, dtype)))
    module.empty_like = lambda array: _own(_poisoned(np.empty_like(array.view(np.ndarray))))
    module.zeros = lambda shape, dtype=float: _own(np.zeros(shape, dtype))
    module.ones = lambda shape, dtype=float: _own(np.ones(shape, dtype))
    module.add = types.SimpleNamespace(at=_add_at)
    module.asarray = lambda array: array if isinstance(array, ndarray) else _own(np.array(array))
    module.arange = lambda *arguments: _own(np.arange(*arguments))
    module.ascontiguousarray = lambda array: _own(np.ascontiguousarray(array.view(np.ndarray)))
    module.full = lambda shape, value, dtype=float: _own(np.full(shape, value, dtype))
    module.concatenate = lambda arrays, axis=0: _own(np.concatenate([_bare(_checked(a)) for a in arrays], axis))
    module.count_nonzero = lambda array: _own(np.asarray(np.count_nonzero(_checked(array))))
    module.copyto = _copyto
    module.may_share_memory = lambda *arrays: np.may_share_memory(*(_bare(_checked(array)) for array in arrays))
    for name in ("maximum", "multiply", "sqrt"):
        setattr(module, name, getattr(np, name))  # they go by their arguments' types
    module.packbits = lambda array, bitorder: _own(np.packbits(_bare(_checked(array)), bitorder=bitorder))
    module.broadcast_to = lambda array, shape: _own(np.broadcast_to(array.view(np.ndarray), shape))
    stream = Stream()
    module.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        get_current_stream=lambda: stream,
        Event=Event,
        get_elapsed_time=lambda begin, end: 1e3 * (end.time - begin.time),
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda number: {
                "name": b"emulated",
                "totalGlobalMem": 1 << 30,
                "multiProcessorCount": 1,
            },
            runtimeGetVersion=lambda: 13000,
            driverGetVersion=lambda: 13000,
            memcpyAsync=_copy_memory,
            memcpyDeviceToDevice=3,
        ),
        stream=stream,
    )
    generator = np.random.default_rng(0)
    module.random = types.SimpleNamespace(random=lambda shape, dtype: _own(generator.random(shape, dtype)))
    module.matmul = np.matmul
    return module


def _poisoned(array):
    array.fill(np.frombuffer(b"\x7d" * array.itemsize, array.dtype)[0])
    return array
