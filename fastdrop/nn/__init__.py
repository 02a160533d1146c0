"""A small layer library over fastdrop's functions.

Every layer has `forward` and `backward`, written out: nothing is traced. `train()` and `eval()` switch dropout and
batch normalisation. Arrays have shape (batch, features) or (batch, channels, positions...).
"""

from fastdrop.nn.dropout import DropConnectLinear, Dropout, SpatialDropout
from fastdrop.nn.layers import BatchNorm, Flatten, Linear, ReLU, Reshape
from fastdrop.nn.losses import accuracy, softmax, softmax_cross_entropy
from fastdrop.nn.module import Module, Parameter, Sequential
from fastdrop.nn.optimizers import SGD, Adam, Optimizer

__all__ = [
    "SGD",
    "Adam",
    "BatchNorm",
    "DropConnectLinear",
    "Dropout",
    "Flatten",
    "Linear",
    "Module",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Reshape",
    "Sequential",
    "SpatialDropout",
    "accuracy",
    "softmax",
    "softmax_cross_entropy",
]
