"""A small layer library over fastdrop's functions.

Every layer has `forward` and `backward`, written out: nothing is traced. `train()` and `eval()` switch dropout and
batch normalisation. Arrays have shape (batch, features), (batch, channels, positions...) or (batch, steps, features).
"""

from fastdrop.nn import schedules
from fastdrop.nn.activations import GELU, SELU, ReLU, Sigmoid, Tanh
from fastdrop.nn.advice import DropoutActiveWarning, DropoutInactiveWarning, VarianceShiftWarning
from fastdrop.nn.attention import LearnedPositions, MultiHeadAttention, SoftmaxDropout
from fastdrop.nn.convolution import AvgPool2d, Conv2d, GlobalAveragePool, MaxPool2d
from fastdrop.nn.dropout import (
    AlphaDropout,
    Cutout,
    DropBlock,
    DropConnectLinear,
    Dropout,
    DropoutModule,
    DropPath,
    FeatureAlphaDropout,
    GaussianDropout,
    LockedDropout,
    SpatialDropout,
)
from fastdrop.nn.embedding import Embedding
from fastdrop.nn.layers import BatchNorm, Flatten, LayerNorm, Linear, Reshape
from fastdrop.nn.losses import Evaluation, accuracy, evaluate, softmax, softmax_cross_entropy
from fastdrop.nn.module import Module, Parameter, Sequential
from fastdrop.nn.monte_carlo import MonteCarlo, mc_dropout
from fastdrop.nn.optimizers import SGD, Adam, Optimizer
from fastdrop.nn.recurrent import LSTM, LastStep, MeanOverSteps, Zoneout
from fastdrop.nn.transformer import LinearActivationDropout, Residual, TransformerBlock

__all__ = [
    "GELU",
    "LSTM",
    "SELU",
    "SGD",
    "Adam",
    "AlphaDropout",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "Cutout",
    "DropBlock",
    "DropConnectLinear",
    "DropPath",
    "Dropout",
    "DropoutActiveWarning",
    "DropoutInactiveWarning",
    "DropoutModule",
    "Embedding",
    "Evaluation",
    "FeatureAlphaDropout",
    "Flatten",
    "GaussianDropout",
    "GlobalAveragePool",
    "LastStep",
    "LayerNorm",
    "LearnedPositions",
    "Linear",
    "LinearActivationDropout",
    "LockedDropout",
    "MaxPool2d",
    "MeanOverSteps",
    "Module",
    "MonteCarlo",
    "MultiHeadAttention",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SoftmaxDropout",
    "SpatialDropout",
    "Tanh",
    "TransformerBlock",
    "VarianceShiftWarning",
    "Zoneout",
    "accuracy",
    "evaluate",
    "mc_dropout",
    "schedules",
    "softmax",
    "softmax_cross_entropy",
]
