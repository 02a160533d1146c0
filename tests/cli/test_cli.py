"""The command line, run as users run it."""

import os
import shutil
import subprocess
import sys

import machine
import pytest

from fastdrop.cli import desktop
from fastdrop.cli import main as cli
from fastdrop.cli import train as train_module
from fastdrop.experiments import Experiment, ExperimentConfig, save_experiment
from fastdrop.experiments.config import FIELDS

QUICK = ["train", "--dataset", "wine", "--hidden", "16", "--epochs", "3"]


def test_train_prints_both_accuracies(capsys):
    assert cli.main(QUICK) == 0
    printed = capsys.readouterr().out
    for words in (
        "142 training examples",
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
        (["train", "--rate", "1.5"], "rate must be from 0 to 1; got 1.5"),
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
        (["train", "--save-config", "/tmp"], "/tmp: the name must end in .toml"),
    ],
)
def test_errors_are_one_line(arguments, words, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("fastdrop: ")
    assert "Traceback" not in error


def test_divergence_is_reported(capsys):
    assert cli.main([*QUICK, "--optimizer", "sgd", "--learning-rate", "100", "--epochs", "100"]) == 1
    assert "learning rate" in capsys.readouterr().out


HELP = [["--help"], *([name, "--help"] for name in cli.COMMANDS), ["bench", "compare", "--help"]]


@pytest.mark.parametrize("arguments", HELP)
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 0
    assert "usage: fastdrop" in capsys.readouterr().out


def test_doctor_names_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(desktop, "missing_for_gui", lambda: [desktop.Need("libxyz.so.1", "libxyz1", "xyz")])
    monkeypatch.setattr(shutil, "which", lambda name, **_: "/usr/bin/" + name)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "instruction set" in printed
    assert "libxyz.so.1" in printed
    assert "apt-get install -y --no-install-recommends libxyz1" in printed


@pytest.mark.parametrize(
    ("step", "tool", "package"), [("native", "qemu-aarch64", "qemu-user"), ("statistics", "dieharder", "dieharder")]
)
def test_long_checks_name_what_is_missing(monkeypatch, capsys, step, tool, package):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else "/usr/bin/" + name)
    assert machine.main([step]) == 1
    printed = capsys.readouterr().err
    assert f"missing for this step: {tool}" in printed
    assert f"apt-get install -y --no-install-recommends {package}" in printed


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
    """The set-up runs it before the virtual environment exists."""
    script = machine.__file__
    result = subprocess.run([sys.executable, "-I", "-S", script, "build"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_system_check_names_compiler_and_command(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "CC": "nocompiler"}
    for name in ("apt-get", "sudo"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    command = [sys.executable, machine.__file__, "build"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "a C compiler (nocompiler), a C++ compiler (nocompiler)" in result.stderr
    assert "apt-get install -y --no-install-recommends g++ gcc" in result.stderr


@pytest.mark.parametrize("network", ["cnn", "lstm", "attention", "text"])
def test_a_network_option_alone_is_enough(network, capsys):
    arguments = ["train", "--network", network, "--train-share", "0.05", "--epochs", "1", "--no-comparison"]
    assert cli.main(arguments) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_a_network_that_cannot_read_the_data_is_refused(capsys):
    assert cli.main(["train", "--network", "cnn", "--dataset", "wine"]) == 2
    assert "needs images; wine has none" in capsys.readouterr().err


def test_the_variance_shift_is_reported(capsys):
    assert cli.main([*QUICK, "--hidden", "16", "16", "--batch-norm"]) == 0
    assert "there is dropout before batch normalisation" in " ".join(capsys.readouterr().out.split())


TABLE = "a,b\n" + "".join(f"{row},{'xy'[row % 2]}\n" for row in range(20))


@pytest.mark.parametrize("option", ["--save-config", "--figure"])
@pytest.mark.parametrize("name", ["mine.csv", "net.fastdrop", "notes.txt", "none"])
def test_train_overwrites_no_file_of_another_kind(tmp_path, capsys, option, name):
    """For example, its input."""
    path = tmp_path / name
    if name == "net.fastdrop":
        save_experiment(path, Experiment(ExperimentConfig(dataset="wine", hidden=(8,), epochs=1)))
        begin = ["train", "--config", str(path)]
    else:
        path.write_text(TABLE)
        begin = ["train", "--data", str(path)] if name == "mine.csv" else QUICK
    before = path.read_bytes()
    assert cli.main([*begin, option, str(path)]) == 2
    assert "the name must end in " in capsys.readouterr().err
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"the name must end in \.toml"):
        ExperimentConfig().save(path)
    assert path.read_bytes() == before


def test_train_writes_nothing_if_a_target_is_invalid(tmp_path):
    config = tmp_path / "run.toml"
    assert cli.main([*QUICK, "--save-config", str(config), "--figure", str(tmp_path / "curves.xyz")]) == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"layer_dropout": ("standard", "none")}, "standard p = 0.5, none"),
        ({"layer_dropout": ("alpha", "standard"), "layer_rates": (0.1, 0.25)}, "alpha p = 0.1, standard p = 0.25"),
        ({"dropout": "none", "layer_dropout": ("none", "alpha")}, "none, alpha p = 0.5"),
        ({"layer_dropout": ("none", "none")}, ""),
        ({"dropout": "none"}, ""),
    ],
)
def test_train_compares_with_a_network_without_dropout(monkeypatch, changes, names):
    """Kinds and rates of single layers count."""
    trained = {}

    def remember(runs, console):
        trained.update({run.name: run.trainer.config for run in runs})
        return 0

    monkeypatch.setattr(train_module, "_train_all", remember)
    config = ExperimentConfig(dataset="moons", hidden=(8, 8), epochs=1, **changes)
    assert train_module.train(config, cli.parse(["train"])) == 0
    expected = {names: config, "without dropout": config.without_dropout()} if names else {"no dropout": config}
    assert trained == expected


@pytest.mark.parametrize(
    ("option", "kinds", "rates"),
    [
        (["--dropout", "none"], ("none", "none"), (0.5, 0.5)),
        (["--dropout-layers", "last"], ("none", "standard"), (0.5, 0.5)),
        (["--rate", "0.3"], ("alpha", "none"), (0.3, 0.3)),
        ([], ("alpha", "none"), (0.1, 0.2)),
    ],
)
def test_options_of_dropout_replace_that_of_single_layers(tmp_path, option, kinds, rates):
    path = tmp_path / "layers.toml"
    ExperimentConfig(hidden=(8, 8), layer_dropout=("alpha", "none"), layer_rates=(0.1, 0.2)).save(path)
    config = train_module.config_from(cli.parse(["train", "--config", str(path), *option]))
    assert (config.kinds, config.rates) == (kinds, rates)


@pytest.mark.parametrize("name", ["mine.csv", "MINE.CSV", "mine.npz"])
def test_without_a_display_a_table_is_trained_on(tmp_path, monkeypatch, name):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    given = []
    monkeypatch.setattr(train_module, "train", lambda config, options: given.append(config) or 0)
    assert cli.main(["gui", str(tmp_path / name)]) == 0
    assert (given[0].dataset, given[0].data_file) == ("file", str(tmp_path / name))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_printable_text(tmp_path, encoding):
    path = tmp_path / "run.toml"
    ExperimentConfig(dataset="moons", hidden=(4,), epochs=1).save(path)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    snow = os.fsdecode("tafel-☃.csv".encode())  # the same bytes in every locale
    for arguments in (
        ["sweep", str(path), "--param", "p=0,0.5", "--seeds", "2", "--processes", "1"],
        ["train", "--config", str(path)],
        ["train", "--data", snow],
        ["reproduce", "list"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "fastdrop.cli.main", *arguments], env=environment, capture_output=True, check=False
        )
        assert done.returncode == (2 if "--data" in arguments else 0), done.stderr.decode(encoding)
        assert b"Traceback" not in done.stderr
        assert done.stdout or done.stderr


def test_every_field_is_an_option():
    """The former names of options still work."""
    changes = {
        "dataset": "reviews", "noise": 0.1, "train_fraction": 0.5, "split_seed": 1, "network": "text",
        "hidden": (8, 4), "activation": "tanh", "batch_norm": True, "dropout": "alpha", "dropout_layers": "last",
        "rate": 0.1, "dropout_schedule": "linear", "optimizer": "sgd", "learning_rate": 0.1,
        "learning_rate_schedule": "cosine", "momentum": 0.5, "weight_decay": 0.1, "batch_size": 8, "epochs": 2,
        "seed": 3, "backend": "cuda",
    }  # fmt: skip
    of_tables = {
        "target": "kind", "ignore": ("a", "b c"), "categorical": ("d",), "numeric": ("e",), "sheet": "Sheet 2",
        "test_data": os.path.abspath("test.csv"),
    }  # fmt: skip
    assert {*changes, *of_tables, "data_file", "data_hash", "layer_dropout", "layer_rates"} == FIELDS.keys()
    for begin, given, more in (
        (["train"], changes, {}),
        (["train", "--data", "own.csv"], of_tables, {"dataset": "file", "data_file": os.path.abspath("own.csv")}),
    ):
        arguments = list(begin)
        for name, value in given.items():
            texts = [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
            arguments += [f"--{name.replace('_', '-')}", *texts]
        assert train_module.config_from(cli.parse(arguments)) == ExperimentConfig(**given, **more)
    labelled = train_module.config_from(cli.parse(["train", "--data", "own.csv", "--label", "kind"]))
    assert labelled.target == "kind"
    former = ["train", "--train-share", "0.5", "--data-seed", "1", "--rate-schedule", "linear"]
    expected = ExperimentConfig(train_fraction=0.5, split_seed=1, dropout_schedule="linear")
    assert train_module.config_from(cli.parse(former)) == expected


def test_help_loads_no_command():
    code = (
        "import sys\nfrom fastdrop.cli import main\n"
        "try:\n    main.main(['--help'])\nexcept SystemExit:\n    print('rich' in sys.modules, *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "False"
    assert "fastdrop.experiments" not in loaded
