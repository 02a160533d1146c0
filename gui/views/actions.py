"""Menus, the tool bar and all shortcuts."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QComboBox, QLabel, QMenu, QMessageBox, QStyle, QToolBar

import fastdrop
from fastdrop_gui.model import Status
from fastdrop_gui.views.dialogs import ShortcutsDialog
from fastdrop_gui.views.plots import View
from fastdrop_gui.views.theme import set_scheme, themed_icon

if TYPE_CHECKING:
    from fastdrop_gui.views.window import MainWindow

SPEEDS = {"full speed": 0.0, "300 batches/s": 300.0, "50 batches/s": 50.0, "10 batches/s": 10.0, "2 batches/s": 2.0}
_WATCHABLE = "300 batches/s"
_ICON = QStyle.StandardPixmap


class Actions:
    """Everything that can be done, each with a key."""

    def __init__(self, window: "MainWindow") -> None:
        self._window = window
        self._icons: dict[QAction, _ICON] = {}
        self._training_actions()
        self._tool_bar()
        self._file_menu()
        self._edit_menu()
        menu = window.menuBar().addMenu("&Training")
        menu.addActions([self.run, self.pause, self.step, self.step_epoch, self.rewind, self.new_seed])
        menu.addSeparator()
        menu.addActions([self.twin, self.keep])
        self._view_menu()
        help_menu = window.menuBar().addMenu("&Help")
        self.shortcuts = self._add(help_menu, "&Keyboard shortcuts", "F1", self._show_shortcuts)
        self._add(help_menu, "&About fastdrop", "", self._show_about)

    def _action(self, text: str, keys: str, call: Callable[[], object], icon: _ICON | None = None) -> QAction:
        action = QAction(text, self._window)
        if icon is not None:
            self._icons[action] = icon
            action.setIcon(themed_icon(icon))
        if keys:
            action.setShortcuts([QKeySequence(key) for key in keys.split(";")])
        action.triggered.connect(self._window.commit)  # connected first, so done first
        action.triggered.connect(lambda _checked=False: call())
        return action

    def _add(self, menu: QMenu, text: str, keys: str, call: Callable[[], object]) -> QAction:
        action = self._action(text, keys, call)
        menu.addAction(action)
        return action

    def _training_actions(self) -> None:
        window = self._window
        self.run = self._action("&Run", "F5", window.run, _ICON.SP_MediaPlay)
        self.pause = self._action("&Pause", "F6", window.pause, _ICON.SP_MediaPause)
        self.step = self._action("&Step", "F10", window.step, _ICON.SP_MediaSkipForward)
        self.step.setToolTip("Train on one batch (F10)")
        self.step_epoch = self._action(
            "Step an &epoch", "Shift+F10", lambda: window.step(True), _ICON.SP_MediaSeekForward
        )
        self.rewind = self._action("Re&wind", "Ctrl+R", window.rewind, _ICON.SP_MediaSkipBackward)
        self.rewind.setToolTip("Back to the same initial weights, with the settings as they are (Ctrl+R)")
        self.new_seed = self._action("&New seed", "Ctrl+Shift+R", window.new_seed, _ICON.SP_BrowserReload)
        self.new_seed.setToolTip("Other initial weights, order and masks (Ctrl+Shift+R)")
        self.twin = QAction("&Twin without dropout", window, checkable=True, shortcut=QKeySequence("Ctrl+T"))
        self.twin.setToolTip("Train the same network without dropout beside it, from the same weights (Ctrl+T)")
        self.twin.toggled.connect(window.set_twin)
        self.keep = self._action("&Keep this run", "Ctrl+K", window.keep_run)
        self.keep.setToolTip("Keep its curves to compare later ones with (Ctrl+K)")

    def _tool_bar(self) -> None:
        window = self._window
        bar = QToolBar("Training", movable=False)
        bar.setObjectName("training")
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        window.addToolBar(bar)
        bar.addActions([self.run, self.pause, self.step, self.step_epoch, self.rewind, self.new_seed])
        bar.addSeparator()
        bar.addActions([self.twin, self.keep])
        bar.addSeparator()
        self.speed = QComboBox()
        self.speed.setAccessibleName("Speed")
        for name, steps in SPEEDS.items():
            self.speed.addItem(name, steps)
        self.speed.setToolTip("How fast to train: fast enough to get there, or slow enough to watch")
        self.speed.currentIndexChanged.connect(lambda: window.model.set_speed(self.speed.currentData()))
        bar.addWidget(QLabel(" Speed "))
        bar.addWidget(self.speed)
        self.speed.setCurrentText(_WATCHABLE)
        self.bar = bar

    def _file_menu(self) -> None:
        files = self._window.files
        menu = self._window.menuBar().addMenu("&File")
        self._add(menu, "&New", "Ctrl+N", files.new)
        self._add(menu, "&Open …", "Ctrl+O", files.choose)
        self.recent = menu.addMenu("Open &recent")
        self.recent.aboutToShow.connect(self._fill_recent)
        self._add(menu, "Open the &last session", "Ctrl+Shift+O", files.open_last)
        self._add(menu, "Open a &table of your own …", "Ctrl+D", files.choose_table)
        menu.addSeparator()
        self._add(menu, "&Save", "Ctrl+S", files.save)
        self._add(menu, "Save &as …", "Ctrl+Shift+S", files.save_as)
        menu.addSeparator()
        self._add(menu, "&Export a view …", "Ctrl+E", files.export_view)
        self.film = QAction("&Film the training (GIF) …", self._window, checkable=True, shortcut=QKeySequence("Ctrl+G"))
        self.film.triggered.connect(files.film)
        menu.addAction(self.film)
        self._add(menu, "Export &weights (NPZ) …", "", files.export_weights)
        self._add(menu, "Export as &Python code …", "Ctrl+Shift+E", files.export_code)
        menu.addSeparator()
        self._add(menu, "&Quit", "Ctrl+Q", self._window.close)

    def _fill_recent(self) -> None:
        self.recent.clear()
        for path in self._window.files.recent():
            self.recent.addAction(path, partial(self._window.files.open_any, path))
        self.recent.setEnabled(True)
        if self.recent.isEmpty():
            self.recent.addAction("none yet").setEnabled(False)

    def _edit_menu(self) -> None:
        window = self._window
        menu = window.menuBar().addMenu("&Edit")
        undo = window.document.stack.createUndoAction(window, "&Undo")
        undo.setShortcuts(QKeySequence.StandardKey.Undo)
        redo = window.document.stack.createRedoAction(window, "&Redo")
        redo.setShortcuts([QKeySequence("Ctrl+Shift+Z"), QKeySequence("Ctrl+Y")])
        menu.addActions([undo, redo])
        menu.addSeparator()
        self._add(menu, "&Copy the configuration as text", "Ctrl+Shift+C", window.files.copy_line)
        self._add(menu, "&Paste a configuration", "Ctrl+Shift+V", window.files.paste_line)

    def _view_menu(self) -> None:
        window = self._window
        menu = window.menuBar().addMenu("&View")
        for number in range(window.tabs.count()):
            text = f"Page {window.tabs.tabText(number)}"
            self._add(menu, text, f"Ctrl+{number + 1}", partial(window.tabs.setCurrentIndex, number))
        menu.addSeparator()
        for number, view in enumerate(window.training.views, start=1):
            self._add(menu, view.title, f"Alt+{number}", partial(self._raise, view))
        menu.addSeparator()
        docks = menu.addMenu("&Shown")
        for dock in window.training.docks.values():
            docks.addAction(dock.toggleViewAction())
        self._add(menu, "&Reset the layout", "Ctrl+0", window.training.reset_layout)
        schemes = menu.addMenu("&Colours")
        for text, scheme in (
            ("&As the desktop", Qt.ColorScheme.Unknown),
            ("&Light", Qt.ColorScheme.Light),
            ("&Dark", Qt.ColorScheme.Dark),
        ):
            self._add(schemes, text, "", partial(set_scheme, scheme))

    def _raise(self, view: View) -> None:
        self._window.tabs.setCurrentIndex(0)
        self._window.training.raise_view(view)

    def enable(self) -> None:
        """What can be done now."""
        status = self._window.model.status
        waiting = status in (Status.READY, Status.PAUSED)
        for action in (self.run, self.step, self.step_epoch):
            action.setEnabled(waiting)
        self.pause.setEnabled(status is Status.RUNNING)
        self.keep.setEnabled(len(self._window.model.history) > 1)
        blocker = QSignalBlocker(self.twin)
        self.twin.setChecked(self._window.model.twin_wanted)
        blocker.unblock()

    def recolor(self) -> None:
        """Draw icons in the theme's colours."""
        for action, icon in self._icons.items():
            action.setIcon(themed_icon(icon))

    def _show_shortcuts(self) -> None:
        ShortcutsDialog(self._window.actions_with_keys(), self._window).open()

    def _show_about(self) -> None:
        text = (
            f"fastdrop {fastdrop.__version__}\n\nDropout kernels for NumPy and CuPy at the speed of a copy, and a "
            "window in which you see what dropout does."
        )
        QMessageBox.about(self._window, "fastdrop", text)
