"""The files that this package makes for itself: temporary files and locks.

They have names such as ``.fastdrop-0123456789abcdef.part``, and the process that made them keeps them locked (flock)
as long as it lives: the kernel releases the locks of a process however it ends. So the next write into a folder removes
what killed processes left there, and never a file that a living process needs.
"""

import os
import re
import sys
from contextlib import suppress

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
"""The byte that is locked on Windows, where a locked byte cannot be read."""
OPEN_FILES_CAN_MOVE = sys.platform != "win32"
"""Whether a file can be renamed and removed while it is open."""
OPEN_FLAGS = os.O_RDWR | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
NEW_FILE = 0o666
"""Permissions of a new file; the kernel takes the process's umask off."""
_NAMES = re.compile(r"\.fastdrop-[0-9a-f]{16}\.(part|lock)")


def make_temporary(folder: str, mode: int) -> tuple[int, str]:
    """Make, open and lock a new file: its descriptor and name."""
    while True:
        name = os.path.join(folder, f".fastdrop-{os.urandom(8).hex()}.part")
        descriptor = os.open(name, OPEN_FLAGS | os.O_CREAT | os.O_EXCL, mode)
        try:
            if is_locked_by_us(descriptor, name):
                return descriptor, name
        except OSError:  # the file system has no locks, so no other process removes the file, either
            return descriptor, name
        os.close(descriptor)


def is_locked_by_us(descriptor: int, name: str) -> bool:
    """Lock an open file; False where another process has the lock, or has removed or replaced the file meanwhile."""
    try:
        _flock(descriptor)
        return os.path.samestat(os.fstat(descriptor), os.lstat(name))
    except (BlockingIOError, FileNotFoundError):
        return False


def open_existing(path: str) -> tuple[int, bool]:
    """Open an existing file to lock it: its descriptor, and whether it is writable. Reading is enough for a lock."""
    try:
        return os.open(path, OPEN_FLAGS), True
    except PermissionError:
        return os.open(path, OPEN_FLAGS & ~os.O_RDWR | os.O_RDONLY), False


def remove_open(descriptor: int, path: str) -> None:
    """Remove a file that is open and locked, then close it; the other way round where the system allows only that."""
    if not OPEN_FILES_CAN_MOVE:
        os.close(descriptor)
    try:
        os.unlink(path)
    finally:
        if OPEN_FILES_CAN_MOVE:
            os.close(descriptor)


def remove_left_behind(folder: str) -> None:
    """Remove the temporary files and locks of dead processes, as far as permissions allow."""
    with suppress(OSError):
        for name in filter(_NAMES.fullmatch, os.listdir(folder)):
            path = os.path.join(folder, name)
            with suppress(OSError):
                descriptor, _ = open_existing(path)
                try:
                    free = is_locked_by_us(descriptor, path)
                except OSError:
                    free = False
                if free:
                    remove_open(descriptor, path)
                else:
                    os.close(descriptor)
