"""Gaussian noise on CUDA against the reference, bit for bit."""

import sys

import emulated_cupy
import emulator
import numpy as np
import pytest
from cudatools import DRAW, LAYOUTS, NORMAL_KEY, SIZES
from devices import DTYPES, same, values

from fastdrop import reference
from fastdrop.backends.cuda import geometry, operations


def noisy(x, sigma):
    with np.errstate(all="ignore"):
        return reference.gaussian(x, *NORMAL_KEY, sigma)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_noise(gpu, dtype):
    for size in [0, *SIZES]:
        x = values(size, dtype)
        for sigma in (0.0, 0.65, 1e3) if size < 5000 else (0.65,):
            out = gpu.cupy.empty(size, dtype)
            assert operations.gaussian(gpu.put(x), out, DRAW, sigma) is out
            same(gpu.get(out), noisy(x, sigma))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_noise_of_every_layout(gpu, dtype, name):
    shape, view = LAYOUTS[name]
    x = view(values(shape, dtype))
    for out in (gpu.cupy.empty(x.shape, dtype), gpu.cupy.empty(x.shape[::-1], dtype).T):
        operations.gaussian(view(gpu.put(values(shape, dtype))), out, DRAW, 0.5)
        same(gpu.get(out), noisy(x, 0.5))
    inplace = view(gpu.put(values(shape, dtype)))
    operations.gaussian(inplace, inplace, DRAW, 0.5)
    same(gpu.get(inplace), noisy(x, 0.5))


def test_gaussian_noise_of_special_values(gpu):
    for dtype in DTYPES:
        x = np.resize(np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, 65504.0, 1e-45, 6e-8, 1e-310], dtype), 1000)
        for sigma in (0.0, 0.5, 40.0):
            there = gpu.put(x)
            same(gpu.get(operations.gaussian(there, there, DRAW, sigma)), noisy(x, sigma))


def test_gaussian_noise_in_every_geometry(gpu, monkeypatch):
    x = values(9001, np.float32)
    for threads in (32, 64, 96, 128):
        for few in (0, 1 << 30):
            monkeypatch.setattr(geometry, "THREADS", threads)
            monkeypatch.setattr(geometry, "FEW_WARPS", few)
            with emulator.set_options(order="backwards" if threads == 64 else None):
                there = gpu.put(x)
                same(gpu.get(operations.gaussian(there, there, DRAW, 0.5)), noisy(x, 0.5))


@pytest.mark.skipif(sys.platform != "linux", reason="pages that nobody touches must cost nothing")
def test_gaussian_noise_of_more_than_2_to_the_32_elements(gpu):
    count = 2**32 + 1000
    x = np.zeros(count, np.float16).view(emulated_cupy.ndarray) if gpu.emulated else gpu.cupy.zeros(count, "f2")
    x[-3000:] = gpu.put(values(3000, np.float16))
    with emulator.set_options(only_last_blocks=7):
        operations.gaussian(x, x, DRAW, 0.5)
    z = reference.normals(*NORMAL_KEY, np.arange(count - 3000, count, dtype=np.uint64))
    noise = np.float32(1) + np.float32(0.5) * z
    same(gpu.get(x[-3000:]), (values(3000, np.float16).astype(np.float32) * noise).astype(np.float16))
