"""Readers of the user's tables: text, NPZ archives, other formats."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile

import numpy as np
import pandas as pd

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import DataError, load_table
from fastdrop.experiments.formats.reading import is_text
from fastdrop.experiments.splitting import split_table
from fastdrop.experiments.tables.contents import Arrays
from fastdrop.experiments.tables.further_rows import encode
from fastdrop.experiments.tables.preparation import LARGEST_INPUT
from fastdrop.experiments.tables.reader import data_errors, opened
from fuzz.dialects import DIALECTS, expected_rows, rows, seed_of
from fuzz.mutations import (
    CELLS,
    archive,
    as_text,
    members_of,
    npy,
    of_archive,
    of_array,
    of_bytes,
    of_cells,
    of_text,
    plain_array,
)
from fuzz.readers import Finding, Reader


class Table(Reader):
    """Reads a table twice and splits it; what comes out is consistent, or it is refused in one line."""

    refused = (DataError, BackendUnavailable)

    def _check_message(self, error):
        super()._check_message(error)
        if len(str(error).splitlines()) != 1:
            raise Finding(f"a message of several lines: {error!s:.500}") from error

    def read(self, given):
        table, again = load_table(given), load_table(given)
        for name in ("features", "labels", "lines"):
            np.testing.assert_array_equal(getattr(table, name), getattr(again, name), name)
        assert (table.columns, table.class_names, table.notes) == (again.columns, again.class_names, again.notes)
        self._check_table(table)
        return table, split_table(table, 0.5, 0)

    def _check_table(self, table):
        names = [column.name for column in table.columns] if table.place == "line" else []
        rows, columns = table.features.shape
        assert table.features.dtype == np.float64
        assert not np.isinf(table.features).any()
        assert columns == len(table.used) >= 1
        assert table.labels.shape == table.lines.shape == (rows,)
        assert (np.diff(table.lines[: table.train_rows or None]) > 0).all()
        assert all(is_text(text, 10_000) and "\n" not in text for text in (*table.notes, *names)), "control characters"
        for column, cells in zip(table.used, table.features.T, strict=True):
            if column.role == "category":
                assert np.isin(cells[~np.isnan(cells)], np.arange(len(column.categories))).all(), column
            assert all(isinstance(column.text(value), str) for value in cells[:3])
        if table.class_names:
            assert np.bincount(table.labels, minlength=len(table.class_names)).size == len(table.class_names) >= 2
            assert len(set(table.class_names)) == len(table.class_names)
        else:
            assert np.isfinite(table.labels).all()

    def use(self, found):
        table, data = found
        rows = np.concatenate([data.train_rows, data.test_rows])
        assert np.array_equal(np.sort(rows), np.arange(len(table.labels))), "a row is in both parts, or in none"
        assert data.classes > max(data.y_train.max(), data.y_test.max())
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
            assert x.shape == (len(y), len(data.feature_names))
            assert np.isfinite(x).all()
            assert np.abs(x).max() <= LARGEST_INPUT
            assert (y >= 0).all()
        cells = opened(self.path)
        if not isinstance(cells, Arrays):
            self._check_encoding(table, cells)

    def _check_encoding(self, table, cells):
        """A model sees a file's rows as the training did."""
        features, _ = encode(table.columns, cells)
        kept = np.isin(cells.lines, table.lines)
        np.testing.assert_array_equal(features[kept], table.features, "the same rows for a prediction")
        both = load_table(self.path, test_data=self.path)
        assert both.train_rows == len(table.labels)
        np.testing.assert_array_equal(both.features, np.concatenate([table.features] * 2))
        np.testing.assert_array_equal(both.labels, np.concatenate([table.labels] * 2))


# -- text


class TextTable(Table):
    suffix = ".csv"
    weight = 0.7

    def seeds(self):
        return [key.encode() + seed_of(dialect) for key, dialect in DIALECTS.items()]

    def mutate(self, rng, content):
        dialect = DIALECTS[chr(content[0])]
        mark = dialect.delimiter

        def change(rng, text):
            if rng.random() < 0.5:
                return of_cells(rng, text.replace(",", "\1").replace(mark, ",")).replace(",", mark).replace("\1", ",")
            lines = text.splitlines(keepends=True) or [""]
            place = rng.randrange(len(lines))
            cells = lines[place].rstrip("\r\n").split(mark)
            cells[rng.randrange(len(cells))] = rng.choice([*CELLS, *ODD_CELLS])
            lines[place] = mark.join(cells) + dialect.end
            if rng.random() < 0.2:
                column = rng.randrange(len(cells))
                lines = [_with_cell(line, column, rng.choice(ODD_CELLS), mark, dialect.end) for line in lines]
            return "".join(lines)

        if dialect.encoding != "utf-8" and rng.random() < 0.7:
            text = change(rng, content[1:].decode(dialect.encoding))
            return content[:1] + text.encode(dialect.encoding, "replace")
        return content[:1] + as_text(change)(rng, content[1:])

    def outcome(self, content):
        if content[:1].decode("latin-1") not in DIALECTS:
            return "no input"
        self.dialect = DIALECTS[chr(content[0])]
        return super().outcome(content[1:])

    def read(self, given):
        expected = expected_rows(given.read_bytes(), self.dialect)
        if expected is not None:
            with data_errors(str(given)):
                cells = opened(given)
            found = cells.lines.tolist()
            begin = 1 if cells.has_header and len(found) < len(expected) else 0
            assert found == expected[begin:], f"rows at lines {found} instead of {expected}"
        return super().read(given)


ODD_CELLS = [
    "2020-02-30", "31/12/2020", "12:30", "yes", "No", "TRUE", "1,234", "1.234,5", "12 %", "$5", "NA", "-", "n.a.", "1.",
    "=A1+1", "-0.0", "9007199254740993", "1e-400", "1e400", "infinity", "+1", ".5", "0x1F", "1d5", "1 000", "a\tb", "#",
    '"a""b"', '"a\nb"', "# x", "%", "'", "NaN", "None", "\u2212 5", "\u00a0", "\u00a01", "É", "1/2", "2020", "Jan 2020",
]  # fmt: skip
"""Cells as people write them."""


def _with_cell(line, column, text, mark, end):
    cells = line.rstrip("\r\n").split(mark)
    if column < len(cells):
        cells[column] = text
    return mark.join(cells) + end


# -- arrays


class NpzTable(Table):
    suffix = ".npz"
    weight = 0.4

    def mutate(self, rng, content):
        members = members_of(content)
        if rng.random() < 0.5 or not members:
            return of_archive(rng, content)
        name = rng.choice(list(members))
        members[name] = npy(of_array(rng, plain_array(members[name])))
        return archive([(name, member, 8) for name, member in members.items()])

    def seeds(self):
        rng = np.random.default_rng(0)
        x, text = rng.random((12, 3)), np.array(["a", "bc"] * 6)
        images = rng.integers(0, 255, (12, 4, 4), np.uint8)
        tables = [
            {"x": x, "y": text, "z": np.arange(3)},
            {"x": x.reshape(12, 1, 3).astype("f4"), "y": np.arange(12) % 2},
            {"x": np.arange(36, dtype="i2").reshape(12, 3), "y": np.arange(12) % 2 == 0},
            {"X": x, "y": np.arange(12) % 2.0},
            {"data": x, "target": np.arange(12) % 3, "feature_names": np.array(["a", "b", "c"]),
             "target_names": np.array(["u", "v", "w"])},
            {"x_train": images, "y_train": np.arange(12) % 2, "x_test": images[:6], "y_test": np.arange(6) % 2},
            {"x": images[..., None].repeat(3, axis=3), "y": np.eye(3)[np.arange(12) % 3]},
        ]  # fmt: skip
        return [archive([(f"{name}.npy", npy(array), 8) for name, array in table.items()]) for table in tables]

    def read(self, given):
        table, data = super().read(given)
        try:
            with np.load(given) as found:
                x, y = (found[name] for name in ("x", "y")) if set(found) == {"x", "y"} else (np.zeros(0), np.zeros(0))
        except Exception:  # an archive that numpy refuses, or with objects
            return table, data
        if len(x) and y.dtype.kind in "iubf" and y.size == len(y):
            assert len(table.labels) == len(y) - np.count_nonzero(~np.isfinite(y.astype(float))), "rows"
        return table, data


# -- other formats


def _frame():
    frame = pd.DataFrame(list(rows()))
    return frame.assign(day=pd.to_datetime(frame.day), size=frame["size"].astype("Int64"))


def _spreadsheet():
    buffer = io.BytesIO()
    _frame().to_excel(buffer, index=False)
    return buffer.getvalue()


def _arrow(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _arff():
    lines = "".join(f"{row['number']},{row['size']},{row['kind']}\n" for row in rows())
    return f"@relation r\n@attribute a numeric\n@attribute b real\n@attribute kind {{x,y}}\n@data\n{lines}".encode()


IMAGES = struct.pack(">4B3I", 0, 0, 8, 3, 12, 2, 2) + bytes(range(48))


class BinaryTable(Table):
    """Spreadsheets, Parquet, Feather, ARFF, NPY, IDX images with labels beside them, compressed text."""

    suffix = "-images-idx3-ubyte"
    weight = 0.3

    def prepare(self):
        import pyarrow as pa

        pa.set_memory_pool(pa.system_memory_pool())  # the usual one reserves gigabytes of addresses
        labels = struct.pack(">4BI", 0, 0, 8, 1, 12) + bytes([0, 1] * 6)
        (self.folder / "input-labels-idx1-ubyte").write_bytes(labels)

    def seeds(self):
        frame, text = _frame(), seed_of(DIALECTS["c"])
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("own.csv", text)
        nested = frame.assign(colour=frame.colour.astype("category"), number=frame.number.astype("float32"))
        x = np.column_stack([frame.number, frame["size"].astype(float), np.arange(12) % 2])
        return [
            _spreadsheet(),
            _arrow(frame.to_parquet),
            _arrow(lambda file: nested.to_parquet(file, compression="zstd", row_group_size=5)),
            _arrow(frame.to_feather),
            _arff(),
            npy(x),
            IMAGES,
            gzip.compress(IMAGES, mtime=0),
            gzip.compress(text, mtime=0),
            bz2.compress(text),
            lzma.compress(text),
            buffer.getvalue(),
        ]

    def _check_message(self, error):
        """Arrow allocates what a compressed buffer declares: where that fails, the file is refused."""
        if "too large for this machine's memory" in str(error) and self.path.read_bytes()[:4] in (b"ARRO", b"PAR1"):
            error = DataError(str(error))
        super()._check_message(error)

    def mutate(self, rng, content):
        if rng.random() < 0.2:
            return of_bytes(rng, content)
        change = as_text(of_text)
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                members = {name: file.read(name) for name in file.namelist()}
            name = rng.choice([*members, *[each for each in members if "sheet" in each] * 5])
            members[name] = change(rng, members[name])
            return archive([(name, member, 8) for name, member in members.items()])
        if content.startswith(b"\x1f\x8b"):
            return gzip.compress(change(rng, gzip.decompress(content)), mtime=0)
        if content.startswith((b"PAR1", b"ARROW1")):
            return self._other_arrow(rng, content)
        if content.startswith(b"@"):
            return change(rng, content)
        return of_bytes(rng, content)

    @staticmethod
    def _other_arrow(rng, content):
        """The table with another column, or fewer rows."""
        import pyarrow.feather as feather
        import pyarrow.parquet as parquet

        from fuzz.sweeps import _other_column

        is_parquet = content.startswith(b"PAR1")
        table = (parquet.read_table if is_parquet else feather.read_table)(io.BytesIO(content))
        table = table.slice(0, rng.randrange(table.num_rows + 1)) if rng.random() < 0.2 else table
        name = rng.choice(table.column_names)
        changed = _other_column(rng, table[name])
        if rng.random() < 0.2:
            table = table.append_column(rng.choice(table.column_names), changed)
        else:
            table = table.set_column(table.column_names.index(name), name, changed)
        if rng.random() < 0.3:
            table = table.replace_schema_metadata(None)
        write = parquet.write_table if is_parquet else feather.write_feather
        return _arrow(lambda file: write(table, file))


READERS = {"csv": TextTable, "npz": NpzTable, "table": BinaryTable}
