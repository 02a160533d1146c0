"""Benchmark files of all versions, and the comparison of two of them."""

import json
from pathlib import Path

import pytest
from benchtools import result, run_report, timing

from fastdrop.bench import (
    compare,
    figures,
    picture,
    plan,
    report,
    results,
)
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow


def _copies(**seconds):
    found = result("dropout", (1 << 21,), 0.5, 1, **seconds)
    return results.Result(found.case, {**found.candidates, "plain copy": "OSError: no such"})


def test_the_best_copy_is_the_fastest_that_was_measured():
    found = _copies(memcpy=0.9, nontemporal_copy=0.7, np_copyto=0.1)
    assert found.best_copy == "non-temporal copy"
    assert found.timing(plan.BEST_COPY) == found.timing("non-temporal copy")
    assert found.speed(plan.BEST_COPY) == pytest.approx(0.7)
    assert _copies(np_copyto=0.1).best_copy == ""
    assert _copies(np_copyto=0.1).timing(plan.BEST_COPY) is None


def test_the_best_of_rounds_is_not_the_best_of_times():
    """If the machine's speed changes during the run, the ratios within rounds decide."""
    case = plan.Case("dropout", (8,), "float32", 0.5, 1)
    candidates = {"fastdrop": timing(1.0), "memcpy": timing(0.8)._replace(relative=0.9), "plain copy": timing(0.85)}
    assert results.Result(case, candidates).best_copy == "plain copy"


def test_json_has_all_copies_and_says_which_was_best(tmp_path):
    on_gpu = result("dropout", (1 << 28,), 0.5, 0, copy=0.9)
    report.save(run_report([_copies(memcpy=0.8, nontemporal_copy=0.9), on_gpu]), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["version"] == 3
    here, there = document["results"]
    assert here["best_copy"] == "memcpy"
    assert {"memcpy", "plain copy", "non-temporal copy"} <= here["candidates"].keys()
    assert here["candidates"]["fastdrop"]["ratio_to_best_copy"] == pytest.approx(0.8)
    assert here["candidates"]["non-temporal copy"]["ratio_to_best_copy"] == pytest.approx(0.8 / 0.9)
    assert there["best_copy"] is None
    assert there["candidates"]["fastdrop"]["ratio_to_copy"] == pytest.approx(0.9)


DOCS = Path(__file__).parents[2] / "docs" / "benchmarks"


@pytest.mark.parametrize("name", ["cpu-zen4", "cpu-zen5", "family-zen5", "call-zen4"])
def test_files_of_every_version_load(name, tmp_path):
    document = json.loads((DOCS / f"{name}.json").read_text())
    known = report.load(DOCS / f"{name}.json")
    assert len(known.results) == len(document["results"])
    old = document["results"][0]["candidates"]
    assert known.results[0].timing().median == old["fastdrop"]["median_seconds"]
    assert picture.draw(known, tmp_path / "a.png") == name.startswith("cpu")
    report.save(known, tmp_path / "again.json")
    assert report.load(tmp_path / "again.json") == known


def test_old_names_are_read_as_the_new_ones(tmp_path):
    known = report.load(DOCS / "cpu-zen4.json")
    names = {name for result in known.results for name in result.candidates}
    assert {"best NumPy", "non-temporal copy", "memcpy", "plain copy"} <= names
    assert not {"NumPy at its best", "streaming copy"} & names
    assert results.copy_of(known.results) == "best copy"
    assert results.copy_of(report.load(DOCS / "cpu-zen5.json").results) == "copy"
    old = next(each for each in json.loads((DOCS / "cpu-zen4.json").read_text())["results"] if "quiet" in each)
    assert report.from_record(old).noise[:3] == tuple(old["quiet"][name] for name in report._OLD_NOISE.values())


def test_outcomes_of_an_old_file_are_those_that_it_was_written_with():
    written = json.loads((DOCS / "cpu-zen4.json").read_text())["promises"]
    outcomes = report.load(DOCS / "cpu-zen4.json").outcomes()
    for old, outcome in zip(written, outcomes, strict=False):
        assert (outcome.cases, outcome.worst, outcome.median) == (old["cases"], old["worst"], old["median"])
        assert outcome.verdict == old["verdict"].replace("short by", "missed by").replace("reached", "met")
    assert {outcome.verdict for outcome in outcomes[len(written) :]} == {"not measured"}


def test_an_old_copy_is_not_compared_with_the_best_one():
    first = run_report([result("dropout", (1 << 10,), 0.5, 1, copy=0.5, np_copyto=0.9)])
    second = run_report([result("dropout", (1 << 10,), 0.5, 1, memcpy=0.9, np_copyto=0.9)])
    (change,) = compare.compare(first, second)
    assert (change.baseline, change.verdict) == ("np.copyto", "")
    (change,) = compare.compare(second, second)
    assert change.baseline == "best copy"


def test_the_picture_has_the_best_copy():
    found = [result("dropout", (1 << size,), 0.5, threads, memcpy=0.5) for size in (10, 16) for threads in (1, 2)]
    copies = [line.name for line in figures.lines(found, "dropout") if line.p is None]
    assert copies == ["best copy, 1 thread", "best copy, 2 threads"]


# --- two files


def test_compare_stays_calm_on_equal_files(tmp_path, capsys):
    found = [result("dropout", (1 << 10,), p, 1, copy=0.9) for p in (0.5, 0.3)]
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for path in paths:
        report.save(run_report(found), tmp_path / path)
    assert cli.main(["bench", "compare", *paths]) == 0
    assert "0 of 2 figures changed beyond noise" in capsys.readouterr().out


def test_compare_finds_a_slowdown():
    def changes(own, copy, **more):
        first = run_report([result("dropout", (1 << 10,), 0.5, 1, copy=0.9)])
        (change,) = compare.compare(first, run_report([result("dropout", (1 << 10,), 0.5, 1, own=own, copy=copy)]))
        return change.verdict

    assert changes(own=1.2, copy=0.9) == "slower"
    assert changes(own=0.8, copy=0.9) == "faster"
    assert changes(own=1.04, copy=0.9) == ""
    assert "the machine, not the kernel" in changes(own=2.0, copy=1.8)
    assert changes(own=1.0, copy=0.6) == "slower against copy alone"


def test_compare_reports_other_machines_and_cases(tmp_path, capsys):
    first = run_report([result("dropout", (1 << 10,), p, 1, copy=0.9) for p in (0.5, 0.3)])
    second = run_report([result("dropout", (1 << 10,), 0.5, 1, own=1.3, copy=0.9)])
    second.machine["processor"] = "another"
    report.save(first, tmp_path / "a.json")
    report.save(second, tmp_path / "b.json")
    assert cli.main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    printed = capsys.readouterr().out
    assert "processor differs: None and another" in printed
    assert "slower" in printed
    assert "1 of 1 figures changed beyond noise; 1 cases are in the first file alone, 0 in the second" in printed


@pytest.mark.parametrize("name", ["[/]", "[bold]", "[/red] x", "[link=a]"])
def test_compare_shows_names_as_they_are(tmp_path, capsys, name):
    before = run_report([result(name, (1 << 10,), 0.5, 1, **{name: 0.9}, copy=0.9)])
    after = run_report([result(name, (1 << 10,), 0.5, 1, own=1.3, copy=0.9)])
    after.machine["processor"] = name
    report.save(before, tmp_path / "a.json")
    report.save(after, tmp_path / "b.json")
    assert cli.main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    assert capsys.readouterr().out.count(name) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a file of this fastdrop bench"),
        ('{"format": "fastdrop bench", "version": 99}', "format version 99; this fastdrop reads versions 1, 2 and 3"),
        ('{"format": "fastdrop bench", "version": 1}', "damaged"),
        ('{"format": "fastdrop bench", "version": 2}', "damaged"),
        ('{"format": "fastdrop bench", "version": 3}', "damaged"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_files_are_an_error_of_one_line(content, words, tmp_path, capsys):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    assert cli.main(["bench", "compare", str(path), str(path)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("fastdrop: ")
    assert error.count("\n") == 1
