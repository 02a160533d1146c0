"""A trained model that can be kept and used on new data: network, preparation and provenance in one `.fdmodel` file.

A file is an NPZ archive of plain arrays, which `numpy.load` reads without fastdrop: "model" is a JSON text, and
"weight hidden 1.weight" and so on are the parameters. Nothing in it is ever executed.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop._version import __version__
from fastdrop.backends import to_device
from fastdrop.experiments.config import WITHOUT_TABLE, ExperimentConfig
from fastdrop.experiments.errors import ConfigError, DataError
from fastdrop.experiments.formats.npz import Archive
from fastdrop.experiments.formats.paths import check_suffix, path_text
from fastdrop.experiments.formats.reading import Damaged, Unreadable, parse_json, shown
from fastdrop.experiments.network import Network, build_network
from fastdrop.experiments.splitting import Dataset, scaled
from fastdrop.experiments.tables import ROLES, Column
from fastdrop.experiments.tables.arrays import read_pictures
from fastdrop.experiments.tables.contents import Arrays, Cells, TableProblem
from fastdrop.experiments.tables.further_rows import encode
from fastdrop.experiments.tables.preparation import Preparation
from fastdrop.experiments.tables.reader import data_errors, examples_of, name_of, opened
from fastdrop.stream import Stream

if TYPE_CHECKING:
    from fastdrop.experiments.trainer import Trainer

FORMAT = 1
SUFFIX = ".fdmodel"
_LARGEST_TEXT = 64 << 20


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for each row.

    Attributes
    ----------
    class_names : tuple of str
    probabilities : numpy.ndarray of float32, shape (rows, classes)
        In evaluation mode; with samples, their mean.
    std : numpy.ndarray of float32 or None, shape (rows, classes)
        Standard deviation of the probabilities over the samples of Monte Carlo dropout.
    mutual_information : numpy.ndarray of float32 or None, shape (rows,)
        In nats: how much the samples disagree.
    notes : tuple of str
        Such as categories that the training rows did not have.
    """

    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    std: NDArray[np.float32] | None = None
    mutual_information: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> NDArray[np.intp]:
        """The most likely class of each row, as an index into `class_names`."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Model:
    """A trained network with all that it needs to predict from new rows.

    Attributes
    ----------
    config : ExperimentConfig
        Without the path of its data.
    columns : tuple of Column
        Those of the table that it was trained on, with their roles; empty for a built-in data set.
    preparation : Preparation or None
    center, scale : numpy.ndarray of float32, shape (features,)
    class_names, feature_names : tuple of str
    image_shape : tuple of int or None
    channels : int
    network : Network
    provenance : dict
        Where it comes from: name and SHA-256 of the data, rows, version of fastdrop, accuracy on test rows.
    """

    config: ExperimentConfig
    columns: tuple[Column, ...]
    preparation: Preparation | None
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    image_shape: tuple[int, int] | None
    channels: int
    network: Network
    provenance: dict[str, Any]

    @classmethod
    def of(cls, trainer: "Trainer") -> "Model":
        """The model that a trainer has trained.

        Examples
        --------
        >>> import numpy as np
        >>> from fastdrop.experiments import ExperimentConfig, Model, Trainer
        >>> x = np.random.default_rng(0).normal(size=(60, 2))
        >>> config = ExperimentConfig(dataset="file", data_file=(x, x.sum(axis=1) > 0), hidden=(8,), epochs=5)
        >>> trainer = Trainer(config)
        >>> for _ in trainer.run():
        ...     pass
        >>> model = Model.of(trainer)
        >>> model.predict(x[:3]).probabilities.shape
        (3, 2)
        """
        data = trainer.dataset
        if data.words:
            raise ConfigError("a model of the generated reviews cannot be kept: it reads numbers of words, no table")
        last = trainer.history[-1]
        provenance = {
            "fastdrop": __version__,
            "data": Path(data.name).name,
            "data_sha256": data.data_hash,
            "training_rows": len(data.x_train),
            "test_rows": len(data.x_test),
            "test_accuracy": last.test_accuracy,
            "epochs": last.epoch,
        }
        changes = {**WITHOUT_TABLE, "dataset": "digits"} if trainer.config.data_file else {}
        return cls(
            trainer.config.replace(**changes, backend="cpu"),
            data.table.columns if data.table is not None else (),
            data.preparation,
            _or(data.center, 0.0, data.features),
            _or(data.scale, 1.0, data.features),
            data.class_names,
            data.feature_names,
            data.image_shape,
            data.channels,
            trainer.network,
            provenance,
        )

    # -- use

    def inputs(self, data: Any) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """The network's inputs for the rows of a file or of data in memory, as in `load_table`; and notes."""
        with data_errors(name_of(data)):
            found = Arrays(data, None) if isinstance(data, np.ndarray) else self._opened(data)
            notes: tuple[str, ...] = ()
            if isinstance(found, Arrays):
                features = examples_of(found.x)
            else:
                columns = self.columns or tuple(Column(name, "number", "") for name in self.feature_names)
                features, notes = encode(columns, found)
            wanted = len(self.preparation.columns) if self.preparation is not None else len(self.feature_names)
            if features.shape[1] != wanted:
                size = " x ".join(map(str, self.image_shape or ()))
                images = f", of images of {size} pixels" if size else ""
                raise TableProblem(f"{features.shape[1]:,} features; the model has {wanted:,}{images}")
            if self.preparation is not None:
                return self.preparation.transform(features), notes
            return scaled(np.where(np.isnan(features), self.center, features), self.center, self.scale), notes

    def _opened(self, data: Any) -> Cells | Arrays:
        """Cells or arrays; of a folder its pictures, in the model's size."""
        if not isinstance(data, (str, os.PathLike)) or not Path(data).is_dir():
            return opened(data)
        if self.image_shape is None:
            raise TableProblem("this is a folder; the model was trained on a table")
        return Arrays(read_pictures(Path(data), self.image_shape, self.channels), None)

    def predict(self, data: Any, samples: int = 0, seed: int = 0) -> Prediction:
        """Predict the classes of new rows.

        Parameters
        ----------
        data : path-like, DataFrame, Arrow table or arrays
            With the columns that the model was trained on, or images of its size; the target may be missing. Pictures
            in a folder may have any size.
        samples : int
            Masks of Monte Carlo dropout per row; 0 predicts in evaluation mode.
        seed : int
            Decides the masks.

        Raises
        ------
        DataError
            If the data cannot be read, or a column is missing.
        """
        x, notes = self.inputs(data)
        self.network.eval()
        with np.errstate(over="ignore", invalid="ignore"):
            if samples:
                found = nn.mc_dropout(self.network, x, samples, rng=seed)
                assert found.mutual_information is not None
                mean, std, information = (
                    np.asarray(each, np.float32) for each in (found.mean, found.std, found.mutual_information)
                )
                return Prediction(self.class_names, mean, std, information, notes)
            return Prediction(self.class_names, nn.softmax(self.network(x)).astype(np.float32), notes=notes)

    # -- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `.fdmodel` file; the old one survives a crash."""
        from fastdrop.experiments.formats.experiment_file import write_arrays

        check_suffix(path, SUFFIX)
        header = {
            "format": FORMAT,
            "config": self.config.to_toml(),
            "columns": [[each.name, each.role, each.reason, list(each.categories), each.unit] for each in self.columns],
            "preparation": None if self.preparation is None else self.preparation.learned(),
            "class_names": list(self.class_names),
            "feature_names": list(self.feature_names),
            "image_shape": self.image_shape,
            "channels": self.channels,
            "provenance": self.provenance,
        }
        weights = {name: to_device(array, "cpu") for name, array in _arrays(self.network).items()}
        text = np.array(json.dumps(header, separators=(",", ":")))
        write_arrays(path, {"model": text, "center": self.center, "scale": self.scale, **weights})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Model":
        """Read a `.fdmodel` file.

        Raises
        ------
        DataError
            If it is none, or damaged.
        """
        try:
            return _read(Path(path))
        except (
            Damaged,
            ConfigError,
            TableProblem,
            LookupError,
            ArithmeticError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            if isinstance(error, Unreadable) and not isinstance(error, Damaged):
                raise DataError(f"{path_text(path)}: {error}") from None
            reason = str(error) if isinstance(error, (Damaged, ConfigError)) else "its description is damaged"
            raise DataError(f"{path_text(path)}: not a model of fastdrop, or damaged: {reason}") from None


def _or(array: NDArray[np.float32] | None, value: float, count: int) -> NDArray[np.float32]:
    return np.full(count, value, np.float32) if array is None else array


def _arrays(network: Network) -> dict[str, NDArray[Any]]:
    """The parameters, and the running means of batch normalisation."""
    found = {f"weight {name}": parameter.value for name, parameter in network.parameters()}
    for number, module in enumerate(network.modules()):
        found |= {f"buffer {number} {name}": getattr(module, name) for name in module.buffers}
    return found


def _read(path: Path) -> Model:
    with Archive(path) as archive:
        header = parse_json(archive.text("model", _LARGEST_TEXT))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            version = shown(header.get("format") if isinstance(header, dict) else header)
            raise Damaged(f"format {version} cannot be read; this version of fastdrop reads format {FORMAT}")
        arrays = {name: archive.read(name) for name in archive.headers if name != "model"}
    columns = tuple(
        Column(str(name), str(role), str(reason), tuple(map(str, categories)), str(unit))
        for name, role, reason, categories, unit in header["columns"]
    )
    if any(column.role not in ROLES for column in columns):
        raise Damaged("a column has an unknown role")
    class_names, feature_names = (tuple(map(str, header[key])) for key in ("class_names", "feature_names"))
    used = tuple(column for column in columns if column.role in ("number", "category", "date"))
    preparation = None if header["preparation"] is None else Preparation.restored(used, header["preparation"])
    if preparation is not None and preparation.feature_names != feature_names:
        raise Damaged("its preparation gives other features")
    image_shape = None if header["image_shape"] is None else tuple(map(int, header["image_shape"]))
    channels = int(header["channels"])
    if image_shape is not None and (len(image_shape) != 2 or math.prod(image_shape) * channels != len(feature_names)):
        raise Damaged("its images have another size")
    config = ExperimentConfig.from_toml(header["config"])
    network = _network(config, len(feature_names), class_names, image_shape, channels)
    center, scale = (_checked(arrays.pop(name, None), (len(feature_names),), name) for name in ("center", "scale"))
    if not (scale > 0).all():
        raise Damaged("a scale is not positive")
    wanted = _arrays(network)
    if arrays.keys() != wanted.keys():
        raise Damaged("its weights are not those of its network")
    for name, array in wanted.items():
        array[...] = _checked(arrays[name], array.shape, name)
    return Model(
        config, columns, preparation, center, scale, class_names, feature_names, image_shape, channels, network,
        dict(header["provenance"]),
    )  # fmt: skip


def _network(
    config: ExperimentConfig,
    features: int,
    class_names: tuple[str, ...],
    image_shape: tuple[int, ...] | None,
    channels: int,
) -> Network:
    """The network of a configuration, before it has its weights."""
    x, y = np.empty((0, features), np.float32), np.empty(0, np.intp)
    dataset = Dataset("the model", x, y, x, y, (), class_names, image_shape, channels=channels)  # type: ignore[arg-type]
    masks, _ = Stream(config.seed).spawn(2)
    return build_network(config, dataset, masks)


def _checked(array: NDArray[Any] | None, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    if array is None or array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
        raise Damaged(f"its array {shown(name)} is missing or damaged")
    return array
