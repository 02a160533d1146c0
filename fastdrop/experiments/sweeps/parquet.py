"""A sweep's table as the bytes of a Parquet file, and back.

The checksums that Parquet has for its pages do not cover its footer: a single bit there gives other rows, or a reader
that asks for terabytes. So a digest of the whole file stands in the file's metadata, of which every reader can make
what it likes, and no byte is parsed here before it fits.
"""

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from fastdrop._version import __version__
from fastdrop.experiments.reading import is_text, shown

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FORMAT = 2
"""Version of the columns and of what stands in the file's metadata."""
_METADATA = b"fastdrop"
_SEAL = b"fastdrop-sha256"
_MARK = b"sha256:"
_BLANK = b"0" * 64
"""In the digest's place while it is computed."""
_MAGIC = b"PAR1"
_MOST_BYTES = 1 << 30
_MOST_DECODED = 4 << 30
_MOST_TEXT = 1 << 28
"""Bytes of all texts, of which an error has at most `LONGEST_ERROR` characters: hundreds of thousands of runs."""
LONGEST_ERROR = 4000
_MOST_TIMES = 200
"""A table's size in memory by that of its file; 5000 runs of zeros have 30."""

_MOST_TOLD = 6
"""Differences that a message names."""
_LONGEST_SHOWN = 80

_DAMAGED = "restore a copy of it, or choose another name"
_OTHER = "choose another name"


class TableError(ValueError):
    """A table that cannot be read, written or continued; the message names the file."""


def schema(columns: "dict[str, pa.DataType]", identity: dict[str, Any]) -> "pa.Schema":
    """Of the table of the sweep that has this identity."""
    import pyarrow as pa

    about = json.dumps({"format": FORMAT, "fastdrop": __version__, "sweep": identity}).encode()
    return pa.schema(columns.items(), {_METADATA: about, _SEAL: _MARK + _BLANK})


def encode(rows: "pa.Table") -> bytes:
    """The file of a table that has such a schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.BufferOutputStream()
    # Dictionaries of numbers that hardly repeat would take ten times as long: 0.2 s for 5000 runs of 60 epochs.
    pq.write_table(rows, content, use_dictionary=["outcome", "error"], write_page_checksum=True)
    return seal(content.getvalue().to_pybytes())


def seal(content: bytes) -> bytes:
    """Put the digest of a file into its metadata: that of all its bytes but the digest's own."""
    place = _digest_place(content)
    content = content[:place] + _BLANK + content[place + len(_BLANK) :]
    return content[:place] + _digest(content) + content[place + len(_BLANK) :]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _digest_place(content: bytes) -> int:
    """Where the digest stands: the metadata are near the file's end, and this is the last of them."""
    key = content.rfind(_SEAL)
    mark = content.find(_MARK, key) if key >= 0 else -1
    place = mark + len(_MARK)
    if mark < 0 or len(content) < place + len(_BLANK):
        raise TableError(f"this is no table of a sweep, or it is damaged; {_OTHER}")
    return place


def read(target: str) -> bytes:
    """A file's content, if it may be a table by its kind and size."""
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TableError(f"this is a folder, a device or a pipe; {_OTHER}")
        if status.st_size > _MOST_BYTES:
            raise TableError(f"{status.st_size:,} bytes are too many for the table of a sweep; {_OTHER}")
        return file.read(status.st_size)  # Python takes memory for as much as is asked for


def decode(content: bytes, wanted: "pa.Schema") -> "pa.Table":
    """The rows of a file that `encode` wrote, for the same sweep; a TableError says what is wrong with another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(content) < 12 or content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise TableError(f"cannot be read as Parquet: damaged, or another kind of file; {_DAMAGED}")
    place = _digest_place(content)
    if seal(content)[place : place + len(_BLANK)] != content[place : place + len(_BLANK)]:
        raise TableError(f"the file is damaged, or another program has changed it; {_DAMAGED}")
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
        _check_identity(file.schema_arrow.metadata or {}, json.loads(wanted.metadata[_METADATA])["sweep"])
        if not file.schema_arrow.equals(wanted, check_metadata=False):
            raise TableError(f"the columns are not those of a sweep's table; {_OTHER}")
        _check_size(file, len(content))
    # Texts stay dictionaries until they are measured: a long one takes no more in the file when it is there many times.
    texts = [field.name for field in wanted if pa.types.is_string(field.type)]
    with pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts, page_checksum_verification=True) as file:
        rows = file.read()
    rows.validate(full=True)
    _check_texts(rows.select(texts))
    return rows.cast(wanted)


def _check_size(file: "pq.ParquetFile", size: int) -> None:
    """Whether the table is of a size that such a file can have; asked before more than a row is decoded."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # One row opens all columns where a C++ exception becomes Python's. `column` would end the process with it.
    for number in range(len(groups)):
        next(file.iter_batches(batch_size=1, row_groups=[number], use_threads=False), None)
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    decoded = sum(max(column.total_uncompressed_size, 8 * column.num_values) for column in columns)
    decoded = max(decoded, 8 * metadata.num_rows)
    if decoded > min(_MOST_TIMES * size, _MOST_DECODED):
        raise TableError(f"{decoded:,} bytes are said to be in a file of {size:,}; {_DAMAGED}")


def _check_texts(columns: "pa.Table") -> None:
    """Whether texts, each a column of dictionaries, are of a size that they can have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in columns.itercolumns():
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
            total += pc.sum(lengths).as_py() or 0
    if total > _MOST_TEXT:
        raise TableError(f"its texts take {total:,} bytes, and at most {_MOST_TEXT:,} are read; {_DAMAGED}")


def _check_identity(metadata: dict[bytes, bytes], ours: dict[str, Any]) -> None:
    """Whether it is a table of this sweep; says what differs."""
    about = json.loads(metadata.get(_METADATA, b"null"))
    if not isinstance(about, dict) or not isinstance(about.get("sweep"), dict):
        raise TableError(f"this is no table of a sweep; {_OTHER}")
    if about.get("format") != FORMAT:
        raise TableError(f"its format is {_named(about.get('format'))}; this fastdrop reads format {FORMAT}; {_OTHER}")
    theirs = about["sweep"]
    names = ["parameter"] if theirs.get("parameter") != ours["parameter"] else {**ours, **theirs}
    differing = [
        f"{_named(name)} is {_named(theirs.get(name, 'not set'))} there and {_named(ours.get(name, 'not set'))} here"
        for name in names
        if theirs.get(name) != ours.get(name)
    ]
    if differing:
        more = f"; and {len(differing) - _MOST_TOLD} more" if len(differing) > _MOST_TOLD else ""
        raise TableError(f"this is the table of another sweep: {'; '.join(differing[:_MOST_TOLD])}{more}")


def _named(value: Any) -> str:
    """What stands in the metadata, short enough for a message; a text without quotes."""
    return value if is_text(value, _LONGEST_SHOWN) else shown(value)
