"""The reader of the benchmark's files, and the use of their content."""

import json
import math

from fastdrop.bench import compare, figures, report
from fastdrop_gui.model import benchmark_figures
from fastdrop_gui.model.benchmark_figures import Row
from fuzz.mutations import as_text, change_json
from fuzz.readers import Reader

TIMING = {
    "median_seconds": 1e-3, "quartiles_seconds": [9e-4, 1.1e-3], "rounds": 9, "time_relative_to_fastdrop": 1.0,
    "quartiles_relative_to_fastdrop": [0.9, 1.1], "bytes": 4096,
}  # fmt: skip
QUIET = {"foreign_share": 0.2, "steal_share": 0.0, "pressure_share": None, "spread": 0.1, "waited_seconds": 2.5}
NOISE = {"others": 0.2, "stolen": 0.0, "spread": None}
RESULT = {"operation": "dropout", "shape": [1024], "elements": 1024, "dtype": "float32", "p": 0.5, "threads": 1}


def document(version, candidates, **more):
    """A small file of a benchmark."""
    results = [{**RESULT, "candidates": candidates, **more}, {**RESULT, "shape": [64, 64], "candidates": candidates}]
    return {
        "format": "fastdrop bench", "version": version, "plan": "quick", "complete": True,
        "machine": {"cores": 2, "caches": {"L2": "1024K"}, "processor": "a"},
        "missing baselines" if version > 2 else "missing peers": ["jax"],
        "results": results,
    }  # fmt: skip


class Benchmark(Reader):
    refused = (ValueError,)
    suffix = ".json"
    mutate = staticmethod(as_text(change_json))

    def prepare(self):
        self.other = self.folder / "other.json"
        self.other.write_bytes(self.seeds()[1])

    def seeds(self):
        old = {"fastdrop": TIMING, "copy": TIMING, "numpy": {**TIMING, "bytes": 0}, "jax": {"error": "none"}}
        new = {"fastdrop": TIMING, "np.copyto": TIMING, "fastdrop (avx2)": TIMING, "torch": TIMING}
        documents = [
            document(1, old),
            document(2, new, quiet=QUIET),
            document(2, {"fastdrop": {"error": "none"}}),
            document(3, new, noise=NOISE),
        ]
        return [json.dumps(each).encode() for each in documents]

    def read(self, given):
        return report.load(given)

    def use(self, found):
        path = self.folder / "again.json"
        report.save(found, path)
        again = report.load(path)
        assert repr(again.results) == repr(found.results)
        assert (again.missing, again.plan, again.complete) == (found.missing, found.plan, found.complete)
        assert found.machine == again.machine
        found.break_even()
        noises = [result.noise for result in found.results if result.noise]
        assert all(value is None or 0 <= value < math.inf for noise in noises for value in noise)
        other = report.load(self.other)
        for one, two in ((found, other), (other, found), (found, found)):
            changes = {change.case.key: change for change in compare.compare(one, two)}
            str(compare.differences(one, two)).encode()
            rows = [Row(result.case, result, None, changes.get(result.case.key)) for result in two.results]
            for row in rows:
                benchmark_figures.cells(row)
                benchmark_figures.bars(row.shown)
            figures.table([(row.result, None) for row in rows])
            figures.scaling(two.results)
            for name in figures.operations(two.results):
                figures.lines(two.results, name)


READERS = {"benchmark": Benchmark}
