"""The part of CuPy's interface that fastdrop uses, in host memory: device arrays that are not NumPy's.

Like CuPy's, these arrays refuse to be mixed with NumPy's, and get their memory from the current allocator. The
end of a `Memory` takes the place of freeing memory to CuPy's pool. Several devices share the host's memory.
"""

import contextlib
import ctypes
import importlib.machinery
import time
import types
import weakref
from typing import ClassVar

import numpy as np


class Device:
    compute_capability = "90"
    attributes: ClassVar = {"L2CacheSize": 1 << 14}
    entered: ClassVar = [0]

    def __init__(self, number=None):
        self.id = self.entered[-1] if number is None else number

    def __enter__(self):
        self.entered.append(self.id)
        return self

    def __exit__(self, *exception):
        self.entered.pop()

    def synchronize(self):
        pass


class Memory:
    """Only its lifetime matters; tests hold weak references."""


class MemoryPointer:
    """The result of an allocator."""

    def __init__(self, mem):
        self.mem = mem


_allocator = [lambda size: MemoryPointer(Memory())]


@contextlib.contextmanager
def _using_allocator(allocator):
    _allocator.append(allocator)
    try:
        yield
    finally:
        _allocator.pop()


class _Place:
    def __init__(self, ptr, mem):
        self.ptr, self.mem = ptr, mem


class ndarray(np.ndarray):
    __module__ = "cupy"

    def __array_finalize__(self, other):
        """A view has its array's memory; every other array gets memory on the current device."""
        if isinstance(other, ndarray) and np.may_share_memory(_bare(self), _bare(other)):
            self.memory, self.number = other.memory, other.number
        else:
            self.memory, self.number = _allocator[-1](self.nbytes), Device.entered[-1]
            root = _root(self)
            _roots[root.ctypes.data] = root

    @property
    def data(self):
        return _Place(self.ctypes.data, self.memory.mem)

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


_roots = weakref.WeakValueDictionary()
"""The arrays whose memory is the devices', by address."""


def _root(array):
    """The array that the memory of this one belongs to."""
    root = base = array
    while base is not None:
        root, base = base if isinstance(base, np.ndarray) else root, getattr(base, "base", None)
    return root


def allocations(words):
    """The bounds, as pairs, of the device memory at these addresses; words that are no device address are left out."""
    roots = [array for array in _roots.values() if array.nbytes]
    bounds = np.array([[array.ctypes.data, array.ctypes.data + array.nbytes] for array in roots], np.uint64)
    bounds = bounds.reshape(-1, 2)
    inside = (words >= bounds[:, :1]) & (words < bounds[:, 1:])
    return np.ascontiguousarray(bounds[inside.any(axis=1)])


def _bare(value):
    return value.view(np.ndarray) if isinstance(value, ndarray) else value


def _refuse_numpy(values):
    for value in values:
        if type(value) is np.ndarray and value.ndim > 0:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")


def _add_at(target, indices, values):
    _refuse_numpy((target, indices, values))
    np.add.at(_bare(target), _bare(indices), _bare(values))


def _as_strided(array, shape, strides):
    return _own(np.lib.stride_tricks.as_strided(_bare(_checked(array)), shape, strides))


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


class Graph:
    """The result of a capture. It replays nothing: captured work has already run."""

    def __init__(self, host_funcargs):
        self.host_funcargs = host_funcargs


class Stream:
    capturing = False
    ptr = 0
    _graph_host_funcargs = None

    def synchronize(self):
        pass

    def is_capturing(self):
        return self.capturing

    def begin_capture(self):
        self.capturing, self._graph_host_funcargs = True, []

    def end_capture(self):
        graph = Graph(self._graph_host_funcargs)
        self.capturing, self._graph_host_funcargs = False, None
        return graph


def _own(array):
    """A NumPy array as a device array: in new memory, unless it is a view of a device array."""
    base = array
    while base is not None and not isinstance(base, ndarray):
        base = getattr(base, "base", None)
    return array.view(ndarray) if base is None else _shared(array, base)


def _shared(array, base):
    with _using_allocator(lambda size: base.memory):
        view = array.view(ndarray)
    view.number = base.number
    return view


def make():
    """The module."""
    module = types.ModuleType("cupy")
    module.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    module.ndarray = ndarray
    module.__version__ = "emulated"
    # Poisoned memory, so that elements that no kernel writes are noticed.
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
        setattr(module, name, getattr(np, name))  # they dispatch on their arguments' types
    module.packbits = lambda array, bitorder: _own(np.packbits(_bare(_checked(array)), bitorder=bitorder))
    module.broadcast_to = lambda array, shape: _own(np.broadcast_to(array.view(np.ndarray), shape))
    module.lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=_as_strided))
    stream = Stream()
    module.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        get_current_stream=lambda: stream,
        Event=Event,
        get_allocator=lambda: _allocator[-1],
        using_allocator=_using_allocator,
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
