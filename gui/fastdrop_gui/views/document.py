"""The configuration that the window edits: undo and redo, and the file that it came from."""

import time

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from fastdrop.experiments import ExperimentConfig

_MERGE_SECONDS = 1.0
"""Changes of one field within this time, as a slider's, are undone together."""
_MERGING = 1


class _Change(QUndoCommand):
    def __init__(self, document: "Document", config: ExperimentConfig, text: str, key: str) -> None:
        super().__init__(text)
        self._document = document
        self._before, self._after = document.config, config
        self._key, self._time = key, time.monotonic()

    def id(self) -> int:
        return _MERGING if self._key else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Change) or other._key != self._key:
            return False
        if other._time - self._time > _MERGE_SECONDS:
            return False
        self._after, self._time = other._after, other._time
        self.setObsolete(self._after == self._before)
        return True

    def redo(self) -> None:
        self._document._set(self._after)

    def undo(self) -> None:
        self._document._set(self._before)


class Document(QObject):
    """Holds the configuration; every change goes through `change`, so every change can be undone."""

    config_changed = Signal(object)
    """The configuration after an edit."""
    file_changed = Signal()

    def __init__(self, config: ExperimentConfig, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.config = config
        self.path = ""
        self._number = 0  # of the document: each experiment that is opened is another
        self.stack = QUndoStack(self)
        self.stack.cleanChanged.connect(self.file_changed)

    def change(self, config: ExperimentConfig, text: str, key: str = "") -> None:
        """Take another configuration; quick changes with the same key are undone together."""
        if config != self.config:
            self.stack.push(_Change(self, config, text, key))

    def _set(self, config: ExperimentConfig) -> None:
        self.config = config
        self.config_changed.emit(config)

    def open(self, config: ExperimentConfig, path: str) -> None:
        """Begin with another configuration; the edits before cannot be undone."""
        self.path = path
        self._number += 1
        self.config = config
        self.stack.clear()
        self.file_changed.emit()

    @property
    def mark(self) -> object:
        """Which document this is, and in which state: to compare with later."""
        return self._number, self.stack.index(), self.config

    def saved_as(self, path: str, mark: object) -> bool:
        """Note the file that holds the state of `mark`; False where `mark` is of another document."""
        if not isinstance(mark, tuple) or mark[0] != self._number:
            return False
        self.path = path
        if mark == self.mark:
            self.stack.setClean()
        self.file_changed.emit()
        return True

    @property
    def is_modified(self) -> bool:
        """Whether the configuration differs from the file's."""
        return not self.stack.isClean()
