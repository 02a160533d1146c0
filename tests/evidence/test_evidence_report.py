"""What the terminal prints and what the figure shows."""

import io
import os
import re
import signal
import threading

import numpy as np
import pytest
from experimenttools import SMALL
from rich.console import Console

from fastdrop.cli import evidence_report
from fastdrop.cli.evidence_report import draw_evidence, print_evidence, train_evidence
from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.evidence import Evidence, EvidencePlan, EvidenceRun


def console_of(width=150):
    return Console(file=io.StringIO(), width=width, highlight=False)


def printed(evidence):
    console = console_of()
    print_evidence(evidence, console)
    return console.file.getvalue()


@pytest.fixture
def evidence(made_up):
    """Three splits of a table with three classes, one of which has no test rows."""
    plan = EvidencePlan(ExperimentConfig(dataset="wine"), 3, (0.2, 0.5))
    labels, names = [0, 0, 1, 1], ("alpha [bold]", "be$ta$", "gamma")
    right = ([0, 1, 0, 0], [0, 0, 0, 2], [1, 1, 1, 1])
    return Evidence.of(
        plan,
        [made_up(labels, [1, 1, 0, 0], each, number=number, names=names) for number, each in enumerate(right)],
    )


@pytest.fixture
def many_classes(made_up):
    """Two splits with thirty classes; class 3 is taken for class 4 twice in each."""
    plan = EvidencePlan(ExperimentConfig(dataset="digits"), 2, (0.2,))
    labels = np.repeat(np.arange(30), 3)
    predicted = labels.copy()
    predicted[[9, 10]] = 4
    predicted[0] = 1
    names = [f"kind {number}" for number in range(30)]
    return Evidence.of(plan, [made_up(labels, labels, predicted, number=number, names=names) for number in range(2)])


def test_the_sentence_comes_first_then_what_is_behind_it(evidence):
    text = printed(evidence)
    assert text.split("\n")[0].startswith("No difference that 3 splits can show: dropout (standard, p = 0.2 chosen in")
    assert "p = 0.2: 3, p = 0.5: 0" in text
    assert "mean over 3 splits, 4 test rows in each" in text
    cells = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in text.splitlines() if "│" in line}
    assert [cell.strip() for cell in cells["accuracy"]] == ["0.0%", "41.7%", "12"]
    assert [cell.strip() for cell in cells["gamma"]] == ["·", "·", "·"]  # last, in the confusion matrix
    assert re.search(r"│ gamma +│ +– │ +– │ +0 │", text)
    assert "area under the ROC curve" not in text
    assert "alpha [bold]" in text


def test_warnings_and_notes_are_printed(evidence):
    assert "warning: Both networks are no better" in printed(evidence).replace("\n", " ")
    fewer = Evidence.of(EvidencePlan(ExperimentConfig(dataset="wine"), 10), evidence.results)
    assert "note: 7 of 10 splits were not finished." in printed(fewer)


def test_one_split_says_so(evidence):
    text = printed(Evidence.of(EvidencePlan(ExperimentConfig(dataset="wine"), 1), evidence.results[:1]))
    assert text.startswith("One split cannot tell whether dropout helps")
    assert "one split, 4 test rows" in text


def test_many_classes_are_folded(many_classes):
    text = printed(many_classes)
    assert "The 12 of 30 classes with the lowest recall" in text
    assert "Most confused pairs with dropout (test rows of all splits; 6 errors in all)" in text
    pairs = text.partition("Most confused pairs")[2]
    assert re.search(r"kind 3 +│ kind 4 +│ +0 │ +4 │\n.*kind 0 +│ kind 1 +│ +0 │ +2 │", pairs)
    assert "p = 0.2:" not in text  # a single candidate is no choice


@pytest.mark.parametrize(("suffix", "begin"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_figure_in_each_format(evidence, tmp_path, suffix, begin):
    path = tmp_path / f"figure{suffix}"
    draw_evidence(evidence, path)
    assert path.read_bytes().startswith(begin)


def test_a_figure_of_many_classes(many_classes, tmp_path):
    draw_evidence(many_classes, tmp_path / "many.svg")
    text = (tmp_path / "many.svg").read_text()
    assert "kind 29" in text  # names as comments beside the glyphs


def test_a_figure_of_one_split_with_names_of_any_script(made_up, tmp_path):
    plan = EvidencePlan(ExperimentConfig(dataset="wine"), 1)
    result = made_up([0, 1], [0, 1], [0, 0], names=("鱼", "$x^$" * 20))
    draw_evidence(Evidence.of(plan, [result]), str(tmp_path / "one.svg"))
    assert (tmp_path / "one.svg").stat().st_size > 1000


def test_other_suffixes_are_refused(evidence, tmp_path):
    with pytest.raises(ValueError, match=r"\.png or \.svg or \.pdf"):
        draw_evidence(evidence, tmp_path / "figure.csv")
    assert list(tmp_path.iterdir()) == []


def test_training_in_the_terminal():
    console = console_of()
    evidence = train_evidence(EvidencePlan(SMALL.replace(dataset="wine"), 2, (0.5,)), console, processes=1)
    assert len(evidence.results) == 2
    assert "stopped" not in console.file.getvalue()


def test_ctrl_c_keeps_the_finished_splits(monkeypatch):
    class Interrupted(EvidenceRun):
        """Gets Ctrl-C once two splits are finished."""

        def poll(self):
            found = super().poll()
            if len(self.results) >= 2 and not self.cancelled:
                os.kill(os.getpid(), signal.SIGINT)
            return found

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(evidence_report, "EvidenceRun", Interrupted)
    console, before = console_of(), signal.getsignal(signal.SIGINT)
    evidence = train_evidence(EvidencePlan(SMALL.replace(epochs=20), 200), console, processes=1)
    count = len(evidence.results)
    assert 2 <= count < 200
    assert f"stopped; {count} of 200 splits are finished" in console.file.getvalue()
    assert signal.getsignal(signal.SIGINT) is before


def test_no_result_is_an_error(tmp_path):
    config = SMALL.replace(dataset="file", data_file=str(tmp_path / "none.csv"))
    with pytest.raises(OSError, match=r"none\.csv"):
        train_evidence(EvidencePlan(config, 1), console_of(), processes=1)
