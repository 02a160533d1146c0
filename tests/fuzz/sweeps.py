"""Reader of a sweep's table, a Parquet file with its digest in the metadata."""

import hashlib
import io
import json
import re
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastdrop.experiments import Sweep, TableError
from fastdrop.experiments.sweeps.plan import Result
from fastdrop.experiments.sweeps.sweep_table import SweepTable
from fuzz.configs import CONFIG
from fuzz.mutations import VALUES, change_json, of_bytes
from fuzz.readers import Reader

SWEEP = Sweep(CONFIG, "rate", (0.0, 0.5), (0, 1, 2))
_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


_OTHERS = [
    pa.string(), pa.float32(), pa.int8(), pa.int32(), pa.float64(), pa.binary(), pa.large_string(),
    pa.list_(pa.float32()), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip
"""Types of columns."""


def sealed(content):
    """The content with a correct digest, in the last place that has one."""
    places = list(_DIGEST.finditer(content))
    if not places:
        return content
    begin, end = places[-1].span(1)
    blank = content[:begin] + b"0" * 64 + content[end:]
    return content[:begin] + hashlib.sha256(blank).hexdigest().encode() + content[end:]


def _other_column(rng, column):
    """Change a column of a table: other values, some of them missing, or another type."""
    values = column.to_pylist()
    place = rng.randrange(len(values)) if values else 0
    match rng.randrange(6):
        case 0 if values:
            values[place] = None
        case 1 if values:
            values[place] = values[rng.randrange(len(values))]
        case 2 if values and isinstance(values[place], list):
            values[place] = rng.choice([[], [None], values[place][:-1], values[place] * 2, [float("nan")] * 4])
        case 3:
            kind = rng.choice(_OTHERS)
            return pa.array([None] * len(values), kind)
        case 4:
            kind = rng.choice(_OTHERS)
            return column.cast(kind)
        case _:
            values = [rng.choice([value, *VALUES]) for value in values]
    return pa.array(values, column.type)


def _other_table(rng, table):
    name = rng.choice(table.column_names)
    place = table.column_names.index(name)
    match rng.randrange(8):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.append_column(rng.choice(["more", name]), table[name])
        case 2:
            return pa.concat_tables([table, table.slice(rng.randrange(4))])
        case 3:
            return table.slice(0, rng.randrange(table.num_rows + 1))
        case 4:
            metadata = dict(table.schema.metadata or {})
            key = rng.choice(list(metadata))
            metadata[key] = change_json(rng, metadata[key].decode("utf-8", "replace")).encode("utf-8", "replace")
            return table.replace_schema_metadata(metadata)
        case _:
            return table.set_column(place, name, _other_column(rng, table[name]))


class SweepFile(Reader):
    refused = (TableError,)
    suffix = ".parquet"
    weight = 0.1

    def prepare(self):
        pa.set_memory_pool(pa.system_memory_pool())  # the usual one reserves gigabytes of addresses

    def seeds(self):
        rng = np.random.default_rng(0)
        found = []
        for count in (0, 4):
            path = self.folder / f"valid{count}.parquet"
            path.unlink(missing_ok=True)
            table = SweepTable(path, SWEEP)
            runs = list(SWEEP.runs())[:count]
            results = [Result(*run, rng.random((CONFIG.epochs + 1, 4))) for run in runs]
            if count:
                results[1] = Result(*runs[1], rng.random((2, 4)), "the loss is nan", True)
                results[2] = Result(*runs[2], rng.random((0, 4)), "no memory")
            table.add(results)
            table.close()
            found.append(path.read_bytes())
        return found

    def mutate(self, rng, content):
        match rng.randrange(8):
            case 0:
                return of_bytes(rng, content)
            case 1:
                return sealed(of_bytes(rng, content))
            case 2:  # page headers, which Parquet's checksums do not cover
                footer = max(len(content) - 8 - int.from_bytes(content[-8:-4], "little"), 0)
                return sealed(content[:footer] + of_bytes(rng, content[footer:]))
        table = pq.read_table(io.BytesIO(content))
        table = _other_table(rng, table)
        buffer = io.BytesIO()
        options = {"use_dictionary": rng.random() < 0.5, "compression": rng.choice(["snappy", "none", "zstd", "gzip"])}
        pq.write_table(table, buffer, row_group_size=rng.choice([1, 3, 1000]), **options)
        return sealed(buffer.getvalue())

    def read(self, given):
        table = SweepTable(given, SWEEP)
        try:
            table.wait()
        except TableError:
            with suppress(TableError):  # the same result again
                table.close()
            raise
        return table

    def use(self, found):
        kept = found.kept
        found.close()
        runs = {(run.value, run.seed) for run in SWEEP.runs()}
        assert {(result.value, result.seed) for result in kept} <= runs
        for result in kept:
            assert result.outcome in ("finished", "diverged")
            assert result.figures.shape[1] == 4
            assert len(result.history) == len(result.figures)
            assert np.isnan(result.figure("gap")) or result.outcome == "finished"
        again = SweepTable(self.path, SWEEP)
        assert [repr(result) for result in again.kept] == [repr(result) for result in kept]
        again.close()
        assert json.dumps([result.error for result in kept])


READERS = {"sweep-table": SweepFile}
