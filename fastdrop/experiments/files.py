"""Writing files: whole or not at all, and with one writer where it takes a lock.

`write_atomically` is the one way in which this package writes a file. A temporary file and a lock have names such as
``.fastdrop-0123456789abcdef.part`` and are locked (flock) while the process lives that made them: the kernel lets go of
the locks of a process however it ends. So the next write into a folder removes what killed processes left there, and
cannot remove what a living one needs.

Packages for this were looked at. After a kill, boltons' AtomicSaver refuses every later write, and safer and filelock
leave their files for ever; boltons and safer replace write-protected files, and do not bring the folder to disk.
"""

import errno
import hashlib
import json
import os
import re
import socket
import stat
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt

    def _flock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            raise BlockingIOError from None
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _flock(descriptor: int) -> None:
        """Lock an open file, or raise BlockingIOError."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_FAR = 1 << 30
"""The byte that is locked on Windows, where nobody can read what is."""
_OPEN_FILES_CAN_MOVE = sys.platform != "win32"
"""Whether a file can be renamed and removed while it is open."""
_OURS = re.compile(r"\.fastdrop-[0-9a-f]{16}\.(part|lock)")
_OPEN = os.O_RDWR | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_NEW_FILE = 0o666
"""Less the process's umask, which the kernel takes off."""
_PAUSE = 0.02

_REASONS = {
    errno.ENOENT: "there is no folder {folder}; make it, or choose another",
    errno.ENOTDIR: "there is no folder {folder}: a part of this name is a file",
    errno.EISDIR: "this is a folder; add the file's name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "its symbolic links lead in a circle; choose another name",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOSPC: "the disk is full; make room, or choose another folder",
    errno.EDQUOT: "your share of the disk is full; make room, or choose another folder",
    errno.EACCES: "no permission to write in the folder {folder}; choose another",
    errno.EPERM: "no permission to write in the folder {folder}; choose another",
}


def write_atomically(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write to a temporary file beside `path`, bring it to disk, then rename it over `path` (a link: what it names).

    A file that is replaced keeps its permissions. What killed writers left in the folder is removed.

    Raises
    ------
    OSError
        If it cannot be written, is write-protected, or is no file; the message names the path and the way out.
    """
    with clear_errors(path):
        target = target_of(path)
        mode = _permissions(target)
        folder = os.path.dirname(target)
        _remove_left_behind(folder)
        descriptor, temporary = _temporary(folder, _NEW_FILE if mode is None else mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if mode is not None:
                    os.chmod(temporary, mode)
                os.fsync(descriptor)
                if _OPEN_FILES_CAN_MOVE:
                    os.replace(temporary, target)  # still locked
            if not _OPEN_FILES_CAN_MOVE:
                os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _sync(folder)


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """`write_atomically`, for plain values; a number that JSON does not know (NaN, infinity) raises ValueError."""
    write_atomically(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def check_target(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Raise where this file cannot be written: before hours of work, not after them.

    Raises
    ------
    ValueError
        If the name ends in none of the suffixes.
    OSError
        As from `write_atomically`.
    """
    if suffixes:
        check_suffix(path, *suffixes)
    with clear_errors(path):
        target = target_of(path)
        _permissions(target)
        _remove(*_temporary(os.path.dirname(target), _NEW_FILE))


def check_suffix(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Raise a ValueError where a name ends in none of these: such a file is of another kind, and not to be replaced."""
    if Path(os.fsdecode(path)).suffix.lower() not in suffixes:
        raise ValueError(f"{path_text(path)}: the name ends in {' or '.join(suffixes)}")


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it, where it is not there yet."""
    with clear_errors(path):
        if os.path.exists(path) and not os.path.isdir(path):
            raise _error(errno.ENOTDIR, f"{path_text(path)}: this is no folder; choose another name")
        os.makedirs(path, exist_ok=True)


def target_of(path: str | os.PathLike[str]) -> str:
    """The file that a path names in the end: absolute, without links."""
    return os.path.realpath(os.fsdecode(path))


def path_text(path: str | os.PathLike[str]) -> str:
    """A path for people: what is no text in it is written as an escape, so that it can be printed anywhere."""
    text = os.fsdecode(path).encode(errors="backslashreplace").decode()
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text) or "''"


@contextmanager
def clear_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever goes wrong with a file becomes an OSError whose message names the path and says the way out."""
    try:
        yield
    except UnicodeEncodeError:
        raise _error(errno.EINVAL, f"{path_text(path)}: a file cannot have this name; choose another") from None
    except ValueError:
        if "\0" not in os.fsdecode(path):
            raise
        raise _error(errno.EINVAL, f"{path_text(path)}: a name has no null byte in it; choose another") from None
    except OSError as error:
        if error.errno is None or error.strerror is None:  # clear already
            raise
        folder = path_text(os.path.dirname(target_of(path)))
        reason = _REASONS.get(error.errno, "cannot be written: {reason}")
        text = reason.format(folder=folder, reason=error.strerror)
        raise _error(error.errno, f"{path_text(path)}: {text}") from None


def _error(code: int, text: str) -> OSError:
    """Of the class that belongs to the code, with a text of our own."""
    error = type(OSError(code, ""))(text)
    error.errno = code
    return error


def _permissions(target: str) -> int | None:
    """Those of the file that is there, None where there is none; raises where it must not be replaced."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(target)):
            return None
        raise
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise _error(errno.EINVAL, f"{path_text(target)}: this is a device or a pipe, not a file; choose another name")
    try:
        os.close(os.open(target, os.O_WRONLY))
    except PermissionError as error:
        text = f"{path_text(target)}: the file is write-protected; choose another name, or allow writing"
        raise _error(error.errno or errno.EACCES, text) from None
    return stat.S_IMODE(mode) & 0o777


def _temporary(folder: str, mode: int) -> tuple[int, str]:
    """A new file, locked: see `_is_ours`."""
    while True:
        name = os.path.join(folder, f".fastdrop-{os.urandom(8).hex()}.part")
        descriptor = os.open(name, _OPEN | os.O_CREAT | os.O_EXCL, mode)
        try:
            if _is_ours(descriptor, name):
                return descriptor, name
        except OSError:  # the file system has no locks; then nobody takes it for left behind, either
            return descriptor, name
        os.close(descriptor)


def _is_ours(descriptor: int, name: str) -> bool:
    """Lock an open file; False where another has the lock, or has removed or replaced the file meanwhile."""
    try:
        _flock(descriptor)
        return os.path.samestat(os.fstat(descriptor), os.lstat(name))
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove_left_behind(folder: str) -> None:
    """Remove the temporary files and locks of processes that are no more, as far as one may."""
    with suppress(OSError):
        for name in filter(_OURS.fullmatch, os.listdir(folder)):
            path = os.path.join(folder, name)
            with suppress(OSError):
                descriptor, _ = _open_there(path)
                try:
                    ours = _is_ours(descriptor, path)
                except OSError:
                    ours = False
                if ours:
                    _remove(descriptor, path)
                else:
                    os.close(descriptor)


def _open_there(path: str) -> tuple[int, bool]:
    """Open a file of ours that is there, to lock it, and whether one may write to it: reading is enough for a lock."""
    try:
        return os.open(path, _OPEN), True
    except PermissionError:
        return os.open(path, _OPEN & ~os.O_RDWR | os.O_RDONLY), False


def _remove(descriptor: int, path: str) -> None:
    """Remove a file that is open and locked, and close it: in this order where that can be."""
    if not _OPEN_FILES_CAN_MOVE:
        os.close(descriptor)
    try:
        os.unlink(path)
    finally:
        if _OPEN_FILES_CAN_MOVE:
            os.close(descriptor)


def _sync(folder: str) -> None:
    """Bring a folder's names to disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LockHeld(OSError):
    """Another has the lock; `holder` says who, as far as it is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} has the lock")
        self.holder = holder


class FileLock:
    """The right to write a file, until `release` or the end of the process, however it ends.

    It excludes other threads and processes, whatever path they name the file by; a child made by fork does not hold it.
    The lock is on a file of its own beside the file, which `release` removes.

    Parameters
    ----------
    path : path-like
        It need not exist; its folder does.
    patience : float
        Seconds to wait for another to release it.

    Raises
    ------
    LockHeld
        If another has it.
    OSError
        If the lock's file cannot be made.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastdrop.experiments.files import FileLock, LockHeld
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
        self._end = weakref.finalize(self, _let_go, self._descriptor, self._file)
        _HELD.add(self)
        with suppress(OSError):  # readable, whatever the umask: who cannot open it cannot tell whether its owner lives
            os.chmod(self._file, stat.S_IMODE(os.fstat(self._descriptor).st_mode) | 0o444)
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, _me().encode())

    def _acquire(self, path: str | os.PathLike[str], end: float) -> int:
        while True:
            descriptor, is_own = self._open(path)
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # a link to a file that is somebody's
                    raise self._is_no_lock(path)
                if _is_ours(descriptor, self._file):
                    if is_own or not self._is_removed():
                        return descriptor
                    os.close(descriptor)
                    continue
                holder = " ".join(os.read(descriptor, 200).decode(errors="replace").split())
            except OSError as error:
                os.close(descriptor)
                if error.strerror is None:  # clear already
                    raise
                text = f"{path_text(path)}: the file system has no locks ({error.strerror}); choose a folder on another"
                raise _error(error.errno or errno.ENOLCK, text) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if time.monotonic() >= end:
                raise LockHeld("this program" if holder == _me() else holder or "another program")
            time.sleep(_PAUSE)

    def _open(self, path: str | os.PathLike[str]) -> tuple[int, bool]:
        """The lock's file, and whether one may write to it; another user's may be there."""
        try:
            return os.open(self._file, _OPEN | os.O_CREAT, _NEW_FILE), True
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):
                raise self._is_no_lock(path) from None
            if not isinstance(error, PermissionError):
                raise
            no_right = error
            try:
                return _open_there(self._file)
            except FileNotFoundError:  # it could not be made
                raise no_right from None
            except PermissionError:
                text = f"{path_text(path)}: the lock {path_text(self._file)} is another user's and cannot be opened"
                text += "; remove it if no program uses the file, or choose another name"
                raise _error(errno.EACCES, text) from None

    def _is_no_lock(self, path: str | os.PathLike[str]) -> OSError:
        text = f"{path_text(path)}: in the place of its lock stands something else, {path_text(self._file)}; remove it"
        return _error(errno.EEXIST, text)

    def _is_removed(self) -> bool:
        """Remove the file that a dead process of another user left, where the folder allows it, to make our own."""
        try:
            os.unlink(self._file)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let others have it; once more does nothing."""
        self._end()


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _let_go(descriptor: int, file: str) -> None:
    """Remove the lock's file while it is locked: a process that waits for it notices."""
    try:
        ours = os.path.samestat(os.fstat(descriptor), os.lstat(file))
    except OSError:
        ours = False
    if not ours:
        os.close(descriptor)
        return
    with suppress(OSError):
        _remove(descriptor, file)


def _forget_after_fork() -> None:
    """A child of fork has the parent's open files: it would keep the locks when the parent dies."""
    for lock in list(_HELD):
        if lock._end.detach():
            os.close(lock._descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
