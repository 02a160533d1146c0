"""The rule for verdicts, and how far two machines may differ: made-up numbers, committed runs, two kernels of BLAS."""

import copy
import dataclasses
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from fastdrop.cli import main as cli
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.studies import STUDIES, Finding, compare, saved, sequences
from fastdrop.experiments.studies.report import masks_of
from fastdrop.experiments.studies.study import Outcome, all_of, any_of, counted, judged
from fastdrop.info import configuration

HOLDS, FAILS, UNDECIDED = Outcome.HOLDS, Outcome.FAILS, Outcome.UNDECIDED
COMMITTED = Path(__file__).parents[2] / "docs" / "experiments"
"""Made with OpenBLAS's kernels for AVX2 (Haswell); in the folder skylakex with those for AVX-512."""


def around(mean, error=0.01):
    return Estimate(mean, 10 * error, error)


class TestRule:
    @pytest.mark.parametrize(
        ("mean", "outcome"),
        [
            (0.0201, HOLDS),
            (0.02, UNDECIDED),  # the interval touches the border
            (0.0199, UNDECIDED),
            (0.0, UNDECIDED),
            (-0.0199, UNDECIDED),
            (-0.02, UNDECIDED),
            (-0.0201, FAILS),
        ],
    )
    @pytest.mark.parametrize("border", [0.0, 0.5])
    def test_the_whole_interval_decides(self, mean, outcome, border):
        assert judged(around(border + mean), border).outcome == outcome
        assert judged(around(border - mean), high=border).outcome == outcome

    def test_the_same_mean_is_decided_by_more_seeds(self):
        assert judged(around(0.017, 0.0085), 0.0).outcome == UNDECIDED
        assert judged(around(0.017, 0.005), 0.0).outcome == HOLDS
        assert judged(around(0.001, 0.001), 0.005).outcome == FAILS

    @pytest.mark.parametrize(
        ("mean", "outcome"), [(0.0, HOLDS), (0.09, UNDECIDED), (0.1, UNDECIDED), (0.13, FAILS), (-0.13, FAILS)]
    )
    def test_between_two_borders(self, mean, outcome):
        assert judged(around(mean), -0.1, 0.1).outcome == outcome

    def test_without_deviation(self):
        assert [judged(Estimate.of([value] * 3), 0.5).outcome for value in (0.6, 0.5, 0.4)] == [HOLDS, UNDECIDED, FAILS]
        assert counted(True, "7 of 7").outcome == HOLDS
        assert counted(False, "6 of 7").outcome == FAILS

    def test_the_measure_states_its_distance_from_the_border(self):
        measure = judged(Estimate(0.0046, 0.005, 0.001), 0.002).measure
        assert measure == "0.0046 ± 0.0020 against above 0.002, 2.6 standard errors away"
        assert "against below 1," in judged(around(0.5), high=1).measure
        assert "against -0.1 to 0.1, 9.0 standard errors away" in judged(around(-0.01), -0.1, 0.1).measure

    def test_combined(self):
        holds, fails, undecided = judged(around(1.0), 0), judged(around(-1.0), 0), judged(around(0.0), 0)
        assert all_of([holds, holds]).outcome == HOLDS
        assert all_of([holds, undecided]).outcome == UNDECIDED
        assert all_of([undecided, fails]).outcome == FAILS
        assert any_of([fails, fails]).outcome == FAILS
        assert any_of([fails, undecided]).outcome == UNDECIDED
        assert any_of([undecided, holds]).outcome == HOLDS
        assert holds.measure in all_of([holds, fails]).measure
        assert fails.measure in all_of([holds, fails]).measure

    def test_the_best_of_several_is_judged_as_such(self):
        """Of three kinds that do nothing, one is above two standard errors in one run of 15, not of 44."""
        assert [judged(around(0.023), 0, comparisons=count).outcome for count in (1, 2, 3)] == [HOLDS, HOLDS, UNDECIDED]
        assert Estimate(0.0, 1.0, 1.0).bounds() == pytest.approx((-2.0, 2.0))
        gain, none, loss = around(0.002 + 0.023), around(0.002), around(-0.1)
        gains = {
            "attention, dropout 0.1": gain,
            "attention, DropPath 0.1": none,
            "LSTM, dropout 0.3": gain,
            "LSTM, locked 0.3": gain,
            "LSTM, zoneout 0.1": loss,
            "text, dropout 0.5": loss,
        }
        found = {task: part.outcome for task, part in sequences.parts_of(gains).items()}
        assert found == {"attention": HOLDS, "LSTM": UNDECIDED, "text": FAILS}

    def test_verdicts_name_the_parts(self):
        parts = {HOLDS: judged(around(1.0), 0), FAILS: judged(around(-1.0), 0), UNDECIDED: judged(around(0.0), 0)}

        def verdict(**outcomes):
            return Finding({name: parts[outcome] for name, outcome in outcomes.items()}, "", [], [], None).verdict

        assert verdict(a=HOLDS, b=HOLDS) == "holds"
        assert verdict(a=FAILS) == "does not hold"
        assert verdict(a=UNDECIDED, b=UNDECIDED) == "undecided"
        assert verdict(one=UNDECIDED, two=HOLDS, three=FAILS) == "holds: two; does not hold: three; undecided: one"


ARRAY = np.random.default_rng(0).normal(0.9, 0.01, 20)


def document(**changes):
    """The content of a saved study."""
    fresh = {
        "parts": {"one": {"outcome": HOLDS, "measure": ""}, "two": {"outcome": FAILS, "measure": ""}},
        "exact": {"masks": {"a": "abc", "b": [0.25, 0.5]}},
        "data": {"accuracy": {"with": list(ARRAY), "without": list(ARRAY - 0.1)}, "pairs": np.stack([ARRAY] * 2, 1)},
    }
    fresh["data"]["pairs"] = fresh["data"]["pairs"].tolist()
    return copy.deepcopy(fresh) | changes


class TestCompare:
    def test_equal(self):
        found = compare(document(), document())
        assert (found.differences, found.undecided, found.equal, found.arrays) == ([], [], 3, 3)
        assert "3 of 3 arrays equal" in str(found)
        assert "no difference" in str(found)

    @pytest.mark.parametrize("value", ["abd", None])
    @pytest.mark.parametrize("name", ["a", "c"])
    def test_a_mask_that_differs(self, name, value):
        other = document()
        other["exact"]["masks"][name] = value
        for pair in ((document(), other), (other, document())):
            assert compare(*pair).differences == [f"masks: {name} (masks, settings)"]
            assert f"DIFFERENT: masks: {name}" in str(compare(*pair))

    def test_a_figure_of_masks_that_differs_in_the_last_digit(self):
        other = document()
        other["exact"]["masks"]["b"][1] = 0.500001
        assert len(compare(document(), other).differences) == 1

    def test_networks_may_differ_within_their_intervals(self):
        other = document()
        other["data"]["accuracy"]["with"] = list(ARRAY + 0.001)
        found = compare(document(), other)
        assert (found.differences, found.equal) == ([], 2)

    def test_networks_that_differ_by_more(self):
        other = document()
        other["data"]["accuracy"]["with"] = list(ARRAY + 0.02)
        other["data"]["pairs"] = np.stack([ARRAY, ARRAY - 0.02], 1).tolist()
        found = compare(document(), other).differences
        assert [line.split(":")[0] for line in found] == ["accuracy", "pairs, number 1"]

    @pytest.mark.parametrize("kept", [slice(1, None), slice(0, 0)])
    def test_networks_that_are_missing(self, kept):
        other = document()
        other["data"]["accuracy"]["with"] = list(ARRAY)[kept]
        assert "figures, were" in compare(document(), other).differences[0]
        del other["data"]["accuracy"]["with"]
        for pair in ((document(), other), (other, document())):
            assert len(compare(*pair).differences) == 1

    @pytest.mark.parametrize(
        ("outcome", "differences", "undecided"), [(HOLDS, 0, 0), (UNDECIDED, 0, 1), (FAILS, 1, 0), (None, 1, 0)]
    )
    def test_verdicts(self, outcome, differences, undecided):
        other = document()
        other["parts"]["one"]["outcome"] = outcome
        if outcome is None:
            del other["parts"]["one"]
        for pair in ((document(), other), (other, document())):
            found = compare(*pair)
            assert (len(found.differences), len(found.undecided)) == (differences, undecided)


class TestCommand:
    """`fastdrop reproduce --compare`."""

    arguments = ("reproduce", "sub-networks", "--quick", "--processes", "1", "--save")

    def test_compare(self, capsys, tmp_path, monkeypatch):
        def measure(work):
            parts = {"drops": judged(around(0.5), 0.4)}
            data, exact = {"accuracy": list(ARRAY)}, {"1000 masks of 24 units": [1000, 999]}
            return Finding(parts, "Found.", ["a"], [["b"]], Figure(), data, exact)

        monkeypatch.setitem(STUDIES, "sub-networks", dataclasses.replace(STUDIES["sub-networks"], measure=measure))
        assert cli.main([*self.arguments, str(tmp_path)]) == 0
        assert cli.main([*self.arguments, str(tmp_path / "new"), "--compare", str(tmp_path)]) == 0
        assert "no difference beyond the intervals" in capsys.readouterr().out
        path = tmp_path / "sub-networks.json"
        there = json.loads(path.read_text())
        there["exact"]["1000 masks of 24 units"][0] -= 1
        path.write_text(json.dumps(there))
        assert cli.main([*self.arguments, str(tmp_path / "new"), "--compare", str(tmp_path)]) == 1
        assert "DIFFERENT: 1000 masks of 24 units" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "cannot be read"),
            ("{", "not JSON"),
            ("[]", "its format is None"),
            ('{"format": "fastdrop study", "version": 1}', "its version is 1, not 2"),
            ('{"format": "fastdrop study", "version": 2, "study": "rates"}', "its study is 'rates'"),
            (
                '{"format": "fastdrop study", "version": 2, "study": "sub-networks", "quick": false}',
                "its quick is False, not True",
            ),
        ],
    )
    def test_another_kind_of_file_is_refused_before_work(self, text, words, capsys, tmp_path):
        if text is not None:
            (tmp_path / "sub-networks.json").write_text(text)
        assert cli.main([*self.arguments, str(tmp_path / "new"), "--compare", str(tmp_path)]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *((key, value) for key in ("machine", "parts", "exact", "data") for value in (None, [], "x", 3)),
            ("machine", {"blas": "a\x1bb"}),
            ("machine", {"blas": {"a": 1}}),
            ("parts", {"drops": "holds"}),
            ("parts", {"drops": {"outcome": "perhaps"}}),
            ("parts", {"drops": {"outcome": ["holds"]}}),
            ("exact", {}),
            ("data", {"accuracy": 0.5}),
            ("data", {"accuracy": [[1.0], [1.0, 2.0]]}),
            ("data", {"accuracy": [0.5, None]}),
            ("data", {"accuracy": [0.5, 10**400]}),
            ("data", {"accuracy": [0.5, 1e300]}),
            ("data", {"accuracy": {"a": ["x"]}}),
            ("data", {"accuracy": ["0.5", 0.5, False]}),
            ("data", {"accuracy": [float("nan")]}),
        ],
    )
    def test_a_damaged_file_is_refused_before_work(self, key, value, capsys, tmp_path):
        damaged = json.loads((COMMITTED / "sub-networks.json").read_text()) | {key: value, "quick": True}
        (tmp_path / "sub-networks.json").write_text(json.dumps(damaged))
        assert cli.main([*self.arguments, str(tmp_path / "new"), "--compare", str(tmp_path)]) == 2
        assert f"its {key} is not what a run saves" in capsys.readouterr().err
        assert not (tmp_path / "new").exists()

    def test_a_machine_without_a_name_for_its_blas(self, tmp_path):
        content = json.loads((COMMITTED / "sub-networks.json").read_text()) | {"machine": {}, "quick": True}
        (tmp_path / "sub-networks.json").write_text(json.dumps(content))
        assert cli.main([*self.arguments, str(tmp_path / "new"), "--compare", str(tmp_path)]) == 1


@pytest.mark.parametrize("name", STUDIES)
def test_the_committed_runs_agree(name):
    one, other = (saved(STUDIES[name], folder, quick=False) for folder in (COMMITTED, COMMITTED / "skylakex"))
    assert (one["machine"]["blas kernel"], other["machine"]["blas kernel"]) == ("Haswell", "SkylakeX")
    assert compare(one, other).differences == []
    assert one["exact"]["masks of the first batch"]
    page = (COMMITTED / "README.md").read_text(encoding="utf-8")
    assert f"| {one['claim']} | {one['verdict']} |" in page
    current = {config_name: masks_of(config) for config_name, config in STUDIES[name].configs.items()}
    assert one["exact"]["masks of the first batch"] == current


TRAINS = """
import json
from fastdrop.experiments import ExperimentConfig, one_blas_thread
from fastdrop.experiments.blas import blas_library
from fastdrop.experiments.studies.report import masks_of
from fastdrop.experiments.histories import train, trained
config = ExperimentConfig(dataset="digits", train_fraction=0.3, hidden=(128, 64), rate=0.5, epochs=5)
with one_blas_thread():
    configs = [config.replace(seed=seed, split_seed=seed) for seed in range(5)]
    figures = [train(one)[-1].tolist() for one in configs]
    views = trained(config).snapshot().layers
masks = {"first": [masks_of(one) for one in configs], "last": [v.kept.tolist() for v in views if v.kept is not None]}
print(json.dumps({"exact": masks, "data": {"figures": figures}, "parts": {}, "machine": blas_library()}))
"""


def trains(kernel):
    """The results of a process with this kernel of OpenBLAS."""
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
    ran = subprocess.run([sys.executable, "-c", TRAINS], env=environment, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kernels_of_blas_change_no_mask():
    """They do change a network's figures, within their intervals; the same kernels give the same figures again."""
    kernels = ("Haswell", "SkylakeX" if "avx512" in configuration()["available"] else "Sandybridge")
    one, other = map(trains, kernels)
    if "openblas" not in one["machine"]["blas"] or platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"{one['machine']['blas']} on {platform.machine()} has no known choice of kernels")
    assert (one["machine"]["blas kernel"], other["machine"]["blas kernel"]) == kernels
    assert any(mask != "none" for mask in one["exact"]["first"])
    assert len(one["exact"]["last"]) == 2
    assert one["data"] != other["data"]
    assert compare(one, other).differences == []
    assert compare(one, trains("Haswell")).equal == 1
