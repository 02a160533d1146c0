# Elementwise operations: the geometry of a call on arrays that broadcast, and the call.

cdef dict _numbers_of_operations():
    cdef int number = 0
    numbers = {}
    while fd_operation_at(number) != NULL:
        numbers[fd_operation_at(number).name.decode()] = number
        number += 1
    return numbers

cdef dict OPERATIONS = _numbers_of_operations()  # by name, as shared/operations.h lists them
cdef int DROPOUT = OPERATIONS["dropout"]
cdef int MULTIPLY = OPERATIONS["multiply"]
cdef int DROPOUT_ADD = OPERATIONS["dropout_add"]
cdef int BLEND = OPERATIONS["blend"]
cdef uint64_t KEEP_ALL = <uint64_t> 1 << 40


def operations():
    """Each elementwise operation by its name: how many arrays it reads, whether the last of them is a bias, and whether
    its results are summed over rows."""
    cdef const fd_operation *operation
    found = {}
    for name, number in OPERATIONS.items():
        operation = fd_operation_at(number)
        found[name] = (operation.inputs, bool(operation.has_bias), bool(operation.has_sums))
    return found


@cython.auto_pickle(False)
cdef class MaskFields:
    """What a mask consists of, here so that the usual call makes one without running Python code."""
    cdef public object shape
    cdef public object p
    cdef public object shared_axes
    cdef public object draw
    cdef public uint64_t threshold
    cdef public double scale
    cdef public object layout
    cdef public object made_by


cdef inline fd_dtype dtype_of(cnp.ndarray array) noexcept:
    cdef int number = cnp.PyArray_TYPE(array)
    if number == cnp.NPY_FLOAT32:
        return FD_FLOAT32
    if number == cnp.NPY_FLOAT64:
        return FD_FLOAT64
    return FD_FLOAT16 if number == cnp.NPY_FLOAT16 else FD_BFLOAT16


cdef inline bint is_large(cnp.ndarray array) noexcept:
    """Whether this array and another of its size are too large for the caches."""
    return FD_FAULT(never_past_caches, 2 * cnp.PyArray_NBYTES(array) > _nontemporal_above, 0)


cdef bint describe(fd_elementwise *e, tuple arrays, MaskFields mask):
    """Fill in the geometry; neighbouring axes that one stride can walk become one. False: no elements.

    The arrays broadcast to the first, the one that is written, as NumPy does it: a missing or single element along an
    axis has a stride of 0 there. Keep bits are numbered in C order over the axes that the mask does not share, or as
    its layout says; without a mask, in C order.
    """
    cdef cnp.ndarray array = <cnp.ndarray> arrays[0]
    cdef int ndim = cnp.PyArray_NDIM(array)
    cdef int operands = <int> len(arrays)
    cdef int axis, own, k, out = FD_MAX_DIMS
    cdef int64_t size, bit_stride
    cdef uint64_t bit = 1  # may wrap where there is no element
    cdef int64_t stride[5]
    cdef bint shared[64]
    cdef bint merges
    cdef cnp.ndarray operand
    cdef tuple shared_axes = (), strides = None
    e.first_bit = 0
    if mask is not None and mask.layout is not None:
        e.first_bit, strides = mask.layout
        if len(strides) != ndim:
            raise ValueError(f"{ndim} axes have {len(strides)} strides of keep bits")
    elif mask is not None:
        shared_axes = mask.shared_axes
    if ndim > FD_MAX_DIMS or operands > FD_MAX_OPERANDS:
        raise ValueError(f"{ndim} axes and {operands} arrays: at most {FD_MAX_DIMS} and {FD_MAX_OPERANDS} are possible")
    e.operands = operands
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
        bit_stride = 0 if FD_FAULT(axis_not_shared, shared[axis], 0) else bit
        if strides is not None:
            bit_stride = strides[axis]
        elif not shared[axis]:
            bit *= size
        if size == 1:
            continue
        merges = out < FD_MAX_DIMS and FD_FAULT(
            axes_merged, bit_stride == e.bit_stride[out] * e.shape[out], 1)
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
        e.bit_stride[out] = bit_stride
        for k in range(operands):
            e.stride[k][out] = stride[k]
    if out == FD_MAX_DIMS:  # a single element
        out -= 1
        e.shape[out] = 1
        e.bit_stride[out] = 0
        for k in range(operands):
            e.stride[k][out] = cnp.PyArray_ITEMSIZE(<cnp.ndarray> arrays[k])
    e.ndim = FD_MAX_DIMS - out
    for axis in range(e.ndim):
        e.shape[axis] = e.shape[out + axis]
        e.bit_stride[axis] = e.bit_stride[out + axis]
        for k in range(operands):
            e.stride[k][axis] = e.stride[k][out + axis]
    # In place there is nothing to gain: the line that is read is in the cache.
    e.prefetch = _prefetch
    e.nontemporal = is_large(array)
    for k in range(1, operands):
        if e.data[k] == e.data[0]:
            e.nontemporal = FD_FAULT(past_caches_in_place, 0, e.nontemporal)
    return True


cdef fd_dropout_mask bits_of(MaskFields mask) except *:
    """What decides the keep bits; without a mask all are 1."""
    cdef fd_dropout_mask bits
    cdef Draw draw
    if mask is None:
        bits.draw.key = bits.draw.call = 0
        bits.threshold = KEEP_ALL
    else:
        draw = mask.draw
        bits.draw = draw.numbers
        bits.threshold = mask.threshold
    return bits


cdef double scale_of(MaskFields mask) noexcept:
    return 1.0 if mask is None else mask.scale


cdef int run(int operation, fd_elementwise *e, fd_dtype dtype, MaskFields mask, int threads, double shift) except -1:
    """The operation, whose geometry is described."""
    e.mask = bits_of(mask)
    e.scale = scale_of(mask)
    e.shift = shift
    with nogil:
        fd_run_elementwise(_kernels, threads, dtype, operation, e)
    return 0


def elementwise(str operation not None, tuple arrays not None, MaskFields mask, int threads, double shift=0.0):
    """One of the operations in shared/operations.h on arrays in its order: the written one first, to which the others
    broadcast. Of one dtype, aligned, native; the written one is an input or does not overlap it. None keeps all."""
    cdef fd_elementwise e
    cdef int number = OPERATIONS[operation]
    if describe(&e, arrays, mask):
        run(number, &e, dtype_of(arrays[0]), mask, threads, shift)


def multiply(cnp.ndarray y not None, cnp.ndarray x not None, double factor, int threads):
    """y = x * factor."""
    cdef fd_elementwise e
    if not describe(&e, (y, x), None):
        return
    e.mask = bits_of(None)
    e.scale = factor
    e.shift = 0.0
    cdef fd_dtype dtype = dtype_of(y)
    with nogil:
        fd_run_elementwise(_kernels, threads, dtype, MULTIPLY, &e)


def bias_backward(str activation not None, cnp.ndarray dx not None, cnp.ndarray dy not None, cnp.ndarray x not None,
                  cnp.ndarray bias not None, cnp.ndarray sums not None, MaskFields mask, int threads):
    """dx, and the sums of its rows: one row of `sums` for every sum_rows(columns) rows.

    dx, dy and x are C-contiguous; bias and each row of sums, of the dtype that is computed in, have their last axis'
    length.
    """
    cdef fd_elementwise e
    cdef cnp.ndarray array
    cdef int k
    cdef int64_t columns = cnp.PyArray_SIZE(bias)
    if cnp.PyArray_SIZE(x) == 0:
        return
    e.ndim = 2
    e.first_bit = 0
    e.shape[0], e.shape[1] = cnp.PyArray_SIZE(x) // columns, columns
    e.bit_stride[0], e.bit_stride[1] = columns, 1
    e.operands = 5
    for k, array in enumerate((dx, dy, x, bias, sums)):
        e.data[k] = cnp.PyArray_BYTES(array)
        e.stride[k][0] = columns * cnp.PyArray_ITEMSIZE(array) if k < 3 else 0
        e.stride[k][1] = cnp.PyArray_ITEMSIZE(array)
    e.prefetch = _prefetch
    e.nontemporal = is_large(dx) and e.data[0] != e.data[1] and e.data[0] != e.data[2]
    run(OPERATIONS[f"bias_{activation}_backward"], &e, dtype_of(dx), mask, threads, 0.0)


def sum_rows(int64_t columns):
    """How many rows of a bias' gradient are added up on their own, before their sums are."""
    return fd_sum_rows(columns)
