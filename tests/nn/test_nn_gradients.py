"""The backward pass of every layer against numerical gradients."""

import numpy as np
import pytest
from nntools import DOUBLE, DROPPING

from fastdrop import nn

RNG = np.random.default_rng(1)


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
    """Words occur several times; word indices have no gradient."""
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
