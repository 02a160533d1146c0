"""Fixtures shared by all tests."""

import contextlib
import gc
import os
import signal
import subprocess
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # inherited by what a shell runs in the background: tests that press Ctrl-C would wait in vain
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from devices import gpu  # noqa: F401

import fastdrop as fd
from fastdrop import threads
from fastdrop._kernels import cpu

HERE = Path(__file__).parent
collect_ignore = [  # what tests import, and what commands run
    str(path)
    for folder in ("app", "emulation", "faults", "fuzz", "helpers", "native", "ptx", "gpu", "randomness")
    for path in (HERE / folder).rglob("*.py")
    if not path.name.startswith("test_")
]


def pytest_collection_finish():
    """What was imported stays: the collector of garbage need not look at it again, which took a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def qapp(qapp):
    """As the app has it: widgets of earlier tests are not destroyed in another thread, which may never end."""
    from fastdrop_gui.views.widgets.garbage import collect_in_this_thread

    collect_in_this_thread(qapp)
    return qapp


@pytest.fixture(autouse=True)
def garbage():
    """Where the collector does not run by itself, what a test leaves behind is collected when it ends."""
    yield
    if not gc.isenabled():
        gc.collect(2 if gc.get_count()[2] > 100 else 1)


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


@pytest.fixture
def start_group():
    """Like subprocess.Popen, in a process group of its own, which is killed when the test ends, however it ends."""
    started = []

    def start(command, **options):
        started.append(subprocess.Popen(command, start_new_session=True, text=True, **options))
        return started[-1]

    yield start
    for process in started:
        with process, contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def replayed(tmp_path_factory):
    """A function that builds a flavour of the kernels' C and replays the cases on it."""
    from native.flavours import Replays

    return Replays(tmp_path_factory)


def rewind(layer):
    """So that the next forward draws the same masks again."""
    for module in layer.modules():
        if hasattr(module, "stream"):
            module.stream.state = {**module.stream.state, "calls": 0}


@pytest.fixture
def check_gradients():
    """A function that compares a layer's backward with numerical gradients, at x and at parameters near its own."""
    rng = np.random.default_rng(0)

    def check(layer, x, of_x=True):
        for _, parameter in layer.parameters():
            parameter.value += 0.1 * rng.standard_normal(parameter.value.shape)
        rewind(layer)
        weights = rng.standard_normal(layer(x).shape)

        def loss():
            rewind(layer)
            return float((layer(x) * weights).sum())

        loss()
        dx = layer.backward(weights)
        assert dx.shape == x.shape
        gradients = {"x": dx} | {name: parameter.grad.copy() for name, parameter in layer.parameters()}
        arrays = {"x": x} if of_x else {}
        for key, array in (arrays | {name: parameter.value for name, parameter in layer.parameters()}).items():
            numerical = np.empty_like(array)
            for index in np.ndindex(array.shape):
                before = array[index]
                array[index] = before + 1e-6
                above = loss()
                array[index] = before - 1e-6
                numerical[index] = (above - loss()) / 2e-6
                array[index] = before
            np.testing.assert_allclose(gradients[key], numerical, atol=1e-7, err_msg=key)

    return check
