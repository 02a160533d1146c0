"""Dropout for NumPy and CuPy arrays at the speed of a copy.

One mask everywhere, bit for bit; none is stored. `fastdrop.nn` is a small layer library over these functions,
`fastdrop.experiments` trains networks with it, `fastdrop.reference` is the mask rule in plain NumPy.
"""

from fastdrop._version import __version__
from fastdrop.errors import BackendUnavailable
from fastdrop.functional import (
    bias_activation_dropout,
    bias_activation_dropout_backward,
    dropconnect,
    dropconnect_backward,
    dropout,
    dropout_add,
    dropout_add_backward,
    dropout_backward,
    softmax_dropout,
    softmax_dropout_backward,
    spatial_dropout,
    spatial_dropout_backward,
)
from fastdrop.graph import GraphStream
from fastdrop.info import show_config
from fastdrop.mask import Mask
from fastdrop.stream import Stream
from fastdrop.threads import get_num_threads, set_num_threads

__all__ = [
    "BackendUnavailable",
    "GraphStream",
    "Mask",
    "Stream",
    "__version__",
    "bias_activation_dropout",
    "bias_activation_dropout_backward",
    "dropconnect",
    "dropconnect_backward",
    "dropout",
    "dropout_add",
    "dropout_add_backward",
    "dropout_backward",
    "get_num_threads",
    "set_num_threads",
    "show_config",
    "softmax_dropout",
    "softmax_dropout_backward",
    "spatial_dropout",
    "spatial_dropout_backward",
]
