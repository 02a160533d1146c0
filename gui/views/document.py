"""The configuration that the window edits: undo and redo, and the file that it came from."""

import time

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from fastdrop.experiments import ExperimentConfig

_MERGE_SECONDS = 1.0
"""Changes of one field in quick succession, as a slider's, are undone together."""
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

    changed = Signal(object, object)
    """The configuration before and after."""
    file_changed = Signal()

    def __init__(self, config: ExperimentConfig, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.config = config
        self.path = ""
        self._number = 0
        self.stack = QUndoStack(self)
        self.stack.cleanChanged.connect(self.file_changed)

    def change(self, config: ExperimentConfig, text: str, key: str = "") -> None:
        """Take another configuration; quick changes with the same key are undone together."""
        if config != self.config:
            self.stack.push(_Change(self, config, text, key))

    def _set(self, config: ExperimentConfig) -> None:
        before, self.config = self.config, config
        self.changed.emit(before, config)

    def open(self, config: ExperimentConfig, path: str) -> None:
        """Begin with a file's configuration; what was before cannot be undone."""
        self.path = path
        self._number += 1
        self.config = config
        self.stack.clear()
        self.file_changed.emit()

    @property
    def mark(self) -> object:
        """What stands here now: which document, and which of its states."""
        return self._number, self.stack.index(), self.config

    def saved_as(self, path: str, mark: object) -> bool:
        """Note the file that holds what stood here when `mark` was taken; False where that was another document."""
        if not isinstance(mark, tuple) or mark[0] != self._number:
            return False
        self.path = path
        if mark == self.mark:
            self.stack.setClean()
        self.file_changed.emit()
        return True

    @property
    def is_modified(self) -> bool:
        """Whether the configuration is another than the file's."""
        return not self.stack.isClean()
