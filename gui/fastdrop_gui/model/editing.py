"""Changes of a configuration, and what each brings with it."""

from typing import Any

from fastdrop.experiments import DATASETS, ExperimentConfig
from fastdrop.experiments.choices import FITTING, SPATIAL_GROUP, TYPICAL_HIDDEN, places
from fastdrop.experiments.config import FIELDS, WITHOUT_TABLE
from fastdrop.experiments.tables.roles import NO_CHOICES, Choices

LIVE = ("rate", "layer_rates", "learning_rate", "epochs")
"""Fields that may change while training runs."""

_READS = {"cnn": "images", "lstm": "images", "attention": "images", "text": "words", "mlp": "numbers"}


def contents(dataset: str) -> set[str]:
    """What a data set is made of: numbers, images, words. The user's own may be images: loading it tells."""
    source = DATASETS.get(dataset)
    if source is None:
        return {"numbers", "images"}
    if source.words:
        return {"words"}
    return {"numbers", "images"} if source.image_shape else {"numbers"}


def with_field(config: ExperimentConfig, name: str, value: Any) -> ExperimentConfig:
    """The configuration with one field changed, and what has to change with it."""
    if name == "network":
        return _with_network(config, value)
    if name == "dataset":
        changed = config.replace(**WITHOUT_TABLE, dataset=value)
        if _READS[config.network] not in contents(value):
            changed = _with_network(changed, "text" if "words" in contents(value) else "mlp")
        return changed
    if name == "dropout":
        return config.replace(dropout=value, layer_dropout=(), layer_rates=(), rate=_common_rate(config))
    if name == "rate":
        return config.with_rate(value)
    return config.replace(**{name: value})


def with_file(
    config: ExperimentConfig,
    path: str,
    choices: Choices = NO_CHOICES,
    sheet: str = "",
    test_data: str = "",
    are_images: bool = False,
) -> ExperimentConfig:
    """A file as the data set, a network that reads it, and a kind of dropout that means something there.

    The training fraction is the default again, since that of a preset may be made for another data set. Where only the
    roles of the same file change, it stays.
    """
    fraction = config.train_fraction if config.data_file == path else FIELDS["train_fraction"].default
    reads = _READS[config.network] in ({"numbers", "images"} if are_images else {"numbers"})
    changed = config if reads else _with_network(config, "mlp", fits=True)
    if changed.network == "mlp":  # units of a table have no neighbours
        kinds = tuple("standard" if kind == "spatial" else kind for kind in changed.layer_dropout)
        changed = changed.replace(
            dropout="standard" if changed.dropout == "spatial" else changed.dropout, layer_dropout=kinds
        )
    return changed.replace(
        **WITHOUT_TABLE
        | {"dataset": "file", "data_file": path, "sheet": sheet, "test_data": test_data}
        | choices._asdict(),
        train_fraction=fraction,
    )


def _with_network(config: ExperimentConfig, network: str, fits: bool = False) -> ExperimentConfig:
    """Another network, with typical sizes, a kind of dropout that fits it, and data that it can read."""
    changes: dict[str, Any] = {"network": network, "hidden": TYPICAL_HIDDEN[network]}
    changes |= {"layer_dropout": (), "layer_rates": (), "dropout_layers": "all"}
    if config.dropout not in FITTING[network]:
        changes["dropout"] = "standard"
    if not fits and _READS[network] not in contents(config.dataset):
        changes |= {**WITHOUT_TABLE, "dataset": "reviews" if network == "text" else "digits"}
    return config.replace(**changes)


def _common_rate(config: ExperimentConfig) -> float:
    """One rate for a network whose layers have several: the highest of the layers with dropout."""
    rates = [rate for rate, kind in zip(config.rates, config.kinds, strict=True) if kind != "none"]
    return max(rates, default=config.rate)


def describe_layer(config: ExperimentConfig, number: int) -> str:
    """What an entry of `hidden` is, in words."""
    last = number == len(config.hidden) - 1
    names = {
        "mlp": f"Hidden {number + 1}",
        "cnn": "Dense" if last else f"Conv {number + 1}",
        "lstm": f"LSTM {number + 1}",
        "attention": "Tokens" if number == 0 else f"Attention {number}",
        "text": "Embedding" if number == 0 else f"Hidden {number}",
    }
    return names[config.network]


def unit_name(config: ExperimentConfig, number: int) -> str:
    """What the size of an entry of `hidden` counts."""
    if config.network == "cnn" and number < len(config.hidden) - 1:
        return "channels"
    return "features" if number == 0 and config.network in ("attention", "text") else "units"


def with_layer(
    config: ExperimentConfig,
    number: int,
    *,
    size: int | None = None,
    kind: str | None = None,
    rate: float | None = None,
) -> ExperimentConfig:
    """One layer with another size, kind or rate."""
    hidden, kinds, rates = list(config.hidden), list(config.kinds), list(config.rates)
    hidden[number] = hidden[number] if size is None else size
    kinds[number] = kinds[number] if kind is None else kind
    rates[number] = rates[number] if rate is None else rate
    if size is not None and kind is None and rate is None:
        return config.replace(hidden=tuple(hidden))
    return _with_layers(config, hidden, kinds, rates)


def add_layer(config: ExperimentConfig, after: int) -> ExperimentConfig:
    """A copy of layer `after`, behind it."""
    order = [*range(after + 1), after, *range(after + 1, len(config.hidden))]
    return _reordered(config, order)


def can_remove(config: ExperimentConfig) -> bool:
    """Whether the network has a layer to spare."""
    return len(config.hidden) > (1 if config.network in ("mlp", "lstm") else 2)


def remove_layer(config: ExperimentConfig, number: int) -> ExperimentConfig:
    """The network without layer `number`."""
    return _reordered(config, [place for place in range(len(config.hidden)) if place != number])


def move_layer(config: ExperimentConfig, number: int, to: int) -> ExperimentConfig:
    """Layer `number` at the place `to`."""
    order = list(range(len(config.hidden)))
    order.insert(to, order.pop(number))
    return _reordered(config, order)


def _reordered(config: ExperimentConfig, order: list[int]) -> ExperimentConfig:
    """The layers with these numbers, in this order."""
    hidden, kinds, rates = config.hidden, config.kinds, config.rates
    return _with_layers(
        config, [hidden[place] for place in order], [kinds[place] for place in order], [rates[place] for place in order]
    )


def _with_layers(config: ExperimentConfig, hidden: list[int], kinds: list[str], rates: list[float]) -> ExperimentConfig:
    """Layers with the kinds that fit them; as one kind and rate for all layers where that means the same."""
    fitting = places(config.network, len(hidden))
    fit = [kind if kind in where else "none" for kind, where in zip(kinds, fitting, strict=True)]
    if config.network == "attention":
        hidden[0] = max(4, hidden[0] // 4 * 4)
    whole = config.replace(hidden=tuple(hidden), layer_dropout=tuple(fit), layer_rates=tuple(rates))
    chosen = {kind for kind in fit if kind != "none"} or {"none"}
    plain = {"layer_dropout": (), "layer_rates": (), "dropout": next(iter(chosen)), "dropout_layers": "all"}
    dropping = {rate for rate, kind in zip(rates, fit, strict=True) if kind != "none"} or {config.rate}
    if len(chosen) == 1 and len(dropping) == 1:
        simple = whole.replace(**plain, rate=next(iter(dropping)))
        return simple if simple.kinds == whole.kinds else whole
    return whole


def only_live(before: ExperimentConfig, after: ExperimentConfig) -> bool:
    """Whether the change from one to the other may be made while training runs."""
    if before is after or before.kinds != after.kinds:
        return before is after
    # The kinds are the same: the last three fields may express them in different ways.
    names = (*LIVE, "layer_dropout", "dropout", "dropout_layers")
    return before.replace(**{name: getattr(after, name) for name in names}) == after


def with_live(running: ExperimentConfig, after: ExperimentConfig) -> ExperimentConfig:
    """What runs, with those of the new settings that may change while it does."""
    changed = running.replace(learning_rate=after.learning_rate, epochs=after.epochs)
    if after.kinds != running.kinds:
        return changed
    return _with_layers(changed, list(changed.hidden), list(changed.kinds), list(after.rates))


def size_step(config: ExperimentConfig, number: int) -> int:
    """The step by which a layer's size may change."""
    if config.network == "mlp" and config.kinds[number] == "spatial":
        return SPATIAL_GROUP
    return 4 if config.network == "attention" and number == 0 else 1


def title(config: ExperimentConfig) -> str:
    """A short name for a run of this configuration."""
    kinds = [f"{kind} {rate:g}" for kind, rate in zip(config.kinds, config.rates, strict=True) if kind != "none"]
    drops = "no dropout" if not kinds else kinds[0] if len(set(kinds)) == 1 else ", ".join(kinds)
    data = config.data_file.replace("\\", "/").rpartition("/")[2] or config.dataset
    return f"{data}, {drops}, seed {config.seed}"
