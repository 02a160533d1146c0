# cython: boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""NumPy arrays in, C kernels over their layout and threads, GIL released.

The callers in fastdrop.backends.cpu have checked dtypes, shapes and aliasing; here only memory layout counts.

    kernels.pxi      the C interface, kernels.h, declared for Cython
    draws.pxi        streams, and the draws that they hand out
    arrays.pxi       what the kernels ask of arrays
    processor.pxi    which kernels run, and how
    elementwise.pxi  elementwise operations
    cpu.pyx          the other kernels
    fast_calls.pxi   the usual calls of the public functions
"""
cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_SET_ITEM

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewLikeArray(cnp.ndarray prototype, cnp.NPY_ORDER order, void *dtype, int subclass)

include "kernels.pxi"
include "draws.pxi"
include "arrays.pxi"
include "processor.pxi"
include "elementwise.pxi"


def softmax(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray dy, MaskFields mask, int threads):
    """Softmax along the last axis and dropout, or its backward pass where dy is given. All C-contiguous."""
    cdef fd_softmax softmax
    softmax.columns = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    if softmax.columns == 0:
        return
    softmax.rows = cnp.PyArray_SIZE(x) // softmax.columns
    softmax.mask = bits_of(mask)
    softmax.scale = scale_of(mask)
    softmax.dy = NULL if dy is None else cnp.PyArray_BYTES(dy)
    softmax.x = cnp.PyArray_BYTES(x)
    softmax.y = cnp.PyArray_BYTES(y)
    cdef fd_dtype dtype = dtype_of(x)
    with nogil:
        fd_run_softmax(_kernels, threads, dtype, &softmax)


def gaussian(cnp.ndarray y not None, cnp.ndarray x not None, Draw draw not None, double sigma, int threads,
             uint64_t first_group=0):
    """y = x * (1 + sigma * z), z the normal numbers of this draw, from a group of 64 elements on.

    Both C-contiguous, of one size and dtype; y is x or does not overlap it.
    """
    cdef fd_gaussian gaussian
    gaussian.draw = draw.numbers
    gaussian.sigma = sigma
    gaussian.first_group = first_group
    gaussian.count = cnp.PyArray_SIZE(x)
    gaussian.x = cnp.PyArray_BYTES(x)
    gaussian.y = cnp.PyArray_BYTES(y)
    cdef fd_dtype dtype = dtype_of(x)
    with nogil:
        fd_run_gaussian(_kernels, threads, dtype, &gaussian)


def keep_bits(cnp.ndarray words not None, Draw draw not None, uint64_t threshold, int threads, uint64_t first_tile=0):
    """Keep bits of 32 * len(words) elements, from the first tile on, into a contiguous uint32 array."""
    cdef fd_dropout_mask mask
    mask.draw = draw.numbers
    mask.threshold = threshold
    cdef uint32_t *to = <uint32_t *> cnp.PyArray_DATA(words)
    cdef int64_t count = cnp.PyArray_SIZE(words)
    with nogil:
        fd_run_keep_bits(_kernels, threads, mask, first_tile, to, count)


cdef fd_dropconnect dropconnect_call(MaskFields mask, int64_t batch, cnp.ndarray weight, cnp.ndarray to) except *:
    """weight: an array of its shape, which may be the gradient itself. The rest of the arrays is not set."""
    cdef fd_dropconnect call
    call.mask = bits_of(mask)
    call.scale = mask.scale
    call.batch = batch
    call.outputs = cnp.PyArray_DIM(weight, 0)
    call.inputs = cnp.PyArray_DIM(weight, 1)
    call.x = call.weight = call.bias = call.dy = NULL
    call.to = cnp.PyArray_DATA(to)
    return call


def dropconnect_forward(cnp.ndarray x not None, cnp.ndarray weight not None, cnp.ndarray bias, cnp.ndarray y not None,
                        MaskFields mask not None, int threads):
    """y = (keep * weight * scale) x + bias, one mask per example. All C-contiguous and of one dtype."""
    cdef fd_dropconnect call = dropconnect_call(mask, cnp.PyArray_DIM(x, 0), weight, y)
    call.x = cnp.PyArray_DATA(x)
    call.weight = cnp.PyArray_DATA(weight)
    call.bias = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef fd_dtype dtype = dtype_of(x)
    with nogil:
        fd_run_dropconnect_forward(_kernels, threads, dtype, &call)


def dropconnect_dx(cnp.ndarray dy not None, cnp.ndarray weight not None, cnp.ndarray dx not None,
                   MaskFields mask not None, int threads):
    cdef fd_dropconnect call = dropconnect_call(mask, cnp.PyArray_DIM(dy, 0), weight, dx)
    call.dy = cnp.PyArray_DATA(dy)
    call.weight = cnp.PyArray_DATA(weight)
    cdef fd_dtype dtype = dtype_of(dy)
    with nogil:
        fd_run_dropconnect_dx(_kernels, threads, dtype, &call)


def dropconnect_dweight(cnp.ndarray dy not None, cnp.ndarray x not None, cnp.ndarray dweight not None,
                        MaskFields mask not None, int threads):
    cdef fd_dropconnect call = dropconnect_call(mask, cnp.PyArray_DIM(x, 0), dweight, dweight)
    call.dy = cnp.PyArray_DATA(dy)
    call.x = cnp.PyArray_DATA(x)
    cdef fd_dtype dtype = dtype_of(x)
    with nogil:
        fd_run_dropconnect_dweight(_kernels, threads, dtype, &call)


cdef dict COPIES = {"vectors": FD_COPY_VECTORS, "non-temporal": FD_COPY_NONTEMPORAL, "memcpy": FD_COPY_MEMCPY}


def copy(cnp.ndarray x not None, cnp.ndarray y not None, str kind not None, int threads):
    """y = x for contiguous arrays of one size and dtype: what the benchmark compares with."""
    cdef int64_t count = cnp.PyArray_SIZE(x)
    cdef int64_t size = cnp.PyArray_ITEMSIZE(x)
    cdef const char *source = cnp.PyArray_BYTES(x)
    cdef char *to = cnp.PyArray_BYTES(y)
    cdef fd_copy_kind number = COPIES[kind]
    with nogil:
        fd_run_copy(_kernels, threads, source, to, number, count, size)


include "fast_calls.pxi"
