"""The sweep's view, offscreen, operated by mouse and keyboard."""

import os
import signal

import numpy as np
import pytest

from fastdrop.experiments import Trainer

pytest.importorskip("PySide6")
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QLabel
from sweeptools import CONFIG, WAIT, press, sweep, write

from fastdrop_gui.model.wording import time_text

# The offscreen platform prints this for every window with a minimum size.
pytestmark = [pytest.mark.slow, pytest.mark.gui, pytest.mark.qt_log_ignore("propagateSizeHints")]


def place(view, result):
    """The position of a run's point in the plot widget."""
    return view.plot.mapFromScene(view._picture.position(result))


def is_settled(view):
    """Whether the layout is stable: changing captions can still move widgets."""
    before = [place(view, result) for result in view.results]
    QApplication.processEvents()
    return before == [place(view, result) for result in view.results]


def test_how_many_runs_before_one_starts(qtbot, view):
    write(qtbot, view, "rate", "0:0.9:0.1", seeds=5)
    assert view.settings.plan.text() == "10 values × 5 seeds = 50 runs."
    write(qtbot, view, "rate", "0.5", seeds=1)
    assert view.settings.plan.text() == "1 value × 1 seed = 1 run."
    assert view.start_button.isEnabled()
    assert not view.is_running


@pytest.mark.parametrize(
    ("parameter", "text", "words"),
    [
        ("rate", "0:2:0.5", "rate must be from 0 to 1; got 1.5"),
        ("rate", "half", "'half' is not a number"),
        ("optimizer", "adam, lion", "got 'lion'"),
        ("dropout", "zoneout", "does not support"),
    ],
)
def test_invalid_values_are_explained_beside_the_field(qtbot, view, parameter, text, words):
    write(qtbot, view, parameter, text)
    assert "⚠" in view.settings.plan.text()
    assert words in view.settings.plan.text()
    assert not view.start_button.isEnabled()
    qtbot.keyClick(view.settings.values, Qt.Key.Key_Return)
    assert not view.is_running
    view.settings.parameter.setCurrentIndex(view.settings.parameter.findData("epochs"))
    assert view.start_button.isEnabled()
    view.settings.parameter.setCurrentIndex(view.settings.parameter.findData(parameter))
    assert view.settings.values.text() == text


def test_a_sweep_without_effect_is_reported(qtbot, view):
    view.set_config(CONFIG.replace(dropout="none"))
    assert "No layer has dropout" in view.settings.plan.text()
    view.set_config(CONFIG)
    assert "No layer has dropout" not in view.settings.plan.text()


def test_the_curve_is_mean_and_deviation_of_the_runs(qtbot, view):
    view.set_config(CONFIG.replace(seed=3))
    sweep(qtbot, view)
    assert view.status.text() == "4 of 4 runs, finished (MLP 8 on moons)"
    assert view.progress.value() == view.progress.maximum()
    assert {(result.value, result.seed) for result in view.results} == {(0.0, 3), (0.0, 4), (0.9, 3), (0.9, 4)}
    found = {(result.value, result.seed): result.final for result in view.results}
    picture = view._picture
    for quantity in ("test_accuracy", "gap", "train_loss"):
        view.settings.metric_box.setCurrentIndex(view.settings.metric_box.findData(quantity))
        figures = np.array([[getattr(found[value, seed], quantity) for seed in (3, 4)] for value in (0.0, 0.9)])
        x, mean = picture.mean.getData()
        np.testing.assert_array_equal(x, [0.0, 0.9])
        np.testing.assert_allclose(mean, figures.mean(axis=1))
        np.testing.assert_allclose(picture.low.getData()[1], mean - figures.std(axis=1, ddof=1))
        np.testing.assert_allclose(picture.high.getData()[1], mean + figures.std(axis=1, ddof=1))
        assert sorted(picture.points.getData()[1]) == sorted(figures.ravel())
        low, high, box = figures.min(), figures.max(), view.plot.getPlotItem().vb
        qtbot.waitUntil(lambda low=low, high=high, box=box: box.viewRange()[1][0] < low <= high < box.viewRange()[1][1])
        assert view.settings.metric_box.currentText() in view.plot.getAxis("left").labelText
    assert picture.band.isVisible()
    assert not picture.band.path().isEmpty()
    assert view.plot.getAxis("bottom").labelText == "Dropout rate p"


def test_learning_rates_are_drawn_on_a_logarithmic_axis(qtbot, view):
    sweep(qtbot, view, "learning_rate", "0.001:0.1:x10", seeds=1)
    np.testing.assert_allclose(view._picture.mean.getData()[0], [-3, -2, -1])
    assert [text for _, text in view.plot.getAxis("bottom")._tickLevels[0]] == ["0.001", "0.01", "0.1"]


def test_choices_are_drawn_side_by_side_without_a_line(qtbot, view):
    sweep(qtbot, view, "optimizer", "sgd, adam")
    assert [text.strip() for _, text in view.plot.getAxis("bottom")._tickLevels[0]] == ["SGD", "Adam"]
    assert not view._picture.band.isVisible()
    assert view._picture.bars.isVisible()
    assert view._sorted.index(0, 0).data() == "SGD"
    sweep(qtbot, view, "rate", "0.1, 0.2")  # and back
    assert view._picture.band.isVisible()
    assert not view._picture.bars.isVisible()
    assert view.plot.getAxis("bottom")._tickLevels is None


def test_pointing_shows_a_run_and_clicking_opens_it(qtbot, view):
    sweep(qtbot, view)
    for result in view.results:
        qtbot.waitUntil(lambda: is_settled(view), timeout=WAIT)
        position = place(view, result)
        qtbot.mouseMove(view.plot.viewport(), position)
        view._point_at(view.plot.mapToScene(position))
        near = view._hovered
        assert (near.value, near.figure("test_accuracy")) == (result.value, result.figure("test_accuracy"))
        figure = f"{result.figure('test_accuracy'):.4g}"
        assert f"Dropout rate p {result.value:g}, seed {near.seed}: test accuracy {figure}" in view.readout.text()
        with qtbot.waitSignal(view.run_chosen) as chosen:
            qtbot.mouseClick(view.plot.viewport(), Qt.MouseButton.LeftButton, pos=position)
        assert chosen.args[0] is near
        assert view.chosen is near
    with qtbot.assertNotEmitted(view.run_chosen, wait=100):
        qtbot.mouseClick(view.plot.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(view.plot.width() // 2, 12))


def test_a_chosen_run_has_its_configuration_and_curves(qtbot, view):
    sweep(qtbot, view)
    chosen = []
    view.run_chosen.connect(chosen.append)
    view.list.setFocus()
    qtbot.keyClick(view.list, Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier)
    for _ in range(3):
        qtbot.keyClick(view.list, Qt.Key.Key_Down)
    assert "Dropout rate p 0.9, seed 1" in view.readout.text()
    x, y = view._picture.chosen.getData()
    qtbot.keyClick(view.list, Qt.Key.Key_Return)
    press(qtbot, view.open_button)
    result, again = chosen
    assert result is again
    assert (x[0], y[0]) == (0.9, result.figure("test_accuracy"))
    assert result.config == CONFIG.replace(rate=0.9, seed=1)
    *_, snapshot = Trainer(result.config).run()
    assert result.history == snapshot.history


def test_a_sweep_keeps_its_own_configuration(qtbot, view):
    write(qtbot, view, "rate", "0.1, 0.2, 0.3")
    qtbot.keyClick(view.settings.values, Qt.Key.Key_Return)
    assert view.is_running
    assert not view.start_button.isEnabled()
    view.set_config(CONFIG.replace(dataset="xor"))
    view.settings.parameter.setCurrentIndex(view.settings.parameter.findData("epochs"))
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    assert {result.config.dataset for result in view.results} == {"moons"}
    assert "on moons" in view.status.text()
    assert view.plot.getAxis("bottom").labelText == "Dropout rate p"
    assert view.start_button.isEnabled()
    sweep(qtbot, view, "epochs", "1", seeds=1)
    assert [result.config.dataset for result in view.results] == ["xor"]


def test_new_data_for_each_seed(qtbot, view):
    qtbot.keyClick(view.settings.new_data, Qt.Key.Key_Space)
    sweep(qtbot, view, text="0.5")
    assert {(result.config.seed, result.config.split_seed) for result in view.results} == {(0, 0), (1, 1)}


def test_cancel_keeps_what_is_there(qtbot, view):
    view.set_config(CONFIG.replace(epochs=300))
    write(qtbot, view, "rate", "0:0.9:0.1", seeds=20)
    assert not view.cancel_button.isEnabled()
    press(qtbot, view.start_button)
    qtbot.waitUntil(lambda: bool(view.results) and "left" in view.status.text(), timeout=WAIT)
    assert 0 < view.progress.value() < view.progress.maximum()
    press(qtbot, view.cancel_button)
    assert not view.is_running
    count = len(view.results)
    assert view.status.text().startswith(f"{count} of 200 runs, cancelled")
    assert view.list.model().rowCount() == count
    assert len(view._picture.points.getData()[0]) == count
    assert not view._timer.isActive()
    assert view.start_button.isEnabled()
    assert not view.cancel_button.isEnabled()


def test_a_killed_process_is_reported(qtbot, view):
    view.set_config(CONFIG.replace(epochs=100))
    write(qtbot, view, "rate", "0:0.9:0.1", seeds=20)
    press(qtbot, view.start_button)
    qtbot.waitUntil(lambda: bool(view.results), timeout=WAIT)
    os.kill(view._run._processes[0].pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not view.is_running, timeout=WAIT)
    assert "stopped" in view.status.text()
    assert "ended unexpectedly" in view.status.text()
    assert view.table().rows
    sweep(qtbot, view, text="0.5", seeds=1)
    assert "unexpectedly" not in view.status.text()


def test_runs_that_diverge_are_listed_and_counted(qtbot, view):
    view.set_config(CONFIG.replace(optimizer="sgd", hidden=(64, 64), dropout="none", epochs=5))
    sweep(qtbot, view, "learning_rate", "0.01, 100", seeds=1)
    assert "1 failed" in view.status.text()
    assert len(view._picture.points.getData()[0]) == 1
    assert [view._sorted.index(row, 2).data() for row in range(2)][1] == "failed"
    view.list.setCurrentIndex(view._sorted.index(1, 0))
    assert "diverged" in view.readout.text()
    assert len(view._picture.chosen.getData()[0]) == 0
    with qtbot.waitSignal(view.run_chosen) as chosen:
        qtbot.keyClick(view.list, Qt.Key.Key_Return)
    assert chosen.args[0].config.learning_rate == 100.0


def test_the_table_has_all_runs_in_order(qtbot, view):
    assert view.table().rows == []
    sweep(qtbot, view, text="0.9, 0")
    headings, rows = view.table()
    assert headings[:4] == ["rate", "seed", "test_accuracy", "train_accuracy"]
    assert [row[:2] for row in rows] == [["0.9", 0], ["0.9", 1], ["0", 0], ["0", 1]]
    first = next(result for result in view.results if (result.value, result.seed) == (0.9, 0))
    assert rows[0][2:] == [
        first.final.test_accuracy,
        first.final.train_accuracy,
        first.final.gap,
        first.final.test_loss,
        first.final.train_loss,
        "",
    ]


def test_sorted_by_value_then_seed_or_by_figure(qtbot, view):
    sweep(qtbot, view, text="0.5, 0:0.2:0.1, 0.9")
    shown = [(view._sorted.index(row, 0).data(), view._sorted.index(row, 1).data()) for row in range(10)]
    assert shown == [(value, seed) for value in ("0", "0.1", "0.2", "0.5", "0.9") for seed in ("0", "1")]
    view.list.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    figures = [float(view._sorted.index(row, 2).data()) for row in range(10)]
    assert figures == sorted(figures, reverse=True)


def test_colours_follow_the_theme(qtbot, view):
    sweep(qtbot, view, text="0, 0.9")
    before = QApplication.palette()
    palette = QPalette(before)
    palette.setColor(QPalette.ColorRole.Base, QColor("#101010"))
    palette.setColor(QPalette.ColorRole.Text, QColor("#f0f0f0"))
    light = view._picture.mean.opts["pen"].color().name()
    try:
        QApplication.setPalette(palette)
        qtbot.waitUntil(lambda: view._picture.mean.opts["pen"].color().name() != light, timeout=WAIT)
        assert view.plot.backgroundBrush().color().name() == "#101010"
    finally:
        QApplication.setPalette(before)


def test_fits_into_a_small_window_and_is_named(qtbot, view):
    width = view.fontMetrics().horizontalAdvance("0" * 54)  # 420 pixels, or more with a large font
    view.resize(width, 360)
    qtbot.wait(50)
    assert view.width() == width
    for widget in (
        view.settings.parameter,
        view.settings.metric_box,
        view.settings.values,
        view.settings.seeds,
        view.settings.cores,
        view.settings.new_data,
        view.list,
    ):
        assert widget.accessibleName()
    labels = [label for label in view.findChildren(QLabel) if label.buddy()]
    assert {label.buddy() for label in labels} >= {
        view.settings.parameter,
        view.settings.values,
        view.settings.seeds,
        view.settings.cores,
        view.settings.metric_box,
    }
    for label in labels:
        assert label.width() >= label.sizeHint().width()


def test_time_left():
    assert [time_text(seconds) for seconds in (0.5, 12, 89, 100, 3600, 7200)] == [
        "5 s",
        "15 s",
        "90 s",
        "2 min",
        "60 min",
        "2.0 h",
    ]
