"""What takes a dropped element's place, and normally distributed noise, on the CPU, against the reference, bit for bit.

The backend's functions are called, upon which the public ones stand.
"""

import functools

import ml_dtypes
import numpy as np
import pytest

from fastdrop import reference, rule
from fastdrop._kernels import cpu as kernels
from fastdrop.backends import cpu

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
OPERATIONS = ["choose", "alpha"]
# Around registers, units of 32, tiles, and what is drawn while it is applied.
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


def recipe_of(p, scale=None):
    threshold = rule.threshold_of(p)
    return kernels.Recipe(KEY, CALL, threshold, rule.inverted_scale(threshold) if scale is None else scale)


def kept_of(recipe, shape, shared_axes=()):
    decisions = [1 if axis in shared_axes else size for axis, size in enumerate(shape)]
    kept = uniform40(int(np.prod(decisions))) < np.uint64(recipe.threshold)
    return np.broadcast_to(kept.reshape(decisions), shape)


def inputs_of(operation, shape, dtype, width=1):
    """x, and the second operand: an array like it, or a row."""
    second = shape if operation == "choose" else shape[-1:]
    return values(shape, dtype, 0, width), values(second, dtype, 1, width)


def wanted(operation, x, second, recipe, shared_axes=()):
    with np.errstate(all="ignore"):
        return getattr(reference, operation)(x, second, kept_of(recipe, x.shape, shared_axes), recipe.scale)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_reference(isa, thread_count, dtype, operation, p):
    for shape in SHAPES:
        x, second = inputs_of(operation, shape, dtype)
        for scale in (None, 1.0, 0.75):
            recipe = recipe_of(p, scale)
            out = np.empty_like(x)
            assert cpu.elementwise(operation, out, (x, second), recipe) is out
            same(out, wanted(operation, x, second, recipe))
            inplace = x.copy()
            cpu.elementwise(operation, inplace, (inplace, second), recipe)
            same(inplace, out)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(isa, thread_count, dtype, name):
    shape, view = LAYOUTS[name]
    x, recipe = view(values(shape, dtype)), recipe_of(0.3)
    x.flags.writeable = False
    for operation in OPERATIONS if x.ndim else ["choose"]:
        for second in inputs_of(operation, x.shape, dtype)[1:] + (
            (view(values(shape, dtype, 2)),) * (operation == "choose")
        ):
            for out in (np.empty(x.shape, dtype), view(np.empty(shape, dtype)), np.empty(x.shape[::-1], dtype).T):
                cpu.elementwise(operation, out, (x, second), recipe)
                same(np.ascontiguousarray(out), wanted(operation, np.ascontiguousarray(x), second, recipe))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes(isa, thread_count, dtype, operation):
    for shape, axes in SHARED:
        x, second = inputs_of(operation, shape, dtype)
        for p in (0.4, 0.5):
            recipe = recipe_of(p)
            for array in (x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]):
                out = np.empty_like(array)
                cpu.elementwise(operation, out, (array, second), recipe, axes)
                same(np.ascontiguousarray(out), wanted(operation, x, second, recipe, axes))


def test_the_second_operand_broadcasts(isa, thread_count):
    x, recipe = values((6, 70, 33), np.float32), recipe_of(0.3)
    for shape in [(1, 1, 1), (33,), (70, 1), (6, 1, 33), (1, 70, 33)]:
        second = values(shape, np.float32, 1)
        for axes in [(), (1,), (2,), (0, 2)]:
            out = np.empty_like(x)
            cpu.elementwise("choose", out, (x, second), recipe, axes)
            same(out, wanted("choose", x, second, recipe, axes))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_chosen_does_not_show(isa, dtype):
    """An infinity or a NaN in the place that is not taken leaves no trace, and without a scale nothing is rounded."""
    recipe = recipe_of(0.5, 1.0)
    for shape, axes in [((9, 40), ()), ((6000,), ()), ((4, 16, 64), (2,)), ((4, 64, 16), (1,))]:
        kept = kept_of(recipe, shape, axes)
        x, second = values(shape, dtype), values(shape, dtype, 1)
        for special in (np.nan, np.inf, -np.inf):
            one, other = np.where(kept, x, dtype(special)), np.where(kept, dtype(special), second)
            out = np.empty(shape, dtype)
            cpu.elementwise("choose", out, (one, other), recipe, axes)
            assert out.tobytes() == np.where(kept, x, second).tobytes()
            row = np.zeros(shape[-1], dtype)
            cpu.elementwise("alpha", out, (one, row), recipe, axes)
            assert out.tobytes() == np.where(kept, x + row, dtype(reference.ALPHA_VALUE)).tobytes()


def test_alpha_dropout_keeps_mean_and_variance():
    """With the scale and the shift of Klambauer et al., section 1."""
    x, p = values(10**6, np.float64), 0.3
    q, value = 1 - p, reference.ALPHA_VALUE
    scale = (q + value**2 * q * p) ** -0.5
    out, shift = np.empty_like(x), np.full(x.shape, -scale * p * value)
    cpu.elementwise("alpha", out, (x, shift), recipe_of(p, scale))
    assert abs(out.mean()) < 5e-3
    assert abs(out.var() - 1) < 5e-3
    dropped = out[~kept_of(recipe_of(p), x.shape)]
    np.testing.assert_allclose(dropped, value * scale + shift[0], rtol=1e-15)
