"""As much of CuPy's interface as fastdrop uses, over the processor's memory: arrays that are not NumPy's, on a device.

Like CuPy's, these arrays refuse to be mixed with NumPy's.
"""

import types

import numpy as np

import fastdrop


class Device:
    compute_capability = "90"

    def __init__(self, number=0):
        self.id = number

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None


class _Memory:
    def __init__(self, ptr):
        self.ptr = ptr


class ndarray(np.ndarray):  # noqa: N801 - CuPy's name
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


class Stream:
    capturing = False

    def is_capturing(self):
        return self.capturing


def _own(array):
    return array.view(ndarray)


def make():
    """The module."""
    module = types.ModuleType("cupy")
    module.ndarray = ndarray
    module.__version__ = "emulated"
    # Memory of an array's own, poisoned: what no kernel writes is seen.
    module.empty = lambda shape, dtype=float: _own(_poisoned(np.empty(shape, dtype)))
    module.empty_like = lambda array: _own(_poisoned(np.empty_like(array.view(np.ndarray))))
    module.zeros = lambda shape, dtype=float: _own(np.zeros(shape, dtype))
    module.asarray = lambda array: array if isinstance(array, ndarray) else _own(np.array(array))
    module.asnumpy = lambda array: array.get()
    module.arange = lambda *arguments: _own(np.arange(*arguments))
    module.ascontiguousarray = lambda array: _own(np.ascontiguousarray(array.view(np.ndarray)))
    module.broadcast_to = lambda array, shape: _own(np.broadcast_to(array.view(np.ndarray), shape))
    stream = Stream()
    module.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        get_current_stream=lambda: stream,
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 1),
        stream=stream,
    )
    return module


def _poisoned(array):
    array.fill(np.frombuffer(b"\x7d" * array.itemsize, array.dtype)[0])
    return array


assert fastdrop  # its kernels' text and tables are what is emulated
