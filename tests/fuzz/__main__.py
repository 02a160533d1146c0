"""`make fuzz`, or `PYTHONPATH=tests python -m fuzz [--inputs N] [--reader NAME ...]`: all readers, under atheris.

Each reader runs in a separate process, two at a time. Inputs with new coverage are kept in build/fuzz, also after
Ctrl-C, and the next run starts from them. A finding is written to tests/fuzz/corpus, where the tests replay it; the
exit status is then 1. `--distil` chooses a new committed corpus; `--try FILE` prints the outcome of one file.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
_FIGURES = re.compile(r"^#(\d+)\s+\w+.*?cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_INPUTS = re.compile(r"^(?:#|stat::number_of_executed_units: )(\d+)", re.MULTILINE)
PROGRESS = 10
"""Seconds between two lines of progress."""


class Run:
    """One reader's process and its log."""

    def __init__(self, name, inputs, seed):
        self.name, self.inputs, self.begin = name, inputs, time.monotonic()
        WORK.mkdir(parents=True, exist_ok=True)
        self.log = WORK / f"{name}.log"
        command = [sys.executable, "-m", "fuzz.engine", name, str(inputs), str(seed), str(WORK / name)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OPENBLAS_NUM_THREADS": "1",
                       "OMP_NUM_THREADS": "1", "QT_QPA_PLATFORM": "offscreen"}  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)

    def __str__(self):
        text = self.log.read_text(errors="replace")
        figures, done = _FIGURES.findall(text), [int(number) for number in _INPUTS.findall(text)]
        count = max(done, default=0)
        rate = count / max(time.monotonic() - self.begin, 1e-3)
        first, last = (figures[0], figures[-1]) if figures else (("0",) * 4, ("0",) * 4)
        return (
            f"{self.name:13} {count:9,} of {self.inputs:,} inputs, {rate:6,.0f} a second, coverage {first[1]} -> "
            f"{last[1]} ({last[2]} features, {last[3]} inputs kept)"
        )

    def problem(self):
        """The finding; empty without one."""
        if self.process.returncode == 0:
            return ""
        text = self.log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if "Finding:" in line or "Test unit written" in line]
        return "\n    ".join([f"{self.name}: exit status {self.process.returncode}, see {self.log}", *lines[-4:]])


def fuzz(names, inputs, seed, processes):
    """Run the readers on this number of inputs in all; returns 1 if there was a finding."""
    from fuzz.readers import readers

    known = readers()
    total = sum(known[name].weight for name in names)
    plan = [(name, max(1, round(inputs * known[name].weight / total))) for name in names]
    plan.sort(key=lambda each: -each[1] / known[each[0]].weight)
    print(f"{inputs:,} inputs, {len(names)} readers, {processes} processes, seed {seed}", flush=True)
    running, problems, last_report = [], [], time.monotonic()
    try:
        while plan or running:
            while plan and len(running) < processes:
                running.append(Run(*plan.pop(0), seed))
            time.sleep(0.2)
            for run in [run for run in running if run.process.poll() is not None]:
                running.remove(run)
                print(f"{run}{'' if run.process.returncode == 0 else '  FOUND'}", flush=True)
                problems += filter(None, [run.problem()])
            if time.monotonic() - last_report > PROGRESS:
                last_report = time.monotonic()
                print(*(f"  .. {run}" for run in running), sep="\n", flush=True)
    except KeyboardInterrupt:
        for run in running:  # they get Ctrl-C as well and may have ended
            run.process.kill()
            run.process.wait()
        print(f"stopped; the inputs that were kept are in {WORK}")
        return 130
    print(*problems or ["nothing found"], sep="\n")
    return 1 if problems else 0


def attempt(path):
    """Print the outcome of one file; the folder names the reader."""
    from fuzz.readers import Finding, limited_memory, readers

    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        reader = readers()[path.absolute().parent.name](folder)
        try:
            with limited_memory():
                print(reader.outcome(path.read_bytes()))
        except Finding as finding:
            print(f"finding: {finding}")
            raise


def main():
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all readers together (%(default)s)")
    parser.add_argument("--reader", nargs="*", default=[], metavar="NAME", help="these alone")
    parser.add_argument("--seed", type=int, default=0, help="a number above 0 (default: random)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--distil", action="store_true", help="choose the committed corpus from build/fuzz and itself")
    parser.add_argument("--try", dest="file", help="print the outcome of this file of the corpus")
    given = parser.parse_args()
    if given.file:
        attempt(given.file)
        return 0
    from fuzz.readers import readers

    unknown = set(given.reader) - set(readers())
    if unknown:
        parser.error(f"no reader {', '.join(sorted(unknown))}; there are {', '.join(readers())}")
    names = given.reader or list(readers())
    if given.distil:
        from fuzz.distil import distil

        return distil(names, WORK)
    seed = given.seed or int.from_bytes(os.urandom(3), "little") + 1
    return fuzz(names, given.inputs, seed, given.processes)


if __name__ == "__main__":
    sys.exit(main())
