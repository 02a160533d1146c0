"""The gallery of presets: its content, and its view operated by mouse and keyboard."""

import subprocess
import sys

import pytest

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.studies import STUDIES
from fastdrop_gui.model.presets import PICTURES, describe, presets

pytest.importorskip("PySide6")
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtWidgets import QApplication

from fastdrop_gui.views.gallery.gallery_view import GalleryView

# The offscreen plugin prints this for every window with a layout.
pytestmark = [pytest.mark.gui, pytest.mark.qt_log_ignore("propagateSizeHints")]


def test_every_experiment_of_the_library_is_there():
    shown = {preset.name: preset for preset in presets()}
    assert list(shown) == list(STUDIES)
    for name, study in STUDIES.items():
        assert list(shown[name].choices.values()) == list(study.configs.values())
        assert shown[name].title == study.title


def test_every_card_says_something_of_its_own():
    sentences = [preset.sentence for preset in presets()]
    assert len(set(sentences)) == len(sentences)
    for preset in presets():
        assert preset.sentence.endswith((".", "?"))
        assert len(preset.sentence) <= 100
        for name in preset.choices:
            assert (name == "") == (len(preset.choices) == 1)
            assert "-" not in name


def test_choices_have_names_to_read():
    choices = {preset.name: list(preset.choices) for preset in presets()}
    assert choices["with-and-without"] == ["with dropout", "without dropout"]
    assert choices["rates"] == ["p = 0", "p = 0.5"]
    assert choices["batch-norm"][0] == "no dropout"
    assert "LSTM, zoneout: units keep their last value" in choices["sequences"]


def test_every_experiment_has_a_small_picture_of_its_own():
    found = []
    for preset in presets():
        assert preset.picture.stat().st_size <= 20_000
        image = QImage(str(preset.picture))
        assert image.size() == QSize(320, 200)
        found.append(preset.picture.read_bytes())
    assert len(set(found)) == len(found)
    assert {path.stem for path in PICTURES.glob("*.png")} == set(STUDIES)


def test_the_description_says_what_is_trained():
    mixed = ExperimentConfig(
        dataset="moons", hidden=(16, 8), layer_dropout=("gaussian", "standard"), layer_rates=(0.1, 0.3), batch_norm=True
    )
    dropout = "gaussian and standard dropout in layers 1, 2, p = 0.1 to 0.3"
    assert describe(mixed) == f"moons · MLP 16, 8 · batch normalisation · {dropout} · 60 epochs"
    last = ExperimentConfig(dataset="wine", hidden=(8, 8), dropout="dropconnect", dropout_layers="last", rate=0.25)
    assert describe(last) == "wine · MLP 8, 8 · DropConnect in layer 2, p = 0.25 · 60 epochs"
    assert describe(mixed.without_dropout().replace(batch_norm=False)) == ("moons · MLP 16, 8 · no dropout · 60 epochs")


def test_loading_the_presets_needs_neither_qt_nor_matplotlib():
    code = (
        "import sys; from fastdrop_gui.model import presets; assert 'fastdrop.experiments.studies' not in sys.modules; "
        "presets.presets(); assert not {'matplotlib', 'PySide6'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def view(qtbot):
    view = GalleryView()
    qtbot.addWidget(view)
    view.resize(700, 450)
    with qtbot.waitExposed(view):
        view.show()
    return view


def shown(view):
    return [view.cards.item(row).text() for row in range(view.cards.count()) if not view.cards.item(row).isHidden()]


def middle(view, title):
    """The centre of a card in screen coordinates."""
    item = next(view.cards.item(row) for row in range(view.cards.count()) if view.cards.item(row).text() == title)
    view.cards.scrollToItem(item)
    return view.cards.visualItemRect(item).center()


def pick(qtbot, view, title):
    qtbot.mouseClick(view.cards.viewport(), Qt.MouseButton.LeftButton, pos=middle(view, title))


def type_words(qtbot, view, words):
    view.search.clear()
    qtbot.keyClicks(view.search, words)


def test_open_button_opens_the_chosen_network(qtbot, view):
    pick(qtbot, view, "With and without dropout")
    assert view.network.isVisible()
    assert "standard dropout, p = 0.5" in view.about.text()
    qtbot.keyClick(view.network, Qt.Key.Key_Down)
    assert view.network.currentText() == "without dropout"
    assert "no dropout" in view.about.text()
    with qtbot.waitSignal(view.chosen) as opened:
        qtbot.mouseClick(view.open_button, Qt.MouseButton.LeftButton)
    config, name = opened.args
    assert config == STUDIES["with-and-without"].configs["without"]
    assert name == "With and without dropout: without dropout"


def test_a_single_network_needs_no_choice(qtbot, view):
    pick(qtbot, view, "Overfitting")
    assert not view.network.isVisible()
    with qtbot.waitSignal(view.chosen) as opened:
        qtbot.mouseClick(view.open_button, Qt.MouseButton.LeftButton)
    assert opened.args == [STUDIES["overfitting"].configs[""], "Overfitting"]


def test_double_click_opens(qtbot, view):
    pick(qtbot, view, "The rate, from 0 to 0.9")
    with qtbot.waitSignal(view.chosen) as opened:
        place = middle(view, "The rate, from 0 to 0.9")
        qtbot.mouseDClick(view.cards.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert opened.args[0] == STUDIES["rates"].configs["p-0.0"]


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_keys_alone_find_and_open(qtbot, view, key):
    view.search.setFocus()
    qtbot.keyClick(view.search, Qt.Key.Key_Down)
    assert view.cards.hasFocus()
    qtbot.keyClick(view.cards, Qt.Key.Key_Right)
    assert view.preset.name == "with-and-without"
    qtbot.keyClick(view.cards, Qt.Key.Key_Down)
    assert view.preset.name == "scaling"
    with qtbot.waitSignal(view.chosen) as opened:
        qtbot.keyClick(view.cards, key)
    assert opened.args[1] == "Inverted and classic scaling"


def test_search_shows_what_has_all_words(qtbot, view):
    assert view.found.text() == "13 experiments"
    type_words(qtbot, view, "MOONS")
    assert shown(view) == ["Monte Carlo dropout"]
    assert view.found.text() == "1 of 13"
    assert "Monte Carlo dropout" in view.about.text()
    with qtbot.waitSignal(view.chosen) as opened:
        qtbot.keyClick(view.search, Qt.Key.Key_Return)
    assert opened.args == [STUDIES["monte-carlo"].configs["moons"], "Monte Carlo dropout: two moons"]
    type_words(qtbot, view, "dropout batch normalisation")
    assert "Dropout and batch normalisation" in shown(view)
    assert "Overfitting" not in shown(view)
    view.search.clear()
    assert len(shown(view)) == len(STUDIES)


def test_the_chosen_card_stays_chosen_while_it_is_found(qtbot, view):
    pick(qtbot, view, "Dropout as an ensemble")
    type_words(qtbot, view, "sub-networks")
    assert len(shown(view)) > 1
    assert view.preset.name == "ensemble"


def test_the_placeholders_words_find_something(qtbot, view):
    for word in view.search.placeholderText().rstrip(" …").partition(": ")[2].split(", "):
        type_words(qtbot, view, word)
        assert shown(view)


def test_finding_nothing_is_reported_and_nothing_opens(qtbot, view):
    type_words(qtbot, view, "zebra")
    assert shown(view) == []
    assert view.about.text() == "No experiment matches all of these words."
    assert not view.open_button.isEnabled()
    assert not view.network.isVisible()
    opened = []
    view.chosen.connect(lambda *what: opened.append(what))
    qtbot.keyClick(view.search, Qt.Key.Key_Return)
    assert opened == []
    assert view.table().rows == []
    type_words(qtbot, view, "moons")
    assert view.open_button.isEnabled()


def test_cards_do_not_overlap(qtbot, view):
    for width, columns in ((320, 1), (700, 2), (1150, 3)):
        view.resize(width, 600)
        qtbot.waitUntil(lambda width=width: view.cards.viewport().width() > width - 60)
        boxes = [view.cards.visualItemRect(view.cards.item(row)) for row in range(view.cards.count())]
        assert len({box.left() for box in boxes}) == columns
        assert all(not one.intersects(two) for place, one in enumerate(boxes) for two in boxes[:place])
        assert all(box.right() <= view.cards.viewport().width() for box in boxes)


def picture(view):
    """A picture of the view with one pixel per point, for any screen scale."""
    return view.grab().toImage().scaled(view.size())


def test_cards_show_their_pictures(view):
    image = picture(view)
    assert image.height() == 450
    place = view.cards.viewport().mapTo(view, middle(view, "With and without dropout"))
    box = view.cards.visualItemRect(view.cards.item(1))
    around = [
        image.pixelColor(place + QPoint(x, y - box.height() // 5))
        for x in range(-120, 121, 2)
        for y in range(-60, 61, 2)
    ]
    green = QColor("#c4e6dd")  # the colour of the gap
    assert sum(abs(color.green() - green.green()) < 24 and color.red() < color.green() - 20 for color in around) > 50


def test_large_letters_are_not_cut_off(qtbot, view):
    before = view.cards.gridSize().height()
    font = view.cards.font()
    font.setPointSize(2 * font.pointSize())
    view.cards.setFont(font)
    assert view.cards.gridSize().height() > before + 40


def test_selection_is_seen_on_dark_and_light(qtbot, view):
    before = QApplication.palette()
    try:
        for text, base in (("#eeeeee", "#1e1e1e"), ("#000000", "#ffffff")):
            palette = QPalette(before)
            palette.setColor(QPalette.ColorRole.Text, QColor(text))
            palette.setColor(QPalette.ColorRole.Base, QColor(base))
            QApplication.setPalette(palette)
            qtbot.waitUntil(lambda base=base: view.cards.palette().color(QPalette.ColorRole.Base) == QColor(base))
            view.cards.setCurrentRow(0)
            selected = picture(view)
            view.cards.setCurrentRow(1)
            other = picture(view)
            corner = view.cards.viewport().mapTo(view, view.cards.visualItemRect(view.cards.item(0)).topLeft())
            place = corner + QPoint(12, 12)
            assert selected.pixelColor(place) != other.pixelColor(place)
            assert other.pixelColor(place) == QColor(base)
    finally:
        QApplication.setPalette(before)


def test_table_and_names_for_screen_readers(view):
    table = view.table()
    assert len(table.rows) == sum(len(study.configs) for study in STUDIES.values())
    for row in table.rows:
        ExperimentConfig.from_share_code(row[-1])
    spoken = view.cards.item(1).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken.startswith("With and without dropout: The same network")
    for widget in (view, view.search, view.cards, view.network, view.open_button):
        assert widget.accessibleName()
