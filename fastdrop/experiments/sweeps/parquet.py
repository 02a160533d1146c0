"""A sweep's table as the bytes of a Parquet file, and back.

Parquet's checksums of pages do not cover its footer: a single wrong bit there gives other rows, or a reader that
allocates terabytes. So the file's metadata hold a digest of the whole file, and no byte is parsed here before it is
verified.
"""

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from fastdrop._version import __version__
from fastdrop.experiments.config import FIELDS
from fastdrop.experiments.fields import former_names
from fastdrop.experiments.formats.reading import is_text, shown

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FORMAT = 2
"""Version of the columns and of the file's metadata."""
_METADATA = b"fastdrop"
_SEAL = b"fastdrop-sha256"
_MARK = b"sha256:"
_BLANK = b"0" * 64
"""In the place of the digest while it is computed."""
_MAGIC = b"PAR1"
_MOST_BYTES = 1 << 30
_MOST_DECODED = 4 << 30
_MOST_TEXT = 1 << 28
"""Bytes of all texts: the errors of hundreds of thousands of runs, each of at most `LONGEST_ERROR` characters."""
LONGEST_ERROR = 4000
_MOST_TIMES = 200
"""The largest size of a table in memory by that of its file; 5000 runs of zeros have 30."""

_MOST_TOLD = 6
"""The most differences that a message names."""
_LONGEST_SHOWN = 80

_FORMER_NAMES = former_names(FIELDS)
_DAMAGED = "restore a copy of it, or choose another name"
_OTHER = "choose another name"


class TableError(ValueError):
    """A table that cannot be read, written or continued; the message names the file."""


def schema(columns: "dict[str, pa.DataType]", identity: dict[str, Any]) -> "pa.Schema":
    """The schema of the table of the sweep with this identity."""
    import pyarrow as pa

    about = json.dumps({"format": FORMAT, "fastdrop": __version__, "sweep": identity}).encode()
    return pa.schema(columns.items(), {_METADATA: about, _SEAL: _MARK + _BLANK})


def encode(rows: "pa.Table") -> bytes:
    """The bytes of the file of a table with such a schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.BufferOutputStream()
    # Dictionaries of numbers that rarely repeat would take ten times as long: 0.2 s for 5000 runs of 60 epochs.
    pq.write_table(rows, content, use_dictionary=["outcome", "error"], write_page_checksum=True)
    return seal(content.getvalue().to_pybytes())


def seal(content: bytes) -> bytes:
    """Put the digest of a file into its metadata: of all its bytes except the digest."""
    place = _digest_place(content)
    content = content[:place] + _BLANK + content[place + len(_BLANK) :]
    return content[:place] + _digest(content) + content[place + len(_BLANK) :]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _digest_place(content: bytes) -> int:
    """The offset of the digest: the last of the metadata, which are near the end of the file."""
    key = content.rfind(_SEAL)
    mark = content.find(_MARK, key) if key >= 0 else -1
    place = mark + len(_MARK)
    if mark < 0 or len(content) < place + len(_BLANK):
        raise TableError(f"this is not the table of a sweep, or it is damaged; {_OTHER}")
    return place


def read(target: str) -> bytes:
    """A file's content, if its kind and size are those of a table."""
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TableError(f"this is a folder, a device or a pipe; {_OTHER}")
        if status.st_size > _MOST_BYTES:
            raise TableError(f"{status.st_size:,} bytes are too many for the table of a sweep; {_OTHER}")
        return file.read(status.st_size)  # Python allocates as much as is asked for


def decode(content: bytes, wanted: "pa.Schema") -> "pa.Table":
    """The rows of a file that `encode` wrote, for the same sweep; a TableError where it is another file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(content) < 12 or content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise TableError(f"cannot be read as Parquet: damaged, or another kind of file; {_DAMAGED}")
    place = _digest_place(content)
    if seal(content)[place : place + len(_BLANK)] != content[place : place + len(_BLANK)]:
        raise TableError(f"the file is damaged, or another program has changed it; {_DAMAGED}")
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
        _check_identity(file.schema_arrow.metadata or {}, json.loads(wanted.metadata[_METADATA])["sweep"])
        names = [_FORMER_NAMES.get(name, name) for name in file.schema_arrow.names]
        present = pa.schema(map(pa.Field.with_name, file.schema_arrow, names))
        if not present.equals(wanted):
            raise TableError(f"the columns are not those of a sweep's table; {_OTHER}")
        _check_size(file, len(content))
        texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
    # Texts stay dictionaries until they are measured: a long repeated text takes little room in the file.
    with pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts, page_checksum_verification=True) as file:
        rows = file.read()
    rows.validate(full=True)
    _check_texts(rows.select(texts))
    return rows.rename_columns(names).cast(wanted)


def _check_size(file: "pq.ParquetFile", size: int) -> None:
    """Check the declared size of the table before more than one row is decoded."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # Reading one row opens all columns: its C++ exceptions become Python's. Those of `column` would end the process.
    for number in range(len(groups)):
        next(file.iter_batches(batch_size=1, row_groups=[number], use_threads=False), None)
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    decoded = sum(max(column.total_uncompressed_size, 8 * column.num_values) for column in columns)
    decoded = max(decoded, 8 * metadata.num_rows)
    if decoded > min(_MOST_TIMES * size, _MOST_DECODED):
        raise TableError(f"a file of {size:,} bytes declares {decoded:,} bytes of values; {_DAMAGED}")


def _check_texts(columns: "pa.Table") -> None:
    """Check the size of the texts, each a column of dictionaries."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in columns.itercolumns():
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
            total += pc.sum(lengths).as_py() or 0
    if total > _MOST_TEXT:
        raise TableError(f"its texts take {total:,} bytes; the limit is {_MOST_TEXT:,}; {_DAMAGED}")


def _check_identity(metadata: dict[bytes, bytes], ours: dict[str, Any]) -> None:
    """Check that it is the table of this sweep; the error names the differences."""
    about = json.loads(metadata.get(_METADATA, b"null"))
    if not isinstance(about, dict) or not isinstance(about.get("sweep"), dict):
        raise TableError(f"this is not the table of a sweep; {_OTHER}")
    if about.get("format") != FORMAT:
        raise TableError(f"its format is {_named(about.get('format'))}; this fastdrop reads format {FORMAT}; {_OTHER}")
    theirs = {_FORMER_NAMES.get(name, name): value for name, value in about["sweep"].items()}
    if isinstance(theirs.get("parameter"), str):
        theirs["parameter"] = _FORMER_NAMES.get(theirs["parameter"], theirs["parameter"])
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
    """A value of the metadata, short enough for a message; a text without quotes."""
    return value if is_text(value, _LONGEST_SHOWN) else shown(value)
