"""The examples run, and print what they claim."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, capsys):
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def test_a_network_written_by_hand(capsys):
    without, dropped = map(float, re.findall(r"([\d.]+)% of the test digits", run("handwritten_network", capsys)))
    assert without > 92
    assert dropped > without


def test_an_operation_of_an_autograd_library(capsys):
    pytest.importorskip("autograd")
    text = run("autograd_primitive", capsys)
    assert "first and second order agree" in text
    assert "have none: True" in text


def test_a_pipeline_of_scikit_learn(capsys):
    without, dropped = map(float, re.findall(r"([\d.]+)% right", run("sklearn_pipeline", capsys)))
    assert without > 94
    assert dropped > without


def test_every_example_is_run():
    tested = set(re.findall(r'run\("(\w+)", capsys\)', Path(__file__).read_text()))
    assert tested == {path.stem for path in EXAMPLES.glob("*.py")}
