"""Composite layers, error messages, schedules, weight decay, summaries, and training that reduces the loss."""

import math

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn
from fastdrop.nn import schedules

RNG = np.random.default_rng(1)


COMPOSITES = {
    "LSTM": (
        lambda rng: nn.LSTM(8, 8, p=0.5, recurrent_p=0.4, zoneout=0.3, zoneout_cell=0.2, rng=0, mask_rng=rng),
        [0.2, 0.3, 0.4, 0.5],
    ),
    "attention": (lambda rng: nn.MultiHeadAttention(8, 2, p=0.5, rng=0, mask_rng=rng), [0.5]),
    "block": (
        lambda rng: nn.TransformerBlock(8, 2, 9, p=0.5, attention_p=0.2, drop_path=0.1, rng=0, mask_rng=rng),
        [0.1, 0.1, 0.2, 0.5],
    ),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_modules_lists_all_rates_with_one_stream(name):
    make, rates = COMPOSITES[name]
    stream = fd.Stream(4)
    droppers = [module for module in make(stream).modules() if hasattr(module, "p")]
    assert sorted(dropper.p for dropper in droppers) == rates
    assert all(dropper.stream is stream for dropper in droppers)
    x = RNG.standard_normal((2, 5, 8)).astype(np.float32)
    np.testing.assert_array_equal(make(7)(x), make(7)(x))
    one = make(7)
    assert not np.array_equal(one(x), one(x))
    np.testing.assert_array_equal(one.eval()(x), one(x))


BAD = [
    (lambda: nn.Conv2d(1, 2, 0), ValueError, "kernel_size=0"),
    (lambda: nn.Conv2d(1, 2, 3, padding=-1), ValueError, "padding=-1"),
    (lambda: nn.Conv2d(3, 2, 3)(np.ones((2, 4, 8, 8))), ValueError, r"\(2, 4, 8, 8\).*\(batch, 3, height, width\)"),
    (lambda: nn.Conv2d(3, 2, 3)(np.ones((2, 3, 8))), ValueError, r"\(2, 3, 8\)"),
    (lambda: nn.Conv2d(3, 2, 5)(np.ones((2, 3, 8, 4))), ValueError, "8 x 4 are too small for kernels of 5 x 5"),
    (lambda: nn.MaxPool2d(0), ValueError, "got 0"),
    (lambda: nn.MaxPool2d(3)(np.ones((1, 1, 2, 9))), ValueError, "one window of 3 x 3"),
    (lambda: nn.AvgPool2d(3)(np.ones((1, 9, 9))), ValueError, r"\(1, 9, 9\)"),
    (lambda: nn.GlobalAveragePool()(np.ones((1, 9))), ValueError, "positions"),
    (lambda: nn.LayerNorm(4)(np.ones((1, 9))), ValueError, r"\(1, 9\).*4 features"),
    (lambda: nn.Embedding(5, 2)(np.array([1, 5])), IndexError, "word number 5; this embedding has 5 words"),
    (lambda: nn.Embedding(5, 2)(np.array([[-1]])), IndexError, "word number -1"),
    (lambda: nn.Embedding(5, 2)(np.array([np.nan, 1])), IndexError, "word number nan"),
    (lambda: nn.Embedding(5, 2)(np.array([0.5, 1])), ValueError, r"whole numbers; there is a 0\.5"),
    (lambda: nn.Embedding(5, 2, p=2), ValueError, "2"),
    (lambda: nn.LSTM(3, 2)(np.ones((4, 5, 2))), ValueError, r"\(4, 5, 2\).*\(batch, steps, 3\)"),
    (lambda: nn.LSTM(3, 2, zoneout=-0.5), ValueError, r"-0\.5"),
    (lambda: nn.MultiHeadAttention(9, 2), ValueError, "2 heads for 9 features"),
    (lambda: nn.MultiHeadAttention(8, 0), ValueError, "0 heads"),
    (lambda: nn.MultiHeadAttention(8, 2)(np.ones((2, 8))), ValueError, r"\(batch, steps, features\)"),
    (lambda: nn.LearnedPositions(3, 2)(np.ones((1, 4, 2))), ValueError, "at most 3 steps"),
    (lambda: nn.SGD([], -1.0), ValueError, r"learning_rate.*-1\.0"),
    (lambda: nn.SGD([], momentum=-0.1), ValueError, r"momentum.*-0\.1"),
    (lambda: nn.SGD([], weight_decay=math.nan), ValueError, "weight_decay.*nan"),
    (lambda: nn.Adam([], weight_decay=-1e-3), ValueError, r"weight_decay.*-0\.001"),
    (lambda: nn.Adam([], betas=(0.9, 1.0)), ValueError, r"betas.*\(0\.9, 1\.0\)"),
    (lambda: nn.Adam([], eps=-1.0), ValueError, "eps"),
    (lambda: schedules.Constant(1.0)(1.5), ValueError, r"1\.5"),
    (lambda: schedules.Linear(0.0, 1.0)(math.nan), ValueError, "nan"),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_schedules_by_hand():
    assert [schedules.Constant(0.2)(t) for t in (0, 0.5, 1)] == [0.2, 0.2, 0.2]
    assert [schedules.Linear(1.0, 0.2)(t) for t in (0, 0.25, 1)] == pytest.approx([1.0, 0.8, 0.2])
    assert [schedules.Cosine(1.0, 0.2)(t) for t in (0, 1 / 3, 0.5, 1)] == pytest.approx([1.0, 0.8, 0.6, 0.2])
    rate = schedules.Curriculum(0.5, gamma=2.0)
    assert [rate(t) for t in (0, 0.5, 1)] == pytest.approx([0, 0.5 * (1 - math.exp(-1)), 0.5 * (1 - math.exp(-2))])
    assert math.copysign(1, schedules.Curriculum(0.5)(0)) == 1


def test_a_schedule_sets_rates():
    layer, rate = nn.Dropout(0.0, rng=0), schedules.Curriculum(0.5)
    for t in np.linspace(0, 1, 11):
        layer.p = rate(t)
    assert layer.p == pytest.approx(0.5, abs=1e-4)


def test_weight_decay_by_hand():
    for make in (nn.SGD, nn.Adam):
        weight, bias = nn.Parameter(np.array([[2.0]])), nn.Parameter(np.array([2.0]))
        optimizer = make([("weight", weight), ("bias", bias)], learning_rate=0.1, weight_decay=0.5)
        optimizer.step()  # without gradients, only the decay changes weights
        assert weight.value == pytest.approx(np.array([[2.0 - 0.1 * 0.5 * 2.0]]))
        assert bias.value == pytest.approx([2.0])


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=0),
        nn.BatchNorm(4),
        nn.ReLU(),
        nn.SpatialDropout(0.5, rng=0),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Reshape(4, 16),
        nn.TransformerBlock(16, 2, 8, rng=0, mask_rng=0),
        nn.LSTM(16, 3, p=0.5, zoneout=0.5, rng=0, mask_rng=0),
    )


def test_summary_lists_layers():
    lines = network().summary((1, 8, 8)).splitlines()
    assert lines[1].split() == ["0", "Conv2d", "(4,", "8,", "8)", "40"]
    assert lines[4].split() == ["3", "SpatialDropout(p=0.5)", "(4,", "8,", "8)", "0"]
    assert any(line.split()[:2] == ["7.0.branch.1.softmax", "SoftmaxDropout(p=0.1)"] for line in lines)
    total = sum(parameter.value.size for _, parameter in network().parameters())
    assert lines[-2].split() == ["total", f"{total:,}"]
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines[1:-2]) == total
    assert lines[-1] == f"memory of the parameters: {total * 4 / 1024:,.1f} KiB"
    assert not any(line != line.rstrip() for line in lines)
    assert nn.ReLU().summary((3,)).splitlines()[1].split() == ["ReLU", "(3,)", "0"]
    assert nn.Linear(3, 2).summary().splitlines()[1].split() == ["Linear", "8"]


@pytest.mark.filterwarnings("error")
def test_summary_of_a_model_that_diverged():
    model = network()
    for _, parameter in model.parameters():
        parameter.value[...] = np.inf
    assert model.summary((1, 8, 8)).count("\n") == network().summary((1, 8, 8)).count("\n")


def test_summary_does_not_change_the_model():
    x = RNG.standard_normal((5, 1, 8, 8)).astype(np.float32)
    model, untouched = network(), network()
    model.layers[3].eval()
    untouched.layers[3].eval()
    y, expected = model(x), untouched(x)
    before = [{**vars(module)} for module in model.modules()]
    statistics = model.layers[1].running_mean.copy()
    model.summary((1, 8, 8))
    with pytest.raises(ValueError, match="channels"):
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(9)).summary((1, 8, 8))
    for module, attributes in zip(model.modules(), before, strict=True):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[name] is value for name, value in attributes.items())
    np.testing.assert_array_equal(model.layers[1].running_mean, statistics)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(model.backward(y), untouched.backward(y))
    np.testing.assert_array_equal(model(x), untouched(x))


def test_a_network_of_words_can_be_summarised():
    model = nn.Sequential(nn.Embedding(20, 4), nn.LSTM(4, 3), nn.LastStep())
    assert "Embedding(p=0)" in model.summary((6,))
    assert model.training


TRAINED = {
    "CNN": lambda: nn.Sequential(
        nn.Reshape(1, 6, 6),
        nn.Conv2d(1, 8, 3, padding=1, rng=0),
        nn.ReLU(),
        nn.SpatialDropout(0.1, rng=0),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(72, 2, rng=0),
    ),
    "LSTM": lambda: nn.Sequential(
        nn.Reshape(6, 6),
        nn.LSTM(6, 16, p=0.1, recurrent_p=0.1, zoneout=0.1, rng=0, mask_rng=0),
        nn.LastStep(),
        nn.Linear(16, 2, rng=0),
    ),
    "attention": lambda: nn.Sequential(
        nn.Reshape(6, 6),
        nn.Linear(6, 8, rng=0),
        nn.LearnedPositions(6, 8, rng=0),
        nn.TransformerBlock(8, 2, 16, drop_path=0.1, rng=0, mask_rng=0),
        nn.MeanOverSteps(),
        nn.Linear(8, 2, rng=0),
    ),
    "embedding": lambda: nn.Sequential(
        nn.Embedding(4, 8, p=0.1, rng=0, mask_rng=0), nn.MeanOverSteps(), nn.Linear(8, 2, rng=0)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_training_reduces_the_loss(name):
    """The labels: whether the first half of 36 numbers has the greater sum, or (embedding) whether 2 is frequent."""
    model, rng = TRAINED[name](), np.random.default_rng(0)
    x = rng.integers(0, 4, (200, 36)).astype(np.float32)
    labels = (x == 2).sum(axis=1) > 9 if name == "embedding" else x[:, :18].sum(axis=1) > x[:, 18:].sum(axis=1)
    x, labels = x if name == "embedding" else x - 1.5, labels.astype(int)
    optimizer = nn.Adam(model.parameters(), 0.03, weight_decay=0.001)
    before = nn.softmax_cross_entropy(model.eval()(x), labels)[0]
    for _ in range(80):
        _, dlogits = nn.softmax_cross_entropy(model.train()(x), labels)
        model.backward(dlogits)
        optimizer.step()
    after = nn.softmax_cross_entropy(model.eval()(x), labels)[0]
    assert after < 0.6 * min(before, math.log(2)), (before, after)
