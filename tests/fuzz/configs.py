"""Readers of configurations: TOML, share codes, and a sweep's values and plan."""

import dataclasses
import json

from fastdrop.experiments import ConfigError, ExperimentConfig, Sweep, load_experiment
from fastdrop.experiments.sweeps.parameters import PARAMETERS, values_from
from fuzz.mutations import as_text, encoded, of_cells, of_line, of_toml
from fuzz.readers import Reader

CONFIG = ExperimentConfig(dataset="moons", hidden=(6, 4), epochs=3, batch_norm=True, train_fraction=0.1)
CONFIGS = [
    CONFIG,
    CONFIG.replace(layer_dropout=("alpha", "none"), layer_rates=(0.1, 0.5)),
    ExperimentConfig(
        dataset="file", data_file="/data/my & own.csv", target="a=b", hidden=(8, 8), rate=0.1, learning_rate=1e-5,
        layer_dropout=("alpha", "none"), batch_norm=True, seed=2**63 - 1,
    ),
    ExperimentConfig(dataset="digits", network="cnn", hidden=(4, 4, 8), dropout="dropblock", optimizer="sgd"),
    ExperimentConfig(dataset="digits", network="attention", hidden=(8, 8, 8), dropout="path", backend="cuda"),
    ExperimentConfig(dataset="reviews", network="text", hidden=(8, 8), dropout="embedding", dropout_layers="first"),
    ExperimentConfig(dataset="digits", network="lstm", hidden=(8,), dropout="zoneout", dropout_schedule="curriculum"),
]  # fmt: skip
"""One of each network; no field is left out."""


def check_config(config):
    """A configuration is restored from each of its texts, and its methods work."""
    assert ExperimentConfig.from_toml(config.to_toml()) == config
    assert ExperimentConfig.from_share_code(config.to_share_code()) == config
    assert len(config.kinds) == len(config.rates) == len(config.hidden)
    assert all(0.0 <= rate <= 1.0 for rate in config.rates)
    assert isinstance(config.drops, bool)
    assert all(isinstance(text, str) for text in config.warnings)
    for field in dataclasses.fields(config):
        if isinstance(field.type, type):
            assert type(getattr(config, field.name)) is field.type, field.name
    config.without_dropout()


class Toml(Reader):
    refused = (ConfigError,)
    suffix = ".toml"
    mutate = staticmethod(as_text(of_toml))

    def seeds(self):
        return [config.to_toml().encode() for config in CONFIGS]

    def read(self, given):
        return ExperimentConfig.load(given), load_experiment(given).config

    def use(self, found):
        assert found[0] == found[1]
        check_config(found[0])


class Line(Reader):
    refused = (ConfigError,)
    mutate = staticmethod(as_text(of_line))

    def seeds(self):
        return [config.to_share_code().encode() for config in CONFIGS]

    def read(self, given):
        return ExperimentConfig.from_share_code(given.decode("utf-8", "surrogateescape"))

    def use(self, found):
        check_config(found)


class SweepPlan(Reader):
    """A parameter, its values and the seeds, one per line, as in the command line and the app."""

    refused = (ConfigError,)

    def seeds(self):
        return [encoded(f"{name}\n{each.example}\n0 7") for name, each in PARAMETERS.items()]

    def mutate(self, rng, content):
        extra = [b"0:0.9:0.1", b"8:256:x2", b"1e20", b"0:1e20:1e-20", b"1:2:x1.0000001", b"nan", b":", b"::", b"1e400",
                 b"sNaN", b"9" * 5000, b"1e-5000", b"x", b"1:0:-.1", b"-0", b"Infinity"]  # fmt: skip
        if rng.random() < 0.3:
            lines = content.split(b"\n")
            lines[min(1, len(lines) - 1)] = rng.choice(extra)
            return b"\n".join(lines)
        return as_text(of_cells)(rng, content)

    def read(self, given):
        parameter, _, rest = given.decode("utf-8", "surrogateescape").partition("\n")
        values, _, seeds = rest.partition("\n")
        seeds = [int(seed) if seed.isdecimal() and len(seed) < 30 else seed for seed in seeds.split()]
        return Sweep(CONFIG, parameter, values_from(values, parameter), seeds)

    def use(self, found):
        runs = list(found.runs())
        assert len(runs) == found.count <= 5000
        assert len({(run.value, run.seed) for run in runs}) == found.count
        assert json.loads(json.dumps(found.identity)) == found.identity
        assert isinstance(found.note, str)
        named = [found.name_of(value) for value in found.values]
        if PARAMETERS[found.parameter].choices:
            assert values_from(", ".join(named), found.parameter) == found.values
        else:
            assert values_from(", ".join(map(repr, found.values)), found.parameter) == found.values
        for run in {run.value: run for run in runs}.values():
            check_config(run.config)


READERS = {"toml": Toml, "line": Line, "sweep-plan": SweepPlan}
