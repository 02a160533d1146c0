"""Layers against their definitions: activations, convolution, LSTM, attention, pooling, embedding."""

import math

import numpy as np
import pytest
from nntools import DOUBLE, DROPPING

import fastdrop as fd
from fastdrop import nn

RNG = np.random.default_rng(1)


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
        expected = np.einsum("bchw,ochw->bo", window, layer.weight.value) + layer.bias.value
        np.testing.assert_allclose(y[:, :, row, column], expected)


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
    """Krueger et al. 2017: an updated hidden unit uses the new cell state, even if the cell keeps its previous one."""
    layer = nn.LSTM(3, 4, zoneout=0.3, zoneout_cell=0.4, **DROPPING).train(training)
    x = RNG.standard_normal((2, 6, 3))
    fractions = {"zoneout": [], "zoneout_cell": []}  # of the new value, for every step
    for name, seen in fractions.items():
        zoneout = getattr(layer, name)

        def mix(new, previous, zoneout=zoneout, seen=seen):
            y = nn.Zoneout.mix(zoneout, new, previous)
            seen.append(1 - zoneout.p if zoneout.mask is None else np.asarray(zoneout.mask))
            return y

        zoneout.mix = mix
    y = layer(x)
    state = memory = np.zeros((2, 4))
    for step, (of_state, of_cell) in enumerate(zip(*fractions.values(), strict=True)):
        sums = x[:, step] @ layer.weight.value.T + state @ layer.recurrent_weight.value.T + layer.bias.value
        enter, forget, leave = (1 / (1 + np.exp(-sums[:, part * 4 : part * 4 + 4])) for part in range(3))
        new = forget * memory + enter * np.tanh(sums[:, 12:])
        state = (1 - of_state) * state + of_state * leave * np.tanh(new)
        memory = (1 - of_cell) * memory + of_cell * new
        np.testing.assert_allclose(y[:, step], state, rtol=1e-7)  # fractions are multiples of 2**-32
    if training:
        masks = np.concatenate([*fractions["zoneout"], *fractions["zoneout_cell"]])
        assert masks.shape == (24, 4)
        assert 0.4 < masks.mean() < 0.9


def test_zoneout_of_cells_at_rate_0_shifts_no_other_mask():
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


def test_max_pooling_gives_the_gradient_to_one_of_equal_values():
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


def test_embedding_drops_words_at_all_positions():
    layer = nn.Embedding(50, 4, p=0.5, rng=0, mask_rng=1)
    ids = RNG.integers(0, 50, (20, 30))
    y = layer(ids)
    expected, mask = fd.dropout(layer.weight.value, 0.5, rng=1, shared_axes=1)
    np.testing.assert_array_equal(y, expected[ids])
    assert layer.mask == mask
    assert layer.p == 0.5
    assert 10 < (expected == 0).all(axis=1).sum() < 40


def test_recurrent_dropout_reuses_its_mask():
    """A hidden unit's recurrent connections are kept or dropped for the whole sequence."""
    layer = nn.LSTM(3, 40, recurrent_p=0.5, rng=0, mask_rng=1)
    x = RNG.standard_normal((1, 6, 3)).astype(np.float32)
    y = layer(x)
    kept = np.asarray(layer.recurrent_dropout.mask)
    assert kept.shape == (1, 40)
    assert 0 < kept.sum() < 40
    # Equals a layer without dropout whose weights from dropped units are 0 and from the others doubled.
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


def test_forget_gates_start_open():
    layer = nn.LSTM(3, 4, rng=0)
    np.testing.assert_array_equal(layer.bias.value, [0] * 4 + [1] * 4 + [0] * 8)


def test_causal_attention_does_not_look_ahead():
    layer = nn.MultiHeadAttention(8, 2, causal=True, **DOUBLE).eval()
    x = RNG.standard_normal((2, 6, 8))
    before = layer(x)
    x[:, 4:] += 1
    np.testing.assert_array_equal(layer(x)[:, :4], before[:, :4])
    assert (layer(x)[:, 4:] != before[:, 4:]).all()


def test_a_dropped_branch_leaves_the_example_unchanged():
    block = nn.TransformerBlock(8, 2, 16, drop_path=1.0, rng=0, mask_rng=0)
    x = RNG.standard_normal((4, 3, 8)).astype(np.float32)
    np.testing.assert_array_equal(block(x), x)
    assert (block.eval()(x) != x).any()
