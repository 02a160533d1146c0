"""The pool: memory of large results is used again, within its limit, and never while somebody else has it."""

import ctypes
import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import info, pool
from fastdrop._kernels import cpu

try:
    from numpy._core import _multiarray_umath as umath
    from numpy._core.multiarray import get_handler_name
except ModuleNotFoundError:  # NumPy 1.26
    from numpy.core import _multiarray_umath as umath
    from numpy.core.multiarray import get_handler_name

MB = 1 << 20
SMALLEST = 32 * MB
LARGE = SMALLEST // 4
"""The smallest array of the pool, in float32 elements."""
OURS, NUMPYS = "fastdrop_pool", "default_allocator"

pytestmark = pytest.mark.skipif(sys.maxsize < 2**32, reason="arrays of 32 MiB are many for 32 bits")


@pytest.fixture(autouse=True)
def fresh():
    """Each test finds the pool empty, with 1 GiB as its limit."""
    before = fd.get_pool_limit()
    gc.collect()  # what a failed test left
    fd.empty_pool()
    fd.set_pool_limit(1 << 30)
    yield
    fd.empty_pool()
    fd.set_pool_limit(before)


def block(megabytes):
    """An array of the pool that nobody has written to, so that it takes no memory."""
    return cpu.empty_like(np.broadcast_to(np.uint8(0), (megabytes * MB,)))


def address(array):
    return array.ctypes.data


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


# --- reuse


def test_memory_of_a_deleted_result_is_used_again():
    x = np.ones(LARGE, np.float32)
    y, _ = fd.dropout(x, rng=1)
    first = address(y)
    assert fd.pool_free_bytes() == 0
    del y
    assert fd.pool_free_bytes() == SMALLEST
    y, _ = fd.dropout(x, rng=1)
    assert address(y) == first
    assert fd.pool_free_bytes() == 0


def test_a_loop_uses_two_blocks_in_turns():
    x, seen, stream = np.ones(LARGE, np.float32), set(), fd.Stream(1)
    for _ in range(6):
        y, _ = fd.dropout(x, rng=stream)
        seen.add(address(y))
    assert len(seen) == 2


def test_nothing_of_the_old_values_shows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(LARGE + 5).astype(np.float32)
    fd.set_pool_limit(0)
    wanted = fd.dropout(x, 0.3, rng=7)[0]
    fd.set_pool_limit(1 << 30)
    for _ in range(3):
        y, _ = fd.dropout(x, 0.3, rng=7)
        assert np.array_equal(y, wanted)
        y.fill(np.nan)
        del y
    assert fd.pool_free_bytes() > 0


def results(large, maps, bias, v, w):
    """What the public functions return, and their backward functions where they compute by themselves."""
    dropout, mask = fd.dropout(large, rng=1)
    yield "dropout", dropout
    yield "dropout_backward", fd.dropout_backward(large, mask)
    yield "mask * dy", mask * large
    yield "slice", mask[: len(large)](large)
    yield "evaluation", fd.dropout(large, training=False)[0]
    yield "F order", fd.dropout(np.asfortranarray(large), rng=1)[0]
    yield "shared axes", fd.dropout(large, shared_axes=0, rng=1)[0]
    yield "drop_path", fd.drop_path(large, rng=1)[0]
    yield "embedding_dropout", fd.embedding_dropout(large, rng=1)[0]
    yield "locked_dropout", fd.locked_dropout(maps.reshape(16, -1, 64), rng=1)[0]
    yield "spatial_dropout", fd.spatial_dropout(maps, rng=1)[0]
    added, mask = fd.dropout_add(large, large, rng=1)
    yield "dropout_add", added
    yield "dropout_add's backward", fd.dropout_backward(large, mask)
    for activation in ("relu", "gelu"):
        y, mask = fd.bias_activation_dropout(large, bias, activation=activation, rng=1)
        yield activation, y
        backward = fd.bias_activation_dropout_backward(large, large, bias, mask, activation=activation)
        yield f"{activation} backward", backward[0]
    y, mask = fd.softmax_dropout(large, rng=1)
    yield "softmax_dropout", y
    yield "softmax_dropout_backward", fd.softmax_dropout_backward(large, large, mask)
    y, mask = fd.gaussian_dropout(large, rng=1)
    yield "gaussian_dropout", y
    yield "gaussian_dropout_backward", fd.dropout_backward(large, mask)
    yield "alpha_dropout", fd.alpha_dropout(large, rng=1)[0]
    yield "feature_alpha_dropout", fd.feature_alpha_dropout(maps, rng=1)[0]
    y, mask = fd.zoneout(large, large, rng=1)
    yield "zoneout", y
    for name, each in zip(("new", "previous"), fd.zoneout_backward(large, mask), strict=True):
        yield f"zoneout_backward, {name}", each
    yield "dropblock", fd.dropblock(maps, block_size=3, rng=1)[0]
    yield "cutout", fd.cutout(maps, 3, rng=1)[0]
    y, mask = fd.dropconnect(v, w, rng=1)
    yield "dropconnect", y


def test_every_function_takes_its_large_results_from_the_pool():
    rng = np.random.default_rng(0)
    large = rng.standard_normal((4096, 2048), dtype=np.float32)
    inputs = large, large.reshape(16, 8, 256, 256), large[0], np.ones((4096, 2), np.float32), large[:2].T.copy()
    with_pool = {}
    for name, y in results(*inputs):
        assert (name, get_handler_name(y)) == (name, OURS)
        assert y.base is None
        assert y.flags.owndata
        assert y.flags.writeable
        assert y.flags.aligned
        with_pool[name] = y.flags.c_contiguous, y.flags.f_contiguous, float(np.abs(y).sum(dtype=float)), y[0].copy()
        del y
    fd.set_pool_limit(0)
    for name, y in results(*inputs):
        assert (name, get_handler_name(y)) == (name, NUMPYS)
        *facts, row = with_pool[name]
        assert (name, *facts) == (name, y.flags.c_contiguous, y.flags.f_contiguous, float(np.abs(y).sum(dtype=float)))
        assert np.array_equal(y[0], row)


def test_dropconnects_gradients_are_of_the_pool():
    narrow = np.ones((8, 2))
    dx = fd.dropconnect_backward(np.ones((8, 1)), np.ones((8, LARGE // 16)), np.ones((1, LARGE // 16)), connect_mask(8))
    assert get_handler_name(dx[0] if dx[0].base is None else dx[0].base) == OURS
    assert get_handler_name(fd.dropconnect(narrow, np.ones((1, 2)), rng=1)[0]) == NUMPYS


def connect_mask(batch):
    return fd.dropconnect(np.ones((batch, LARGE // 16)), np.ones((1, LARGE // 16)), rng=1)[1]


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_every_dtype(dtype):
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    y, mask = fd.dropout(np.ones(SMALLEST // dtype.itemsize, dtype), rng=1)
    assert get_handler_name(y) == OURS
    assert y.dtype == dtype
    assert np.array_equal(y[:1000] != 0, np.asarray(mask[:1000]))


def test_only_large_results_use_it():
    kept = block(32)
    first = address(kept)
    del kept
    y, _ = fd.dropout(np.ones(LARGE - 1, np.float32), rng=1)
    assert get_handler_name(y) == NUMPYS
    del y
    assert fd.pool_free_bytes() == SMALLEST
    assert address(block(32)) == first


def test_numpys_own_arrays_never_use_it():
    y = block(32)
    assert get_handler_name(y) == OURS
    assert get_handler_name() == NUMPYS
    for other in (np.empty_like(y), y.copy(), np.zeros(SMALLEST, np.uint8)):
        assert get_handler_name(other) == NUMPYS


def test_views_keep_their_memory():
    y = block(32)
    y[-3:] = 1, 2, 3
    view = y[-3:]
    del y
    assert fd.pool_free_bytes() == 0
    other = block(32)
    other.fill(9)
    assert view.tolist() == [1, 2, 3]
    del view
    assert fd.pool_free_bytes() == SMALLEST


# --- which blocks are kept, and which are taken


def test_the_oldest_go_first():
    fd.set_pool_limit(100 * MB)
    first, second, third = block(32), block(34), block(36)
    addresses = address(second), address(third)
    del first, second
    assert fd.pool_free_bytes() == 66 * MB
    del third  # 102 MB would be too many
    assert fd.pool_free_bytes() == 70 * MB
    assert (address(block(34)), address(block(36))) == addresses


def test_a_block_may_drive_out_several():
    fd.set_pool_limit(130 * MB)
    small = [block(32) for _ in range(4)]
    large = block(96)
    del small
    assert fd.pool_free_bytes() == 128 * MB
    del large
    assert fd.pool_free_bytes() == 128 * MB  # one of 32 and the one of 96


def test_a_lower_limit_gives_back_at_once():
    blocks = [block(32) for _ in range(3)]
    last = address(blocks[-1])
    while blocks:
        del blocks[0]
    assert fd.pool_free_bytes() == 96 * MB
    fd.set_pool_limit(40 * MB)
    assert fd.pool_free_bytes() == 32 * MB
    assert address(block(32)) == last


def test_the_smallest_that_fits_is_taken_and_none_that_wastes():
    blocks = [block(size) for size in (64, 40, 36)]
    addresses = [address(each) for each in blocks]
    del blocks
    a = block(34)
    b = block(34)
    assert [address(a), address(b)] == [addresses[2], addresses[1]]
    c = block(34)  # of 64 MB it would leave nearly half unused
    assert address(c) not in addresses
    assert fd.pool_free_bytes() == 64 * MB
    assert address(block(60)) == addresses[0]


def test_the_bound_holds_whatever_comes():
    rng, held = np.random.default_rng(3), []
    fd.set_pool_limit(200 * MB)
    for _ in range(500):
        if held and rng.random() < 0.5:
            del held[rng.integers(len(held))]
        else:
            held.append(block(int(rng.integers(30, 120))))
        assert fd.pool_free_bytes() <= 200 * MB
        places = sorted((address(each), each.nbytes) for each in held)
        assert all(first + size <= second for (first, size), (second, _) in itertools.pairwise(places))
    del held
    assert 100 * MB < fd.pool_free_bytes() <= 200 * MB


def test_a_limit_of_0_turns_it_off():
    y, kept = block(32), block(32)
    del kept
    fd.set_pool_limit(0)
    assert fd.pool_free_bytes() == 0
    assert get_handler_name(block(32)) == NUMPYS
    y[-1] = 5
    assert y[-1] == 5
    del y
    assert fd.pool_free_bytes() == 0


def test_what_is_above_the_limit_is_numpys():
    fd.set_pool_limit(64 * MB)
    assert get_handler_name(block(65)) == NUMPYS
    y = block(64)
    assert get_handler_name(y) == OURS
    fd.set_pool_limit(32 * MB)
    del y
    assert fd.pool_free_bytes() == 0


def test_empty_pool_leaves_arrays_alone():
    y, kept = block(32), block(32)
    y[0] = 3
    del kept
    fd.empty_pool()
    assert fd.pool_free_bytes() == 0
    assert y[0] == 3
    fd.empty_pool()
    del y
    assert fd.pool_free_bytes() == SMALLEST


# --- what arrays can do


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [32, 33, 38, 41, 64, 100, 3, 0])
def test_resize(megabytes):
    y = block(40)
    y[:] = np.arange(y.size, dtype=np.uint32).view(np.uint8)[: y.size]
    before = y.copy()
    y.resize(megabytes * MB + 7, refcheck=False)
    shared = min(y.size, before.size)
    assert np.array_equal(y[:shared], before[:shared])
    assert not y[shared:].any()
    y.resize(50 * MB, refcheck=False)
    assert np.array_equal(y[:shared], before[:shared])
    y.resize(0, refcheck=False)
    del y
    assert fd.pool_free_bytes() <= 200 * MB
    assert get_handler_name(block(40)) == OURS


def test_resizing_takes_no_others_memory():
    blocks = [block(32) for _ in range(3)]
    for number, each in enumerate(blocks):
        each.fill(number)
    blocks[1].resize(50 * MB, refcheck=False)
    blocks[0].resize(1000, refcheck=False)
    blocks[1][32 * MB :] = 7
    assert (blocks[0] == 0).all()
    assert (blocks[1][: 32 * MB] == 1).all()
    assert (blocks[2] == 2).all()


def test_pickles_and_copies():
    y, _ = fd.dropout(np.ones(LARGE, np.float32), rng=1)
    for other in (pickle.loads(pickle.dumps(y)), pickle.loads(pickle.dumps(y, protocol=5)), y.copy()):
        assert np.array_equal(other, y)
        assert not np.may_share_memory(other, y)


def test_in_place_changes_of_shape_and_dtype():
    y = block(32)
    y.fill(1)
    other = y.view(np.uint32).reshape(2, -1)
    del y
    assert (other == 0x01010101).all()
    del other
    assert fd.pool_free_bytes() == SMALLEST


def test_tracemalloc_sees_it():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        y = block(32)
        assert tracemalloc.get_traced_memory()[0] - before >= SMALLEST
        del y
        assert tracemalloc.get_traced_memory()[0] - before < MB
        again = block(32)  # the same memory
        assert tracemalloc.get_traced_memory()[0] - before >= SMALLEST
        del again
    finally:
        tracemalloc.stop()


def test_arrays_in_a_cycle():
    y = block(32)
    cycle = [y]
    cycle.append(cycle)
    del y, cycle
    gc.collect()
    assert fd.pool_free_bytes() == SMALLEST


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
    assert get_handler_name() == NUMPYS  # put back after a failure too
    assert fd.pool_free_bytes() == 0  # given back, before the system was asked again
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


# --- a memory handler of the user's own

MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", MALLOC),
        ("calloc", CALLOC),
        ("realloc", REALLOC),
        ("free", FREE),
    ]


def libc_function(name, result, *arguments):
    function = getattr(ctypes.CDLL(None), name)
    function.restype, function.argtypes = result, arguments
    return function


@pytest.mark.skipif(sys.platform == "win32", reason="asks the C library by name")
def test_a_handler_that_the_user_set_goes_first():
    malloc = libc_function("malloc", ctypes.c_void_p, ctypes.c_size_t)
    free = libc_function("free", None, ctypes.c_void_p)
    sizes = []

    def allocate(_, size):
        sizes.append(size)
        return malloc(size)

    unused = CALLOC(lambda *_: None), REALLOC(lambda *_: None)
    handler = Handler(b"theirs", 1, None, MALLOC(allocate), *unused, FREE(lambda _, data, size: free(data)))
    new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    capsule = new_capsule(("PyCapsule_New", ctypes.pythonapi))(ctypes.addressof(handler), b"mem_handler", None)
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    table = pointer_of(("PyCapsule_GetPointer", ctypes.pythonapi))(umath._ARRAY_API, None)
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(
        ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[304]
    )
    x = np.ones(LARGE, np.float32)
    before = set_handler(capsule)
    try:
        y, _ = fd.dropout(x, rng=1)
        assert get_handler_name() == "theirs"
    finally:
        set_handler(before)
    assert get_handler_name(y) == "theirs"
    assert SMALLEST in sizes
    wanted = fd.dropout(x, rng=1)[0]
    assert get_handler_name(wanted) == OURS
    assert np.array_equal(y, wanted)
    del y
    assert fd.pool_free_bytes() == 0


# --- the public functions


@pytest.mark.parametrize("limit", [-1, -(2**70), 2**63, 2**70])
def test_limits_out_of_range(limit):
    before = fd.get_pool_limit()
    with pytest.raises(ValueError, match=str(limit)):
        fd.set_pool_limit(limit)
    assert fd.get_pool_limit() == before


@pytest.mark.parametrize("limit", [1.5, "1 GiB", None, True, np.float64(3), [1], np.arange(2)])
def test_limits_of_no_number(limit):
    before = fd.get_pool_limit()
    with pytest.raises(TypeError, match="bytes is an int"):
        fd.set_pool_limit(limit)
    assert fd.get_pool_limit() == before


@pytest.mark.parametrize("limit", [0, 1, np.int64(2**40), 2**63 - 1])
def test_limits_that_fit(limit):
    fd.set_pool_limit(limit)
    assert fd.get_pool_limit() == limit
    assert type(fd.get_pool_limit()) is int


def test_the_default_is_bounded(monkeypatch):
    assert 0 < pool.default_limit() <= 1 << 30
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 20}[name])
    assert pool.default_limit() == 1 << 28
    monkeypatch.setattr(os, "sysconf", lambda name: -1)
    assert pool.default_limit() == pool.USUAL_MEMORY // 16
    monkeypatch.delattr(os, "sysconf")
    assert pool.default_limit() == pool.USUAL_MEMORY // 16


def test_the_configuration_shows_it(capsys):
    y = block(32)
    del y
    fd.show_config()
    assert f"pool free bytes  {SMALLEST}\n" in capsys.readouterr().out
    assert info.configuration()["pool limit"] == 1 << 30
