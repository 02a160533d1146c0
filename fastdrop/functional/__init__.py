"""The public functions: dropout in its forms, forward and backward."""

from fastdrop.functional.connect import dropconnect, dropconnect_backward
from fastdrop.functional.elementwise import (
    dropout,
    dropout_backward,
    spatial_dropout,
    spatial_dropout_backward,
)
from fastdrop.functional.fused import (
    bias_activation_dropout,
    bias_activation_dropout_backward,
    dropout_add,
    dropout_add_backward,
    softmax_dropout,
    softmax_dropout_backward,
)

__all__ = [
    "bias_activation_dropout",
    "bias_activation_dropout_backward",
    "dropconnect",
    "dropconnect_backward",
    "dropout",
    "dropout_add",
    "dropout_add_backward",
    "dropout_backward",
    "softmax_dropout",
    "softmax_dropout_backward",
    "spatial_dropout",
    "spatial_dropout_backward",
]
