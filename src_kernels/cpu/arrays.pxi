# What kernels ask of arrays, and where results lie.

cdef extern from "Python.h":
    int PyCapsule_IsValid(object capsule, const char *name)
    void *PyCapsule_GetPointer(object capsule, const char *name) except NULL

cdef struct dl_tensor:  # DLPack's DLTensor
    void *data
    int32_t device_type
    int32_t device_id
    int32_t ndim
    uint8_t code
    uint8_t bits
    uint16_t lanes
    int64_t *shape
    int64_t *strides
    uint64_t byte_offset

cdef struct dl_versioned:  # DLManagedTensorVersioned
    uint32_t major
    uint32_t minor
    void *context
    void *deleter
    uint64_t flags
    dl_tensor tensor

cdef enum:
    DL_UINT = 1
    DL_BFLOAT = 4


def dlpack_bfloat16_as_uint16(capsule):
    """Whether an exported array, not taken yet, is of bfloat16; if so, it is of uint16 afterwards."""
    cdef dl_tensor *tensor
    if PyCapsule_IsValid(capsule, "dltensor_versioned"):
        tensor = &(<dl_versioned *> PyCapsule_GetPointer(capsule, "dltensor_versioned")).tensor
    elif PyCapsule_IsValid(capsule, "dltensor"):
        tensor = <dl_tensor *> PyCapsule_GetPointer(capsule, "dltensor")
    else:
        return False
    if tensor.code != DL_BFLOAT or tensor.bits != 16 or tensor.lanes != 1:
        return False
    tensor.code = DL_UINT
    return True


cdef int _bfloat16 = -1


def register_bfloat16(int number):
    """The number that NumPy gave to the dtype bfloat16, which comes from another package."""
    global _bfloat16
    _bfloat16 = number


def is_kernel_ready(array):
    """Whether it is an array that kernels can read as it is: its dtype, alignment and byte order."""
    if not isinstance(array, cnp.ndarray):
        return False
    cdef int number = cnp.PyArray_TYPE(<cnp.ndarray> array)
    if not (number == cnp.NPY_FLOAT32 or number == cnp.NPY_FLOAT64 or number == cnp.NPY_FLOAT16
            or number == _bfloat16):
        return False
    return bool(FD_FAULT(alignment_unchecked, cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray> array), 1))


cdef void extent(cnp.ndarray array, char **low, char **high) noexcept:
    """The bytes that its elements lie in."""
    cdef int axis
    cdef int64_t reach
    low[0] = cnp.PyArray_BYTES(array)
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(array)
    for axis in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, axis) == 0:
            high[0] = low[0]
            return
        reach = (cnp.PyArray_DIM(array, axis) - 1) * cnp.PyArray_STRIDE(array, axis)
        if reach < 0:
            low[0] += reach
        else:
            high[0] += reach


cdef bint share_memory(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Whether the bytes that they lie in overlap."""
    cdef char *x_low
    cdef char *x_high
    cdef char *y_low
    cdef char *y_high
    extent(x, &x_low, &x_high)
    extent(y, &y_low, &y_high)
    return FD_FAULT(overlap_unseen, x_low < y_high and y_low < x_high, x_low == y_low)


def is_apart(cnp.ndarray x not None, cnp.ndarray y not None):
    """Whether no element of one lies where another element of the other does: the same place for all, or no overlap.

    The arrays have one shape and dtype. False may also mean that their elements interleave.
    """
    cdef int axis
    cdef bint same = cnp.PyArray_BYTES(x) == cnp.PyArray_BYTES(y)
    for axis in range(cnp.PyArray_NDIM(x)):
        same = same and cnp.PyArray_STRIDE(x, axis) == cnp.PyArray_STRIDE(y, axis)
    return same or not share_memory(x, y)


def overlaps_itself(cnp.ndarray array not None):
    """Whether elements may share memory with each other: whether an axis steps by less than the others inside it reach.

    True also for the rare strides whose elements interleave without meeting.
    """
    cdef int ndim = cnp.PyArray_NDIM(array), axis, other, count = 0
    cdef int64_t step, size, reach = cnp.PyArray_ITEMSIZE(array)
    cdef int64_t steps[64]
    cdef int64_t sizes[64]
    if cnp.PyArray_IS_C_CONTIGUOUS(array):
        return False
    for axis in range(ndim):
        size, step = cnp.PyArray_DIM(array, axis), cnp.PyArray_STRIDE(array, axis)
        if size == 0:
            return False
        if size == 1:
            continue
        step = step if step >= 0 else -step
        other = count
        while other > 0 and steps[other - 1] > step:  # from the innermost axis on
            steps[other], sizes[other] = steps[other - 1], sizes[other - 1]
            other -= 1
        steps[other], sizes[other] = step, size
        count += 1
    for axis in range(count):
        if FD_FAULT(interleaving_unseen, steps[axis] < reach, steps[axis] == 0):
            return True
        reach += (sizes[axis] - 1) * steps[axis]
    return False


cdef bint are_alike(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Whether they have one shape and dtype."""
    cdef int axis
    if cnp.PyArray_NDIM(x) != cnp.PyArray_NDIM(y) or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(y):
        return False
    for axis in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_DIM(x, axis) != cnp.PyArray_DIM(y, axis):
            return False
    return True


def is_writable_target(cnp.ndarray x not None, out):
    """Whether out is an array that kernels can write x's results to as it is; where not, the caller finds out why."""
    cdef cnp.ndarray y
    if not isinstance(out, cnp.ndarray):
        return False
    y = <cnp.ndarray> out
    if not are_alike(x, y):
        return False
    return cnp.PyArray_ISBEHAVED(y) and not overlaps_itself(y) and is_apart(x, y)


cdef extern from *:
    """
    #include "cpu/pool.h"
    static PyDataMem_Handler fd_pool_handler = {
        "fastdrop_pool", 1, {NULL, fd_pool_malloc, fd_pool_calloc, fd_pool_realloc, fd_pool_free}};
    """
    cnp.PyDataMem_Handler fd_pool_handler
    const size_t FD_POOL_SMALLEST
    int fd_pool_start() except -1
    bint fd_pool_keeps(size_t size) nogil
    void fd_pool_set_limit(size_t size) nogil
    size_t fd_pool_limit() nogil
    size_t fd_pool_free_bytes() nogil
    void fd_pool_empty() nogil
    PyObject *PyDataMem_DefaultHandler

fd_pool_start()
cdef object _pool = PyCapsule_New(&fd_pool_handler, "mem_handler", NULL)


cdef object new_array(cnp.ndarray like, int ndim, cnp.npy_intp *shape):
    if shape == NULL:
        return PyArray_NewLikeArray(like, cnp.NPY_KEEPORDER, NULL, 0)
    return cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(like), 0)


cdef object new_result(cnp.ndarray like, int ndim, cnp.npy_intp *shape):
    """An array for results: of this shape in C order, or where it is NULL of the array's shape and order.

    A large one is taken from the pool, by a memory handler that is set for this allocation only. NumPy notes with each
    array which handler is to free it. A handler that the user has set goes first.
    """
    cdef size_t size = cnp.PyArray_ITEMSIZE(like)
    cdef int axis
    if shape == NULL:
        size = cnp.PyArray_NBYTES(like)
    else:
        for axis in range(ndim):
            size *= shape[axis]
    if size < FD_POOL_SMALLEST or not fd_pool_keeps(size):
        return new_array(like, ndim, shape)
    before = cnp.PyDataMem_GetHandler()
    if <PyObject *> before != PyDataMem_DefaultHandler:
        return new_array(like, ndim, shape)
    cnp.PyDataMem_SetHandler(_pool)
    try:
        return new_array(like, ndim, shape)
    finally:
        cnp.PyDataMem_SetHandler(before)


def empty_like(cnp.ndarray array not None, tuple shape=None):
    """As `numpy.empty_like` of an array of NumPy's own class, its memory from the pool where it is large."""
    cdef cnp.npy_intp sizes[64]
    cdef int axis
    if shape is None:
        return new_result(array, 0, NULL)
    if len(shape) > 64:
        raise ValueError(f"an array has at most 64 axes; got {len(shape)}")
    for axis in range(<int> len(shape)):
        sizes[axis] = shape[axis]
    return new_result(array, <int> len(shape), sizes)


def set_pool_limit(size_t size):
    with nogil:
        fd_pool_set_limit(size)


def pool_limit():
    return fd_pool_limit()


def pool_free_bytes():
    return fd_pool_free_bytes()


def empty_pool():
    with nogil:
        fd_pool_empty()


def target(x, out):
    """Where to write x's results, if x and out (or None) are arrays that kernels take as they are; otherwise None."""
    if not cnp.PyArray_CheckExact(x) or not is_kernel_ready(x):
        return None
    if out is None:
        return new_result(<cnp.ndarray> x, 0, NULL)
    return out if cnp.PyArray_CheckExact(out) and is_writable_target(<cnp.ndarray> x, out) else None
