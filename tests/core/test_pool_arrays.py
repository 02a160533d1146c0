"""Arrays of the pool can be resized, pickled and traced, and respect a memory handler of the user."""

import ctypes
import gc
import pickle
import sys
import tracemalloc

import numpy as np
import pytest
from pooltools import LARGE, MARKS, MB, OURS, SMALLEST, block, get_handler_name, umath

import fastdrop as fd

pytestmark = MARKS


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


def test_resizing_leaves_other_arrays_alone():
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


# --- a memory handler of the user


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
