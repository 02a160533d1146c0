"""The command line, run as its users do."""

import os
import subprocess
import sys

import pytest

from fastdrop import system
from fastdrop.cli import main as cli
from fastdrop.experiments import ExperimentConfig

QUICK = ["train", "--dataset", "wine", "--hidden", "16", "--epochs", "3"]


def test_train_prints_both_accuracies(capsys):
    assert cli.main(QUICK) == 0
    printed = capsys.readouterr().out
    for words in (
        "142 examples to train",
        "standard, p = 0.5",
        "without dropout",
        "train accuracy",
        "test accuracy",
        "%",
    ):
        assert words in printed


def test_train_saves_configuration_and_figure(tmp_path, capsys):
    figure, config = tmp_path / "curves.png", tmp_path / "run.toml"
    assert cli.main([*QUICK, "--figure", str(figure), "--save-config", str(config), "--no-comparison"]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert ExperimentConfig.load(config) == ExperimentConfig(dataset="wine", hidden=(16,), epochs=3)
    assert cli.main(["train", "--config", str(config), "--epochs", "1"]) == 0
    assert "without dropout" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--rate", "1.5"], "rate is from 0.0 to 1.0; got 1.5"),
        (["train", "--data", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["train", "--config", "nowhere.toml"], "nowhere.toml"),
        (["train", "--figure", "curves.xyz"], ".png"),
        (["train", "--figure", "/nowhere/curves.png"], "/nowhere"),
        (["train", "--threads", "0"], "threads"),
        (["bench", "--threads", "0"], "threads"),
        (["bench", "--only", "nothing"], "--only names one of: dropout; dropout backward;"),
        (["bench", "--save", "/nowhere/bench.json"], "/nowhere"),
        (["bench", "--save", "figures.txt"], ".json"),
        (["bench", "--plot", "/nowhere/bench.png"], "/nowhere"),
        (["bench", "compare", "nowhere.json", "nowhere.json"], "nowhere.json: cannot be read"),
        (["train", "--save-config", "/nowhere/run.toml"], "/nowhere/run.toml: there is no folder"),
        (["train", "--save-config", "/tmp"], "/tmp: this is a folder"),
    ],
)
def test_errors_are_one_line(arguments, words, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("fastdrop: ")
    assert "Traceback" not in error


def test_divergence_is_told(capsys):
    assert cli.main([*QUICK, "--optimizer", "sgd", "--learning-rate", "100", "--epochs", "100"]) == 1
    assert "learning rate" in capsys.readouterr().out


HELP = [["--help"], *([name, "--help"] for name in ("train", "gui", "bench", "doctor")), ["bench", "compare", "--help"]]


@pytest.mark.parametrize("arguments", HELP)
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 0
    assert "usage: fastdrop" in capsys.readouterr().out


def test_doctor_names_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(system, "missing_for_gui", lambda: [system.Need("libxyz.so.1", "libxyz1", "xyz")])
    monkeypatch.setattr(system.shutil, "which", lambda name, **_: "/usr/bin/" + name)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "instruction set" in printed
    assert "libxyz.so.1" in printed
    assert "apt-get install -y --no-install-recommends libxyz1" in printed


def test_native_checks_name_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(system.shutil, "which", lambda name: None if name == "qemu-aarch64" else "/usr/bin/" + name)
    assert system.main(["native"]) == 1
    printed = capsys.readouterr().err
    assert "missing for this step: qemu-aarch64" in printed
    assert "apt-get install -y --no-install-recommends qemu-user" in printed


def test_gui_without_a_display_trains_in_the_terminal(monkeypatch, capsys, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "run.toml"
    ExperimentConfig(dataset="wine", hidden=(8,), epochs=1).save(config)
    assert cli.main(["gui", str(config)]) == 0
    printed = capsys.readouterr().out
    assert "No display" in printed
    assert "without dropout" in printed


def test_system_check_runs_without_any_package():
    """The set-up runs it before there is a virtual environment."""
    script = system.__file__
    result = subprocess.run([sys.executable, "-I", "-S", script, "build"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_system_check_names_compiler_and_command(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "CC": "nocompiler"}
    for name in ("apt-get", "sudo"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    command = [sys.executable, system.__file__, "build"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "a C compiler (nocompiler)" in result.stderr
    assert "apt-get install -y --no-install-recommends gcc" in result.stderr


@pytest.mark.parametrize("network", ["cnn", "lstm", "attention", "text"])
def test_a_network_alone_brings_what_it_needs(network, capsys):
    arguments = ["train", "--network", network, "--train-share", "0.05", "--epochs", "1", "--no-comparison"]
    assert cli.main(arguments) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_a_network_that_cannot_read_the_data_says_so(capsys):
    assert cli.main(["train", "--network", "cnn", "--dataset", "wine"]) == 2
    assert "reads images; wine has none" in capsys.readouterr().err


def test_the_variance_shift_is_told(capsys):
    assert cli.main([*QUICK, "--hidden", "16", "16", "--batch-norm"]) == 0
    assert "stands before batch normalisation" in " ".join(capsys.readouterr().out.split())
