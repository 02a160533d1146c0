# cython: boundscheck=False, wraparound=False, cdivision=True
"""NumPy arrays in, C kernels over their layout and threads, GIL released.

The callers in fastdrop.backends.cpu have checked dtypes, shapes and aliasing; here only memory layout counts.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t, uint64_t

cnp.import_array()

cdef extern from "kernels.h" nogil:
    const int FD_MAX_DIMS
    const int FD_TILE_WORDS

    ctypedef enum fd_dtype:
        FD_FLOAT32
        FD_FLOAT64

    ctypedef struct fd_block:
        uint32_t w[4]

    ctypedef struct fd_recipe:
        uint64_t key
        uint64_t call
        uint64_t threshold

    ctypedef struct fd_geometry:
        int ndim
        int64_t shape[64]
        int64_t x_stride[64]
        int64_t y_stride[64]
        int64_t decision_stride[64]

    ctypedef struct fd_dropconnect_size:
        int64_t batch
        int64_t outputs
        int64_t inputs

    ctypedef struct fd_kernels:
        const char *name

    fd_block fd_philox4x32_10(fd_block counter, uint32_t key0, uint32_t key1)
    const fd_kernels **fd_available()
    int fd_max_threads()
    int fd_has_openmp()
    void fd_bits(const fd_kernels *, int threads, fd_recipe, uint64_t first_tile, uint32_t *words, int64_t count)
    void fd_apply(const fd_kernels *, int threads, fd_dtype, const fd_geometry *, fd_recipe, double scale,
                  const char *x, char *y)
    void fd_connect_forward(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                            const void *x, const void *weight, const void *bias, void *y)
    void fd_connect_dx(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                       const void *dy, const void *weight, void *dx)
    void fd_connect_dweight(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                            const void *dy, const void *x, void *dweight)

cdef const fd_kernels *_kernels = fd_available()[0]


def available_isas():
    """Names of the instruction sets that this build has and this processor runs, best first."""
    cdef const fd_kernels **table = fd_available()
    cdef int i = 0
    names = []
    while table[i] != NULL:
        names.append(table[i].name.decode())
        i += 1
    return names


def use_isa(str name not None):
    """Run every later call with this instruction set."""
    global _kernels
    cdef const fd_kernels **table = fd_available()
    cdef int i = 0
    while table[i] != NULL:
        if table[i].name.decode() == name:
            _kernels = table[i]
            return
        i += 1
    raise ValueError(f"instruction set {name!r} is not available here; available: {', '.join(available_isas())}")


def current_isa():
    return _kernels.name.decode()


def max_threads():
    return fd_max_threads()


def has_openmp():
    return bool(fd_has_openmp())


def philox(counter, key):
    """The four words of one Philox4x32-10 block, for the known-answer test and for keys of spawned streams."""
    cdef fd_block block
    for i in range(4):
        block.w[i] = counter[i]
    block = fd_philox4x32_10(block, key[0], key[1])
    return tuple(block.w[i] for i in range(4))


cdef inline fd_dtype dtype_of(cnp.ndarray array):
    return FD_FLOAT32 if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32 else FD_FLOAT64


cdef inline fd_recipe recipe_of(uint64_t key, uint64_t call, uint64_t threshold) noexcept:
    cdef fd_recipe recipe
    recipe.key = key
    recipe.call = call
    recipe.threshold = threshold
    return recipe


cdef bint describe(cnp.ndarray x, cnp.ndarray y, tuple shared_axes, fd_geometry *g):
    """Fill in the geometry; neighbouring axes that one stride can walk become one. False: no elements."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef int axis, out
    cdef int64_t decision = 1
    cdef int64_t size, x_stride, y_stride, decision_stride
    cdef bint shared[64]
    for axis in range(ndim):
        shared[axis] = False
    for axis in shared_axes:
        shared[axis] = True
    # From the last axis to the first, into slots counted from the end.
    out = FD_MAX_DIMS
    for axis in range(ndim - 1, -1, -1):
        size = cnp.PyArray_DIM(x, axis)
        if size == 0:
            return False
        x_stride = cnp.PyArray_STRIDE(x, axis)
        y_stride = cnp.PyArray_STRIDE(y, axis)
        decision_stride = 0 if shared[axis] else decision
        if not shared[axis]:
            decision *= size
        if size == 1:
            continue
        if (out < FD_MAX_DIMS and x_stride == g.x_stride[out] * g.shape[out]
                and y_stride == g.y_stride[out] * g.shape[out]
                and decision_stride == g.decision_stride[out] * g.shape[out]):
            g.shape[out] *= size
            continue
        out -= 1
        g.shape[out] = size
        g.x_stride[out] = x_stride
        g.y_stride[out] = y_stride
        g.decision_stride[out] = decision_stride
    if out == FD_MAX_DIMS:  # a single element
        out -= 1
        g.shape[out] = 1
        g.x_stride[out] = g.y_stride[out] = cnp.PyArray_ITEMSIZE(x)
        g.decision_stride[out] = 0
    g.ndim = FD_MAX_DIMS - out
    for axis in range(g.ndim):
        g.shape[axis] = g.shape[out + axis]
        g.x_stride[axis] = g.x_stride[out + axis]
        g.y_stride[axis] = g.y_stride[out + axis]
        g.decision_stride[axis] = g.decision_stride[out + axis]
    return True


def apply(cnp.ndarray x not None, cnp.ndarray y not None, tuple shared_axes not None, uint64_t key, uint64_t call,
          uint64_t threshold, double scale, int threads):
    """y = keep ? x * scale : 0. Same shape and dtype, aligned, native; y is x or does not overlap it."""
    cdef fd_geometry geometry
    if not describe(x, y, shared_axes, &geometry):
        return
    cdef fd_recipe recipe = recipe_of(key, call, threshold)
    cdef fd_dtype dtype = dtype_of(x)
    cdef const char *source = cnp.PyArray_BYTES(x)
    cdef char *target = cnp.PyArray_BYTES(y)
    with nogil:
        fd_apply(_kernels, threads, dtype, &geometry, recipe, scale, source, target)


def bits(cnp.ndarray words not None, uint64_t key, uint64_t call, uint64_t threshold, int threads,
         uint64_t first_tile=0):
    """Keep bits of 32 * len(words) elements, from the first tile on, into a contiguous uint32 array."""
    cdef fd_recipe recipe = recipe_of(key, call, threshold)
    cdef uint32_t *target = <uint32_t *> cnp.PyArray_DATA(words)
    cdef int64_t count = cnp.PyArray_SIZE(words)
    with nogil:
        fd_bits(_kernels, threads, recipe, first_tile, target, count)


cdef inline fd_dropconnect_size size_of(cnp.ndarray x, cnp.ndarray weight):
    cdef fd_dropconnect_size size
    size.batch = cnp.PyArray_DIM(x, 0)
    size.outputs = cnp.PyArray_DIM(weight, 0)
    size.inputs = cnp.PyArray_DIM(weight, 1)
    return size


def connect_forward(cnp.ndarray x not None, cnp.ndarray weight not None, cnp.ndarray bias, cnp.ndarray y not None,
                    uint64_t key, uint64_t call, uint64_t threshold, double scale, int threads):
    """y = (keep * weight * scale) x + bias, one mask per example. All C-contiguous and of one dtype."""
    cdef fd_recipe recipe = recipe_of(key, call, threshold)
    cdef fd_dropconnect_size size = size_of(x, weight)
    cdef fd_dtype dtype = dtype_of(x)
    cdef const void *bias_data = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef const void *x_data = cnp.PyArray_DATA(x)
    cdef const void *weight_data = cnp.PyArray_DATA(weight)
    cdef void *y_data = cnp.PyArray_DATA(y)
    with nogil:
        fd_connect_forward(_kernels, threads, dtype, size, recipe, scale, x_data, weight_data, bias_data, y_data)


def connect_dx(cnp.ndarray dy not None, cnp.ndarray weight not None, cnp.ndarray dx not None, uint64_t key,
               uint64_t call, uint64_t threshold, double scale, int threads):
    cdef fd_recipe recipe = recipe_of(key, call, threshold)
    cdef fd_dropconnect_size size = size_of(dy, weight)
    cdef fd_dtype dtype = dtype_of(dy)
    cdef const void *dy_data = cnp.PyArray_DATA(dy)
    cdef const void *weight_data = cnp.PyArray_DATA(weight)
    cdef void *dx_data = cnp.PyArray_DATA(dx)
    with nogil:
        fd_connect_dx(_kernels, threads, dtype, size, recipe, scale, dy_data, weight_data, dx_data)


def connect_dweight(cnp.ndarray dy not None, cnp.ndarray x not None, cnp.ndarray dweight not None, uint64_t key,
                    uint64_t call, uint64_t threshold, double scale, int threads):
    cdef fd_recipe recipe = recipe_of(key, call, threshold)
    cdef fd_dropconnect_size size = size_of(x, dweight)
    cdef fd_dtype dtype = dtype_of(x)
    cdef const void *dy_data = cnp.PyArray_DATA(dy)
    cdef const void *x_data = cnp.PyArray_DATA(x)
    cdef void *dweight_data = cnp.PyArray_DATA(dweight)
    with nogil:
        fd_connect_dweight(_kernels, threads, dtype, size, recipe, scale, dy_data, x_data, dweight_data)
