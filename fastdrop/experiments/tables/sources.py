"""Opens whatever a table is in: a file of any format, found by its content, a folder, or data in memory."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fastdrop.experiments.formats.npz import LARGEST
from fastdrop.experiments.formats.reading import gigabytes, read_bytes, shown, size_of
from fastdrop.experiments.tables import arrays, formats, text
from fastdrop.experiments.tables.compression import MARKS, decompressed
from fastdrop.experiments.tables.contents import LARGEST_TEXT, Arrays, Cells, TableProblem, listed

SUFFIXES = (
    ".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".gz", ".bz2", ".xz", ".zip", ".xlsx", ".xls", ".xlsb", ".ods",
    ".parquet", ".feather", ".arrow", ".arff", ".npz", ".npy",
)  # fmt: skip
"""The suffixes of tables: for dialogs alone, since the content decides how a file is read."""
_TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".arff")

_BINARY = (
    b"PK",
    b"\xd0\xcf\x11\xe0",
    b"PAR1",
    b"ARROW1",
    b"FEA1",
    b"\x93NUMPY",
    b"\0\0\x08",
    b"\0\0\x0d",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7z",
)
"""What files begin with that may be larger than text."""


def is_table(path: str | Path) -> bool:
    """Whether a path looks like a table: by its suffix, or a folder."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES or path.name.endswith("-ubyte") or path.is_dir()


def read_file(path: Path, sheet: str = "") -> Cells | Arrays:
    """A file's cells or arrays."""
    if path.is_dir():
        return arrays.read_folder(path)
    content = read_bytes(path, LARGEST if _is_binary(path) else LARGEST_TEXT)
    found = _read_content(content, path, sheet)
    if sheet and not isinstance(found, Arrays) and not _is_spreadsheet(content):
        raise TableProblem("--sheet is for spreadsheets; this is none")
    return found


def _is_binary(path: Path) -> bool:
    """Whether a file is no text, by its first bytes."""
    size_of(path)
    with open(path, "rb") as file:
        return file.read(8).startswith(_BINARY)


def _is_spreadsheet(content: bytes) -> bool:
    return content.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0"))


def _read_content(content: bytes, path: Path, sheet: str, depth: int = 0) -> Cells | Arrays:
    """Read by the first bytes, which a wrong suffix does not change; `depth` counts the files it was in."""
    if not content:
        raise TableProblem("the file is empty")
    if content.startswith(b"PK\3\4"):
        return _read_zip(content, path, sheet, depth)
    if (depth and content.startswith(b"\x93NUMPY")) or (depth > 1 and content.startswith(MARKS)):  # it may hold itself
        raise TableProblem(f"{shown(path.name)} inside it cannot be read; unpack it")
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        return formats.read_spreadsheet(content, sheet)
    if content.startswith(b"PAR1"):
        return formats.read_parquet(content)
    if content.startswith((b"ARROW1", b"FEA1")):
        return formats.read_feather(content)
    if content.startswith(b"\x93NUMPY"):
        found = arrays.read_npy(path)
        return found if isinstance(found, Arrays) else _cells_of_array(found)
    if len(content) > 4 and content[:2] == b"\0\0" and content[2] in range(8, 15):
        return arrays.read_idx(path, content)
    if content.startswith(MARKS):
        if _is_idx(content):
            return arrays.read_idx(path, decompressed(content, LARGEST))
        return _read_content(decompressed(content, LARGEST_TEXT), path.with_suffix(""), sheet, depth + 1)
    if content[:1] == b"\x80" or content.startswith(b"\x89HDF"):
        kind = "an HDF5 file" if content[0] == 0x89 else "a pickle, which is never read: it could run any code"
        raise TableProblem(f"this is {kind}; save the table as Parquet or CSV")
    if content[257:262] == b"ustar":
        raise TableProblem("this is a tar archive; unpack it and choose a table")
    if _is_arff(content):
        return formats.read_arff(content)
    return text.read_text(content, None if depth else path)


def _is_idx(content: bytes) -> bool:
    if not content.startswith(b"\x1f\x8b"):
        return False
    try:
        head = zlib.decompressobj(31).decompress(content[:4096], 4)
    except zlib.error:
        return False
    return head[:2] == b"\0\0" and len(head) == 4 and head[2] in range(8, 15)


def _is_arff(content: bytes) -> bool:
    """Whether the first line that is no comment begins with @relation."""
    lines = io.BytesIO(content[: 1 << 16])
    first = next((line for line in lines if line.strip() and not line.startswith(b"%")), b"")
    return first.strip().lower().startswith(b"@relation")


def _read_zip(content: bytes, path: Path, sheet: str, depth: int) -> Cells | Arrays:
    """A workbook, an NPZ archive, or one compressed file."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = [member for member in archive.infolist() if not member.is_dir()]
    except Exception:  # zipfile raises many kinds over damaged files
        raise TableProblem("damaged, or not a ZIP archive") from None
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names or "content.xml" in names or "xl/workbook.xml" in names:
        return formats.read_spreadsheet(content, sheet)
    if (names and all(name.endswith(".npy") for name in names)) or path.suffix.lower() == ".npz":
        if depth:
            raise TableProblem(f"{shown(path.name)} inside it cannot be read; unpack it")
        return arrays.read_npz(path)
    if depth:
        raise TableProblem(f"{shown(path.name)} inside it is an archive again; unpack it")
    plain = [member for member in members if "__MACOSX" not in member.filename and not member.filename.startswith(".")]
    tables = [member for member in plain if is_table(member.filename)]
    if len(tables) == 1:
        plain = tables
    if len(plain) != 1:
        raise TableProblem(
            "a ZIP archive must hold one table; this one holds "
            f"{listed([each.filename for each in plain], 8) or 'nothing'}; unpack it and choose one"
        )
    if plain[0].file_size > LARGEST_TEXT:
        raise TableProblem(f"too large; the limit is {gigabytes(LARGEST_TEXT)} after decompression")
    try:
        with archive.open(plain[0]) as file:
            inside = file.read(plain[0].file_size + 1)
    except Exception as error:
        raise TableProblem(f"its compressed data are damaged or encrypted: {error}") from None
    return _read_content(inside, path.with_name(_file_name(plain[0].filename)), sheet, depth + 1)


def _file_name(member: str) -> str:
    """The name of a member without its folders; a path cannot have another one."""
    return Path(member).name.replace("\0", "") or "table"


def hash_of(data: Any, test_data: Any = "") -> str:
    """SHA-256 of a file, or of two; of a folder's names and sizes; empty where one cannot be read, or is in memory."""
    try:
        found = [_hash_of(each) for each in (data, test_data) if each]
    except (OSError, ValueError, TypeError):
        return ""
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _hash_of(path: Any) -> str:
    if Path(path).is_dir():
        files = sorted(each for each in Path(path).rglob("*") if each.is_file())
        sizes = "".join(f"{each.relative_to(path)} {each.stat().st_size}\n" for each in files)
        return hashlib.sha256(sizes.encode()).hexdigest()
    size_of(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- in memory


class InMemory:
    """Data that a configuration holds themselves, instead of their path. Equal to itself alone, and never copied."""

    def __init__(self, data: Any) -> None:
        self.data = data

    @classmethod
    def of(cls, data: Any) -> "InMemory":
        """The data, wrapped once."""
        return data if isinstance(data, InMemory) else cls(data)

    def __deepcopy__(self, memo: Any) -> "InMemory":
        return self

    def __repr__(self) -> str:
        return f"<{type(self.data).__name__} in memory>"


def read_data(data: Any) -> Cells | Arrays:
    """The cells of a DataFrame of pandas or polars, of an Arrow table, or of arrays."""
    if isinstance(data, InMemory):
        return read_data(data.data)
    if isinstance(data, Mapping):
        return arrays.arrays_by_name(data)
    if isinstance(data, tuple) and len(data) in (2, 4):
        x = data[0]
        if hasattr(x, "columns") or hasattr(x, "__arrow_c_stream__"):
            return _with_target(read_data(x), data[1])
        names = ("x", "y") if len(data) == 2 else ("x_train", "y_train", "x_test", "y_test")
        x, y, *test = map(arrays.as_array, data, names)
        return Arrays(x, y, test[0], test[1]) if test else Arrays(x, y)
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns"):
        return formats.cells_of_frame(data)
    if hasattr(data, "__arrow_c_stream__"):
        arrow = formats.imported("pyarrow", "pyarrow", "reading an Arrow table or a polars DataFrame")
        with suppress(ValueError, TypeError):  # a column, which is no table
            return formats.cells_of_arrow(arrow.table(data))
    if isinstance(data, np.ndarray) and data.ndim == 2:
        return _cells_of_array(data)
    raise TableProblem(
        "must be a path, a DataFrame of pandas or polars, an Arrow table, a pair of arrays (x, y) or a dict of them; "
        f"got {type(data).__name__}"
    )


def _with_target(cells: Cells | Arrays, y: Any) -> Cells:
    """A DataFrame of features and a target beside it."""
    import pandas as pd

    assert isinstance(cells, Cells)
    target = y.reset_index(drop=True) if isinstance(y, pd.Series) else pd.Series(np.asarray(y).reshape(-1))
    if len(target) != cells.rows:
        raise TableProblem(f"{cells.rows:,} rows of features and {len(target):,} of the target; they must be as many")
    name = str(getattr(y, "name", None) or "target")
    return cells._replace(names=(*cells.names, name), columns=[*cells.columns, target])


def _cells_of_array(array: Any) -> Cells:
    import pandas as pd

    return formats.cells_of_frame(pd.DataFrame(array))
