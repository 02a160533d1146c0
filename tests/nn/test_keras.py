"""Against Keras 3 on PyTorch (`make baselines`): semantics and statistics of shared layers; masks differ."""

import os
import warnings

import numpy as np
import pytest

import fastdrop as fd

P = 0.3


@pytest.fixture(scope="module", autouse=True)
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of Keras' imports
        keras = pytest.importorskip("keras")
    if keras.backend.backend() != "torch":
        pytest.skip(f"Keras runs on {keras.backend.backend()}; KERAS_BACKEND=torch chooses PyTorch")
    keras.utils.set_random_seed(5)
    return keras


def normal(shape):
    return np.random.default_rng(1).standard_normal(shape)


def called(layer, x, training=True):
    return layer(x, training=training).detach().cpu().numpy()


def made(keras, name, *arguments, **how):
    return getattr(keras.layers, name)(*arguments, dtype="float64", **how)


def test_gaussian_dropout(keras):
    """Noise of mean 1 and variance p / (1 - p), independent of x and between elements; the gradient too."""
    ones = np.ones((400, 500))
    for p in (0.1, 0.5, 0.8):
        sigma = np.sqrt(p / (1 - p))
        theirs, ours = called(made(keras, "GaussianDropout", p), ones), fd.gaussian_dropout(ones, p, rng=1)[0]
        for y in (theirs, ours):
            assert y.mean() == pytest.approx(1, abs=5 * sigma / np.sqrt(y.size))
            assert y.std() == pytest.approx(sigma, rel=0.01)
            z = (y - 1) / sigma
            assert (z**3).mean() == pytest.approx(0, abs=0.03)
            assert (z**4).mean() == pytest.approx(3, abs=0.06)
            assert abs(np.corrcoef(z[:, 1:].ravel(), z[:, :-1].ravel())[0, 1]) < 0.015
        quantiles = np.linspace(0.001, 0.999, 60)
        np.testing.assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.06 * sigma)


def test_gradient_of_gaussian_dropout(keras):
    import torch

    x, dy = normal((40, 50)), normal((50, 40)).T
    there = torch.tensor(x, requires_grad=True)
    y = made(keras, "GaussianDropout", P)(there, training=True)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(there.grad.numpy(), dy * (y.detach().numpy() / x), rtol=1e-9)
    y, noise = fd.gaussian_dropout(x, P, rng=1)
    np.testing.assert_allclose(fd.dropout_backward(dy, noise), dy * (y / x), rtol=1e-9)


@pytest.mark.parametrize("channels", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_spatial_dropout(keras, dimensions, channels):
    """Whole feature maps are dropped, separately for each example, at the rate p; kept ones are divided by 1 - p."""
    if dimensions == 1 and channels == "channels_first":
        pytest.skip("Keras' SpatialDropout1D has its channels last")
    last = channels == "channels_last"
    places = (5,) * dimensions
    x = normal((60, *places, 40) if last else (60, 40, *places))
    how = {} if dimensions == 1 else {"data_format": channels}
    theirs = called(made(keras, f"SpatialDropout{dimensions}D", P, **how), x)
    ours, _ = fd.spatial_dropout(x, P, channel_axis=-1 if last else 1, rng=1)
    axes = tuple(range(1, 1 + dimensions)) if last else tuple(range(2, 2 + dimensions))
    for y in (theirs, ours):
        dropped = (y == 0).all(axis=axes)
        np.testing.assert_array_equal(dropped, (y == 0).any(axis=axes))
        assert dropped.mean() == pytest.approx(P, abs=5 * np.sqrt(P * (1 - P) / dropped.size))
        assert (dropped[0] != dropped[1]).any()
        kept = np.broadcast_to(~np.expand_dims(dropped, axes), x.shape)
        np.testing.assert_allclose(y[kept], x[kept] / (1 - P), rtol=1e-12)


@pytest.mark.parametrize(
    ("noise_shape", "shared_axes"),
    [
        ((None, 1, None), (1,)),
        ((None, None, 1), (2,)),
        ((1, None, None), (0,)),
        ((None, 1, 1), (1, 2)),
        ((1, 1, None), (0, 1)),
    ],
)
def test_noise_shape(keras, noise_shape, shared_axes):
    """An axis of length 1 in Keras' noise shape is one of our shared axes."""
    x = normal((30, 20, 10)) + 10
    noise = tuple(size if size else given for size, given in zip(noise_shape, x.shape, strict=True))
    theirs = called(made(keras, "Dropout", P, noise_shape=noise), x)
    ours, _ = fd.dropout(x, P, shared_axes=shared_axes, rng=2)
    for y in (theirs, ours):
        dropped = y == 0
        bits = dropped[tuple(slice(0, 1) if axis in shared_axes else slice(None) for axis in range(3))]
        np.testing.assert_array_equal(dropped, np.broadcast_to(bits, x.shape))
        assert bits.mean() == pytest.approx(P, abs=5 * np.sqrt(P * (1 - P) / bits.size))
        np.testing.assert_allclose(y[~dropped], x[~dropped] / (1 - P), rtol=1e-12)


def test_locked_dropout_is_a_noise_shape(keras):
    x = normal((300, 7, 20)) + 10
    for y in (
        called(made(keras, "Dropout", P, noise_shape=(300, 1, 20)), x),
        fd.locked_dropout(x, P, rng=2)[0],
    ):
        np.testing.assert_array_equal(y == 0, np.broadcast_to(y[:, :1] == 0, x.shape))
        assert (y == 0).mean() == pytest.approx(P, abs=0.03)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.7])
def test_alpha_dropout(keras, p):
    """The same two functions of x, for dropped and for kept elements; mean and variance are preserved."""
    x = normal((400, 500))
    theirs = called(made(keras, "AlphaDropout", p), x)
    ours, mask = fd.alpha_dropout(x, p, rng=1)
    values, counts = np.unique(np.round(theirs, 6), return_counts=True)
    value = values[counts.argmax()]
    dropped = np.abs(theirs - value) < 1e-5
    np.testing.assert_allclose(ours[~np.asarray(mask)], value, atol=2e-6)
    both = ~dropped & np.asarray(mask)
    np.testing.assert_allclose(ours[both], theirs[both], atol=1e-5)
    for y, fraction in ((theirs, dropped.mean()), (ours, (~np.asarray(mask)).mean())):
        assert fraction == pytest.approx(p, abs=0.006)
        assert y.mean() == pytest.approx(0, abs=0.02)
        assert y.var() == pytest.approx(1, abs=0.03)


def test_evaluation_is_the_identity(keras):
    x = normal((4, 5, 6))
    for name, ours in (
        ("Dropout", fd.dropout),
        ("GaussianDropout", fd.gaussian_dropout),
        ("AlphaDropout", fd.alpha_dropout),
        ("SpatialDropout1D", fd.spatial_dropout),
    ):
        np.testing.assert_array_equal(called(made(keras, name, P), x, training=False), x)
        np.testing.assert_array_equal(ours(x, P, training=False)[0], x)
