"""Convolution, recurrence, attention, embedding and what trains them: numerical gradients, PyTorch, by hand."""

import math

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn
from fastdrop.nn import schedules

RNG = np.random.default_rng(1)
DOUBLE = {"rng": 1, "dtype": np.float64}
DROPPING = {**DOUBLE, "mask_rng": 3}
SEQUENCE, IMAGE = (3, 4, 6), (2, 3, 5, 6)


def mixed_block():
    return nn.TransformerBlock(6, 2, 5, p=0.2, attention_p=0.3, drop_path=0.4, causal=True, **DROPPING)


LAYERS = {
    "GELU": (nn.GELU, (3, 7)),
    "GELU of maps": (nn.GELU, IMAGE),
    "SELU": (nn.SELU, (3, 7)),
    "Tanh": (nn.Tanh, (3, 7)),
    "Sigmoid": (nn.Sigmoid, (3, 7)),
    "Linear of sequences": (lambda: nn.Linear(6, 5, **DOUBLE), SEQUENCE),
    "LayerNorm": (lambda: nn.LayerNorm(7, dtype=np.float64), (3, 7)),
    "LayerNorm of sequences": (lambda: nn.LayerNorm(6, eps=0.1, dtype=np.float64), SEQUENCE),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3, **DOUBLE), IMAGE),
    "Conv2d padded": (lambda: nn.Conv2d(3, 2, 3, padding=1, **DOUBLE), IMAGE),
    "Conv2d with strides": (lambda: nn.Conv2d(3, 2, 2, stride=3, padding=2, **DOUBLE), IMAGE),
    "Conv2d of points": (lambda: nn.Conv2d(3, 4, 1, stride=2, **DOUBLE), IMAGE),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), IMAGE),
    "MaxPool2d of points": (lambda: nn.MaxPool2d(1), IMAGE),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), IMAGE),
    "GlobalAveragePool": (nn.GlobalAveragePool, IMAGE),
    "LockedDropout": (lambda: nn.LockedDropout(0.4, rng=3), SEQUENCE),
    "GaussianDropout": (lambda: nn.GaussianDropout(0.4, rng=3), (5, 8)),
    "AlphaDropout": (lambda: nn.AlphaDropout(0.4, rng=3), (5, 8)),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout(0.4, rng=3), IMAGE),
    "DropBlock": (lambda: nn.DropBlock(0.4, 2, rng=3), IMAGE),
    "DropBlock, channels last": (lambda: nn.DropBlock(0.4, 2, channel_axis=-1, rng=3), IMAGE),
    "DropPath": (lambda: nn.DropPath(0.4, rng=3), (5, 8)),
    "Cutout": (lambda: nn.Cutout(3, rng=3), IMAGE),
    "DropConnect with biases": (lambda: nn.DropConnectLinear(8, 3, 0.4, drop_bias=True, **DROPPING), (5, 8)),
    "LSTM": (lambda: nn.LSTM(6, 5, **DROPPING), SEQUENCE),
    "LSTM with locked dropout": (lambda: nn.LSTM(6, 5, p=0.4, recurrent_p=0.3, **DROPPING), SEQUENCE),
    "LSTM with zoneout": (lambda: nn.LSTM(6, 5, zoneout=0.4, **DROPPING), SEQUENCE),
    "LSTM with zoneout of the cell": (lambda: nn.LSTM(6, 5, zoneout_cell=0.4, **DROPPING), SEQUENCE),
    "LSTM with all": (
        lambda: nn.LSTM(6, 5, p=0.2, recurrent_p=0.3, zoneout=0.4, zoneout_cell=0.5, **DROPPING),
        SEQUENCE,
    ),
    "two LSTMs": (lambda: nn.Sequential(nn.LSTM(6, 5, **DROPPING), nn.LSTM(5, 3, p=0.3, **DROPPING)), SEQUENCE),
    "LastStep": (nn.LastStep, SEQUENCE),
    "MeanOverSteps": (nn.MeanOverSteps, SEQUENCE),
    "SoftmaxDropout": (lambda: nn.SoftmaxDropout(0.4, rng=3), SEQUENCE),
    "LinearActivationDropout": (lambda: nn.LinearActivationDropout(6, 5, 0.4, **DROPPING), SEQUENCE),
    "with ReLU": (lambda: nn.LinearActivationDropout(6, 5, 0.4, activation="relu", **DROPPING), SEQUENCE),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(6, 2, p=0.3, **DROPPING), SEQUENCE),
    "causal": (lambda: nn.MultiHeadAttention(6, 3, p=0.3, causal=True, **DROPPING), SEQUENCE),
    "LearnedPositions": (lambda: nn.LearnedPositions(5, 6, **DOUBLE), SEQUENCE),
    "Residual": (lambda: nn.Residual(nn.Linear(6, 6, **DOUBLE), 0.5, rng=3), SEQUENCE),
    "TransformerBlock": (lambda: nn.TransformerBlock(6, 2, 5, **DROPPING), SEQUENCE),
    "TransformerBlock with all": (mixed_block, SEQUENCE),
    "a small CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, **DOUBLE),
            nn.BatchNorm(4, dtype=np.float64),
            nn.GELU(),
            nn.SpatialDropout(0.3, rng=3),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(24, 2, **DOUBLE),
        ),
        IMAGE,
    ),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients(check_gradients, name, training):
    make, shape = LAYERS[name]
    check_gradients(make().train(training), RNG.standard_normal(shape))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_gradients_of_words(check_gradients, training, p):
    """Words come up several times; their numbers have no gradient."""
    layer = nn.Embedding(5, 3, p=p, **DROPPING).train(training)
    ids = RNG.integers(0, 5, (4, 6))
    check_gradients(layer, ids, of_x=False)
    layer(ids)
    dx = layer.backward(np.ones((4, 6, 3)))
    assert not dx.any()
    assert dx.dtype == np.float64


def test_backward_reads_gradients_of_any_strides():
    for name, (make, shape) in LAYERS.items():
        layer = make().eval()
        dy = RNG.standard_normal(layer(RNG.standard_normal(shape)).shape)
        turned = np.asfortranarray(dy)
        np.testing.assert_allclose(layer.backward(turned), layer.backward(dy), rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name):
    make, shape = LAYERS[name]
    layer = make()
    for _, parameter in layer.parameters():
        parameter.value = parameter.value.astype(np.float32)
    for module in layer.modules():
        for buffer in module.buffers:
            setattr(module, buffer, getattr(module, buffer).astype(np.float32))
    for training in (True, False):
        y = layer.train(training)(RNG.standard_normal(shape).astype(np.float32))
        assert y.dtype == np.float32
        assert layer.backward(y).dtype == np.float32
        assert {parameter.grad.dtype for _, parameter in layer.parameters()} <= {np.dtype(np.float32)}


def test_saturated_units_neither_overflow_nor_divide_by_zero():
    x = np.array([-1e30, -1e4, -100, 0, 100, 1e4, 1e30], np.float32)
    for layer, low, high in ((nn.Sigmoid(), 0, 1), (nn.Tanh(), -1, 1)):
        y = layer(x)
        assert (y[0], y[3], y[-1]) == (low, (low + high) / 2, high)
        np.testing.assert_array_equal(layer.backward(np.ones_like(x))[[0, -1]], 0)
    assert nn.SELU()(x)[0] == pytest.approx(-1.7580993)
    assert nn.SELU()(x)[-2] == pytest.approx(10507.01)
    np.testing.assert_array_equal(nn.GELU()(x)[[0, -2]], [0, 1e4])


def test_selu_keeps_mean_and_variance():
    y = nn.SELU()(RNG.standard_normal(200_000))
    assert y.mean() == pytest.approx(0, abs=0.01)
    assert y.var() == pytest.approx(1, abs=0.02)


def test_activations_by_definition():
    x = np.linspace(-4, 4, 33)
    definitions = {
        nn.GELU: lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))),
        nn.SELU: lambda v: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * (math.exp(v) - 1)),
        nn.Tanh: math.tanh,
        nn.Sigmoid: lambda v: 1 / (1 + math.exp(-v)),
    }
    for layer, definition in definitions.items():
        np.testing.assert_allclose(layer()(x), [definition(v) for v in x], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("size", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (2, 2, 0), (3, 2, 2)])
def test_convolution_by_definition(size, stride, padding):
    layer = nn.Conv2d(3, 4, size, stride=stride, padding=padding, **DOUBLE)
    layer.bias.value += RNG.standard_normal(4)
    x = RNG.standard_normal((2, 3, 6, 5))
    around = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    padded, y = np.pad(x, around), layer(x)
    assert y.shape == (2, 4, (6 + 2 * padding - size) // stride + 1, (5 + 2 * padding - size) // stride + 1)
    for row, column in np.ndindex(y.shape[2:]):
        window = padded[:, :, row * stride : row * stride + size, column * stride : column * stride + size]
        wanted = np.einsum("bchw,ochw->bo", window, layer.weight.value) + layer.bias.value
        np.testing.assert_allclose(y[:, :, row, column], wanted)


def test_lstm_by_definition():
    layer = nn.LSTM(3, 4, **DOUBLE)
    layer.bias.value += RNG.standard_normal(16)
    x = RNG.standard_normal((2, 5, 3))
    state = memory = np.zeros((2, 4))
    for step, y in enumerate(layer(x).swapaxes(0, 1)):
        sums = x[:, step] @ layer.weight.value.T + state @ layer.recurrent_weight.value.T + layer.bias.value
        enter, forget, leave = (1 / (1 + np.exp(-sums[:, part * 4 : part * 4 + 4])) for part in range(3))
        memory = forget * memory + enter * np.tanh(sums[:, 12:])
        state = leave * np.tanh(memory)
        np.testing.assert_allclose(y, state, rtol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_states_and_cells_by_definition(training):
    """Krueger et al. 2017: an updated hidden unit sees its new memory, whether the cell keeps this one or not."""
    layer = nn.LSTM(3, 4, zoneout=0.3, zoneout_cell=0.4, **DROPPING).train(training)
    x = RNG.standard_normal((2, 6, 3))
    shares = {"zoneout": [], "zoneout_cell": []}  # of the new value, for every step
    for name, seen in shares.items():
        zoneout = getattr(layer, name)

        def mix(new, previous, zoneout=zoneout, seen=seen):
            y = nn.Zoneout.mix(zoneout, new, previous)
            seen.append(1 - zoneout.p if zoneout.mask is None else np.asarray(zoneout.mask))
            return y

        zoneout.mix = mix
    y = layer(x)
    state = memory = np.zeros((2, 4))
    for step, (of_state, of_cell) in enumerate(zip(*shares.values(), strict=True)):
        sums = x[:, step] @ layer.weight.value.T + state @ layer.recurrent_weight.value.T + layer.bias.value
        enter, forget, leave = (1 / (1 + np.exp(-sums[:, part * 4 : part * 4 + 4])) for part in range(3))
        new = forget * memory + enter * np.tanh(sums[:, 12:])
        state = (1 - of_state) * state + of_state * leave * np.tanh(new)
        memory = (1 - of_cell) * memory + of_cell * new
        np.testing.assert_allclose(y[:, step], state, rtol=1e-7)  # shares are counted in 2**-32
    if training:
        decisions = np.concatenate([*shares["zoneout"], *shares["zoneout_cell"]])
        assert decisions.shape == (24, 4)
        assert 0.4 < decisions.mean() < 0.9


def test_zoneout_of_cells_at_rate_0_moves_no_other_mask():
    x = RNG.standard_normal((2, 6, 3))
    layer = nn.LSTM(3, 4, p=0.2, zoneout=0.3, **DROPPING)
    layer(x)
    calls = layer.zoneout.stream.calls
    assert calls == 1 + 1 + 6  # inputs, recurrence, and the hidden state at every step
    layer.zoneout_cell.p = 0.1
    layer(x)
    assert layer.zoneout.stream.calls - calls == 1 + 1 + 6 + 6


def test_attention_by_definition():
    layer, x = nn.MultiHeadAttention(6, 2, causal=True, **DOUBLE), RNG.standard_normal((4, 6))
    query, key, value = (x @ weight.T for weight in layer.projection.weight.value.reshape(3, 6, 6))
    heads = np.empty((4, 6))
    for step in range(4):
        for head in (slice(0, 3), slice(3, 6)):
            weights = np.exp(key[: step + 1, head] @ query[step, head] / math.sqrt(3))
            heads[step, head] = weights @ value[: step + 1, head] / weights.sum()
    np.testing.assert_allclose(layer(x[np.newaxis])[0], heads @ layer.output.weight.value.T, rtol=1e-10)


def test_max_pooling_gives_a_gradient_to_one_of_equals():
    layer = nn.MaxPool2d(2)
    layer(np.ones((1, 1, 5, 4)))
    dx = layer.backward(np.full((1, 1, 2, 2), 3.0))
    assert dx.sum() == 12
    assert (dx[0, 0, ::2, ::2][:2] == 3).all()


def test_embedding_takes_whole_numbers_of_any_dtype():
    layer = nn.Embedding(9, 4, rng=0).eval()
    ids = np.array([[0, 8, 3]])
    for dtype in (np.float32, np.float64, np.uint8, np.int32):
        np.testing.assert_array_equal(layer(ids.astype(dtype)), layer.weight.value[ids])
    assert layer(ids[:, :0]).shape == (1, 0, 4)


def test_embedding_drops_words_wherever_they_stand():
    layer = nn.Embedding(50, 4, p=0.5, rng=0, mask_rng=1)
    ids = RNG.integers(0, 50, (20, 30))
    y = layer(ids)
    wanted, mask = fd.dropout(layer.weight.value, 0.5, rng=1, shared_axes=1)
    np.testing.assert_array_equal(y, wanted[ids])
    assert layer.mask == mask
    assert layer.p == 0.5
    assert 10 < (wanted == 0).all(axis=1).sum() < 40


def test_recurrent_dropout_reuses_its_mask():
    """One hidden unit's way to the next step is open for a whole sequence, or closed for all of it."""
    layer = nn.LSTM(3, 40, recurrent_p=0.5, rng=0, mask_rng=1)
    x = RNG.standard_normal((1, 6, 3)).astype(np.float32)
    y = layer(x)
    kept = np.asarray(layer.recurrent_dropout.mask)
    assert kept.shape == (1, 40)
    assert 0 < kept.sum() < 40
    # The same as a layer without dropout whose weights from the closed units are 0 and from the others doubled.
    other = nn.LSTM(3, 40, rng=0)
    other.recurrent_weight.value *= 2 * kept[0]
    np.testing.assert_allclose(y, other(x), rtol=1e-4, atol=1e-6)


def test_zoneout_keeps_previous_states():
    layer = nn.LSTM(3, 400, zoneout=0.3, rng=0, mask_rng=1)
    x = RNG.standard_normal((2, 6, 3)).astype(np.float32)
    y = layer(x)
    for step in range(1, 6):
        assert (y[:, step] == y[:, step - 1]).mean() == pytest.approx(0.3, abs=0.07)
    assert not np.array_equal(y[:, 3] == y[:, 2], y[:, 2] == y[:, 1])
    layer.zoneout.p = 1.0
    assert not layer(x).any()
    assert not layer.eval()(x).any()


def test_zoneout_evaluates_the_expectation():
    zoneout = nn.Zoneout(0.25).eval()
    np.testing.assert_array_equal(zoneout.mix(np.array([1.0]), np.array([5.0])), [2.0])


def test_forget_gates_begin_open():
    layer = nn.LSTM(3, 4, rng=0)
    np.testing.assert_array_equal(layer.bias.value, [0] * 4 + [1] * 4 + [0] * 8)


def test_causal_attention_does_not_look_ahead():
    layer = nn.MultiHeadAttention(8, 2, causal=True, **DOUBLE).eval()
    x = RNG.standard_normal((2, 6, 8))
    before = layer(x)
    x[:, 4:] += 1
    np.testing.assert_array_equal(layer(x)[:, :4], before[:, :4])
    assert (layer(x)[:, 4:] != before[:, 4:]).all()


def test_a_dropped_branch_leaves_the_example_alone():
    block = nn.TransformerBlock(8, 2, 16, drop_path=1.0, rng=0, mask_rng=0)
    x = RNG.standard_normal((4, 3, 8)).astype(np.float32)
    np.testing.assert_array_equal(block(x), x)
    assert (block.eval()(x) != x).any()


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
def test_whoever_walks_the_modules_finds_all_rates_and_one_stream(name):
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
        optimizer.step()  # without gradients, decay is all that happens
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


def test_summary_leaves_the_model_alone():
    x = RNG.standard_normal((5, 1, 8, 8)).astype(np.float32)
    model, untouched = network(), network()
    model.layers[3].eval()
    untouched.layers[3].eval()
    y, wanted = model(x), untouched(x)
    before = [{**vars(module)} for module in model.modules()]
    statistics = model.layers[1].running_mean.copy()
    model.summary((1, 8, 8))
    with pytest.raises(ValueError, match="channels"):
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(9)).summary((1, 8, 8))
    for module, attributes in zip(model.modules(), before, strict=True):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[name] is value for name, value in attributes.items())
    np.testing.assert_array_equal(model.layers[1].running_mean, statistics)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(model.backward(y), untouched.backward(y))
    np.testing.assert_array_equal(model(x), untouched(x))


def test_words_in_a_network_may_be_summarised():
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
    """Whether the first half of 36 numbers from 0 to 3 has the greater sum, or whether 2 is frequent among them."""
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


class TestTorch:
    """Values and gradients of PyTorch's layers, in float64."""

    @staticmethod
    def compare(ours, theirs, x, pairs):
        """`pairs` are our parameters and PyTorch's of the same values."""
        torch = pytest.importorskip("torch")
        there = torch.tensor(x, requires_grad=True)
        y, wanted = ours(x), theirs(there)
        np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=1e-10, atol=1e-12)
        dy = RNG.standard_normal(y.shape)
        wanted.backward(torch.tensor(dy))
        np.testing.assert_allclose(ours.backward(dy), there.grad.numpy(), rtol=1e-9, atol=1e-11)
        for parameter, other in pairs:
            np.testing.assert_allclose(parameter.grad, other.grad.numpy(), rtol=1e-9, atol=1e-11)

    @staticmethod
    def copy(pairs):
        torch = pytest.importorskip("torch")
        for parameter, other in pairs:
            other.data = torch.tensor(parameter.value)

    def test_activations(self):
        torch = pytest.importorskip("torch")
        x = np.concatenate([RNG.standard_normal((40, 5)) * 5, np.zeros((1, 5))])
        for ours, theirs in ((nn.GELU, torch.nn.GELU), (nn.SELU, torch.nn.SELU), (nn.Tanh, torch.nn.Tanh)):
            self.compare(ours(), theirs(), x, [])
        self.compare(nn.Sigmoid(), torch.nn.Sigmoid(), x, [])

    @pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2}, {"stride": 3, "padding": 2}])
    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_conv2d(self, size, options):
        torch = pytest.importorskip("torch")
        ours = nn.Conv2d(3, 4, size, **options, **DOUBLE)
        ours.bias.value += RNG.standard_normal(4)
        theirs = torch.nn.Conv2d(3, 4, size, **options).double()
        pairs = [(ours.weight, theirs.weight), (ours.bias, theirs.bias)]
        self.copy(pairs)
        self.compare(ours, theirs, RNG.standard_normal((5, 3, 7, 9)), pairs)

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_pooling(self, size):
        torch = pytest.importorskip("torch")
        x = RNG.integers(0, 5, (4, 3, 7, 8)).astype(np.float64)  # with equals
        self.compare(nn.MaxPool2d(size), torch.nn.MaxPool2d(size), x, [])
        self.compare(nn.AvgPool2d(size), torch.nn.AvgPool2d(size), x, [])
        self.compare(nn.GlobalAveragePool(), lambda t: t.mean((2, 3)), x, [])

    def test_layer_norm(self):
        torch = pytest.importorskip("torch")
        ours, theirs = nn.LayerNorm(8, dtype=np.float64), torch.nn.LayerNorm(8).double()
        ours.gamma.value += RNG.standard_normal(8)
        pairs = [(ours.gamma, theirs.weight), (ours.beta, theirs.bias)]
        self.copy(pairs)
        self.compare(ours, theirs, RNG.standard_normal((5, 3, 8)) * 3 + 1, pairs)

    def test_lstm(self):
        torch = pytest.importorskip("torch")
        ours = nn.LSTM(6, 5, **DOUBLE)
        theirs = torch.nn.LSTM(6, 5, batch_first=True).double()
        order = np.arange(20).reshape(4, 5)[[0, 1, 3, 2]].ravel()  # PyTorch's candidate stands before the output gate
        for parameter, other in (
            (ours.weight, theirs.weight_ih_l0),
            (ours.recurrent_weight, theirs.weight_hh_l0),
            (ours.bias, theirs.bias_ih_l0),
        ):
            other.data = torch.tensor(parameter.value[order])
        theirs.bias_hh_l0.data.zero_()
        self.compare(ours, lambda t: theirs(t)[0], RNG.standard_normal((4, 7, 6)), [])
        for parameter, other in ((ours.weight, theirs.weight_ih_l0), (ours.recurrent_weight, theirs.weight_hh_l0)):
            np.testing.assert_allclose(parameter.grad[order], other.grad.numpy(), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(ours.bias.grad[order], theirs.bias_ih_l0.grad.numpy(), rtol=1e-9, atol=1e-11)

    @pytest.mark.parametrize("causal", [False, True])
    def test_attention(self, causal):
        torch = pytest.importorskip("torch")
        ours = nn.MultiHeadAttention(8, 2, causal=causal, **DOUBLE)
        ours.projection.bias.value += RNG.standard_normal(24)
        theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
        pairs = [(ours.projection.weight, theirs.in_proj_weight), (ours.projection.bias, theirs.in_proj_bias)]
        pairs += [(ours.output.weight, theirs.out_proj.weight), (ours.output.bias, theirs.out_proj.bias)]
        self.copy(pairs)
        hidden = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
        x = RNG.standard_normal((3, 5, 8))
        self.compare(ours, lambda t: theirs(t, t, t, attn_mask=hidden, need_weights=False)[0], x, pairs)

    def test_embedding(self):
        torch = pytest.importorskip("torch")
        ours, theirs = nn.Embedding(7, 3, **DOUBLE), torch.nn.Embedding(7, 3).double()
        self.copy([(ours.weight, theirs.weight)])
        ids, dy = RNG.integers(0, 7, (4, 6)), RNG.standard_normal((4, 6, 3))
        ours(ids)
        ours.backward(dy)
        theirs(torch.tensor(ids)).backward(torch.tensor(dy))
        np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy(), rtol=1e-12)

    @pytest.mark.parametrize("adam", [True, False])
    def test_weight_decay(self, adam):
        torch = pytest.importorskip("torch")
        parameter = nn.Parameter(RNG.standard_normal((3, 4)))
        other = torch.nn.Parameter(torch.tensor(parameter.value))
        if adam:
            ours, theirs = nn.Adam, torch.optim.AdamW([other], 0.05, weight_decay=0.1)
        else:
            ours, theirs = nn.SGD, torch.optim.SGD([other], 0.05, momentum=0.9, weight_decay=0.1)
        optimizer = ours([("weight", parameter)], 0.05, weight_decay=0.1)
        for _ in range(5):
            parameter.grad = RNG.standard_normal((3, 4))
            other.grad = torch.tensor(parameter.grad)
            optimizer.step()
            theirs.step()
            np.testing.assert_allclose(parameter.value, other.detach().numpy(), rtol=1e-9)
