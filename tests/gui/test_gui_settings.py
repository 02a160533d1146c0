"""The app's settings: layers on cards, undo, fields and their problems, keys and the mouse wheel."""

import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, WAIT, choose, click, ready, type_number
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QDropEvent, QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QApplication

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.model.experiment_model import Status

pytestmark = [pytest.mark.gui, pytest.mark.slow]


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


def test_an_invalid_change_is_explained_beside_the_field(qtbot, window):
    choose(window.training.settings.fields["dropout"], "spatial")
    ready(qtbot, window)
    type_number(qtbot, window.training.cards.cards[0].size_box, "33")
    assert "multiples" in window.status.problem.text()
    assert window.training.cards.cards[0].size_box.value() == 80  # unchanged
    choose(window.training.settings.fields["dropout"], "gaussian")
    window.training.settings.rate.setValue(1.0)
    assert "below 1" in window.training.settings.problem("rate")
    assert window.session.document.config.rate == 0.5
    window.training.settings.rate.setValue(0.4)
    assert window.training.settings.problem("rate") == ""
    assert window.session.document.config.rate == 0.4


def test_undo_and_redo(qtbot, window):
    choose(window.training.settings.fields["dropout"], "alpha")
    for value in (0.48, 0.46, 0.44):  # a slider's movement is one undo step
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
    path.write_text("a,price\n" + "".join(f"{row % 3},{row / 7}\n" for row in range(60)))
    window.session.open_config(CONFIG.replace(dataset="file", data_file=str(path)))
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    problem = window.training.settings.problem("dataset")
    assert "bad.csv, column 'price': 60 different numbers" in problem
    assert "choose Target for another column" in problem
    assert "--" not in problem  # options are the command line's
    path.write_text("a,b\n" + "1,x\n2,y\n" * 10)
    click(qtbot, window, window.commands.reset)
    ready(qtbot, window)
    assert window.status.problem.text() == ""
    choose(window.training.settings.dataset, "digits")
    ready(qtbot, window)
    assert window.session.model.config.data_file == ""


def test_numbers_are_read_as_people_write_them(qtbot, window):
    box = window.training.settings.fields["learning_rate"]
    for text, value in (("1e-5", 1e-5), ("0,5", 0.5), ("2.5E-4", 2.5e-4)):
        type_number(qtbot, box, text)
        assert window.session.document.config.learning_rate == value
    assert box.text() == "0.00025"


def test_typed_text_without_enter_is_used_by_actions(qtbot, window):
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
