"""Masks made of plain numbers, and their keep bits from the reference, for tests of kernels."""

import functools

import numpy as np

from fastdrop import reference
from fastdrop._kernels import cpu
from fastdrop.rule import inverted_scale, threshold_of


def mask_of(shape, key, call, p=None, threshold=None, scale=None, shared_axes=(), layout=None):
    """A mask of this key and call number, and of p or a threshold; its scale is 1 unless p or a scale is given."""
    if threshold is None:
        threshold, scale = threshold_of(p), inverted_scale(p) if scale is None else scale
    draw, scale = cpu.Draw(key, call), 1.0 if scale is None else scale
    return cpu.make_mask(tuple(shape), p, draw, threshold, scale, shared_axes, "dropout", layout)


_keep = functools.lru_cache(maxsize=256)(reference.keep)  # the same for every instruction set and dtype


def kept_by_reference(mask):
    """The keep bits of a whole mask: an array of its `noise_shape`."""
    return _keep(mask.draw.key, mask.draw.call, mask.threshold, mask.noise_shape)


def kept_of(mask):
    """The keep bits of a whole mask, in its shape."""
    return np.broadcast_to(kept_by_reference(mask), mask.shape)


SHIFT = 0.37
"""The shift of alpha dropout: a number that no half dtype has exactly."""


def alpha_or_blend(operation, x, second, kept, scale):
    """The reference's result of the operation "alpha" or "blend"."""
    with np.errstate(all="ignore"):
        if operation == "alpha":
            return reference.alpha(x, kept, scale, SHIFT)
        return reference.blend(x, second, kept, scale)
