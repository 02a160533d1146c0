"""Dropout for NumPy and CuPy arrays, fused into one pass over memory.

One mask everywhere, bit for bit; none is stored. `fastdrop.nn` is a small layer library over these functions,
`fastdrop.experiments` trains networks with it, `fastdrop.reference` is the mask rule in plain NumPy.
"""

from fastdrop._version import __version__
from fastdrop.backends import from_dlpack
from fastdrop.errors import BackendUnavailable
from fastdrop.functional import (
    alpha_dropout,
    bias_activation_dropout,
    bias_activation_dropout_backward,
    cutout,
    drop_path,
    dropblock,
    dropconnect,
    dropconnect_backward,
    dropconnect_inference,
    dropconnect_moments,
    dropout,
    dropout_add,
    dropout_backward,
    embedding_dropout,
    feature_alpha_dropout,
    gaussian_dropout,
    locked_dropout,
    softmax_dropout,
    softmax_dropout_backward,
    spatial_dropout,
    zoneout,
    zoneout_backward,
)
from fastdrop.graph import GraphStream
from fastdrop.info import show_config
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import MultiplicativeNoise
from fastdrop.nn.monte_carlo import MonteCarlo, mc_dropout
from fastdrop.noise import GaussianNoise
from fastdrop.pool import empty_pool, get_pool_limit, pool_free_bytes, set_pool_limit
from fastdrop.regions import BlockMask, CutoutMask
from fastdrop.stream import Stream
from fastdrop.threads import get_num_threads, set_num_threads

__all__ = [
    "BackendUnavailable",
    "BlockMask",
    "CutoutMask",
    "GaussianNoise",
    "GraphStream",
    "Mask",
    "MonteCarlo",
    "MultiplicativeNoise",
    "Stream",
    "__version__",
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
    "empty_pool",
    "feature_alpha_dropout",
    "from_dlpack",
    "gaussian_dropout",
    "get_num_threads",
    "get_pool_limit",
    "locked_dropout",
    "mc_dropout",
    "pool_free_bytes",
    "set_num_threads",
    "set_pool_limit",
    "show_config",
    "softmax_dropout",
    "softmax_dropout_backward",
    "spatial_dropout",
    "zoneout",
    "zoneout_backward",
]
