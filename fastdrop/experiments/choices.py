"""What a configuration chooses from: networks, kinds of dropout, activations, schedules. Each name has its meaning."""

from fastdrop.backends import BACKENDS

DROPOUT_KINDS = {
    "none": "no dropout",
    "standard": "single units",
    "gaussian": "multiplicative noise of the same variance",
    "alpha": "single units are set to SELU's saturation value",
    "spatial": "whole feature maps; in an MLP, groups of 8 neighbouring units",
    "dropblock": "blocks of 3 x 3 in feature maps",
    "dropconnect": "single weights, with another mask for every example",
    "locked": "features of a sequence, the same ones at every step",
    "zoneout": "units of a recurrent state keep their previous value",
    "path": "whole residual branches, per example",
    "embedding": "whole words, at every position",
}
NETWORKS = {
    "mlp": "MLP: the sizes are units of the hidden layers",
    "cnn": "CNN for images: channels of 3 x 3 convolutions; the last size is a dense layer",
    "lstm": "LSTM over an image's rows: the sizes are units of the recurrent layers",
    "attention": "transformer over an image's rows: the width, then the hidden units of each block",
    "text": "for words: features of the embedding, then units of the hidden layers",
}
FITTING = {
    "mlp": ("none", "standard", "gaussian", "alpha", "spatial", "dropconnect"),
    "cnn": ("none", "standard", "gaussian", "alpha", "spatial", "dropblock"),
    "lstm": ("none", "standard", "locked", "zoneout"),
    "attention": ("none", "standard", "path"),
    "text": ("none", "standard", "gaussian", "alpha", "embedding"),
}
"""The kinds of dropout that each network supports."""
TYPICAL_HIDDEN = {
    "mlp": (256, 128),
    "cnn": (16, 32, 64),
    "lstm": (48,),
    "attention": (32, 64, 64),
    "text": (32, 128, 64),
}
"""The default sizes of each network."""
ACTIVATIONS = {"relu": "ReLU", "selu": "SELU", "gelu": "GELU", "tanh": "tanh", "sigmoid": "sigmoid"}
DROPOUT_LAYERS = {"all": "all hidden layers", "first": "the first one", "last": "the last one"}
DROPOUT_SCHEDULES = {
    "constant": "the full rate from the start",
    "linear": "rises in a straight line from 0",
    "cosine": "rises along half a cosine from 0",
    "curriculum": "rises exponentially from 0, fast at first",
}
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}
LEARNING_RATE_SCHEDULES = {
    "constant": "the full learning rate to the end",
    "linear": "falls in a straight line to 0",
    "cosine": "falls along half a cosine to 0",
}
DEVICES = {name: {"cpu": "CPU", "cuda": "GPU (CUDA)"}.get(name, name) for name in BACKENDS}

SPATIAL_GROUP = 8
"""Units of a hidden layer that spatial dropout drops together: the layer is read as feature maps of 8 positions."""
DROPBLOCK_SIZE = 3
"""The side of a DropBlock block."""
HEADS = 4
"""Attention heads of a transformer block."""


def places(network: str, layers: int) -> list[tuple[str, ...]]:
    """The kinds of dropout that each entry of `hidden` supports, in a network with this number of entries."""
    units = ("none", "standard", "gaussian", "alpha")
    if network == "cnn":
        return [FITTING["cnn"]] * (layers - 1) + [units]
    if network == "attention":
        return [("none",)] + [FITTING["attention"]] * (layers - 1)
    if network == "text":
        return [("none", "embedding")] + [units] * (layers - 1)
    return [FITTING[network]] * layers
