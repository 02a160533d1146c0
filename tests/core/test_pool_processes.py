"""The pool in threads, in forked processes, at an interpreter's end, and where memory is refused."""

import os
import sys
import threading

import numpy as np
import pytest
from pooltools import LARGE, MARKS, MB, NUMPYS, SMALLEST, block, get_handler_name, run

import fastdrop as fd

pytestmark = MARKS


# --- threads and processes


def test_threads_share_it():
    fd.set_pool_limit(150 * MB)
    wrong, start = [], threading.Barrier(4)

    def work(number):
        rng, held = np.random.default_rng(number), []
        start.wait()
        for _ in range(300):
            y = block(int(rng.integers(32, 60)))
            y[0], y[-1], y[y.size // 2] = number, number + 1, number + 2
            held.append(y)
            if len(held) > 3:
                old = held.pop(0)
                if (old[0], old[-1], old[old.size // 2]) != (number, number + 1, number + 2):
                    wrong.append(number)
            if fd.pool_free_bytes() > 150 * MB:
                wrong.append("bound")
            if number == 3 and rng.random() < 0.1:
                fd.empty_pool()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_result_may_die_in_another_thread():
    held = [block(32)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert fd.pool_free_bytes() == SMALLEST


FORK = """
import os, sys, threading
import numpy as np
import fastdrop as fd
fd.set_pool_limit(1 << 28)
fd.set_num_threads(1)
x = np.ones(1 << 23, np.float32)
wanted = fd.dropout(x, rng=1)[0]
mine = fd.dropout(x, rng=2)[0]
copied = mine.copy()
done = threading.Event()
def hammer():
    while not done.is_set():
        fd.dropout(x, rng=3)
threads = [threading.Thread(target=hammer) for _ in range(2)]
for thread in threads:
    thread.start()
failed = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        good = fd.pool_free_bytes() == 0 and np.array_equal(mine, copied)
        for _ in range(3):
            good = good and np.array_equal(fd.dropout(x, rng=1)[0], wanted)
        good = good and 0 < fd.pool_free_bytes() <= 1 << 28
        os._exit(0 if good else 1)
    failed.append(os.waitpid(child, 0)[1])
done.set()
for thread in threads:
    thread.join()
print(failed.count(0), np.array_equal(mine, copied), np.array_equal(fd.dropout(x, rng=1)[0], wanted))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_children_made_by_fork():
    result = run(FORK)
    assert result.stdout.split() == ["8", "True", "True"], result.stderr


END = """
import sys, threading
import numpy as np
import fastdrop as fd
local = threading.local()
x = np.ones(1 << 23, np.float32)
local.held = sys.held = fd.dropout(x)[0]
everywhere = [fd.dropout(x)[0] for _ in range(2)]
everywhere.append(everywhere)
class Late:
    def __del__(self):
        self.y = None
late = Late()
late.y = fd.dropout(x)[0]
sys.late = late
np.held = fd.dropout(x)[0]
fd.dropout(x)
print(fd.pool_free_bytes())
"""


def test_an_interpreter_ends_cleanly():
    result = run("import faulthandler; faulthandler.enable()\n" + END)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) in (0, SMALLEST)  # 0 where the machine has less than 512 MiB


# --- memory that is refused


def test_memory_that_cannot_be_had():
    fd.set_pool_limit(1 << 62)
    kept = block(32)
    del kept
    stream = fd.Stream(1)
    before = stream.state
    x = np.broadcast_to(np.float32(1), (1 << 50,))
    for function in (fd.dropout, fd.gaussian_dropout, fd.alpha_dropout, fd.drop_path, fd.softmax_dropout):
        with pytest.raises(MemoryError):
            function(x, rng=stream)
        assert stream.state == before
    assert get_handler_name() == NUMPYS  # restored after a failure as well
    assert fd.pool_free_bytes() == 0  # freed before the system was asked again
    assert fd.dropout(np.ones(LARGE, np.float32), rng=stream)[1] == fd.dropout(np.ones(LARGE, np.float32), rng=1)[1]


SHORT = """
import resource
import numpy as np
import fastdrop as fd
fd.set_num_threads(1)
fd.set_pool_limit(1 << 30)
x, larger = np.ones(1 << 25, np.float32), np.broadcast_to(np.float32(1), (3 << 24,))  # 128 and 192 MiB
fd.dropout(x)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20),) * 2)
kept = fd.pool_free_bytes()
y = fd.dropout(larger, p=0)[0]  # only where the kept block was
print(kept >> 20, fd.pool_free_bytes(), bool(y.min() == 1))
try:
    y.resize(1 << 28)
except MemoryError:
    print("refused", bool(y.min() == 1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_pool_is_emptied_before_memory_is_refused():
    result = run(SHORT)
    assert result.stdout.split() == ["128", "0", "True", "refused", "True"], result.stderr
