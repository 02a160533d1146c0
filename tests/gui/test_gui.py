"""The app's window, offscreen, driven as a person would: building, running, comparing."""

import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, choose, click, ready, type_number
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QWheelEvent
from PySide6.QtWidgets import (
    QApplication,
    QMessageBox,
    QTabBar,
    QTableWidget,
)

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.studies import STUDIES
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.widgets.dialogs import ShortcutsDialog
from fastdrop_gui.views.widgets.theme import set_scheme

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def test_every_step_counts(qtbot, window):
    for _ in range(10):
        window.commands.step.trigger()
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 10, timeout=WAIT)
    qtbot.wait(200)
    assert window.session.model.snapshot.step == 10


def test_heat_map_and_rates_follow_live(qtbot, window):
    first = window.training.heat_map
    window.training.settings.rate.setValue(0.0)  # so that masks alone cannot move it
    qtbot.waitUntil(lambda: window.session.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    before = first.pixels.copy()
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.session.model.history) > 2, timeout=WAIT)
    assert not np.array_equal(first.pixels, before)
    window.training.settings.rate.setValue(0.5)
    qtbot.waitUntil(lambda: not window.session.model.snapshot.layers[0].kept.all(), timeout=WAIT)
    window.training.cards.cards[1].rate.setValue(1.0)
    qtbot.waitUntil(lambda: not window.session.model.snapshot.layers[1].kept.any(), timeout=WAIT)
    assert window.session.model.snapshot.layers[0].kept.any()
    assert window.session.model.status is Status.RUNNING
    assert window.status.hint.text() == ""
    type_number(qtbot, window.training.settings.fields["learning_rate"], "0.02")
    assert window.session.model.config.learning_rate == 0.02
    assert window.status.hint.text() == ""


def test_the_epoch_limit_changes_live(qtbot, open_window):
    window = open_window(CONFIG.replace(epochs=1))
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: "finished" in window.status.figures.text(), timeout=WAIT)
    assert not window.commands.run.isEnabled()
    type_number(qtbot, window.training.settings.fields["epochs"], "3")
    assert window.commands.run.isEnabled()
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: window.session.model.history[-1].epoch == 3, timeout=WAIT)


def test_speed_is_limited(qtbot, window):
    window.tool_bar.speed.setCurrentText("10 batches/s")
    click(qtbot, window, window.commands.run)
    qtbot.wait(1500)
    assert 2 <= window.session.model.snapshot.step <= 40
    window.tool_bar.speed.setCurrentText("full speed")
    qtbot.waitUntil(lambda: window.session.model.snapshot.step > 300, timeout=WAIT)


def test_layers_are_added_edited_moved_and_removed_on_cards(qtbot, window):
    cards = window.training.cards
    qtbot.mouseClick(cards.cards[1].add, Qt.MouseButton.LeftButton)
    ready(qtbot, window)
    assert window.session.model.config.hidden == (80, 16, 16)
    type_number(qtbot, cards.cards[2].size_box, "24")
    choose(cards.cards[2].kind, "spatial")
    ready(qtbot, window)
    assert window.session.model.config.kinds == ("standard", "standard", "spatial")
    cards.cards[2].setFocus()
    qtbot.keyClick(cards.cards[2], Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    assert window.session.document.config.hidden == (80, 24, 16)
    assert window.session.document.config.kinds == ("standard", "spatial", "standard")
    qtbot.mouseClick(cards.cards[0].remove, Qt.MouseButton.LeftButton)
    ready(qtbot, window)
    assert window.session.model.config.hidden == (24, 16)
    assert len([card for card in cards.cards if card.isVisible()]) == 2
    assert window.training.heat_map.layer.count() == 3
    assert cards.cards[0].name.text() == "Hidden 1"


def test_cards_are_dropped_elsewhere(window):
    cards = window.training.cards
    data = QMimeData()
    data.setData("application/x-fastdrop-layer", b"0")
    last = cards.cards[1]
    place = QPointF(last.mapTo(cards, QPoint(last.width() - 5, 20)))
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    cards.dropEvent(QDropEvent(place, Qt.DropAction.MoveAction, data, buttons, keys))
    assert window.session.document.config.hidden == (16, 80)


def test_a_change_that_cannot_be_is_explained_beside_the_field(qtbot, window):
    choose(window.training.settings.fields["dropout"], "spatial")
    ready(qtbot, window)
    type_number(qtbot, window.training.cards.cards[0].size_box, "33")
    assert "multiples" in window.status.problem.text()
    assert window.training.cards.cards[0].size_box.value() == 80  # as it was
    choose(window.training.settings.fields["dropout"], "gaussian")
    window.training.settings.rate.setValue(1.0)
    assert "below 1" in window.training.settings.problem("rate")
    assert window.session.document.config.rate == 0.5
    window.training.settings.rate.setValue(0.4)
    assert window.training.settings.problem("rate") == ""
    assert window.session.document.config.rate == 0.4


def test_undo_and_redo(qtbot, window):
    choose(window.training.settings.fields["dropout"], "alpha")
    for value in (0.48, 0.46, 0.44):  # a slider's way: one step to undo
        window.training.settings.rate.setValue(value)
    qtbot.mouseClick(window.training.cards.cards[0].add, Qt.MouseButton.LeftButton)
    changed = window.session.document.config
    assert (changed.dropout, changed.rate, len(changed.hidden)) == ("alpha", 0.44, 3)
    assert window.isWindowModified()
    for expected in (("alpha", 0.44, 2), ("alpha", 0.5, 2), ("standard", 0.5, 2)):
        qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        config = window.session.document.config
        assert (config.dropout, config.rate, len(config.hidden)) == expected
    assert window.session.document.config == CONFIG
    assert not window.isWindowModified()
    assert window.training.settings.dropout.currentData() == "standard"
    assert len(window.training.cards.cards) == 2
    for _ in range(3):
        qtbot.keyClick(window, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert window.session.document.config == changed
    ready(qtbot, window)
    assert window.session.model.config == changed


def test_changes_wait_for_reset_once_training_has_begun(qtbot, window):
    window.commands.step.trigger()
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)
    choose(window.training.settings.dataset, "wine")
    assert "Reset to apply" in window.status.hint.text()
    assert window.session.model.config.dataset == "moons"
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.session.model.config.dataset == "wine"
    assert window.status.hint.text() == ""


def test_numbers_that_the_panel_cannot_show_are_kept(qtbot, window):
    for changes in ({"seed": 2**60, "rate": 0.155}, {"learning_rate": 1e-9}, {"batch_size": 65536, "rate": 0.005}):
        config = CONFIG.replace(**changes)
        window.session.open_config(config)
        assert window.session.document.config == config
        type_number(qtbot, window.training.settings.fields["split_seed"], "3")
        assert window.session.document.config == config.replace(split_seed=3)


@pytest.mark.parametrize("network", ["cnn", "lstm", "attention", "text"])
def test_choosing_a_network_brings_sizes_kinds_and_data_that_fit(qtbot, window, network):
    choose(window.training.settings.network, network)
    qtbot.waitUntil(lambda: window.session.model.status is not Status.LOADING, timeout=WAIT)
    assert window.session.model.status is Status.READY, window.session.model.message
    assert window.session.model.config.network == network
    assert window.session.model.config.dataset == ("reviews" if network == "text" else "digits")
    last = window.training.settings.dropout.count() - 1
    window.training.settings.dropout.setCurrentIndex(last)
    qtbot.waitUntil(lambda: window.session.model.status is not Status.LOADING, timeout=WAIT)
    assert window.session.model.status is Status.READY, window.session.model.message
    assert window.session.model.config.dropout == window.training.settings.dropout.itemData(last)
    assert len(window.training.cards.cards) == len(window.session.model.config.hidden)
    window.commands.step.trigger()
    qtbot.waitUntil(
        lambda: window.session.model.snapshot is not None and window.session.model.snapshot.step == 1, timeout=WAIT
    )


def test_a_baseline_is_trained_by_one_click(qtbot, window):
    click(qtbot, window, window.commands.baseline)
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.session.model.baseline_history) > 5, timeout=WAIT)
    curves = window.training.curves
    qtbot.waitUntil(lambda: len(curves.curves["baseline test_accuracy"].getData()[0]) > 5, timeout=WAIT)
    legend = curves.plots["accuracy"].getPlotItem().legend
    assert {label.text for _, label in legend.items} == {"train", "test", "baseline: train", "baseline: test"}
    assert "baseline (no dropout): test" in window.status.figures.text()
    click(qtbot, window, window.commands.baseline)
    qtbot.waitUntil(lambda: not window.session.model.baseline_history, timeout=WAIT)
    qtbot.waitUntil(lambda: len(legend.items) == 2, timeout=WAIT)


def test_runs_are_pinned_compared_restored_and_removed(qtbot, window):
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(lambda: len(window.session.model.history) == 2, timeout=WAIT)
    qtbot.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert len(window.session.runs) == 1
    kept = window.session.runs[0]
    window.training.settings.rate.setValue(0.1)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert len(window.training.curves.run_curves["accuracy"]) == 1
    _, y = window.training.curves.run_curves["accuracy"][0].getData()
    assert list(y) == [record.test_accuracy for record in kept.history]
    view = window.training.run_table
    window.training.raise_view(view)
    qtbot.waitUntil(lambda: view.cells.rowCount() == 2, timeout=WAIT)
    assert view.cells.item(1, 0).text() == f"pinned 1: {kept.name}"
    assert view.cells.item(1, 3).text() == f"{kept.history[-1].test_accuracy:.1%}"
    view.cells.selectRow(1)
    qtbot.mouseClick(view.restore, Qt.MouseButton.LeftButton)
    assert window.session.document.config.rate == 0.5
    view.cells.selectRow(1)
    qtbot.mouseClick(view.remove, Qt.MouseButton.LeftButton)
    assert window.session.runs == ()
    assert view.cells.rowCount() == 1


def test_a_unit_that_is_clicked_is_inspected(qtbot, window):
    heatmap = window.training.heat_map
    qtbot.waitUntil(lambda: heatmap.is_seen, timeout=WAIT)
    scene = heatmap.plot.getPlotItem().vb.mapViewToScene(QPointF(4, 3))
    heatmap._click(scene)
    inspector = window.training.inspector
    assert inspector.chosen == ("hidden 1", 3)
    qtbot.waitUntil(lambda: inspector.is_seen, timeout=WAIT)
    qtbot.waitUntil(lambda: inspector.image.image is not None, timeout=WAIT)
    assert inspector.image.image.shape == (1, 2)
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(lambda: len(inspector.curve.getData()[0]) >= 2, timeout=WAIT)
    assert "active for" in inspector.caption.text()


def test_views_show_what_they_are_for(qtbot, window):
    page = window.training
    page.raise_view(page.boundary)
    qtbot.waitUntil(lambda: page.boundary.images["decision"].image is not None, timeout=WAIT)
    assert "Mutual information: at most" in page.boundary.caption.text()
    page.raise_view(page.network)
    qtbot.waitUntil(lambda: len(page.network.units.points()) == 16 + 16 + 2, timeout=WAIT)
    page.raise_view(page.feature_maps)
    assert "convolutions" in page.feature_maps.caption.text()
    page.raise_view(page.misclassified)
    assert "images" in page.misclassified.caption.text()
    click(qtbot, window, window.commands.run)
    page.raise_view(page.distributions)
    qtbot.waitUntil(lambda: page.distributions.picture.shape[0] == 60, timeout=WAIT)
    qtbot.waitUntil(lambda: len(page.distributions.shown or []) > 3, timeout=WAIT)


def test_feature_maps_and_mistakes_of_digits(qtbot, open_window):
    config = ExperimentConfig(network="cnn", hidden=(4, 8, 16), dropout="spatial", rate=0.5, epochs=50)
    window = open_window(config)
    page = window.training
    page.raise_view(page.feature_maps)
    qtbot.waitUntil(lambda: page.feature_maps.pixels.size > 0, timeout=WAIT)
    kept = window.session.model.snapshot.layers[0].kept[:, 0].reshape(4, 64)
    whole = int((~kept).all(axis=1).sum())
    assert f"whole: {whole}" in page.feature_maps.caption.text()
    assert set(kept.mean(axis=1)) <= {0.0, 1.0}
    page.raise_view(page.misclassified)
    qtbot.waitUntil(lambda: bool(page.misclassified.tiles) and page.misclassified.tiles[0].isVisible(), timeout=WAIT)
    assert "of 360 test images are misclassified" in page.misclassified.caption.text()
    assert "predicted" in page.misclassified.tiles[0].text


def test_opens_the_configurations_of_the_experiments(qtbot, window, home):
    for study in STUDIES.values():
        for config in study.configs.values():
            path = str(home / "study.toml")
            config.save(path)
            window.files.open(path)
            assert window.session.document.config == config == window.session.model.config
            qtbot.waitUntil(lambda: window.session.model.status is not Status.LOADING, timeout=WAIT)
            assert window.session.model.status is Status.READY, window.session.model.message
            window.commands.step.trigger()
            qtbot.waitUntil(
                lambda: window.session.model.snapshot is not None and window.session.model.snapshot.step == 1,
                timeout=WAIT,
            )


def test_killed_training_process_is_told_and_replaced(qtbot, window):
    click(qtbot, window, window.commands.run)
    os.kill(window.session.model._process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "ended unexpectedly" in window.status.problem.text()
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.status.problem.text() == ""


def test_divergence_is_told(qtbot, open_window):
    window = open_window(CONFIG.replace(optimizer="sgd", learning_rate=10.0))
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "lower the learning rate" in window.status.problem.text()
    assert "lower the learning rate" in window.training.settings.problem("learning_rate")


def test_closing_while_training_runs_asks_once(qtbot, window, monkeypatch):
    asked, answer = [], ["Cancel"]

    def clicked(box):
        return next(button for button in box.buttons() if answer[0] in button.text().replace("&", ""))

    monkeypatch.setattr(QMessageBox, "exec", lambda box: asked.append(box.text()))
    monkeypatch.setattr(QMessageBox, "clickedButton", clicked)
    click(qtbot, window, window.commands.run)
    assert not window.close()
    assert window.isVisible()
    assert len(asked) == 1
    assert asked[0] == "Training is running. Quit?"
    answer[0] = "Quit"
    assert window.close()
    assert len(asked) == 2
    assert not window.session.model._process.is_alive


def test_keyboard_reaches_everything(qtbot, window):
    qtbot.keyClick(window, Qt.Key.Key_F1)
    dialog = window.findChild(ShortcutsDialog)
    cells = dialog.findChild(QTableWidget)
    listed = {cells.item(row, 0).text(): cells.item(row, 1).text() for row in range(cells.rowCount())}
    for what in ("Run", "Pause", "Step one batch", "Reset", "Undo", "Save", "Heat map", "Baseline (no dropout)"):
        assert listed[what], what
    assert len(set(listed.values())) == len(listed)  # no key does two things
    dialog.close()
    for number, view in enumerate(window.training.views, start=1):
        qtbot.keyClick(window, getattr(Qt.Key, f"Key_{number}"), Qt.KeyboardModifier.AltModifier)
        qtbot.waitUntil(lambda view=view: view.is_seen, timeout=WAIT)
    for number in (2, 3, 4, 5, 1):
        qtbot.keyClick(window, getattr(Qt.Key, f"Key_{number}"), Qt.KeyboardModifier.ControlModifier)
        assert window.pages.currentIndex() == number - 1


def test_the_layout_is_remembered(qtbot, open_window):
    first = open_window()
    first.training.docks[first.training.misclassified].close()
    first.resize(first.width(), 650)
    first.close()
    second = open_window()
    assert second.training.docks[second.training.misclassified].isHidden()
    assert not second.training.docks[second.training.network].isHidden()
    assert second.height() == 650


def test_saved_layouts_know_docks_by_names_that_do_not_change(window):
    names = "Settings, Curves, Boundary, Distributions, Runs, Heat map, Network, Feature maps, Unit, Mistakes"
    docks = [dock.objectName() for dock in window.training.docks.values()]
    assert docks == [f"dock {name}" for name in names.split(", ")]


def test_dark_and_light_are_followed_by_plots(qtbot, window):
    plot = window.training.curves.plots["loss"]
    try:
        set_scheme(Qt.ColorScheme.Dark)
        qtbot.waitUntil(lambda: plot.backgroundBrush().color().lightness() < 100, timeout=WAIT)
        assert plot.getAxis("left").textPen().color().lightness() > 150
        set_scheme(Qt.ColorScheme.Light)
        qtbot.waitUntil(lambda: plot.backgroundBrush().color().lightness() > 200, timeout=WAIT)
    finally:
        set_scheme(Qt.ColorScheme.Unknown)


def drop(window, *paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, buttons, keys))


def test_an_experiment_that_is_dropped_is_opened(qtbot, window, home):
    CONFIG.replace(dataset="xor").save(home / "run.toml")
    drop(window, home / "run.toml")
    qtbot.waitUntil(lambda: window.session.model.config.dataset == "xor", timeout=WAIT)
    ready(qtbot, window)


def test_of_several_files_that_are_dropped_the_first_is_opened_and_that_is_said(qtbot, window, home):
    CONFIG.replace(dataset="xor").save(home / "first.toml")
    CONFIG.replace(dataset="wine").save(home / "second.toml")
    drop(window, home / "first.toml", home / "second.toml")
    qtbot.waitUntil(lambda: window.session.model.config.dataset == "xor", timeout=WAIT)
    assert "2 files were dropped" in window.statusBar().currentMessage()
    assert "first.toml" in window.statusBar().currentMessage()
    ready(qtbot, window)


@pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)
def test_the_layout_can_be_reset(qtbot, window):
    page = window.training
    before = {view: page.docks[view].size() for view in (page.curves, page.heat_map)}
    page.docks[page.curves].hide()
    page.docks[page.heat_map].setFloating(True)
    page.removeDockWidget(page.docks[page.boundary])
    qtbot.keyClick(window, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert not page.docks[page.heat_map].isFloating()
    qtbot.waitUntil(lambda: page.curves.is_seen and page.heat_map.is_seen, timeout=WAIT)
    page.raise_view(page.boundary)
    qtbot.waitUntil(lambda: page.boundary.is_seen, timeout=WAIT)
    page.raise_view(page.curves)
    for view, size in before.items():
        qtbot.waitUntil(lambda view=view, size=size: page.docks[view].size() == size, timeout=WAIT)


def test_long_loading_is_told_with_its_seconds(window, monkeypatch):
    monkeypatch.setattr(window.session.model._process, "receive", list)  # a quick process has loaded it by now
    window.session.reset()
    assert window.status.figures.text() == "loading"
    monkeypatch.setattr(window.session.model, "_begun", time.monotonic() - 3.2)
    window._tick()
    assert window.status.figures.text() == "loading for 3 s (a large network or table)"


def test_configurations_are_copied_and_pasted(qtbot, window):
    window.training.settings.rate.setValue(0.3)
    qtbot.keyClick(window, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    line = QGuiApplication.clipboard().text()
    assert line.startswith("fastdrop1?dataset=moons")
    window.files.new()
    assert window.session.document.config == ExperimentConfig()
    qtbot.keyClick(window, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert window.session.document.config == CONFIG.replace(rate=0.3)
    QGuiApplication.clipboard().setText("hello")
    qtbot.keyClick(window, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert "begins with fastdrop1" in window.status.problem.text()


def test_sliders_are_moved_by_keys(qtbot, window):
    slider = window.training.settings.rate
    slider.setFocus()
    qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Right)
    assert window.session.document.config.rate == 0.51
    qtbot.keyClick(window.focusWidget(), Qt.Key.Key_PageDown)
    assert window.session.document.config.rate == 0.41
    qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Home)
    assert window.session.document.config.rate == 0.0


def test_a_backend_that_is_not_there_is_explained_beside_the_field(qtbot, window):
    choose(window.training.settings.backend, "cuda")
    qtbot.waitUntil(lambda: window.session.model.status is not Status.LOADING, timeout=WAIT)
    if window.session.model.status is Status.FAILED:  # no GPU here
        qtbot.waitUntil(lambda: "CuPy" in window.training.settings.problem("backend"), timeout=WAIT)
        assert "CuPy" in window.status.problem.text()
    choose(window.training.settings.backend, "cpu")
    ready(qtbot, window)
    assert window.training.settings.problem("backend") == ""


def test_a_table_that_cannot_be_used_is_explained_beside_the_field(qtbot, window, home):
    path = home / "bad.csv"
    path.write_text("a,b\n1,x\n,y\n3,x\n4,y\n")
    window.session.open_config(CONFIG.replace(dataset="file", data_file=str(path)))
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "bad.csv, row 3, column 'a': missing value" in window.training.settings.problem("dataset")
    path.write_text("a,b\n" + "1,x\n2,y\n" * 10)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.status.problem.text() == ""
    choose(window.training.settings.dataset, "digits")
    ready(qtbot, window)
    assert window.session.model.config.data_file == ""


def test_the_number_of_threads_is_handed_on(qtbot, window):
    sent = []
    real = window.session.model._process.send
    window.session.model._process.send = lambda kind, value=None: (sent.append((kind, value)), real(kind, value))
    threads = window.training.settings.threads
    threads.setValue(threads.minimum() if threads.value() > threads.minimum() else threads.maximum())
    assert (("threads", threads.value()) in sent) == (threads.minimum() < threads.maximum())


def test_a_process_that_does_not_answer_is_told_and_reset_replaces_it(qtbot, window, monkeypatch):
    monkeypatch.setattr("fastdrop_gui.model.experiment_model.PATIENCE", 0.5)
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: window.session.model.snapshot.step > 3, timeout=WAIT)
    process = window.session.model._process
    os.kill(process._process.pid, signal.SIGSTOP)
    qtbot.waitUntil(lambda: "no answer for" in window.status.figures.text(), timeout=WAIT)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.session.model._process is not process


def test_numbers_are_read_as_people_write_them(qtbot, window):
    box = window.training.settings.fields["learning_rate"]
    for text, value in (("1e-5", 1e-5), ("0,5", 0.5), ("2.5E-4", 2.5e-4)):
        type_number(qtbot, box, text)
        assert window.session.document.config.learning_rate == value
    assert box.text() == "0.00025"


def test_what_is_typed_and_not_entered_counts_when_something_is_done(qtbot, window):
    box = window.training.settings.fields["epochs"]
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, "9")
    click(qtbot, window, window.commands.reset)
    assert window.session.document.config.epochs == 9
    ready(qtbot, window)
    assert window.session.model.config.epochs == 9


def test_the_wheel_changes_only_the_field_that_has_the_keyboard(qtbot, window):
    box = window.training.settings.fields["batch_size"]

    def turn():
        place = QPointF(5, 5)
        event = QWheelEvent(
            place,
            box.mapToGlobal(place),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(box, event)

    window.training.settings.rate.setFocus()
    turn()
    assert box.value() == CONFIG.batch_size
    box.setFocus()
    turn()
    assert box.value() == CONFIG.batch_size + 1


def test_an_epoch_can_be_paused_and_ends_by_itself(qtbot, window):
    window.tool_bar.speed.setCurrentText("10 batches/s")
    click(qtbot, window, window.commands.step_epoch)
    assert window.session.model.status is Status.RUNNING
    qtbot.waitUntil(lambda: window.session.model.snapshot.step >= 2, timeout=WAIT)
    click(qtbot, window, window.commands.pause)
    qtbot.wait(400)
    step = window.session.model.snapshot.step
    assert 2 <= step < 15
    qtbot.wait(300)
    assert window.session.model.snapshot.step == step
    window.tool_bar.speed.setCurrentText("full speed")
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(lambda: window.session.model.status is Status.PAUSED, timeout=WAIT)
    assert window.session.model.snapshot.step == 15


def test_rates_move_also_while_other_changes_wait(qtbot, window):
    window.commands.step.trigger()
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)
    type_number(qtbot, window.training.settings.fields["batch_size"], "64")
    assert "Reset to apply" in window.status.hint.text()
    window.training.settings.rate.setValue(1.0)
    qtbot.waitUntil(lambda: not window.session.model.snapshot.layers[0].kept.any(), timeout=WAIT)
    assert window.session.model.config.batch_size == CONFIG.batch_size


def test_no_tab_bar_is_left_behind_and_tab_goes_to_what_is_seen(qtbot, window):
    bars = [bar for bar in window.training.findChildren(QTabBar) if bar.isVisible()]
    assert len(bars) == 2
    assert not window.training.misclassified.isEnabled()
    window.training.raise_view(window.training.misclassified)
    qtbot.waitUntil(window.training.misclassified.isEnabled, timeout=WAIT)
