"""The command line on the user's own tables: from the file to the sentence, to a model, to predictions."""

import csv

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastdrop.cli import main as cli
from fastdrop.experiments import ExperimentConfig, Model, load_experiment

QUICK = ["--hidden", "8", "--epochs", "3", "--learning-rate", "0.02", "--splits", "3"]
QUICK += ["--rates", "0.1", "0.3", "--processes", "1"]


@pytest.fixture
def own(tmp_path):
    """A table in which the first column tells the class, but for noise."""
    rng = np.random.default_rng(0)
    kind = np.arange(80) % 2
    frame = pd.DataFrame(
        {
            "Id": range(1, 81),
            "size": (kind * 1.5 + rng.normal(size=80)).round(3),
            "color": rng.choice(["red", "blue"], 80),
            "kind": np.where(kind == 1, "yes", "no"),
        }
    )
    frame.loc[3, "size"] = np.nan
    path = tmp_path / "own.csv"
    frame.to_csv(path, index=False, sep=";", decimal=",")
    return path


def test_from_a_table_to_the_sentence(own, tmp_path, capsys):
    figure = tmp_path / "evidence.png"
    assert cli.main(["train", "--data", str(own), *QUICK, "--figure", str(figure)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "80 rows, 4 columns",
        "target: kind (the last column)",
        "classes: no (40 rows), yes (40 rows)",
        "row labels: a different whole number in every row",
        "numbers, 1 missing",
        "64 training rows, 16 test rows (split at random",
        "3 splits: without dropout, and with standard dropout at p = 0.1, 0.3",
        "splits that chose a dropout rate by their validation part",
        "balanced accuracy",
        "Recall of each class",
        "Confusion matrix",
    ):
        assert words in " ".join(printed.split()), words
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_from_a_table_to_predictions(own, tmp_path, capsys):
    model, out = tmp_path / "m.fdmodel", tmp_path / "out.csv"
    assert cli.main(["train", "--data", str(own), *QUICK, "--save-model", str(model)]) == 0
    assert f"fastdrop predict {model} new.csv -o out.csv" in capsys.readouterr().out
    assert cli.main(["predict", str(model), str(own), "-o", str(out), "--samples", "5"]) == 0
    assert "80 rows" in capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == [
        "Id", "size", "color", "kind", "predicted_class", "probability", "uncertainty", "std", "probability_no",
        "probability_yes",
    ]  # fmt: skip
    assert [row["Id"] for row in rows] == [str(number) for number in range(1, 81)]
    for row in rows:
        assert float(row["probability_no"]) + float(row["probability_yes"]) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == row[f"probability_{row['predicted_class']}"]
    assert sum(row["kind"] == row["predicted_class"] for row in rows) > 50
    assert cli.main(["predict", str(model), str(own)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("Id,size,color,kind,predicted_class,probability")
    assert len(printed.splitlines()) == 81


def test_pictures_are_named_by_their_files(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8)
    for place, image in enumerate(images):
        folder = tmp_path / "pictures" / ["cats", "dogs"][place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{place}.png")
    model, new, out = tmp_path / "m.fdmodel", tmp_path / "new", tmp_path / "out.csv"
    train = ["train", "--data", str(tmp_path / "pictures"), "--splits", "1", "--epochs", "1", "--hidden", "4"]
    assert cli.main([*train, "--save-model", str(model)]) == 0
    new.mkdir()
    for name in ("b", "a"):
        Image.fromarray(images[0]).save(new / f"{name}.png")
    assert cli.main(["predict", str(model), str(new), "-o", str(out)]) == 0
    found = pd.read_csv(out)
    assert list(found.columns) == ["file", "predicted_class", "probability", "probability_cats", "probability_dogs"]
    assert list(found["file"]) == ["a.png", "b.png"]


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_predictions_in_other_formats(own, tmp_path, suffix):
    model, out = tmp_path / "m.fdmodel", tmp_path / f"out{suffix}"
    assert cli.main(["train", "--data", str(own), *QUICK, "--no-comparison", "--save-model", str(model)]) == 2
    assert cli.main(["train", "--data", str(own), *QUICK[:6], "--no-comparison", "--save-model", str(model)]) == 0
    assert cli.main(["predict", str(model), str(own), "-o", str(out)]) == 0
    found = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out, sep="\t")
    assert found.shape == (80, 8)


def test_export(own, tmp_path, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx.checker")
    model, out = tmp_path / "m.fdmodel", tmp_path / "m.onnx"
    assert cli.main(["train", "--data", str(own), *QUICK[:6], "--no-comparison", "--save-model", str(model)]) == 0
    assert cli.main(["export", str(model), str(out)]) == 0
    assert "bytes" in capsys.readouterr().out
    session = runtime.InferenceSession(out.read_bytes())
    assert [given.name for given in session.get_inputs()] == ["size", "color"]
    size = np.array([[1.5], [np.nan]], np.float32)
    color = np.array([["red"], ["blue"]], object)
    probabilities = session.run(["probabilities"], {"size": size, "color": color})[0]
    expected = Model.load(model).predict(pd.DataFrame({"size": size[:, 0], "color": color[:, 0]}))
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--target", "kind"], "--target can only be given for a table of your own; add --data FILE"),
        (["train", "--ignore", "a", "--sheet", "b"], "--ignore and --sheet can only be given for a table"),
        (["train", "--data", "OWN", "--target", "kid"], "no column 'kid'; did you mean 'kind'?"),
        (["train", "--data", "OWN", "--target", "size"], "a regression"),
        (["train", "--data", "OWN", "--splits", "0"], "--splits must be at least 1; got 0"),
        (["train", "--data", "OWN", "--processes", "0"], "--processes must be at least 1; got 0"),
        (["train", "--data", "OWN", "--no-comparison", "--rates", "0.1"], "--rates is for several splits"),
        (["train", "--data", "OWN", "--rates", "1.5"], "from 0 to 1|at most 1|above 0"),
        (["train", "--data", "OWN", "--save-model", "m.npz"], "must end in .fdmodel"),
        (["train", "--data", "OWN", "--test-data", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["train", "--data", "OWN", "--network", "cnn"], "network cnn needs images"),
        (["predict", "nowhere.fdmodel", "OWN"], "nowhere.fdmodel: cannot be read"),
        (["predict", "OWN", "OWN"], "not a model of fastdrop"),
        (["predict", "OWN", "OWN", "-o", "out.xyz"], "must end in .csv or .tsv or .parquet"),
        (["predict", "OWN", "OWN", "-o", "OWN"], "the output would replace the data"),
        (["predict", "OWN", "OWN", "--samples", "-1"], "--samples must be at least 0"),
        (["export", "OWN", "out.onnx"], "not a model of fastdrop"),
        (["export", "OWN", "out.pkl"], "must end in .onnx"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, words, own, capsys):
    import re

    assert cli.main([str(own) if argument == "OWN" else argument for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("fastdrop: ")
    assert len(printed.err.splitlines()) == 1
    assert re.search(words.replace("?", r"\?"), printed.err)


def test_one_split_is_a_single_training(own, capsys):
    assert cli.main(["train", "--data", str(own), *QUICK[:6], "--splits", "1"]) == 0
    printed = capsys.readouterr().out
    assert "without dropout" in printed
    assert "confidence interval" not in printed


def test_evidence_for_a_data_set(capsys):
    assert cli.main(["train", "--dataset", "wine", *QUICK]) == 0
    assert "splits" in " ".join(capsys.readouterr().out.split())


def test_a_configuration_moves_with_its_table(own, tmp_path, capsys):
    config = tmp_path / "run.toml"
    train = ["train", *QUICK[:6], "--no-comparison"]
    assert cli.main([*train, "--data", str(own), "--save-config", str(config)]) == 0
    assert 'data_file = "own.csv"' in config.read_text()
    moved = tmp_path / "moved"
    moved.mkdir()
    config.rename(moved / "run.toml")
    own.rename(moved / "own.csv")
    assert cli.main([*train, "--config", str(moved / "run.toml")]) == 0
    assert "have changed" not in capsys.readouterr().out
    (moved / "own.csv").write_text((moved / "own.csv").read_text().replace("red", "green"))
    assert cli.main([*train, "--config", str(moved / "run.toml")]) == 0
    assert "the data have changed since this experiment was saved" in " ".join(capsys.readouterr().out.split())


def test_an_absolute_path_is_looked_for_beside_the_configuration(own, tmp_path):
    text = ExperimentConfig(dataset="file", data_file="/gone/own.csv").to_toml()
    (tmp_path / "old.toml").write_text(text)
    assert load_experiment(tmp_path / "old.toml").config.data_file == str(own)


def test_a_sweep_of_a_table(own, capsys, monkeypatch):
    from fastdrop.cli import sweep

    given = []
    monkeypatch.setattr(sweep, "start_sweep", lambda plan, **_: given.append(plan) or pytest.skip("planned"))
    with pytest.raises(pytest.skip.Exception):
        cli.main(["sweep", str(own), "--param", "p=0,0.5"])
    assert (given[0].config.dataset, given[0].config.data_file) == ("file", str(own))


def test_wide_tables_are_summed_up(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 60)).round(3), columns=[f"gene {number}" for number in range(60)])
    frame["constant"], frame["class"] = 1, ["x", "y"] * 20
    frame.to_csv(tmp_path / "wide.csv", index=False)
    arguments = ["train", "--data", str(tmp_path / "wide.csv"), *QUICK[:6], "--no-comparison"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "columns: 60 number, 1 ignored" in printed
    assert "gene 7" not in printed
    assert "constant: every cell is '1'" in printed
