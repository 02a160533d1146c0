"""Experiment files, trainer states and share codes restore exactly what was saved."""

import inspect
import json
import math
import os

import numpy as np
import pytest
from experimenttools import trainer_after

from fastdrop.experiments import (
    CheckpointError,
    ConfigError,
    EpochRecord,
    Experiment,
    ExperimentConfig,
    Run,
    Trainer,
    load_experiment,
    save_experiment,
)
from fastdrop.experiments.checkpoint import MOST_EPOCHS
from fastdrop.experiments.config import FIELDS
from fastdrop.experiments.formats import experiment_file
from fastdrop.experiments.formats.experiment_file import write_arrays
from fastdrop.experiments.sweeps.parameters import values_from

KINDS = {
    "standard": {},
    "sgd, batch norm, schedules": {
        "optimizer": "sgd",
        "batch_norm": True,
        "dropout_schedule": "linear",
        "learning_rate_schedule": "cosine",
        "weight_decay": 0.01,
    },
    "DropConnect": {"dropout": "dropconnect"},
    "layers differ": {"layer_dropout": ("alpha", "none"), "layer_rates": (0.1, 0.5)},
    "convolutions": {"dataset": "digits", "network": "cnn", "hidden": (4, 8, 16), "dropout": "dropblock", "rate": 0.2},
    "recurrent": {"dataset": "digits", "network": "lstm", "hidden": (8,), "dropout": "zoneout", "rate": 0.2},
    "attention": {"dataset": "digits", "network": "attention", "hidden": (8, 16), "dropout": "path", "rate": 0.2},
    "text": {"dataset": "reviews", "network": "text", "hidden": (8, 16), "dropout": "embedding"},
}


def config(**changes):
    return ExperimentConfig(**{"dataset": "moons", "hidden": (16, 8), "epochs": 4, "train_fraction": 0.2, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 3, 9])
def test_a_restored_trainer_trains_bit_for_bit_as_the_original(kind, steps):
    first = Trainer(config(**KINDS[kind]))
    for _ in range(steps):
        first.step()
    second = Trainer(config(**KINDS[kind]))
    second.restore(first.state())
    assert second.step_count == steps
    for _ in range(7):
        first.step()
        second.step()
    assert first.history == second.history
    for name, value in first.weights().items():
        np.testing.assert_array_equal(value, second.weights()[name], err_msg=name)
    for before, after in zip(first.snapshot().layers, second.snapshot().layers, strict=True):
        np.testing.assert_array_equal(before.values, after.values)


def test_rates_that_were_changed_while_training_are_restored():
    first = Trainer(config())
    first.rates, first.learning_rate = (0.1, 0.7), 0.25
    second = Trainer(config())
    second.restore(first.state())
    assert second.rates == (0.1, 0.7)
    assert second.learning_rate == 0.25


def test_a_state_of_another_network_is_refused_by_name():
    state = Trainer(config()).state()
    with pytest.raises(CheckpointError, match=r"weight 0.weight must have shape \(32, 2\); got \(16, 2\)"):
        Trainer(config(hidden=(32, 8))).restore(state)
    del state["history"]
    with pytest.raises(CheckpointError, match="'history' is missing"):
        Trainer(config()).restore(state)


def test_training_can_be_extended_but_not_shortened():
    trainer = Trainer(config(epochs=1))
    while not trainer.finished:
        trainer.step()
    trainer.extend(2)
    assert not trainer.finished
    trainer.step()
    with pytest.raises(ValueError, match=r"at least 1\.25, .* got 1"):
        trainer.extend(1)


def test_a_file_holds_configuration_weights_curves_and_kept_runs(tmp_path):
    path = tmp_path / "run.fastdrop"
    trainer = trainer_after(config(), 12)
    runs = (Run("first", config(rate=0.1), tuple(trainer.history)),)
    save_experiment(path, Experiment(trainer.config, {"main": trainer.state(), "baseline": trainer.state()}, runs))
    found = load_experiment(path)
    assert found.config == trainer.config
    assert found.history == tuple(trainer.history)
    assert found.runs == runs
    assert found.states.keys() == {"main", "baseline"}
    again = Trainer(found.config)
    again.restore(found.states["baseline"])
    assert again.step_count == 12
    with np.load(path) as archive:  # without fastdrop
        np.testing.assert_array_equal(archive["main/weight 0.weight"], trainer.weights()["0.weight"])


def test_an_experiment_may_hold_only_a_configuration(tmp_path):
    config(rate=0.3).save(tmp_path / "run.toml")
    assert load_experiment(tmp_path / "run.toml") == Experiment(config(rate=0.3))


def test_data_beside_the_file_is_found(tmp_path):
    beside = config(dataset="file", data_file="own.csv")
    save_experiment(tmp_path / "run.fastdrop", Experiment(beside))
    assert load_experiment(tmp_path / "run.fastdrop").config.data_file == str(tmp_path / "own.csv")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04damaged"])
def test_a_file_that_is_no_experiment_is_named(tmp_path, content):
    path = tmp_path / "run.fastdrop"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.fastdrop: not an experiment of fastdrop, or damaged"):
        load_experiment(path)


def test_a_cut_file_and_another_archive_are_refused(tmp_path):
    path = tmp_path / "run.fastdrop"
    save_experiment(path, Experiment(config(), {"main": trainer_after(config()).state()}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="damaged"):
        load_experiment(path)
    write_arrays(path, {"x": np.zeros(3)})
    with pytest.raises(ConfigError, match="damaged"):
        load_experiment(path)


def test_a_later_version_is_refused_by_number(tmp_path):
    write_arrays(tmp_path / "run.fastdrop", {"experiment": np.array(json.dumps({"format": 99}))})
    with pytest.raises(ConfigError, match="format 99 cannot be read"):
        load_experiment(tmp_path / "run.fastdrop")


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.fastdrop: cannot be read"):
        load_experiment(tmp_path / "gone.fastdrop")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_experiment(tmp_path / "no" / "run.fastdrop", Experiment(config()))


def test_saving_over_a_file_keeps_the_old_one_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "run.fastdrop"
    save_experiment(path, Experiment(config()))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_experiment(path, Experiment(config(rate=0.1)))
    monkeypatch.undo()
    assert load_experiment(path).config == config()
    assert [file.name for file in tmp_path.iterdir()] == ["run.fastdrop"]


@pytest.mark.parametrize("kind", KINDS)
def test_share_codes_restore_the_configuration(kind):
    there = config(**KINDS[kind])
    assert ExperimentConfig.from_share_code(there.to_share_code()) == there
    assert ExperimentConfig.from_share_code("  " + there.to_share_code().replace("&", "&\n ") + "\n") == there


def test_share_codes_with_names_that_need_quoting():
    there = config(dataset="file", data_file="/data/my & own? 100%.csv", target="a=b")
    assert ExperimentConfig.from_share_code(there.to_share_code()) == there


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "begins with fastdrop1"),
        ("https://example.org/?rate=0.5", "begins with fastdrop1"),
        ("fastdrop1?colour=red", "unknown field 'colour'"),
        ("fastdrop1?rate=much", "rate cannot be 'much'"),
        ("fastdrop1?hidden=3,many", "hidden cannot be '3,many'"),
        ("fastdrop1?batch_norm=yes", "batch_norm cannot be 'yes'"),
        ("fastdrop1?rate=1.5", "rate must be from 0 to 1"),
    ],
)
def test_invalid_share_codes_are_refused(line, message):
    with pytest.raises(ConfigError, match=message):
        ExperimentConfig.from_share_code(line)


# -- former names of fields


FORMER_TOML = """
[fastdrop]
format = 1
[experiment]
dataset = "moons"
train_share = 0.3
data_seed = 7
rate_schedule = "cosine"
"""
FORMER = ExperimentConfig(dataset="moons", train_fraction=0.3, split_seed=7, dropout_schedule="cosine")


def test_former_names_of_fields_are_read():
    assert ExperimentConfig.from_toml(FORMER_TOML) == FORMER
    code = "fastdrop1?dataset=moons&train_share=0.3&data_seed=7&rate_schedule=cosine"
    assert ExperimentConfig.from_share_code(code) == FORMER
    for text in (FORMER.to_toml(), FORMER.to_share_code()):
        assert "train_fraction" in text
        assert "train_share" not in text


def test_a_field_under_both_names_is_refused():
    with pytest.raises(ConfigError, match="'split_seed' is given twice"):
        ExperimentConfig.from_toml(f"{FORMER_TOML}split_seed = 7\n")


def test_experiment_files_with_former_names_are_read(tmp_path):
    path = tmp_path / "former.fastdrop"
    runs = [{"name": "earlier", "config": FORMER_TOML, "history": [[0, 0.7, 0.7, 0.5, 0.5]]}]
    write_arrays(path, {"experiment": np.array(json.dumps({"format": 1, "config": FORMER_TOML, "runs": runs}))})
    found = load_experiment(path)
    assert found.config == found.runs[0].config == FORMER


def test_the_baseline_of_an_earlier_version_is_read(tmp_path):
    path, again = tmp_path / "run.fastdrop", tmp_path / "again.fastdrop"
    state = Trainer(config()).state()
    save_experiment(path, Experiment(config(), {"main": state, "baseline": state}))
    with np.load(path) as file:
        arrays = {name.replace("baseline/", "twin/"): file[name] for name in file}
    write_arrays(path, arrays)
    found = load_experiment(path)
    assert found.states.keys() == {"main", "baseline"}
    Trainer(config()).restore(found.states["baseline"])
    save_experiment(again, found)
    with np.load(again) as file:
        assert {name.partition("/")[0] for name in file} == {"experiment", "main", "baseline"}
    write_arrays(path, arrays | {"baseline/order": arrays["twin/order"]})
    with pytest.raises(ConfigError, match=r"'(twin|baseline)/order' under two names"):
        load_experiment(path)


# -- the descriptions of the fields


def test_every_field_is_documented():
    documented = inspect.getdoc(ExperimentConfig)
    for name, field in FIELDS.items():
        assert f"\n{name} : " in documented
        assert field.title in documented
        assert field.checked(field.default) == field.default


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.sweep])
def test_the_example_of_a_sweep_can_be_swept(name):
    values = values_from(FIELDS[name].sweep, name)
    assert len(values) > 1
    assert [FIELDS[name].checked(value) for value in values] == list(values)


# -- experiments that could not be read are not written


HISTORY = (EpochRecord(0, 0.7, 0.7, 0.5, 0.5), EpochRecord(1, 0.6, math.inf, 0.6, 0.5))
UNREADABLE = {
    "too many runs": ({"runs": (Run("run", config(), HISTORY),) * 1001}, "at most 1,000 pinned runs; got 1,001"),
    "a long name": (
        {"runs": (Run("n" * 1001, config(), HISTORY),)},
        "name of a pinned run .* 1,000 characters",
    ),
    "a name with a bell": ({"runs": (Run("a\x07b", config(), HISTORY),)}, r"control characters.*'a\\x07b'"),
    "a lone surrogate": ({"runs": (Run("\ud83d", config(), HISTORY),)}, "must be Unicode text"),
    "no curve": ({"runs": (Run("run", config(), (EpochRecord(0, 1.0, 1.0, 1.5, 0.5),)),)}, "accuracies must be from 0"),
    "another state": (
        {"states": {"other": {"x": np.ones(1)}}},
        "must be main or baseline; got 'other'",
    ),
    "a path for a state": (
        {"states": {"main/baseline": {"x": np.ones(1)}}},
        "must be main or baseline; got 'main/baseline'",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_experiment_that_could_not_be_read_is_not_written(tmp_path, name):
    contents, words = UNREADABLE[name]
    path = tmp_path / "run.fastdrop"
    path.write_bytes(b"old")
    with pytest.raises(ConfigError, match=rf"run\.fastdrop: .*{words}") as error:
        save_experiment(path, Experiment(config(), **contents))
    assert len(str(error.value)) < 600 + len(str(path))
    assert path.read_bytes() == b"old"


def test_as_many_runs_as_a_file_takes(tmp_path):
    path = tmp_path / "run.fastdrop"
    runs = tuple(Run(f"run {number}\n<b>" + "n" * 900, config(), HISTORY) for number in range(1000))
    save_experiment(path, Experiment(config(), runs=runs))
    assert load_experiment(path).runs == runs


@pytest.mark.slow
def test_a_curve_that_hardly_compresses_is_read_again(tmp_path):
    figures = np.random.default_rng(0).random((60_000, 4)).tolist()
    run = Run("run", config(), tuple(EpochRecord(epoch, *row) for epoch, row in enumerate(figures)))
    path = tmp_path / "run.fastdrop"
    save_experiment(path, Experiment(config(), runs=(run,)))
    assert path.stat().st_size > 1 << 21
    assert load_experiment(path).runs == (run,)


def test_the_longest_curve_of_a_run_fits_and_longer_ones_are_refused(tmp_path, monkeypatch):
    longest = json.dumps([MOST_EPOCHS, *(1.2345678901234567e-100,) * 2, *(1.2345678901234567e-5,) * 2])
    assert (len(longest) + 2) * MOST_EPOCHS + (1 << 20) < experiment_file._LARGEST_TEXT
    monkeypatch.setattr(experiment_file, "_LARGEST_TEXT", 5000)
    path = tmp_path / "run.fastdrop"
    with pytest.raises(ConfigError, match=r"run\.fastdrop: .*the curves of the pinned runs are too long.*remove some"):
        save_experiment(path, Experiment(config(), runs=(Run("run", config(), HISTORY * 100),)))
    assert not path.exists()
