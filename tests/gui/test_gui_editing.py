"""The app's model without Qt: edits of the configuration with their consequences, and the training process."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from fastdrop.experiments import ConfigError, DataError, Experiment, ExperimentConfig, Trainer, load_experiment
from fastdrop.experiments.choices import FITTING, NETWORKS
from fastdrop.experiments.tables.roles import Choices
from fastdrop_gui.model import editing
from fastdrop_gui.model.downsampled import MOST_KEPT, DownsampledSeries
from fastdrop_gui.model.experiment_model import ExperimentModel, Status
from fastdrop_gui.model.rate_limiter import RateLimiter
from fastdrop_gui.model.trainer_pair import DatasetCache

pytestmark = pytest.mark.slow

CONFIG = ExperimentConfig(dataset="moons", hidden=(16, 8), epochs=500)
WAIT = 60.0


def test_the_model_runs_where_qt_is_not_installed():
    code = (
        "import sys; sys.modules['PySide6'] = sys.modules['pyqtgraph'] = sys.modules['superqt'] = None\n"
        "import pkgutil, importlib, fastdrop_gui.model as model\n"
        "names = [m.name for m in pkgutil.iter_modules(model.__path__)]\n"
        "[importlib.import_module('fastdrop_gui.model.' + name) for name in names]\n"
        "print(len(names))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) >= 3


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("before", NETWORKS)
def test_a_network_brings_sizes_a_kind_and_data_that_fit(before, network):
    config = editing.with_field(CONFIG, "network", before)
    for kind in FITTING[before]:
        changed = editing.with_field(editing.with_field(config, "dropout", kind), "network", network)
        assert changed.network == network
        assert changed.dropout in FITTING[network]
    Trainer(changed.replace(epochs=1)).step()


def test_data_that_the_network_cannot_read_bring_another_network():
    assert editing.with_field(CONFIG, "dataset", "reviews").network == "text"
    convolutions = editing.with_field(CONFIG, "network", "cnn")
    assert convolutions.dataset == "digits"
    assert editing.with_field(convolutions, "dataset", "wine").network == "mlp"
    assert editing.with_field(convolutions, "dataset", "digits").network == "cnn"
    own = editing.with_file(convolutions, "/data/own.csv", Choices("kind"))
    assert (own.network, own.dataset, own.data_file, own.target) == ("mlp", "file", "/data/own.csv", "kind")
    assert editing.with_field(own, "dataset", "moons").data_file == ""


def test_a_file_brings_the_default_fraction_and_no_spatial_dropout():
    before = CONFIG.replace(train_fraction=0.2, dropout="spatial", data_hash="")
    own = editing.with_file(before, "/data/own.csv")
    assert (own.train_fraction, own.dropout, own.target) == (0.8, "standard", "")
    mixed = CONFIG.replace(layer_dropout=("spatial", "gaussian"), layer_rates=(0.1, 0.2))
    assert editing.with_file(mixed, "/data/own.csv").kinds == ("standard", "gaussian")
    choices = Choices("kind", ("a",), ("b",), ("c",))
    whole = editing.with_file(own, "/data/book.xlsx", choices, "second", "/data/test.xlsx")
    assert (whole.ignore, whole.categorical, whole.numeric) == (("a",), ("b",), ("c",))
    assert (whole.sheet, whole.test_data) == ("second", "/data/test.xlsx")
    assert editing.with_file(whole, "/data/other.csv").ignore == ()
    assert editing.with_file(whole.replace(train_fraction=0.6), whole.data_file).train_fraction == 0.6


def test_images_keep_a_network_for_images():
    convolutions = editing.with_field(CONFIG, "network", "cnn").replace(dropout="spatial")
    own = editing.with_file(convolutions, "/data/pictures", are_images=True)
    assert (own.network, own.dropout, own.train_fraction) == ("cnn", "spatial", 0.8)
    assert editing.with_field(own.replace(network="mlp", dropout="standard"), "network", "cnn").dataset == "file"
    assert editing.with_field(own, "network", "text").dataset == "reviews"


def test_layers_are_edited_added_removed_and_moved():
    one = editing.with_layer(CONFIG, 1, kind="spatial")
    assert one.kinds == ("standard", "spatial")
    two = editing.with_layer(one, 1, rate=0.1)
    assert two.rates == (0.5, 0.1)
    three = editing.add_layer(two, 1)
    assert (three.hidden, three.kinds, three.rates) == (
        (16, 8, 8),
        ("standard", "spatial", "spatial"),
        (0.5, 0.1, 0.1),
    )
    moved = editing.move_layer(three, 2, 0)
    assert (moved.hidden, moved.kinds) == ((8, 16, 8), ("spatial", "standard", "spatial"))
    assert editing.remove_layer(moved, 1).hidden == (8, 8)
    assert editing.with_layer(CONFIG, 0, size=24).hidden == (24, 8)


def test_equal_layer_settings_become_one_setting():
    apart = editing.with_layer(CONFIG, 0, rate=0.2)
    assert apart.layer_rates == (0.2, 0.5)
    together = editing.with_layer(apart, 1, rate=0.2)
    assert (together.layer_rates, together.layer_dropout, together.rate) == ((), (), 0.2)


def test_a_moved_layer_keeps_its_kind_only_where_it_has_a_place():
    config = ExperimentConfig(network="cnn", hidden=(4, 8, 16), dropout="spatial")
    moved = editing.move_layer(config, 0, 2)
    assert moved.hidden == (8, 16, 4)
    assert moved.kinds == ("spatial", "none", "none")


def test_a_network_keeps_its_fewest_layers():
    assert not editing.can_remove(CONFIG.replace(hidden=(8,)))
    assert not editing.can_remove(ExperimentConfig(network="cnn", hidden=(4, 8)))
    with pytest.raises(ConfigError):
        editing.remove_layer(CONFIG.replace(hidden=(8,)), 0)


@pytest.mark.parametrize(
    ("changes", "live"),
    [
        ({"rate": 0.1}, True),
        ({"learning_rate": 0.1}, True),
        ({"epochs": 900}, True),
        ({"layer_dropout": ("standard", "standard"), "layer_rates": (0.1, 0.2)}, True),
        ({"layer_dropout": ("standard", "none")}, False),
        ({"dropout": "alpha"}, False),
        ({"hidden": (16, 9)}, False),
        ({"seed": 1}, False),
    ],
)
def test_what_may_change_while_training_runs(changes, live):
    assert editing.only_live(CONFIG, CONFIG.replace(**changes)) == live


def test_downsampled_series_stay_short_and_even():
    series = DownsampledSeries()
    for step in range(20 * MOST_KEPT):
        series.add(float(step), None)
    epochs = [epoch for epoch, _ in series]
    assert MOST_KEPT / 2 <= len(series) <= MOST_KEPT
    assert epochs[0] == 0
    assert epochs[-1] > 19 * MOST_KEPT
    assert len({b - a for a, b in itertools.pairwise(epochs)}) == 1


def test_a_rate_limiter_lets_costly_work_wait():
    limiter = RateLimiter(0.1, 0.0)
    assert limiter(lambda: time.sleep(0.02) or "done") == "done"
    assert limiter(lambda: "again") is None
    assert limiter.wait > 0.05
    limiter.reset()
    assert limiter(lambda: "again") == "again"


@pytest.fixture
def model():
    model = ExperimentModel(CONFIG)
    wait(model, lambda: model.status is Status.READY)
    yield model
    model.close()


def wait(model, condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, (model.status, model.message)
        model.tick()
        time.sleep(0.01)


def test_the_baseline_sees_the_same_batches_and_catches_up(model):
    model.step(epoch=True)
    wait(model, lambda: model.snapshot.step == model.steps_per_epoch)
    model.set_baseline(True)
    wait(model, lambda: model.baseline_step == model.steps_per_epoch)
    assert model.baseline_history[0] == model.history[0]  # the same initial weights
    assert [record.epoch for record in model.baseline_history] == [0, 1]
    model.step(epoch=True)
    wait(model, lambda: model.baseline_step == model.snapshot.step == 2 * model.steps_per_epoch)
    alone = ExperimentModel(CONFIG.without_dropout())
    wait(alone, lambda: alone.status is Status.READY)
    for epoch in (1, 2):
        alone.step(epoch=True)
        wait(alone, lambda epoch=epoch: alone.snapshot.step == epoch * alone.steps_per_epoch)
    assert alone.history == model.baseline_history
    alone.close()
    model.set_baseline(False)
    wait(model, lambda: not model.baseline_history and model.baseline_step is None)


def test_saved_and_opened_again_with_its_baseline(model, tmp_path):
    model.set_baseline(True)
    for _ in range(20):
        model.step()
    wait(model, lambda: model.snapshot.step == 20)
    path = str(tmp_path / "run.fastdrop")
    model.save(path, Experiment(model.config))
    wait(model, lambda: model.saved)
    assert (model.saved[0].path, model.saved[0].problem) == (path, "")
    assert load_experiment(path).states.keys() == {"main", "baseline"}
    history, layers = list(model.history), model.snapshot.layers
    model.reset(model.config, file=path)
    wait(model, lambda: model.status is Status.PAUSED and model.baseline_step == 20)
    assert model.snapshot.step == 20
    assert model.history == history
    assert (model.snapshot.layers[0].values == layers[0].values).all()


def test_a_file_of_another_network_fails_in_words(model, tmp_path):
    path = str(tmp_path / "run.fastdrop")
    model.save(path, Experiment(model.config))
    wait(model, lambda: model.saved)
    model.reset(CONFIG.replace(hidden=(4,)), file=path)
    wait(model, lambda: model.status is Status.FAILED)
    assert "does not belong to this configuration" in model.message


def test_saving_where_nothing_can_be_written_is_reported(model, tmp_path):
    model.save(str(tmp_path / "no" / "run.fastdrop"), Experiment(model.config))
    wait(model, lambda: model.saved)
    assert "there is no folder" in model.saved[0].problem


def test_longer_epochs_let_a_finished_training_go_on(model):
    model.reset(CONFIG.replace(epochs=1))
    wait(model, lambda: model.status is Status.READY)
    model.run()
    wait(model, lambda: model.status is Status.FINISHED)
    model.change(model.config.replace(epochs=2))
    assert model.status is Status.PAUSED
    model.run()
    wait(model, lambda: model.status is Status.FINISHED and model.snapshot.step == 2 * model.steps_per_epoch)


def test_a_baseline_that_diverges_does_not_stop_the_window(model):
    model.reset(CONFIG.replace(hidden=(80, 16), optimizer="sgd", learning_rate=10.0), baseline=True)
    wait(model, lambda: model.status is Status.READY)
    model.run()
    wait(model, lambda: model.status is Status.FAILED)
    assert "lower the learning rate" in model.message
    model.reset(CONFIG)
    wait(model, lambda: model.status is Status.READY)


def test_what_is_not_requested_is_not_computed(model):
    assert model.boundary is None
    model.request(boundary=True)
    wait(model, lambda: model.boundary is not None)
    before = model.boundary
    model.step()
    wait(model, lambda: model.boundary is not before)
    model.request(unit=(1, 3))
    wait(model, lambda: model.unit is not None and (model.unit.block, model.unit.unit) == (1, 3))
    wait(model, lambda: model.distributions)
    epochs, means = model.history_of_unit("hidden 2", 3)
    assert len(epochs) == len(means) >= 1


def test_layers_come_only_while_they_are_looked_at(model):
    seen = model.snapshot.layers
    assert [view.name for view in seen] == ["hidden 1", "hidden 2", "output probabilities"]
    model.request(layers=False)
    model.tick()
    for step in (1, 2):
        model.step()
        wait(model, lambda step=step: model.snapshot.step == step)
    assert model.snapshot.layers is seen  # the last state stays
    model.request(layers=True)  # and is updated at once, although training is paused
    wait(model, lambda: model.snapshot.layers is not seen)
    assert model.snapshot.step == 2


def test_a_data_set_is_read_again_only_where_it_has_changed(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("a,b,kind\n" + "".join(f"{row},{row % 7},{row % 2}\n" for row in range(40)))
    config = editing.with_file(CONFIG, str(path), Choices("kind"))
    datasets = DatasetCache()
    first = datasets.load(config)
    assert datasets.load(config.replace(seed=3, rate=0.1)) is first
    assert datasets.load(config.replace(train_fraction=0.5)) is not first
    kept = datasets.load(config)
    path.write_text("a,b,kind\n" + "".join(f"{row},{row % 7},{row % 4}\n" for row in range(40)))
    assert datasets.load(config) is not kept
    assert datasets.load(config).classes == 4
    path.unlink()
    with pytest.raises(DataError, match=r"own\.csv"):
        datasets.load(config)


def test_loading_is_timed(model):
    assert model.loading_seconds == 0.0
    model.reset(CONFIG)
    time.sleep(0.02)
    assert 0.02 <= model.loading_seconds < WAIT
    wait(model, lambda: model.status is Status.READY)
    assert model.loading_seconds == 0.0


def test_a_killed_process_is_reported_and_replaced(model):
    os.kill(model._process.pid, signal.SIGKILL)
    wait(model, lambda: model.status is Status.FAILED)
    assert "ended unexpectedly" in model.message
    assert not model.can_save
    model.reset(CONFIG)
    wait(model, lambda: model.status is Status.READY)


def test_quick_changes_while_it_loads_keep_the_process(model):
    process = model._process
    for seed in range(1, 6):
        model.reset(CONFIG.replace(seed=seed))
    wait(model, lambda: model.status is Status.READY)
    assert model._process is process
    assert model.config.seed == 5
    expected = ExperimentModel(CONFIG.replace(seed=5))
    wait(expected, lambda: expected.status is Status.READY)
    assert model.history == expected.history
    expected.close()


def test_a_process_that_is_stuck_in_loading_is_replaced(model, monkeypatch):
    monkeypatch.setattr("fastdrop_gui.model.experiment_model.PATIENCE", 0.3)
    process = model._process
    os.kill(process._process.pid, signal.SIGSTOP)
    model.reset(CONFIG.replace(seed=1))
    model.reset(CONFIG.replace(seed=2))
    wait(model, lambda: model.status is Status.READY)
    assert model._process is not process
    assert model.config.seed == 2


def test_a_late_baseline_trains_with_the_learning_rates_of_its_steps(model):
    model.step(epoch=True)
    wait(model, lambda: model.snapshot.step == model.steps_per_epoch)
    model.change(model.config.replace(learning_rate=0.05))
    model.step(epoch=True)
    wait(model, lambda: model.snapshot.step == 2 * model.steps_per_epoch)
    model.set_baseline(True)
    wait(model, lambda: model.baseline_step == 2 * model.steps_per_epoch)
    baseline = Trainer(CONFIG.without_dropout())
    for step in range(2 * baseline.steps_per_epoch):
        if step == baseline.steps_per_epoch:
            baseline.learning_rate = 0.05
        baseline.step()
    assert [record.test_accuracy for record in model.baseline_history] == [
        record.test_accuracy for record in baseline.history
    ]


def test_a_failure_of_the_baseline_does_not_stop_the_training(model):
    config = CONFIG.replace(hidden=(80, 16), rate=1.0, optimizer="sgd", learning_rate=100.0, epochs=20)
    model.reset(config, baseline=True)
    wait(model, lambda: model.status is Status.READY)
    model.run()
    wait(model, lambda: "the baseline (no dropout) stopped" in model.message)
    assert not model.baseline_requested
    wait(model, lambda: model.status is Status.FINISHED)


def test_fewer_epochs_than_were_trained_end_the_training(model):
    model.reset(CONFIG.replace(batch_size=480, epochs=100_000))
    wait(model, lambda: model.status is Status.READY)
    model.run()
    wait(model, lambda: model.snapshot.step > 50)
    model.change(model.config.replace(epochs=10))
    wait(model, lambda: model.status is Status.FINISHED)
    assert model.snapshot.step == model.total_steps
