"""The public functions: dropout in its forms, forward and backward."""

from fastdrop.functional.connect import dropconnect, dropconnect_backward
from fastdrop.functional.elementwise import (
    dropout,
    dropout_backward,
    spatial_dropout,
    spatial_dropout_backward,
)

__all__ = [
    "dropconnect",
    "dropconnect_backward",
    "dropout",
    "dropout_backward",
    "spatial_dropout",
    "spatial_dropout_backward",
]
