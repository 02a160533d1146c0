"""Writing files: the whole new file or the old one, at every moment.

Packages for this were looked at. After a kill, boltons' AtomicSaver refuses every later write, and safer and filelock
leave their files for ever; boltons and safer replace write-protected files, and do not sync the folder to disk.
"""

import errno
import json
import os
import stat
from contextlib import suppress
from typing import Any

from fastdrop.experiments.formats.own_files import (
    NEW_FILE,
    OPEN_FILES_CAN_MOVE,
    make_temporary,
    remove_left_behind,
    remove_open,
)
from fastdrop.experiments.formats.paths import check_suffix, clear_errors, os_error, path_text, target_of


def write_atomically(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a temporary file beside `path`, sync it to disk, then rename it over `path` (of a link: over its target).

    A file that is replaced keeps its permissions. What killed processes left in the folder is removed.

    Raises
    ------
    OSError
        If it cannot be written, is write-protected, or is no file; the message names the path and the way out.
    """
    with clear_errors(path):
        target = target_of(path)
        mode = _permissions(target)
        folder = os.path.dirname(target)
        remove_left_behind(folder)
        descriptor, temporary = make_temporary(folder, NEW_FILE if mode is None else mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if mode is not None:
                    os.chmod(temporary, mode)
                os.fsync(descriptor)
                if OPEN_FILES_CAN_MOVE:
                    os.replace(temporary, target)  # still locked
            if not OPEN_FILES_CAN_MOVE:
                os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _sync(folder)


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """`write_atomically`, for plain values; a number that JSON does not have (NaN, infinity) raises ValueError."""
    write_atomically(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def check_target(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Raise where this file cannot be written: before hours of work, not after them.

    Raises
    ------
    ValueError
        If the name has none of the suffixes.
    OSError
        As from `write_atomically`.
    """
    if suffixes:
        check_suffix(path, *suffixes)
    with clear_errors(path):
        target = target_of(path)
        _permissions(target)
        remove_open(*make_temporary(os.path.dirname(target), NEW_FILE))


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it, where they do not exist."""
    with clear_errors(path):
        if os.path.exists(path) and not os.path.isdir(path):
            raise os_error(errno.ENOTDIR, f"{path_text(path)}: this is no folder; choose another name")
        os.makedirs(path, exist_ok=True)


def _permissions(target: str) -> int | None:
    """The permissions of an existing file, None where there is none; raises where it must not be replaced."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        if os.path.isdir(os.path.dirname(target)):
            return None
        raise
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        text = f"{path_text(target)}: this is a device or a pipe, not a file; choose another name"
        raise os_error(errno.EINVAL, text)
    try:
        os.close(os.open(target, os.O_WRONLY))
    except PermissionError as error:
        text = f"{path_text(target)}: the file is write-protected; choose another name, or allow writing"
        raise os_error(error.errno or errno.EACCES, text) from None
    return stat.S_IMODE(mode) & 0o777


def _sync(folder: str) -> None:
    """Bring a folder's names to disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
