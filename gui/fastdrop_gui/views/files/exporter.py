"""Exports from a session: views, weights, code, share codes."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget

from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop_gui.model.messages import Saved
from fastdrop_gui.views.files import view_files
from fastdrop_gui.views.session import Session
from fastdrop_gui.views.widgets import dialogs
from fastdrop_gui.views.widgets.view import View


class Exporter(QObject):
    """The commands that export. `views` returns those that can be seen; `parent` is the parent of dialogs."""

    def __init__(self, session: Session, views: Callable[[], Sequence[View]], parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._views, self._parent = session, views, parent

    def export_view(self) -> None:
        """Ask which view, in which format, and where to."""
        views = self._views()
        if not views:
            self._session.notify("there is no view to export: all panels are closed")
            return
        dialog = dialogs.ExportDialog(views, view_files.FORMATS, _focused_view(), self._parent)
        if not dialog.exec():
            return
        view, suffix = dialog.view.currentData(), dialog.format.currentData()
        name = f"{view.title.lower().replace(' ', '-')}{suffix}"
        path = dialogs.ask_where_to(self._parent, "Export a view", name, view_files.FORMATS[suffix])
        if path:
            self._write(path, lambda: view_files.save_view(view, path))

    def export_weights(self) -> None:
        """Ask where to, and write the weights as NPZ."""
        path = dialogs.ask_where_to(self._parent, "Export the weights", "weights.npz", "Arrays (*.npz)")
        if path and self._session.model.can_save:
            self._session.save(path, self._session.experiment(), self._note_saved)

    def _note_saved(self, saved: Saved) -> None:
        if saved.problem:
            dialogs.warn(self._parent, "Export", saved.problem)
        else:
            self._session.announce(f"Exported: {saved.path}")

    def export_code(self) -> None:
        """Ask where to, and write the network as Python code that trains it."""
        from fastdrop.experiments.script import to_python

        path = dialogs.ask_where_to(self._parent, "Export as Python code", "network.py", "Python (*.py)")
        if path:
            self._write(path, lambda: write_atomically(path, to_python(self._session.config).encode()))

    def _write(self, path: str, write: Callable[[], object]) -> None:
        if dialogs.try_to_write(self._parent, write):
            self._session.announce(f"Exported: {path}")

    def copy_share_code(self) -> None:
        """Copy a line of text that describes the configuration."""
        QGuiApplication.clipboard().setText(self._session.config.to_share_code())
        self._session.announce("Share code copied: a line of text that recreates this configuration")

    def paste_share_code(self) -> None:
        """Start with the configuration that the clipboard's share code describes."""
        try:
            config = ExperimentConfig.from_share_code(QGuiApplication.clipboard().text())
        except ConfigError as error:
            self._session.notify(str(error))
        else:
            self._session.open_config(config, "a share code")


def _focused_view() -> View | None:
    """The view that has the keyboard."""
    widget: QWidget | None = QApplication.focusWidget()
    while widget is not None and not isinstance(widget, View):
        widget = widget.parentWidget()
    return widget
