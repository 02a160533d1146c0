"""Slices of masks have the keep bits of the whole mask, for any slice, layout and instruction set."""

import itertools
import pickle

import masks
import numpy as np
import pytest
from devices import DTYPES, same, values

import fastdrop as fd
from fastdrop import reference
from fastdrop._kernels import cpu as kernels
from fastdrop.backends.cuda import operations
from fastdrop.bit_layout import BitLayout
from fastdrop.rule import threshold_and_scale

SLICES = [slice(None), slice(1, None), slice(2, -1), slice(None, None, -1), slice(None, None, 2), slice(-2, 1, -3)]
INDICES = [
    np.s_[...],
    np.s_[3],
    np.s_[-1],
    np.s_[2:5],
    np.s_[::-1],
    np.s_[5:2],
    np.s_[:, 4],
    np.s_[..., 2],
    np.s_[..., ::-2],
    np.s_[1:, None, 3:9],
    np.s_[None],
    np.s_[..., None],
    np.s_[1:2, ..., 3:4],
    np.s_[np.int64(2), ..., np.array(1)],
    np.s_[100:, 1],
]


def mask_of(shape, p=0.3, shared=(), rng=9, scaling="inverted"):
    return fd.dropout(np.zeros(shape, np.float16), p, rng=rng, shared_axes=shared, scaling=scaling)[1]


def check_slice(mask, index, dtype=np.float32):
    """Compare the slice's booleans, packed bits and results with those of the whole mask."""
    part, kept = mask[index], np.asarray(mask)[index]
    assert part.shape == kept.shape
    np.testing.assert_array_equal(np.asarray(part), kept)
    assert part.scale == mask.scale
    if kept.size == 0:
        return
    bits = kept[tuple(slice(1) if axis in part.shared_axes else slice(None) for axis in range(kept.ndim))]
    assert part.noise_shape == bits.shape
    np.testing.assert_array_equal(part.packed(), np.packbits(bits.ravel(), bitorder="little"))
    x = values(mask.shape, dtype)
    whole = mask(x)
    same(np.asarray(part(x[index])), whole[index])
    same(fd.dropout_backward(x[index], part), whole[index])


@pytest.mark.parametrize("shared", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_a_slice_has_the_keep_bits_of_the_whole(index, shared):
    check_slice(mask_of((6, 10, 37), shared=shared), index)


@pytest.mark.parametrize("dtype", DTYPES)
def test_slices_of_all_axes(isa, thread_count, dtype):
    for shared, index in itertools.product([(), (0,), (2,)], itertools.product(SLICES, repeat=3)):
        mask = mask_of((4, 5, 70), shared=shared)
        x = values(mask.shape, dtype)
        same(mask[index](x[index]), mask(x)[index])


LAYOUTS = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "thirds": lambda x: np.repeat(x, 3, axis=-1)[..., ::3],
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "one row": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_across_tiles(isa, thread_count, dtype, layout):
    """Long runs that begin anywhere in a tile, blocks of the transposed kernel and repeated rows, also in place."""
    parts = [np.s_[3:], np.s_[:, 1000:6000], np.s_[:, ::-1], np.s_[::-2, 5:], np.s_[:, 7::2], np.s_[:, 4000]]
    for shared, index in itertools.product([(), (0,), (1,)], parts):
        mask = mask_of((300, 6100) if layout == "F" and not shared else (12, 6100), shared=shared)
        part = mask[index]
        kept = np.asarray(mask)[index]
        x = LAYOUTS[layout](values(kept.shape, dtype)) if kept.ndim == 2 else values(kept.shape, dtype)
        wanted = reference.apply(x, kept, mask.scale)
        same(part(x), wanted)
        y = x.copy(order="K")
        assert part(y, y) is y
        same(y, wanted)


def test_random_parts_of_parts():
    rng = np.random.default_rng(4)
    for _ in range(400):
        shape = tuple(rng.integers(1, 9, rng.integers(1, 5)).tolist())
        shared = tuple(axis for axis in range(len(shape)) if rng.random() < 0.3)
        mask = part = mask_of(shape, 0.5, shared)
        kept = np.asarray(mask)
        for _ in range(3):
            index = tuple(random_item(rng, size) for size in kept.shape[: rng.integers(0, kept.ndim + 1)])
            part, kept = part[index], kept[index]
        assert part.shape == kept.shape
        np.testing.assert_array_equal(np.asarray(part), kept)
        x = values(kept.shape, np.float32)
        same(np.asarray(part(x)), reference.apply(x, kept, mask.scale))


def random_item(rng, size):
    start, stop = (int(n) for n in rng.integers(-size - 1, size + 2, 2))
    if size and rng.random() < 0.2:
        return int(rng.integers(-size, size))
    return slice(*(None if rng.random() < 0.3 else n for n in (start, stop)), int(rng.choice([-3, -2, -1, 1, 1, 2])))


def test_kernels_follow_the_rule_for_any_geometry(isa):
    """Keep bits beyond 2^32, and steps larger than a small mask, against the rule in plain NumPy."""
    threshold, scale = threshold_and_scale(0.3, "inverted")
    key, call = 2**64 - 1, 2**64 - 2
    for first, strides in [
        (2**40 + 77, (2**33, -5)),
        (2**55, (-(2**50), 1)),
        (2**56 - 9000, (3000, 1)),
        (5, (2**54, 0)),
        (2048 * 99, (0, -1)),
    ]:
        x = values((3, 3000), np.float32)
        y = np.empty_like(x)
        mask = masks.mask_of(x.shape, key, call, threshold=threshold, scale=scale, layout=BitLayout(first, strides))
        kernels.elementwise("dropout", (y, x), mask, 1)
        same(y, reference.apply(x, reference.keep_slice(key, call, threshold, x.shape, first, strides), scale))


def test_strides_for_another_number_of_axes_are_refused():
    x, mask = np.ones((3, 4)), masks.mask_of((3, 4), 1, 0, 0.3, layout=BitLayout(0, (12, 4, 1)))
    with pytest.raises(ValueError, match="2 axes have 3 strides"):
        kernels.elementwise("dropout", (x, x), mask, 1)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_extreme_rates(p, scaling):
    mask = mask_of((40, 50), p, scaling=scaling)
    check_slice(mask, np.s_[3:, ::-2])
    assert np.asarray(mask[3:, ::-2]).all() == (p == 0.0)


def test_alpha_masks_are_sliced_too():
    x = values((40, 30), np.float32)
    _, mask = fd.alpha_dropout(x, 0.4, rng=1)
    same(fd.dropout_backward(x[5:, ::2], mask[5:, ::2]), mask(x)[5:, ::2])


def test_equal_slices_are_equal():
    mask = mask_of((10, 7, 1), shared=(2,))
    for index in (np.s_[:], np.s_[...], np.s_[:, :, ::-1], np.s_[0:10]):
        assert mask[index] == mask
        assert hash(mask[index]) == hash(mask)
    assert mask[::-1] != mask
    assert mask[::-1][::-1, :, ::-1] == mask
    assert hash(mask[:, ::-1][:, ::-1]) == hash(mask)
    assert mask[2:8][1:3] == mask[3:5]
    assert hash(mask[2:8][1:3]) == hash(mask[3:5])
    assert mask[2:8][1:3] != mask[4:6]
    assert mask[4:5, None][0] == mask[4:5, ...]
    assert mask[4] == mask[3:6][1] == mask[::-1][5]
    assert mask[3:4, 2:3, :] == mask[3:4, 2:5, :][:, ::-2][:, 1:]
    # the first keep bits are those of a smaller mask
    assert mask[:3] == mask_of((3, 7, 1), shared=(2,))
    assert type(mask[:3]) is type(mask)
    assert mask[9:2] == mask_of((0, 7, 1), shared=(2,))


def test_pickles():
    mask = mask_of((2000, 1000))[1000:, ::-2]
    saved = pickle.dumps(mask)
    assert len(saved) < 400
    copy = pickle.loads(saved)
    assert (copy, hash(copy), repr(copy)) == (mask, hash(mask), repr(mask))
    np.testing.assert_array_equal(np.asarray(copy), np.asarray(mask))
    state = mask.__getstate__()
    with pytest.raises(ValueError, match="version 2"):
        type(mask).__new__(type(mask)).__setstate__({**state, "rule_version": 2})


def test_states_of_older_versions_load():
    """Pickled states of a mask of shape (3, 4), p = 0.5, from before slicing existed, and of a slice."""
    old = mask_of((3, 4), 0.5, rng=5)
    state = {
        "rule_version": 1,
        "shape": (3, 4),
        "shared_axes": (),
        "p": 0.5,
        "scale": 2.0,
        "recipe": (5, 0, 2**39),
    }
    new = {"key": 5, "call": 0, "threshold": 2**39, "layout": None, "made_by": "dropout"}
    assert old.__getstate__() == {name: value for name, value in state.items() if name != "recipe"} | new
    loaded = fd.Mask.__new__(fd.Mask)
    loaded.__setstate__(state)
    assert loaded == old
    assert loaded[1:][1:] == old[2:]
    loaded.__setstate__({**state, "window": (4, (4, 1)), "shape": (2, 4), "made_by": "dropout"})
    assert loaded == old[1:]
    noise = fd.GaussianNoise.__new__(fd.GaussianNoise)
    noise.__setstate__({"rule_version": 1, "shape": (3,), "p": 0.5, "recipe": (5, 7)})
    assert (noise.draw.key, noise.draw.call) == (5, 7)


def test_the_repr_says_the_layout():
    mask = mask_of((10, 6), shared=(1,), rng=3)
    assert repr(mask[::-1]) == (
        "Mask(shape=(10, 6), p=0.3, key=3, call=0, shared_axes=(1,), layout=BitLayout(first=9, strides=(-1, 0)))"
    )
    assert "layout" not in repr(mask)
    assert mask[4:].layout == BitLayout(4, (1, 0))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (np.s_[10], IndexError, "index 10 is out of bounds for axis 0 with size 10"),
        (np.s_[:, -8], IndexError, "index -8 is out of bounds for axis 1 with size 7"),
        (np.s_[1, 2, 3], IndexError, "2-dimensional, but 3 were indexed"),
        (np.s_[..., 1, ...], IndexError, "single ellipsis"),
        (np.s_[1.0], IndexError, "float"),
        ((None,) * 63, IndexError, "65 axes; there are at most 64"),
        ("name", IndexError, "str"),
        (np.s_[::0], ValueError, "zero"),
        ([1, 2], TypeError, "list"),
        (np.s_[:, [0]], TypeError, "list"),
        (np.arange(3), TypeError, "ndarray"),
        (np.s_[1, True], TypeError, "bool"),
        (np.True_, TypeError, "bool"),
        (np.zeros((10, 7), bool), TypeError, r"asarray\(mask\)"),
    ],
)
def test_other_indices_are_refused(index, error, message):
    mask = mask_of((10, 7))
    for whole in (mask, mask[::-1]):
        with pytest.raises(error, match=message):
            whole[index]


def test_a_slice_fits_arrays_of_its_shape_alone():
    with pytest.raises(ValueError, match=r"\(3, 7\).*\(4, 7\)"):
        mask_of((10, 7))[5:8](np.ones((4, 7)))


def test_functions_that_need_a_whole_mask_say_so():
    """They read keep bits from the first one on: with a slice, their results would be silently wrong."""
    x, weight, dy, more = np.ones((4, 6)), np.ones((3, 6)), np.ones((4, 3)), np.ones((5, 6))
    per_batch = fd.dropconnect(np.ones((4, 12)), np.ones((3, 12)), per_example=False)[1]
    per_example = fd.dropconnect(more, weight)[1]
    calls = [
        lambda: fd.dropconnect_backward(dy, x, weight, per_batch[:, 6:]),
        lambda: fd.dropconnect_backward(dy, x, weight, per_example[1:]),
        lambda: fd.softmax_dropout_backward(x, x, fd.softmax_dropout(more)[1][1:]),
        lambda: fd.bias_activation_dropout_backward(x, x, np.ones(6), fd.bias_activation_dropout(more, more[0])[1][1:]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="slice of another"):
            call()


def test_zoneouts_masks_can_be_sliced():
    one, other = values((5, 6), np.float32), values((5, 6), np.float32, 1)
    _, mask = fd.zoneout(one, other, 0.4, rng=3)
    for found, whole in zip(fd.zoneout_backward(one[1:], mask[1:]), fd.zoneout_backward(one, mask), strict=True):
        same(found, whole[1:])


def test_other_noises_cannot_be_sliced():
    x = np.ones((2, 3, 8, 8))
    noises = [fd.gaussian_dropout(x, 0.3, rng=0)[1], fd.dropblock(x, 0.3, 3, rng=0)[1], fd.cutout(x, 3, rng=0)[1]]
    for noise in noises:
        with pytest.raises(TypeError, match="cannot be sliced"):
            noise[0]


CUDA_SLICES = [
    ((130, 77), np.s_[30:]),
    ((130, 77), np.s_[::-1, 5:70]),
    ((130, 77), np.s_[3:, ::2]),
    ((130, 77), np.s_[7, 60]),
    ((5, 12_345), np.s_[1:, 1000:]),
    ((20_000,), np.s_[2047:]),
    ((20_000,), np.s_[::-3]),
    ((6, 5, 64), np.s_[1:, None, ::-1, 3:]),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shared", "kernels"),
    [((), {"stepped", "transposed", "rows"}), ((0,), {"stepped", "columns", "rows"}), (-1, {"stepped", "rows"})],
)
def test_slices_on_cuda(gpu, dtype, shared, kernels, monkeypatch):
    """Every kernel that slices use, on arrays in C and F order."""
    ran, launch = set(), operations._launch
    monkeypatch.setattr(operations, "_launch", lambda name, *rest, **more: ran.add(name) or launch(name, *rest, **more))
    for shape, index in CUDA_SLICES:
        mask = mask_of(shape, shared=shared)
        part, kept = mask[index], np.asarray(mask)[index]
        for order in "CF":
            x = np.asarray(values(kept.shape, dtype), order=order)
            wanted = reference.apply(x, kept, mask.scale)
            given = gpu.put(x.T).T if order == "F" else gpu.put(x)
            same(gpu.get(part(given)), wanted)
        np.testing.assert_array_equal(gpu.get(part.booleans(like=given)), kept)
        np.testing.assert_array_equal(gpu.get(part.packed(like=given)), part.packed())
    assert kernels <= {name.partition("<")[0].removeprefix("fd_").removesuffix("_kernel") for name in ran}


def test_unscaled_slices_on_cuda_keep_every_bit(gpu):
    mask = mask_of((30, 50), scaling="classic")
    x = np.arange(1500, dtype=np.uint16).view(np.float16).reshape(30, 50)
    wanted = np.where(np.asarray(mask), x, np.float16(0))[3:, ::2]
    found = gpu.get(mask[3:, ::2](gpu.put(np.ascontiguousarray(x[3:, ::2]))))
    np.testing.assert_array_equal(found.view(np.uint16), wanted.view(np.uint16))
