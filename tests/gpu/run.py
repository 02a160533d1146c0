"""Builds, checks and measures fastdrop on a machine with an NVIDIA GPU, offline, in less than 6 minutes.

python3 tests/gpu/run.py --save gpu.json

It needs a C compiler, and Python 3.11 or newer with pip, setuptools, Cython, NumPy, CuPy and pytest. Tests
whose other packages are missing are left out and named: bfloat16 (ml_dtypes), fastdrop.torch (torch), Dask's chunks
(dask), training and the benchmark (rich, scikit-learn, threadpoolctl). The JSON is that of `fastdrop bench --device
cuda`, with added records of what was built, tested and left out. Exit status 0: everything passed.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOTAL = 340
LIMITS = {"build": 150, "kernels": 40, "tests": 120, "bench": 130}
"""Seconds for all steps and for each. A slower step is stopped; the benchmark keeps its figures."""
GRACE = 8
"""Seconds to wait after an interrupt, and again after a kill."""
SHARDS = min(8, os.cpu_count() or 1)
"""Processes that run the tests, on one GPU."""

TRAINING = ["rich", "sklearn", "threadpoolctl"]
TESTS: dict[str, list[str]] = {
    "cuda/test_cuda_captures.py": [],
    "cuda/test_cuda_devices.py": [],
    "cuda/test_cuda_dropconnect.py": [],
    "cuda/test_cuda_dropout.py": [],
    "cuda/test_cuda_family.py": [],
    "cuda/test_cuda_fused.py": [],
    "cuda/test_cuda_gaussian.py": [],
    "cuda/test_cuda_geometry.py": [],
    "cuda/test_cuda_graphs.py": [],
    "cuda/test_cuda_instances.py": [],
    "cuda/test_cuda_layers.py": [],
    "cuda/test_cuda_recurrent.py": [],
    "packaging/test_readme.py": [],
    "core/test_slices.py": [],
    "core/test_exchange.py": [],
    "pytorch/test_torch_cuda.py": ["torch"],
    "core/test_dask.py": ["dask", "distributed", "ml_dtypes"],
    "experiments/test_experiment_code.py": TRAINING,
}
"""The files with tests for a GPU, and the additional packages that they need."""


def missing(packages: Sequence[str]) -> str:
    """Which of these packages are not installed; empty if none is missing."""
    return ", ".join(name for name in packages if importlib.util.find_spec(name) is None)


def step(name: str, commands: list[list[str]], folder: str, limit: float) -> dict:
    """Run commands in parallel, outside the repository, whose source folders have no compiled kernels."""
    print(f"\n== {name}, at most {limit:.0f} s: {' '.join(commands[0])}", flush=True)
    begin = time.perf_counter()
    runs = [Run(command, folder, number, len(commands)) for number, command in enumerate(commands)]
    until = begin + limit
    for how in (signal.SIGINT, signal.SIGKILL, None):
        for run in runs:
            run.wait(until)
        until = time.perf_counter() + GRACE
        for run in runs:
            run.stop(how)
    seconds, status = time.perf_counter() - begin, max((run.status for run in runs), key=abs)
    print(f"== {name}: status {status}, {seconds:.0f} s", flush=True)
    return {"status": status, "seconds": round(seconds, 1), "output": ["".join(run.lines) for run in runs]}


class Run:
    """A running command; its output is shown as it arrives."""

    def __init__(self, command: list[str], folder: str, number: int, count: int) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "GPU_SHARD": f"{number}/{count}"}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            print(line, end="", flush=True)
            self.lines.append(line)

    @property
    def status(self) -> int:
        """Its exit status; a failure if it cannot be killed."""
        return 1 if self.process.returncode is None else self.process.returncode

    def wait(self, until: float) -> None:
        """Wait for its end until this time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, until - time.perf_counter()))

    def stop(self, how: signal.Signals | None) -> None:
        """Stop it and its child processes if it still runs; None: do nothing more."""
        if self.process.poll() is None and how is not None:
            print(f"== stopped by {how.name}: process {self.process.pid}", flush=True)
            os.killpg(self.process.pid, how)
        elif how is None and self.process.stdout is not None:
            self.reader.join(1.0)
            if not self.reader.is_alive():
                self.process.stdout.close()


def tested(outputs: Sequence[str]) -> dict[str, int]:
    """How many tests passed, failed and were skipped, from the last line of each pytest."""
    counts: dict[str, int] = {}
    for output in outputs:
        last = next((line for line in reversed(output.splitlines()) if re.search(r" in [\d.]+s", line)), "")
        for number, what in re.findall(r"(\d+) (passed|failed|skipped|error)s?\b", last):
            counts[what] = counts.get(what, 0) + int(number)
    return counts


def skipped(outputs: Sequence[str]) -> dict[str, str]:
    """How many tests of which file were skipped, and why, from pytest's summaries."""
    counts: dict[tuple[str, str], int] = {}
    for count, file, why in re.findall(r"^SKIPPED \[(\d+)\] (\S+?):\d+: (.*)$", "\n".join(outputs), re.MULTILINE):
        key = Path(file).name, why
        counts[key] = counts.get(key, 0) + int(count)
    return {f"{count} tests of {file}": why for (file, why), count in counts.items()}


def steps(folder: str, figures: Path, build: bool, left_out: dict[str, str]) -> dict[str, dict]:
    """Run all steps; `left_out` gets what is left out, and why."""
    python, checks, begin = [sys.executable, "-m"], {}, time.perf_counter()
    here = Path(__file__).parent
    install = ["pip", "install", "--no-build-isolation", "--no-deps", "--force-reinstall", "--quiet", str(ROOT)]
    suite = ["pytest", "-c", str(here / "pytest.ini"), "--confcutdir", str(ROOT / "tests"), "-p", "shard", "-m", "gpu"]
    files = [str(ROOT / "tests" / file) for file, packages in TESTS.items() if not missing(packages)]
    left_out |= {file: f"not installed: {missing(packages)}" for file, packages in TESTS.items() if missing(packages)}
    commands = {
        "build": [python + install] if build else [],
        "kernels": [[sys.executable, str(here / "kernels.py")]],
        "tests": [[*python, *suite, "-q", "-rs", "--tb=short", *files]] * SHARDS,
        "bench": [[*python, "fastdrop.cli.main", "bench", "--device", "cuda", "--save", str(figures)]],
    }
    if missing([*TRAINING, "ml_dtypes"]):
        commands["bench"] = []
        left_out["bench"] = f"not installed: {missing([*TRAINING, 'ml_dtypes'])}"
    if not build:
        left_out["build"] = "--no-build"
    for name, all_of_it in commands.items():
        left = TOTAL - (time.perf_counter() - begin)
        if all_of_it and left > 10:
            checks[name] = step(name, all_of_it, folder, min(LIMITS[name], left))
        elif all_of_it:
            left_out[name] = f"no time left of {TOTAL} s"
            checks[name] = {"status": 1, "seconds": 0.0, "output": []}
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--no-build", action="store_true", help="check the fastdrop that is installed")
    options = parser.parse_args()
    target, left_out = options.save.absolute(), {}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder, "bench.json")
        checks = steps(folder, figures, not options.no_build, left_out)
        document = json.loads(figures.read_text()) if figures.exists() else {}
    outputs = checks["tests"]["output"]
    counts, left_out = tested(outputs), left_out | skipped(outputs)
    for check in checks.values():
        check["end of output"] = "".join(output[-3000:] for output in check.pop("output"))
    document |= {"checks": checks, "left out": left_out}
    checks["tests"]["counts"] = counts
    target.write_text(json.dumps(document, indent=1) + "\n")
    passed = all(each["status"] == 0 for each in checks.values()) and counts.get("passed", 0) > 0
    seconds = sum(each["seconds"] for each in checks.values())
    print(f"\n{target}: {'all passed' if passed else 'NOT all passed'}, {seconds:.0f} s; tests: {counts}")
    for what, why in left_out.items():
        print(f"  left out: {what}: {why}")
    for target in document.get("targets", []):
        print(f"  {target['what']}: {target['target']}: worst {target['worst']}: {target['verdict']}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
