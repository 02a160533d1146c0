"""NPZ archives of plain arrays, read safely: experiments and tables.

zipfile and NumPy read them. Before they allocate memory, the sizes that an archive declares are compared with a limit
and with the size of the file: in the archive's directory, then in each array's header. Their exceptions over damaged
bytes become `Damaged`.
"""

import errno
import io
import math
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import Damaged, Unreadable, gigabytes, shown, size_of

LARGEST = 8 << 30
"""Bytes of an archive's arrays, together: more than the largest network takes with its optimiser and its baseline."""
_LARGEST_DIRECTORY = 1 << 20
"""Bytes of the directory, which is read at once; an array takes about a hundred of them."""
_LONGEST_HEADER = 2048
"""Bytes of an array's header; that of a plain array has 128."""
_MOST_AXES = 32
_DEFLATE = 1032
"""Bytes that one deflated byte can become."""
_WIDEST = {"b": 1, "i": 8, "u": 8, "f": 8, "S": LARGEST, "U": LARGEST}
"""The kinds of dtypes that are read, and the most bytes of an element."""
_SURROGATES, _LAST = (0xD800, 0xDFFF), 0x10FFFF


class Header(NamedTuple):
    """An array as its archive declares it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Archive:
    """An NPZ archive of plain arrays: opening it checks all headers, and `read` reads one array.

    `headers` has the headers by name. Plain arrays hold numbers, text, bytes or booleans; numpy.savez and
    numpy.savez_compressed write such archives.

    Raises
    ------
    Unreadable
        If the file cannot be opened, or does not fit into memory.
    Damaged
        If it is something else, or has more than `LARGEST` bytes of arrays.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        size = size_of(path)
        with _as_unreadable():
            self._file = _Reader(io.FileIO(path))
            try:
                self._zip = zipfile.ZipFile(self._file)
                self._members = _checked(self._zip.infolist(), size)
                self._file.most = max(size, _LARGEST_DIRECTORY)
                self.headers = {name: self._header(name) for name in self._members}
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()
        self._file.close()

    def read(self, name: str) -> NDArray[Any]:
        """One of the arrays."""
        with _as_unreadable(), self._zip.open(self._members[name]) as file:
            found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
            return _checked_values(name, found)

    def text(self, name: str, longest: int) -> str:
        """The single text of an array, of at most this number of characters."""
        declared = self.headers.get(name)
        if declared is None or declared.shape != () or declared.dtype.kind != "U":
            raise Damaged(f'it has no text "{name}"')
        if declared.dtype.itemsize > 4 * longest:
            raise Damaged(f'its text "{name}" is too long')
        return str(self.read(name))

    def _header(self, name: str) -> Header:
        """An array's header, if it fits the member's size."""
        member = self._members[name]
        with self._zip.open(member) as file:
            head = io.BytesIO(file.read(_LONGEST_HEADER))
        found = None
        # NumPy parses it as Python: deeply nested brackets raise a MemoryError.
        with suppress(Exception):
            version = np.lib.format.read_magic(head)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            found = read(head, max_header_size=_LONGEST_HEADER) if version in ((1, 0), (2, 0), (3, 0)) else None
        if found is None:
            raise Damaged(f"its array {shown(name)} is damaged or another format")
        shape, _, dtype = found
        if dtype.hasobject:
            raise Damaged(f"its array {shown(name)} holds objects")
        if not 0 < dtype.itemsize <= _WIDEST.get(dtype.kind, 0):
            raise Damaged(f"its array {shown(name)} has dtype {dtype!s:.60}: no plain numbers or text")
        if len(shape) > _MOST_AXES or not all(type(side) is int and side >= 0 for side in shape):
            raise Damaged(f"its array {shown(name)} has the shape {shown(shape)}, which is impossible")
        if dtype.itemsize * math.prod(max(side, 1) for side in shape) > LARGEST:
            raise Damaged(f"its array {shown(name)} is too large: it has the shape {shown(shape)}")
        if head.tell() + dtype.itemsize * math.prod(shape) != member.file_size:
            raise Damaged(f"its array {shown(name)} of shape {shown(shape)} has another number of values")
        return Header(shape, dtype)


class _Reader(io.BufferedReader):
    """A file with a limit for one read: zipfile would read as much as the archive's directory declares."""

    most = _LARGEST_DIRECTORY
    """Bytes; once the directory is checked, the size of the file."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # the directory's end, in the last 64 KiB
            size = self.most
        if size > self.most:
            raise Damaged("it is damaged or another format: it declares too many arrays")
        return super().read(size)


@contextmanager
def _as_unreadable() -> Iterator[None]:
    """Turn whatever zipfile, zlib and NumPy raise over damaged bytes into one error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("too large for this machine's memory") from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # an offset outside the file
            raise Damaged("it is damaged or another format") from None
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    except Exception:  # KeyError, struct.error, NotImplementedError, zlib.error, ...: undocumented
        raise Damaged("it is damaged or another format") from None


def _checked(members: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """The arrays' members by name, if a file of this size can hold them."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name, what = member.filename.removesuffix(".npy"), f"it holds {shown(member.filename)}"
        if name == member.filename:
            raise Damaged(f"{what}, which is no array")
        if name in found:
            raise Damaged(f"{what} twice")
        if member.flag_bits & 0x41:
            raise Damaged(f"{what}, which is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"{what}, which is compressed in a way that numpy.savez_compressed does not use")
        stored = member.compress_type == zipfile.ZIP_STORED
        if member.file_size > member.compress_size * (1 if stored else _DEFLATE):
            raise Damaged(f"{what}, which declares more bytes than the file has")
        found[name] = member
    if sum(member.compress_size for member in members) > size:
        raise Damaged("it is damaged: it declares more bytes than the file has")
    total = sum(member.file_size for member in members)
    if total > LARGEST:
        raise Damaged(f"it is too large: its arrays take {gigabytes(total)}; the limit is {gigabytes(LARGEST)}")
    return found


def _checked_values(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array, if all its booleans and characters are valid."""
    if array.dtype.kind == "b":
        good = array.view(np.uint8).max(initial=0) <= 1
    elif array.dtype.kind == "U":
        points = np.ascontiguousarray(array).reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        good = not ((points > _LAST) | ((points >= _SURROGATES[0]) & (points <= _SURROGATES[1]))).any()
    else:
        good = True
    if not good:
        raise Damaged(
            f"its array {shown(name)} is damaged: it holds values that are no {array.dtype.name.rstrip('0123456789')}"
        )
    return array
