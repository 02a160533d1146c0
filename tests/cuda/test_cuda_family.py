"""The family on CuPy arrays: what NumPy arrays get, bit for bit where kernels compute it."""

import numpy as np
import pytest
from devices import same, values

import fastdrop as fd
from fastdrop import nn

SHAPE = (5, 6, 9, 7)
MEMBERS = {
    "Gaussian": lambda x, **how: fd.gaussian_dropout(x, 0.3, **how),
    "alpha": lambda x, **how: fd.alpha_dropout(x, 0.3, **how),
    "feature alpha": lambda x, **how: fd.feature_alpha_dropout(x, 0.3, **how),
    "feature alpha, channels last": lambda x, **how: fd.feature_alpha_dropout(x, 0.3, channel_axis=-1, **how),
    "DropBlock": lambda x, **how: fd.dropblock(x, 0.2, 3, **how),
    "DropBlock of one": lambda x, **how: fd.dropblock(x, 0.2, 1, **how),
    "cutout": lambda x, **how: fd.cutout(x, 4, **how),
    "DropPath": lambda x, **how: fd.drop_path(x, 0.3, **how),
    "locked": lambda x, **how: fd.locked_dropout(x, 0.3, **how),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", MEMBERS)
def test_family(gpu, name, dtype):
    member, x = MEMBERS[name], values(SHAPE, dtype)
    wanted, mask = member(x, rng=3)
    y, same_mask = member(gpu.put(x), rng=3)
    assert mask == same_mask
    same(gpu.get(y), wanted)
    same(gpu.get(fd.dropout_backward(gpu.put(x), mask)), fd.dropout_backward(x, mask))
    same(gpu.get(member(gpu.put(x), training=False)[0]), x)
    there = gpu.put(x)
    assert member(there, rng=3, out=there)[0] is there
    same(gpu.get(there), wanted)
    if hasattr(mask, "booleans"):
        np.testing.assert_array_equal(gpu.get(mask.booleans(like=there)), mask.booleans())
    empty, _ = member(gpu.put(values((5, 0, 9, 7), dtype)), rng=3)
    assert empty.shape == (5, 0, 9, 7)


def test_words_and_zoneout(gpu):
    weight = values((30, 8), np.float32)
    same(gpu.get(fd.embedding_dropout(gpu.put(weight), 0.3, rng=1)[0]), fd.embedding_dropout(weight, 0.3, rng=1)[0])
    new, previous = values((20, 30), np.float32), values((20, 30), np.float32, seed=1)
    state, mask = fd.zoneout(gpu.put(new), gpu.put(previous), 0.3, rng=2)
    wanted, same_mask = fd.zoneout(new, previous, 0.3, rng=2)
    assert mask == same_mask
    same(gpu.get(state), wanted)
    for found, gradient in zip(fd.zoneout_backward(gpu.put(new), mask), fd.zoneout_backward(new, mask), strict=True):
        same(gpu.get(found), gradient)
    expectation, _ = fd.zoneout(gpu.put(new), gpu.put(previous), 0.3, training=False)
    same(gpu.get(expectation), fd.zoneout(new, previous, 0.3, training=False)[0])
    with pytest.raises(TypeError, match="previous"):
        fd.zoneout(gpu.put(new), previous, 0.3)


@pytest.mark.parametrize("per_example", [True, False])
def test_dropconnect_as_published(gpu, per_example):
    arrays = [values(shape, np.float64) for shape in ((6, 30), (4, 30), (4,), (6, 4))]
    x, weight, bias, dy = arrays
    there = [gpu.put(array) for array in arrays]
    how = {"per_example": per_example, "drop_bias": True, "scaling": "classic"}
    y, mask = fd.dropconnect(*there[:3], 0.4, rng=5, **how)
    np.testing.assert_allclose(gpu.get(y), fd.dropconnect(x, weight, bias, 0.4, rng=5, **how)[0], rtol=1e-12)
    for found, wanted in zip(
        fd.dropconnect_backward(there[3], there[0], there[1], mask),
        fd.dropconnect_backward(dy, x, weight, mask),
        strict=True,
    ):
        np.testing.assert_allclose(gpu.get(found), wanted, rtol=1e-12)
    inference = {"samples": 20, "activation": lambda u: np.maximum(u, 0), "rng": 1, "drop_bias": True}
    found = fd.dropconnect_inference(*there[:3], 0.4, **inference)
    np.testing.assert_allclose(gpu.get(found), fd.dropconnect_inference(x, weight, bias, 0.4, **inference), rtol=1e-10)


DROPPERS = {
    "GaussianDropout": lambda: nn.GaussianDropout(0.3, rng=2),
    "AlphaDropout": lambda: nn.AlphaDropout(0.3, rng=2),
    "FeatureAlphaDropout": lambda: nn.FeatureAlphaDropout(0.3, rng=2),
    "DropBlock": lambda: nn.DropBlock(0.3, 2, rng=2),
    "DropPath": lambda: nn.DropPath(0.3, rng=2),
    "Cutout": lambda: nn.Cutout(3, rng=2),
    "LockedDropout": lambda: nn.LockedDropout(0.3, rng=2),
}


@pytest.mark.parametrize("name", DROPPERS)
def test_layers(gpu, name):
    x = values(SHAPE, np.float32)
    one, other = DROPPERS[name](), DROPPERS[name]().to("cuda")
    same(gpu.get(other(gpu.put(x))), one(x))
    same(gpu.get(other.backward(gpu.put(x))), one.backward(x))


def test_monte_carlo(gpu):
    def model():
        return nn.Sequential(nn.Linear(12, 16, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=3), nn.Linear(16, 4, rng=1))

    x = values((7, 12), np.float32)
    found = fd.mc_dropout(model().to("cuda"), gpu.put(x), samples=20, rng=5)
    wanted = fd.mc_dropout(model(), x, samples=20, rng=5)
    for name in ("mean", "std", "predictive_entropy", "mutual_information"):
        np.testing.assert_allclose(gpu.get(getattr(found, name)), getattr(wanted, name), rtol=1e-4, atol=1e-6)
