"""Paths: as text for messages, as the file that they name, and in errors that name the way out."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REASONS = {
    errno.ENOENT: "there is no folder {folder}; make it, or choose another",
    errno.ENOTDIR: "there is no folder {folder}: a part of this name is a file",
    errno.EISDIR: "this is a folder; add the file's name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "its symbolic links form a circle; choose another name",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOSPC: "the disk is full; make room, or choose another folder",
    errno.EDQUOT: "your disk quota is used up; make room, or choose another folder",
    errno.EACCES: "no permission to write in the folder {folder}; choose another",
    errno.EPERM: "no permission to write in the folder {folder}; choose another",
}


def path_text(path: str | os.PathLike[str]) -> str:
    """A path for people: bytes that are not text and control characters are escaped, so that it can be printed."""
    text = os.fsdecode(path).encode(errors="backslashreplace").decode()
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text) or "''"


def target_of(path: str | os.PathLike[str]) -> str:
    """The file that a path names: absolute, with links resolved."""
    return os.path.realpath(os.fsdecode(path))


def check_suffix(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Raise a ValueError where a name has none of these suffixes: a file of another kind must not be replaced."""
    if Path(os.fsdecode(path)).suffix.lower() not in suffixes:
        raise ValueError(f"{path_text(path)}: the name must end in {' or '.join(suffixes)}")


def relative_path(path: str, folder: Path) -> str:
    """An absolute path as a file in `folder` names it; a relative one as it is."""
    if not Path(path).is_absolute():
        return path
    try:
        return os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:  # another drive of Windows
        return path


def found_beside(path: str, folder: Path) -> str:
    """The path that a file in `folder` names; in this folder, if nothing is any longer where an absolute path says."""
    there, here = folder / path, folder / path.replace("\\", "/").rpartition("/")[2]
    return str(here if here.exists() and not there.exists() else os.path.normpath(there))


@contextmanager
def clear_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever goes wrong with a file into an OSError whose message names the path and the way out."""
    try:
        yield
    except UnicodeEncodeError:
        raise os_error(errno.EINVAL, f"{path_text(path)}: a file cannot have this name; choose another") from None
    except ValueError:
        if "\0" not in os.fsdecode(path):
            raise
        raise os_error(errno.EINVAL, f"{path_text(path)}: a name has no null byte in it; choose another") from None
    except OSError as error:
        if error.errno is None or error.strerror is None:  # its message is clear already
            raise
        folder = path_text(os.path.dirname(target_of(path)))
        reason = _REASONS.get(error.errno, "cannot be written: {reason}")
        text = reason.format(folder=folder, reason=error.strerror)
        raise os_error(error.errno, f"{path_text(path)}: {text}") from None


def os_error(code: int, text: str) -> OSError:
    """An OSError of the class of this code, with our own text."""
    error = type(OSError(code, ""))(text)
    error.errno = code
    return error
