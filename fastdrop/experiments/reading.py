"""Files and texts that somebody gave: reading them ends with what was asked for, or with one clear error.

`Unreadable` is that error; who asked puts the file's name in front, and makes it an error of its own. Sizes are checked
before memory is taken for them. NPZ archives are read by `fastdrop.experiments.arrays`.
"""

import json
import os
import re
import reprlib
import stat
from pathlib import Path
from typing import Any

LARGEST_TEXT = 64 << 20
"""Bytes of a file of JSON; characters of an experiment's."""
LONGEST_NAME = 1000
"""Characters of what is a name."""

_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but tab and new line, and halves of characters: neither paths, files nor windows take them."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlong = 60
_SHORT.maxlist = _SHORT.maxtuple = 16
_SHORT.maxlevel = 3
_LONGEST_SHOWN = 300


class Unreadable(ValueError):
    """Why something cannot be read, in words that go on after the file's name and a colon."""


class Damaged(Unreadable):
    """What is there is not what it should be."""


def shown(value: Any) -> str:
    """What somebody gave, short enough for a message."""
    try:
        text = _SHORT.repr(value)
        return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    except (ValueError, RecursionError):  # an int of thousands of digits has no text
        return f"a value of type {type(value).__name__}"


def reason(error: Exception) -> str:
    """What a library's error says: its beginning and its end, where the place stands, if it quotes much of a file."""
    text = str(error)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 80]} … {text[-60:]}"


def is_text(value: Any, longest: int = LONGEST_NAME) -> bool:
    """Whether it is a string that everything can take: not too long, and no control characters in it."""
    return isinstance(value, str) and len(value) <= longest and not _NO_TEXT.search(value)


def cleaned(value: Any) -> str:
    """A text of whatever kind, such as an error's, as one that everything can take."""
    return _NO_TEXT.sub("?", value[:LONGEST_NAME]) if isinstance(value, str) else shown(value)


def size_of(path: str | os.PathLike[str]) -> int:
    """Bytes of a file that can be opened without waiting; `Unreadable` where it is none."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # NUL, or half a character
        raise Unreadable("cannot be read: no file can have this name") from None
    if stat.S_ISDIR(found.st_mode):
        raise Unreadable("cannot be read: this is a folder")
    if not stat.S_ISREG(found.st_mode):  # a pipe may never have an end, and a device has none
        raise Unreadable("cannot be read: this is no ordinary file")
    return found.st_size


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The file's content; `Unreadable` where it is larger than `most` bytes."""
    size = size_of(path)
    if size > most:
        raise Unreadable(f"too large: {gigabytes(size)}, and at most {gigabytes(most)} are read")
    try:
        with open(path, "rb") as file:
            return file.read(size)  # Python takes memory for as much as is asked for, not for what is there
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
    """What a JSON text says; its values are not checked."""
    try:
        return json.loads(text)
    except RecursionError:
        raise Damaged("not JSON that can be read: nested too deeply") from None
    except MemoryError:
        raise Damaged("too large for this machine's memory") from None
    except ValueError as error:
        raise Damaged(f"not JSON: {reason(error)}") from None


def gigabytes(size: int) -> str:
    """A size for people."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 100 << 20 else f"{size / (1 << 20):.1f} MiB"
