"""The dialog that imports a table, offscreen, operated by mouse and keyboard."""

import os
import signal
import time

import numpy as np
import pytest

from fastdrop.experiments import tables

pytest.importorskip("PySide6")
from PySide6.QtCore import Qt

from fastdrop_gui.views.files.import_dialog import ImportDialog

pytestmark = pytest.mark.gui
WAIT = 30_000
ROWS = "".join(f"{row},{row % 3},{'yes' if row % 2 else 'no'}\n" for row in range(100))


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


def test_long_names_do_not_stretch_the_dialog(show, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("a,kind\n" + "".join(f"{row},{'xy'[row % 2] * 900}\n" for row in range(20)))
    dialog = show(path)
    assert dialog.facts.text().endswith(f"2 classes: {'x' * 23}… (10), {'y' * 23}… (10)")
    assert dialog.minimumSizeHint().width() < 640


def headings(dialog):
    model = dialog.table.model()
    return [model.headerData(place, Qt.Orientation.Horizontal) for place in range(model.columnCount())]


def test_shows_rows_and_what_would_be_trained_on(qtbot, show, tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("a,b,kind\n" + ROWS)
    dialog = show(path, wait=False)
    assert not dialog.ok.isEnabled()
    assert dialog.busy.isVisible()
    assert "reading" in dialog.facts.text()
    assert dialog.file.text() == str(path)
    assert dialog.table.model().rowCount() == 20
    assert dialog.table.model().index(1, 2).data() == "yes"
    assert "first 20 rows" in dialog.shown.text()
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert not dialog.busy.isVisible()
    assert dialog.facts.text() == "Data: 100 rows, 2 features, 2 classes: no (50), yes (50)"
    assert headings(dialog) == ["a", "b", "kind (target)"]
    with qtbot.waitSignal(dialog.accepted):
        qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert (dialog.path, dialog.label) == (str(path), "")


def test_another_column_is_chosen_by_keys(qtbot, show, tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("a,b,c\n" + ROWS.replace("yes", "1").replace("no", "0"))
    dialog = show(path)
    qtbot.keyClick(dialog.column, Qt.Key.Key_Up)
    assert headings(dialog) == ["a", "b (target)", "c"]
    assert not dialog.ok.isEnabled()
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert "3 classes: 0 (34), 1 (33), 2 (33)" in dialog.facts.text()
    qtbot.keyClick(dialog.column, Qt.Key.Key_Return)
    assert dialog.label == "b"
    assert tables.read_table(path, dialog.label).feature_names == ("a", "c")


def test_a_column_that_is_no_class_is_explained_until_another_is_chosen(qtbot, show, tmp_path):
    path = tmp_path / "last is a number.csv"
    path.write_text("kind,a\n" + "".join(f"{'xy'[row % 2]},{row / 7}\n" for row in range(300)))
    dialog = show(path)
    assert not dialog.ok.isEnabled()
    assert dialog.problem.isVisible()
    assert "last is a number.csv, row 2, column 'kind': 'x' is text; features must be numbers" in dialog.problem.text()
    assert str(tmp_path) not in dialog.problem.text()
    qtbot.keyClick(dialog.column, Qt.Key.Key_Up)
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert not dialog.problem.isVisible()
    assert dialog.label == "kind"


def test_columns_of_one_name_or_none_are_told_apart_by_number(show, tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text(",y,y,z\n" + "".join(f"{row},{row % 2},{row % 3},{row % 4}\n" for row in range(60)))
    dialog = show(path, wait=False)
    for place, (label, classes) in enumerate([("1", None), ("y", 2), ("3", 3), ("", 4)]):
        dialog.column.setCurrentIndex(place)
        assert dialog.label == label
        assert headings(dialog)[place].endswith("(target)")
        if classes:
            assert len(tables.read_table(path, dialog.label).class_names) == classes


def test_npz_tells_its_arrays(show, tmp_path):
    path = tmp_path / "good.npz"
    np.savez(path, x=np.arange(120.0).reshape(30, 2, 2), y=np.arange(30) % 2)
    dialog = show(path)
    assert "x: 30 × 2 × 2; y: 30; the first 20 of 30 rows" in dialog.shown.text()
    assert headings(dialog)[-1] == "y (target)"
    assert not dialog.column.isEnabled()
    assert dialog.column.currentText() == "y"
    assert dialog.ok.isEnabled()
    assert dialog.label == ""


def test_npz_without_a_class_marks_none(show, tmp_path):
    np.savez(tmp_path / "x only.npz", x=np.ones((4, 2)))
    dialog = show(tmp_path / "x only.npz")
    assert headings(dialog) == ["column 1", "column 2"]
    assert "holds x; it must hold" in dialog.problem.text()


def test_the_class_is_in_sight(qtbot, show, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"column name {place}" for place in range(40)) + "\n" + "1," * 39 + "a\n")
    dialog = show(path)

    def sight(column):
        return dialog.table.viewport().rect().contains(dialog.table.visualRect(dialog.table.model().index(0, column)))

    qtbot.waitUntil(lambda: sight(39), timeout=WAIT)
    qtbot.keyClick(dialog.column, Qt.Key.Key_Home)
    assert sight(0)
    assert not sight(39)


def test_a_header_alone(show, tmp_path):
    (tmp_path / "header.csv").write_text("a,b,c\n")
    dialog = show(tmp_path / "header.csv")
    assert "no rows below the header" in dialog.problem.text()
    dialog.column.setCurrentIndex(0)
    assert headings(dialog) == ["a (target)", "b", "c"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "no rows"),
        ("binary.csv", b"\xff\xfe\x00", "not UTF-8 text"),
        ("damaged.npz", b"PK", "damaged or another format"),
        ("table.xlsx", b"PK", ".csv or .npz"),
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
    assert not dialog.column.isEnabled()


def test_a_bad_row_beyond_the_preview_is_found(show, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("a,b,kind\n" + ROWS + "1,,no\n")
    dialog = show(path)
    assert "row 102, column 'b': missing value" in dialog.problem.text()


def slowly(connection, path, label):
    """Stands in for a slow check of a large file."""
    time.sleep(600)


def test_closing_ends_the_check_and_a_killed_check_is_reported(qtbot, show, tmp_path, monkeypatch):
    monkeypatch.setattr("fastdrop_gui.views.files.import_dialog.send_facts", slowly)
    path = tmp_path / "good.csv"
    path.write_text("a,b,kind\n" + ROWS)
    dialog = show(path, wait=False)
    os.kill(dialog._process.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: "ended unexpectedly" in dialog.problem.text(), timeout=WAIT)
    dialog = show(path, wait=False)
    pid = dialog._process.pid
    qtbot.waitUntil(lambda: "2 s" in dialog.facts.text(), timeout=WAIT)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    assert not dialog.is_checking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
