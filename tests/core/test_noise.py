"""Blend, alpha dropout and Gaussian noise on the CPU against the reference, bit for bit.

The tests call the backend's functions, which the public functions use.
"""

import functools
import math

import ml_dtypes
import numpy as np
import pytest
from masks import SHIFT, alpha_or_blend, mask_of
from randomness.battery import normal_tests

from fastdrop import reference, rule
from fastdrop._kernels import cpu as kernels
from fastdrop.backends import cpu

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
OPERATIONS = ["blend", "alpha"]
# Sizes around registers, units of 32, tiles, and the limit below which bits are drawn and applied in one pass.
SHAPES = [(1, 1), (3, 5), (2, 31), (4, 32), (7, 33), (5, 64), (130, 65), (40, 1024), (3, 4100), (700, 13), (2, 17_001)]
KEY, CALL = 0x0123456789ABCDEF, 2**32 - 3

LAYOUTS = {
    "every third": ((9001,), lambda a: a[1::3]),
    "backwards": ((5000,), lambda a: a[::-1]),
    "transposed": ((67, 45), lambda a: a.T),
    "backwards both": ((70, 71), lambda a: a[::-1, ::-2]),
    "padded rows": ((40, 200), lambda a: a[:, 3:150]),
    "permuted": ((5, 6, 7, 8, 9), lambda a: a.transpose(3, 0, 4, 2, 1)),
    "length-1 axes": ((1, 300, 1, 11, 1), lambda a: a),
    "0-d": ((), lambda a: a),
    "empty": ((3, 0, 4), lambda a: a),
}
SHARED = [((6, 5, 40), (2,)), ((6, 40, 5), (1,)), ((3, 5, 7, 9), (2, 3)), ((3, 7, 9, 5), (1, 2)), ((4, 9, 1030), (1,))]
SHARED += [((5, 4200), (1,)), ((3, 5, 2, 70), (0, 3)), ((50,), (0,)), ((3, 5, 7, 9), (0, 1, 2, 3)), ((40, 64), (0,))]
SHARED += [((2, 3000, 8), (1,)), ((1, 64), (0,)), ((1, 1), (1,)), ((3, 4, 5, 6, 7), (1, 3))]


def values(shape, dtype, seed=0, width=1):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * width, dtype)


def same(found, wanted):
    """The same bits; NaNs as NaNs, whatever their payload."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    unsigned = {2: np.uint16, 4: np.uint32, 8: np.uint64}[found.dtype.itemsize]
    nan = np.isnan(wanted.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(found.astype(np.float64)), nan)
    np.testing.assert_array_equal(found.view(unsigned)[~nan], wanted.view(unsigned)[~nan])


uniform40 = functools.lru_cache(maxsize=256)(lambda count: reference.uniform40(KEY, CALL, np.arange(count)))


def mask_for(shape, p, scale=None, shared_axes=()):
    return mask_of(shape, KEY, CALL, p, scale=scale, shared_axes=shared_axes)


def kept_of(mask):
    kept = uniform40(int(np.prod(mask.noise_shape))) < np.uint64(mask.threshold)
    return np.broadcast_to(kept.reshape(mask.noise_shape), mask.shape)


def inputs_of(operation, shape, dtype, width=1):
    """x and the second operand, which alpha dropout ignores."""
    return values(shape, dtype, 0, width), values(shape, dtype, 1, width)


def result_of(operation, x, second, mask):
    return alpha_or_blend(operation, x, second, kept_of(mask), mask.scale)


def run(operation, out, x, second, mask):
    if operation == "alpha":
        return cpu.elementwise("alpha", out, (x,), mask, SHIFT)
    return cpu.elementwise("blend", out, (x, second), mask)


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_reference(isa, thread_count, dtype, operation, p):
    for shape in SHAPES:
        x, second = inputs_of(operation, shape, dtype)
        for scale in (None, 1.0, 0.75):
            mask = mask_for(shape, p, scale)
            out = np.empty_like(x)
            assert run(operation, out, x, second, mask) is out
            same(out, result_of(operation, x, second, mask))
            inplace = x.copy()
            run(operation, inplace, inplace, second, mask)
            same(inplace, out)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(isa, thread_count, dtype, name):
    shape, view = LAYOUTS[name]
    x = view(values(shape, dtype))
    mask = mask_for(x.shape, 0.3)
    x.flags.writeable = False
    for operation in OPERATIONS if x.ndim else ["blend"]:
        for second in inputs_of(operation, x.shape, dtype)[1:] + (
            (view(values(shape, dtype, 2)),) * (operation == "blend")
        ):
            for out in (np.empty(x.shape, dtype), view(np.empty(shape, dtype)), np.empty(x.shape[::-1], dtype).T):
                run(operation, out, x, second, mask)
                same(np.ascontiguousarray(out), result_of(operation, np.ascontiguousarray(x), second, mask))


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes(isa, thread_count, dtype, operation):
    for shape, axes in SHARED:
        x, second = inputs_of(operation, shape, dtype)
        for p in (0.4, 0.5):
            mask = mask_for(shape, p, shared_axes=axes)
            for array in (x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]):
                out = np.empty_like(array)
                run(operation, out, array, second, mask)
                same(np.ascontiguousarray(out), result_of(operation, x, second, mask))


def test_the_second_operand_broadcasts(isa, thread_count):
    x = values((6, 70, 33), np.float32)
    for shape in [(1, 1, 1), (33,), (70, 1), (6, 1, 33), (1, 70, 33)]:
        second = values(shape, np.float32, 1)
        for axes in [(), (1,), (2,), (0, 2)]:
            out, mask = np.empty_like(x), mask_for(x.shape, 0.3, shared_axes=axes)
            cpu.elementwise("blend", out, (x, second), mask)
            same(out, result_of("blend", x, second, mask))


@pytest.mark.parametrize("dtype", DTYPES)
def test_unselected_values_do_not_change_the_result(isa, dtype):
    """An infinity or NaN that is not selected does not change the result, and without a scale nothing is rounded."""
    for shape, axes in [((9, 40), ()), ((6000,), ()), ((4, 16, 64), (2,)), ((4, 64, 16), (1,))]:
        mask = mask_for(shape, 0.5, 1.0, axes)
        kept = kept_of(mask)
        x, second = values(shape, dtype), values(shape, dtype, 1)
        for special in (np.nan, np.inf, -np.inf):
            one, other = np.where(kept, x, dtype(special)), np.where(kept, dtype(special), second)
            out = np.empty(shape, dtype)
            cpu.elementwise("blend", out, (one, other), mask)
            assert out.tobytes() == np.where(kept, x, second).tobytes()
            cpu.elementwise("alpha", out, (one,), mask)
            assert out.tobytes() == np.where(kept, x + dtype(0), dtype(rule.ALPHA_DROPPED)).tobytes()


def test_alpha_dropout_keeps_mean_and_variance():
    """With the scale and the shift of Klambauer et al., section 1."""
    x, p = values(10**6, np.float64), 0.3
    q, value = 1 - p, rule.ALPHA_DROPPED
    scale = (q + value**2 * q * p) ** -0.5
    out, shift = np.empty_like(x), -scale * p * value
    cpu.elementwise("alpha", out, (x,), mask_for(x.shape, p, scale), shift)
    assert abs(out.mean()) < 5e-3
    assert abs(out.var() - 1) < 5e-3
    dropped = out[~kept_of(mask_for(x.shape, p))]
    np.testing.assert_allclose(dropped, value * scale + shift, rtol=1e-15)


# ---- Gaussian noise ----

# Around registers, groups of 64, tiles and threads' shares.
SIZES = [0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 2047, 2048, 2049, 4096, 4097, 10_000]
DRAW = kernels.Draw(KEY, CALL)
SAMPLE = reference.normals(42, 7, np.arange(2**20)).astype(np.float64)


def noisy(x, sigma, key=KEY, call=CALL):
    with np.errstate(all="ignore"):
        return reference.gaussian(x, key, call, sigma)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.0, 0.65, 1.0, 1e3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_against_the_reference(isa, thread_count, dtype, sigma):
    for size in SIZES:
        memory = values(size + 4, dtype)
        for start in (0, 1, 3):
            x, out = memory[start : start + size], np.full(size + 4, 7, dtype)
            part = out[start : start + size]
            assert cpu.gaussian(x, part, DRAW, sigma) is part
            same(part, noisy(x, sigma))
            assert (np.delete(out, np.s_[start : start + size]) == 7).all(), "written beside the array"
        inplace = memory[:size].copy()
        cpu.gaussian(inplace, inplace, DRAW, sigma)
        same(inplace, noisy(memory[:size], sigma))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_layouts(isa, dtype, name):
    """Normal numbers follow C order for any strides."""
    shape, view = LAYOUTS[name]
    x = view(values(shape, dtype))
    x.flags.writeable = False
    for out in (np.empty(x.shape, dtype), view(np.empty(shape, dtype)), np.empty(x.shape[::-1], dtype).T):
        assert cpu.gaussian(x, out, DRAW, 0.5) is out
        same(np.ascontiguousarray(out), np.ascontiguousarray(noisy(x, 0.5)))
    inplace = view(values(shape, dtype))
    cpu.gaussian(inplace, inplace, DRAW, 0.5)
    same(np.ascontiguousarray(inplace), np.ascontiguousarray(noisy(x, 0.5)))


def test_gaussian_of_unaligned_arrays(isa):
    x, memory = values(500, np.float32), np.empty(2001, np.uint8)
    out = memory[1:].view(np.float32)
    assert not out.flags.aligned
    cpu.gaussian(x, out, DRAW, 0.5)
    same(np.array(out), noisy(x, 0.5))


def test_gaussian_of_large_arrays(isa, thread_count):
    """Arrays above the size from which threads take small pieces."""
    x = np.ones(2**22 + 77, np.float16)
    out = np.empty_like(x)
    cpu.gaussian(x, out, DRAW, 1.0)
    for start in (0, 2**20 - 100, x.size - 300):
        number = np.arange(start, start + 300)
        z = reference.normals(KEY, CALL, number)
        same(out[number], (np.float32(1) + z).astype(np.float16))


@pytest.mark.parametrize("group", [2**26 - 1, 2**28 - 1, 2**40 + 5, 2**50 - 1])
def test_gaussian_of_far_elements(isa, group):
    """Element and block indices that carry into the counter's next word."""
    x = np.ones(300)
    out = np.empty_like(x)
    kernels.gaussian(out, x, DRAW, 1.0, 1, group)
    number = np.arange(300, dtype=np.uint64) + np.uint64(64 * group)
    same(out, 1 + reference.normals(KEY, CALL, number).astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_of_special_values(isa, dtype):
    special = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, 65504.0, 1e-45, 6e-8, 1e-310], dtype)
    x = np.resize(special, 1000)
    out = np.empty_like(x)
    for sigma in (0.0, 0.5, 40.0):
        cpu.gaussian(x, out, DRAW, sigma)
        same(out, noisy(x, sigma))
    cpu.gaussian(x, out, DRAW, 0.0)
    same(out, x)


def test_box_muller_is_accurate():
    """Against the C library in double precision, also at the smallest and largest values of both words."""
    random = np.random.default_rng(3)
    first, second = (random.integers(0, 2**32, 10**6, dtype=np.uint32) for _ in range(2))
    first[:2000] = np.arange(-1000, 1000, dtype=np.int32).view(np.uint32)
    second[:2000] = random.permutation(first[:2000])
    second[2000:4000] = 2**30 + np.arange(-1000, 1000)
    with np.errstate(all="raise"):
        one, other = reference.box_muller(first, second)
    u = (first >> np.uint32(1) | np.uint32(1)).astype(np.float32).astype(float) * 2.0**-31
    angle = ((second & np.uint32(2**30 - 1)).astype(float) - 2**29) * np.pi * 2.0**-31
    radius, mirrored, exchanged = np.sqrt(-2 * np.log(u)), second >= 2**31, second & np.uint32(2**30) != 0
    x, y = radius * np.where(mirrored, -np.cos(angle), np.cos(angle)), radius * np.sin(angle)
    for found, wanted in ((one, np.where(exchanged, y, x)), (other, np.where(exchanged, x, y))):
        assert found.dtype == np.float32
        error = np.abs(found - wanted) / np.spacing(np.abs(found))
        assert error.max() < 5
        assert error.mean() < 0.6


FIXED = [
    "-0x1.654d960000000p+0",
    "0x1.cd05900000000p-3",
    "0x1.56e92e0000000p-1",
    "0x1.b4c5440000000p-2",
    "0x1.318b8a0000000p-1",
    "0x1.96fee20000000p-1",
    "-0x1.2b7ca80000000p+0",
    "0x1.47ed0c0000000p-1",
]


def test_normal_numbers_are_fixed():
    """The rule is final: an element's number never changes."""
    found = reference.normals(0x0123456789ABCDEF, 2**32 - 3, [0, 16, 32, 48, 1, 63, 64, 2**40])
    assert [v.hex() for v in found.astype(float)] == FIXED


def normal_cdf(z):
    return 0.5 * np.array([math.erfc(-v / math.sqrt(2)) for v in z])


class TestStatistics:
    """2^20 numbers with fixed seeds; the bounds are five standard deviations of the estimates."""

    def test_moments_tails_and_correlations(self):
        """All tests of normal numbers in `make statistics`; a false alarm in one of a thousand keys."""
        found = normal_tests(SAMPLE)
        assert min(found.values()) > 1e-3 / len(found), found

    def test_distribution(self):
        """The Kolmogorov-Smirnov distance; it exceeds 1.95 / sqrt(n) once in a thousand."""
        for part in (SAMPLE[: 2**18], *(SAMPLE[: 2**20].reshape(-1, 4, 16)[:, j].ravel()[:100_000] for j in range(4))):
            z = np.sort(part)
            step = np.arange(z.size + 1) / z.size
            cdf = normal_cdf(z)
            distance = max((step[1:] - cdf).max(), (cdf - step[:-1]).max())
            assert distance < 1.95 / math.sqrt(z.size)

    def test_both_numbers_of_a_pair_fill_the_plane(self):
        one, other = SAMPLE.reshape(-1, 2, 2, 16)[:, :, 0].ravel(), SAMPLE.reshape(-1, 2, 2, 16)[:, :, 1].ravel()
        counts = np.histogram(np.arctan2(one, other), 64, (-np.pi, np.pi))[0]
        expected = one.size / 64
        assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * math.sqrt(2 * 63)

    @pytest.mark.parametrize(("key", "call"), [(42, 8), (43, 7), (42, 7 + 2**32), (42 + 2**32, 7), (7, 42)])
    def test_calls_and_seeds_are_independent(self, key, call):
        other = reference.normals(key, call, np.arange(2**17)).astype(float)
        assert abs((SAMPLE[: 2**17] * other).mean()) < 5 / math.sqrt(2**17)
        assert abs(((SAMPLE[: 2**17] ** 2 - 1) * (other**2 - 1)).mean()) < 5 * 2 / math.sqrt(2**17)

    def test_masks_are_independent_of_them(self):
        kept = reference.keep(42, 7, 2**39, (2**17,))
        assert abs((SAMPLE[: 2**17] * (2.0 * kept - 1)).mean()) < 5 / math.sqrt(2**17)

    def test_the_far_tail_occurs(self):
        """Of 2^24 numbers, 9.6 are expected beyond 5; the largest possible number is 6.5."""
        x = np.ones(2**24, np.float32)
        z = cpu.gaussian(x, x, kernels.Draw(1, 2), 1.0) - np.float32(1)
        beyond = [int((np.abs(z) > bound).sum()) for bound in (3, 4, 5)]
        for count, bound in zip(beyond, (3, 4, 5), strict=True):
            expected = 2**24 * math.erfc(bound / math.sqrt(2))
            assert abs(count - expected) < 5 * math.sqrt(expected)
        assert (z > 4.8).any()
        assert (z < -4.8).any()
        largest = max(abs(float(v[0])) for v in reference.box_muller(np.uint32([0]), np.uint32([2**29])))
        assert 6.55 < largest < 6.56
