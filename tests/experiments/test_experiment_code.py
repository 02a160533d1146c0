"""A configuration's Python script trains the same network as the trainer, bit for bit."""

import contextlib
import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn
from fastdrop.experiments import ConfigError, ExperimentConfig, Trainer
from fastdrop.experiments.choices import FITTING
from fastdrop.experiments.script import to_python

pytestmark = pytest.mark.slow

SMALL = ExperimentConfig(dataset="digits", train_fraction=0.1, hidden=(16, 8), rate=0.4, epochs=2, seed=3, split_seed=5)
CNN = SMALL.replace(network="cnn", hidden=(4, 8, 16))
LSTM = SMALL.replace(network="lstm", hidden=(12, 8))
ATTENTION = SMALL.replace(network="attention", hidden=(16, 16, 16))
TEXT = SMALL.replace(dataset="reviews", noise=0.1, network="text", hidden=(8, 16, 8), batch_size=64)
NETWORKS = {"mlp": SMALL, "cnn": CNN, "lstm": LSTM, "attention": ATTENTION, "text": TEXT}
MIXED = {"layer_dropout": ("gaussian", "none", "dropconnect"), "layer_rates": (0.2, 0.3, 0.6)}
CONFIGS = {
    **{f"{name}, {kind}": NETWORKS[name].replace(dropout=kind) for name, kinds in FITTING.items() for kind in kinds},
    "first layer": SMALL.replace(dropout_layers="first"),
    "last layer": LSTM.replace(dropout_layers="last"),
    "rates per layer": SMALL.replace(hidden=(16, 8, 8), **MIXED),
    "rates per layer, growing": SMALL.replace(hidden=(16, 8, 8), dropout_schedule="cosine", **MIXED),
    "nothing at rate 0": LSTM.replace(dropout="zoneout", rate=0.0),
    "everything": SMALL.replace(rate=1.0),
    "batch norm": SMALL.replace(batch_norm=True, dropout_layers="last", activation="tanh"),
    "batch norm, convolutions": CNN.replace(batch_norm=True, activation="gelu", dropout="dropblock"),
    "batch norm, text": TEXT.replace(batch_norm=True, activation="sigmoid", dropout="embedding"),
    "selu": SMALL.replace(activation="selu", dropout="alpha"),
    "sgd": SMALL.replace(optimizer="sgd", learning_rate=0.05, weight_decay=0.01),
    "sgd, momentum": CNN.replace(optimizer="sgd", learning_rate=0.05, momentum=0.5),
    "adamw": SMALL.replace(weight_decay=0.1, learning_rate=0.01),
    "linear rate": SMALL.replace(dropout_schedule="linear"),
    "cosine rate": ATTENTION.replace(dropout_schedule="cosine", dropout="path"),
    "curriculum": LSTM.replace(dropout_schedule="curriculum", dropout="zoneout"),
    "linear learning rate": SMALL.replace(learning_rate_schedule="linear"),
    "both schedules": TEXT.replace(learning_rate_schedule="cosine", dropout_schedule="linear", dropout="embedding"),
    "no schedule without dropout": SMALL.replace(dropout_schedule="linear", dropout="none"),
    "one step": ExperimentConfig(
        dataset="xor", hidden=(4,), batch_size=600, epochs=1, dropout_schedule="linear", learning_rate_schedule="cosine"
    ),
    "a last batch of one": ExperimentConfig(dataset="wine", hidden=(8,), batch_size=47, epochs=2, noise=0.7),
}


def names_of(text):
    """The script's variables after it ran, and its output."""
    names, printed = {}, io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore", nn.VarianceShiftWarning)
        exec(compile(text, "script.py", "exec"), names)
    return names, printed.getvalue()


def trained(config):
    trainer = Trainer(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in trainer.run():
            pass
    return trainer


@pytest.mark.parametrize("name", CONFIGS)
def test_script_trains_bit_for_bit_as_the_trainer(name):
    config = CONFIGS[name]
    trainer = trained(config)
    script, printed = names_of(to_python(config))
    last = trainer.history[-1]
    assert script["train_loss"] == last.train_loss
    assert script["test_loss"] == last.test_loss
    assert script["train_accuracy"] == last.train_accuracy
    assert script["test_accuracy"] == last.test_accuracy
    weights = {key: parameter.value for key, parameter in script["model"].parameters()}
    assert weights.keys() == trainer.weights().keys()
    for key, weight in trainer.weights().items():
        np.testing.assert_array_equal(weights[key], weight)
    assert f"epoch {config.epochs}: train loss {last.train_loss:.4f}" in printed
    assert printed.splitlines()[-1] == (
        f"train accuracy {last.train_accuracy:.4f}, test accuracy {last.test_accuracy:.4f}"
    )


def test_script_runs_by_itself(tmp_path):
    config = SMALL.replace(seed=2**63 - 1)
    path = tmp_path / "network.py"
    path.write_text(to_python(config), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    first, second, end = ran.stdout.splitlines()
    record = trained(config).history[-1]
    assert second == f"epoch 2: train loss {record.train_loss:.4f}, test loss {record.test_loss:.4f}"
    assert first.startswith("epoch 1: ")
    assert end.startswith("train accuracy ")


def test_reads_the_users_file(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    path = tmp_path / "it's a table.csv"
    lines = [f"{a},{b},{'yes' if a + c > 0 else 'no'},{c}" for a, b, c in rows]
    path.write_text("\n".join(["a,b,kind,c", *lines]), encoding="utf-8")
    config = ExperimentConfig(dataset="file", data_file=str(path), target="kind", hidden=(8,), epochs=2)
    script, _ = names_of(to_python(config))
    assert script["test_loss"] == trained(config).history[-1].test_loss


def test_defaults_are_left_out():
    text = to_python(ExperimentConfig(dropout="none"))
    assert 'data = load_dataset("digits")\n' in text
    for word in ("schedules", "momentum", "weight_decay", "masks", "fd", "step =", "cupy"):
        assert word not in text
    assert "falling" not in to_python(SMALL)
    assert "growing" not in to_python(SMALL.replace(dropout="none", dropout_schedule="linear"))
    assert "masks" not in to_python(LSTM.replace(dropout="none"))


def test_only_public_names():
    text = to_python(ATTENTION.replace(dropout_schedule="linear", learning_rate_schedule="linear"))
    imports = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert imports == [
        "import fastdrop as fd",
        "import numpy as np",
        "from fastdrop import nn",
        "from fastdrop.experiments import load_dataset",
    ]
    used = {part.split("(")[0].split(".")[0] for part in text.replace("=nn.", " nn.").split("nn.")[1:]}
    assert {name for name in used if name.isidentifier()} <= set(nn.__all__)


def test_a_network_that_cannot_read_the_data_is_refused():
    with pytest.raises(ConfigError, match="needs images"):
        to_python(CNN.replace(dataset="wine", train_fraction=0.8))


def test_a_loaded_data_set_is_not_loaded_again(monkeypatch):
    dataset = SMALL.load_dataset()
    monkeypatch.setattr(ExperimentConfig, "load_dataset", lambda config: pytest.fail("loaded"))
    assert "nn.Linear(64, 16, rng=rng)" in to_python(SMALL, dataset)


LONG = {
    "long numbers": ATTENTION.replace(
        layer_dropout=("none", "path", "standard"), rate=0.12345678901234567, dropout_schedule="linear", seed=2**63 - 1
    ),
    "long optimiser": SMALL.replace(
        optimizer="sgd",
        learning_rate=0.012345678901234568,
        momentum=0.5123456789012345,
        weight_decay=1.2345678901234567e-05,
    ),
    "long layers": ATTENTION.replace(hidden=(1000, 1000, 1000), dropout="path", rate=1.2345678901234567e-05),
    "cuda": SMALL.replace(backend="cuda"),
}


@pytest.mark.parametrize(
    "name", [*LONG, "cnn, dropblock", "text, embedding", "both schedules", "one step", "batch norm"]
)
def test_is_formatted_as_ruff_does(name, tmp_path):
    pytest.importorskip("ruff")
    config = LONG.get(name) or CONFIGS[name]
    path = tmp_path / "network.py"
    path.write_text(to_python(config), encoding="utf-8")
    tool = [sys.executable, "-m", "ruff"]
    how = ["--isolated", "--no-cache", "--line-length", "100", str(path)]
    checked = subprocess.run(
        [*tool, "check", "--select", "E,F,I,W,UP", *how], capture_output=True, text=True, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stdout
    formatted = subprocess.run([*tool, "format", "--diff", *how], capture_output=True, text=True, cwd=tmp_path)
    assert formatted.returncode == 0, formatted.stdout


def test_a_long_path_is_put_on_separate_lines(tmp_path):
    table = tmp_path / ("a-long-name" * 8 + ".csv")
    rows = "\n".join(f"{place / 10},{place % 3},{'ab'[place % 2]}" for place in range(40))
    table.write_text(f"x,y,kind\n{rows}\n", encoding="utf-8")
    text = to_python(ExperimentConfig(dataset="file", data_file=str(table), target="kind", hidden=(4,)))
    assert f'data = load_dataset(\n    "file",\n    data_file="{table}",\n    target="kind",\n)\n' in text


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_on_a_gpu(gpu, network):
    config = NETWORKS[network].replace(backend="cuda", dropout_schedule="linear", epochs=1)
    script, _ = names_of(to_python(config))
    assert type(script["x_train"]) is not np.ndarray
    assert type(script["model"].layers[-1].weight.value) is not np.ndarray
    trainer = trained(config)
    assert script["test_loss"] == pytest.approx(trainer.history[-1].test_loss, rel=1e-3)
    assert isinstance(script["masks"][0], fd.Stream)
