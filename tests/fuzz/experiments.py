"""Readers of experiment files and of trainers' states."""

import io
import json
from contextlib import suppress

import numpy as np

from fastdrop.experiments import (
    CheckpointError,
    ConfigError,
    Experiment,
    Run,
    Trainer,
    TrainingDiverged,
    load_experiment,
    save_experiment,
)
from fuzz.configs import CONFIG, CONFIGS, check_config
from fuzz.mutations import archive, members_of, npy, of_archive, of_array, of_json, plain_array
from fuzz.readers import Finding, NoInput, Reader


def same(one, other):
    """Whether two states are equal, each array bit for bit."""
    return one.keys() == other.keys() and all(
        (one[key].shape, one[key].dtype) == (other[key].shape, other[key].dtype)
        and one[key].tobytes() == other[key].tobytes()
        for key in one
    )


class Restorer:
    """A trainer that restores states of `CONFIG`: a refused one must not change it, an accepted one is its state."""

    def __init__(self, steps=5):
        self.trainer = Trainer(CONFIG)
        for _ in range(steps):
            self.trainer.step()
        self.before = self.trainer.state()

    def restore(self, state):
        """Raises CheckpointError."""
        try:
            self.trainer.restore(state)
        except CheckpointError:
            if not same(self.before, self.trainer.state()):
                raise Finding("a refused state has changed the trainer") from None
            raise

    def use(self, state):
        """Train on with an accepted state."""
        now = self.trainer.state()
        assert now.keys() == state.keys()
        for name in now.keys() - {"numbers"}:
            expected = state[name].astype(now[name].dtype)
            assert np.can_cast(state[name].dtype, now[name].dtype, "equiv") or state[name].dtype.kind == "i", name
            assert expected.shape == now[name].shape, name
            assert expected.tobytes() == now[name].tobytes(), name
        theirs, ours = json.loads(str(state["numbers"])), json.loads(str(now["numbers"]))
        assert theirs == ours
        with suppress(TrainingDiverged):
            self.trainer.step()
        self.trainer.snapshot()
        self.trainer.restore(self.before)
        assert same(self.before, self.trainer.state())


class ExperimentFile(Reader):
    refused = (ConfigError,)
    suffix = ".fastdrop"
    weight = 0.15
    mutate = staticmethod(of_archive)

    def prepare(self):
        self.restorer = Restorer()

    def seeds(self):
        trainer = self.restorer.trainer
        path = self.folder / "valid.fastdrop"
        found = []
        kept = (Run("kept", CONFIG, tuple(trainer.history)),)
        states = {"main": trainer.state(), "baseline": Trainer(CONFIG.without_dropout(), trainer.dataset).state()}
        for experiment in (
            Experiment(CONFIG, {"main": states["main"]}, kept),
            Experiment(CONFIG, states),
            *(Experiment(config) for config in CONFIGS[2:4]),
        ):
            save_experiment(path, experiment)
            found.append(path.read_bytes())
        return found

    def read(self, given):
        return load_experiment(given)

    def use(self, found):
        check_config(found.config)
        for run in found.runs:
            check_config(run.config)
        assert found.steps >= 0
        assert len(found.history) >= ("main" in found.states)
        path = self.folder / "again.fastdrop"
        save_experiment(path, found)
        again = load_experiment(path)
        assert (again.config, repr(again.runs)) == (found.config, repr(found.runs))
        assert again.states.keys() == found.states.keys()
        assert all(same(again.states[name], found.states[name]) for name in found.states)
        if "main" in found.states and found.config == CONFIG:
            with suppress(CheckpointError):
                self.restorer.restore(found.states["main"])
                self.restorer.use(found.states["main"])


class State(Reader):
    """The arrays of a trainer's state as NumPy reads them, without the checks of the file's reader."""

    refused = (CheckpointError,)
    weight = 0.15

    def prepare(self):
        self.restorer = Restorer()

    def seeds(self):
        found = []
        for steps in (0, 1, 4):
            state = Restorer(steps).before
            found.append(archive([(f"{name}.npy", npy(array), 0) for name, array in state.items()]))
        return found

    def mutate(self, rng, content):
        members = {name: plain_array(member) for name, member in members_of(content).items()}
        members = {name: array for name, array in members.items() if array is not None}
        name = "numbers.npy" if rng.random() < 0.5 and "numbers.npy" in members else rng.choice(list(members))
        if name == "numbers.npy" and rng.random() < 0.8:
            numbers = of_json(rng, json.loads(str(members[name])))
            members[name] = np.array(json.dumps(numbers))
        elif rng.random() < 0.1:
            del members[name]
        elif rng.random() < 0.1:
            members[rng.choice(["more", "weight 99.weight", "optimizer square 99"]) + ".npy"] = members[name]
        else:
            members[name] = of_array(rng, members[name])
        return archive([(name, npy(array), 8) for name, array in members.items()])

    def read(self, given):
        try:
            with np.load(io.BytesIO(given), allow_pickle=False) as file:
                state = {name: file[name] for name in file}
        except Exception:
            raise NoInput from None
        self.restorer.restore(state)
        return state

    def use(self, found):
        self.restorer.use(found)


READERS = {"experiment": ExperimentFile, "state": State}
