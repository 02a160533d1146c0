"""Devices of the tests of CUDA: a GPU, the emulated source of the kernels, or their PTX for two architectures
(tests/ptx). And the comparison of results.
"""

import importlib
import importlib.util
import os
import shutil
import sys

import emulated_cupy
import emulator
import numpy as np
import pytest

from fastdrop.backends.cuda import compiler

try:
    from ml_dtypes import bfloat16, finfo
except ImportError:  # a machine with a GPU and little else
    HALVES, finfo = [np.float16], np.finfo
else:
    HALVES = [np.float16, bfloat16]

DTYPES = [np.float32, np.float64, *HALVES]
UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}


class Gpu:
    """The device of a test: CuPy, or its emulation."""

    def __init__(self, cupy, emulated):
        self.cupy, self.emulated = cupy, emulated

    def put(self, array):
        return self.cupy.asarray(array)

    def get(self, array):
        assert type(array).__module__.partition(".")[0] == "cupy", "the result left the device"
        return array.get()


PTX = [pytest.param(f"ptx{number}", marks=[pytest.mark.native, pytest.mark.ptx]) for number in ("75", "90")]


def kernels_of(name, test):
    """The function that replaces the compiler's `kernel`: "emulated", or PTX for an architecture."""
    if not name.startswith("ptx"):
        if shutil.which("g++") is None:
            (pytest.fail if os.environ.get("FASTDROP_REQUIRE_NATIVE") else pytest.skip)("the emulation needs g++")
        return emulator.kernel
    if importlib.util.find_spec("cupy") is None or importlib.util.find_spec("nvidia") is None:
        what = "missing: cupy and NVRTC (pip install --group native)"
        (pytest.fail if os.environ.get("FASTDROP_REQUIRE_NATIVE") else pytest.skip)(what)
    machine = importlib.import_module("ptx.machine")
    machine.begin_test(test)
    return machine.kernel_for(name.removeprefix("ptx"))


@pytest.fixture(params=["emulated", *PTX, pytest.param("gpu", marks=pytest.mark.gpu)])
def gpu(request, monkeypatch):
    if request.param == "gpu":
        cupy = pytest.importorskip("cupy")
        if not cupy.cuda.is_available():
            pytest.skip("there is no GPU")
        yield Gpu(cupy, emulated=False)
        return
    kernel = kernels_of(request.param, request.node.nodeid)
    module = emulated_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(compiler, "kernel", kernel)
    yield Gpu(module, emulated=True)


def values(shape, dtype, seed=0, width=1):
    return (np.random.default_rng(seed).standard_normal(shape) * width).astype(dtype)


def same(actual, expected):
    """The same bits; NaNs may differ in their payload, which depends on the processor."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    nan = np.isnan(expected.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(actual.astype(np.float64)), nan)
    unsigned = UNSIGNED[actual.dtype.itemsize]
    np.testing.assert_array_equal(
        np.ascontiguousarray(actual).view(unsigned)[~nan], np.ascontiguousarray(expected).view(unsigned)[~nan]
    )
