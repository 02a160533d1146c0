"""Every member of the family: its formula in float64, its gradient, its statistics, and what it refuses."""

import pickle
import tracemalloc

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import reference
from fastdrop.regions import block_start_probability
from fastdrop.rule import ALPHA_DROPPED, SELU_ALPHA, SELU_SCALE

RNG = np.random.default_rng(0)

MEMBERS = {
    "gaussian": (lambda x, **how: fd.gaussian_dropout(x, 0.3, **how), fd.dropout_backward),
    "alpha": (lambda x, **how: fd.alpha_dropout(x, 0.3, **how), fd.dropout_backward),
    "feature alpha": (lambda x, **how: fd.feature_alpha_dropout(x, 0.3, **how), fd.dropout_backward),
    "feature alpha last": (
        lambda x, **how: fd.feature_alpha_dropout(x, 0.3, channel_axis=-1, **how),
        fd.dropout_backward,
    ),
    "DropBlock": (lambda x, **how: fd.dropblock(x, 0.3, 2, **how), fd.dropout_backward),
    "DropBlock last": (lambda x, **how: fd.dropblock(x, 0.3, 3, channel_axis=-1, **how), fd.dropout_backward),
    "cutout": (lambda x, **how: fd.cutout(x, 3, **how), fd.dropout_backward),
    "DropPath": (lambda x, **how: fd.drop_path(x, 0.3, **how), fd.dropout_backward),
    "locked": (lambda x, **how: fd.locked_dropout(x, 0.3, **how), fd.dropout_backward),
}
SHAPE = (3, 4, 5, 6)


def factors(name, mask, shape):
    """What each element is multiplied by, and what is added: written down once more, from the papers."""
    if name == "gaussian":
        z = reference.normals(mask.draw.key, mask.draw.call, np.arange(int(np.prod(shape)))).reshape(shape)
        return 1 + np.sqrt(0.3 / 0.7) * z.astype(np.float64), 0.0
    kept = np.asarray(mask)
    if name.startswith(("alpha", "feature")):
        q, alpha = 1 - mask.p, -SELU_SCALE * SELU_ALPHA
        a = (q + alpha**2 * q * (1 - q)) ** -0.5
        b = -a * (1 - q) * alpha
        return a * kept, a * alpha * ~kept + b
    if name.startswith("DropBlock"):
        return kept * (kept.size / kept.sum()), 0.0
    return (kept, 0.0) if name == "cutout" else (kept * mask.scale, 0.0)


@pytest.mark.parametrize("name", MEMBERS)
def test_formula_and_gradient(name):
    forward, backward = MEMBERS[name]
    x = RNG.standard_normal(SHAPE)
    y, mask = forward(x, rng=5)
    factor, shift = factors(name, mask, SHAPE)
    np.testing.assert_allclose(y, x * factor + shift, rtol=1e-14, atol=1e-14)
    dy = RNG.standard_normal(SHAPE)
    dx = backward(dy, mask)
    np.testing.assert_allclose(dx, dy * factor, rtol=1e-14)
    np.testing.assert_array_equal(fd.dropout_backward(dy, pickle.loads(pickle.dumps(mask))), dx)
    for index in [(0, 0, 0, 0), (2, 3, 4, 5), (1, 2, 0, 3), (0, 1, 4, 1)]:
        above, below = x.copy(), x.copy()
        above[index] += 1e-6
        below[index] -= 1e-6
        change = ((forward(above, rng=5)[0] - forward(below, rng=5)[0]) * dy).sum() / 2e-6
        assert change == pytest.approx(dx[index], abs=1e-7)


@pytest.mark.parametrize("name", MEMBERS)
def test_evaluation_returns_the_values(name):
    forward, backward = MEMBERS[name]
    x = RNG.standard_normal(SHAPE)
    x[0, 0, 0, :2] = np.nan, -0.0
    y, mask = forward(x, training=False)
    assert mask is None
    assert y.tobytes() == x.tobytes()
    assert y is not x
    np.testing.assert_array_equal(backward(x, None), x)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_layouts_and_dtypes_change_no_keep_bit(name, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    forward, _ = MEMBERS[name]
    x = RNG.standard_normal(SHAPE).astype(dtype)
    y, mask = forward(x, rng=9)
    assert y.dtype == x.dtype
    wanted, wanted_mask = forward(x.astype(np.float64), rng=9)
    assert mask == wanted_mask
    assert hash(mask) == hash(wanted_mask)
    assert (mask == forward(x, rng=10)[1]) is False
    tolerance = {2: 1e-2, 4: 1e-6, 8: 0}[x.dtype.itemsize]
    np.testing.assert_allclose(y.astype(np.float64), wanted, rtol=tolerance, atol=tolerance)
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(forward(turned, rng=9)[0], y)
    out = x.copy()
    assert forward(out, rng=9, out=out)[0] is out
    np.testing.assert_array_equal(out, y)
    apart = np.zeros((*SHAPE[:3], 2 * SHAPE[3]), dtype)[..., ::2]
    forward(x, rng=9, out=apart)
    np.testing.assert_array_equal(apart, y)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_mask_fits_its_shape_only(name):
    _, mask = MEMBERS[name][0](np.ones(SHAPE), rng=1)
    assert np.asarray(mask).shape == SHAPE
    assert str(SHAPE) in repr(mask)
    with pytest.raises(ValueError, match=r"3, 4, 5, 6.*3, 4, 5, 7"):
        mask(np.ones((3, 4, 5, 7)))
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, `copy` meant something else
        with pytest.raises(ValueError, match="copy"):
            np.array(mask, copy=False)


@pytest.mark.parametrize("name", MEMBERS)
def test_empty_arrays(name):
    forward, backward = MEMBERS[name]
    for shape in ((0, 4, 5, 6), (3, 0, 5, 6), (3, 4, 0, 6)):
        y, mask = forward(np.ones(shape), rng=1)
        assert y.shape == backward(np.ones(shape), mask).shape == shape


@pytest.mark.parametrize(
    ("p", "error"), [(-0.1, ValueError), (1.5, ValueError), (float("nan"), ValueError), ("a", TypeError)]
)
@pytest.mark.parametrize("training", [True, False])
def test_no_probability(p, error, training):
    x = np.ones(SHAPE)
    for function in (
        fd.gaussian_dropout,
        fd.alpha_dropout,
        fd.feature_alpha_dropout,
        fd.drop_path,
        fd.locked_dropout,
        fd.dropblock,
    ):
        with pytest.raises(error, match="probability"):
            function(x, p, training=training)
    with pytest.raises(error, match="probability"):
        fd.zoneout(x, x, p, training=training)


def test_extreme_rates():
    x = RNG.standard_normal(SHAPE)
    x[0, 0, 0, :3] = np.inf, np.nan, -0.0
    for function in (
        fd.gaussian_dropout,
        fd.alpha_dropout,
        fd.feature_alpha_dropout,
        fd.drop_path,
        fd.locked_dropout,
        fd.dropblock,
    ):
        y, mask = function(x, 0.0, rng=1)
        assert y.tobytes() == x.tobytes(), function
        assert mask is not None
        if function is not fd.gaussian_dropout:
            np.testing.assert_array_equal(function(x, 1.0, rng=1)[0], np.zeros(SHAPE))
    with pytest.raises(ValueError, match="infinite"):
        fd.gaussian_dropout(x, 1.0)
    np.testing.assert_array_equal(fd.zoneout(x, -x, 0.0, rng=1)[0], x)
    np.testing.assert_array_equal(fd.zoneout(x, -x, 1.0, rng=1)[0], -x)


def test_dropped_infinities_do_not_show():
    x = np.full((50, 8, 5, 6), np.inf)
    for name in ("DropBlock", "cutout", "DropPath", "locked"):
        y, mask = MEMBERS[name][0](x, rng=2)
        np.testing.assert_array_equal(y == 0, ~np.asarray(mask))
    y, mask = fd.alpha_dropout(x, 0.5, rng=2)
    np.testing.assert_array_equal(np.isfinite(y), ~np.asarray(mask))


@pytest.mark.parametrize("function", [fd.alpha_dropout, fd.feature_alpha_dropout])
def test_alpha_dropout_keeps_mean_and_variance(function):
    x = RNG.standard_normal((400, 400, 4))
    for p in (0.05, 0.3, 0.7):
        y, _ = function(x, p, rng=3)
        assert y.mean() == pytest.approx(0, abs=0.02)
        assert y.var() == pytest.approx(1, abs=0.02)


def test_gaussian_dropout_has_dropouts_variance():
    for p in (0.1, 0.5, 0.8):
        y, noise = fd.gaussian_dropout(np.ones(1_000_000), p, rng=3)
        assert noise.sigma == pytest.approx(np.sqrt(p / (1 - p)))
        assert y.mean() == pytest.approx(1, abs=5 * noise.sigma / 1000)
        assert y.std() == pytest.approx(noise.sigma, rel=0.01)


def test_noise_is_the_same_in_every_dtype_and_from_call_to_call_another():
    stream = fd.Stream(4)
    first, second = (fd.gaussian_dropout(np.ones(1000), 0.5, rng=stream)[0] - 1 for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    single, _ = fd.gaussian_dropout(np.ones(1000, np.float32), 0.5, rng=4)
    np.testing.assert_allclose(single, first + 1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.7, 0.95])
@pytest.mark.parametrize(("size", "block"), [((20,), 5), ((12, 9), 3), ((6, 7, 8), 3), ((4, 9), 7), ((8, 8), 1)])
def test_dropblock_drops_the_share_p(p, size, block):
    """At every place too: near the borders there are fewer blocks, which the mean makes up for."""
    shape = (200, 200 // len(size) ** 2, *size)
    mask = fd.dropblock(np.ones(shape, np.float32), p, block, rng=8)[1]
    kept = np.asarray(mask)
    error = np.sqrt(block ** len(size) * p * (1 - p) / kept.size)
    assert (~kept).mean() == pytest.approx(p, abs=5 * error)
    if block == 1:
        assert mask.seeds.p == pytest.approx(p)


def test_dropblock_block_start_probability():
    """To first order in p it is the paper's equation 1; overlaps make it larger."""
    paper = 0.001 / 7**2 * 14**2 / 8**2
    assert block_start_probability(0.001, (14, 14), (7, 7)) == pytest.approx(paper, rel=0.02)
    assert block_start_probability(0.5, (14, 14), (7, 7)) > 500 * paper
    assert block_start_probability(0.3, (8,), (8,)) == pytest.approx(0.3)  # the whole map or nothing


def test_dropblock_drops_blocks():
    """Every dropped element lies in a block that is dropped altogether, within the map; blocks are nested in p."""
    kept = np.asarray(fd.dropblock(np.ones((30, 4, 10, 11)), 0.2, 3, rng=1)[1])
    for example, channel, row, column in np.argwhere(~kept):
        corners = [
            kept[example, channel, r : r + 3, c : c + 3]
            for r in range(max(0, row - 2), min(row, 7) + 1)
            for c in range(max(0, column - 2), min(column, 8) + 1)
        ]
        assert any(not corner.any() for corner in corners)
    fewer = np.asarray(fd.dropblock(np.ones((30, 4, 10, 11)), 0.4, 3, rng=1)[1])
    assert not (fewer & ~kept).any()
    assert (kept[:, 0] != kept[:, 1]).any()


def test_dropblock_of_a_block_larger_than_the_map_is_spatial_dropout():
    y, _ = fd.dropblock(np.ones((40, 30, 4, 5)), 0.5, 9, rng=1)
    whole = (y == 0).all(axis=(2, 3))
    assert np.array_equal(whole, (y == 0).any(axis=(2, 3)))
    assert whole.mean() == pytest.approx(0.5, abs=0.06)


def test_cutout_squares():
    y, mask = fd.cutout(np.ones((3000, 2, 9, 7)), 3, rng=1)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    centres = mask.centres()
    for place, size in ((0, 9), (1, 7)):
        counts = np.bincount(centres[:, place], minlength=size)
        assert len(counts) == size
        assert ((counts - 3000 / size) ** 2 / (3000 / size)).sum() < 35  # chi-squared, 6 and 8 degrees: 1e-5
    assert abs(np.corrcoef(centres.T)[0, 1]) < 0.08
    row, column = centres[0]
    wanted = np.ones((9, 7))
    wanted[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = 0
    np.testing.assert_array_equal(y[0, 0], wanted)
    assert fd.cutout(np.ones((1, 1, 5)), 0, rng=1)[0].all()
    assert not fd.cutout(np.ones((1, 1, 5)), 11, rng=1)[0].any()


def test_what_shares_a_keep_bit():
    x = np.ones((60, 7, 5))
    path = fd.drop_path(x, 0.5, rng=1)[0]
    assert {tuple(set(example.ravel().tolist())) for example in path} == {(0.0,), (2.0,)}
    locked = fd.locked_dropout(x, 0.5, rng=1)[0]
    assert (locked == locked[:, :1]).all()
    assert (locked[:, 0] != locked[0, 0]).any()
    time_first = fd.locked_dropout(np.ones((7, 60, 5)), 0.5, time_axis=0, rng=1)[0]
    assert (time_first == time_first[:1]).all()
    table = fd.embedding_dropout(np.ones((60, 5)), 0.5, rng=1)[0]
    assert (table == table[:, :1]).all()
    assert 10 < (table[:, 0] == 0).sum() < 50


def test_zoneout_takes_the_one_or_the_other():
    new, previous = RNG.standard_normal((2, 40, 50)).astype(np.float32)
    previous[0, 0], new[0, 1] = np.inf, np.nan
    state, mask = fd.zoneout(new, previous, 0.25, rng=3)
    kept = np.asarray(mask)
    np.testing.assert_array_equal(state, np.where(kept, new, previous))
    assert kept.mean() == pytest.approx(0.75, abs=0.05)
    dy = RNG.standard_normal(new.shape).astype(np.float32)
    dy[1, :2] = np.inf
    dnew, dprevious = fd.zoneout_backward(dy, mask)
    np.testing.assert_array_equal(dnew, np.where(kept, dy, 0))
    np.testing.assert_array_equal(dprevious, np.where(kept, 0, dy))
    expected, none = fd.zoneout(new[2:], previous[2:], 0.25, training=False)
    assert none is None
    np.testing.assert_allclose(expected, 0.75 * new[2:] + 0.25 * previous[2:], rtol=1e-6)
    for gradient, share in zip(fd.zoneout_backward(dy[2:], None, p=0.25), (0.75, 0.25), strict=True):
        np.testing.assert_allclose(gradient, share * dy[2:])
    for target in (new, previous):
        copy = target.copy()
        arrays = (copy, previous) if target is new else (new, copy)
        np.testing.assert_array_equal(fd.zoneout(*arrays, 0.25, rng=3, out=copy)[0], state)


def test_zoneout_refuses():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3,\)"):
        fd.zoneout(x, np.ones(3))
    with pytest.raises(ValueError, match="float32"):
        fd.zoneout(x, np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="rate p"):
        fd.zoneout_backward(x, None)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fd.dropblock(np.ones((2, 3)), 0.1), "positions"),
        (lambda: fd.dropblock(np.ones(SHAPE), 0.1, 0), "block_size.*0"),
        (lambda: fd.cutout(np.ones(SHAPE), -1), "-1"),
        (lambda: fd.cutout(np.ones((2, 3)), 1), "positions"),
        (lambda: fd.drop_path(1.0), "batch"),
        (lambda: fd.embedding_dropout(np.ones(3)), "words, features"),
        (lambda: fd.feature_alpha_dropout(np.ones(SHAPE), channel_axis=0), "batch axis"),
        (lambda: fd.dropout(np.ones(3), scaling="alpha"), "inverted.*alpha"),
        (lambda: fd.dropconnect_inference(np.ones((1, 2)), np.ones((1, 2)), samples=0), "samples.*0"),
        (lambda: fd.dropconnect_moments(np.ones((1, 2)), np.ones((1, 2)), p=1.0), "p = 1"),
        (lambda: fd.dropconnect(np.ones((1, 2)), np.ones((1, 2)), drop_bias=True), "no bias"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()


class TestDropConnectAsPublished:
    """Wan et al. 2013."""

    x, weight, bias, dy = (RNG.standard_normal(shape) for shape in ((6, 30), (4, 30), (4,), (6, 4)))

    @pytest.mark.parametrize("per_example", [True, False])
    def test_biases_are_dropped_like_weights(self, per_example):
        how = {"per_example": per_example, "drop_bias": True, "scaling": "classic"}
        y, mask = fd.dropconnect(self.x, self.weight, self.bias, 0.4, rng=7, **how)
        assert mask.shape == ((6, 4, 31) if per_example else (4, 31))
        kept = np.broadcast_to(np.asarray(mask), (6, 4, 31))
        wanted = (kept[..., :-1] * self.weight * self.x[:, None]).sum(axis=-1) + kept[..., -1] * self.bias
        np.testing.assert_allclose(y, wanted, rtol=1e-12)
        dx, dweight, dbias = fd.dropconnect_backward(self.dy, self.x, self.weight, mask)
        np.testing.assert_allclose(dx, np.einsum("bo,boi,oi->bi", self.dy, kept[..., :-1], self.weight), rtol=1e-10)
        np.testing.assert_allclose(dweight, np.einsum("bo,boi,bi->oi", self.dy, kept[..., :-1], self.x), rtol=1e-10)
        np.testing.assert_allclose(dbias, (self.dy * kept[..., -1]).sum(axis=0), rtol=1e-10)

    @pytest.mark.parametrize("drop_bias", [True, False])
    @pytest.mark.parametrize("scaling", ["inverted", "classic"])
    def test_moments_are_those_of_many_masks(self, scaling, drop_bias):
        how = {"drop_bias": drop_bias, "scaling": scaling}
        mean, variance = fd.dropconnect_moments(self.x, self.weight, self.bias, 0.4, **how)
        many = np.repeat(self.x, 20_000, axis=0)
        draws = fd.dropconnect(many, self.weight, self.bias, 0.4, rng=1, **how)[0].reshape(6, 20_000, 4)
        np.testing.assert_allclose(draws.mean(axis=1), mean, atol=5 * np.sqrt(variance.max() / 20_000))
        np.testing.assert_allclose(draws.var(axis=1), variance, rtol=0.06)
        if scaling == "classic" and drop_bias:  # as printed in the paper
            np.testing.assert_allclose(mean, 0.6 * (self.x @ self.weight.T + self.bias), rtol=1e-11)
            np.testing.assert_allclose(
                variance, 0.4 * 0.6 * ((self.x**2) @ (self.weight**2).T + self.bias**2), rtol=1e-11
            )

    def test_sampled_inference_is_the_mean_over_masks(self):
        def relu(u):
            return np.maximum(u, 0)

        found = fd.dropconnect_inference(self.x, self.weight, self.bias, 0.4, samples=20_000, activation=relu, rng=2)
        many = np.repeat(self.x, 20_000, axis=0)
        masks = relu(fd.dropconnect(many, self.weight, self.bias, 0.4, rng=1)[0]).reshape(6, 20_000, 4).mean(axis=1)
        np.testing.assert_allclose(found, masks, atol=0.12)  # the normal approximation of 30 terms
        mean = relu(fd.dropconnect(self.x, self.weight, self.bias, 0.4, training=False)[0])
        assert np.abs(found - masks).max() < np.abs(mean - masks).max() / 4
        again = fd.dropconnect_inference(self.x, self.weight, self.bias, 0.4, samples=10, activation=relu, rng=2)
        np.testing.assert_array_equal(
            again, fd.dropconnect_inference(self.x, self.weight, self.bias, 0.4, samples=10, activation=relu, rng=2)
        )

    def test_float16(self):
        x, weight, bias = (array.astype(np.float16) for array in (self.x, self.weight, self.bias))
        found = fd.dropconnect_inference(x, weight, bias, 0.4, samples=50, rng=2)
        assert found.dtype == np.float16


class TestAgainstTorch:
    """Semantics and statistics of the members that torch has; masks are each one's own."""

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    def test_alpha_dropout(self, torch):
        x = torch.randn(300, 400, dtype=torch.float64)
        torch.manual_seed(0)
        theirs = torch.nn.functional.alpha_dropout(x, 0.3, training=True).numpy()
        ours, mask = fd.alpha_dropout(x.numpy(), 0.3, rng=1)
        dropped = ours[~np.asarray(mask)]
        values, counts = np.unique(np.round(theirs, 9), return_counts=True)
        np.testing.assert_allclose(dropped, values[counts.argmax()], atol=1e-6)  # their dropped value is ours
        both = np.asarray(mask) & (np.abs(theirs - values[counts.argmax()]) > 1e-6)
        np.testing.assert_allclose(ours[both], theirs[both], atol=1e-6)  # and so are their kept ones

    def test_feature_alpha_dropout(self, torch):
        x = torch.randn(30, 20, 4, 5, dtype=torch.float64)
        theirs = torch.nn.functional.feature_alpha_dropout(x, 0.3, training=True).numpy()
        ours, _ = fd.feature_alpha_dropout(x.numpy(), 0.3, rng=1)
        for y in (theirs, ours):
            whole = y.std(axis=(2, 3)) < 1e-12
            assert whole.mean() == pytest.approx(0.3, abs=0.1)
        assert ours[ours.std(axis=(2, 3)) < 1e-12].mean() == pytest.approx(
            theirs[theirs.std(axis=(2, 3)) < 1e-12].mean()
        )

    @pytest.mark.parametrize("dimensions", [1, 2, 3])
    def test_spatial_dropout(self, torch, dimensions):
        x = torch.randn(40, 30, *(3,) * dimensions, dtype=torch.float64)
        layer = getattr(torch.nn, f"Dropout{dimensions}d")(0.4)
        axes = tuple(range(2, 2 + dimensions))
        ours, _ = fd.spatial_dropout(x.numpy(), 0.4, rng=1)
        for y in (layer(x).numpy(), ours):
            dropped = (y == 0).all(axis=axes)
            assert np.array_equal(dropped, (y == 0).any(axis=axes))
            assert dropped.mean() == pytest.approx(0.4, abs=0.06)
            np.testing.assert_allclose(y[~dropped], x.numpy()[~dropped] / 0.6)

    def test_attention_in_evaluation(self, torch):
        scores = torch.randn(3, 4, 6, 6, dtype=torch.float64)
        np.testing.assert_allclose(
            fd.softmax_dropout(scores.numpy(), 0.3, training=False)[0],
            torch.nn.functional.dropout(scores.softmax(dim=-1), 0.3, training=False).numpy(),
            rtol=1e-13,
        )


def test_constants():
    assert pytest.approx(-1.7580993408473766) == ALPHA_DROPPED


@pytest.mark.parametrize("shape", [(), (1,), (63,), (5000,), (4099,), (3, 70_000), (8192,), (2, 3, 4097)])
def test_alpha_dropout_of_long_rows_and_single_numbers(shape):
    x = RNG.standard_normal(shape)
    y, mask = fd.alpha_dropout(x, 0.3, rng=1)
    shift = -mask.scale * mask.p * ALPHA_DROPPED
    np.testing.assert_array_equal(y, np.where(np.asarray(mask), x, ALPHA_DROPPED) * mask.scale + shift)
    assert y.shape == shape


def test_alpha_dropout_keeps_no_row_as_long_as_the_array():
    x, out = np.ones(1 << 22), np.ones(1 << 22)
    tracemalloc.start()
    fd.alpha_dropout(x, 0.3, rng=1, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
