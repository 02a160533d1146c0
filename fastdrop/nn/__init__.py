"""A small layer library over fastdrop's functions.

Every layer has `forward` and `backward`, written out: nothing is traced. `train()` and `eval()` switch dropout and
batch normalisation. Arrays have shape (batch, features), (batch, channels, positions...) or (batch, steps, features).
"""

from fastdrop.nn import schedules
from fastdrop.nn.activations import GELU, SELU, ReLU, Sigmoid, Tanh
from fastdrop.nn.attention import LearnedPositions, MultiHeadAttention, SoftmaxDropout
from fastdrop.nn.convolution import AvgPool2d, Conv2d, GlobalAveragePool, MaxPool2d
from fastdrop.nn.dropout import DropConnectLinear, Dropout, SpatialDropout
from fastdrop.nn.embedding import Embedding
from fastdrop.nn.layers import BatchNorm, Flatten, LayerNorm, Linear, Reshape
from fastdrop.nn.losses import accuracy, softmax, softmax_cross_entropy
from fastdrop.nn.module import Module, Parameter, Sequential
from fastdrop.nn.optimizers import SGD, Adam, Optimizer
from fastdrop.nn.recurrent import LSTM, LastStep, LockedDropout, MeanOverSteps, Zoneout
from fastdrop.nn.transformer import LinearActivationDropout, Residual, TransformerBlock

__all__ = [
    "GELU",
    "LSTM",
    "SELU",
    "SGD",
    "Adam",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "DropConnectLinear",
    "Dropout",
    "Embedding",
    "Flatten",
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
    "Zoneout",
    "accuracy",
    "schedules",
    "softmax",
    "softmax_cross_entropy",
]
