"""Dropout for PyTorch: drops in for `torch.nn`'s, by fastdrop's kernels and masks.

`replace_dropout` swaps the dropout of a whole model; `Dropout` and its relatives take the place of `torch.nn`'s;
`functional` is `torch.nn.functional`'s with a `generator`. CPU tensors are read and written where they are; CUDA
tensors go to the CUDA kernels by DLPack.
"""

from fastdrop.errors import missing_package

try:
    import torch  # noqa: F401
except ImportError:
    raise missing_package("torch", "torch", "fastdrop.torch") from None

from fastdrop.torch import functional
from fastdrop.torch.attention import MultiheadAttention
from fastdrop.torch.connect import DropConnectLinear
from fastdrop.torch.modules import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
)
from fastdrop.torch.replace import replace_dropout

__all__ = [
    "AlphaDropout",
    "DropConnectLinear",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "MultiheadAttention",
    "functional",
    "replace_dropout",
]
