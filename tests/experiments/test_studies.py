"""The studies: each runs, is saved and states its result; their helpers and the command measure correctly."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from studytools import config

from fastdrop import nn
from fastdrop.cli import main as cli
from fastdrop.experiments import ConfigError, ExperimentConfig, Trainer, load_dataset
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import train
from fastdrop.experiments.network import build_network
from fastdrop.experiments.studies import (
    STUDIES,
    StudyRunner,
    available_cores,
    document_of,
    ensemble,
    normalization,
    processes,
    save,
    save_overview,
    scaling,
    spatial,
    subnetworks,
    uncertainty,
)
from fastdrop.experiments.studies.spatial import explained_variance
from fastdrop.experiments.studies.uncertainty import calibration
from fastdrop.stream import Stream

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs_and_is_saved(name, tmp_path):
    study = STUDIES[name]
    progress = []
    finding = study.measure(StudyRunner(None, quick=True, report=progress.append))
    assert progress[-1] == 1.0
    assert finding.parts
    assert finding.sentence.endswith(".")
    assert all(len(row) == len(finding.columns) for row in finding.rows)
    assert not any("nan" in cell for row in finding.rows for cell in row)
    save(study, finding, document_of(study, finding, 1.0, {"cores": 2}, quick=True), tmp_path)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / f"{name}.svg").read_bytes()
    document = json.loads((tmp_path / f"{name}.json").read_text())
    assert {name: part["outcome"] for name, part in document["parts"].items()} == {
        name: part.outcome for name, part in finding.parts.items()
    }
    assert document["claim"] == study.claim
    assert document["machine"] == {"cores": 2}
    assert_seeds_first(document["data"])
    files = sorted(tmp_path.glob("*.toml"))
    assert {ExperimentConfig.load(path) for path in files} == set(study.configs.values())
    save_overview([(study, document)], tmp_path)
    page = (tmp_path / "README.md").read_text()
    measures = [part.measure for part in finding.parts.values()]
    for words in (study.claim, finding.sentence, finding.verdict, f"{name}.png", "undecided", "88 % for 5", *measures):
        assert words in page
    for link in [part.split(")")[0] for part in page.split("](")[1:]]:
        assert link.startswith("#") or (tmp_path / link).exists(), link
    assert_readable(finding.figure)
    CHECKS.get(name, lambda figure: None)(finding.figure)


def assert_seeds_first(figures):
    """Networks' figures are arrays of numbers, whose first axis is the seeds: two in a quick run."""
    for values in figures.values():
        if isinstance(values, dict):
            assert_seeds_first(values)
        else:
            assert np.shape(values)[0] == 2
            assert np.isfinite(values).all()


def assert_readable(figure):
    """Titles no wider than their panels, and no text outside the figure or across a panel's frame."""
    FigureCanvasAgg(figure).draw()
    for axis in figure.axes:
        panel = axis.get_window_extent()
        assert axis.title.get_window_extent().width <= 1.02 * panel.width, axis.get_title()
        for text in axis.texts:
            words = text.get_window_extent()
            assert panel.y0 < words.y0, text
            assert words.y1 < panel.y1, text
        if axis.get_legend() is not None:
            assert axis.get_legend().get_window_extent().width < 0.75 * panel.width
    assert figure.bbox.width >= max(axis.get_tightbbox().x1 for axis in figure.axes)


def check_rates(figure):
    for axis in figure.axes[:2]:
        styles = [line.get_linestyle() for line in axis.lines]
        assert sorted(styles) == ["-"] * 5 + ["--"] * 5  # test and train, of five rates
        low, high = axis.get_ylim()
        assert all(low <= value <= high for line in axis.lines for value in line.get_ydata())
        assert axis.get_legend() is None  # it is below the axes and covers no curve


def check_weights(figure):
    assert figure.axes[1].get_yscale() == "log"
    for line in figure.axes[1].lines:
        values = line.get_ydata()
        assert np.isfinite(values).sum() > 20
        assert values[np.isfinite(values)].min() > 0


def check_forgetting(figure):
    """One line shows evaluation mode for every rate; calls are shown as differences from it."""
    *calls, evaluation = figure.axes[0].lines
    assert set(evaluation.get_ydata()) == {0.0}
    assert all(np.mean(line.get_ydata()) < 0 for line in calls)
    assert len({line.get_label() for line in calls}) == 3


CHECKS = {"rates": check_rates, "weights": check_weights, "forgetting-eval": check_forgetting}


def test_estimates():
    estimate = Estimate.of([1.0, 2.0, 3.0])
    assert estimate == pytest.approx((2.0, 1.0, 1 / np.sqrt(3)))
    assert estimate.is_positive
    assert not estimate.is_negative
    assert Estimate.of([-1.0, -2.0, -3.0]).is_negative
    assert not Estimate.of([-1.0, 2.0, 0.5]).is_positive
    assert not Estimate.of([0.0, 0.0]).is_positive
    assert f"{estimate:.1f}" == "2.0 ± 1.0"
    assert estimate.interval("+.2f") == "+2.00 ± 1.15"


def test_information_from_neighbours():
    x = np.repeat(np.random.default_rng(0).standard_normal((50, 4, 16)), 2, axis=2)  # every value twice
    kept = np.ones(x.shape, bool)
    kept[:, :, ::2] = False
    assert 0.4 < explained_variance(x, kept, (2,)) < 0.6  # one of two neighbours is the same
    assert explained_variance(x, np.zeros(x.shape, bool), (2,)) == 0
    constant = np.broadcast_to(x[:, :, :1], x.shape)
    assert explained_variance(constant, kept, (2,)) == pytest.approx(1)


def test_calibration_error():
    bins, error = calibration(np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False]))
    assert error == pytest.approx((0.1 + 0.1) / 4)
    assert bins[:, 9] == pytest.approx([0.95, 1.0, 2])


def test_two_processes_give_the_results_of_one():
    configs = [config(epochs=1, seed=seed) for seed in range(3)]
    with processes(2) as executor:
        found = StudyRunner(executor, quick=False).train(configs)
    with processes(1) as executor:
        np.testing.assert_array_equal(found, StudyRunner(executor, quick=False).train(configs))


def test_a_failure_ends_the_processes():
    with pytest.raises(ConfigError), processes(2) as executor:
        StudyRunner(executor, quick=False).map(
            train, [ExperimentConfig(network="cnn", dataset="wine", hidden=(4, 8))] * 4
        )


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")
def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal
        from fastdrop.experiments.studies import processes

        if __name__ == "__main__":
            with processes(2) as executor:
                print(executor.submit(os.getpid).result(), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        """)
    )
    killed = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    state = Path(f"/proc/{int(killed.stdout)}/stat")
    deadline = time.monotonic() + 30
    while alive(state) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(state)


def alive(state):
    """Whether a process is alive, by its file in /proc."""
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestMeasuring:
    """The measuring helpers, on networks that train in seconds and on numbers with known results."""

    small = config(train_fraction=0.5, rate=0.5, epochs=3, hidden=(32, 16))

    def test_running_means(self):
        drawn = [np.array([1.0, 10.0]), np.array([3.0, 10.0]), np.array([8.0, 40.0])]
        found = list(ensemble.running_means(iter(drawn).__next__, (1, 3)))
        np.testing.assert_array_equal(found, [[1.0, 10.0], [4.0, 20.0]])

    def test_sub_networks_are_averaged(self):
        scores = ensemble.scores_of(self.small)
        accuracy, loss = scores.averaged.T
        assert scores.averaged.shape == (8, 2)
        assert scores.scaled != tuple(scores.averaged[0])  # one sub-network is not the whole
        assert loss[-1] < loss[0] - 0.1
        assert accuracy[-1] > accuracy[0]
        assert abs(accuracy[-1] - accuracy[-2]) < 0.03

    @pytest.mark.parametrize(
        ("accuracies", "words"),
        [
            ([1, 2, 3, 4, 5, 6, 7, 8], "reaches weight scaling's from 50 on"),
            ([1, 2, 3, 4, 5, 5, 7, 5], "reaches weight scaling's at 100, and is below it at the other numbers"),
            ([1, 2, 3, 4, 7, 5, 7, 5], "reaches weight scaling's at 20, 100, and is below it"),
            ([1, 2, 3, 4, 5, 5, 5, 5], "is below weight scaling's at every number up to 200"),
            ([9] * 8, "reaches weight scaling's from 1 on"),
        ],
    )
    def test_where_weight_scaling_is_reached(self, accuracies, words):
        assert ensemble.where_reached(accuracies, 6).startswith(words)

    def test_dropout_is_on_where_evaluation_is_forgotten(self):
        found = scaling.forgotten_of(self.small)
        assert found.calls.std() > 0
        assert found.agreement < 0.99
        assert found.evaluated > found.calls.mean()

    def test_activations_are_scaled_wrongly(self):
        np.testing.assert_array_equal(scaling._Scaled(3.0)(np.array([1.0, -2.0])), [3.0, -6.0])
        found = scaling.mismatch_of(self.small)
        assert len(set(found.loss)) == 3
        last = Trainer(self.small)
        while not last.finished:
            last.step()
        assert found.accuracy[0] == last.history[-1].test_accuracy
        assert found.loss[0] == pytest.approx(last.history[-1].test_loss, rel=1e-5)

    def test_gains_behind_batch_normalisation(self):
        accuracy = {
            "no dropout": np.array([0.9, 0.9, 0.9]),
            "one before": np.array([0.70, 0.71, 0.72]),
            "one after": np.array([0.80, 0.82, 0.81]),
            "first, plain": np.array([0.75, 0.75, 0.75]),
            "last, plain": np.array([0.77, 0.78, 0.76]),
        }
        gains = normalization.Gains.of(accuracy)
        assert gains.normalised.mean == pytest.approx(0.1)
        assert gains.plain.mean == pytest.approx(0.02)
        assert gains.difference.mean == pytest.approx(0.08)
        assert gains.difference == pytest.approx(Estimate.of([0.08, 0.08, 0.08]), abs=1e-9)

    def test_positions_of_dropout_are_compared_at_equal_amounts(self):
        def dropped(name):
            study = STUDIES["batch-norm"].configs[name]
            network = build_network(study, load_dataset("digits"), Stream(0))
            sizes = [size for size, block in zip(study.hidden, network.blocks, strict=True) if block.dropper]
            layers = network.layers
            place = next(n for n, layer in enumerate(layers) if isinstance(layer, nn.Dropout))
            return sizes, study.rates, any(isinstance(layer, nn.BatchNorm) for layer in layers[place:])

        before, after, first, last = map(dropped, ("one-before", "one-after", "first-plain", "last-plain"))
        assert before[:2] == after[:2] == first[:2] == last[:2]
        assert len(before[0]) == 1
        assert (before[2], after[2], first[2], last[2]) == (True, False, False, False)

    def test_the_variance_shifts_behind_dropout(self):
        changes = {"epochs": 5, "split_seed": 1, "hidden": (32, 32, 32)}
        shifts = {
            name: normalization.shift_of(STUDIES["batch-norm"].configs[name].replace(**changes))
            for name in ("one-before", "one-after", "first-plain")
        }
        before, after = (np.mean(shifts[name].ratios[1:]) for name in ("one-before", "one-after"))
        assert before > after + 0.1
        assert shifts["first-plain"].ratios == ()
        assert shifts["one-before"].history.shape == (6, 4)

    def test_the_least_confident_are_rejected_first(self):
        sure, unsure = [0.98, 0.01, 0.01], [0.4, 0.3, 0.3]
        mean = np.array([unsure, sure] * 10)
        kept = uncertainty.kept_accuracy(mean, np.array([False, True] * 10))
        assert kept[0] == 1.0  # half of the examples are kept
        assert kept[-1] == 0.5  # all are kept
        assert kept == sorted(kept, reverse=True)

    def test_the_reported_figure_has_a_standard_deviation(self):
        one, other = (spatial.explained_variances(seed) for seed in (0, 1))
        assert one.shape == (3, 7)
        assert (one[0] != other[0]).all()
        standard, whole, blocks = one
        assert (np.diff(standard[:-1]) > 0).all()
        assert whole.max() < 0.02
        assert (blocks[1:] < standard[1:]).all()

    def test_sub_networks_are_counted(self):
        draws = np.array([1, 10, 1000])
        assert subnetworks.different(24, draws, 0) == [1, 10, 1000]
        assert subnetworks.different(2, draws, 0)[-1] == 4
        assert subnetworks.different(8, draws, 0) != subnetworks.different(8, draws, 1)

    def test_the_fraction_that_is_dropped(self):
        view = subnetworks.activations_of(self.small)
        assert subnetworks.dropped_fraction(view) == pytest.approx(0.5, abs=0.1)
        assert subnetworks.dropped_fraction(subnetworks.activations_of(self.small.replace(rate=0.0))) == 0

    @pytest.mark.parametrize("how", [{"rate": 0.2}, {"rate": 0.0}, {"rate": 1.0}])
    def test_a_network_is_built_at_its_configurations_rate(self, how):
        network = build_network(config(**how), load_dataset("digits"), Stream(1))
        assert [dropper.p for dropper in network.droppers] == [how["rate"]] * 2
        layered = config(layer_dropout=("standard", "gaussian"), layer_rates=(0.1, 0.7))
        network = build_network(layered, load_dataset("digits"), Stream(1))
        assert [dropper.p for dropper in network.droppers] == [0.1, 0.7]

    def test_dropconnect_as_published_drops_biases(self):
        trainer = Trainer(STUDIES["dropconnect"].configs["dropconnect"].replace(hidden=(16,), epochs=1))
        trainer.step()
        layer = trainer.network.layers[0]
        assert layer.drop_bias
        assert layer.mask.shape[1:] == (16, 65)


def test_all_studies_leave_a_margin_below_a_quarter_of_an_hour():
    assert sum(study.expected for study in STUDIES.values()) < 600


class TestCommand:
    def test_list(self, capsys):
        assert cli.main(["reproduce", "list"]) == 0
        printed = capsys.readouterr().out
        assert all(name in printed for name in STUDIES)

    def test_one(self, capsys, tmp_path):
        arguments = ["reproduce", "sub-networks", "--quick", "--processes", "1", "--save", str(tmp_path / "new")]
        assert cli.main(arguments) == 0
        printed = " ".join(capsys.readouterr().out.split())
        for words in ("claim: A layer of n units", "every time: holds (", "2^24", "pictures, figures"):
            assert words in printed
        assert (tmp_path / "new" / "sub-networks.png").exists()
        assert not (tmp_path / "new" / "README.md").exists()

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["everything"], "no experiment 'everything'.*rates"),
            (["rates", "--processes", "0"], "processes.*0"),
            (["rates", "--save", "/dev/null"], "no folder"),
        ],
    )
    def test_errors(self, arguments, words, capsys):
        assert cli.main(["reproduce", *arguments]) == 2
        assert re.search(words, capsys.readouterr().err)

    def test_stopped(self, capsys, tmp_path, monkeypatch):
        def stopped(work):
            raise KeyboardInterrupt

        monkeypatch.setitem(STUDIES, "rates", dataclasses.replace(STUDIES["rates"], measure=stopped))
        assert cli.main(["reproduce", "rates", "--processes", "1", "--save", str(tmp_path)]) == 130
        assert "stopped; 0 of 1" in capsys.readouterr().out


def test_cores():
    assert available_cores() >= 1
