"""The app exports views, weights, code and recordings, and shows an unexpected error."""

import csv
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("PySide6")
from guitools import CONFIG, SHIFT, WAIT, click, press, ready, trained
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog

from fastdrop_gui.views.files import recorder
from fastdrop_gui.views.widgets import dialogs
from fastdrop_gui.views.widgets.dialogs import ExportDialog, UnexpectedError

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def export(qtbot, window, monkeypatch, title, suffix):
    """Choose a view and a format in the export dialog."""

    def accept(dialog):
        dialog.view.setCurrentIndex(dialog.view.findText(title))
        dialog.format.setCurrentIndex(dialog.format.findData(suffix))
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(ExportDialog, "exec", accept)
    press(qtbot, window, Qt.Key.Key_E)


def test_views_are_exported_as_png_svg_and_csv(qtbot, window, home, answer, monkeypatch):
    trained(qtbot, window)
    for suffix in (".png", ".svg", ".csv"):
        answer(home / f"curves{suffix}")
        export(qtbot, window, monkeypatch, "Curves", suffix)
    curves = window.training.curves
    with Image.open(home / "curves.png") as picture:
        assert picture.size == (2 * curves.width(), 2 * curves.height())
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    svg = ET.parse(home / "curves.svg").getroot()
    texts = "".join(svg.itertext())
    assert "accuracy" in texts
    assert (
        len(list(svg.iter("{http://www.w3.org/2000/svg}path")))
        + len(list(svg.iter("{http://www.w3.org/2000/svg}polyline")))
        > 10
    )
    with (home / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test accuracy"]) for row in rows] == [
        record.test_accuracy for record in window.session.model.history
    ]


def test_every_view_has_numbers_to_export(qtbot, window):
    trained(qtbot, window)
    page = window.training
    for view in page.views:
        page.raise_view(view)
        qtbot.waitUntil(lambda view=view: view.is_seen, timeout=WAIT)
        qtbot.wait(100)
        headings, rows = view.table()
        assert headings
        if view not in (page.feature_maps, page.misclassified):  # both are empty for the moons data set
            qtbot.waitUntil(lambda view=view: len(view.table().rows) > 0, timeout=WAIT)
            headings, rows = view.table()
            assert {len(row) for row in rows} == {len(headings)}, view.title


def test_weights_are_exported(qtbot, window, home, answer):
    answer(home / "weights.npz")
    window.exporter.export_weights()
    qtbot.waitUntil((home / "weights.npz").exists, timeout=WAIT)
    with np.load(home / "weights.npz") as weights:
        assert weights["0.weight"].shape == (80, 2)
    assert window.session.document.path == ""  # an export does not set the document's path


def test_code_is_exported_that_trains_the_network(qtbot, window, home, answer):
    window.session.document.change(CONFIG.replace(epochs=2), "shorter")
    ready(qtbot, window)
    answer(home / "network.py")
    press(qtbot, window, Qt.Key.Key_E, SHIFT)
    found = subprocess.run([sys.executable, home / "network.py"], capture_output=True, text=True, check=True)
    trained(qtbot, window)
    assert f"test accuracy {window.session.model.history[-1].test_accuracy:.4f}" in found.stdout


def test_the_training_is_recorded(qtbot, window, home, answer):
    answer(home / "training.gif")
    press(qtbot, window, Qt.Key.Key_G)
    click(qtbot, window, window.commands.run)
    qtbot.waitUntil(lambda: len(window.recorder.recording.frames) >= 4, timeout=WAIT)
    press(qtbot, window, Qt.Key.Key_G)
    qtbot.waitUntil((home / "training.gif").exists, timeout=WAIT)
    with Image.open(home / "training.gif") as picture:
        assert picture.n_frames >= 2  # equal frames are merged
        first = np.asarray(picture.convert("RGB"))
        picture.seek(picture.n_frames - 1)
        assert (np.asarray(picture.convert("RGB")) != first).any()


def test_a_long_recording_keeps_no_more_frames(qtbot, window, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_FRAMES", 6)
    recording = recorder.Recording(window.training)
    for _ in range(40):
        recording.add_frame()
    assert 3 <= len(recording.frames) <= 6


def test_an_unexpected_error_is_shown_with_details_to_copy_and_the_app_goes_on(qtbot, window, monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    dialogs.show_unexpected_errors(lambda: window)
    try:
        raise RuntimeError("the flux is off")
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    assert "the flux is off" in capsys.readouterr().err
    dialog = window.findChild(UnexpectedError)
    assert "the flux is off" in dialog.informativeText()
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    copied = QGuiApplication.clipboard().text()
    assert "Traceback" in copied
    assert "fastdrop" in copied.splitlines()[0]
    dialog.close()
    click(qtbot, window, window.commands.step)
    qtbot.waitUntil(lambda: window.session.model.snapshot.step == 1, timeout=WAIT)
