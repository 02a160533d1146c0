"""Every function that draws, as a call with x, p and keywords, with inputs that fit them all."""

import numpy as np

import fastdrop as fd

SHAPE = (2, 3, 4, 4)
"""The shape of every x: feature maps, rows for softmax, and an axis to share keep bits along."""
ROWS = (6, 8)


def values(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Every function that draws: how it is called with x, p, and further keywords.
FUNCTIONS = {
    "dropout": lambda x, p, **how: fd.dropout(x, p, **how),
    "dropout, shared axes": lambda x, p, **how: fd.dropout(x, p, shared_axes=-1, **how),
    "spatial_dropout": lambda x, p, **how: fd.spatial_dropout(x, p, **how),
    "drop_path": lambda x, p, **how: fd.drop_path(x, p, **how),
    "locked_dropout": lambda x, p, **how: fd.locked_dropout(x, p, **how),
    "gaussian_dropout": lambda x, p, **how: fd.gaussian_dropout(x, p, **how),
    "alpha_dropout": lambda x, p, **how: fd.alpha_dropout(x, p, **how),
    "feature_alpha_dropout": lambda x, p, **how: fd.feature_alpha_dropout(x, p, **how),
    "dropblock": lambda x, p, **how: fd.dropblock(x, p, 2, **how),
    "softmax_dropout": lambda x, p, **how: fd.softmax_dropout(x, p, **how),
    "zoneout": lambda x, p, **how: fd.zoneout(x, x, p, **how),
    "dropout_add": lambda x, p, **how: fd.dropout_add(x, x, p, **how),
    "bias_activation_dropout": lambda x, p, **how: fd.bias_activation_dropout(
        x, x.reshape(-1)[: x.shape[-1]], p, **how
    ),
}
NO_P = {"cutout": lambda x, p, **how: fd.cutout(x, 2, **how)}
NO_OUT = {
    "dropconnect": lambda x, p, **how: fd.dropconnect(x.reshape(6, 16), np.ones((3, 16), x.dtype), p=p, **how),
    "dropconnect per batch": lambda x, p, **how: fd.dropconnect(
        x.reshape(6, 16), np.ones((3, 16), x.dtype), p=p, per_example=False, **how
    ),
}
ALL = FUNCTIONS | NO_P | NO_OUT


def sources():
    """Every kind of rng that a call advances, each with a function that returns its state."""
    return {
        "stream": (fd.Stream(1), lambda rng: rng.state),
        "Generator": (np.random.default_rng(1), lambda rng: rng.bit_generator.state),
        "Generator of MT19937": (np.random.Generator(np.random.MT19937(1)), lambda rng: str(rng.bit_generator.state)),
        "BitGenerator": (np.random.Philox(1), lambda rng: str(rng.state)),
        "RandomState": (np.random.RandomState(1), lambda rng: str(rng.get_state())),
    }
