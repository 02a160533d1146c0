"""The public functions: dropout in its forms, forward and backward."""

from fastdrop.functional.connect import (
    dropconnect,
    dropconnect_backward,
    dropconnect_inference,
    dropconnect_moments,
)
from fastdrop.functional.elementwise import (
    Recipe,
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
from fastdrop.functional.noise import (
    alpha_dropout,
    alpha_dropout_backward,
    feature_alpha_dropout,
    feature_alpha_dropout_backward,
    gaussian_dropout,
    gaussian_dropout_backward,
)
from fastdrop.functional.regions import (
    cutout,
    cutout_backward,
    dropblock,
    dropblock_backward,
)
from fastdrop.functional.shared import (
    drop_path,
    drop_path_backward,
    embedding_dropout,
    embedding_dropout_backward,
    locked_dropout,
    locked_dropout_backward,
    zoneout,
    zoneout_backward,
)

__all__ = [
    "Recipe",
    "alpha_dropout",
    "alpha_dropout_backward",
    "bias_activation_dropout",
    "bias_activation_dropout_backward",
    "cutout",
    "cutout_backward",
    "drop_path",
    "drop_path_backward",
    "dropblock",
    "dropblock_backward",
    "dropconnect",
    "dropconnect_backward",
    "dropconnect_inference",
    "dropconnect_moments",
    "dropout",
    "dropout_add",
    "dropout_add_backward",
    "dropout_backward",
    "embedding_dropout",
    "embedding_dropout_backward",
    "feature_alpha_dropout",
    "feature_alpha_dropout_backward",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "locked_dropout",
    "locked_dropout_backward",
    "softmax_dropout",
    "softmax_dropout_backward",
    "spatial_dropout",
    "spatial_dropout_backward",
    "zoneout",
    "zoneout_backward",
]
