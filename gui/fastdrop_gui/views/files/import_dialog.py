"""The dialog that imports data: the role of each column, what the network gets, and whether it can be trained on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QImage, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QProgressBar,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.tables.description import PREPARED_COLUMNS, TableDescription
from fastdrop.experiments.tables.roles import NO_CHOICES, Choices
from fastdrop_gui.model.description_process import DescriptionProcess
from fastdrop_gui.model.table_choices import RoleChoices, facts_text, notes_of, problem_text
from fastdrop_gui.views.files.roles_table import PreparedModel, RolesModel, roles_view, table_view
from fastdrop_gui.views.widgets.plots import VERMILION

POLL_MS = 50
FILES = (
    "Data (*.csv *.tsv *.tab *.txt *.data *.dat *.xlsx *.xls *.xlsb *.ods *.parquet *.feather *.arrow *.arff *.npz "
    "*.npy *.gz *.bz2 *.xz *.zip *-ubyte);;All files (*)"
)
_SIDE = 64
_NOTES_SEEN = 4


class Imported(NamedTuple):
    """What was chosen: arguments of `load_table`, and whether the rows are images."""

    path: str
    choices: Choices
    sheet: str
    test_data: str
    are_images: bool


class ImportDialog(QDialog):
    """Asks what each column of a file is used for; `imported` is the answer.

    A process reads the whole file, again after every change, and OK waits for it. `before` has the first choices.
    """

    def __init__(self, path: str | Path, parent: QWidget | None = None, before: Imported | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import data")
        self.path = str(path)
        self.test_path = before.test_data if before is not None else ""
        self._first_sheet = before.sheet if before is not None else ""
        self.description = TableDescription()
        self.roles = RoleChoices(before.choices if before is not None else NO_CHOICES)
        self._sent: object = None
        self._process = DescriptionProcess()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._build()
        self.resize(900, 620)
        self._check()

    # -- layout

    def _build(self) -> None:
        self.model, self.prepared_model = RolesModel(self.roles), PreparedModel()
        self.table = roles_view(self.model)
        self.prepared = table_view(self.prepared_model, "The first rows as the network gets them")
        self.tabs = QTabWidget(documentMode=True)
        self.tabs.addTab(self.table, "&Columns and roles")
        self.tabs.addTab(self._prepared_page(), "&What the network gets")
        self.as_classes = QCheckBox("&Each different number of the target is a class")
        self.facts, self.problem = QLabel(wordWrap=True), QLabel(wordWrap=True)
        self.problem.setStyleSheet(f"color: {VERMILION}; font-weight: bold")
        for label in (self.facts, self.problem):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.notes = QListWidget()
        self.notes.setWordWrap(True)
        self.notes.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.busy = QProgressBar(maximum=0, textVisible=False)
        self.busy.setMaximumHeight(6)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.forget = self.buttons.addButton("&Reset roles", QDialogButtonBox.ButtonRole.ResetRole)
        layout = QVBoxLayout(self)
        layout.addLayout(self._form())
        layout.addWidget(self.tabs, 1)
        for widget in (self.as_classes, self.facts, self.problem, self.notes, self.busy, self.buttons):
            layout.addWidget(widget)
        for named, name in (
            (self.file, "File"),
            (self.test_file, "Test data"),
            (self.sheet, "Sheet"),
            (self.facts, "What will be trained on"),
            (self.problem, "Problem with the file"),
            (self.notes, "Notes about the data"),
            (self.busy, "Reading the file"),
        ):
            named.setAccessibleName(name)
        self.model.role_chosen.connect(self._check)
        self.as_classes.toggled.connect(self._declare_classes)
        self.forget.clicked.connect(self._forget)
        self.sheet.currentIndexChanged.connect(self._change_sheet)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.table.setFocus()

    def _form(self) -> QFormLayout:
        self.file = QLineEdit(path_text(self.path), readOnly=True)
        self.test_file = QLineEdit(readOnly=True)
        self.test_file.setPlaceholderText("none: a part of the rows is kept apart to test on")
        self.choose_test = QPushButton("Test &data …")
        self.choose_test.setToolTip("A second file with the same columns, to test on; it is never trained on")
        self.choose_test.clicked.connect(self._choose_test_data)
        self.drop_test = QPushButton("Remove")
        self.drop_test.clicked.connect(lambda: self.use_test_data(""))
        self.test_file.setText(path_text(self.test_path) if self.test_path else "")
        self.drop_test.setVisible(bool(self.test_path))
        test = QHBoxLayout()
        for widget in (self.test_file, self.drop_test, self.choose_test):
            test.addWidget(widget, int(widget is self.test_file))
        self.sheet = QComboBox()
        self.form = QFormLayout()
        self.form.addRow("File", self.file)
        self.form.addRow("&Sheet", self.sheet)
        self.form.addRow("Test data", test)
        self.form.setRowVisible(self.sheet, False)
        return self.form

    def _prepared_page(self) -> QWidget:
        self.prepared_text, self.pictures = QLabel(wordWrap=True), QLabel()
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.prepared_text)
        layout.addWidget(self.pictures)
        layout.addWidget(self.prepared, 1)
        layout.addStretch()
        return page

    # -- the choices

    @property
    def imported(self) -> Imported:
        """What was chosen."""
        are_images = self.description.image_shape is not None
        return Imported(self.path, self.roles.choices, self._sheet, self.test_path, are_images)

    @property
    def _sheet(self) -> str:
        return str(self.sheet.currentData() or "") if self.sheet.count() else self._first_sheet

    def _declare_classes(self, checked: bool) -> None:
        self.roles.as_classes = checked
        self._check()

    def _forget(self) -> None:
        self.roles.forget()
        self.model.renew()
        self._check()

    def _change_sheet(self) -> None:
        """Another sheet has other columns."""
        self.roles.forget()
        self.roles.columns = ()
        self.model.renew()
        self._check()

    def _choose_test_data(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Test data", str(Path(self.path).parent), FILES)
        if path:
            self.use_test_data(path)

    def use_test_data(self, path: str) -> None:
        """Test on this file; "" keeps a part of the rows for it."""
        self.test_path = path
        self.test_file.setText(path_text(path) if path else "")
        self.drop_test.setVisible(bool(path))
        self._check()

    # -- the check

    def _check(self) -> None:
        """Start to read the whole file; an earlier check is given up."""
        self._sent = self.roles.choices, self._sheet, self.test_path
        self._process.start(self.path, *self._sent)
        self.ok.setEnabled(False)
        self.busy.show()
        self._poll()
        self._timer.start()

    @property
    def is_checking(self) -> bool:
        """Whether the file is being read."""
        return self._process.is_running

    @property
    def process(self) -> DescriptionProcess:
        """What reads the file."""
        return self._process

    def _poll(self) -> None:
        description = self._process.poll()
        if description is None:
            seconds = self._process.seconds
            self.facts.setText("reading the whole file …" + (f" {seconds:.0f} s" if seconds >= 2 else ""))
            return
        self._timer.stop()
        self.busy.hide()
        self._tell(description)
        if self._sent != (self.roles.choices, self._sheet, self.test_path):  # a choice has given way to another
            self._check()

    def _tell(self, description: TableDescription) -> None:
        """Show what will be trained on, or the problem."""
        self.description = description
        self.roles.take(description)
        self.model.renew()
        self._show_sheets(description)
        self.ok.setEnabled(not description.problem)
        self.facts.setText(facts_text(description) if description.columns or description.classes else "")
        self.facts.setVisible(bool(self.facts.text()))
        self.problem.setText(f"⚠ {problem_text(description, self.path, self.test_path)}" if description.problem else "")
        self.problem.setVisible(bool(description.problem))
        self._show_notes(notes_of(description))
        blocker = QSignalBlocker(self.as_classes)
        self.as_classes.setChecked(self.roles.as_classes)
        blocker.unblock()
        self.as_classes.setVisible(self.roles.as_classes or description.can_be_classes)
        self.forget.setEnabled(any(self.roles.choices))
        self.forget.setVisible(description.has_roles)
        self.tabs.setTabVisible(0, bool(self.roles.columns))
        self._show_prepared(description)

    def _show_sheets(self, description: TableDescription) -> None:
        if self.sheet.count() or len(description.sheets) < 2:
            return
        blocker = QSignalBlocker(self.sheet)
        self.sheet.addItem("the first with cells", "")
        for name in description.sheets:
            self.sheet.addItem(name, name)
        self.sheet.setCurrentIndex(max(0, self.sheet.findData(self._first_sheet)))
        blocker.unblock()
        self.form.setRowVisible(self.sheet, True)

    def _show_notes(self, notes: list[str]) -> None:
        self.notes.clear()
        self.notes.addItems(notes)
        lines = min(len(notes), _NOTES_SEEN) + 1
        self.notes.setMaximumHeight(lines * (self.fontMetrics().height() + 4))
        self.notes.setVisible(bool(notes))

    def _show_prepared(self, description: TableDescription) -> None:
        prepared, pictures = description.prepared, description.pictures
        self.prepared_model.show_rows(prepared)
        self.prepared.setVisible(prepared is not None)
        self.pictures.setVisible(pictures is not None)
        if prepared is not None:
            more = description.features - len(prepared.names)
            count = f"the first {PREPARED_COLUMNS} of {description.features:,}" if more else "all"
            self.prepared_text.setText(
                f"The first rows, {count} features: missing numbers filled with the median, a feature for each "
                "category, numbers scaled to mean 0 and standard deviation 1 over the training rows."
            )
            self.prepared.resizeColumnsToContents()
        elif pictures is not None:
            self.prepared_text.setText("Pixels, scaled together over the training rows. Some of the images:")
            self.pictures.setPixmap(_side_by_side(pictures, self.palette()))
        else:
            self.prepared_text.setText("Nothing yet: see the problem below." if description.problem else "")

    def done(self, result: int) -> None:
        """Close, and end the process."""
        self._timer.stop()
        self._process.stop()
        super().done(result)


def _side_by_side(pictures: NDArray[np.uint8], palette: QPalette) -> QPixmap:
    """Images in a row, each enlarged to the same height."""
    count, height, width = pictures.shape
    step = max(1, _SIDE * width // height) + 6
    row = QPixmap(count * step, _SIDE)
    row.fill(palette.color(QPalette.ColorRole.Window))
    painter = QPainter(row)
    for place, picture in enumerate(pictures):
        pixels = np.ascontiguousarray(picture)
        image = QImage(pixels.data, width, height, width, QImage.Format.Format_Grayscale8)
        painter.drawImage(row.rect().adjusted(place * step, 0, (place + 1 - count) * step - 6, 0), image)
    painter.end()
    return row
