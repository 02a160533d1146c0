"""The folder of autosaved experiments: files of open windows, files that a crash left, and closed sessions.

Windows share the folder. Each window writes to one file, whose lock it holds as long as it lives. A closed session is a
file that no window writes to again: windows that are closed one after the other lose nothing.
"""

import functools
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PySide6.QtCore import QStandardPaths

from fastdrop.experiments.formats.locks import FileLock, LockHeld
from fastdrop.experiments.formats.writing import make_folder

SUFFIX = ".fastdrop"
_SESSION = "session-"
_SESSIONS = 8
"""Kept; older ones are removed."""


def folder() -> Path:
    """The folder; where the home is not writable, a temporary folder of this process."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppDataLocation)
    path = Path(place or ".") / "autosave"
    with suppress(OSError):
        make_folder(path)
    return path if os.access(path, os.W_OK | os.X_OK) else _temporary_folder()


@functools.cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fastdrop-autosave-"))


class AutosaveFile:
    """A window's file, and the lock that tells other windows that this one is alive."""

    def __init__(self) -> None:
        for number in itertools.count(1):
            self.path = folder() / f"{os.getpid()}-{number}{SUFFIX}"
            try:
                self._lock = FileLock(self.path)
            except LockHeld:
                continue
            if not os.path.exists(self.path):
                return
            self._lock.release()  # a dead process had the same number, and left its file

    def end(self) -> None:
        """After an orderly end there is nothing to recover: the file becomes the last session."""
        with suppress(OSError):
            if os.path.exists(self.path):
                self.path.replace(new_session())
        self._lock.release()


def new_session() -> Path:
    """A file for the experiment of a window that closes, or opens another; the oldest files are removed."""
    for path in sessions()[_SESSIONS - 1 :]:
        path.unlink(missing_ok=True)
    return folder() / f"{_SESSION}{time.time_ns():020}-{os.getpid()}"


def sessions() -> list[Path]:
    """The closed sessions, the newest first."""
    return sorted(folder().glob(f"{_SESSION}*"), reverse=True)


def left_behind() -> list[Path]:
    """Autosaved experiments whose window is gone, the newest first."""
    found = []
    with suppress(OSError):
        for path in folder().glob(f"*{SUFFIX}"):
            with claimed(path) as is_ours:
                if is_ours:
                    found.append((-path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether an autosaved experiment is there and its window is gone; in this context no other window takes it."""
    try:
        lock = FileLock(path)
    except OSError:
        yield False
        return
    try:
        yield os.path.exists(path)
    finally:
        lock.release()
