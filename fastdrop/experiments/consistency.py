"""Whether the fields of a configuration fit together: the network, its layers, and their dropout."""

from typing import TYPE_CHECKING

from fastdrop.experiments.choices import FITTING, HEADS, NETWORKS, SPATIAL_GROUP
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.formats.reading import shown

if TYPE_CHECKING:
    from fastdrop.experiments.config import ExperimentConfig


def check_sizes(config: "ExperimentConfig") -> None:
    """Whether the hidden layers have sizes that the network can have."""
    if config.network in ("cnn", "attention", "text") and len(config.hidden) < 2:
        raise ConfigError(
            f"hidden must have at least two entries with network {config.network} ({NETWORKS[config.network]}); "
            f"got {list(config.hidden)}",
            "hidden",
        )
    if config.network == "attention" and config.hidden[0] % HEADS:
        raise ConfigError(
            f"the first entry of hidden must be a multiple of {HEADS}, the number of attention heads; "
            f"got {config.hidden[0]}",
            "hidden",
        )


def check_dropout(config: "ExperimentConfig") -> None:
    """Whether the network supports its kinds and rates of dropout."""
    supported = FITTING[config.network]
    if config.dropout not in supported:
        raise ConfigError(
            f"network {config.network} does not support dropout {config.dropout!r}; choose {', '.join(supported)}",
            "dropout",
        )
    _check_layers(config)
    for kind, rate, size in zip(config.kinds, config.rates, config.hidden, strict=True):
        if kind == "gaussian" and rate == 1.0:
            raise ConfigError("rate must be below 1 with gaussian dropout: at 1 its noise would be infinite", "rate")
        if kind == "spatial" and config.network == "mlp" and size % SPATIAL_GROUP:
            raise ConfigError(
                f"hidden layers with spatial dropout must be multiples of {SPATIAL_GROUP}, the units of a group; "
                f"got {list(config.hidden)}",
                "hidden",
            )


def _check_layers(config: "ExperimentConfig") -> None:
    """Whether kinds and rates of single layers fit the layers."""
    if config.layer_rates and not config.layer_dropout:
        raise ConfigError("layer_rates needs layer_dropout", "layer_rates")
    if not config.layer_dropout:
        return
    layers = len(config.hidden)
    for name in ("layer_dropout", "layer_rates"):
        given = getattr(config, name)
        if given and len(given) != layers:
            raise ConfigError(f"{name} must have an entry for each of {layers} layers; got {len(given)}", name)
    for number, (kind, supported) in enumerate(zip(config.layer_dropout, config.places, strict=True), start=1):
        if kind not in supported:
            raise ConfigError(
                f"layer {number} does not support dropout {shown(kind)}; choose {', '.join(supported)}",
                "layer_dropout",
            )
