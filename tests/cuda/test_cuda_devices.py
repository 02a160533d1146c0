"""What the CUDA backend refuses: arrays on two devices, a missing CuPy or GPU, unknown backends, unfit arrays."""

import sys

import emulated_cupy
import numpy as np
import pytest
from devices import values

import fastdrop as fd
from fastdrop import nn
from fastdrop.backends.cuda import device
from fastdrop.experiments import ExperimentConfig, Trainer


def test_a_mixture_of_devices_is_refused(gpu):
    x, weight = values((4, 6), np.float32), values((3, 6), np.float32)
    there = gpu.put(x)
    _, mask = fd.softmax_dropout(x, rng=0)
    for call, words in (
        (lambda: fd.dropout(there, out=x), "x is on CUDA device 0, out is a NumPy array"),
        (lambda: fd.dropout(x, out=there), "x is a NumPy array, out is on CUDA device 0"),
        (lambda: fd.dropout([1.0], out=there), "x is a list"),
        (lambda: fd.dropconnect(there, weight), "weight is a NumPy array"),
        (lambda: fd.dropconnect_backward(x, there, gpu.put(weight), None), "dy is a NumPy array"),
        (lambda: fd.dropout_add(x, there), "residual is on CUDA device 0"),
        (lambda: fd.bias_activation_dropout(there, x[0]), "bias is a NumPy array"),
        (lambda: fd.bias_activation_dropout_backward(x, there, there[0], None), "dy is a NumPy array"),
        (lambda: fd.softmax_dropout_backward(there, x, mask), "x is a NumPy array"),
        (lambda: fd.softmax_dropout(there, out=x), "out is a NumPy array"),
        (lambda: fd.spatial_dropout(there, out=x), "out is a NumPy array"),
    ):
        with pytest.raises(TypeError, match=words) as raised:
            call()
        assert "cupy.asarray" in str(raised.value)


ASKING = [
    lambda: fd.GraphStream(1),
    lambda: nn.Linear(2, 3).to("cuda"),
    lambda: Trainer(ExperimentConfig(dataset="xor", backend="cuda")),
    lambda: fd.dropout(type("ndarray", (), {"__module__": "cupy"})()),
    lambda: fd.dropout(np.ones(3), out=type("ndarray", (), {"__module__": "cupy"})()),
]


@pytest.mark.parametrize("ask", ASKING)
def test_without_cupy_the_error_says_what_to_install(monkeypatch, ask):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(fd.BackendUnavailable, match=r"pip install 'fastdrop-kernels\[cuda13\]'"):
        ask()


@pytest.mark.parametrize("ask", ASKING)
def test_a_cupy_that_cannot_make_its_cache_is_told(monkeypatch, ask):
    def fail(name):
        raise NotADirectoryError(20, "Not a directory", "/dev/null/home")

    monkeypatch.setattr(device.importlib, "import_module", fail)
    with pytest.raises(fd.BackendUnavailable, match=r"cannot be imported: .*/dev/null/home.*CUPY_CACHE_DIR"):
        ask()


@pytest.mark.parametrize("ask", ASKING)
def test_without_a_gpu_the_error_says_why(monkeypatch, ask):
    module = emulated_cupy.make()

    def fail():
        raise RuntimeError("no CUDA-capable device is detected")

    module.cuda.runtime.getDeviceCount = fail
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(fd.BackendUnavailable, match=r"no CUDA-capable device is detected.*driver"):
        ask()


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="'tpu'"):
        nn.Linear(2, 3).to("tpu")
    with pytest.raises(ValueError, match="'tpu'"):
        ExperimentConfig(backend="tpu")


def test_arrays_of_two_gpus_are_refused(gpu):
    if not gpu.emulated:
        pytest.skip("needs two GPUs")
    x, other = gpu.put(values((4, 6), np.float32)), gpu.put(values((4, 6), np.float32))
    other.number = 1
    with pytest.raises(TypeError, match="x is on CUDA device 0, residual is on CUDA device 1"):
        fd.dropout_add(x, other)


def test_unfit_arrays(gpu):
    x = gpu.put(values((4, 6), np.float32))
    for call, error, words in (
        (lambda: fd.dropout(gpu.put(np.ones(3, np.int64))), TypeError, "int64.*astype"),
        (lambda: fd.dropout(gpu.put(np.ones(3, complex))), TypeError, r"complex128.*\.real"),
        (lambda: fd.dropout(x, 1.5), ValueError, "1.5"),
        (lambda: fd.dropout(x, out=x[:3]), ValueError, r"\(3, 6\).*\(4, 6\)"),
        (lambda: fd.dropout(x, out=gpu.put(np.ones((4, 6)))), ValueError, "float64.*float32"),
        (lambda: fd.dropout(x, shared_axes=2), ValueError, "axis|axes"),
        (lambda: fd.dropout_backward(x, fd.dropout(x[:2], rng=0)[1]), ValueError, r"\(2, 6\).*\(4, 6\)"),
        (lambda: fd.bias_activation_dropout(x, x[0, :5]), ValueError, r"\(4, 6\).*\(5,\)"),
    ):
        with pytest.raises(error, match=words):
            call()
