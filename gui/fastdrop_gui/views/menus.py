"""The menu bar and the tool bar."""

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QLabel, QMenu, QMenuBar, QToolBar

from fastdrop_gui.views.commands import Commands, connect
from fastdrop_gui.views.files.recent_files import recent_files
from fastdrop_gui.views.pages import Pages
from fastdrop_gui.views.training.training_page import TrainingPage
from fastdrop_gui.views.widgets.theme import set_scheme

SPEEDS = {"full speed": 0.0, "300 batches/s": 300.0, "50 batches/s": 50.0, "10 batches/s": 10.0, "2 batches/s": 2.0}
_FIRST_SPEED = "300 batches/s"
_SCHEMES = {
    "&System": Qt.ColorScheme.Unknown,
    "&Light": Qt.ColorScheme.Light,
    "&Dark": Qt.ColorScheme.Dark,
}


class TrainingToolBar(QToolBar):
    """The commands of the training, and its speed."""

    speed_chosen = Signal(float)
    """Batches per second; 0 is no limit."""

    def __init__(self, commands: Commands) -> None:
        super().__init__("Training", movable=False)
        self.setObjectName("training")
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        _fill(self, _training_actions(commands))
        self.addSeparator()
        self.speed = QComboBox()
        self.speed.setAccessibleName("Speed")
        for name, steps in SPEEDS.items():
            self.speed.addItem(name, steps)
        self.speed.setToolTip("How fast to train: full speed, or slowly enough to watch")
        self.speed.currentIndexChanged.connect(lambda: self.speed_chosen.emit(self.speed.currentData()))
        self.addWidget(QLabel(" Speed "))
        self.addWidget(self.speed)

    def choose_first_speed(self) -> None:
        """The speed to begin with, slow enough to watch; after `speed_chosen` is connected."""
        self.speed.setCurrentText(_FIRST_SPEED)


def _training_actions(commands: Commands) -> list[QAction | None]:
    """In their order; None is a separator."""
    run = [commands.run, commands.pause, commands.step, commands.step_epoch, commands.reset, commands.new_seed]
    return [*run, None, commands.baseline, commands.pin_run, commands.show_evidence]


class Menus:
    """Fills the menu bar. `open_path` opens a recent file."""

    def __init__(
        self,
        bar: QMenuBar,
        commands: Commands,
        pages: Pages,
        training: TrainingPage,
        open_path: Callable[[str], object],
    ) -> None:
        self._commands, self._open_path = commands, open_path
        self._file_menu(bar.addMenu("&File"))
        edit = bar.addMenu("&Edit")
        edit.addActions([commands.undo, commands.redo])
        edit.addSeparator()
        edit.addActions([commands.copy_share_code, commands.paste_share_code])
        _fill(bar.addMenu("&Training"), _training_actions(commands))
        self._view_menu(bar.addMenu("&View"), pages, training)
        bar.addMenu("&Help").addActions([commands.show_shortcuts, commands.about])

    def _file_menu(self, menu: QMenu) -> None:
        commands = self._commands
        menu.addActions([commands.new, commands.open])
        self.recent = menu.addMenu("Open &recent")
        self.recent.aboutToShow.connect(self._fill_recent)
        menu.addActions([commands.open_last_session, commands.import_data, commands.import_folder])
        menu.addSeparator()
        menu.addActions([commands.save, commands.save_as])
        menu.addSeparator()
        menu.addActions([commands.export_view, commands.record, commands.export_weights, commands.export_code])
        menu.addSeparator()
        menu.addAction(commands.quit)

    def _fill_recent(self) -> None:
        self.recent.clear()
        for path in recent_files():
            self.recent.addAction(path, partial(self._open_path, path))
        if self.recent.isEmpty():
            self.recent.addAction("none yet").setEnabled(False)

    def _view_menu(self, menu: QMenu, pages: Pages, training: TrainingPage) -> None:
        first, *_ = pages.names
        for number, name in enumerate(pages.names, start=1):
            action = self._commands.add(f"Page {pages.tabText(number - 1)}", f"Ctrl+{number}")
            connect(action, partial(pages.show_page, name))
            menu.addAction(action)
        menu.addSeparator()
        for number, view in enumerate(training.views, start=1):
            action = self._commands.add(view.title, f"Alt+{number}")
            connect(action, partial(pages.show_page, first))
            connect(action, partial(training.raise_view, view))
            menu.addAction(action)
        menu.addSeparator()
        panels = menu.addMenu("&Panels")
        panels.addActions([dock.toggleViewAction() for dock in training.docks.values()])
        menu.addAction(self._commands.reset_layout)
        theme = menu.addMenu("&Theme")
        for text, scheme in _SCHEMES.items():
            theme.addAction(text, partial(set_scheme, scheme))


def _fill(menu: QMenu | QToolBar, actions: list[QAction | None]) -> None:
    for action in actions:
        if action is None:
            menu.addSeparator()
        else:
            menu.addAction(action)
