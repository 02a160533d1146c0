"""Layers against numerical gradients in float64, modes, losses, optimisers."""

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn

RNG = np.random.default_rng(0)


def layers():
    shape = (5, 8)
    yield "Linear", lambda: nn.Linear(8, 3, rng=1, dtype=np.float64), shape
    yield "ReLU", nn.ReLU, shape
    yield "Dropout", lambda: nn.Dropout(0.4, rng=2), shape
    yield "SpatialDropout", lambda: nn.SpatialDropout(0.4, rng=2), (3, 4, 2, 3)
    yield "DropConnect per example", lambda: nn.DropConnectLinear(8, 3, 0.4, rng=1, mask_rng=3, dtype=np.float64), shape
    yield (
        "DropConnect per batch",
        lambda: nn.DropConnectLinear(8, 3, 0.4, per_example=False, rng=1, mask_rng=3, dtype=np.float64),
        shape,
    )
    yield "BatchNorm", lambda: nn.BatchNorm(8, dtype=np.float64), shape
    yield "BatchNorm of maps", lambda: nn.BatchNorm(4, dtype=np.float64), (3, 4, 2, 3)
    yield "Reshape", lambda: nn.Reshape(2, 4), shape
    yield "Flatten", nn.Flatten, (3, 4, 2)
    yield (
        "Sequential",
        lambda: nn.Sequential(
            nn.Linear(8, 6, rng=1, dtype=np.float64),
            nn.BatchNorm(6, dtype=np.float64),
            nn.ReLU(),
            nn.Dropout(0.3, rng=5),
        ),
        shape,
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("name", "make", "shape"), list(layers()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_gradients(check_gradients, name, make, shape, training):
    check_gradients(make().train(training), RNG.standard_normal(shape))


def test_cross_entropy_gradient_and_value():
    logits, labels = RNG.standard_normal((6, 4)) * 3, RNG.integers(0, 4, 6)
    loss, dlogits = nn.softmax_cross_entropy(logits, labels)
    assert loss == pytest.approx(-np.log(nn.softmax(logits)[np.arange(6), labels]).mean())
    for index in np.ndindex(logits.shape):
        moved = logits.copy()
        moved[index] += 1e-6
        assert dlogits[index] == pytest.approx((nn.softmax_cross_entropy(moved, labels)[0] - loss) / 1e-6, abs=1e-5)


def test_cross_entropy_survives_huge_logits():
    loss, dlogits = nn.softmax_cross_entropy(np.array([[1e4, -1e4]]), np.array([1]))
    assert loss == pytest.approx(2e4)
    assert np.isfinite(dlogits).all()


def test_eval_turns_dropout_off():
    x = np.ones((4, 50), np.float32)
    model = nn.Sequential(nn.Dropout(0.5, rng=1), nn.DropConnectLinear(50, 3, rng=1), nn.SpatialDropout(0.5, rng=2))
    assert not np.array_equal(model(x), model(x))
    model.eval()
    np.testing.assert_array_equal(model(x), model(x))
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_evaluation_does_not_change_streams_and_statistics():
    dropout, norm = nn.Dropout(0.5, rng=1), nn.BatchNorm(3)
    model = nn.Sequential(norm, dropout).eval()
    model(RNG.standard_normal((9, 3)).astype(np.float32))
    assert dropout.stream.calls == 0
    assert (norm.running_mean == 0).all()


def test_batch_norm_tracks_mean_and_variance():
    norm = nn.BatchNorm(2, dtype=np.float64)
    x = RNG.normal([3.0, -1.0], [2.0, 0.5], (4000, 2))
    for _ in range(100):
        norm(x)
    np.testing.assert_allclose(norm.running_mean, x.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(norm.running_var, x.var(axis=0, ddof=1), rtol=1e-3)


def test_rate_may_change_but_must_be_a_probability():
    layer = nn.Dropout(0.5, rng=1)
    layer.p = 1.0
    assert not layer(np.ones(9)).any()
    with pytest.raises(ValueError, match="2"):
        layer.p = 2


def test_float32_stays_float32():
    model = nn.Sequential(nn.Linear(6, 8, rng=0), nn.BatchNorm(8), nn.ReLU(), nn.DropConnectLinear(8, 4, rng=0))
    optimizers = [nn.Adam(model.parameters()), nn.SGD(model.parameters())]
    y = model(np.ones((3, 6), np.float32))
    _, dy = nn.softmax_cross_entropy(y, np.array([0, 1, 2]))
    assert model.backward(dy).dtype == np.float32
    for optimizer in optimizers:
        optimizer.step()
    assert {parameter.value.dtype for _, parameter in model.parameters()} == {np.dtype(np.float32)}


def test_sgd_by_hand():
    parameter = nn.Parameter(np.array([1.0]))
    optimizer = nn.SGD([("w", parameter)], learning_rate=0.1, momentum=0.5)
    for _ in range(2):
        parameter.grad = np.array([2.0])
        optimizer.step()
    assert parameter.value == pytest.approx([1 - 0.1 * 2 - 0.1 * 3])


def test_adam_by_hand():
    parameter = nn.Parameter(np.array([1.0]))
    optimizer = nn.Adam([("w", parameter)], learning_rate=0.1)
    mean = square = 0.0
    value = 1.0
    for step, grad in enumerate([2.0, -1.0, 0.5], start=1):
        parameter.grad = np.array([grad])
        optimizer.step()
        mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
        value -= 0.1 * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    assert parameter.value == pytest.approx([value])


def test_dropout_layer_is_the_public_function():
    x = np.ones((7, 11), np.float32)
    np.testing.assert_array_equal(nn.Dropout(0.3, rng=5)(x), fd.dropout(x, 0.3, rng=5)[0])


def test_a_layer_used_twice_in_a_network_is_refused():
    """It saves one forward pass for its backward, so the gradient would be silently wrong."""
    layer, relu = nn.Linear(3, 3, rng=0), nn.ReLU()
    for layers in (
        (layer, relu, layer),
        (layer, relu, nn.Linear(3, 3), relu),
        (layer, nn.Sequential(nn.ReLU(), layer)),
    ):
        with pytest.raises(ValueError, match="twice"):
            nn.Sequential(*layers)


def test_a_failed_forward_pass_keeps_the_saved_one():
    x, other = np.ones((2, 4)), np.full((2, 4), 3.0)
    layer = nn.DropConnectLinear(4, 3, rng=0, mask_rng=1, dtype=np.float64)
    dy = np.ones((2, 3))
    layer.forward(x)
    layer.backward(dy)
    gradient = layer.weight.grad.copy()
    layer.training = "no"
    with pytest.raises(TypeError, match="training"):
        layer.forward(other)
    layer.training = True
    layer.backward(dy)
    np.testing.assert_array_equal(layer.weight.grad, gradient)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_recurrent_dropout_selects(bad):
    """With p = 1, no value of a step reaches the gates of the next one."""
    layer = nn.LSTM(2, 3, recurrent_p=1.0, rng=0, mask_rng=0, dtype=np.float64)
    layer.recurrent_weight.value[...] = 1.0
    x = np.ones((1, 3, 2))
    plain = layer(x)
    layer._states[1] = bad
    layer._step(1, layer._x.reshape(3, 1, 2)[1] @ layer.weight.value.T + layer.bias.value)
    np.testing.assert_array_equal(layer._states[2], plain[:, 1])
