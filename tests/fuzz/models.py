"""Reader of kept models: NPZ archives with a JSON text, used on the rows that they were trained on."""

import numpy as np
import pandas as pd

from fastdrop.experiments import DataError, ExperimentConfig, Model, Trainer
from fastdrop.experiments.config import InMemory
from fuzz.mutations import archive, members_of, npy, of_archive, plain_array
from fuzz.readers import Reader


def _table():
    """Numbers, a date, categories, and cells that are missing."""
    rows = np.arange(24)
    return pd.DataFrame({
        "number": np.where(rows % 7 == 3, np.nan, rows * 37 % 24 / 7),
        "day": pd.to_datetime("2020-01-30") + pd.to_timedelta(rows * 5 % 24, "D"),
        "colour": np.array(["red", "green", "blue", None], object)[rows % 4],
        "kind": np.array(["x", "y"])[rows // 2 % 2],
    })  # fmt: skip


def _images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (12, 6, 6), np.uint8), np.arange(12) % 2


CONFIGS = [
    (_table, {"hidden": (4,)}),
    (_table, {"hidden": (6, 4), "batch_norm": True, "dropout": "dropconnect"}),
    (_images, {"hidden": (2, 4, 4), "network": "cnn"}),
]


class ModelFile(Reader):
    refused = (DataError,)
    suffix = ".fdmodel"
    weight = 0.1

    def mutate(self, rng, content):
        members = members_of(content)
        if rng.random() < 0.7 or not members:
            return of_archive(rng, content)
        for name in rng.sample(list(members), len(members)):
            array = plain_array(members[name])
            if array.dtype.kind == "f" and array.size:  # a weight, or a part of the scaling
                array = array.copy()
                array.flat[rng.randrange(array.size)] = rng.choice([0.5, -1.0, 1e-30, 1e30, np.nan])
                members[name] = npy(array)
                break
        return archive([(name, member, 8) for name, member in members.items()])

    def seeds(self):
        found = []
        for number, (data, fields) in enumerate(CONFIGS):
            config = ExperimentConfig(dataset="file", data_file=InMemory(data()), epochs=1, **fields)
            trainer = Trainer(config)
            for _ in trainer.run():
                pass
            path = self.folder / f"valid{number}.fdmodel"
            Model.of(trainer).save(path)
            found.append(path.read_bytes())
        return found

    def read(self, given):
        return Model.load(given)

    def use(self, model):
        images = model.image_shape is not None
        if images:
            sides = model.image_shape if model.channels == 1 else (*model.image_shape, model.channels)
            data = np.ones((3, *sides)) if model.channels in (1, 3) else None
        else:
            data = _table()
        if data is not None:
            try:
                found = model.predict(data)
            except DataError as error:  # other columns than the table's
                self._check_name(error)
            else:
                assert found.probabilities.shape == (len(data), len(model.class_names))
                assert ((found.classes >= 0) & (found.classes < len(model.class_names))).all()
        again = self.folder / "again.fdmodel"
        model.save(again)
        assert Model.load(again).columns == model.columns

    @staticmethod
    def _check_name(error):
        assert len(str(error).splitlines()) == 1
        assert str(error).startswith(("the DataFrame", "the ndarray"))


READERS = {"model": ModelFile}
