"""The mask rule in plain NumPy: slow, short, and the oracle of every test.

It draws all 40 bits of U(i) for every element and compares; the kernels draw only what the comparison needs.
`docs/mask-rule.md` states the same rule in words.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdrop.rule import (
    ALPHA_DROPPED,
    DOMAIN_NORMAL,
    DOMAIN_TAIL,
    NORMAL_GROUP,
    PLANES,
    TAIL_BITS,
    TILE,
    TILE_COUNTERS,
)

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
Draw: TypeAlias = Callable[[int, int, int, NDArray[np.uint64]], NDArray[np.uint64]]


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int], rounds: int = 10) -> NDArray[np.uint64]:
    """Philox4x32 of the counters (..., 4), each word in the low half of a uint64 (Salmon et al. 2011, section 3.3)."""
    x0, x1, x2, x3 = (np.asarray(counter, np.uint64)[..., j] for j in range(4))
    key0, key1 = key
    for _ in range(rounds):
        a = np.uint64(0xD2511F53) * x0
        b = np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (b >> _HALF) ^ x1 ^ np.uint64(key0), b & _LOW, (a >> _HALF) ^ x3 ^ np.uint64(key1), a & _LOW
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=-1)


def draw(key: int, call: int, domain: int, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The words (..., 4) of the counters `index` in one domain (a plane's number, or the tail)."""
    counter = np.empty((*index.shape, 4), np.uint64)
    counter[..., 0] = index & _LOW
    counter[..., 1] = (index >> _HALF) | np.uint64(domain << 24)
    counter[..., 2] = call & 0xFFFFFFFF
    counter[..., 3] = call >> 32
    return philox4x32(counter, (key & 0xFFFFFFFF, key >> 32))


def uniform40(key: int, call: int, element: Any, draw: Draw = draw) -> NDArray[np.uint64]:
    """U(i) for the elements given: 40 bits, eight from the planes and 32 from the tail. A test may draw wrongly."""
    element = np.asarray(element, np.uint64)
    tile, place = element // np.uint64(TILE), element % np.uint64(TILE)
    word, lane = place // np.uint64(32 * TILE_COUNTERS), place // np.uint64(32) % np.uint64(TILE_COUNTERS)
    bit = place % np.uint64(32)
    value = np.zeros(element.shape, np.uint64)
    for plane in range(PLANES):
        block = draw(key, call, plane, tile * np.uint64(TILE_COUNTERS) + lane)
        words = np.take_along_axis(block, word[..., None].astype(np.intp), axis=-1)[..., 0]
        value = value << np.uint64(1) | (words >> bit & np.uint64(1))
    return value << np.uint64(TAIL_BITS) | draw(key, call, DOMAIN_TAIL, element)[..., 0]


def keep(key: int, call: int, threshold: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The keep bits of an array of this shape, numbered in C order."""
    return (uniform40(key, call, np.arange(math.prod(shape))) < np.uint64(threshold)).reshape(shape)


def keep_slice(
    key: int, call: int, threshold: int, shape: tuple[int, ...], first: int, strides: tuple[int, ...]
) -> NDArray[np.bool_]:
    """The keep bits of a mask's slice; at an index is number first + sum(index[axis] * strides[axis])."""
    number = np.full(shape, first)
    for index, stride in zip(np.indices(shape, sparse=True), strides, strict=True):
        number += index * stride
    return uniform40(key, call, number) < np.uint64(threshold)


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What a dtype is computed in: float32 for float16 and bfloat16, itself otherwise."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def _select(kept: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    return np.where(kept, values, values.dtype.type(0))


def _scaled(x: NDArray[Any], scale: float) -> NDArray[Any]:
    wide = compute_dtype(x.dtype)
    return x.astype(wide) * wide.type(scale)


def apply(x: NDArray[Any], kept: NDArray[np.bool_], scale: float) -> NDArray[Any]:
    """Kept elements times scale (bit for bit where scale is 1), dropped ones +0."""
    return _select(kept, x if scale == 1 else _scaled(x, scale).astype(x.dtype))


def dropout_add(x: NDArray[Any], residual: NDArray[Any], kept: NDArray[np.bool_], scale: float) -> NDArray[Any]:
    """Kept elements times scale, dropped ones +0, plus the residual."""
    return (_select(kept, _scaled(x, scale)) + residual.astype(compute_dtype(x.dtype))).astype(x.dtype)


def blend(x: NDArray[Any], second: NDArray[Any], kept: NDArray[np.bool_], scale: float) -> NDArray[Any]:
    """Kept elements times scale, the others second's."""
    return np.where(kept, _scaled(x, scale), second.astype(compute_dtype(x.dtype))).astype(x.dtype)


def alpha(x: NDArray[Any], kept: NDArray[np.bool_], scale: float, shift: float) -> NDArray[Any]:
    """Dropped elements become ALPHA_DROPPED; then all times scale, plus the shift."""
    wide = compute_dtype(x.dtype)
    chosen = np.where(kept, x.astype(wide), wide.type(ALPHA_DROPPED))
    return (chosen * wide.type(scale) + wide.type(shift)).astype(x.dtype)


def exp(x: NDArray[Any]) -> NDArray[Any]:
    """exp(x) for x <= 0, float32 or float64, step by step as the kernels do it (src_kernels/shared/math.h)."""
    single = x.dtype == np.float32
    real, integer = (np.float32, np.int32) if single else (np.float64, np.int64)
    lowest, rounding, degree = (-105.0, 1.5 * 2**23, 7) if single else (-746.0, 1.5 * 2**52, 13)
    high = 0.693359375 if single else float.fromhex("0x1.62e42fee00000p-1")
    low = -2.12194440e-4 if single else float.fromhex("0x1.a39ef35793c76p-33")
    bias, fraction = (127, 23) if single else (1023, 52)
    x = np.where(x < real(lowest), real(lowest), x)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        shifted = x * real(1.4426950408889634) + real(rounding)
        n = shifted - real(rounding)
        r = (x - n * real(high)) - n * real(low)
        series = np.full_like(r, 1 / math.factorial(degree))
        for k in range(degree - 1, -1, -1):
            series = series * r + real(1 / math.factorial(k))
        whole = shifted.view(integer) - np.array(rounding, real).view(integer)
        half = whole >> integer(1)
        for power in (half, whole - half):
            series = series * ((power + integer(bias)) << integer(fraction)).view(real)
    return series


# Phi(-a) = exp(-a^2 / 2) t P(t), t = 1 / (1 + c a): c, and P's coefficients from t^0 up, fitted for the least error.
# fmt: off
_NORMAL_SINGLE = (0.3, (
    0.11968775, 0.119550118, 0.110423197, 0.0774857706, 0.0988308413, -0.0844812825, 0.197921644, -0.232835483,
    0.114402112, -0.0209846694,
))
_NORMAL_DOUBLE = (0.2, (
    0.079788456088730408, 0.079788455516500656, 0.076596935253694844, 0.070213510123244184, 0.061026564396091614,
    0.049745922772327746, 0.03789424401895721, 0.023836921315718473, 0.023399091460422909, -0.023898104524441895,
    0.094434350615586919, -0.22986461348171344, 0.4558711767344286, -0.74549820593908109, 0.97336232545337241,
    -1.0108231405346119, 0.81648477698855542, -0.49459972671408955, 0.21521162963821573, -0.063349634075586849,
    0.011304406406117366, -0.00092534151243971999,
))
# fmt: on


def normal_cdf(z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The normal distribution function of z, and exp(-z^2 / 2), step by step as the kernels do it."""
    real = z.dtype.type
    c, fit = _NORMAL_SINGLE if z.dtype == np.float32 else _NORMAL_DOUBLE
    a = np.where(z < 0, -z, z)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        exp_half_square = exp(a * a * real(-0.5))
        t = real(1) / (a * real(c) + real(1))
        value = np.full_like(t, fit[-1])
        for coefficient in fit[-2::-1]:
            value = value * t + real(coefficient)
        tail = exp_half_square * (t * value)
    return np.where(z < 0, tail, real(1) - tail), exp_half_square


def box_muller(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two standard normal float32 from two random words, step by step as in src_kernels/shared/normal.h."""
    real, integer = np.float32, np.int32
    u = (first >> np.uint32(1) | np.uint32(1)).astype(integer).astype(real) * real(2**-31)
    above = u.view(integer) - integer(0x3F2AAAAB)  # the bits of 2/3
    n = (above >> integer(23)).astype(real)
    f = ((above & integer(0x7FFFFF)) + integer(0x3F2AAAAB)).view(real) - real(1)
    log = _polynomial(f, _LOG)
    log = f * f * log + n * real(-2.12194440e-4)
    log = (log + f) + n * real(0.693359375)
    radius = np.sqrt(log * real(-2))
    a = ((second & np.uint32(0x3FFFFFFF)).astype(integer) - integer(0x20000000)).astype(real) * real(1.46291812e-9)
    square = a * a
    sine = a + a * square * _polynomial(square, _SINE)
    cosine = _polynomial(square, _COSINE)
    cosine = np.where(second >> np.uint32(31), -cosine, cosine)
    x, y = radius * cosine, radius * sine
    turned = (second & np.uint32(0x40000000)) != 0
    return np.where(turned, y, x), np.where(turned, x, y)


_LOG = (0.149878263, -0.153394088, 0.137631685, -0.164303362, 0.200290054, -0.250064999, 0.33332774, -0.499999732)
_SINE = (-0.000195172979, 0.008332178, -0.166666552)
_COSINE = (2.44384501e-05, -0.00138873677, 0.0416666456, -0.5, 1.0)


def _polynomial(x: NDArray[Any], coefficients: tuple[float, ...]) -> NDArray[Any]:
    """From the highest power down."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + np.float32(coefficient)
    return value


def normals(key: int, call: int, element: Any, draw: Draw = draw) -> NDArray[np.float32]:
    """The standard normal numbers of the elements given. A test may draw wrongly."""
    element = np.asarray(element, np.uint64)
    group, place = element // np.uint64(NORMAL_GROUP), element % np.uint64(NORMAL_GROUP)
    number, lane = place // np.uint64(TILE_COUNTERS), place % np.uint64(TILE_COUNTERS)
    words = draw(key, call, DOMAIN_NORMAL, group * np.uint64(TILE_COUNTERS) + lane).astype(np.uint32)
    pairs = [*box_muller(words[..., 0], words[..., 1]), *box_muller(words[..., 2], words[..., 3])]
    return np.choose(number.astype(np.intp), pairs)


def gaussian(x: NDArray[Any], key: int, call: int, sigma: float) -> NDArray[Any]:
    """x times 1 + sigma * z, z standard normal numbers in C order."""
    wide = compute_dtype(x.dtype)
    z = normals(key, call, np.arange(x.size)).reshape(x.shape).astype(wide)
    noise = wide.type(1) + wide.type(sigma) * z
    return (x.astype(wide) * noise).astype(x.dtype)


def bias_activation(x: NDArray[Any], bias: NDArray[Any], activation: str) -> NDArray[Any]:
    """activation(x + bias) in the dtype that is computed in, before dropout and rounding."""
    wide = compute_dtype(x.dtype)
    z = x.astype(wide) + bias.astype(wide)
    return np.where(z < 0, wide.type(0), z) if activation == "relu" else z * normal_cdf(z)[0]


def bias_activation_dropout(
    x: NDArray[Any], bias: NDArray[Any], activation: str, kept: NDArray[np.bool_], scale: float
) -> NDArray[Any]:
    """x (..., features), bias (features,)."""
    wide = compute_dtype(x.dtype)
    return _select(kept, bias_activation(x, bias, activation) * wide.type(scale)).astype(x.dtype)


def bias_activation_dropout_backward(
    dy: NDArray[Any], x: NDArray[Any], bias: NDArray[Any], activation: str, kept: NDArray[np.bool_], scale: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The gradients with respect to x and bias; rows are added up in blocks of 2**16 elements or so, then these."""
    wide = compute_dtype(x.dtype)
    z = x.astype(wide) + bias.astype(wide)
    g = _scaled(dy, scale)
    if activation == "relu":
        dx = _select(kept, np.where(z <= 0, wide.type(0), g))
    else:
        cdf, exp_half_square = normal_cdf(z)
        dx = _select(kept, g * (cdf + z * (exp_half_square * wide.type(0.3989422804014327))))
    rows = dx.reshape(-1, bias.size)
    block = max(1, 2**16 // bias.size)
    sums = np.zeros((-(-len(rows) // block), bias.size), wide)
    for i, row in enumerate(rows):
        sums[i // block] += row
    return dx.astype(x.dtype), sums.sum(axis=0).astype(bias.dtype)


def reduce_add(partial: NDArray[Any]) -> NDArray[Any]:
    """The sum of 32 partial sums along the last axis, in halves: the one order that kernels take."""
    while partial.shape[-1] > 1:
        half = partial.shape[-1] // 2
        partial = partial[..., :half] + partial[..., half:]
    return partial[..., 0]


def row_sum(values: NDArray[Any]) -> NDArray[Any]:
    """The sum along the last axis as kernels take it: element i goes to partial sum i % 32."""
    columns = values.shape[-1]
    partial = np.zeros((*values.shape[:-1], 32), values.dtype)
    for begin in range(0, columns, 32):
        block = values[..., begin : begin + 32]
        partial[..., : block.shape[-1]] += block
    return reduce_add(partial)


def softmax(x: NDArray[Any]) -> NDArray[Any]:
    """Along the last axis, in the dtype that is computed in."""
    e, inverse = _softmax_parts(x)
    return e * inverse


def _softmax_parts(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    wide = x.astype(compute_dtype(x.dtype))
    e = exp(wide - wide.max(axis=-1, keepdims=True))
    return e, wide.dtype.type(1) / row_sum(e)[..., None]


def softmax_dropout(x: NDArray[Any], kept: NDArray[np.bool_], scale: float) -> NDArray[Any]:
    """Softmax along the last axis, then dropout."""
    e, inverse = _softmax_parts(x)
    return _select(kept, e * (inverse * e.dtype.type(scale))).astype(x.dtype)


def softmax_dropout_backward(dy: NDArray[Any], x: NDArray[Any], kept: NDArray[np.bool_], scale: float) -> NDArray[Any]:
    """The gradient with respect to x."""
    e, inverse = _softmax_parts(x)
    g = _select(kept, _scaled(dy, scale))
    mean = row_sum(g * e)[..., None] * inverse
    return (e * inverse * (g - mean)).astype(x.dtype)


def dropconnect(
    x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any] | None, kept: NDArray[np.bool_], scale: float
) -> NDArray[Any]:
    """x (batch, in), weight (out, in), kept (out, in) or (batch, out, in) -> (batch, out).

    Bit for bit what the kernels give for one mask per example; BLAS, which multiplies for one mask per batch, adds in
    another order.
    """
    y = row_sum(_select(kept, weight * x[:, None, :])) * x.dtype.type(scale)
    return y + (x.dtype.type(0) if bias is None else bias)


def dropconnect_backward(
    dy: NDArray[Any], x: NDArray[Any], weight: NDArray[Any], kept: NDArray[np.bool_], scale: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The gradients with respect to x, weight and bias, summed over outputs or examples one after the other."""
    kept = np.broadcast_to(kept, (*dy.shape, x.shape[1]))
    scaled = dy * dy.dtype.type(scale)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for output in range(dy.shape[1]):
        dx += _select(kept[:, output], weight[output] * scaled[:, output, None])
    for example in range(dy.shape[0]):
        dweight += _select(kept[example], x[example] * scaled[example, :, None])
    return dx, dweight, dy.sum(axis=0)
