# The usual calls of the public functions, in one step: checks, mask, result and kernel without running Python code.
# Where anything is unusual they return None, and the Python function looks closer.


cdef extern from "Python.h":
    ctypedef struct new_type "PyTypeObject":
        object (*tp_new)(type kind, tuple arguments, void *keywords)
    object PyType_GenericAlloc(type kind, Py_ssize_t items)

cdef type _mask_class, _pair_class, _stream_class
cdef object _threshold_and_scale, _threads_for
cdef dict _thread_policy
cdef dict _inverted = {}  # p: threshold and scale
cdef dict _classic = {}


def register(type mask not None, type pair not None, type stream not None, threshold_and_scale, threads_for,
             dict thread_policy):
    """The Python side of these calls: the classes that they make and recognise, the function from p to threshold and
    scale, and the policy of threads, a function and the names of its module, of which `SMALLEST_SHARE` is one."""
    global _mask_class, _pair_class, _stream_class, _threshold_and_scale, _threads_for, _thread_policy
    _mask_class, _pair_class, _stream_class = mask, pair, stream
    _threshold_and_scale, _threads_for, _thread_policy = threshold_and_scale, threads_for, thread_policy


cpdef object make_mask(object shape, object p, object draw, uint64_t threshold, double scale, object shared_axes=(),
                       object made_by="dropout", object layout=None):
    """A mask of arguments that are checked, without running its class's `__init__`."""
    cdef MaskFields mask = <MaskFields> (<new_type *> _mask_class).tp_new(_mask_class, (), NULL)
    mask.shape = shape
    mask.p = p
    mask.draw = draw
    mask.threshold = threshold
    mask.scale = scale
    mask.shared_axes = shared_axes
    mask.made_by = made_by
    mask.layout = layout
    return mask


@cython.final
cdef class _Numbers:
    cdef uint64_t threshold
    cdef double scale


cdef _Numbers numbers_for(p, scaling):
    """Threshold and scale of a probability, remembered: training repeats its p."""
    cdef dict known = _inverted if scaling == "inverted" or FD_FAULT(scaling_mixed_up, 0, 1) else _classic
    cdef _Numbers numbers = known.get(p)
    if numbers is not None:
        return numbers
    numbers = _Numbers.__new__(_Numbers)
    numbers.threshold, numbers.scale = _threshold_and_scale(p, scaling)
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


cdef bint is_second_operand(cnp.ndarray x, second, bint is_bias) except -1:
    """Whether kernels take it beside x as it is: an array of x's shape, or one row, and of x's dtype."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef cnp.ndarray array
    if not cnp.PyArray_CheckExact(second) or not is_kernel_ready(second):
        return False
    array = <cnp.ndarray> second
    if not is_bias:
        return are_alike(x, array)
    return (cnp.PyArray_TYPE(array) == cnp.PyArray_TYPE(x) and ndim > 0 and cnp.PyArray_NDIM(array) == 1
            and cnp.PyArray_DIM(array, 0) == cnp.PyArray_DIM(x, ndim - 1))


cdef object usual(int operation, x, second, p, scaling, rng, out, shared_axes, made_by):
    """(y, mask), or None.

    Usual are a float, a stream or a seed, axes in ascending order, and arrays that kernels take as they are. Nothing is
    drawn where it returns None or raises.
    """
    cdef _Numbers numbers
    cdef cnp.ndarray y
    cdef MaskFields mask
    cdef fd_elementwise e
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
        if not is_second_operand(<cnp.ndarray> x, second, fd_operation_at(operation).has_bias):
            return None
        if out is not None and out is not second and (
                not cnp.PyArray_CheckExact(out) or share_memory(<cnp.ndarray> second, <cnp.ndarray> out)):
            return None
    numbers = numbers_for(p, scaling)
    y = target(x, out)
    if y is None:
        return None
    cdef int threads = threads_of(cnp.PyArray_SIZE(y))
    mask = make_mask((<object> x).shape, p, None, numbers.threshold, numbers.scale, axes, made_by)
    pair = PyType_GenericAlloc(_pair_class, 2)
    Py_INCREF(y)  # filled at once: other threads' garbage collectors see it while the kernel runs
    Py_INCREF(mask)
    PyTuple_SET_ITEM(pair, 0, y)
    PyTuple_SET_ITEM(pair, 1, mask)
    arrays = (y, x) if second is None else (y, x, second)
    has_elements = describe(&e, arrays, mask)
    if is_stream:  # nothing that can fail comes after it
        mask.draw = take_draw(<Calls> rng)
    else:
        mask.draw = new_draw(<uint64_t> FD_FAULT(seed_lost, seed, 0), 0)
    if has_elements:
        run(operation, &e, dtype_of(y), mask, threads, 0.0)
    return pair


def dropout(x, p, rng, out, shared_axes):
    """`usual`, for fastdrop.dropout."""
    return usual(DROPOUT, x, None, p, "inverted", rng, out, shared_axes, "dropout")


def dropout_add(x, residual, p, rng, out, shared_axes):
    """`usual`, for fastdrop.dropout_add."""
    if residual is None:
        return None
    return usual(DROPOUT_ADD, x, residual, p, "inverted", rng, out, shared_axes, "dropout_add")


def zoneout(new, previous, p, rng, out):
    """`usual`, for fastdrop.zoneout."""
    return None if previous is None else usual(BLEND, new, previous, p, "classic", rng, out, None, "zoneout")


def bias_activation(x, bias, str activation, p, rng, out, made_by):
    """`usual`, for fastdrop.bias_activation_dropout."""
    if bias is None or out is bias:
        return None
    return usual(OPERATIONS[f"bias_{activation}"], x, bias, p, "inverted", rng, out, None, made_by)


def apply_mask(MaskFields mask not None, x, out):
    """A mask of x's shape applied: y, or None."""
    cdef fd_elementwise e
    cdef cnp.ndarray y
    if type(mask.draw) is not Draw or not cnp.PyArray_CheckExact(x) or (<object> x).shape != mask.shape:
        return None
    y = target(x, out)
    if y is None:
        return None
    cdef int threads = threads_of(cnp.PyArray_SIZE(y))
    if describe(&e, (y, x), mask):
        run(DROPOUT, &e, dtype_of(y), mask, threads, 0.0)
    return y
