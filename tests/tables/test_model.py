"""Models that are kept in a file, and what they predict from new rows."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastdrop import nn
from fastdrop.experiments import DataError, ExperimentConfig, Model, Trainer
from fastdrop.experiments.formats.npz import Archive

ROWS = 60


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(40, 10, ROWS).round(1)),
            "sex": rng.choice(["f", "m"], ROWS),
            "place": rng.choice(["north", "south", "west"], ROWS),
            "kind": rng.choice(["no", "yes"], ROWS),
        }
    )


def trained(data, **changes):
    settings = {"hidden": (8,), "epochs": 2, "rate": 0.3} | changes
    trainer = Trainer(ExperimentConfig(dataset="file", data_file=data, **settings))
    for _ in trainer.run():
        pass
    return trainer


def test_a_model_predicts_what_its_trainer_does(frame, tmp_path):
    trainer = trained(frame)
    Model.of(trainer).save(tmp_path / "m.fdmodel")
    model = Model.load(tmp_path / "m.fdmodel")
    data = trainer.dataset
    expected = nn.softmax(trainer.network.eval()(data.x_test))
    found = model.predict(frame.iloc[data.test_rows])
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    assert found.class_names == ("no", "yes")
    assert model.provenance["test_accuracy"] == trainer.history[-1].test_accuracy
    assert model.provenance["training_rows"] == len(data.x_train)
    assert model.config.data_file == ""


@pytest.mark.parametrize(
    ("network", "changes"),
    [("mlp", {"batch_norm": True}), ("mlp", {"dropout": "dropconnect"}), ("cnn", {"hidden": (4, 8)}), ("lstm", {})],
)
def test_every_network_is_kept(network, changes, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6, 6)), np.arange(40) % 3
    trainer = trained((x, y), network=network, **changes)
    Model.of(trainer).save(tmp_path / "m.fdmodel")
    found = Model.load(tmp_path / "m.fdmodel").predict(x)
    np.testing.assert_array_equal(found.probabilities, Model.of(trainer).predict(x).probabilities)


IMAGES = np.random.default_rng(1).integers(0, 256, (40, 6, 5), np.uint8)


@pytest.fixture(scope="module")
def of_images():
    return Model.of(trained((IMAGES, np.arange(40) % 2)))


def _npz(folder, **arrays):
    np.savez(folder / "images.npz", **arrays)
    return folder / "images.npz"


def _npy(folder):
    np.save(folder / "images.npy", IMAGES)
    return folder / "images.npy"


def _idx(folder):
    path = folder / "more-images-idx3-ubyte"
    path.write_bytes(
        bytes([0, 0, 8, 3]) + b"".join(side.to_bytes(4, "big") for side in IMAGES.shape) + IMAGES.tobytes()
    )
    return path


def _pictures(folder):
    for place, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{place:02}.png")
    return folder


def _pictures_by_class(folder):
    for place, image in enumerate(IMAGES):
        (folder / f"{place // 20}").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{place // 20}" / f"{place:02}.png")
    return folder


@pytest.mark.parametrize(
    "written",
    [
        lambda folder: _npz(folder, x=IMAGES),
        lambda folder: _npz(folder, arr_0=IMAGES),
        lambda folder: _npz(folder, pictures=IMAGES),
        lambda folder: _npz(folder, x=IMAGES, y=np.arange(40) % 2),
        _npy,
        _idx,
        _pictures,
        _pictures_by_class,
    ],
)
def test_images_without_labels_are_predicted(of_images, tmp_path, written):
    expected = of_images.predict(IMAGES).probabilities
    assert len(np.unique(expected)) > 40
    np.testing.assert_array_equal(of_images.predict(written(tmp_path)).probabilities, expected)


def test_pictures_of_another_size_and_mode_become_the_models(of_images, tmp_path):
    large = Image.fromarray(IMAGES[0]).resize((50, 60), Image.Resampling.NEAREST).convert("RGB")
    large.save(tmp_path / "large.png")
    fitting = np.asarray(large.convert("L").resize((5, 6), Image.Resampling.BILINEAR))
    expected = of_images.predict(fitting[None]).probabilities
    np.testing.assert_array_equal(of_images.predict(tmp_path).probabilities, expected)


def test_what_is_no_picture_for_a_model(of_images, frame, tmp_path):
    with pytest.raises(DataError, match="no pictures in this folder"):
        of_images.predict(tmp_path)
    with pytest.raises(DataError, match="this is a folder; the model was trained on a table"):
        Model.of(trained(frame)).predict(_pictures(tmp_path))
    with pytest.raises(DataError, match="25 features; the model has 30, of images of 6 x 5 pixels"):
        of_images.predict(IMAGES[:, :5])


def test_samples_add_uncertainty(frame):
    model = Model.of(trained(frame))
    found = model.predict(frame, samples=20, seed=3)
    assert found.std.shape == (ROWS, 2)
    assert (found.mutual_information >= 0).all()
    assert found.std.max() > 0.001
    np.testing.assert_array_equal(model.predict(frame, samples=20, seed=3).std, found.std)
    assert model.predict(frame).std is None


def test_columns_are_found_by_their_names(frame, tmp_path):
    model = Model.of(trained(frame))
    expected = model.predict(frame).probabilities
    for other in (frame.drop(columns="kind"), frame[["place", "kind", "age", "sex"]], frame.assign(more=1)):
        np.testing.assert_array_equal(model.predict(other).probabilities, expected)
    frame.to_csv(tmp_path / "new.csv", index=False, sep=";", decimal=",")
    np.testing.assert_array_equal(model.predict(tmp_path / "new.csv").probabilities, expected)
    unknown = model.predict(frame.assign(place="moon"))
    assert unknown.notes == ("place: unknown categories count as missing: moon",)
    with pytest.raises(DataError, match="column 'sex' is missing; the table that was trained on has it"):
        model.predict(frame.drop(columns="sex"))
    with pytest.raises(DataError, match="5 features; the model has 3"):
        model.predict(np.zeros((2, 5)))


def test_a_file_has_no_path_and_no_objects(frame, tmp_path):
    (tmp_path / "own.csv").write_text(frame.to_csv(index=False))
    Model.of(trained(str(tmp_path / "own.csv"))).save(tmp_path / "m.fdmodel")
    with Archive(tmp_path / "m.fdmodel") as archive:
        header = json.loads(str(archive.read("model")))
    assert str(tmp_path) not in json.dumps(header)
    assert header["provenance"]["data"] == "own.csv"
    assert len(header["provenance"]["data_sha256"]) == 64


def damaged(change):
    def damage(header, arrays):
        change(header, arrays)

    return damage


@pytest.mark.parametrize(
    "change",
    [
        lambda header, arrays: header.update(format=2),
        lambda header, arrays: header.pop("columns"),
        lambda header, arrays: header["columns"][0].pop(),
        lambda header, arrays: header["columns"][0].__setitem__(1, "wizard"),
        lambda header, arrays: header["columns"].pop(0),
        lambda header, arrays: header["preparation"].update(fills=[1, 2, 3]),
        lambda header, arrays: header["preparation"].update(categories=[[0, 1]]),
        lambda header, arrays: header["preparation"].update(marked=[7]),
        lambda header, arrays: header.update(class_names=["one"]),
        lambda header, arrays: header.update(image_shape=[3, 3]),
        lambda header, arrays: header.update(config="rubbish"),
        lambda header, arrays: arrays.pop("center"),
        lambda header, arrays: arrays.update(scale=-arrays["scale"]),
        lambda header, arrays: arrays.update(center=arrays["center"] * np.float32(np.nan)),
        lambda header, arrays: arrays.update(more=np.zeros(3, np.float32)),
        lambda header, arrays: arrays.update({"weight 0.weight": np.zeros((2, 2), np.float32)}),
    ],
)
def test_damaged_models_are_refused(change, frame, tmp_path):
    path = tmp_path / "m.fdmodel"
    Model.of(trained(frame)).save(path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive}
    header = json.loads(str(arrays.pop("model")))
    change(header, arrays)
    with path.open("wb") as file:
        np.savez(file, model=np.array(json.dumps(header)), **arrays)
    with pytest.raises(DataError, match=r"m\.fdmodel: not a model of fastdrop, or damaged: ") as error:
        Model.load(path)
    assert "\n" not in str(error.value)


def test_other_files_are_no_models(tmp_path):
    path = tmp_path / "m.fdmodel"
    with pytest.raises(DataError, match="cannot be read"):
        Model.load(path)
    for content in (b"", b"text", b"PK\3\4rubbish"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a model of fastdrop, or damaged"):
            Model.load(path)
    with pytest.raises(ValueError, match=r"must end in \.fdmodel"):
        Model.of(trained((np.arange(20.0).reshape(10, 2), np.arange(10) % 2))).save(tmp_path / "m.npz")


def test_the_onnx_model_predicts_the_same(frame):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx.checker")
    from fastdrop.experiments.onnx import inputs_of, onnx_model

    model = Model.of(trained(frame))
    session = runtime.InferenceSession(onnx_model(model).SerializeToString())
    feeds = {}
    for given, described in zip(session.get_inputs(), inputs_of(model), strict=True):
        column = frame[described.name]
        number = described.kind == "number"
        cells = column.to_numpy(np.float32) if number else column.fillna("").to_numpy(object)
        feeds[given.name] = cells[:, None]
    probabilities, classes = session.run(None, feeds)
    expected = model.predict(frame)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)
    assert classes.tolist() == [expected.class_names[place] for place in expected.classes]
