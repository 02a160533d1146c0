"""The app's window: views, docks and their layout, keys, themes, dropped files, closing."""

import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, click, ready
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QMessageBox, QTabBar, QTableWidget

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.studies import STUDIES
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.views.widgets.dialogs import ShortcutsDialog
from fastdrop_gui.views.widgets.theme import set_scheme

pytestmark = [pytest.mark.gui, pytest.mark.slow]


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


def test_views_show_their_content(qtbot, window):
    page = window.training
    page.raise_view(page.boundary)
    qtbot.waitUntil(lambda: page.boundary.images["decision"].image is not None, timeout=WAIT)
    assert "Mutual information: at most" in page.boundary.caption.text()
    page.raise_view(page.network)
    qtbot.waitUntil(lambda: len(page.network.units.points()) == 16 + 16 + 2, timeout=WAIT)
    page.raise_view(page.feature_maps)
    assert "convolutions" in page.feature_maps.caption.text()
    page.raise_view(page.misclassified)
    qtbot.waitUntil(lambda: "test rows" in page.misclassified.caption.text(), timeout=WAIT)
    assert page.misclassified.rows.isVisible()
    click(qtbot, window, window.commands.run)
    page.raise_view(page.distributions)
    qtbot.waitUntil(lambda: page.distributions.picture.shape[0] == 60, timeout=WAIT)
    qtbot.waitUntil(lambda: len(page.distributions.shown or []) > 3, timeout=WAIT)


def test_feature_maps_and_misclassified_digits(qtbot, open_window):
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
    assert len(set(listed.values())) == len(listed)  # no key has two actions
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
    names = "Settings, Curves, Boundary, Distributions, Runs, Heat map, Network, Feature maps, Unit, Misclassified"
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


def test_no_tab_bar_is_left_behind_and_tab_goes_to_what_is_seen(qtbot, window):
    bars = [bar for bar in window.training.findChildren(QTabBar) if bar.isVisible()]
    assert len(bars) == 2
    assert not window.training.misclassified.isEnabled()
    window.training.raise_view(window.training.misclassified)
    qtbot.waitUntil(window.training.misclassified.isEnabled, timeout=WAIT)
