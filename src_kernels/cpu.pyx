# cython: boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""NumPy arrays in, C kernels over their layout and threads, GIL released.

The callers in fastdrop.backends.cpu have checked dtypes, shapes and aliasing; here only memory layout counts.
"""
cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewLikeArray(cnp.ndarray prototype, cnp.NPY_ORDER order, void *dtype, int subclass)

# FD_FAULT(name, right, wrong) is `right`; the names are those of planted faults.
cdef extern from "faults.h" nogil:
    int64_t FD_FAULT(int name, int64_t right, int64_t wrong)
    const int call_stays, children_repeat, given_back_late, seed_lost, scaling_mixed_up, overlap_unseen
    const int interleaving_unseen, alignment_unchecked, axes_merged, axis_not_shared
    const int never_past_caches, past_caches_in_place, one_thread_always

cdef extern from "kernels.h" nogil:
    const int FD_MAX_DIMS
    const int FD_MAX_OPERANDS

    ctypedef enum fd_dtype:
        FD_FLOAT32
        FD_FLOAT64
        FD_FLOAT16
        FD_BFLOAT16

    ctypedef enum fd_operation:
        FD_DROPOUT
        FD_DROPOUT_ADD
        FD_BIAS_RELU
        FD_BIAS_GELU
        FD_CHOOSE
        FD_ALPHA
        FD_BIAS_RELU_BACKWARD
        FD_BIAS_GELU_BACKWARD

    ctypedef enum fd_hint:
        FD_NO_PREFETCH

    ctypedef struct fd_prefetch:
        fd_hint hint
        int64_t ahead

    ctypedef struct fd_processor:
        char vendor[13]
        int family
        int model

    ctypedef struct fd_block:
        uint32_t w[4]

    ctypedef struct fd_recipe:
        uint64_t key
        uint64_t call
        uint64_t threshold

    ctypedef struct fd_elementwise:
        fd_recipe recipe
        double scale
        double shift
        int stream
        fd_prefetch prefetch
        int operands
        char *data[5]
        int ndim
        int64_t shape[64]
        uint64_t first
        int64_t decision_stride[64]
        int64_t stride[5][64]

    ctypedef struct fd_softmax:
        fd_recipe recipe
        double scale
        int64_t rows
        int64_t columns
        const char *dy
        const char *x
        char *y

    ctypedef struct fd_gaussian:
        fd_recipe recipe
        double sigma
        uint64_t first_group
        int64_t count
        const char *x
        char *y

    ctypedef struct fd_dropconnect_size:
        int64_t batch
        int64_t outputs
        int64_t inputs

    ctypedef enum fd_copy_kind:
        FD_PLAIN
        FD_STREAM
        FD_MEMCPY

    ctypedef struct fd_kernels:
        const char *name

    fd_block fd_philox4x32_10(fd_block counter, uint32_t key0, uint32_t key1)
    const fd_kernels *const *fd_available()
    fd_processor fd_processor_here()
    int fd_max_threads()
    int fd_calls_at_once()
    int fd_team_size(int threads, int calls, int cores)
    int fd_has_openmp()
    int64_t fd_sum_rows(int64_t columns)
    bint fd_adds_bias(fd_operation operation)
    void fd_bits(const fd_kernels *, int threads, fd_recipe, uint64_t first_tile, uint32_t *words, int64_t count)
    void fd_apply(const fd_kernels *, int threads, fd_dtype, fd_operation, fd_elementwise *)
    void fd_run_softmax(const fd_kernels *, int threads, fd_dtype, const fd_softmax *)
    void fd_run_gaussian(const fd_kernels *, int threads, fd_dtype, const fd_gaussian *)
    void fd_connect_forward(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                            const void *x, const void *weight, const void *bias, void *y)
    void fd_connect_dx(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                       const void *dy, const void *weight, void *dx)
    void fd_connect_dweight(const fd_kernels *, int threads, fd_dtype, fd_dropconnect_size, fd_recipe, double scale,
                            const void *dy, const void *x, void *dweight)
    void fd_copy(const fd_kernels *, int threads, const char *source, char *target, fd_copy_kind, int64_t count,
                 int64_t size)

cdef const fd_kernels *_kernels = fd_available()[0]

cdef fd_prefetch _prefetch = fd_prefetch(FD_NO_PREFETCH, 0)
cdef int64_t _stream_above = 1 << 25

HINTS = ("none", "first level", "second level", "non-temporal")  # by number, as fd_hint has them


def set_streaming(str hint not None, int64_t ahead, int64_t above):
    """How calls that touch more than `above` bytes, which write past the caches, ask for memory: the cache that it goes
    to, one of HINTS, and how many bytes ahead."""
    global _prefetch, _stream_above
    if hint not in HINTS:
        raise ValueError(f"hint is one of {', '.join(HINTS)}; got {hint!r}")
    cdef int number = HINTS.index(hint)
    _prefetch = fd_prefetch(<fd_hint> number, ahead)
    _stream_above = above


def streaming():
    """What `set_streaming` set."""
    return HINTS[<int> _prefetch.hint], _prefetch.ahead, _stream_above


def processor():
    """The processor as it describes itself, (vendor, family, model): ("", 0, 0) where there is no CPUID."""
    cdef fd_processor found = fd_processor_here()
    return found.vendor.decode("ascii", "replace"), found.family, found.model


def available_isas():
    """Names of the instruction sets that this build has and this processor runs, best first."""
    cdef const fd_kernels *const *table = fd_available()
    cdef int i = 0
    names = []
    while table[i] != NULL:
        names.append(table[i].name.decode())
        i += 1
    return names


def use_isa(str name not None):
    """Run every later call with this instruction set."""
    global _kernels
    cdef const fd_kernels *const *table = fd_available()
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


def calls_at_once():
    """How many calls run at this moment that asked for more than one thread: they share the cores."""
    return fd_calls_at_once()


def team_size(int threads, int calls, int cores):
    """How many threads a call gets of these cores while `calls` run; alone it would have `threads`."""
    return fd_team_size(threads, calls, cores)


def has_openmp():
    return bool(fd_has_openmp())


def philox(counter, key):
    """The four words of one Philox4x32-10 block, for the known-answer test and for keys of spawned streams."""
    cdef fd_block block
    for i in range(4):
        block.w[i] = counter[i]
    block = fd_philox4x32_10(block, key[0], key[1])
    return tuple(block.w[i] for i in range(4))


cdef class Recipe:
    """All that decides a mask beside its shape: key (the seed), call number and threshold; element i is kept if
    its 40-bit number U(i) is below the threshold. And what kept elements are multiplied by.

    Unpacks into key, call and threshold.
    """
    cdef fd_recipe numbers
    cdef readonly double scale

    def __init__(self, uint64_t key, uint64_t call, uint64_t threshold, double scale=1.0):
        if threshold > (<uint64_t> 1 << 40):
            raise ValueError(f"a threshold is from 0 to 2**40; got {threshold}")
        self.numbers.key = key
        self.numbers.call = call
        self.numbers.threshold = threshold
        self.scale = scale

    @property
    def key(self):
        return self.numbers.key

    @property
    def call(self):
        return self.numbers.call

    @property
    def threshold(self):
        return self.numbers.threshold

    def __iter__(self):
        return iter((self.numbers.key, self.numbers.call, self.numbers.threshold))

    def __eq__(self, other):
        return (*self, self.scale) == (*other, other.scale) if isinstance(other, Recipe) else NotImplemented

    def __hash__(self):
        return hash((*self, self.scale))

    def __repr__(self):
        return f"Recipe(key={self.key}, call={self.call}, threshold={self.threshold}, scale={self.scale})"

    def __reduce__(self):
        return Recipe, (*self, self.scale)


cdef class Calls:
    """A key and how many masks and streams have come from it. Several Python threads may share one."""
    cdef uint64_t _key
    cdef uint64_t _calls
    cdef uint64_t _spawned

    cpdef Recipe next_recipe(self, uint64_t threshold, double scale):
        """Take the next call number; returns its recipe."""
        cdef Recipe recipe = Recipe.__new__(Recipe)
        with cython.critical_section(self):
            recipe.numbers.key = self._key
            recipe.numbers.call = self._calls
            self._calls += <uint64_t> FD_FAULT(call_stays, 1, 0)
        recipe.numbers.threshold = threshold
        recipe.scale = scale
        return recipe

    def _give_back(self, uint64_t call, uint64_t count):
        """Undo the last `count` draws, the first of which had this number, unless others have followed."""
        with cython.critical_section(self):
            if FD_FAULT(given_back_late, self._calls == call + count, 1):
                self._calls = call

    def _next_children(self, uint64_t count):
        """Take the next `count` numbers of children; returns the key, and the first number."""
        with cython.critical_section(self):
            first = self._spawned
            self._spawned += <uint64_t> FD_FAULT(children_repeat, count, 0)
            return self._key, first

    def _get(self):
        """Key, calls and children so far."""
        with cython.critical_section(self):
            return self._key, self._calls, self._spawned

    def _set(self, uint64_t key, uint64_t calls, uint64_t spawned):
        with cython.critical_section(self):
            self._key = key
            self._calls = calls
            self._spawned = spawned


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


def is_ready(array):
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


def fits(cnp.ndarray x not None, out):
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
    #include "pool.h"
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
    if not cnp.PyArray_CheckExact(x) or not is_ready(x):
        return None
    if out is None:
        return new_result(<cnp.ndarray> x, 0, NULL)
    return out if cnp.PyArray_CheckExact(out) and fits(<cnp.ndarray> x, out) else None


cdef inline fd_dtype dtype_of(cnp.ndarray array) noexcept:
    cdef int number = cnp.PyArray_TYPE(array)
    if number == cnp.NPY_FLOAT32:
        return FD_FLOAT32
    if number == cnp.NPY_FLOAT64:
        return FD_FLOAT64
    return FD_FLOAT16 if number == cnp.NPY_FLOAT16 else FD_BFLOAT16


cdef inline bint is_large(cnp.ndarray array) noexcept:
    """Whether this array and another of its size are too large for the caches."""
    return FD_FAULT(never_past_caches, 2 * cnp.PyArray_NBYTES(array) > _stream_above, 0)


cdef bint describe(fd_elementwise *e, tuple arrays, tuple shared_axes, uint64_t first=0, tuple strides=None):
    """Fill in the geometry; neighbouring axes that one stride can walk become one. False: no elements.

    The arrays broadcast to the first, the one that is written, as NumPy does it: a missing or single element along an
    axis has a stride of 0 there. Decisions begin with number `first`; they have these strides, one for each axis, or
    are numbered in C order over the axes that are not shared.
    """
    cdef cnp.ndarray array = <cnp.ndarray> arrays[0]
    cdef int ndim = cnp.PyArray_NDIM(array)
    cdef int operands = <int> len(arrays)
    cdef int axis, own, k, out = FD_MAX_DIMS
    cdef int64_t size, decision_stride
    cdef uint64_t decision = 1  # may wrap where there is no element
    cdef int64_t stride[5]
    cdef bint shared[64]
    cdef bint merges
    cdef cnp.ndarray operand
    if strides is not None and len(strides) != ndim:
        raise ValueError(f"{ndim} axes have {len(strides)} strides of decisions")
    if ndim > FD_MAX_DIMS or operands > FD_MAX_OPERANDS:
        raise ValueError(f"{ndim} axes and {operands} arrays: at most {FD_MAX_DIMS} and {FD_MAX_OPERANDS} are possible")
    e.operands = operands
    e.first = first
    for k in range(operands):
        e.data[k] = cnp.PyArray_BYTES(<cnp.ndarray> arrays[k])
    for axis in range(ndim):
        shared[axis] = False
    for axis in shared_axes:
        if not 0 <= axis < ndim:
            raise ValueError(f"there is no axis {axis} of {ndim} to share")
        shared[axis] = True
    # From the last axis to the first, into slots counted from the end.
    for axis in range(ndim - 1, -1, -1):
        size = cnp.PyArray_DIM(array, axis)
        if size == 0:
            return False
        decision_stride = 0 if FD_FAULT(axis_not_shared, shared[axis], 0) else decision
        if strides is not None:
            decision_stride = strides[axis]
        elif not shared[axis]:
            decision *= size
        if size == 1:
            continue
        merges = out < FD_MAX_DIMS and FD_FAULT(
            axes_merged, decision_stride == e.decision_stride[out] * e.shape[out], 1)
        for k in range(operands):
            operand = <cnp.ndarray> arrays[k]
            own = axis - ndim + cnp.PyArray_NDIM(operand)
            stride[k] = cnp.PyArray_STRIDE(operand, own) if own >= 0 and cnp.PyArray_DIM(operand, own) > 1 else 0
            merges = merges and stride[k] == e.stride[k][out] * e.shape[out]
        if merges:
            e.shape[out] *= size
            continue
        out -= 1
        e.shape[out] = size
        e.decision_stride[out] = decision_stride
        for k in range(operands):
            e.stride[k][out] = stride[k]
    if out == FD_MAX_DIMS:  # a single element
        out -= 1
        e.shape[out] = 1
        e.decision_stride[out] = 0
        for k in range(operands):
            e.stride[k][out] = cnp.PyArray_ITEMSIZE(<cnp.ndarray> arrays[k])
    e.ndim = FD_MAX_DIMS - out
    for axis in range(e.ndim):
        e.shape[axis] = e.shape[out + axis]
        e.decision_stride[axis] = e.decision_stride[out + axis]
        for k in range(operands):
            e.stride[k][axis] = e.stride[k][out + axis]
    # In place there is nothing to gain: the line that is read is in the cache.
    e.prefetch = _prefetch
    e.stream = is_large(array)
    for k in range(1, operands):
        if e.data[k] == e.data[0]:
            e.stream = FD_FAULT(past_caches_in_place, 0, e.stream)
    return True


cdef void run(fd_operation operation, fd_elementwise *e, fd_dtype dtype, Recipe recipe, int threads, double shift):
    """The operation, whose geometry is described."""
    e.recipe = recipe.numbers
    e.scale = recipe.scale
    e.shift = shift
    with nogil:
        fd_apply(_kernels, threads, dtype, operation, e)


def apply(cnp.ndarray y not None, cnp.ndarray x not None, tuple shared_axes not None, Recipe recipe not None,
          int threads, uint64_t first=0, tuple strides=None):
    """y = keep ? x * scale : 0. Same shape and dtype, aligned, native; y is x or does not overlap it.

    Where `strides` are given, decisions are those of a window: see `describe`.
    """
    cdef fd_elementwise e
    if describe(&e, (y, x), shared_axes, first, strides):
        run(FD_DROPOUT, &e, dtype_of(x), recipe, threads, 0.0)


cdef extern from "Python.h":
    ctypedef struct new_type "PyTypeObject":
        object (*tp_new)(type kind, tuple arguments, void *keywords)
    object PyType_GenericAlloc(type kind, Py_ssize_t items)


@cython.auto_pickle(False)
cdef class MaskFields:
    """What a mask consists of, here so that the usual call makes one without running Python code."""
    cdef public object shape
    cdef public object p
    cdef public object shared_axes
    cdef public object recipe
    cdef public object made_by


cdef type _mask_class, _pair_class, _stream_class
cdef object _numbers_of, _threads_for
cdef dict _thread_policy
cdef dict _inverted = {}  # p: a recipe of its threshold and scale
cdef dict _classic = {}


def register(type mask not None, type pair not None, type stream not None, numbers_of, threads_for, dict thread_policy):
    """The Python side of `dropout`: the classes that it makes and recognises, `threshold_and_scale`, and the policy of
    threads, a function and the names of its module, of which `SMALLEST_SHARE` is one."""
    global _mask_class, _pair_class, _stream_class, _numbers_of, _threads_for, _thread_policy
    _mask_class, _pair_class, _stream_class = mask, pair, stream
    _numbers_of, _threads_for, _thread_policy = numbers_of, threads_for, thread_policy


cpdef object make_mask(object shape, object p, object recipe, object shared_axes=(), object made_by="dropout"):
    """A mask from arguments that are checked and a recipe that is drawn, or None and to be drawn."""
    cdef MaskFields mask = <MaskFields> (<new_type *> _mask_class).tp_new(_mask_class, (), NULL)
    mask.shape = shape
    mask.p = p
    mask.recipe = recipe
    mask.shared_axes = shared_axes
    mask.made_by = made_by
    return mask


cdef Recipe numbers_for(p, scaling):
    """Threshold and scale of a probability, remembered: training repeats its p."""
    cdef dict known = _inverted if scaling == "inverted" or FD_FAULT(scaling_mixed_up, 0, 1) else _classic
    cdef Recipe numbers = known.get(p)
    if numbers is not None:
        return numbers
    threshold, scale = _numbers_of(p, scaling)
    numbers = Recipe(0, 0, threshold, scale)
    if len(known) >= 256:
        known.clear()
    known[p] = numbers
    return numbers


cdef int threads_of(int64_t count) except -1:
    cdef int64_t share = _thread_policy["SMALLEST_SHARE"]
    return 1 if FD_FAULT(one_thread_always, count < 2 * share, 1) else _threads_for(count)


cdef bint are_axes(tuple axes, int ndim):
    """Whether they are axes of an array of `ndim` axes, in ascending order."""
    cdef int last = -1
    for axis in axes:
        if not PyLong_CheckExact(axis) or not last < axis < ndim:
            return False
        last = axis
    return True


cdef bint goes_with(cnp.ndarray x, second, bint is_bias) except -1:
    """Whether it is x's second operand as kernels take it: an array of x's shape, or one row, and of x's dtype."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef cnp.ndarray array
    if not cnp.PyArray_CheckExact(second) or not is_ready(second):
        return False
    array = <cnp.ndarray> second
    if not is_bias:
        return are_alike(x, array)
    return (cnp.PyArray_TYPE(array) == cnp.PyArray_TYPE(x) and ndim > 0 and cnp.PyArray_NDIM(array) == 1
            and cnp.PyArray_DIM(array, 0) == cnp.PyArray_DIM(x, ndim - 1))


cdef object usual(fd_operation operation, x, second, p, scaling, rng, out, shared_axes, made_by):
    """The usual call of an operation in one step: (y, mask), or None where Python has to look closer.

    Usual are a float, a stream or a seed, axes in ascending order, and arrays that kernels take as they are. Nothing is
    drawn where it returns None or raises.
    """
    cdef Recipe numbers, recipe
    cdef cnp.ndarray y
    cdef MaskFields mask
    cdef fd_elementwise e
    cdef int threads
    cdef uint64_t seed = 0
    cdef tuple axes = (), arrays
    cdef bint has_elements, is_stream = type(rng) is _stream_class
    if not PyFloat_CheckExact(p) or not (is_stream or PyLong_CheckExact(rng)) or not cnp.PyArray_CheckExact(x):
        return None
    if not is_stream:
        try:
            seed = rng
        except OverflowError:
            return None
    if shared_axes is not None:
        if type(shared_axes) is not tuple or not are_axes(shared_axes, cnp.PyArray_NDIM(<cnp.ndarray> x)):
            return None
        axes = shared_axes
    if second is not None:
        if not goes_with(<cnp.ndarray> x, second, fd_adds_bias(operation)):
            return None
        if out is not None and out is not second and (
                not cnp.PyArray_CheckExact(out) or share_memory(<cnp.ndarray> second, <cnp.ndarray> out)):
            return None
    numbers = numbers_for(p, scaling)
    y = target(x, out)
    if y is None:
        return None
    threads = threads_of(cnp.PyArray_SIZE(y))
    mask = make_mask((<object> x).shape, p, None, axes, made_by)
    pair = PyType_GenericAlloc(_pair_class, 2)
    Py_INCREF(y)  # filled at once: other threads' garbage collectors see it while the kernel runs
    Py_INCREF(mask)
    PyTuple_SET_ITEM(pair, 0, y)
    PyTuple_SET_ITEM(pair, 1, mask)
    arrays = (y, x) if second is None else (y, x, second)
    has_elements = describe(&e, arrays, axes)
    if is_stream:  # nothing that can fail comes after it
        recipe = (<Calls> rng).next_recipe(numbers.numbers.threshold, numbers.scale)
    else:
        recipe = Recipe.__new__(Recipe)
        recipe.numbers = numbers.numbers
        recipe.numbers.key = <uint64_t> FD_FAULT(seed_lost, seed, 0)
        recipe.scale = numbers.scale
    mask.recipe = recipe
    if has_elements:
        run(operation, &e, dtype_of(y), recipe, threads, 0.0)
    return pair


def dropout(x, p, rng, out, shared_axes):
    """`usual`, for fastdrop.dropout."""
    return usual(FD_DROPOUT, x, None, p, "inverted", rng, out, shared_axes, "dropout")


def dropout_add(x, residual, p, rng, out, shared_axes):
    """`usual`, for fastdrop.dropout_add."""
    return None if residual is None else usual(FD_DROPOUT_ADD, x, residual, p, "inverted", rng, out, shared_axes,
                                               "dropout_add")


def zoneout(new, previous, p, rng, out):
    """`usual`, for fastdrop.zoneout."""
    return None if previous is None else usual(FD_CHOOSE, new, previous, p, "classic", rng, out, None, "zoneout")


def bias_activation(x, bias, str activation, p, rng, out, made_by):
    """`usual`, for fastdrop.bias_activation_dropout."""
    if bias is None or out is bias:
        return None
    return usual(OPERATIONS[f"bias_{activation}"], x, bias, p, "inverted", rng, out, None, made_by)


def multiply(MaskFields mask not None, x, out):
    """The usual call of a mask in one step: y, or None where Python has to look closer."""
    cdef fd_elementwise e
    cdef Recipe recipe
    cdef cnp.ndarray y
    cdef int threads
    if not isinstance(mask.recipe, Recipe) or not cnp.PyArray_CheckExact(x) or (<object> x).shape != mask.shape:
        return None
    y = target(x, out)
    if y is None:
        return None
    recipe = mask.recipe
    threads = threads_of(cnp.PyArray_SIZE(y))
    if describe(&e, (y, x), mask.shared_axes):
        run(FD_DROPOUT, &e, dtype_of(y), recipe, threads, 0.0)
    return y


cdef dict OPERATIONS = {
    "dropout": FD_DROPOUT,
    "dropout_add": FD_DROPOUT_ADD,
    "bias_relu": FD_BIAS_RELU,
    "bias_gelu": FD_BIAS_GELU,
    "choose": FD_CHOOSE,
    "alpha": FD_ALPHA,
    "bias_relu_backward": FD_BIAS_RELU_BACKWARD,
    "bias_gelu_backward": FD_BIAS_GELU_BACKWARD,
}


def elementwise(str operation not None, tuple arrays not None, tuple shared_axes not None, Recipe recipe not None,
                int threads, double shift=0.0):
    """One of the operations in kernels.h on arrays in its order, the written one first; the others broadcast to it."""
    cdef fd_elementwise e
    cdef fd_operation number = OPERATIONS[operation]
    if describe(&e, arrays, shared_axes):
        run(number, &e, dtype_of(arrays[0]), recipe, threads, shift)


def bias_backward(str activation not None, cnp.ndarray dx not None, cnp.ndarray dy not None, cnp.ndarray x not None,
                  cnp.ndarray bias not None, cnp.ndarray sums not None, Recipe recipe not None,
                  int threads):
    """dx, and the sums of its rows: one row of `sums` for every sum_rows(columns) rows.

    dx, dy and x are C-contiguous; bias and each row of sums, of the arithmetic's dtype, have their last axis' length.
    """
    cdef fd_elementwise e
    cdef cnp.ndarray array
    cdef int k
    cdef int64_t columns = cnp.PyArray_SIZE(bias)
    if cnp.PyArray_SIZE(x) == 0:
        return
    e.ndim = 2
    e.first = 0
    e.shape[0], e.shape[1] = cnp.PyArray_SIZE(x) // columns, columns
    e.decision_stride[0], e.decision_stride[1] = columns, 1
    e.operands = 5
    for k, array in enumerate((dx, dy, x, bias, sums)):
        e.data[k] = cnp.PyArray_BYTES(array)
        e.stride[k][0] = columns * cnp.PyArray_ITEMSIZE(array) if k < 3 else 0
        e.stride[k][1] = cnp.PyArray_ITEMSIZE(array)
    e.prefetch = _prefetch
    e.stream = is_large(dx) and e.data[0] != e.data[1] and e.data[0] != e.data[2]
    run(OPERATIONS[f"bias_{activation}_backward"], &e, dtype_of(dx), recipe, threads, 0.0)


def sum_rows(int64_t columns):
    """How many rows of a bias' gradient are added up by themselves, before their sums are."""
    return fd_sum_rows(columns)


def softmax(cnp.ndarray y not None, cnp.ndarray x not None, cnp.ndarray dy, Recipe recipe not None, int threads):
    """Softmax along the last axis and dropout, or its backward pass where dy is given. All C-contiguous."""
    cdef fd_softmax softmax
    softmax.columns = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    if softmax.columns == 0:
        return
    softmax.rows = cnp.PyArray_SIZE(x) // softmax.columns
    softmax.recipe = recipe.numbers
    softmax.scale = recipe.scale
    softmax.dy = NULL if dy is None else cnp.PyArray_BYTES(dy)
    softmax.x = cnp.PyArray_BYTES(x)
    softmax.y = cnp.PyArray_BYTES(y)
    cdef fd_dtype dtype = dtype_of(x)
    with nogil:
        fd_run_softmax(_kernels, threads, dtype, &softmax)


def gaussian(cnp.ndarray y not None, cnp.ndarray x not None, Recipe recipe not None, double sigma, int threads,
             uint64_t first_group=0):
    """y = x * (1 + sigma * z), z the normal numbers of this key and call, from a group of 64 elements on.

    Both C-contiguous, of one size and dtype; y is x or does not overlap it.
    """
    cdef fd_gaussian gaussian
    gaussian.recipe = recipe.numbers
    gaussian.sigma = sigma
    gaussian.first_group = first_group
    gaussian.count = cnp.PyArray_SIZE(x)
    gaussian.x = cnp.PyArray_BYTES(x)
    gaussian.y = cnp.PyArray_BYTES(y)
    cdef fd_dtype dtype = dtype_of(x)
    with nogil:
        fd_run_gaussian(_kernels, threads, dtype, &gaussian)


cdef dict COPIES = {"plain": FD_PLAIN, "stream": FD_STREAM, "memcpy": FD_MEMCPY}


def copy(cnp.ndarray x not None, cnp.ndarray y not None, str kind not None, int threads):
    """y = x for contiguous arrays of one size and dtype: what the benchmark compares with."""
    cdef int64_t count = cnp.PyArray_SIZE(x)
    cdef int64_t size = cnp.PyArray_ITEMSIZE(x)
    cdef const char *source = cnp.PyArray_BYTES(x)
    cdef char *target = cnp.PyArray_BYTES(y)
    cdef fd_copy_kind number = COPIES[kind]
    with nogil:
        fd_copy(_kernels, threads, source, target, number, count, size)


def bits(cnp.ndarray words not None, Recipe recipe not None, int threads, uint64_t first_tile=0):
    """Keep bits of 32 * len(words) elements, from the first tile on, into a contiguous uint32 array."""
    cdef fd_recipe numbers = recipe.numbers
    cdef uint32_t *target = <uint32_t *> cnp.PyArray_DATA(words)
    cdef int64_t count = cnp.PyArray_SIZE(words)
    with nogil:
        fd_bits(_kernels, threads, numbers, first_tile, target, count)


cdef inline fd_dropconnect_size size_of(cnp.ndarray x, cnp.ndarray weight):
    cdef fd_dropconnect_size size
    size.batch = cnp.PyArray_DIM(x, 0)
    size.outputs = cnp.PyArray_DIM(weight, 0)
    size.inputs = cnp.PyArray_DIM(weight, 1)
    return size


def connect_forward(cnp.ndarray x not None, cnp.ndarray weight not None, cnp.ndarray bias, cnp.ndarray y not None,
                    Recipe recipe not None, int threads):
    """y = (keep * weight * scale) x + bias, one mask per example. All C-contiguous and of one dtype."""
    cdef fd_recipe numbers = recipe.numbers
    cdef double scale = recipe.scale
    cdef fd_dropconnect_size size = size_of(x, weight)
    cdef fd_dtype dtype = dtype_of(x)
    cdef const void *bias_data = NULL if bias is None else cnp.PyArray_DATA(bias)
    cdef const void *x_data = cnp.PyArray_DATA(x)
    cdef const void *weight_data = cnp.PyArray_DATA(weight)
    cdef void *y_data = cnp.PyArray_DATA(y)
    with nogil:
        fd_connect_forward(_kernels, threads, dtype, size, numbers, scale, x_data, weight_data, bias_data, y_data)


def connect_dx(cnp.ndarray dy not None, cnp.ndarray weight not None, cnp.ndarray dx not None,
               Recipe recipe not None, int threads):
    cdef fd_recipe numbers = recipe.numbers
    cdef double scale = recipe.scale
    cdef fd_dropconnect_size size = size_of(dy, weight)
    cdef fd_dtype dtype = dtype_of(dy)
    cdef const void *dy_data = cnp.PyArray_DATA(dy)
    cdef const void *weight_data = cnp.PyArray_DATA(weight)
    cdef void *dx_data = cnp.PyArray_DATA(dx)
    with nogil:
        fd_connect_dx(_kernels, threads, dtype, size, numbers, scale, dy_data, weight_data, dx_data)


def connect_dweight(cnp.ndarray dy not None, cnp.ndarray x not None, cnp.ndarray dweight not None,
                    Recipe recipe not None, int threads):
    cdef fd_recipe numbers = recipe.numbers
    cdef double scale = recipe.scale
    cdef fd_dropconnect_size size = size_of(x, dweight)
    cdef fd_dtype dtype = dtype_of(x)
    cdef const void *dy_data = cnp.PyArray_DATA(dy)
    cdef const void *x_data = cnp.PyArray_DATA(x)
    cdef void *dweight_data = cnp.PyArray_DATA(dweight)
    with nogil:
        fd_connect_dweight(_kernels, threads, dtype, size, numbers, scale, dy_data, x_data, dweight_data)
