"""The dialog that imports data, offscreen, operated by mouse and keyboard."""

import os
import signal
import time

import numpy as np
import pytest

from fastdrop.experiments import load_table
from fastdrop.experiments.tables.roles import Choices

pytest.importorskip("PySide6")
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import QComboBox, QFileDialog

from fastdrop_gui.model.description_process import DescriptionProcess
from fastdrop_gui.views.files.import_dialog import ImportDialog, Imported

pytestmark = pytest.mark.gui
WAIT = 30_000
ROWS = "".join(f"{row % 7 / 2},{row % 3},{'yes' if row % 2 else 'no'}\n" for row in range(100))
NAME, ROLE, REASON, CELLS, MISSING = range(5)


@pytest.fixture
def show(qtbot):
    """A function that opens the dialog; it is closed after the test."""
    dialogs = []

    def show(path, wait=True):
        dialog = ImportDialog(path)
        qtbot.addWidget(dialog)
        dialogs.append(dialog)
        dialog.open()
        if wait:
            qtbot.waitUntil(lambda: not dialog.is_checking, timeout=WAIT)
        return dialog

    yield show
    for dialog in dialogs:
        dialog.reject()


@pytest.fixture
def choose(qtbot):
    """A function that chooses a column's role, as the list of its combo box does, and waits for the new description."""

    def choose(dialog, place, role):
        dialog.table.edit(dialog.model.index(place, ROLE))
        box = dialog.table.viewport().findChildren(QComboBox)[-1]
        box.setCurrentIndex(box.findData(role))
        box.activated.emit(box.currentIndex())
        qtbot.waitUntil(lambda: not dialog.is_checking, timeout=WAIT)

    return choose


@pytest.fixture(autouse=True)
def no_popup(monkeypatch):
    """The offscreen platform warns of popups; what they do is tested without."""
    monkeypatch.setattr(QComboBox, "showPopup", lambda box: None)


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("a,b,kind\n" + ROWS)
    return path


def column(dialog, place):
    """The texts of a column over all rows."""
    return [dialog.model.index(row, place).data() for row in range(dialog.model.rowCount())]


def notes(dialog):
    return [dialog.notes.item(row).text() for row in range(dialog.notes.count())]


def test_shows_roles_and_what_would_be_trained_on(qtbot, show, good):
    dialog = show(good, wait=False)
    assert not dialog.ok.isEnabled()
    assert dialog.busy.isVisible()
    assert "reading" in dialog.facts.text()
    assert dialog.file.text() == str(good)
    assert dialog.test_file.text() == ""
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert not dialog.busy.isVisible()
    assert column(dialog, NAME) == ["a", "b", "kind"]
    assert column(dialog, ROLE) == ["Number", "Number", "Target"]
    assert column(dialog, CELLS)[2] == "no, yes, no, yes, no, yes"
    assert "its name is 'kind'" in column(dialog, REASON)[2] or "last column" in column(dialog, REASON)[2]
    assert dialog.facts.text().startswith("100 rows, 2 features, 2 classes: no (50), yes (50).")
    assert "right for 50.0% of the rows" in dialog.facts.text()
    assert "80 rows to train on, 20 to test on" in dialog.facts.text()
    with qtbot.waitSignal(dialog.accepted):
        qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert dialog.imported == (str(good), Choices(), "", "", False)


def test_the_target_moves_and_moving_it_back_is_no_choice(show, choose, good):
    dialog = show(good)
    choose(dialog, 1, "target")
    assert column(dialog, ROLE) == ["Number", "Target", "Category"]
    assert column(dialog, REASON)[1] == "chosen"
    assert "3 classes: 0 (34), 1 (33), 2 (33)" in dialog.facts.text()
    assert dialog.imported.choices == Choices("b")
    choose(dialog, 0, "ignored")
    choose(dialog, 2, "ignored")
    assert "no feature is left" in dialog.problem.text()
    assert "--" not in dialog.problem.text()
    assert not dialog.ok.isEnabled()
    choose(dialog, 0, "category")
    assert dialog.imported.choices == Choices("b", ("kind",), ("a",))
    table = load_table(good, **dialog.imported.choices._asdict())
    assert [each.role for each in table.columns] == ["category", "target", "ignored"]
    choose(dialog, 2, "target")
    choose(dialog, 0, "number")
    assert dialog.imported.choices == Choices()
    assert column(dialog, ROLE) == ["Number", "Number", "Target"]


def test_roles_are_chosen_by_mouse_and_forgotten_by_a_button(qtbot, show, good):
    dialog = show(good)
    index = dialog.model.index(0, ROLE)
    qtbot.mouseClick(
        dialog.table.viewport(), Qt.MouseButton.LeftButton, pos=dialog.table.visualRect(index).center() + QPoint(0, 1)
    )
    qtbot.waitUntil(lambda: dialog.table.viewport().findChild(QComboBox) is not None)
    box = dialog.table.viewport().findChild(QComboBox)
    assert [box.itemText(place) for place in range(box.count())] == ["Target", "Number", "Category", "Ignored"]
    box.setCurrentIndex(3)
    box.activated.emit(3)
    assert column(dialog, ROLE)[0] == "Ignored"  # at once
    assert not dialog.ok.isEnabled()
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert column(dialog, ROLE) == ["Ignored", "Number", "Target"]
    qtbot.mouseClick(dialog.forget, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert column(dialog, ROLE)[0] == "Number"
    assert not dialog.forget.isEnabled()


def test_a_regression_shows_its_roles_and_two_ways_out(qtbot, show, choose, tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("kind,a\n" + "".join(f"{'xy'[row % 2]},{row % 60 / 7}\n" for row in range(300)))
    dialog = show(path)
    assert not dialog.ok.isEnabled()
    assert column(dialog, ROLE) == ["Category", "Target"]
    assert "prices.csv, column 'a': 60 different numbers" in dialog.problem.text()
    assert "choose Target for another column" in dialog.problem.text()
    assert str(tmp_path) not in dialog.problem.text()
    assert "--" not in dialog.problem.text()
    assert dialog.as_classes.isVisible()
    qtbot.mouseClick(dialog.as_classes, Qt.MouseButton.LeftButton, pos=QPoint(8, dialog.as_classes.height() // 2))
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert "60 classes" in dialog.facts.text()
    assert dialog.imported.choices == Choices(categorical=("a",))
    choose(dialog, 0, "target")
    assert dialog.ok.isEnabled()
    assert not dialog.problem.isVisible()
    assert not dialog.as_classes.isVisible()
    assert dialog.imported.choices == Choices("kind")


def test_a_choice_that_cannot_be_keeps_the_roles(show, choose, tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("a,b,kind\n" + "".join(f"{row % 7},{'uvw'[row % 3]},{'xy'[row % 2]}\n" for row in range(60)))
    dialog = show(path)
    choose(dialog, 1, "number")
    assert "column 'b': no cell is a number" in dialog.problem.text()
    assert column(dialog, ROLE) == ["Number", "Number", "Target"]
    choose(dialog, 1, "category")
    assert dialog.ok.isEnabled()
    assert dialog.imported.choices == Choices()


def test_columns_of_one_name_or_none_are_told_apart_by_number(show, choose, tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text(",y,y,z\n" + "".join(f"{row % 5 / 2},{row % 2},{row % 3},{row % 4}\n" for row in range(60)))
    dialog = show(path)
    for place, classes in enumerate((5, 2, 3, 4)):
        choose(dialog, place, "target")
        assert column(dialog, ROLE)[place] == "Target"
        assert f"{classes} classes" in dialog.facts.text()
        table = load_table(path, **dialog.imported.choices._asdict())
        assert [each.role for each in table.columns].index("target") == place


def test_choices_that_were_made_before_are_shown_again(qtbot, show, choose, good):
    before = Imported(str(good), Choices("b", ("a",), ("b",), ("3",)), "", "", False)
    dialog = ImportDialog(good, None, before)
    qtbot.addWidget(dialog)
    dialog.open()
    assert dialog.imported == before
    qtbot.waitUntil(lambda: not dialog.is_checking, timeout=WAIT)
    assert "column 'kind': no cell is a number" in dialog.problem.text()
    assert dialog.forget.isEnabled()
    dialog.reject()
    dialog = ImportDialog(good, None, before._replace(choices=Choices("b", ("a",), ("3", "b"))))
    qtbot.addWidget(dialog)
    dialog.open()
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert column(dialog, ROLE) == ["Ignored", "Target", "Category"]
    assert dialog.imported.choices == Choices("b", ("a",), ("kind", "b"))
    choose(dialog, 0, "number")
    assert dialog.imported.choices == Choices("b", (), ("kind", "b"), ("a",))
    dialog.reject()


def test_what_the_network_gets(show, tmp_path):
    path = tmp_path / "mixed.csv"
    cells = "".join(f"{'' if row % 10 == 1 else row % 9},{'uvw'[row % 3]},{'xy'[row % 2]}\n" for row in range(60))
    path.write_text("size,shape,kind\n" + cells)
    dialog = show(path)
    model = dialog.prepared_model
    headings = [model.headerData(place, Qt.Orientation.Horizontal) for place in range(model.columnCount())]
    assert headings == ["size", "size missing", "shape = u", "shape = v", "shape = w", "class"]
    assert model.rowCount() == 10
    assert model.headerData(1, Qt.Orientation.Vertical) == "line 3"
    assert [model.index(1, place).data() for place in range(1, 6)] == ["1", "0", "1", "0", "y"]
    assert column(dialog, MISSING) == ["6", "", ""]


def test_images_have_no_roles(show, tmp_path):
    path = tmp_path / "good.npz"
    np.savez(path, x=np.arange(120.0).reshape(30, 2, 2), y=np.arange(30) % 2)
    dialog = show(path)
    assert "30 rows, images of 2 × 2 pixels, 2 classes" in dialog.facts.text()
    assert not dialog.tabs.isTabVisible(0)
    assert dialog.pictures.pixmap().width() > 0
    assert dialog.ok.isEnabled()
    assert dialog.imported.are_images


def test_arrays_show_roles_that_are_given(show, tmp_path):
    path = tmp_path / "flat.npz"
    np.savez(path, x=np.arange(90.0).reshape(30, 3) % 7, y=np.arange(30) % 2)
    dialog = show(path)
    assert column(dialog, ROLE) == ["Number"] * 3 + ["Target"]
    assert not dialog.model.flags(dialog.model.index(0, ROLE)) & Qt.ItemFlag.ItemIsEditable
    np.savez(path, x=np.ones((4, 2)))
    assert "holds x; it must hold" in show(path).problem.text()


def test_a_sheet_is_chosen(qtbot, show, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for title, classes in (("first", "xy"), ("second", "pqr")):
        sheet = book.create_sheet(title)
        sheet.append(["a", f"kind of {title}"])
        for row in range(60):
            sheet.append([row % 7, classes[row % len(classes)]])
    del book["Sheet"]
    book.save(tmp_path / "book.xlsx")
    dialog = show(tmp_path / "book.xlsx")
    assert column(dialog, NAME) == ["a", "kind of first"]
    assert dialog.sheet.isVisible()
    assert [dialog.sheet.itemText(place) for place in range(dialog.sheet.count())][1:] == ["first", "second"]
    dialog.sheet.setCurrentIndex(2)
    assert not dialog.ok.isEnabled()
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert column(dialog, NAME) == ["a", "kind of second"]
    assert dialog.imported.sheet == "second"


def test_test_data_are_chosen_and_removed(qtbot, show, good, tmp_path, monkeypatch):
    path = tmp_path / "test.csv"
    path.write_text("a,b,kind\n" + "".join(f"{row + 0.25},1,{'yes' if row % 2 else 'no'}\n" for row in range(10)))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    dialog = show(good)
    qtbot.mouseClick(dialog.choose_test, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert "100 rows to train on, 10 to test on" in dialog.facts.text()
    assert dialog.imported.test_data == str(path)
    path.write_text("other,b\n1,2\n")
    dialog.use_test_data(str(path))
    qtbot.waitUntil(lambda: "test.csv" in dialog.problem.text(), timeout=WAIT)
    assert column(dialog, ROLE) == ["Number", "Number", "Target"]
    qtbot.mouseClick(dialog.drop_test, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert dialog.imported.test_data == ""
    assert dialog.test_file.text() == ""


def test_notes_are_listed_in_words_of_the_window(show, tmp_path):
    path = tmp_path / "noted.csv"
    rows = "".join(f"{row % 4},{'pq'[row % 2]},{'xy'[row % 2] if row else ''}\n" for row in range(60))
    path.write_text("a,same,class\n" + rows)
    dialog = show(path)
    told = notes(dialog)
    assert any("1 row without a target left out" in note for note in told)
    assert any("same says the same as the target" in note and "choose Ignored for it" in note for note in told)
    assert not any("--" in note for note in told)
    assert dialog.notes.isVisible()


def test_long_names_do_not_stretch_the_dialog(show, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("a,kind\n" + "".join(f"{row % 5},{'xy'[row % 2] * 900}\n" for row in range(20)))
    dialog = show(path)
    assert f"2 classes: {'x' * 23}… (10), {'y' * 23}… (10)" in dialog.facts.text()
    assert dialog.minimumSizeHint().width() < 640


def test_many_columns_are_shown_at_once(show, tmp_path):
    path = tmp_path / "wide.csv"
    count = 20_000
    rows = "".join(",".join([str(row % 7)] * count) + f",{'xy'[row % 2]}\n" for row in range(12))
    path.write_text(",".join(f"g{place}" for place in range(count)) + ",kind\n" + rows)
    dialog = show(path)
    assert dialog.model.rowCount() == count + 1
    assert dialog.prepared_model.columnCount() == 51
    begin = time.perf_counter()
    dialog.model.setData(dialog.model.index(count // 2, ROLE), "ignored")
    dialog.table.scrollToBottom()
    dialog.grab()
    assert time.perf_counter() - begin < 5  # a widget for each cell would take minutes


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty"),
        ("damaged.npz", b"PK\3\4", "damaged"),
        ("header.csv", b"a,b,c\n", "header.csv"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_what_cannot_be_opened_is_explained(show, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    dialog = show(tmp_path / name)
    assert dialog.problem.isVisible()
    assert words in dialog.problem.text()
    assert not dialog.ok.isEnabled()
    assert not dialog.busy.isVisible()


def slowly(connection, *_):
    """Stands in for a slow check of a large file."""
    time.sleep(600)


def test_closing_ends_the_check_and_a_killed_check_is_reported(qtbot, show, good, monkeypatch):
    monkeypatch.setattr("fastdrop_gui.model.description_process.send_description", slowly)
    dialog = show(good, wait=False)
    os.kill(dialog.process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: "ended unexpectedly" in dialog.problem.text(), timeout=WAIT)
    dialog = show(good, wait=False)
    pid = dialog.process.pid
    qtbot.waitUntil(lambda: "2 s" in dialog.facts.text(), timeout=WAIT)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    assert not dialog.is_checking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_new_description_ends_the_one_before(good, monkeypatch):
    monkeypatch.setattr("fastdrop_gui.model.description_process.send_description", slowly)
    process = DescriptionProcess()
    process.start(str(good), Choices(), "", "")
    pid = process.pid
    process.start(str(good), Choices("b"), "", "")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    process.stop()
    assert process.poll() is None


def test_the_theme_can_change_while_it_is_open(qtbot, show, good):
    dialog = show(good)
    dialog.changeEvent(QEvent(QEvent.Type.PaletteChange))
    assert dialog.grab().width() == dialog.width()
