"""Configurations, data sets, the trainer."""

import os
import re

import numpy as np
import pytest
from fuzz.mutations import npy

import fastdrop as fd
from fastdrop.experiments import (
    DATASETS,
    ConfigError,
    DataError,
    ExperimentConfig,
    Trainer,
    TrainingDiverged,
    load_dataset,
    load_table,
    one_blas_thread,
)

SMALL = ExperimentConfig(dataset="moons", hidden=(16, 8), epochs=3, rate=0.3)


def test_config_round_trips():
    config = ExperimentConfig(
        dataset="file", data_file='a "b"\\c.csv', target="ü", hidden=(8,), rate=0.1, seed=2**62, noise=1
    )
    assert ExperimentConfig.from_toml(config.to_toml()) == config
    assert isinstance(config.noise, float)


def test_config_saves_and_loads(tmp_path):
    path = tmp_path / "run.toml"
    SMALL.save(path)
    assert ExperimentConfig.load(path) == SMALL
    assert os.listdir(tmp_path) == ["run.toml"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "mnist"}, "digits.*'mnist'"),
        ({"dataset": "file"}, "data_file"),
        ({"data_file": "x.csv"}, "data_file"),
        ({"rate": 1.5}, "rate.*1.5"),
        ({"rate": float("nan")}, "rate.*nan"),
        ({"rate": "0.5"}, "rate.*number"),
        ({"hidden": ()}, "hidden"),
        ({"hidden": (0,)}, "0"),
        ({"hidden": "12"}, "'12'"),
        ({"hidden": (5000,)}, "5000"),
        ({"hidden": (20,), "dropout": "spatial"}, "multiples.*20"),
        ({"dropout": "gausian"}, "gausian"),
        ({"dropout": "gaussian", "rate": 1.0}, "infinite"),
        ({"dropout": "locked"}, "mlp.*locked.*standard"),
        ({"network": "cnn", "hidden": (8,)}, "two entries"),
        ({"network": "attention", "hidden": (10, 8), "dropout": "path"}, "multiple of 4.*10"),
        ({"network": "rnn"}, "rnn"),
        ({"activation": "swish"}, "swish"),
        ({"dropout_schedule": "step"}, "step"),
        ({"learning_rate_schedule": "curriculum"}, "curriculum"),
        ({"dropout_layers": "second"}, "second"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size.*whole number"),
        ({"batch_norm": 1}, "batch_norm.*true or false"),
        ({"epochs": 0}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"train_fraction": 1.0}, "train_fraction"),
    ],
)
def test_config_refuses(changes, words):
    with pytest.raises(ConfigError, match=words):
        ExperimentConfig(**changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("=", "TOML"),
        ("a = 1", "missing"),
        ("[fastdrop]\nformat = 9\n[experiment]", "format 9"),
        ("[fastdrop]\nformat = 1\n[experiment]\nrte = 0.5", "'rte'"),
        ("[fastdrop]\nformat = 1\n[experiment]\nrate = 5", "rate"),
        ("\x00\xff", "TOML"),
        (
            "[fastdrop]\nformat = 1\n[experiment]\nrate = 1" + "0" * 400,
            "this number is too large|Exceeds",
        ),
    ],
)
def test_config_text_errors_name_the_file(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=rf"bad\.toml.*{words}"):
        ExperimentConfig.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set(name):
    data = load_dataset(name)
    assert data.x_train.dtype == np.float32
    assert data.x_train.shape[1] == data.x_test.shape[1] == len(data.feature_names)
    assert set(data.y_train) == set(data.y_test) == set(range(data.classes))
    if data.words:
        assert data.x_train.max() < len(data.words)
        np.testing.assert_array_equal(data.x_train, np.round(data.x_train))
    else:
        assert abs(data.x_train.mean()) < 1e-5
    assert np.isfinite(data.x_train).all()
    again = load_dataset(name)
    np.testing.assert_array_equal(data.x_test, again.x_test)


def test_sizes_of_the_known_sets():
    digits, linear = load_dataset("digits"), load_dataset("noisy-linear")
    assert len(digits.y_train) + len(digits.y_test) == 1797
    assert (linear.x_train.shape, linear.x_test.shape) == ((500, 20), (100, 20))


@pytest.mark.slow
@pytest.mark.parametrize("dropout", ["none", "standard", "spatial", "dropconnect"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_repeats_itself_on_any_number_of_threads(dropout, batch_norm, monkeypatch):
    monkeypatch.setattr(fd.threads, "SMALLEST_SHARE", 1)
    config = SMALL.replace(dropout=dropout, batch_norm=batch_norm)
    runs = []
    before = fd.get_num_threads()
    try:
        for threads in (1, 2, 1):
            fd.set_num_threads(threads)
            trainer = Trainer(config)
            histories = [snapshot.history for snapshot in trainer.run()]
            runs.append((histories[-1], trainer.weights()))
    finally:
        fd.set_num_threads(before)
    for history, weights in runs[1:]:
        assert history == runs[0][0]
        for name, value in weights.items():
            np.testing.assert_array_equal(value, runs[0][1][name])
    assert len(runs[0][0]) == config.epochs + 1


def test_another_seed_gives_another_run():
    assert next(Trainer(SMALL).run()).latest != next(Trainer(SMALL.replace(seed=1)).run()).latest


def test_snapshots_do_not_change_the_training():
    watched, alone = Trainer(SMALL), Trainer(SMALL)
    for _ in range(20):
        watched.step()
        watched.snapshot()
        alone.step()
    for name, value in alone.weights().items():
        np.testing.assert_array_equal(watched.weights()[name], value)


def test_baselines_start_from_the_same_weights():
    baseline = Trainer(SMALL.replace(dropout="none")).weights().values()
    for kind in ("standard", "dropconnect"):
        for value, same in zip(Trainer(SMALL.replace(dropout=kind)).weights().values(), baseline, strict=True):
            np.testing.assert_array_equal(value, same)


def test_snapshot_shows_what_is_dropped():
    trainer = Trainer(SMALL.replace(rate=0.5))
    trainer.step()
    snapshot = trainer.snapshot(weights=True)
    first, second, output = snapshot.layers
    assert (first.name, first.values.shape, second.values.shape) == ("hidden 1", (16, 32), (8, 32))
    assert first.kept is not None
    assert (first.values[~first.kept] == 0).all()
    assert 0.3 < first.kept.mean() < 0.7
    np.testing.assert_allclose(output.values.sum(axis=0), 1, rtol=1e-5)
    assert output.kept is None
    assert set(snapshot.weights) == {"0.weight", "0.bias", "3.weight", "3.bias", "6.weight", "6.bias"}
    assert (snapshot.step, snapshot.latest.epoch) == (1, 0)


def test_snapshot_of_spatial_dropout_and_dropconnect():
    spatial = Trainer(SMALL.replace(dropout="spatial", rate=0.5)).snapshot().layers[0]
    groups = spatial.kept.reshape(2, 8, 32)
    assert (groups == groups[:, :1]).all()
    views = Trainer(SMALL.replace(dropout="dropconnect", rate=0.5)).snapshot().layers
    assert [view.name for view in views][:2] == ["hidden 1 weights", "hidden 1"]
    assert views[0].values.shape == views[0].kept.shape == (16, 2)
    assert views[2].columns == "input"
    wide = Trainer(SMALL.replace(hidden=(100, 50), dropout="dropconnect")).snapshot().layers[2]
    assert (wide.values.shape, wide.columns) == ((50, 32), "input (first 32 of 100)")
    assert views[1].kept is None


def test_rate_changes_while_training_runs():
    trainer = Trainer(SMALL)
    trainer.rates = (1.0,) * len(trainer.config.hidden)
    trainer.step()
    assert not trainer.snapshot().layers[0].kept.any()
    with pytest.raises(ValueError, match=r"rate.*7"):
        trainer.rates = (7,) * len(trainer.config.hidden)


def test_divergence_is_reported():
    config = ExperimentConfig(dataset="wine", hidden=(80, 16), optimizer="sgd", learning_rate=30.0)
    trainer = Trainer(config)
    with pytest.raises(TrainingDiverged, match="learning rate"):
        for _ in trainer.run():
            pass


@pytest.mark.slow
def test_digits_reach_97_percent():
    for snapshot in Trainer(ExperimentConfig()).run():
        last = snapshot.latest
    assert last.epoch == 60
    assert last.test_accuracy >= 0.97
    assert last.train_accuracy > last.test_accuracy


GOOD = "a,b,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n"


def test_csv(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text(GOOD)
    table = load_table(path)
    assert [column.name for column in table.used] == ["a", "b"]
    assert table.class_names == ("x", "y")
    np.testing.assert_array_equal(table.features, [[1, 2], [3, 4], [5, 6], [7, 8]])
    np.testing.assert_array_equal(table.labels, [0, 1, 0, 1])
    path.write_text("1,0,2\n3,1,4\n5,0,6\n7,1,9\n")
    np.testing.assert_array_equal(load_table(path, target="2").features, [[1, 2], [3, 4], [5, 6], [7, 9]])


def test_csv_with_columns_of_one_name(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("y,x,y\n1,2,a\n3,4,b\n5,6,a\n7,8,b\n")
    table = load_table(path, target="3")
    np.testing.assert_array_equal(table.features, [[1, 2], [3, 4], [5, 6], [7, 8]])
    assert table.class_names == ("a", "b")


def test_csv_trains(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text(
        "\ufeffa,b,kind\r\n" + "".join(f"{i},{i % 7},{'no' if i < 50 else 'yes'}\r\n\r\n" for i in range(100)), "utf-8"
    )
    config = ExperimentConfig(dataset="file", data_file=str(path), hidden=(8,), epochs=1)
    assert Trainer(config).dataset.class_names == ("no", "yes")


@pytest.mark.parametrize(
    ("text", "features", "labels"),
    [
        (GOOD.replace("3,4", "3,"), [[1, 2], [3, np.nan], [5, 6], [7, 8]], "xyxy"),
        (GOOD.replace("3,4,y", "3,4,"), [[1, 2], [5, 6], [7, 8]], "xxy"),
        (GOOD.replace("7,8", "nan,8"), [[1, 2], [3, 4], [5, 6], [np.nan, 8]], "xyxy"),
        (GOOD.replace("7,8", "7,inf"), [[1, 2], [3, 4], [5, 6], [7, np.nan]], "xyxy"),
        (GOOD.replace("7,8,y", "7,8,z"), [[1, 2], [3, 4], [5, 6], [7, 8]], "xyxz"),
        (GOOD.replace(",", ";"), [[1, 2], [3, 4], [5, 6], [7, 8]], "xyxy"),
        (GOOD.replace("5,6", "five,6"), [[0, 2], [1, 4], [3, 6], [2, 8]], "xyxy"),  # the categories 1, 3, 7, five
        (GOOD.replace("5,6", "5_000,6"), [[0, 2], [1, 4], [3, 6], [2, 8]], "xyxy"),
    ],
)
def test_odd_cells_have_a_meaning(tmp_path, text, features, labels):
    path = tmp_path / "odd.csv"
    path.write_text(text)
    table = load_table(path)
    np.testing.assert_array_equal(table.features, features)
    assert "".join(table.class_names[label] for label in table.labels) == labels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("5,6,x", "5,x"), r", line 4: 2 cells where the other lines have 3"),
        (GOOD.replace("y", "x"), r", column 'kind': one class only \(x\)"),
        ("".join(f"{i},text {i}\n" for i in range(300)), ", column 'column 2': 300 different values"),
        ('a,b\n1,"2', ""),
    ],
)
def test_bad_csv_names_file_and_place(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        load_table(path)
    assert re.match(rf"{re.escape(str(path))}{words}", str(error.value))


def test_data_that_cannot_be_split_or_scaled(tmp_path):
    path = tmp_path / "bad.csv"
    for text, words in (
        ("a,b,kind\n1,2,x\n3,4,y\n", r": too few rows to train on some and test on others: x \(1 row\), y \(1 row\)"),
        ("1e308,x\n-1e308,y\n" * 20, ", column 'column 1': the values are too large; rescale them"),
        ("a,b,target\n" + "".join(f"{i % 9},{i % 7},{i / 7}\n" for i in range(40)), ", column 'target': .* regression"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=rf"^{re.escape(str(path))}{words}"):
            load_dataset("file", data_file=str(path))


def test_a_data_file_is_relative_to_its_configuration(tmp_path):
    config = ExperimentConfig(dataset="file", data_file="my.csv")
    config.save(tmp_path / "run.toml")
    assert ExperimentConfig.load(tmp_path / "run.toml").data_file == str(tmp_path / "my.csv")


def test_blas_is_limited_to_one_thread():
    import threadpoolctl

    with one_blas_thread():
        assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")


def test_other_bad_files(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfea,b")
    with pytest.raises(DataError, match=r"bad\.csv, line 1: not text in UTF-16, which it seems to be"):
        load_table(path)
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read"):
        load_table(tmp_path / "nothing.csv")
    path.write_text(GOOD)
    with pytest.raises(DataError, match="no column 'age'; the columns are a, b, kind"):
        load_table(path, target="age")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.ones((4, 2))}, "holds x; it must hold x"),
        ({"x": np.ones((4, 2)), "y": np.ones(3)}, r"y has shape \(3,\) for 4 examples"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, r"x has shape \(0, 2\): no values"),
        ({"x": np.array([["a"]]), "y": np.ones(1)}, "dtype <U1; it must hold numbers"),
        ({"x": np.ones((4, 2)), "y": np.ones(4)}, "one class only"),
        ({"x": np.float64(3), "y": np.ones(4)}, r"shape \(\)"),
        ({"x": np.array([[{}]], object), "y": np.ones(1)}, "not an archive of plain arrays"),
    ],
)
def test_bad_npz(tmp_path, arrays, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=rf"bad\.npz.*{words}"):
        load_table(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04garbage", "damaged, or not a ZIP archive"),
        (b"", "the file is empty"),
        (b"text", "one column only"),
        (npy(np.ones(3)), r"an array of shape \(3,\) without labels"),
    ],
)
def test_the_content_decides_the_format(tmp_path, content, words):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.npz: {words}"):
        load_table(path)


def test_npz(tmp_path):
    path = tmp_path / "good.npz"
    x = np.arange(24.0).reshape(6, 2, 2)
    x[1, 0, 1] = np.nan  # x[1] is 4, nan, 6, 7
    np.savez(path, x=x, y=np.array(["b", "a"] * 3))
    table = load_table(path)
    assert table.features.shape == (6, 4)
    np.testing.assert_array_equal(table.features[1], [4, np.nan, 6, 7])
    assert (table.image_shape, table.channels) == ((2, 2), 1)
    assert table.class_names == ("a", "b")
    np.testing.assert_array_equal(table.labels, [1, 0, 1, 0, 1, 0])
