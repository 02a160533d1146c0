"""Reads untrusted files and texts: the result is the content, or one clear error.

`Unreadable` is this error; the caller puts the file's name in front, and makes it an error of its format. Sizes are
checked before memory is allocated. NPZ archives are read by `fastdrop.experiments.formats.npz`.
"""

import json
import os
import re
import reprlib
import stat
from pathlib import Path
from typing import Any

LARGEST_TEXT = 64 << 20
"""Bytes of a JSON file; characters of the JSON in a checkpoint."""
LONGEST_NAME = 1000
"""Characters of a name."""

_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters except tab and new line, and lone surrogates: paths, files and windows do not support them."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlong = 60
_SHORT.maxlist = _SHORT.maxtuple = 16
_SHORT.maxlevel = 3
_LONGEST_SHOWN = 300


class Unreadable(ValueError):
    """The reason why something cannot be read; the message continues the file's name and a colon."""


class Damaged(Unreadable):
    """The content is damaged, or of another format."""


def shown(value: Any) -> str:
    """A value, short enough for a message."""
    try:
        text = _SHORT.repr(value)
        return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    except (ValueError, RecursionError):  # an int of thousands of digits cannot be printed
        return f"a value of type {type(value).__name__}"


def reason(error: Exception) -> str:
    """What a library's error says: if it quotes much of a file, its beginning, and its end, which names the place."""
    text = str(error)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 80]} … {text[-60:]}"


def is_text(value: Any, longest: int = LONGEST_NAME) -> bool:
    """Whether it is a string of at most this length without control characters, which every system supports."""
    return isinstance(value, str) and len(value) <= longest and not _NO_TEXT.search(value)


def cleaned(value: Any) -> str:
    """Any text, such as the message of an error, without the characters that `is_text` refuses."""
    return _NO_TEXT.sub("?", value[:LONGEST_NAME]) if isinstance(value, str) else shown(value)


def size_of(path: str | os.PathLike[str]) -> int:
    """Bytes of a regular file; `Unreadable` where it is none: opening a pipe could wait for ever."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # NUL, or a lone surrogate
        raise Unreadable("cannot be read: no file can have this name") from None
    if stat.S_ISDIR(found.st_mode):
        raise Unreadable("cannot be read: this is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("cannot be read: this is not a regular file")
    return found.st_size


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The file's content; `Unreadable` where it is larger than `most` bytes."""
    size = size_of(path)
    if size > most:
        raise Unreadable(f"too large: {gigabytes(size)}; the limit is {gigabytes(most)}")
    try:
        with open(path, "rb") as file:
            return file.read(size)  # Python allocates what is asked for, not what is there
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise Unreadable("too large for this machine's memory") from None


def read_text(path: str | os.PathLike[str], most: int = LARGEST_TEXT) -> str:
    """The file's content as UTF-8, of at most `most` bytes."""
    try:
        return read_bytes(path, most).decode()
    except UnicodeDecodeError:
        raise Damaged("not a text file") from None


def parse_json(text: str) -> Any:
    """The values of a JSON text, unchecked."""
    try:
        return json.loads(text)
    except RecursionError:
        raise Damaged("not JSON: nested too deeply") from None
    except MemoryError:
        raise Damaged("too large for this machine's memory") from None
    except ValueError as error:
        raise Damaged(f"not JSON: {reason(error)}") from None


def gigabytes(size: int) -> str:
    """A size for people."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 100 << 20 else f"{size / (1 << 20):.1f} MiB"
