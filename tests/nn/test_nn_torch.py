"""Layers and optimizers against PyTorch's, in float64."""

import numpy as np
import pytest
from nntools import DOUBLE

from fastdrop import nn

RNG = np.random.default_rng(1)


class TestTorch:
    """Values and gradients of PyTorch's layers, in float64."""

    @staticmethod
    def compare(ours, theirs, x, pairs):
        """`pairs` are our parameters and PyTorch's of the same values."""
        torch = pytest.importorskip("torch")
        there = torch.tensor(x, requires_grad=True)
        y, expected = ours(x), theirs(there)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
        dy = RNG.standard_normal(y.shape)
        expected.backward(torch.tensor(dy))
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
        x = RNG.integers(0, 5, (4, 3, 7, 8)).astype(np.float64)  # with ties
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
        order = np.arange(20).reshape(4, 5)[[0, 1, 3, 2]].ravel()  # PyTorch has the candidate before the output gate
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
