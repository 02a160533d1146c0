"""Locks: one writer for a file, among all processes and threads."""

import errno
import hashlib
import os
import socket
import stat
import time
import weakref
from contextlib import suppress

from fastdrop.experiments.formats.own_files import NEW_FILE, OPEN_FLAGS, is_locked_by_us, open_existing, remove_open
from fastdrop.experiments.formats.paths import clear_errors, os_error, path_text, target_of

_PAUSE = 0.02
"""Seconds between two attempts."""


class LockHeld(OSError):
    """Another program has the lock; `holder` says which, as far as it is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} has the lock")
        self.holder = holder


class FileLock:
    """The right to write a file, until `release` or the end of the process, however it ends.

    It excludes other threads and processes, whatever path they name the file by; a child made by fork does not hold it.
    What is locked is a separate file beside the file; `release` removes it.

    Parameters
    ----------
    path : path-like
        It need not exist; its folder does.
    patience : float
        Seconds to wait for another program to release it.

    Raises
    ------
    LockHeld
        If another program has it.
    OSError
        If the lock's file cannot be made.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastdrop.experiments.formats.locks import FileLock, LockHeld
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lock = FileLock(os.path.join(folder, "table"))
    ...     try:
    ...         FileLock(os.path.join(folder, ".", "table"))
    ...     except LockHeld as error:
    ...         print(error.holder)
    ...     lock.release()
    ...     FileLock(os.path.join(folder, "table")).release()
    ...     os.listdir(folder)
    this program
    []
    """

    def __init__(self, path: str | os.PathLike[str], patience: float = 0.0) -> None:
        with clear_errors(path):
            target = target_of(path)
            name = hashlib.sha256(os.fsencode(os.path.basename(target))).hexdigest()[:16]
            self._file = os.path.join(os.path.dirname(target), f".fastdrop-{name}.lock")
            self._descriptor = self._acquire(path, time.monotonic() + patience)
        self._end = weakref.finalize(self, _release, self._descriptor, self._file)
        _HELD.add(self)
        with suppress(OSError):  # readable, so that every process can tell whether the owner lives
            os.chmod(self._file, stat.S_IMODE(os.fstat(self._descriptor).st_mode) | 0o444)
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, _this_process().encode())

    def _acquire(self, path: str | os.PathLike[str], end: float) -> int:
        while True:
            descriptor, is_own = self._open(path)
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # a hard link to another file
                    raise self._is_no_lock(path)
                if is_locked_by_us(descriptor, self._file):
                    if is_own or not self._is_removed():
                        return descriptor
                    os.close(descriptor)
                    continue
                holder = " ".join(os.read(descriptor, 200).decode(errors="replace").split())
            except OSError as error:
                os.close(descriptor)
                if error.strerror is None:  # its message is clear already
                    raise
                text = f"{path_text(path)}: the file system has no locks ({error.strerror}); choose a folder on another"
                raise os_error(error.errno or errno.ENOLCK, text) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if time.monotonic() >= end:
                raise LockHeld("this program" if holder == _this_process() else holder or "another program")
            time.sleep(_PAUSE)

    def _open(self, path: str | os.PathLike[str]) -> tuple[int, bool]:
        """The lock's file, perhaps one of another user, and whether it is writable."""
        try:
            return os.open(self._file, OPEN_FLAGS | os.O_CREAT, NEW_FILE), True
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):
                raise self._is_no_lock(path) from None
            if not isinstance(error, PermissionError):
                raise
            no_right = error
            try:
                return open_existing(self._file)
            except FileNotFoundError:  # it could not be made
                raise no_right from None
            except PermissionError:
                text = f"{path_text(path)}: the lock {path_text(self._file)} is another user's and cannot be opened"
                text += "; remove it if no program uses the file, or choose another name"
                raise os_error(errno.EACCES, text) from None

    def _is_no_lock(self, path: str | os.PathLike[str]) -> OSError:
        text = f"{path_text(path)}: {path_text(self._file)} should be its lock and is something else; remove it"
        return os_error(errno.EEXIST, text)

    def _is_removed(self) -> bool:
        """Remove the lock of another user's dead process, where the folder allows it, to make our own."""
        try:
            os.unlink(self._file)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        self._end()


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _release(descriptor: int, file: str) -> None:
    """Remove the lock's file while it is locked, so that a waiting process notices."""
    try:
        ours = os.path.samestat(os.fstat(descriptor), os.lstat(file))
    except OSError:
        ours = False
    if not ours:
        os.close(descriptor)
        return
    with suppress(OSError):
        remove_open(descriptor, file)


def _forget_after_fork() -> None:
    """A forked child has the parent's open files: it would keep the locks after the parent's death."""
    for lock in list(_HELD):
        if lock._end.detach():
            os.close(lock._descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
