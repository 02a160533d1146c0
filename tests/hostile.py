"""Hostile files: valid ones of each format, mutated with a seed, and what may come of reading them.

`python tests/hostile.py COUNT SEED [FORMAT ...]` reads COUNT files of each format, in a child with little memory, and
tells what came of them.
"""

import collections
import json
import multiprocessing
import random
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from mutations import LITERALS, json_text, npy, of_archive, of_bytes, of_text

from fastdrop.experiments import (
    ConfigError,
    DataError,
    Experiment,
    ExperimentConfig,
    Run,
    StateError,
    Trainer,
    TrainingDiverged,
    load_dataset,
    load_experiment,
    save_experiment,
)
from fastdrop.experiments.tables import preview_table, read_table

LONGEST_MESSAGE = 2000
CONFIG = ExperimentConfig(dataset="moons", hidden=(6, 4), epochs=3, batch_norm=True, train_share=0.1)


class Format:
    """Makes a mutated file, and reads it; `refused` are the errors that this may end with."""

    refused = ()

    def __init__(self, folder):
        self.folder = folder
        self.prepare()

    def prepare(self):
        pass

    def mutated(self, rng):
        """The path or text to read."""
        raise NotImplementedError

    def read(self, what):
        """Read and use it; raises `refused`, or AssertionError where what was accepted does not work."""
        raise NotImplementedError

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path


def check_config(config):
    assert ExperimentConfig.from_text(config.to_text()) == config
    assert ExperimentConfig.from_line(config.to_line()) == config


def same(one, other):
    return one.keys() == other.keys() and all(one[key].tobytes() == other[key].tobytes() for key in one)


class ExperimentFile(Format):
    refused = (ConfigError, StateError)

    def prepare(self):
        trainer = Trainer(CONFIG)
        for _ in range(5):
            trainer.step()
        path = self.folder / "valid.fastdrop"
        kept = (Run("kept", CONFIG, tuple(trainer.history)),)
        save_experiment(path, Experiment(CONFIG, {"main": trainer.state()}, kept))
        with zipfile.ZipFile(path) as file:
            self.members = {name: file.read(name) for name in file.namelist()}
        self.content = path.read_bytes()
        self.trainer = Trainer(CONFIG, trainer.dataset)

    def mutated(self, rng):
        if rng.random() < 0.2:
            return self.write("a.fastdrop", of_bytes(rng, self.content))
        member = rng.choice(["main/numbers.npy", "experiment.npy"])
        return self.write("a.fastdrop", of_archive(rng, self.members, member))

    def read(self, what):
        found = load_experiment(what)
        check_config(found.config)
        assert found.steps >= 0
        assert len(found.history) >= ("main" in found.states)
        if found.states and found.config == CONFIG:
            trainer = Trainer(CONFIG, self.trainer.dataset)
            before = trainer.state()
            try:
                trainer.restore(found.states.get("main", {}))
            except StateError:
                assert same(before, trainer.state()), "a refused state has changed the trainer"
                raise
            with suppress(TrainingDiverged):
                trainer.step()
            trainer.snapshot()


class TableFile(Format):
    refused = (DataError,)

    def prepare(self):
        rng = np.random.default_rng(0)
        self.members = {}
        for name, array in {"x": rng.random((12, 3)), "y": np.array(["a", "bc"] * 6), "z": np.arange(3)}.items():
            self.members[f"{name}.npy"] = npy(array)
        self.members_of_numbers = {**self.members, "y.npy": npy(np.arange(12) % 2)}

    def mutated(self, rng):
        members = rng.choice([self.members, self.members_of_numbers])
        return self.write("a.npz", of_archive(rng, members))

    def read(self, what):
        refusals = []
        for use in (preview_table, read_table, lambda path: load_dataset("file", data_file=str(path), train_share=0.5)):
            try:
                use(what)
            except DataError as error:
                refusals.append(error)
        if refusals:
            raise refusals[-1]


class CsvFile(TableFile):
    def prepare(self):
        self.text = "a,b,kind\n" + "".join(f"{row},{row / 7},{'xy'[row % 2]}\n" for row in range(12))

    def mutated(self, rng):
        content = of_text(rng, self.text).encode("utf-8", "surrogatepass")
        return self.write("a.csv", of_bytes(rng, content) if rng.random() < 0.5 else content)


class Toml(Format):
    refused = (ConfigError,)

    def prepare(self):
        self.texts = [
            CONFIG.to_text(),
            CONFIG.replace(layer_dropout=("alpha", "none"), layer_rates=(0.1, 0.5)).to_text(),
        ]

    def mutated(self, rng):
        lines = rng.choice(self.texts).splitlines()
        place = rng.randrange(len(lines))
        if "=" in lines[place] and rng.random() < 0.6:
            lines[place] = f"{lines[place].partition('=')[0]}= {rng.choice(LITERALS)}"
            text = "\n".join(lines)
        else:
            text = of_text(rng, "\n".join(lines))
        content = text.encode("utf-8", "surrogatepass")
        return self.write("a.toml", of_bytes(rng, content) if rng.random() < 0.2 else content)

    def read(self, what):
        check_config(ExperimentConfig.load(what))


class ShareCode(Format):
    refused = (ConfigError,)

    def prepare(self):
        self.line = ExperimentConfig(
            dataset="file", data_file="/data/my & own.csv", label="a=b", hidden=(8, 8), rate=0.1, learning_rate=1e-5,
            layer_dropout=("alpha", "none"), batch_norm=True, seed=2**63 - 1,
        ).to_line()  # fmt: skip

    def mutated(self, rng):
        head, _, rest = self.line.partition("?")
        parts = rest.split("&")
        place = rng.randrange(len(parts))
        if rng.random() < 0.5:
            hostile = [
                *LITERALS,
                "%00",
                "%",
                "%zz",
                "%ED%A0%80",
                "%FF",
                "1_0",
                "\u0661\u0662",
                "+5",
                " 5",
                "1e5",
                "%31",
            ]
            parts[place] = f"{parts[place].partition('=')[0]}={rng.choice(hostile)}"
            return f"{head}?{'&'.join(parts)}"
        return of_text(rng, self.line)

    def read(self, what):
        check_config(ExperimentConfig.from_line(what))


class BenchFile(Format):
    refused = (ValueError,)

    def prepare(self):
        whole = json.loads((Path(__file__).parents[1] / "docs" / "benchmarks" / "cpu-zen5.json").read_text())
        self.document = {**whole, "results": whole["results"][:2], "promises": []}
        self.other = self.write("other.json", json.dumps(self.document).encode())

    def mutated(self, rng):
        content = json_text(rng, self.document).encode("utf-8", "surrogatepass")
        return self.write("a.json", of_bytes(rng, content) if rng.random() < 0.1 else content)

    def read(self, what):
        from fastdrop.bench import compare, report
        from fastdrop_gui import benchmark_figures
        from fastdrop_gui.benchmark_figures import Row

        first = report.load(what)  # what follows is use of what was accepted, which must not fail
        try:
            second = report.load(self.other)
            for one, two in ((first, second), (second, first)):
                changes = {change.case.key: change for change in compare.compare(one, two)}
                assert "\ud800" not in str(compare.differences(one, two))
                rows = [Row(result.case, result, None, changes.get(result.case.key)) for result in two.results]
                [benchmark_figures.cells(row) for row in rows]
                benchmark_figures.figures(rows)
                [benchmark_figures.lines(two.results, name) for name in benchmark_figures.operations(two.results)]
        except Exception as error:
            raise AssertionError("accepted, and of no use") from error


FORMATS = {
    "experiment": ExperimentFile,
    "npz": TableFile,
    "csv": CsvFile,
    "toml": Toml,
    "line": ShareCode,
    "bench": BenchFile,
}


def fuzz(name, folder, count, seed=0):
    """Read `count` files; a Counter of the outcomes. What is not allowed is raised, with the number that made it."""
    what = FORMATS[name](Path(folder))
    found = collections.Counter()
    for number in range(count):
        mutated = what.mutated(random.Random(f"{name} {seed} {number}"))
        try:
            what.read(mutated)
        except what.refused as error:
            found[type(error).__name__] += 1
            if len(str(error)) > LONGEST_MESSAGE:
                raise AssertionError(f"{name} {number}: a message of {len(str(error))} characters") from None
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}, number {number}: {type(error).__name__}: {error}") from error
        else:
            found["accepted"] += 1
    return found


def _in_child(name, count, seed):
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        tracemalloc.start()
        begin = time.perf_counter()
        found = fuzz(name, folder, count, seed)
        peak = tracemalloc.get_traced_memory()[1]
        print(f"{name}: {dict(found)}, {time.perf_counter() - begin:.0f} s, peak {peak / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    for each in sys.argv[3:] or FORMATS:
        child = multiprocessing.get_context("spawn").Process(
            target=_in_child, args=(each, int(sys.argv[1]), int(sys.argv[2]))
        )
        child.start()
        child.join()
        if child.exitcode:
            print(f"{each}: exit status {child.exitcode}")
