"""The public functions: dropout in its forms, forward and backward."""

from fastdrop.functional.alpha import alpha_dropout, feature_alpha_dropout
from fastdrop.functional.bias_activation import bias_activation_dropout, bias_activation_dropout_backward
from fastdrop.functional.dropconnect import dropconnect, dropconnect_backward
from fastdrop.functional.dropconnect_inference import dropconnect_inference, dropconnect_moments
from fastdrop.functional.dropout import dropout, dropout_backward
from fastdrop.functional.gaussian import gaussian_dropout
from fastdrop.functional.regions import cutout, dropblock
from fastdrop.functional.residual import dropout_add
from fastdrop.functional.shared_axes import drop_path, embedding_dropout, locked_dropout, spatial_dropout
from fastdrop.functional.softmax import softmax_dropout, softmax_dropout_backward
from fastdrop.functional.zoneout import zoneout, zoneout_backward

__all__ = [
    "alpha_dropout",
    "bias_activation_dropout",
    "bias_activation_dropout_backward",
    "cutout",
    "drop_path",
    "dropblock",
    "dropconnect",
    "dropconnect_backward",
    "dropconnect_inference",
    "dropconnect_moments",
    "dropout",
    "dropout_add",
    "dropout_backward",
    "embedding_dropout",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "locked_dropout",
    "softmax_dropout",
    "softmax_dropout_backward",
    "spatial_dropout",
    "zoneout",
    "zoneout_backward",
]
