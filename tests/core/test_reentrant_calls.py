"""State that outlives a call: calls inside calls, many threads, and threads that are pinned to a core."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from calltools import values

import fastdrop as fd
from fastdrop.threads import kernels


def test_dropconnect_called_in_the_middle_of_dropconnect():
    """As in a signal handler: between the masking of the weights and their product."""
    x, weight = values((4, 64)), values((8, 64), seed=1)
    other = values((8, 64), seed=2)
    wanted = fd.dropconnect(x, weight, p=0.5, per_example=False, rng=1)[0]
    dy = np.ones((4, 8), np.float32)
    mask = fd.dropconnect(x, weight, p=0.5, per_example=False, rng=1)[1]
    gradients = fd.dropconnect_backward(dy, x, weight, mask)
    inner = []

    def interrupt(frame, event, argument):
        if event == "return" and frame.f_code.co_name == "masked_weight":
            sys.setprofile(None)
            inner.append(fd.dropconnect(x, other, p=0.3, per_example=False, rng=2)[0])
            sys.setprofile(interrupt)

    try:
        sys.setprofile(interrupt)
        y = fd.dropconnect(x, weight, p=0.5, per_example=False, rng=1)[0]
        found = fd.dropconnect_backward(dy, x, weight, mask)
    finally:
        sys.setprofile(None)
    np.testing.assert_array_equal(y, wanted)
    for one, two in zip(found, gradients, strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(inner) == 3
    for result in inner:
        np.testing.assert_array_equal(result, fd.dropconnect(x, other, p=0.3, per_example=False, rng=2)[0])


def test_dropconnect_in_many_threads():
    weights = [values((8, 64), seed=seed) for seed in range(4)]
    x = values((4, 64))
    wanted = [fd.dropconnect(x, weight, per_example=False, rng=1)[0] for weight in weights]
    wrong = []

    def work(number):
        for _ in range(200):
            if not np.array_equal(fd.dropconnect(x, weights[number], per_example=False, rng=1)[0], wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


PINNED = """
import os, sys
import numpy as np
import fastdrop as fd
fd.set_num_threads(2)
x = np.ones(2**21, np.float32)
if sys.argv[1] == "pinned":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # this thread alone
before = len(os.listdir("/proc/self/task"))
fd.dropout(x, rng=1)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to pin a thread here")
def test_a_pinned_thread_gets_no_worker_elsewhere(tmp_path):
    if len(os.sched_getaffinity(0)) < 2 or not kernels.has_openmp():
        pytest.skip("one core, or no OpenMP")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    for how, workers in (("pinned", "0"), ("free", "1")):
        command = [sys.executable, "-c", PINNED, how]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == workers
