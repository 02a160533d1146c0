"""`ExperimentConfig`: everything that decides an experiment, validated, as text and back."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fastdrop.backends import BACKENDS
from fastdrop.errors import missing_package
from fastdrop.experiments import texts
from fastdrop.experiments.datasets import DATASETS, Dataset, load_dataset
from fastdrop.experiments.files import check_suffix, path_text, write_atomically
from fastdrop.experiments.reading import Unreadable, is_text, read_text, shown
from fastdrop.experiments.texts import ConfigError

DROPOUT_KINDS = {
    "none": "no dropout",
    "standard": "single units",
    "gaussian": "noise of the same variance, multiplied",
    "alpha": "single units, to where SELU saturates",
    "spatial": "whole feature maps; in a perceptron, groups of 8 neighbouring units",
    "dropblock": "blocks of 3 x 3 in feature maps",
    "dropconnect": "single weights, another mask for every example",
    "locked": "features of a sequence, for all its steps",
    "zoneout": "units of a recurrent state keep their last value",
    "path": "whole branches of an example",
    "embedding": "whole words, wherever they stand",
}
NETWORKS = {
    "mlp": "a perceptron: layers of so many units",
    "cnn": "convolutions 3 x 3 with so many channels, the last number is a dense layer; reads images",
    "lstm": "recurrent layers of so many units, over an image's rows",
    "attention": "transformer blocks over an image's rows: the width, then each block's hidden units",
    "text": "an embedding of so many features, then layers of so many units; reads words",
}
FITTING = {
    "mlp": ("none", "standard", "gaussian", "alpha", "spatial", "dropconnect"),
    "cnn": ("none", "standard", "gaussian", "alpha", "spatial", "dropblock"),
    "lstm": ("none", "standard", "locked", "zoneout"),
    "attention": ("none", "standard", "path"),
    "text": ("none", "standard", "gaussian", "alpha", "embedding"),
}
"""The kinds of dropout that each network has a place for."""
TYPICAL_HIDDEN = {
    "mlp": (256, 128),
    "cnn": (16, 32, 64),
    "lstm": (48,),
    "attention": (32, 64, 64),
    "text": (32, 128, 64),
}
"""Sizes to begin with."""

ACTIVATIONS = ("relu", "selu", "gelu", "tanh", "sigmoid")
OPTIMIZERS = ("adam", "sgd")
RATE_SCHEDULES = ("constant", "linear", "cosine", "curriculum")
LEARNING_RATE_SCHEDULES = ("constant", "linear", "cosine")
SPATIAL_GROUP = 8
"""Units of a hidden layer that spatial dropout drops together: the layer is read as feature maps of 8 positions."""
DROPBLOCK_SIZE = 3
HEADS = 4
"""Of attention."""

LONGEST_TEXT = 4096
"""Characters of a path or a column's name."""
_LARGEST_LAYER = 4096


def places(network: str, layers: int) -> list[tuple[str, ...]]:
    """The kinds of dropout that each of so many entries of `hidden` has a place for."""
    units = ("none", "standard", "gaussian", "alpha")
    if network == "cnn":
        return [FITTING["cnn"]] * (layers - 1) + [units]
    if network == "attention":
        return [("none",)] + [FITTING["attention"]] * (layers - 1)
    if network == "text":
        return [("none", "embedding")] + [units] * (layers - 1)
    return [FITTING[network]] * layers


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """A network, its data and its training.

    Attributes
    ----------
    dataset : str
        A name from `DATASETS`, or "file" for the table in `data_file`.
    data_file : str
        Path of a CSV or NPZ file; only with dataset "file".
    label : str
        The CSV column that holds the class; empty takes the last one.
    noise : float
        Standard deviation of the noise in the two-dimensional sets; the share of wrong labels in "noisy-labels" and
        "reviews".
    train_share : float
        Share of the examples to train on; the others test. The noisy linear task has its own split.
    data_seed : int
        Decides generated data and the split into train and test.
    network : str
        A key of `NETWORKS`.
    hidden : tuple of int
        Sizes of the hidden layers, as the network's description says.
    activation : {"relu", "selu", "gelu", "tanh", "sigmoid"}
        Of perceptrons and convolutions.
    batch_norm : bool
        Batch normalisation before every activation of perceptrons and convolutions.
    dropout : str
        A key of `DROPOUT_KINDS`; not every network has a place for every kind.
    dropout_layers : {"all", "first", "last"}
        Which hidden layers drop.
    rate : float
        Probability of dropping.
    layer_dropout : tuple of str
        A kind for each entry of `hidden`, in place of `dropout` and `dropout_layers`; empty leaves it to them.
    layer_rates : tuple of float
        A rate for each entry of `hidden`, in place of `rate`; only with `layer_dropout`.
    rate_schedule : {"constant", "linear", "cosine", "curriculum"}
        How the rate grows to `rate` over the training.
    optimizer : {"adam", "sgd"}
    learning_rate, momentum, weight_decay : float
        `momentum` is SGD's. Weight decay is decoupled with Adam, and leaves biases alone.
    learning_rate_schedule : {"constant", "linear", "cosine"}
        How the learning rate falls to 0 over the training.
    batch_size, epochs : int
    seed : int
        Decides initial weights, order of the batches and masks.
    backend : {"cpu", "cuda"}
        Where to train: in NumPy arrays, or in CuPy's on a GPU. The masks are the same.

    Raises
    ------
    ConfigError
        If a value is out of range.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> config = ExperimentConfig(dataset="moons", rate=0.2)
    >>> ExperimentConfig.from_text(config.to_text()) == config
    True
    """

    dataset: str = "digits"
    data_file: str = ""
    label: str = ""
    noise: float = 0.2
    train_share: float = 0.8
    data_seed: int = 0
    network: str = "mlp"
    hidden: tuple[int, ...] = (256, 128)
    activation: str = "relu"
    batch_norm: bool = False
    dropout: str = "standard"
    dropout_layers: str = "all"
    rate: float = 0.5
    layer_dropout: tuple[str, ...] = ()
    layer_rates: tuple[float, ...] = ()
    rate_schedule: str = "constant"
    optimizer: str = "adam"
    learning_rate: float = 0.001
    learning_rate_schedule: str = "constant"
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 32
    epochs: int = 60
    seed: int = 0
    backend: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", self._checked_hidden())
        object.__setattr__(self, "layer_dropout", self._checked_list("layer_dropout", str))
        object.__setattr__(self, "layer_rates", self._checked_list("layer_rates", float))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, _as_float(field.name, value))
            elif isinstance(field.type, type) and type(value) is not field.type:
                raise ConfigError(f"{field.name} is of type {field.type.__name__}; got {shown(value)}", field.name)
            elif field.type is str and not is_text(value, LONGEST_TEXT):
                what = f"{field.name} has control characters, no Unicode text, or more than {LONGEST_TEXT} characters"
                way_out = "; rename the file" if field.name == "data_file" else ""
                raise ConfigError(f"{what}: {shown(value)}{way_out}", field.name)
        self._one_of("dataset", [*DATASETS, "file"])
        self._one_of("network", list(NETWORKS))
        self._one_of("activation", list(ACTIVATIONS))
        self._one_of("dropout", list(DROPOUT_KINDS))
        self._one_of("dropout_layers", ["all", "first", "last"])
        self._one_of("rate_schedule", list(RATE_SCHEDULES))
        self._one_of("optimizer", list(OPTIMIZERS))
        self._one_of("learning_rate_schedule", list(LEARNING_RATE_SCHEDULES))
        self._one_of("backend", list(BACKENDS))
        if (self.dataset == "file") != bool(self.data_file):
            raise ConfigError('dataset "file" and data_file go together: one is given without the other', "dataset")
        self._between("noise", 0.0, 10.0)
        self._between("train_share", 0.05, 0.95)
        self._between("rate", 0.0, 1.0)
        self._between("momentum", 0.0, 0.9999)
        if not 0.0 < self.learning_rate <= 100.0:
            raise ConfigError(f"learning_rate is above 0 and at most 100; got {self.learning_rate}", "learning_rate")
        self._between("weight_decay", 0.0, 10.0)
        self._between("batch_size", 1, 65536)
        self._between("epochs", 1, 1_000_000)
        self._between("seed", 0, 2**63 - 1)
        self._between("data_seed", 0, 2**32 - 1)
        self._check_network()

    def _check_network(self) -> None:
        """Whether the network has a place for the dropout, and the right number of sizes."""
        if self.network in ("cnn", "attention", "text") and len(self.hidden) < 2:
            description = NETWORKS[self.network]
            raise ConfigError(f'network "{self.network}" takes at least two sizes in hidden: {description}', "hidden")
        if self.network == "attention" and self.hidden[0] % HEADS:
            width = self.hidden[0]
            raise ConfigError(f"attention has {HEADS} heads: its width is a multiple of {HEADS}; got {width}", "hidden")
        fitting = FITTING[self.network]
        if self.dropout not in fitting:
            raise ConfigError(
                f'dropout {self.dropout!r} has no place in network "{self.network}"; it takes {", ".join(fitting)}',
                "dropout",
            )
        self._check_layers()
        for kind, rate, size in zip(self.kinds, self.rates, self.hidden, strict=True):
            if kind == "gaussian" and rate == 1.0:
                raise ConfigError("rate is below 1 with gaussian dropout, whose noise would be infinite", "rate")
            if kind == "spatial" and self.network == "mlp" and size % SPATIAL_GROUP:
                raise ConfigError(
                    f"spatial dropout groups {SPATIAL_GROUP} units of a perceptron: hidden layers are multiples of it; "
                    f"got {list(self.hidden)}",
                    "hidden",
                )

    def _check_layers(self) -> None:
        """Whether kinds and rates of single layers fit the layers."""
        if not self.layer_dropout:
            if self.layer_rates:
                raise ConfigError("layer_rates comes with layer_dropout", "layer_rates")
            return
        for name in ("layer_dropout", "layer_rates"):
            given = getattr(self, name)
            if len(given) != len(self.hidden) and (given or name == "layer_dropout"):
                raise ConfigError(f"{name} has an entry for each of {len(self.hidden)} layers; got {len(given)}", name)
        for number, (kind, fitting) in enumerate(zip(self.layer_dropout, self.places, strict=True), start=1):
            if kind not in fitting:
                raise ConfigError(
                    f"layer {number} has no place for dropout {shown(kind)}; it takes {', '.join(fitting)}",
                    "layer_dropout",
                )
        for rate in self.layer_rates:
            if not 0.0 <= rate <= 1.0:
                raise ConfigError(f"layer_rates are from 0.0 to 1.0; got {rate!r}", "layer_rates")

    @property
    def places(self) -> list[tuple[str, ...]]:
        """The kinds that each entry of `hidden` has a place for."""
        return places(self.network, len(self.hidden))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of dropout of each entry of `hidden`."""
        if self.layer_dropout:
            return self.layer_dropout
        fitting = [number for number, kinds in enumerate(self.places) if self.dropout in kinds]
        if self.network == "cnn":  # convolutions are what kinds are compared on
            fitting = [number for number in fitting if number < len(self.hidden) - 1]
        chosen = {"all": fitting, "first": fitting[:1], "last": fitting[-1:]}[self.dropout_layers]
        return tuple(self.dropout if number in chosen else "none" for number in range(len(self.hidden)))

    @property
    def rates(self) -> tuple[float, ...]:
        """The probability of dropping of each entry of `hidden`."""
        return self.layer_rates or (self.rate,) * len(self.hidden)

    @property
    def drops(self) -> bool:
        """Whether any layer has dropout."""
        return any(kind != "none" for kind in self.kinds)

    def with_rate(self, rate: float) -> Self:
        """The same configuration with one rate for all layers."""
        return self.replace(rate=rate, layer_rates=())

    def without_dropout(self) -> Self:
        """The twin: the same network, weights and batches, nothing dropped."""
        return self.replace(dropout="none", layer_dropout=(), layer_rates=())

    def _checked_list(self, name: str, kind: type) -> tuple[Any, ...]:
        values = getattr(self, name)
        if not _is_list(values):
            raise ConfigError(f"{name} is a list with an entry for each hidden layer; got {shown(values)}", name)
        values = tuple(values)
        if kind is float:
            values = tuple(_as_float(name, value) if type(value) is int else value for value in values)
        for value in values:
            if type(value) is not kind:
                raise ConfigError(f"{name} holds values of type {kind.__name__}; got {shown(value)}", name)
        return values

    def _checked_hidden(self) -> tuple[int, ...]:
        sizes = self.hidden
        if not _is_list(sizes):
            raise ConfigError(f"hidden is a list of layer sizes such as [256, 128]; got {shown(sizes)}", "hidden")
        sizes = tuple(sizes)
        for size in sizes:
            if type(size) is not int or not 1 <= size <= _LARGEST_LAYER:
                raise ConfigError(f"a hidden layer has 1 to {_LARGEST_LAYER} units; got {shown(size)}", "hidden")
        if not 1 <= len(sizes) <= 16:
            raise ConfigError(f"a network has 1 to 16 hidden layers; got {len(sizes)}", "hidden")
        return sizes

    def _one_of(self, name: str, allowed: list[str]) -> None:
        if getattr(self, name) not in allowed:
            raise ConfigError(f"{name} is one of {', '.join(allowed)}; got {shown(getattr(self, name))}", name)

    def _between(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:  # True also for NaN
            raise ConfigError(f"{name} is from {low} to {high}; got {shown(value)}", name)

    @property
    def warnings(self) -> list[str]:
        """What is known to go wrong with this configuration, though it runs."""
        if not (self.batch_norm and self.network in ("mlp", "cnn", "text")):
            return []
        text = "dropout stands before batch normalisation, which learns a variance that evaluation does not have"
        dropping = [number for number, kind in enumerate(self.kinds) if kind != "none" and self.rates[number] > 0]
        inside = any(self.kinds[number] == "dropconnect" for number in dropping)  # its sums are what is normalised
        if not inside and not any(number < len(self.hidden) - 1 for number in dropping):
            return []
        simple = not self.layer_dropout and self.network != "cnn" and self.dropout not in ("dropconnect", "embedding")
        return [f'{text}; dropout_layers = "last" puts it behind'] if simple else [text]

    @property
    def data_fields(self) -> tuple[str, str, str, float, float, int]:
        """What decides the data set and its split: two configurations that agree in it train on the same data."""
        return self.dataset, self.data_file, self.label, self.noise, self.train_share, self.data_seed

    def load_dataset(self) -> Dataset:
        """The data that this configuration trains on; see `fastdrop.experiments.load_dataset`."""
        return load_dataset(
            self.dataset,
            data_file=self.data_file,
            label=self.label,
            noise=self.noise,
            train_share=self.train_share,
            seed=self.data_seed,
        )

    def replace(self, **changes: Any) -> Self:
        """The same configuration with some fields changed, validated again."""
        return dataclasses.replace(self, **changes)

    def to_text(self) -> str:
        """The configuration as TOML."""
        try:
            import tomli_w
        except ImportError:
            raise missing_package("tomli-w", "experiments", "writing a configuration") from None
        fields = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
            if value != ()
        }
        return tomli_w.dumps({"fastdrop": {"format": texts.FORMAT}, "experiment": fields})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A configuration from its TOML; fields that are not there keep their defaults."""
        return cls(**texts.fields_from_toml(text, _defaults()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the text form to a .toml file; a kill in the middle leaves the old file."""
        check_suffix(path, ".toml")
        write_atomically(path, self.to_text().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the text form; the file's name stands in front of every error. A relative `data_file` is beside it."""
        try:
            return cls.from_text(read_text(path, texts.LARGEST_FILE)).beside(path)
        except (ConfigError, Unreadable) as error:
            raise ConfigError(f"{path_text(path)}: {error}") from None

    def beside(self, path: str | os.PathLike[str]) -> Self:
        """The same with a relative `data_file` taken as one beside the file `path`."""
        if not self.data_file:
            return self
        return self.replace(data_file=str(Path(path).absolute().parent / self.data_file))

    def to_line(self) -> str:
        """The configuration as one line to copy and paste: what differs from the defaults.

        Examples
        --------
        >>> from fastdrop.experiments import ExperimentConfig
        >>> ExperimentConfig(dataset="moons", hidden=(16, 8), rate=0.2).to_line()
        'fastdrop1?dataset=moons&hidden=16,8&rate=0.2'
        """
        return texts.line_from_fields(dataclasses.asdict(self), _defaults())

    @classmethod
    def from_line(cls, line: str) -> Self:
        """A configuration from what `to_line` returned, white space around and inside it ignored."""
        return cls(**texts.fields_from_line(line, _defaults()))


def _defaults() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(ExperimentConfig)}


def _as_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{name} is far too large", name) from None


def _is_list(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping))
