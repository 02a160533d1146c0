"""Layers and experiments compute on CUDA what they compute on the CPU."""

import numpy as np
import pytest
from devices import values

from fastdrop import nn
from fastdrop.experiments import ExperimentConfig, Trainer


@pytest.mark.filterwarnings("ignore::fastdrop.nn.VarianceShiftWarning")
def test_layers_train_alike_on_both_devices(gpu):
    """Masks are equal, so results are equal up to the order of summation.

    Adam trains no bias in front of batch normalisation: its gradient is rounding noise, which Adam scales up.
    """

    def trained(backend, batch_norm):
        x, labels = values((60, 32), np.float32), np.arange(60) % 5
        model = nn.Sequential(
            nn.DropConnectLinear(32, 24, rng=0, mask_rng=1),
            *([nn.BatchNorm(24)] if batch_norm else []),
            nn.ReLU(),
            nn.Reshape(3, 8),
            nn.SpatialDropout(0.3, rng=2),
            nn.Flatten(),
            nn.Dropout(0.2, rng=3),
            nn.Linear(24, 5, rng=4),
        ).to(backend)
        optimizer = nn.SGD(model.parameters()) if batch_norm else nn.Adam(model.parameters())
        if backend == "cuda":
            x, labels = gpu.put(x), gpu.put(labels)
        losses = []
        for _ in range(5):
            loss, dlogits = nn.softmax_cross_entropy(model.train()(x), labels)
            model.backward(dlogits)
            optimizer.step()
            losses.append(loss)
        return losses, nn.accuracy(model.eval()(x), labels), model

    for batch_norm in (True, False):
        (losses, accuracy, model), (others, other_accuracy, other) = (trained(b, batch_norm) for b in ("cpu", "cuda"))
        np.testing.assert_allclose(losses, others, rtol=1e-4)
        assert abs(accuracy - other_accuracy) <= 1.5 / 60
        other.to("cpu")
        for (name, one), (_, two) in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(one.value, two.value, rtol=1e-2, atol=1e-4, err_msg=name)


LAYERS = {
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, stride=2, rng=0),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.SpatialDropout(0.4, rng=1),
            nn.Conv2d(8, 6, 2, rng=2),
            nn.SELU(),
            nn.GlobalAveragePool(),
        ),
        lambda: values((5, 3, 12, 9), np.float32),
    ),
    "pooling": (lambda: nn.Sequential(nn.Tanh(), nn.AvgPool2d(2)), lambda: values((5, 3, 9, 8), np.float32)),
    "recurrence": (
        lambda: nn.Sequential(
            nn.LSTM(6, 8, p=0.3, recurrent_p=0.2, zoneout=0.4, rng=0, mask_rng=1), nn.Sigmoid(), nn.LastStep()
        ),
        lambda: values((5, 7, 6), np.float32),
    ),
    "attention": (
        lambda: nn.Sequential(
            nn.LearnedPositions(9, 6, rng=1),
            nn.TransformerBlock(6, 2, 8, p=0.3, drop_path=0.3, causal=True, rng=0, mask_rng=1),
            nn.MeanOverSteps(),
        ),
        lambda: values((5, 7, 6), np.float32),
    ),
    "words": (
        lambda: nn.Sequential(nn.Embedding(9, 6, p=0.4, rng=0, mask_rng=1), nn.LockedDropout(0.3, rng=2)),
        lambda: np.arange(20).reshape(4, 5) ** 2 % 9,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_alike_on_both_devices(gpu, name):
    """Compare results and all gradients, with dropout and without."""
    make, data = LAYERS[name]
    x, here, there = data(), make(), make().to("cuda")
    assert make().summary(x.shape[1:]) == there.summary(x.shape[1:])
    for training in (True, False):
        y, other = here.train(training)(x), there.train(training)(gpu.put(x))
        np.testing.assert_allclose(gpu.get(other), y, rtol=1e-4, atol=1e-5)
        dy = values(y.shape, np.float32, 1)
        np.testing.assert_allclose(gpu.get(there.backward(gpu.put(dy))), here.backward(dy), rtol=1e-3, atol=1e-5)
        for (key, one), (_, two) in zip(here.parameters(), there.parameters(), strict=True):
            np.testing.assert_allclose(gpu.get(two.grad), one.grad, rtol=1e-3, atol=1e-4, err_msg=key)


def test_words_that_an_embedding_lacks_are_named(gpu):
    layer = nn.Embedding(5, 2, rng=0).to("cuda")
    with pytest.raises(IndexError, match="word number 7; this embedding has 5 words"):
        layer(gpu.put(np.array([[1, 7]])))


@pytest.mark.slow
@pytest.mark.parametrize("dropout", ["standard", "spatial", "dropconnect"])
def test_experiments_train_alike_on_both_devices(gpu, dropout):
    pytest.importorskip("sklearn")
    pytest.importorskip("threadpoolctl")
    config = ExperimentConfig(
        dataset="moons", hidden=(16, 8), epochs=2, dropout=dropout, batch_norm=True, rate=0.3, optimizer="sgd"
    )
    here, there = Trainer(config), Trainer(config.replace(backend="cuda"))
    for one, two in zip(here.run(), there.run(), strict=True):
        assert one.latest.epoch == two.latest.epoch
        np.testing.assert_allclose(losses(one), losses(two), rtol=1e-3)
        np.testing.assert_allclose(accuracies(one), accuracies(two), atol=1.5 / len(here.dataset.x_test))
        for first, second in zip(one.layers, two.layers, strict=True):
            assert type(second.values) is np.ndarray
            np.testing.assert_allclose(first.values, second.values, rtol=1e-2, atol=1e-3)
            if first.kept is not None:
                np.testing.assert_array_equal(first.kept, second.kept)
    for name, weight in there.weights().items():
        assert type(weight) is np.ndarray
        np.testing.assert_allclose(weight, here.weights()[name], rtol=1e-2, atol=1e-3)


def losses(snapshot):
    return [snapshot.latest.train_loss, snapshot.latest.test_loss]


def accuracies(snapshot):
    return [snapshot.latest.train_accuracy, snapshot.latest.test_accuracy]
