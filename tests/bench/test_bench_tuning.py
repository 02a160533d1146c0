"""`fastdrop bench tune`: what it measures, and what it advises."""

import json

import pytest

import fastdrop as fd
from fastdrop.bench import tuning
from fastdrop.bench.internals import kernels as cpu
from fastdrop.bench.tuning import HintFigures, SizeFigures
from fastdrop.cli.main import main


def test_every_setting_is_measured_and_none_stays():
    before, count = cpu.large_arrays(), fd.get_num_threads()
    found = tuning.hints(elements=5000, seconds=0.01)
    assert {figures.setting for figures in found} == set(tuning.settings()) - {before[:2]}
    assert all(gain > 0 for figures in found for gain in figures.gains)
    assert [figures.gain for figures in found] == sorted((figures.gain for figures in found), reverse=True)
    (sized,) = tuning.sizes([3000], seconds=0.01)
    assert {reader.split(",")[0] for reader in sized.gains} == set(tuning.READERS)
    assert cpu.large_arrays() == before
    assert fd.get_num_threads() == count


def test_non_temporal_stores_are_really_switched(monkeypatch):
    seen = []
    monkeypatch.setattr(tuning.checks, "fastdrop_result", lambda *_: seen.append(cpu.large_arrays()))
    list(tuning.sizes([3000], seconds=0.01))
    assert {above for _, _, above in seen} == {0, tuning.NEVER}


def sizes(*gains):
    return [SizeFigures(1 << (19 + place), {"sum": gain}) for place, gain in enumerate(gains)]


@pytest.mark.parametrize(
    ("gains", "limit"),
    [
        ((0.6, 0.8, 0.9, 1.0, 1.2, 1.5), (1 << 23) * 6),
        ((0.6, 1.4, 0.9, 1.0, 1.2, 1.5), (1 << 23) * 6),
        ((1.1, 1.2, 1.3, 1.4, 1.5, 1.6), (1 << 19) * 6),
        ((0.6, 0.8, 0.9, 1.0, 1.2, 0.9), tuning.NEVER),
    ],
)
def test_the_limit_is_where_non_temporal_stores_begin_to_gain_for_good(gains, limit):
    assert tuning.limit(sizes(*gains)) == limit


def test_the_advice_says_what_is_better_here():
    hint, ahead, _ = cpu.large_arrays()
    before = cpu.large_arrays()
    cpu.set_large_arrays(hint, ahead, 32 << 20)
    try:
        right = sizes(0.6, 0.8, 0.9, 1.0, 1.2, 1.5)
        assert tuning.advice(HintFigures(("none", 0), [1.0, 1.01]), right) == [
            "the constants in use are the best that were tried"
        ]
        (sentence,) = tuning.advice(HintFigures(("second level", 8192), [2.0, 2.0]), right)
        assert "second level, 8192 is 2.00 times as fast" in sentence
        (sentence,) = tuning.advice(HintFigures(("none", 0), [1.0]), sizes(0.5, 0.5, 0.5, 0.5, 0.5, 0.5))
        assert "at no size" in sentence
        (sentence,) = tuning.advice(HintFigures(("none", 0), [1.0]), sizes(1.1, 1.1, 1.1, 1.1, 1.1, 1.1))
        assert "non-temporal stores gain above 3 MB; 32 MB is in use" in sentence
    finally:
        cpu.set_large_arrays(*before)


def test_the_command_prints_and_saves(tmp_path, capsys, monkeypatch):
    hints, measured = tuning.hints, tuning.sizes
    monkeypatch.setattr(tuning, "hints", lambda: hints(elements=5000, seconds=0.01))
    monkeypatch.setattr(tuning, "sizes", lambda: measured([3000], seconds=0.01))
    path = tmp_path / "tune.json"
    assert main(["bench", "tune", "--save", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "in use" in printed
    document = json.loads(path.read_text())
    assert document["format"] == tuning.FORMAT
    assert len(document["prefetches"]) == len(tuning.settings()) - (cpu.large_arrays()[:2] in tuning.settings())
    assert document["machine"]["processor family"]
    assert document["advice"]
