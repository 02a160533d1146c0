"""Two builds of fastdrop measured in turns: a disturbance of the machine affects both."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from fastdrop.bench import noise
from fastdrop.bench.machine import commit, machine
from fastdrop.bench.noise import Noise
from fastdrop.bench.operations import OPERATIONS
from fastdrop.bench.plan import Case
from fastdrop.experiments.formats.reading import Unreadable, cleaned, parse_json
from fastdrop.experiments.formats.writing import write_json

__all__ = ["OPERATIONS", "Build", "Pairing", "compare", "save"]

FORMAT, VERSION = "fastdrop bench builds", 2
CONFIDENCE = 0.99
"""Of a verdict: that the median of pairs lies on one side."""
SMALLEST_CHANGE = 0.01
"""A change of the median below this is none, however certain."""
FEWEST_ROUNDS, MOST_ROUNDS = 6, 100
"""Of A B B A: two pairs each."""
FRESH, FRESH_LARGE, LARGE = 1, 4, 1 << 22
"""Rounds after which both get other arrays, since their place affects speed: small ones, and those of LARGE elements
or more."""
SHORTEST = 500e-6
"""Seconds that one timing takes at least."""
WARM_UP_BELOW = 5e-3
"""Seconds of a call below which as many calls are made untimed first."""
_SCRIPT = Path(__file__).with_name("builds_worker.py")


class Refused(Exception):
    """A build cannot do a case."""


class Build:
    """A build of fastdrop in its own process: a checkout's, that of a folder of packages, or of a Python."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used = 0.0  # seconds of the processor
        python, self.folder = self._find(Path(os.path.abspath(path)))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                [python, "-E", "-P", str(_SCRIPT), str(self.folder or "")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, encoding="utf-8",
            )  # fmt: skip
        except OSError as error:
            self._errors.close()
            raise ValueError(f"{path} cannot be run: {error.strerror}") from None
        try:
            self.about = self._answer("starting")
            if "error" in self.about:
                raise ValueError(f"{path}: no fastdrop that can be imported: {cleaned(self.about['error'])}")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _find(path: Path) -> tuple[str, Path | None]:
        """The Python that runs it, and the folder where it is not that Python's own."""
        if (path / "fastdrop" / "__init__.py").is_file():
            return sys.executable, path
        if path.is_file() and os.access(path, os.X_OK):
            return str(path), None
        raise ValueError(
            f"{path}: name a folder with the package fastdrop in it (a checkout, or site-packages), or the Python "
            "of an environment that has it"
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        """The process' answer; a ValueError where it ended while `what`, `Refused` where it cannot do it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended(what) from None
        found = self._answer(what)
        if "error" in found:
            raise Refused(f"{self.path}: {cleaned(found['error'])}")
        return found

    def _answer(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
            if not line.endswith("\n"):
                raise self._ended(what)
            found = parse_json(line)
        except (UnicodeDecodeError, Unreadable):
            found = None
        if not isinstance(found, dict) or not {"error", "used"} & found.keys():
            raise ValueError(f"{self.path}: this is no Python that measures fastdrop")
        self.used = found.pop("used", self.used)
        return found

    def _ended(self, what: str) -> ValueError:
        try:
            status: object = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            status = "none"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1][:300]}" if lines else ""
        return ValueError(f"{self.path}: its process ended while {what} (exit status {status}){last}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # a request that was not taken
                    pipe.close()
        self._errors.close()

    def record(self) -> dict[str, Any]:
        """Which build it is, for JSON: no folders of this machine."""
        return {"name": self.path.absolute().name, **self.about, "commit": commit(self.folder) if self.folder else None}


class Pairing(NamedTuple):
    """A case in both builds. A ratio above 1 says that the second build is faster."""

    case: Case
    seconds: tuple[float, float]
    """Medians of a call."""
    ratios: list[float]
    """The first build's seconds divided by the second's, pair by pair."""
    same: bool
    """Whether both computed the same."""
    noise: Noise | None = None
    error: str = ""
    """Why there are no figures; empty where there are."""

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.quantile(self.ratios, (0.25, 0.75))
        return float(low), float(high)

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence interval of the median of all such pairs, by the sign test: for any distribution."""
        found, count = sorted(self.ratios), len(self.ratios)
        outside, tail = 0, 1.0
        while 2 * tail <= (1 - CONFIDENCE) * 2**count:
            outside += 1
            tail += math.comb(count, outside)
        if not outside:
            return 0.0, math.inf  # too few pairs
        return found[outside - 1], found[-outside]

    @property
    def verdict(self) -> str:
        """About the second build.

        In a disturbed case all pairs must agree, since a disturbance may affect one process for seconds.
        """
        if self.error:
            return self.error
        disturbed = self.noise is not None and bool(self.noise.reasons)
        low, high = (min(self.ratios), max(self.ratios)) if disturbed else self.interval
        middle = median(self.ratios)
        text = "no difference beyond noise"
        if abs(middle - 1) > SMALLEST_CHANGE and not low <= 1 <= high:
            text = "faster" if middle > 1 else "slower"
        return text if self.same else f"{text}; the results differ"

    def record(self) -> dict[str, Any]:
        """As plain values."""
        found: dict[str, Any] = {
            name: getattr(self.case, name) for name in ("operation", "shape", "dtype", "p", "threads")
        }
        found["verdict"] = self.verdict
        if not self.error:
            ratio = {"median": median(self.ratios), "quartiles": self.quartiles, "worst": min(self.ratios)}
            found |= {"median_seconds": self.seconds, "same_results": self.same}
            found["ratio"] = {**ratio, "pairs": self.ratios}
        return found | ({"noise": self.noise._asdict()} if self.noise else {})


def compare(builds: tuple[Build, Build], cases: Sequence[Case]) -> Iterator[Pairing]:
    """Measure the cases one after the other."""
    for case in cases:
        before, used = noise.read(), sum(build.used for build in builds)
        try:
            pairing = _measure(builds, case)
        except Refused as error:
            pairing = Pairing(case, (math.nan, math.nan), [], True, error=str(error))
        spread = None
        if pairing.ratios:
            low, high = pairing.quartiles
            spread = (high - low) / median(pairing.ratios)
        own = sum(build.used for build in builds) - used
        yield pairing._replace(noise=noise.between(before, noise.read(), spread, own))


def _measure(builds: tuple[Build, Build], case: Case) -> Pairing:
    times: tuple[list[float], list[float]] = ([], [])
    same, spent = True, 0.0
    loops = untimed = [1, 1]
    fresh = FRESH_LARGE if case.elements >= LARGE else FRESH
    for number in range(MOST_ROUNDS):
        if number >= FEWEST_ROUNDS and spent > case.seconds:
            break
        if number % fresh == 0:
            prepared = [_prepare(build, case, number) for build in builds]
            same &= prepared[0]["digest"] == prepared[1]["digest"]
            calls = [max(1e-8, found["seconds"]) for found in prepared]
            loops = [math.ceil(SHORTEST / call) for call in calls]
            untimed = [count if call < WARM_UP_BELOW else 0 for count, call in zip(loops, calls, strict=True)]
        for turn in (0, 1, 1, 0):
            request = {"do": "time", "loops": loops[turn], "untimed": untimed[turn]}
            taken = max(1e-9, builds[turn].ask(f"measuring {case}", **request)["seconds"])
            times[turn].append(taken)
            spent += taken * (loops[turn] + untimed[turn])
    ratios = [one / other for one, other in zip(*times, strict=True)]
    return Pairing(case, (median(times[0]), median(times[1])), ratios, same)


def _prepare(build: Build, case: Case, turn: int) -> dict[str, Any]:
    request = {name: getattr(case, name) for name in ("operation", "shape", "dtype", "p", "threads")}
    return build.ask(f"preparing {case}", do="prepare", turn=turn, **request)


def save(builds: tuple[Build, Build], found: Sequence[Pairing], complete: bool, path: Path) -> None:
    """Write what was measured as JSON."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "complete": complete,
        "machine": machine(),
        "builds": [build.record() for build in builds],
        "results": [pairing.record() for pairing in found],
    }
    write_json(path, document)
