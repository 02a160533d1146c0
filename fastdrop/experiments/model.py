"""From a configuration to a network of `fastdrop.nn`."""

from typing import NamedTuple

import numpy as np

from fastdrop import nn
from fastdrop.experiments.config import SPATIAL_GROUP, ExperimentConfig
from fastdrop.nn.dropout import DropoutModule
from fastdrop.stream import Stream


class Block(NamedTuple):
    """A hidden layer as people speak of it: what it is called, its layers, and the one that drops, if any."""

    name: str
    layers: list[nn.Module]
    dropper: DropoutModule | None


class Network(nn.Sequential):
    """Hidden blocks, then a linear layer to the classes."""

    def __init__(self, blocks: list[Block], head: nn.Linear) -> None:
        super().__init__(*(layer for block in blocks for layer in block.layers), head)
        self.blocks = blocks
        self.head = head


def build_network(config: ExperimentConfig, features: int, classes: int, masks: Stream) -> Network:
    """A perceptron: linear, batch normalisation if asked for, rectifier, dropout; its masks come from `masks`.

    The initial weights depend on `config.seed` alone, so that networks with and without dropout start alike.
    """
    rng = np.random.default_rng([config.seed, 0])
    streams = masks.spawn(len(config.hidden))
    blocks: list[Block] = []
    inputs = features
    for number, (outputs, stream) in enumerate(zip(config.hidden, streams, strict=True), start=1):
        layers: list[nn.Module] = []
        dropper: DropoutModule | None = None
        if config.dropout == "dropconnect":
            dropper = nn.DropConnectLinear(inputs, outputs, config.rate, rng=rng, mask_rng=stream)
            layers.append(dropper)
        else:
            layers.append(nn.Linear(inputs, outputs, rng=rng))
        if config.batch_norm:
            layers.append(nn.BatchNorm(outputs))
        layers.append(nn.ReLU())
        if config.dropout == "standard":
            dropper = nn.Dropout(config.rate, rng=stream)
            layers.append(dropper)
        elif config.dropout == "spatial":
            dropper = nn.SpatialDropout(config.rate, rng=stream)
            layers += [nn.Reshape(outputs // SPATIAL_GROUP, SPATIAL_GROUP), dropper, nn.Flatten()]
        blocks.append(Block(f"hidden {number}", layers, dropper))
        inputs = outputs
    return Network(blocks, nn.Linear(inputs, classes, rng=rng))
