"""`ExperimentConfig`: everything that decides an experiment, validated, and its text forms."""

import dataclasses
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from fastdrop.errors import missing_package
from fastdrop.experiments.choices import (
    ACTIVATIONS,
    DEVICES,
    DROPOUT_KINDS,
    DROPOUT_LAYERS,
    DROPOUT_SCHEDULES,
    FITTING,
    HEADS,
    LEARNING_RATE_SCHEDULES,
    NETWORKS,
    OPTIMIZERS,
    SPATIAL_GROUP,
    places,
)
from fastdrop.experiments.datasets import DATASETS, Dataset, load_dataset
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.fields import document, fields_of, setting
from fastdrop.experiments.formats import config_toml, share_code
from fastdrop.experiments.formats.paths import check_suffix, path_text
from fastdrop.experiments.formats.reading import Unreadable, read_text, shown
from fastdrop.experiments.formats.writing import write_atomically

_data = partial(setting, group="data")
_network = partial(setting, group="network")
_training = partial(setting, group="training")


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """A network, its data and its training.

    Attributes
    ----------
    {attributes}

    Raises
    ------
    ConfigError
        If a value is out of range, or two values do not fit together.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> config = ExperimentConfig(dataset="moons", rate=0.2)
    >>> ExperimentConfig.from_toml(config.to_toml()) == config
    True
    """

    dataset: str = _data(
        "digits",
        "Data set",
        "the examples",
        choices={name: source.description for name, source in DATASETS.items()},
        unlisted=("file",),
        sweep="moons, circles, spirals, xor",
    )
    data_file: str = _data("", "Data file", 'path of a CSV or NPZ file; only with dataset "file"')
    label: str = _data("", "Target column", "CSV column that holds the class; empty is the last one")
    noise: float = _data(
        0.2,
        "Noise",
        "standard deviation of the noise in two-dimensional data; fraction of wrong labels in noisy-labels and reviews",
        low=0.0,
        high=10.0,
        sweep="0:0.5:0.1",
    )
    train_fraction: float = _data(
        0.8,
        "Training fraction",
        "fraction of the examples to train on; the others are the test set",
        low=0.05,
        high=0.95,
        sweep="0.1:0.9:0.1",
        former_name="train_share",
    )
    split_seed: int = _data(
        0,
        "Split seed",
        "decides generated data and the split into training and test set",
        low=0,
        high=2**32 - 1,
        sweep="0:9:1",
        former_name="data_seed",
    )
    network: str = _network("mlp", "Network", "the kind of network", choices=NETWORKS, sweep="mlp, cnn")
    hidden: tuple[int, ...] = _network(
        (256, 128), "Hidden layers", "sizes of the hidden layers", low=1, high=4096, least=1
    )
    activation: str = _network(
        "relu",
        "Activation",
        "the activation function of dense and convolutional layers",
        choices=ACTIVATIONS,
        sweep=", ".join(ACTIVATIONS),
    )
    batch_norm: bool = _network(
        False,
        "Batch normalisation",
        "batch normalisation before every activation of dense and convolutional layers",
        sweep="off, on",
    )
    dropout: str = _network(
        "standard",
        "Kind of dropout",
        "what is dropped; each network supports some kinds",
        choices=DROPOUT_KINDS,
        sweep="none, standard, gaussian",
    )
    dropout_layers: str = _network(
        "all",
        "Layers with dropout",
        "which hidden layers have dropout",
        choices=DROPOUT_LAYERS,
        sweep="all, first, last",
    )
    rate: float = _network(
        0.5, "Dropout rate p", "probability of dropping", low=0.0, high=1.0, live=True, sweep="0:0.9:0.1"
    )
    layer_dropout: tuple[str, ...] = _network(
        (), "Dropout per layer", "a kind for each hidden layer, instead of dropout and dropout_layers"
    )
    layer_rates: tuple[float, ...] = _network(
        (),
        "Dropout rates per layer",
        "a rate for each hidden layer, instead of rate; only with layer_dropout",
        low=0.0,
        high=1.0,
        live=True,
    )
    dropout_schedule: str = _network(
        "constant",
        "Dropout schedule",
        "how dropout rates rise during training",
        choices=DROPOUT_SCHEDULES,
        sweep=", ".join(DROPOUT_SCHEDULES),
        former_name="rate_schedule",
    )
    optimizer: str = _training("adam", "Optimiser", "the optimiser", choices=OPTIMIZERS, sweep="adam, sgd")
    learning_rate: float = _training(
        0.001,
        "Learning rate",
        "the learning rate at the start",
        low=0,
        high=100,
        above=True,
        live=True,
        sweep="0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03",
        logarithmic=True,
    )
    learning_rate_schedule: str = _training(
        "constant",
        "Learning-rate schedule",
        "how the learning rate falls during training",
        choices=LEARNING_RATE_SCHEDULES,
        sweep=", ".join(LEARNING_RATE_SCHEDULES),
    )
    momentum: float = _training(
        0.9, "Momentum", "momentum of SGD; Adam ignores it", low=0.0, high=0.9999, sweep="0, 0.5, 0.9, 0.99"
    )
    weight_decay: float = _training(
        0.0,
        "Weight decay",
        "weight decay, not of biases; decoupled with Adam",
        low=0.0,
        high=10.0,
        sweep="0.0001:0.1:x10",
        logarithmic=True,
    )
    batch_size: int = _training(
        32, "Batch size", "examples of a batch", low=1, high=65536, sweep="8:256:x2", logarithmic=True
    )
    epochs: int = _training(60, "Epochs", "number of epochs", low=1, high=1_000_000, live=True, sweep="10, 20, 40, 80")
    seed: int = _training(
        0, "Random seed", "decides initial weights, order of the batches and masks", low=0, high=2**63 - 1
    )
    backend: str = _training("cpu", "Device", "where to train; the masks are the same on every device", choices=DEVICES)

    def __post_init__(self) -> None:
        for name, field in FIELDS.items():
            object.__setattr__(self, name, field.checked(getattr(self, name)))
        if (self.dataset == "file") != bool(self.data_file):
            raise ConfigError('dataset "file" needs data_file, and data_file needs dataset "file"', "dataset")
        self._check_sizes()
        self._check_dropout()

    def _check_sizes(self) -> None:
        """Whether the hidden layers have sizes that the network can have."""
        if self.network in ("cnn", "attention", "text") and len(self.hidden) < 2:
            raise ConfigError(
                f"hidden must have at least two entries with network {self.network} ({NETWORKS[self.network]}); "
                f"got {list(self.hidden)}",
                "hidden",
            )
        if self.network == "attention" and self.hidden[0] % HEADS:
            raise ConfigError(
                f"the first entry of hidden must be a multiple of {HEADS}, the number of attention heads; "
                f"got {self.hidden[0]}",
                "hidden",
            )

    def _check_dropout(self) -> None:
        """Whether the network supports its kinds and rates of dropout."""
        supported = FITTING[self.network]
        if self.dropout not in supported:
            raise ConfigError(
                f"network {self.network} does not support dropout {self.dropout!r}; choose {', '.join(supported)}",
                "dropout",
            )
        self._check_layers()
        for kind, rate, size in zip(self.kinds, self.rates, self.hidden, strict=True):
            if kind == "gaussian" and rate == 1.0:
                raise ConfigError(
                    "rate must be below 1 with gaussian dropout: at 1 its noise would be infinite", "rate"
                )
            if kind == "spatial" and self.network == "mlp" and size % SPATIAL_GROUP:
                raise ConfigError(
                    f"hidden layers with spatial dropout must be multiples of {SPATIAL_GROUP}, the units of a group; "
                    f"got {list(self.hidden)}",
                    "hidden",
                )

    def _check_layers(self) -> None:
        """Whether kinds and rates of single layers fit the layers."""
        if self.layer_rates and not self.layer_dropout:
            raise ConfigError("layer_rates needs layer_dropout", "layer_rates")
        if not self.layer_dropout:
            return
        layers = len(self.hidden)
        for name in ("layer_dropout", "layer_rates"):
            given = getattr(self, name)
            if given and len(given) != layers:
                raise ConfigError(f"{name} must have an entry for each of {layers} layers; got {len(given)}", name)
        for number, (kind, supported) in enumerate(zip(self.layer_dropout, self.places, strict=True), start=1):
            if kind not in supported:
                raise ConfigError(
                    f"layer {number} does not support dropout {shown(kind)}; choose {', '.join(supported)}",
                    "layer_dropout",
                )

    @property
    def places(self) -> list[tuple[str, ...]]:
        """The kinds of dropout that each entry of `hidden` supports."""
        return places(self.network, len(self.hidden))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of dropout of each entry of `hidden`."""
        if self.layer_dropout:
            return self.layer_dropout
        fitting = [number for number, kinds in enumerate(self.places) if self.dropout in kinds]
        if self.network == "cnn":  # the kinds are compared on convolutions
            fitting = [number for number in fitting if number < len(self.hidden) - 1]
        chosen = {"all": fitting, "first": fitting[:1], "last": fitting[-1:]}[self.dropout_layers]
        return tuple(self.dropout if number in chosen else "none" for number in range(len(self.hidden)))

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate of each entry of `hidden`."""
        return self.layer_rates or (self.rate,) * len(self.hidden)

    @property
    def drops(self) -> bool:
        """Whether any layer has dropout."""
        return any(kind != "none" for kind in self.kinds)

    def with_rate(self, rate: float) -> Self:
        """The same configuration with one rate for all layers."""
        return self.replace(rate=rate, layer_rates=())

    def without_dropout(self) -> Self:
        """The baseline: the same network, initial weights and batches, nothing dropped."""
        return self.replace(dropout="none", layer_dropout=(), layer_rates=())

    @property
    def warnings(self) -> list[str]:
        """Known problems of this configuration, which can be trained all the same."""
        if not (self.batch_norm and self.network in ("mlp", "cnn", "text")):
            return []
        text = (
            "there is dropout before batch normalisation: the variance that it learns is not the one in evaluation mode"
        )
        dropping = [number for number, kind in enumerate(self.kinds) if kind != "none" and self.rates[number] > 0]
        inside = any(self.kinds[number] == "dropconnect" for number in dropping)  # its sums are normalised
        if not inside and not any(number < len(self.hidden) - 1 for number in dropping):
            return []
        simple = not self.layer_dropout and self.network != "cnn" and self.dropout not in ("dropconnect", "embedding")
        return [f'{text}; dropout_layers = "last" puts dropout behind it'] if simple else [text]

    @property
    def data_fields(self) -> tuple[str, str, str, float, float, int]:
        """What decides the data set and its split: configurations that agree in it train on the same data."""
        return self.dataset, self.data_file, self.label, self.noise, self.train_fraction, self.split_seed

    def load_dataset(self) -> Dataset:
        """The data that this configuration trains on; see `fastdrop.experiments.load_dataset`."""
        return load_dataset(
            self.dataset,
            data_file=self.data_file,
            label=self.label,
            noise=self.noise,
            train_fraction=self.train_fraction,
            seed=self.split_seed,
        )

    def replace(self, **changes: Any) -> Self:
        """The same configuration with some fields changed, validated again."""
        return dataclasses.replace(self, **changes)

    def to_toml(self) -> str:
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
        return tomli_w.dumps({"fastdrop": {"format": config_toml.FORMAT}, "experiment": fields})

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """A configuration from its TOML; missing fields have their defaults."""
        return cls(**config_toml.fields_from_toml(text, FIELDS))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .toml file; the old file survives a crash."""
        check_suffix(path, ".toml")
        write_atomically(path, self.to_toml().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a .toml file; errors begin with the file's name. A relative `data_file` is in the folder of the file."""
        try:
            return cls.from_toml(read_text(path, config_toml.LARGEST_FILE)).beside(path)
        except (ConfigError, Unreadable) as error:
            raise ConfigError(f"{path_text(path)}: {error}") from None

    def beside(self, path: str | os.PathLike[str]) -> Self:
        """The same with a relative `data_file` in the folder of the file `path`."""
        if not self.data_file:
            return self
        return self.replace(data_file=str(Path(path).absolute().parent / self.data_file))

    def to_share_code(self) -> str:
        """The configuration as one line to copy and paste: the fields that differ from their defaults.

        Examples
        --------
        >>> from fastdrop.experiments import ExperimentConfig
        >>> ExperimentConfig(dataset="moons", hidden=(16, 8), rate=0.2).to_share_code()
        'fastdrop1?dataset=moons&hidden=16,8&rate=0.2'
        """
        return share_code.share_code(dataclasses.asdict(self), FIELDS)

    @classmethod
    def from_share_code(cls, code: str) -> Self:
        """A configuration from what `to_share_code` returned; white space around and inside it is ignored."""
        return cls(**share_code.fields_from_share_code(code, FIELDS))


document(ExperimentConfig)
FIELDS = fields_of(ExperimentConfig)
"""The descriptions of the fields of `ExperimentConfig` by name."""
