"""Autosave every minute, and recovery of what a crash left."""

import os
from pathlib import Path

from PySide6.QtCore import QLockFile, QStandardPaths

SUFFIX = ".fastdrop"


def folder() -> Path:
    """Where autosaved experiments lie."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppDataLocation)
    path = Path(place or ".") / "autosave"
    path.mkdir(parents=True, exist_ok=True)
    return path


class Autosave:
    """This window's file, and the lock that tells other windows that it is alive."""

    def __init__(self) -> None:
        number = 1
        while True:
            self.path = folder() / f"{os.getpid()}-{number}{SUFFIX}"
            self._lock = QLockFile(str(self.path.with_suffix(".lock")))
            self._lock.setStaleLockTime(0)
            if self._lock.tryLock(0):
                return
            number += 1

    def end(self) -> None:
        """After an orderly end there is nothing to recover; what was there is the last session."""
        if self.path.exists():
            self.path.replace(last_session())
        self._lock.unlock()


def last_session() -> Path:
    """What the window had that was closed last."""
    return folder() / "last-session"


def left_behind() -> list[Path]:
    """Autosaved experiments whose window is gone, the newest first."""
    found = []
    for path in folder().glob(f"*{SUFFIX}"):
        lock = QLockFile(str(path.with_suffix(".lock")))
        lock.setStaleLockTime(0)
        if lock.tryLock(0):
            lock.unlock()
            found.append(path)
    return sorted(found, key=lambda path: -path.stat().st_mtime)
