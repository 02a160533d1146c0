"""The reference's result of each operation, with operands in the order of kernels.h; and input values."""

import functools

import ml_dtypes
import numpy as np
from casefile import ANY_NAN, EXACT, MaskNumbers, bit_numbers_of

from fastdrop import reference, rule

DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-40,
    -1e-40,
    3e38,
    65504.0,
    65520.0,
    6e-8,
    3e-8,
    -6.1e-5,
    1e-310,
    1e308,
]


@functools.cache
def uniform(key, call, count):
    """U of the first elements, drawn once for all cases."""
    return reference.uniform40(key, call, np.arange(count))


def keep(mask, shape, strides, first=0):
    """The keep bits of elements, by the keep bit strides of their axes, starting at `first`."""
    if list(strides) == [1] and first == 0:
        return uniform(mask.key, mask.call, shape[0]) < np.uint64(mask.threshold)
    numbers, place = np.unique(bit_numbers_of(shape, strides) + np.uint64(first), return_inverse=True)
    return (reference.uniform40(mask.key, mask.call, numbers) < np.uint64(mask.threshold))[place].reshape(shape)


def values(count, dtype, seed, special=True):
    """Normal random numbers, and sometimes a zero, an infinity, a NaN, a subnormal or a very large number."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(count) * random.choice([0.01, 1, 1, 1, 30], count)
    if special:
        x[11::29] = np.resize(SPECIAL, x[11::29].size)
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    if x.dtype.name != "bfloat16":  # ml_dtypes gives every NaN one pattern, the kernels keep its bits
        nan = np.flatnonzero(np.isnan(x))
        bits = x.view(f"u{x.itemsize}")
        bits[nan] |= (nan % 101).astype(bits.dtype)
    return x


SHIFT = 0.37
"""The shift of alpha dropout, a number that no half dtype represents."""
ONE_INPUT = ("dropout", "multiply", "alpha")


def mask_of(p, key=0x0123456789ABCDEF, call=2**32 - 3):
    """Both 32-bit halves of key and call number are used."""
    return MaskNumbers(key, call, rule.threshold_of(p))


def scale_of(mask):
    return 1.0 / rule.keep_probability(mask.threshold) if mask.threshold else 0.0


def nan_rule(operation):
    """How NaNs are compared: exactly where they are copied; as any NaN where an operation makes or combines them."""
    return EXACT if operation == "dropout" else ANY_NAN


@np.errstate(all="ignore")
def elementwise(operation, inputs, kept, scale):
    """The written array; for a backward operation also the unrounded gradient, which enters the sums."""
    if operation == "dropout":
        return reference.apply(inputs[0], kept, scale)
    if operation == "multiply":
        return reference.apply(inputs[0], np.ones_like(kept), scale)
    if operation == "dropout_add":
        return reference.dropout_add(*inputs, kept, scale)
    if operation == "blend":
        return reference.blend(*inputs, kept, scale)
    if operation == "alpha":
        return reference.alpha(*inputs, kept, scale, SHIFT)
    activation = operation.split("_")[1]
    if not operation.endswith("backward"):
        return reference.bias_activation_dropout(*inputs, activation, kept, scale)
    dx, _ = reference.bias_activation_dropout_backward(*inputs, activation, kept, scale)
    return dx


@np.errstate(all="ignore")
def group_sums(inputs, activation, kept, scale, start):
    """For a backward operation: the sums after each group of rows is added, row by row."""
    wide = [a.astype(reference.compute_dtype(a.dtype)) for a in inputs]
    dx = elementwise(f"bias_{activation}_backward", wide, kept, scale)
    group = max(1, 2**16 // dx.shape[1])
    sums = start.copy()
    for i, row in enumerate(dx):
        sums[i // group] += row
    return sums


@np.errstate(all="ignore")
def gaussian(x, mask, sigma, group):
    """x with noise; its first element is the first of a group."""
    wide = reference.compute_dtype(x.dtype).type
    number = np.arange(x.size, dtype=np.uint64) + np.uint64(group * rule.NORMAL_GROUP)
    noise = wide(1) + wide(sigma) * reference.normals(mask.key, mask.call, number).astype(wide)
    return (x.astype(wide) * noise).astype(x.dtype)


@np.errstate(all="ignore")
def connect_forward(x, weight, bias, kept, scale):
    """kept (batch, outputs, inputs); sums as kernels take them: 32 partial sums, added in halves."""
    products = np.where(kept, weight * x[:, None, :], x.dtype.type(0))
    y = reference.row_sum(products) * x.dtype.type(scale)
    return y + (x.dtype.type(0) if bias is None else bias)


@np.errstate(all="ignore")
def connect_dx(dy, weight, kept, scale):
    """One term after the other, in the order of the outputs."""
    dx, factor = np.zeros((dy.shape[0], weight.shape[1]), dy.dtype), dy * dy.dtype.type(scale)
    for o, row in enumerate(weight):
        dx += np.where(kept[:, o], row * factor[:, o, None], dy.dtype.type(0))
    return dx


@np.errstate(all="ignore")
def connect_dweight(dy, x, kept, scale):
    """One term after the other, in the order of the examples."""
    dweight, factor = np.zeros((dy.shape[1], x.shape[1]), x.dtype), dy * dy.dtype.type(scale)
    for b, row in enumerate(x):
        dweight += np.where(kept[b], row * factor[b, :, None], x.dtype.type(0))
    return dweight
