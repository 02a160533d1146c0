"""Hostile experiment files and states are refused by name; a refused state leaves the trainer unchanged."""

import json
import math
import os

import numpy as np
import pytest
from experimenttools import trainer_after
from fuzz.configs import CONFIG
from fuzz.experiments import same

from fastdrop.experiments import (
    CheckpointError,
    ConfigError,
    Experiment,
    Run,
    Trainer,
    load_experiment,
    save_experiment,
)
from fastdrop.experiments.formats.experiment_file import write_arrays


@pytest.fixture(scope="module")
def trained():
    return trainer_after(CONFIG)


def text_of(header):
    return np.array(json.dumps(header))


HEADER = {"format": 1, "config": CONFIG.to_toml(), "runs": []}
RUN = {"name": "a", "config": CONFIG.to_toml(), "history": [[0, 1.0, 1.0, 0.5, 0.5]]}


def runs(**changes):
    return text_of({**HEADER, "runs": [{**RUN, **changes}]})


EXPERIMENTS = {
    "no text": np.zeros(3),
    "bytes": np.array(b"{}"),
    "several texts": np.array(["{}", "{}"]),
    "no JSON": np.array("{"),
    "deep": np.array("[" * 100_000),
    "many digits": np.array("1" * 5000),
    "a list": text_of([]),
    "no format": text_of({}),
    "a format that is true": text_of({**HEADER, "format": True}),
    "another kind of format": text_of({**HEADER, "format": {"a": "x" * 9999}}),
    "no configuration": text_of({"format": 1, "runs": []}),
    "a configuration that is a number": text_of({**HEADER, "config": 3}),
    "a lone surrogate": text_of({**HEADER, "config": CONFIG.to_toml().replace("moons", "\ud800")}),
    "runs that are a dict": text_of({**HEADER, "runs": {}}),
    "a run that is a number": text_of({**HEADER, "runs": [3]}),
    "too many runs": text_of({**HEADER, "runs": [RUN] * 1001}),
    "a name that is a number": runs(name=3),
    "a name with a lone surrogate": runs(name="\ud800"),
    "a long name": runs(name="x" * 5000),
    "a history that is a number": runs(history=3),
    "a history of texts": runs(history=[["0", "1", "1", "0", "0"]]),
    "a history without figures": runs(history=[[0]]),
    "a history of 10**400": runs(history=[[0, 10**400, 1.0, 0.5, 0.5]]),
    "an epoch of 10**400": runs(history=[[10**400, 1.0, 1.0, 0.5, 0.5]]),
    "an epoch that is no number": runs(history=[[math.nan, 1.0, 1.0, 0.5, 0.5]]),
    "an infinite epoch": runs(history=[[math.inf, 1.0, 1.0, 0.5, 0.5]]),
    "an accuracy of 2": runs(history=[[0, 1.0, 1.0, 2, 0.5]]),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_texts_that_are_no_experiment(name, tmp_path):
    path = tmp_path / "given.fastdrop"
    np.savez(path, experiment=EXPERIMENTS[name])
    os.rename(tmp_path / "given.fastdrop.npz", path)
    with pytest.raises(ConfigError, match=r"given\.fastdrop: ") as error:
        load_experiment(path)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("entry", ["../x", "main", "main/", "third/history", "/etc/x", "main/../x"])
def test_arrays_that_no_experiment_has(entry, tmp_path, trained):
    state = {f"main/{key}": value for key, value in trained.state().items()}
    write_arrays(tmp_path / "given.fastdrop", {"experiment": text_of(HEADER), **state, entry: np.zeros(3)})
    with pytest.raises((ConfigError, CheckpointError)):
        Trainer(CONFIG, trained.dataset).restore(load_experiment(tmp_path / "given.fastdrop").states["main"])


# -- states


def numbers(**changes):
    def change(state):
        found = json.loads(str(state["numbers"]))
        for name, value in changes.items():
            found[name] = value(found[name]) if callable(value) else value
        return {**state, "numbers": np.array(json.dumps(found))}

    return change


def array(name, value):
    return lambda state: {**state, name: value(state[name])}


def stream(**changes):
    return numbers(streams=lambda streams: [{**streams[0], **changes}, *streams[1:]])


def order_rng(**changes):
    return numbers(order_rng=lambda state: {**state, "state": {**state["state"], **changes}})


def set_to(value, *place):
    def change(values):
        values = values.copy()
        values[place] = value
        return values

    return change


WEIGHT, SQUARE = "weight 0.weight", "optimizer square 0"
STATES = {
    "a weight of another shape": array(WEIGHT, lambda value: value.T),
    "a weight of double precision": array(WEIGHT, lambda value: value.astype("f8")),
    "a weight of text": array(WEIGHT, lambda value: value.astype("U8")),
    "a weight of objects": array(WEIGHT, lambda value: value.astype(object)),
    "a weight that is a list": array(WEIGHT, lambda value: value.tolist()),
    "a weight that is None": array(WEIGHT, lambda value: None),
    "a negative square": array(SQUARE, lambda value: value - 1),
    "a negative variance": array("buffer 2 running_var", lambda value: value - 9),
    "another array": lambda state: {**state, "weight 99.weight": np.zeros(3, "f4")},
    "no order": lambda state: {name: value for name, value in state.items() if name != "order"},
    "an order of floats": array("order", lambda value: value.astype(float)),
    "an order of two axes": array("order", lambda value: value[None]),
    "a short order": array("order", lambda value: value[:-1]),
    "an order with a repeated index": array("order", set_to(0, slice(2))),
    "an order above the range": array("order", set_to(10**6, 0)),
    "an order below the range": array("order", set_to(-1, 0)),
    "no newest rows": array("newest_rows", lambda value: value[:0]),
    "too many newest rows": array("newest_rows", lambda value: np.tile(value, 9)),
    "newest rows of NaN": array("newest_rows", lambda value: np.full(3, math.nan)),
    "a history of one axis": array("history", lambda value: value[0]),
    "a history without rows": array("history", lambda value: value[:0]),
    "a history of four columns": array("history", lambda value: value[:, :4]),
    "a history of text": array("history", lambda value: value.astype("U8")),
    "a history of integers": array("history", lambda value: value.astype(int)),
    "a history that is shorter": array("history", lambda value: value[:-1]),
    "a history that is longer": array("history", lambda value: np.concatenate([value, value])),
    "a history with a wrong epoch": array("history", set_to(7, 0, 0)),
    "a history of infinite epochs": array("history", set_to(math.inf, 0, 0)),
    "a history of no accuracy": array("history", set_to(math.nan, 0, 3)),
    "numbers that are no text": array("numbers", lambda value: np.zeros(3)),
    "numbers that are bytes": array("numbers", lambda value: np.array(b"{}")),
    "numbers that are no JSON": array("numbers", lambda value: np.array("{")),
    "numbers that are deeply nested": array("numbers", lambda value: np.array("[" * 100_000)),
    "numbers that are a list": array("numbers", lambda value: np.array("[]")),
    "another number": numbers(more=3),
    "a negative step": numbers(step_count=-1),
    "a step that is half": numbers(step_count=0.5),
    "a step that is true": numbers(step_count=True),
    "a step that is text": numbers(step_count="5"),
    "a step of 10**400": numbers(step_count=10**400),
    "another step": numbers(step_count=lambda steps: steps + 1),
    "a later epoch": numbers(step_count=lambda steps: steps + 100),
    "rates that are None": numbers(rates=None),
    "rates beyond": numbers(rates=[0.5, 1.5]),
    "rates of NaN": numbers(rates=[0.5, math.nan]),
    "rates of text": numbers(rates=["0.5", "0.5"]),
    "one rate": numbers(rates=[0.5]),
    "a negative learning rate": numbers(learning_rate=-1.0),
    "an infinite learning rate": numbers(learning_rate=math.inf),
    "a learning rate of 10**400": numbers(learning_rate=10**400),
    "no streams": numbers(streams=[]),
    "streams that are a list": numbers(streams=[1, 2]),
    "a stream of another key": stream(key=1),
    "a stream of a negative key": stream(key=-1),
    "a stream of a later rule": stream(rule_version=99),
    "a stream that is nearly used up": stream(calls=2**64 - 1),
    "a stream before its newest batch": stream(calls=0),
    "a stream with more": stream(more=0),
    "newest calls that are a number": numbers(newest_calls=3),
    "negative newest calls": numbers(newest_calls=[-1, -1]),
    "one newest call": numbers(newest_calls=[1]),
    "no generator": numbers(order_rng=None),
    "another generator": numbers(order_rng=np.random.MT19937(0).state | {"state": {"key": [], "pos": 0}}),
    "a generator of text": order_rng(state="1"),
    "a generator of 2**200": order_rng(state=2**200),
    "a generator of -1": order_rng(state=-1),
    "a generator with an even increment": order_rng(inc=2),
    "losses that are a dict": numbers(epoch_losses={}),
    "losses of NaN": numbers(epoch_losses=lambda losses: [math.nan] * len(losses)),
    "losses of 10**400": numbers(epoch_losses=lambda losses: [10**400] * len(losses)),
    "losses of another epoch": numbers(epoch_losses=[]),
}


@pytest.mark.parametrize("name", STATES)
def test_a_refused_state_leaves_the_trainer_unchanged(name, trained):
    trainer = Trainer(CONFIG, trained.dataset)
    trainer.step()
    before = trainer.state()
    with pytest.raises(CheckpointError, match="this state does not belong to this configuration: ") as error:
        trainer.restore(STATES[name](trained.state()))
    assert len(str(error.value)) < 600
    assert same(before, trainer.state())
    reference = Trainer(CONFIG, trained.dataset)
    for _ in range(4):
        reference.step()
    for _ in range(3):
        trainer.step()
    assert same(reference.state(), trainer.state())


@pytest.mark.parametrize("name", [name for name in STATES if "number" in name or "stream" in name or "history" in name])
def test_a_refused_state_is_an_error_of_its_file(name, trained, tmp_path):
    state = STATES[name](trained.state())
    save_experiment(tmp_path / "given.fastdrop", Experiment(CONFIG, {"main": state}))
    with pytest.raises((ConfigError, CheckpointError)):
        Trainer(CONFIG, trained.dataset).restore(load_experiment(tmp_path / "given.fastdrop").states["main"])


def test_states_of_trainers_are_accepted(trained):
    for steps in (0, 1, 4, 7):
        trainer = Trainer(CONFIG.replace(epochs=1), trained.dataset)
        for _ in range(steps):
            trainer.step()  # also beyond the last epoch
        found = trainer.state()
        found[WEIGHT] = found[WEIGHT].astype(">f4")  # as on a big-endian machine
        again = Trainer(CONFIG.replace(epochs=1), trained.dataset)
        again.restore(found)
        assert same(trainer.state(), again.state())


def test_a_diverged_experiment_can_be_restored(trained):
    state = trained.state()
    state[WEIGHT] = np.full_like(state[WEIGHT], math.nan)
    state["history"][:, 1:3] = math.nan
    trainer = Trainer(CONFIG, trained.dataset)
    trainer.restore(state)
    assert math.isnan(trainer.history[0].train_loss)


def test_a_run_that_diverged_is_kept(tmp_path):
    history = tuple(Trainer(CONFIG).history)
    kept = Run("kept", CONFIG, (history[0].__class__(0, math.inf, math.nan, 0.5, 0.5),))
    save_experiment(tmp_path / "run.fastdrop", Experiment(CONFIG, runs=(kept,)))
    assert math.isnan(load_experiment(tmp_path / "run.fastdrop").runs[0].history[0].test_loss)
