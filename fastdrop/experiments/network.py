"""From a configuration to a network of `fastdrop.nn`."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from fastdrop import nn
from fastdrop.experiments.choices import DROPBLOCK_SIZE, HEADS, SPATIAL_GROUP
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.errors import ConfigError
from fastdrop.nn.dropout import DropoutModule
from fastdrop.stream import Stream


class Block(NamedTuple):
    """A hidden layer as people speak of it: its name, its layers, and the layer whose mask its output shows."""

    name: str
    layers: list[nn.Module]
    dropper: DropoutModule | None

    @property
    def droppers(self) -> list[DropoutModule]:
        """All dropout modules inside it."""
        inside = itertools.chain.from_iterable(layer.modules() for layer in self.layers)
        return [module for module in inside if isinstance(module, DropoutModule)]


class Network(nn.Sequential):
    """Hidden blocks, then a linear layer to the classes."""

    def __init__(self, blocks: list[Block], head: nn.Linear) -> None:
        with warnings.catch_warnings():  # `ExperimentConfig.warnings` reports it
            warnings.simplefilter("ignore", nn.VarianceShiftWarning)
            super().__init__(*(layer for block in blocks for layer in block.layers), head)
        self.blocks = blocks
        self.head = head
        self._by_block = [[dropper for dropper in block.droppers if dropper.drops] for block in blocks]
        """The modules that drop at the configuration's rates; other dropout modules inside the layers stay off."""

    @property
    def droppers(self) -> list[DropoutModule]:
        """The modules that drop at the configuration's rates."""
        return list(itertools.chain.from_iterable(self._by_block))

    def set_rates(self, rates: Iterable[float]) -> None:
        """Set the dropout rate of every block."""
        for droppers, rate in zip(self._by_block, rates, strict=True):
            for dropper in droppers:
                dropper.p = rate


class _Builder:
    """The arguments of all builders: the configuration, the generator of weights and the streams of masks."""

    def __init__(self, config: ExperimentConfig, masks: Stream) -> None:
        self.config = config
        self.rng = np.random.default_rng([config.seed, 0])
        self.streams = masks.spawn(len(config.hidden))

    def activated(self, features: int) -> list[nn.Module]:
        """Batch normalisation, if the configuration has it, and the activation."""
        norm: list[nn.Module] = [nn.BatchNorm(features)] if self.config.batch_norm else []
        return [*norm, _ACTIVATIONS[self.config.activation]()]


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
_UNITS: dict[str, type[nn.Dropout]] = {
    "standard": nn.Dropout,
    "gaussian": nn.GaussianDropout,
    "alpha": nn.AlphaDropout,
}
"""The kinds that drop single units."""


def build_network(config: ExperimentConfig, dataset: Dataset, masks: Stream) -> Network:
    """The network of a configuration; its masks come from `masks`.

    The initial weights depend on `config.seed` alone: networks with and without dropout start from the same weights.

    Raises
    ------
    ConfigError
        If the network cannot read this data set.
    """
    if config.network in ("cnn", "lstm", "attention") and dataset.image_shape is None:
        raise ConfigError(f"network {config.network} needs images; {dataset.name} has none")
    if config.network in ("lstm", "attention") and dataset.channels > 1:
        raise ConfigError(f"network {config.network} needs grey images; {dataset.name} has colours; choose mlp or cnn")
    if config.network == "text" and not dataset.words:
        raise ConfigError(f"network text needs words; {dataset.name} has none")
    if config.network != "text" and dataset.words:
        raise ConfigError(f"network {config.network} cannot read words, which {dataset.name} has; choose network text")
    # Built with a rate above 0, so that the network knows its dropping modules even if the configured rate is 0.
    builder = _Builder(config.with_rate(0.5), masks)
    blocks, features = _BUILDERS[config.network](builder, dataset)
    network = Network(blocks, nn.Linear(features, dataset.classes, rng=builder.rng))
    network.set_rates(config.rates)
    return network


def _dense(builder: _Builder, features: int, sizes: tuple[int, ...], first: int) -> Iterator[Block]:
    """Hidden layers of an MLP, the blocks from number `first` on."""
    config, rate = builder.config, builder.config.rate
    for number, outputs in enumerate(sizes, start=first):
        kind, stream = config.kinds[number], builder.streams[number]
        dropper: DropoutModule | None = None
        layers: list[nn.Module] = []
        if kind == "dropconnect":
            dropper = nn.DropConnectLinear(features, outputs, rate, drop_bias=True, rng=builder.rng, mask_rng=stream)
            layers.append(dropper)
        else:
            layers.append(nn.Linear(features, outputs, rng=builder.rng))
        layers += builder.activated(outputs)
        if kind in _UNITS:
            dropper = _UNITS[kind](rate, rng=stream)
            layers.append(dropper)
        elif kind == "spatial":
            dropper = nn.SpatialDropout(rate, rng=stream)
            layers += [nn.Reshape(outputs // SPATIAL_GROUP, SPATIAL_GROUP), dropper, nn.Flatten()]
        yield Block(f"hidden {number + 1 - (config.network == 'text')}", layers, dropper)
        features = outputs


def _mlp(builder: _Builder, dataset: Dataset) -> tuple[list[Block], int]:
    hidden = builder.config.hidden
    return list(_dense(builder, dataset.features, hidden, 0)), hidden[-1]


def _cnn(builder: _Builder, dataset: Dataset) -> tuple[list[Block], int]:
    """Convolutions with dropout after each, pooling between them, then one dense layer."""
    assert dataset.image_shape is not None
    config, rate = builder.config, builder.config.rate
    (height, width), channels = dataset.image_shape, dataset.channels
    *sizes, dense = config.hidden
    before: list[nn.Module] = [nn.Reshape(channels, height, width)]
    blocks = []
    for number, outputs in enumerate(sizes):
        kind, stream = config.kinds[number], builder.streams[number]
        layers = [*before, nn.Conv2d(channels, outputs, 3, padding=1, rng=builder.rng), *builder.activated(outputs)]
        dropper: DropoutModule | None = None
        if kind in _UNITS:
            dropper = _UNITS[kind](rate, rng=stream)
        elif kind == "spatial":
            dropper = nn.SpatialDropout(rate, rng=stream)
        elif kind == "dropblock":
            dropper = nn.DropBlock(rate, DROPBLOCK_SIZE, rng=stream)
        layers += [dropper] if dropper else []
        blocks.append(Block(f"convolution {number + 1}", layers, dropper))
        channels, before = outputs, []
        if min(height, width) >= 2:
            before, height, width = [nn.MaxPool2d(2)], height // 2, width // 2
    linear = nn.Linear(channels * height * width, dense, rng=builder.rng)
    layers = [*before, nn.Flatten(), linear, *builder.activated(dense)]
    dropper = _UNITS[config.kinds[-1]](rate, rng=builder.streams[-1]) if config.kinds[-1] in _UNITS else None
    layers += [dropper] if dropper else []
    blocks.append(Block("dense", layers, dropper))
    return blocks, dense


def _lstm(builder: _Builder, dataset: Dataset) -> tuple[list[Block], int]:
    """An image's rows as a sequence; the class is predicted from the last step."""
    assert dataset.image_shape is not None
    config, rate = builder.config, builder.config.rate
    features, count = dataset.image_shape[1], len(config.hidden)
    blocks = []
    for number, outputs in enumerate(config.hidden):
        kind, stream = config.kinds[number], builder.streams[number]
        zoneout = rate if kind == "zoneout" else 0.0
        layers: list[nn.Module] = [nn.LSTM(features, outputs, zoneout=zoneout, rng=builder.rng, mask_rng=stream)]
        layers = [nn.Reshape(*dataset.image_shape), *layers] if number == 0 else layers
        dropper: DropoutModule | None = None
        if kind in ("standard", "locked"):
            dropper = (nn.Dropout if kind == "standard" else nn.LockedDropout)(rate, rng=stream)
            layers.append(dropper)
        layers += [nn.LastStep()] if number == count - 1 else []
        blocks.append(Block(f"recurrent {number + 1}", layers, dropper))
        features = outputs
    return blocks, features


def _attention(builder: _Builder, dataset: Dataset) -> tuple[list[Block], int]:
    """An image's rows as tokens with learned positions; the class is predicted from their mean."""
    assert dataset.image_shape is not None
    config = builder.config
    steps, features = dataset.image_shape
    width, *sizes = config.hidden
    embed = [nn.Reshape(steps, features), nn.Linear(features, width, rng=builder.rng)]
    blocks = [Block("tokens", [*embed, nn.LearnedPositions(steps, width, rng=builder.rng)], None)]
    for number, hidden in enumerate(sizes):
        kind = config.kinds[number + 1]
        inside, path = (config.rate if kind == where else 0.0 for where in ("standard", "path"))
        stream = builder.streams[number + 1]
        block = nn.TransformerBlock(width, HEADS, hidden, p=inside, drop_path=path, rng=builder.rng, mask_rng=stream)
        last = [nn.LayerNorm(width), nn.MeanOverSteps()] if number == len(sizes) - 1 else []
        blocks.append(Block(f"attention {number + 1}", [block, *last], None))
    return blocks, width


def _text(builder: _Builder, dataset: Dataset) -> tuple[list[Block], int]:
    """The mean of the words' embeddings, then an MLP."""
    config = builder.config
    features, *sizes = config.hidden
    rate = config.rate if config.kinds[0] == "embedding" else 0.0
    words = nn.Embedding(len(dataset.words), features, p=rate, rng=builder.rng, mask_rng=builder.streams[0])
    blocks = [Block("embedding", [words, nn.MeanOverSteps()], None)]
    blocks += _dense(builder, features, tuple(sizes), 1)
    return blocks, sizes[-1]


_BUILDERS = {"mlp": _mlp, "cnn": _cnn, "lstm": _lstm, "attention": _attention, "text": _text}
