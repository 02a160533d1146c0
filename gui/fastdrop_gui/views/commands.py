"""Every command of the app as a QAction: its text, its keys, its tool tip. The window connects what each does."""

from collections.abc import Callable

from PySide6.QtCore import QObject, QSignalBlocker, Qt
from PySide6.QtGui import QAction, QKeySequence, QUndoStack
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QStyle, QWidget

from fastdrop_gui.model.experiment_model import ExperimentModel, Status
from fastdrop_gui.views.widgets.theme import themed_icon

_ICON = QStyle.StandardPixmap


class Commands(QObject):
    """The commands. Each first takes a number that is typed into a box and not yet entered."""

    def __init__(self, undo_stack: QUndoStack, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self._icons: dict[QAction, _ICON] = {}
        self._training_commands()
        self._file_commands()
        self.undo = undo_stack.createUndoAction(parent, "&Undo")
        self.undo.setShortcuts(QKeySequence.StandardKey.Undo)
        self.redo = undo_stack.createRedoAction(parent, "&Redo")
        self.redo.setShortcuts([QKeySequence("Ctrl+Shift+Z"), QKeySequence("Ctrl+Y")])
        self.copy_share_code = self.add("&Copy share code", "Ctrl+Shift+C")
        self.paste_share_code = self.add("&Paste share code", "Ctrl+Shift+V")
        self.reset_layout = self.add("&Reset the layout", "Ctrl+0")
        self.show_shortcuts = self.add("&Keyboard shortcuts", "F1")
        self.about = self.add("&About fastdrop")

    def add(
        self, text: str, keys: str = "", tip: str = "", icon: _ICON | None = None, checkable: bool = False
    ) -> QAction:
        """Another command."""
        action = QAction(text, self._parent, checkable=checkable)
        if keys:
            action.setShortcut(QKeySequence(keys))
        if tip:
            action.setToolTip(f"{tip} ({keys})")
        if icon is not None:
            self._icons[action] = icon
            action.setIcon(themed_icon(icon))
        action.triggered.connect(take_typed_number)  # connected first, so called first
        return action

    def _training_commands(self) -> None:
        self.run = self.add("&Run", "F5", "Train the network", _ICON.SP_MediaPlay)
        self.pause = self.add("&Pause", "F6", "Stop after the current batch", _ICON.SP_MediaPause)
        self.step = self.add("&Step one batch", "F10", "Train on one batch", _ICON.SP_MediaSkipForward)
        self.step_epoch = self.add(
            "Step one &epoch", "Shift+F10", "Train to the end of the epoch", _ICON.SP_MediaSeekForward
        )
        self.reset = self.add(
            "Rese&t", "Ctrl+R", "Reset to the initial weights, with the current settings", _ICON.SP_MediaSkipBackward
        )
        self.new_seed = self.add(
            "&New random seed", "Ctrl+Shift+R", "New weights, order of batches and masks", _ICON.SP_BrowserReload
        )
        self.baseline = self.add(
            "&Baseline (no dropout)",
            "Ctrl+T",
            "Also train the same network without dropout, from the same weights",
            checkable=True,
        )
        self.pin_run = self.add("Pin r&un", "Ctrl+K", "Keep its curves, to compare later runs with")

        self.show_evidence = self.add(
            "&Does dropout help here?",
            "Ctrl+H",
            "Train with and without dropout on several splits of the data, and compare the test accuracy",
        )

    def _file_commands(self) -> None:
        self.new = self.add("&New", "Ctrl+N")
        self.open = self.add("&Open …", "Ctrl+O")
        self.open_last_session = self.add("Open the &last session", "Ctrl+Shift+O")
        self.import_data = self.add("&Import data …", "Ctrl+D")
        self.import_folder = self.add("Import a &folder of pictures …")
        self.save = self.add("&Save", "Ctrl+S")
        self.save_as = self.add("Save &as …", "Ctrl+Shift+S")
        self.export_view = self.add("&Export a view …", "Ctrl+E")
        self.record = self.add("Record &GIF …", "Ctrl+G", "Record the training page", checkable=True)
        self.export_weights = self.add("Export &weights (NPZ) …")
        self.export_code = self.add("Export as &Python code …", "Ctrl+Shift+E")
        self.quit = self.add("&Quit", "Ctrl+Q")

    def show_state(self, model: ExperimentModel) -> None:
        """Enable what can be done now."""
        waiting = model.status in (Status.READY, Status.PAUSED)
        for action in (self.run, self.step, self.step_epoch):
            action.setEnabled(waiting)
        self.pause.setEnabled(model.status is Status.RUNNING)
        self.pin_run.setEnabled(len(model.history) > 1)
        with QSignalBlocker(self.baseline):
            self.baseline.setChecked(model.baseline_requested)

    def show_recording(self, recording: bool) -> None:
        """While it records, the command stops it."""
        self.record.setText("Recording … &Stop" if recording else "Record &GIF …")

    def with_keys(self) -> list[QAction]:
        """Those that have a key, for the list of shortcuts."""
        found = self._parent.findChildren(QAction, options=Qt.FindChildOption.FindDirectChildrenOnly)
        return [action for action in found if action.shortcuts() and action.text()]

    def recolor(self) -> None:
        """Draw icons in the theme's colours."""
        for action, icon in self._icons.items():
            action.setIcon(themed_icon(icon))


def connect(action: QAction, call: Callable[[], object]) -> None:
    """Have an action call a function, without the argument of its signal."""
    action.triggered.connect(lambda _checked=False: call())


def take_typed_number() -> None:
    """Take what is typed into a number box and not yet entered."""
    widget = QApplication.focusWidget()
    if isinstance(widget, QAbstractSpinBox):
        widget.interpretText()
