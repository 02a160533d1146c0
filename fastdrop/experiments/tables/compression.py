"""Files that gzip, bzip2 or xz has compressed."""

import bz2
import gzip
import io
import lzma
import zlib
from typing import IO

from fastdrop.experiments.formats.reading import gigabytes
from fastdrop.experiments.tables.contents import TableProblem

MARKS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
"""What these files begin with."""
_CHUNK = 1 << 20


def decompressed(content: bytes, most: int) -> bytes:
    """What a compressed file holds, of at most `most` bytes.

    It is read in chunks: Python allocates what is asked for, so that a few bytes would take `most`.
    """
    source, found = io.BytesIO(content), io.BytesIO()
    try:
        with _opened(source, content) as file:
            while chunk := file.read(_CHUNK):
                found.write(chunk)
                if found.tell() > most:
                    raise TableProblem(f"too large; the limit is {gigabytes(most)} after decompression")
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise TableProblem(f"its compressed data are damaged: {error}") from None
    return found.getvalue()


def _opened(source: io.BytesIO, content: bytes) -> IO[bytes]:
    if content.startswith(MARKS[0]):
        return gzip.GzipFile(fileobj=source)  # type: ignore[return-value]
    return bz2.BZ2File(source) if content.startswith(MARKS[1]) else lzma.LZMAFile(source)
