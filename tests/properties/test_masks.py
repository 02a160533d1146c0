"""Masks and noises by themselves: calling, `*`, slicing, reading, saving.

Every mask is a linear operator with one factor for each element; its slices have the keep bits of the whole mask.
"""

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import oracle
import pytest
from devices import same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices
from operations import DTYPES, TABLE
from registry import covers
from strategies import contents, layouts, machines, make_source, place, rates, running_on, several_axes, shapes, sources

import fastdrop as fd
from fastdrop import reference

LINEAR = [
    name for name in TABLE if name not in ("zoneout", "bias_activation_dropout", "softmax_dropout", "dropconnect")
]
dtypes = st.sampled_from(DTYPES)


@st.composite
def masks(draw: Any, shape: Any = None, key: int = 5, call: int = 7) -> tuple[fd.Mask, np.ndarray]:
    """A mask from its constructor, and the elements that the mask rule keeps."""
    size = draw(shapes(elements=3000, large=False)) if shape is None else shape
    said, axes = draw(several_axes(len(size)))
    p, scaling = draw(rates()), draw(st.sampled_from(["inverted", "classic"]))
    mask = fd.Mask(size, p, make_source("stream", key, call).rng, said, scaling)
    return mask, oracle.kept(key, call, float(p), size, axes)


@pytest.mark.parametrize("name", TABLE)
@covers("MultiplicativeNoise", "Mask.factors", "GaussianNoise.factors", "BlockMask.factors", "CutoutMask.factors")
@covers("Mask.__call__", "GaussianNoise.__call__", "BlockMask.__call__", "CutoutMask.__call__")
@given(data=st.data())
def test_calling_multiplies_by_the_factors(name, data):
    """`mask(dy)`, `mask * dy`, `dy * mask` and numpy.multiply are one operation, the backward of linear functions."""
    call, source = data.draw(TABLE[name]()), data.draw(sources(("stream",)))
    _, mask = call.function(*call.arrays.values(), rng=source.rng, **call.keywords)
    if mask is None:
        return
    assert isinstance(mask, fd.MultiplicativeNoise)
    dtype = data.draw(dtypes)
    dy = place(data.draw(contents(mask.shape, dtype)), data.draw(layouts(len(mask.shape))))
    before, ones = dy.memory.copy(), np.ones(mask.shape, dtype)
    out = place(np.zeros(mask.shape, dtype), data.draw(layouts(len(mask.shape), writable=True)))
    out_before = out.memory.copy()
    with running_on(data.draw(machines)):
        expected = mask(dy.array)
        for actual in (mask * dy.array, dy.array * mask, np.multiply(dy.array, mask), mask(dy.array, out.array)):
            same(actual, expected)
        factors = mask.factors(dtype)
        same(factors, mask(ones))
        if name in LINEAR:
            same(fd.dropout_backward(dy.array, mask), expected)
            same(fd.dropout_backward(ones, mask), factors)
    assert dy.untouched_since(before)
    assert out.untouched_since(out_before, out.array)
    if isinstance(mask, fd.Mask):
        with np.errstate(all="ignore"):
            same(expected, reference.apply(dy.array.astype(dtype, order="C"), np.asarray(mask), mask.scale))


@covers("Mask", "Mask.packed", "Mask.booleans", "Mask.keep_prob", "Mask.threshold", "Mask.scale", "Mask.noise_shape")
@covers("Mask.__array__", "Mask.p", "Mask.shape", "Mask.shared_axes", "Mask.made_by", "Mask.draw", "Mask.layout")
@given(data=st.data())
def test_a_mask_shows_the_keep_bits_of_the_rule(data):
    mask, kept = data.draw(masks())
    with running_on(data.draw(machines)):
        np.testing.assert_array_equal(np.asarray(mask), kept)
        np.testing.assert_array_equal(mask.booleans(), kept)
        assert mask.noise_shape == tuple(
            1 if axis in mask.shared_axes else size for axis, size in enumerate(mask.shape)
        )
        if kept.size:
            np.testing.assert_array_equal(mask.packed(), packed(kept, mask))
        looks = (np.count_nonzero, np.any, np.all, np.flatnonzero, np.argwhere, np.nonzero, np.shape, np.size, np.ndim)
        for look in looks if kept.ndim else ():
            np.testing.assert_equal(look(mask), look(kept))
        np.testing.assert_array_equal(np.where(mask, 2.0, 1.0), np.where(kept, 2.0, 1.0))
        assert np.array_equal(np.asarray(mask, np.float64), kept)
    assert (mask.keep_prob, mask.threshold) == (oracle.threshold(mask.p) / 2**40, oracle.threshold(mask.p))
    assert (mask.draw.key, mask.draw.call, mask.layout, mask.made_by) == (5, 7, None, "dropout")
    assert mask.scale in (oracle.scale(mask.p), 1.0)


def packed(kept: np.ndarray, mask: fd.Mask) -> np.ndarray:
    """The expected `mask.packed()`, from the kept elements."""
    bits = kept[tuple(slice(1) if axis in mask.shared_axes else slice(None) for axis in range(kept.ndim))]
    return np.packbits(bits.ravel(), bitorder="little")


@covers("Mask.__getitem__", "Mask.layout")
@given(data=st.data())
def test_slices_of_slices_have_the_keep_bits_of_the_whole(data):
    mask, kept = data.draw(masks())
    x = data.draw(contents(mask.shape, data.draw(dtypes)))
    with running_on(data.draw(machines)):
        whole, part = mask(x), mask
        for _ in range(data.draw(st.integers(1, 3))):
            index = data.draw(basic_indices(kept.shape, allow_newaxis=True, allow_ellipsis=True))
            part, kept, x, whole = (each[index] for each in (part, kept, x, whole))
            if not isinstance(kept, np.ndarray):
                kept, x, whole = np.asarray(kept), np.asarray(x), np.asarray(whole)
        assert part.shape == kept.shape
        assert (part.p, part.scale, part.draw, part.threshold) == (mask.p, mask.scale, mask.draw, mask.threshold)
        np.testing.assert_array_equal(np.asarray(part), kept)
        same(part(x), whole.copy())
        same(part * x, whole.copy())
        same(fd.dropout_backward(x, part), whole.copy())
        check_saved(part)
        if kept.size:
            np.testing.assert_array_equal(part.packed(), packed(np.asarray(part), part))


@given(data=st.data())
def test_chunks_have_the_mask_of_the_whole(data):
    """The pieces of an array, split anywhere along an axis, get the mask of the whole."""
    mask, _ = data.draw(masks(data.draw(shapes(1, 3, elements=3000, large=False))))
    x = data.draw(contents(mask.shape, data.draw(dtypes)))
    axis = data.draw(st.integers(0, x.ndim - 1))
    edges = sorted({0, x.shape[axis], *data.draw(st.lists(st.integers(0, x.shape[axis]), max_size=4))})
    places = [(slice(None),) * axis + (slice(begin, end),) for begin, end in itertools.pairwise(edges)]
    with running_on(data.draw(machines)):
        pieces = [mask[place](x[place]) for place in places] or [x]
        same(np.concatenate(pieces, axis=axis), mask(x))


@pytest.mark.parametrize("name", TABLE)
@covers("GaussianNoise", "BlockMask", "CutoutMask", "GaussianNoise.sigma", "BlockMask.booleans", "CutoutMask.booleans")
@covers("BlockMask.dropped", "CutoutMask.dropped", "CutoutMask.centres")
@covers(*(f"{kind}.{name}" for kind in ("GaussianNoise", "BlockMask", "CutoutMask") for name in ("__array__", "p")))
@given(data=st.data())
def test_a_mask_equals_its_constructors_and_can_be_saved(name, data):
    """A function returns the mask that its class makes from the same rng; copies and pickles are equal."""
    call = data.draw(TABLE[name]())
    source = data.draw(sources(("stream",)))
    _, mask = call.function(*call.arrays.values(), rng=source.rng, **call.keywords)
    if mask is None:
        return
    rng = make_source("stream", source.key, source.call).rng
    if isinstance(mask, fd.GaussianNoise):
        own: Any = fd.GaussianNoise(mask.shape, mask.p, rng)
        assert mask.sigma**2 * (1.0 - mask.p) == pytest.approx(mask.p, rel=1e-12)
        same(np.asarray(mask), mask.factors(np.float32))
    elif isinstance(mask, fd.BlockMask):
        own = fd.BlockMask(mask.shape, mask.p, call.keywords["block_size"], mask.axes, rng)
    elif isinstance(mask, fd.CutoutMask):
        own = fd.CutoutMask(mask.shape, call.keywords["size"], mask.axes, rng)
        assert all((centre >= 0).all() for centre in mask.centres())
        assert (mask.centres() < [max(1, mask.shape[axis]) for axis in mask.axes]).all() or 0 in mask.shape
    else:
        own = fd.Mask(mask.shape, mask.p, rng, mask.shared_axes, call.keywords.get("scaling", "inverted"))
        np.testing.assert_array_equal(np.asarray(own), np.asarray(mask))
        own = mask
    assert own == mask
    assert hash(own) == hash(mask)
    check_saved(mask)
    if not isinstance(mask, (fd.Mask, fd.GaussianNoise)):
        np.testing.assert_array_equal(mask.booleans(), np.broadcast_to(~mask.dropped(None), mask.shape))


def check_saved(mask: Any) -> None:
    for again in (copy.copy(mask), copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
        assert again == mask
        assert hash(again) == hash(mask)
        assert type(again) is type(mask)
        assert repr(again) == repr(mask)
        if mask.shape:
            np.testing.assert_array_equal(np.asarray(again), np.asarray(mask))


@covers("Mask.__mul__", "GaussianNoise.__mul__", "BlockMask.__mul__", "CutoutMask.__mul__")
@covers(*(f"{kind}.__getitem__" for kind in ("GaussianNoise", "BlockMask", "CutoutMask")))
@pytest.mark.parametrize("name", TABLE)
@given(data=st.data())
def test_operations_that_would_lose_the_scale_are_refused(name, data):
    call, source = data.draw(TABLE[name]()), data.draw(sources(("stream",)))
    _, mask = call.function(*call.arrays.values(), rng=source.rng, **call.keywords)
    if mask is None:
        return
    x, state = np.ones(mask.shape), source.state()
    other = np.ones((*mask.shape, 2))
    frozen = x.copy()
    frozen.flags.writeable = False
    attempts = [
        lambda: np.add(x, mask), lambda: x + np.exp(mask), lambda: np.sum(mask), lambda: np.matmul(x, mask),
        lambda: mask * mask, lambda: mask * 2.0, lambda: mask * other, lambda: mask(other), lambda: mask(x, other),
        lambda: mask(x, frozen), lambda: mask(x.astype(int)), lambda: mask("x"), lambda: mask(None),
        lambda: np.multiply(x, mask, where=False), lambda: np.multiply.reduce(mask),
        lambda: np.asarray(mask, copy=False) if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else mask(None),
    ]  # fmt: skip
    if not isinstance(mask, fd.Mask):
        attempts += [lambda: mask[0], lambda: mask[...]]
    with pytest.raises((TypeError, ValueError)) as caught:
        data.draw(st.sampled_from(attempts))()
    assert str(caught.value)
    assert (x == 1).all()
    assert (other == 1).all()
    assert source.state() == state


NO_SHAPE = [-1, (2, -3), (2.0, 3), "23", None, (2**63,), (1,) * 65, [[2], [3]], ("a",), 2**57, (True,)]


@given(data=st.data())
def test_constructors_refuse_and_draw_nothing(data):
    stream = fd.Stream(3)
    shape = data.draw(st.sampled_from(NO_SHAPE))
    p = data.draw(st.sampled_from([-0.1, 1.5, float("nan"), "half", None, True]))
    axes = data.draw(st.sampled_from([99, (0, 0), 0.5, "0", (None,)]))
    attempts = [
        lambda: fd.Mask(shape, 0.5, stream), lambda: fd.Mask((2, 3), p, stream),
        lambda: fd.Mask((2, 3), 0.5, stream, axes),
        lambda: fd.Mask((2, 3), 0.5, stream, None, "half"), lambda: fd.GaussianNoise(shape, 0.5, stream),
        lambda: fd.GaussianNoise((2, 3), p, stream), lambda: fd.GaussianNoise((2, 3), 1.0, stream),
        lambda: fd.BlockMask(shape, 0.5, 3, (1,), stream), lambda: fd.BlockMask((2, 3), p, 3, (1,), stream),
        lambda: fd.BlockMask((2, 3), 0.5, 0, (1,), stream), lambda: fd.BlockMask((2, 3), 0.5, 3, axes, stream),
        lambda: fd.CutoutMask(shape, 3, (1,), stream), lambda: fd.CutoutMask((2, 3), -1, (1,), stream),
        lambda: fd.CutoutMask((2, 3), 3, axes, stream),
    ]  # fmt: skip
    with pytest.raises((TypeError, ValueError)) as caught:
        data.draw(st.sampled_from(attempts))()
    assert str(caught.value)
    assert stream.calls == 0
