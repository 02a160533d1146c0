"""Readers of the benchmark: its files, what another build's process answers, and what Linux tells of the machine."""

import io
import json
import math
import subprocess
from pathlib import Path
from unittest import mock

from fastdrop.bench import builds, compare, quiet, report, topology
from fastdrop.bench.plan import Case
from fastdrop_gui import benchmark_figures
from fastdrop_gui.benchmark_figures import Row
from fuzz.mutations import as_text, change_json, of_bytes, of_text
from fuzz.readers import NoInput, Reader

ROOT = Path(__file__).parents[2]
TIMING = {
    "median_seconds": 1e-3, "quartiles_seconds": [9e-4, 1.1e-3], "rounds": 9, "time_relative_to_fastdrop": 1.0,
    "quartiles_relative_to_fastdrop": [0.9, 1.1], "bytes": 4096,
}  # fmt: skip
QUIET = {"foreign_share": 0.2, "steal_share": 0.0, "pressure_share": None, "spread": 0.1, "waited_seconds": 2.5}
RESULT = {"operation": "dropout", "shape": [1024], "elements": 1024, "dtype": "float32", "p": 0.5, "threads": 1}


def document(version, candidates, **more):
    """A small file of a benchmark."""
    results = [{**RESULT, "candidates": candidates, **more}, {**RESULT, "shape": [64, 64], "candidates": candidates}]
    return {
        "format": "fastdrop bench", "version": version, "plan": "quick", "complete": True,
        "machine": {"cores": 2, "caches": {"L2": "1024K"}, "processor": "a"}, "missing peers": ["jax"],
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
        documents = [document(1, old), document(2, new, quiet=QUIET), document(2, {"fastdrop": {"error": "none"}})]
        return [json.dumps(each).encode() for each in documents]

    def read(self, given):
        return report.load(given)

    def use(self, found):
        path = self.folder / "again.json"
        report.save(found, path)
        again = report.load(path)
        assert repr(again.results) == repr(found.results)
        assert (again.missing, again.plan, again.complete) == (found.missing, found.plan, found.complete)
        assert {**found.machine, "quiet": 0} == {**again.machine, "quiet": 0}
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
            benchmark_figures.figures(rows)
            for name in benchmark_figures.operations(two.results):
                benchmark_figures.lines(two.results, name)


class Process:
    """What `subprocess.Popen` gives: a build that says the lines of an input, whatever it is asked."""

    pid, returncode = 0, 0

    def __init__(self, content):
        self.stdin, self.stdout = io.StringIO(), io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")

    def wait(self, timeout=None):
        return 0

    poll = wait

    def kill(self):
        pass


class Build(Reader):
    """Lines of JSON that a process of another build answers with."""

    refused = (ValueError,)
    share = 0.2

    def seeds(self):
        about = {"version": "0.1", "isa": "avx2", "numpy": "2.0"}
        prepared, time = {"digest": 7, "seconds": 1e-3}, {"seconds": 1e-3}
        answers = [about, prepared, prepared, *[time] * 4, *[prepared, prepared, *[time] * 4] * 8]
        return [
            "".join(f"{json.dumps(line)}\n" for line in lines).encode()
            for lines in (answers, [{"error": "none"}], [about, {"error": "no such operation"}, *answers[2:]])
        ]

    def mutate(self, rng, content):
        lines = content.split(b"\n")
        place = rng.randrange(min(len(lines), 9))
        match rng.randrange(4):
            case 0:
                return of_bytes(rng, content)
            case 1:
                lines.insert(place, rng.choice(lines))
            case _:
                lines[place] = as_text(change_json)(rng, lines[place])
        return b"\n".join(lines)

    def read(self, given):
        case = Case("dropout", (8,), "float32", 0.5, 1, seconds=0.0)
        with mock.patch.object(subprocess, "Popen", return_value=Process(given)):
            build = builds.Build(ROOT)
        try:
            with mock.patch("time.sleep"), mock.patch("os.sched_getaffinity", return_value=set()):
                return list(builds.compare((build, build), [case])), build.record()
        finally:
            build.close()

    def _check_message(self, error):
        super()._check_message(error)
        assert str(ROOT) in str(error)

    def use(self, found):
        pairings, record = found
        json.dumps(record)
        for pairing in pairings:
            assert isinstance(pairing.verdict, str)


class Machine(Reader):
    """Files of /proc and /sys, by name: a benchmark runs as well where they say something else."""

    def seeds(self):
        return [
            json.dumps({
                "stat": "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 10 0 3 44 0 0 0 1 0 0\ncpu1 2 0 3 4\nprocs_running 2\n",
                "1/stat": "1 (a b) S 0 1 1 0 -1 4194560 1 1 1 1 12 13 2 3 20 0 1 0",
                "pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345\nfull avg10=0.00 total=0\n",
                "node/node0/cpulist": "0-1,8\n", "node/node1/cpulist": "2-3\n",
                "cpu/cpu0/topology/thread_siblings_list": "0,2", "cpu/cpu1/topology/thread_siblings_list": "1-3",
            }).encode()
        ]  # fmt: skip

    def mutate(self, rng, content):
        files = json.loads(content)
        name = rng.choice(list(files))
        hostile = [
            "0-99999999999",
            "0-3-5",
            "-1",
            "9" * 5000,
            "\u0661",
            "5-0",
            "cpu0 x",
            "cpu0",
            "some total=",
            "",
            ")",
        ]
        files[name] = rng.choice(hostile) if rng.random() < 0.3 else of_text(rng, files[name])
        return json.dumps(files).encode()

    def read(self, given):
        try:
            files = json.loads(given)
            for name, text in files.items():
                path = self.folder / Path(name).relative_to(".")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode("utf-8", "surrogatepass"))
        except (ValueError, OSError, AttributeError, RecursionError):
            raise NoInput from None
        cores = [0, 1, 2, 3]
        with mock.patch("os.sched_getaffinity", return_value=set(cores)):
            reading = quiet.read([1], proc=self.folder)
        return reading, topology.groups(system=self.folder, allowed=cores)

    def use(self, found):
        reading, groups = found
        quiet.between(reading, reading)
        for cores in groups.values():
            assert set(cores) <= {0, 1, 2, 3}
            assert len(set(cores)) == len(cores)


READERS = {"benchmark": Benchmark, "builds": Build, "machine": Machine}
