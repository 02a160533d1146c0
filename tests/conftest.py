"""Fixtures shared by all tests."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest

import fastdrop as fd
from fastdrop import threads
from fastdrop._kernels import cpu

collect_ignore = ["native", "emulation"]  # what test_native.py and test_cuda.py run


@pytest.fixture(params=cpu.available_isas())
def isa(request):
    """Run the test once with every instruction set that this processor has."""
    before = cpu.current_isa()
    cpu.use_isa(request.param)
    yield request.param
    cpu.use_isa(before)


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def thread_count(request, monkeypatch):
    """Run the test with one thread and with two, also where a call is too small to get two by itself."""
    monkeypatch.setattr(threads, "SMALLEST_SHARE", 1)
    before = fd.get_num_threads()
    fd.set_num_threads(request.param)
    yield request.param
    fd.set_num_threads(before)
