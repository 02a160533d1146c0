"""`ExperimentConfig`: everything that decides an experiment, validated, and its text forms."""

import dataclasses
import os
from collections.abc import Callable
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
    LEARNING_RATE_SCHEDULES,
    NETWORKS,
    OPTIMIZERS,
    places,
)
from fastdrop.experiments.consistency import check_dropout, check_sizes
from fastdrop.experiments.datasets import DATASETS, Dataset, load_dataset
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.fields import document, fields_of, setting
from fastdrop.experiments.formats import config_toml, share_code
from fastdrop.experiments.formats.paths import check_suffix, found_beside, path_text, relative_path
from fastdrop.experiments.formats.reading import Unreadable, read_text
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop.experiments.tables.contents import MOST_COLUMNS
from fastdrop.experiments.tables.sources import InMemory, hash_of

TABLE_FIELDS = ("data_file", "target", "ignore", "categorical", "numeric", "sheet", "test_data")
"""The fields that describe the user's own table."""
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
    data_file: str = _data(
        "",
        "Data file",
        'path of a table, or in Python a DataFrame, an Arrow table or arrays; only with dataset "file"',
        in_memory=True,
    )
    target: str = _data(
        "",
        "Target column",
        "the column with the class, by name or number; empty is one with a name such as class or target, else the last",
        former_name="label",
    )
    ignore: tuple[str, ...] = _data((), "Ignored columns", "columns to leave out", most=MOST_COLUMNS)
    categorical: tuple[str, ...] = _data(
        (), "Category columns", "columns to read as categories, such as codes", most=MOST_COLUMNS
    )
    numeric: tuple[str, ...] = _data(
        (), "Number columns", "columns to read as numbers; cells that are none count as missing", most=MOST_COLUMNS
    )
    sheet: str = _data("", "Sheet", "the sheet of a spreadsheet; empty is the first one with cells")
    test_data: str = _data(
        "", "Test data", "a second table with the same columns, to test on; it is never trained on", in_memory=True
    )
    data_hash: str = _data("", "Data hash", "SHA-256 of the data when the experiment was saved")
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
        for name in ("target", "ignore", "categorical", "numeric", "sheet", "test_data"):
            if getattr(self, name) and self.dataset != "file":
                raise ConfigError(f'{name} is for a table of your own: dataset "file" and data_file', name)
        check_sizes(self)
        check_dropout(self)

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
    def data_fields(self) -> dict[str, Any]:
        """What decides the data set and its split: configurations that agree in it train on the same data.

        The arguments of `load_dataset`, except `data_hash`.
        """
        names = (*TABLE_FIELDS, "noise", "train_fraction")
        return {
            "name": self.dataset, **{name: getattr(self, name) for name in names}, "seed": self.split_seed
        }  # fmt: skip

    def load_dataset(self) -> Dataset:
        """The data that this configuration trains on; see `fastdrop.experiments.load_dataset`.

        The notes say so if they have changed since the configuration was saved.
        """
        return self.noted(load_dataset(**self.data_fields))

    def noted(self, dataset: Dataset) -> Dataset:
        """This configuration's data set with the hash of the data, and a note if they have changed."""
        dataset = dataclasses.replace(dataset, data_hash=self.hash_of_data())
        if self.data_hash and self.data_hash != dataset.data_hash:
            note = "the data have changed since this experiment was saved: its curves belong to the old data"
            return dataclasses.replace(dataset, notes=(note, *dataset.notes))
        return dataset

    def hash_of_data(self) -> str:
        """SHA-256 of the user's data; empty without any, or where they cannot be read."""
        return hash_of(self.data_file, self.test_data) if self.data_file else ""

    def replace(self, **changes: Any) -> Self:
        """The same configuration with some fields changed, validated again."""
        return dataclasses.replace(self, **changes)

    def to_toml(self) -> str:
        """The configuration as TOML."""
        self._check_in_files()
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

    def _check_in_files(self) -> None:
        """Whether the configuration can be text."""
        if isinstance(self.data_file, InMemory) or isinstance(self.test_data, InMemory):
            raise ConfigError(
                "data in memory cannot be part of a file: save the table, as Parquet for example, and give its path as "
                "data_file",
                "data_file",
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .toml file, with the data's path relative to it and their hash; the old file survives a crash."""
        check_suffix(path, ".toml")
        self._check_in_files()
        config = self.replace(data_hash=self.hash_of_data())
        write_atomically(path, config.relative_to(path).to_toml().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a .toml file; errors begin with the file's name. A relative `data_file` is in the folder of the file."""
        try:
            return cls.from_toml(read_text(path, config_toml.LARGEST_FILE)).beside(path)
        except (ConfigError, Unreadable) as error:
            raise ConfigError(f"{path_text(path)}: {error}") from None

    def relative_to(self, path: str | os.PathLike[str]) -> Self:
        """The same with the paths of the data relative to the folder of the file `path`, as files have them."""
        folder = Path(path).absolute().parent
        return self._with_paths(lambda data: relative_path(data, folder))

    def beside(self, path: str | os.PathLike[str]) -> Self:
        """The same with relative paths of the data in the folder of the file `path`.

        Data that are no longer where an absolute path says are looked for in this folder.
        """
        folder = Path(path).absolute().parent
        return self._with_paths(lambda data: found_beside(data, folder))

    def _with_paths(self, change: Callable[[str], str]) -> Self:
        paths = {name: getattr(self, name) for name in ("data_file", "test_data")}
        changed = {name: change(path) for name, path in paths.items() if path and isinstance(path, str)}
        return self.replace(**changed) if changed else self

    def to_share_code(self) -> str:
        """The configuration as one line to copy and paste: the fields that differ from their defaults.

        Examples
        --------
        >>> from fastdrop.experiments import ExperimentConfig
        >>> ExperimentConfig(dataset="moons", hidden=(16, 8), rate=0.2).to_share_code()
        'fastdrop1?dataset=moons&hidden=16,8&rate=0.2'
        """
        self._check_in_files()
        return share_code.share_code({**dataclasses.asdict(self), "data_hash": ""}, FIELDS)

    @classmethod
    def from_share_code(cls, code: str) -> Self:
        """A configuration from what `to_share_code` returned; white space around and inside it is ignored."""
        return cls(**share_code.fields_from_share_code(code, FIELDS))


document(ExperimentConfig)
FIELDS = fields_of(ExperimentConfig)
"""The descriptions of the fields of `ExperimentConfig` by name."""
WITHOUT_TABLE = {name: FIELDS[name].default for name in (*TABLE_FIELDS, "data_hash")}
"""The changes that take the user's own table out of a configuration."""
