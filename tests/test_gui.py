"""The app, offscreen, driven as a person would."""

import os
import signal

import numpy as np
import pytest

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.config import FITTING
from fastdrop.experiments.studies import STUDIES
from fastdrop.experiments.trainer import LayerView

pytest.importorskip("PySide6")
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QMessageBox, QToolBar

from fastdrop_gui.model import Status
from fastdrop_gui.views.heatmap import CELL, HeatMapView
from fastdrop_gui.views.window import MainWindow

pytestmark = pytest.mark.gui

CONFIG = ExperimentConfig(dataset="moons", hidden=(80, 16), epochs=500)
WAIT = 30_000


@pytest.fixture
def window(qtbot):
    window = MainWindow(CONFIG)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    yield window
    window.close()


def click(qtbot, window, action):
    button = window.findChild(QToolBar).widgetForAction(action)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_starts_ready_and_shows_the_untrained_network(window):
    assert "ready" in window.figures.text()
    assert window.heatmap.layer.count() == 3
    assert window.heatmap.pixels.shape == (32 * CELL, 64 * CELL)
    assert "480 to train, 120 to test" in window.controls.about.text()
    assert not window.pause_action.isEnabled()


def test_run_pause_step_reset(qtbot, window):
    click(qtbot, window, window.run_action)
    qtbot.waitUntil(lambda: len(window.model.history) > 5, timeout=WAIT)
    epochs, losses = window.curves.curves["train_loss"].getData()
    assert len(epochs) > 5
    assert losses[-1] < losses[0]
    click(qtbot, window, window.pause_action)
    qtbot.waitUntil(lambda: "paused" in window.figures.text(), timeout=WAIT)
    qtbot.wait(300)
    step = window.model.snapshot.step
    qtbot.wait(300)
    assert window.model.snapshot.step == step
    click(qtbot, window, window.step_action)
    qtbot.waitUntil(lambda: window.model.snapshot.step == step + 1, timeout=WAIT)
    click(qtbot, window, window.reset_action)
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    assert window.model.snapshot.step == 0
    assert len(window.model.history) == 1
    assert len(window.curves.curves["train_loss"].getData()[0]) == 1


def test_heat_map_follows_the_training(qtbot, window):
    window.controls.rate.setValue(0)  # so that masks alone cannot move it
    qtbot.waitUntil(lambda: window.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    before = window.heatmap.pixels.copy()
    click(qtbot, window, window.run_action)
    qtbot.waitUntil(lambda: len(window.model.history) > 2, timeout=WAIT)
    assert not np.array_equal(window.heatmap.pixels, before)
    window.controls.rate.setValue(50)
    qtbot.waitUntil(lambda: not window.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    assert "☒ dropped (" in window.heatmap.caption.text()


def test_rate_changes_while_training_runs(qtbot, window):
    click(qtbot, window, window.run_action)
    window.controls.rate.setValue(100)
    qtbot.waitUntil(lambda: not window.model.snapshot.layers[0].kept.any(), timeout=WAIT)
    assert window.controls.rate_label.text() == "1.00"
    window.controls.rate.setValue(0)
    qtbot.waitUntil(lambda: window.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    assert window.model.status is Status.RUNNING


def test_rate_changes_the_picture_while_paused(qtbot, window):
    window.controls.rate.setValue(100)
    qtbot.waitUntil(lambda: not window.model.snapshot.layers[0].kept.any(), timeout=WAIT)
    assert window.model.snapshot.step == 0
    assert window.model.status is Status.READY


def test_reset_while_running_shows_the_new_experiment_only(qtbot, window):
    for seed in (1, 2, 3):
        window.run_action.trigger()
        qtbot.waitUntil(lambda: window.model.snapshot is not None and window.model.snapshot.step > 5, timeout=WAIT)
        window.controls.seed.setValue(seed)
        window.reset_action.trigger()
        qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
        assert window.model.snapshot.step == 0
        assert [record.epoch for record in window.model.history] == [0]
    window.reset_action.trigger()
    window.reset_action.trigger()  # while it loads
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)


def test_every_step_counts(qtbot, window):
    for _ in range(10):
        window.step_action.trigger()
    qtbot.waitUntil(lambda: window.model.snapshot.step == 10, timeout=WAIT)
    qtbot.wait(200)
    assert window.model.snapshot.step == 10


def test_a_problem_stays_to_be_read(qtbot, window):
    window.run_action.trigger()
    window.controls.hidden.setText("many")
    window.reset_action.trigger()
    epochs = len(window.model.history)
    qtbot.waitUntil(lambda: len(window.model.history) > epochs + 3, timeout=WAIT)
    assert "'many'" in window.problem.text()
    window.controls.hidden.setText("8")
    window.reset_action.trigger()
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    assert window.problem.text() == ""


def test_numbers_that_the_panel_cannot_show_are_kept(window):
    for changes in ({"seed": 2**60, "rate": 0.155}, {"learning_rate": 1e-9}, {"batch_size": 65536, "rate": 0.005}):
        config = CONFIG.replace(**changes)
        window.controls.show_config(config)
        assert window.controls.config() == config
        assert not window.controls.signalsBlocked()


def test_leaving_a_field_unchanged_changes_nothing(qtbot, window):
    window.step_action.trigger()
    qtbot.waitUntil(lambda: window.model.snapshot.step == 1, timeout=WAIT)
    window.controls.hidden.editingFinished.emit()
    assert window.controls.hint.text() == ""


def test_the_chosen_layer_stays_chosen(qtbot, window):
    window.heatmap.layer.setCurrentIndex(1)
    window.reset_action.trigger()
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    assert window.heatmap.layer.currentText() == "hidden 2"


def test_finishes(qtbot):
    window = MainWindow(CONFIG.replace(epochs=2))
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    window.run_action.trigger()
    qtbot.waitUntil(lambda: "finished" in window.figures.text(), timeout=WAIT)
    assert window.model.history[-1].epoch == 2
    assert not window.run_action.isEnabled()


@pytest.mark.parametrize("kind", ["none", "spatial", "dropconnect"])
def test_choosing_the_kind_takes_effect_before_training(qtbot, window, kind):
    window.controls.dropout.setCurrentIndex(window.controls.dropout.findData(kind))
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    assert window.model.config.dropout == kind
    view = window.heatmap.view
    assert (view.kept is None) == (kind == "none")
    if kind == "dropconnect":
        assert view.columns == "input"
        assert view.name == "hidden 1 weights"


def test_changes_wait_for_reset_once_training_has_begun(qtbot, window):
    window.step_action.trigger()
    qtbot.waitUntil(lambda: window.model.snapshot.step == 1, timeout=WAIT)
    window.controls.dataset.setCurrentIndex(window.controls.dataset.findData("wine"))
    assert "Reset" in window.controls.hint.text()
    assert window.model.config.dataset == "moons"
    window.reset_action.trigger()
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    assert window.model.config.dataset == "wine"
    assert window.controls.hint.text() == ""


def test_unfit_network_is_refused_with_a_reason(qtbot, window):
    window.controls.hidden.setText("12, many")
    window.reset_action.trigger()
    assert "'12, many'" in window.problem.text()
    assert window.model.config == CONFIG


def test_bad_table_gives_a_message_and_the_app_goes_on(qtbot, window, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,x\n,y\n3,x\n4,y\n")
    window.controls.use_file(str(path))
    qtbot.waitUntil(lambda: window.model.status is Status.FAILED, timeout=WAIT)
    assert "bad.csv, row 3, column 'a': missing value" in window.problem.text()
    path.write_text("a,b\n1,x\n2,y\n3,x\n4,y\n5,x\n6,y\n7,x\n8,y\n")
    window.reset_action.trigger()
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    assert window.problem.text() == ""
    window.controls.dataset.setCurrentIndex(0)
    qtbot.waitUntil(
        lambda: window.model.config.dataset == "digits" and window.model.status is Status.READY, timeout=WAIT
    )


def test_killed_training_process_is_told_and_replaced(qtbot, window):
    window.run_action.trigger()
    os.kill(window.model._process._process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: window.model.status is Status.FAILED, timeout=WAIT)
    assert "ended unexpectedly" in window.problem.text()
    window.reset_action.trigger()
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)


def test_divergence_is_told(qtbot):
    window = MainWindow(CONFIG.replace(optimizer="sgd", learning_rate=10.0))
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    window.run_action.trigger()
    qtbot.waitUntil(lambda: window.model.status is Status.FAILED, timeout=WAIT)
    assert "lower the learning rate" in window.problem.text()


def test_configuration_is_saved_and_opened(qtbot, window, tmp_path, monkeypatch):
    path = tmp_path / "run.toml"
    window.controls.seed.setValue(7)
    window.save_config(str(path))
    assert ExperimentConfig.load(path) == CONFIG.replace(seed=7)
    CONFIG.replace(dataset="xor", rate=0.123).save(path)
    window.open_config(str(path))
    qtbot.waitUntil(lambda: window.model.config.dataset == "xor", timeout=WAIT)
    assert window.controls.config().rate == 0.123
    told = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: told.append(arguments[2]))
    path.write_text("nonsense")
    window.open_config(str(path))
    window.save_config(str(tmp_path / "no" / "folder.toml"))
    assert "not TOML" in told[0]
    assert "folder" in told[1]


def view(values, kept=None):
    return (LayerView("layer", np.asarray(values, np.float32), kept),)


def test_dropped_and_zero_differ_in_shape_not_only_in_colour(qtbot):
    heatmap = HeatMapView()
    qtbot.addWidget(heatmap)
    heatmap.show_layers(view([[0.0], [0.0], [5.0]], np.array([[True], [False], [True]])))
    zero, dropped, bright = (heatmap.pixels[:, i * CELL : (i + 1) * CELL] for i in range(3))
    assert len(np.unique(zero)) == len(np.unique(bright)) == 1
    assert len(np.unique(dropped)) == 2
    middle = CELL // 2
    assert dropped[middle, middle] != dropped[0, middle]
    assert zero[0, 0] != bright[0, 0]


def test_many_units_are_scrolled_and_pointed_at(qtbot):
    heatmap = HeatMapView()
    qtbot.addWidget(heatmap)
    values = np.arange(4000, dtype=np.float32).reshape(100, 40)
    heatmap.show_layers(view(values))
    assert heatmap.pixels.shape == (32 * CELL, 64 * CELL)
    heatmap.scroll_bar.setValue(36)
    assert "37 to 100 of 100" in heatmap.plot.getPlotItem().getAxis("bottom").labelText
    heatmap.show()
    heatmap.resize(900, 400)
    qtbot.waitExposed(heatmap)
    heatmap._point_at(heatmap.plot.getPlotItem().vb.mapViewToScene(QPointF(38.2, 2.7)))
    assert heatmap.readout.text() == "unit 38, sample 3: 1.48e+03"


def test_values_that_are_not_finite_do_not_break_the_map(qtbot):
    heatmap = HeatMapView()
    qtbot.addWidget(heatmap)
    with np.errstate(all="ignore"):
        heatmap.show_layers(view([[np.nan, np.inf, -np.inf, 1.0]]))
    assert heatmap.pixels.shape == (4 * CELL, CELL)


@pytest.mark.parametrize("network", ["cnn", "lstm", "attention", "text", "mlp"])
def test_choosing_a_network_brings_sizes_kinds_and_data_that_fit(qtbot, window, network):
    controls = window.controls
    if network == "mlp":  # from words, which a perceptron cannot read
        controls.network.setCurrentIndex(controls.network.findData("text"))
        qtbot.waitUntil(lambda: window.model.status is Status.READY, timeout=WAIT)
    controls.network.setCurrentIndex(controls.network.findData(network))
    qtbot.waitUntil(lambda: window.model.status is not Status.LOADING, timeout=WAIT)
    assert window.model.status is Status.READY, window.model.message
    config = window.model.config
    assert config.network == network
    assert config.dataset == ("reviews" if network == "text" else "digits")
    kinds = [controls.dropout.itemData(place) for place in range(controls.dropout.count())]
    assert tuple(kinds) == FITTING[network]
    controls.dropout.setCurrentIndex(len(kinds) - 1)
    qtbot.waitUntil(lambda: window.model.status is not Status.LOADING, timeout=WAIT)
    assert window.model.status is Status.READY, window.model.message
    assert window.model.config.dropout == kinds[-1]
    assert window.heatmap.layer.count() >= 2


def test_opens_the_configurations_of_the_experiments(qtbot, window, tmp_path):
    for study in STUDIES.values():
        for config in study.configs.values():
            config.save(tmp_path / "study.toml")
            window.open_config(str(tmp_path / "study.toml"))
            assert window.controls.config() == config == window.model.config
            qtbot.waitUntil(lambda: window.model.status is not Status.LOADING, timeout=WAIT)
            assert window.model.status is Status.READY, window.model.message
            window.step_action.trigger()
            qtbot.waitUntil(lambda: window.model.snapshot is not None and window.model.snapshot.step == 1, timeout=WAIT)
