"""Builds, checks and measures fastdrop on a machine with an NVIDIA GPU, offline, in one go and less than 8 minutes.

python3 tests/gpu/run.py --save gpu.json

It needs a C compiler, and Python 3.11 or newer with pip, setuptools, Cython, NumPy, CuPy, ml_dtypes, pytest, rich,
scikit-learn and threadpoolctl; torch is measured against where it is installed. The JSON is that of
`fastdrop bench --device cuda`, with what was built and tested beside it. Exit status 0: everything passed.
"""

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {"build": 200, "tests": 140, "bench": 130}
"""Seconds; a step that takes longer is stopped, the benchmark so that it keeps what it has measured."""


def step(name: str, command: list[str], folder: str) -> dict:
    """Run one step outside the repository, whose own folders have nothing compiled; its output is shown as it comes."""
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    begin = time.perf_counter()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    signal.signal(signal.SIGALRM, lambda *_: process.send_signal(signal.SIGINT))
    signal.alarm(LIMITS[name])
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    status = process.wait()
    signal.alarm(0)
    seconds = time.perf_counter() - begin
    print(f"== {name}: status {status}, {seconds:.0f} s", flush=True)
    return {"status": status, "seconds": round(seconds, 1), "end of output": "".join(lines[-15:])[-3000:]}


def tested(output: str) -> dict[str, int]:
    """How many tests passed, failed and were skipped, from pytest's last line."""
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|skipped|error)s?\b", output)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--no-build", action="store_true", help="measure the fastdrop that is installed")
    options = parser.parse_args()
    target = options.save.absolute()
    python = [sys.executable, "-m"]
    checks: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder, "bench.json")
        if not options.no_build:
            install = ["pip", "install", "--no-build-isolation", "--no-deps", "--force-reinstall", "--quiet", str(ROOT)]
            checks["build"] = step("build", python + install, folder)
        parallel = ["-n", "4"] if importlib.util.find_spec("xdist") else []
        suite = ["pytest", "-c", str(ROOT / "tests/gpu/pytest.ini"), "-m", "gpu", "-q", *parallel]
        checks["tests"] = step("tests", [*python, *suite, str(ROOT / "tests/test_cuda.py")], folder)
        checks["tests"] |= {"counts": tested(checks["tests"]["end of output"])}
        bench = ["fastdrop.cli.main", "bench", "--device", "cuda", "--save", str(figures)]
        checks["bench"] = step("bench", python + bench, folder)
        document = json.loads(figures.read_text()) if figures.exists() else {}
    document["checks"] = checks
    target.write_text(json.dumps(document, indent=1) + "\n")
    passed = all(each["status"] == 0 for each in checks.values()) and checks["tests"]["counts"].get("passed", 0) > 0
    seconds = sum(each["seconds"] for each in checks.values())
    verdict = "all passed" if passed else "NOT all passed"
    print(f"\n{target}: {verdict}, {seconds:.0f} s; tests: {checks['tests']['counts']}")
    for promise in document.get("promises", []):
        print(f"  {promise['what']}: {promise['promised']}: worst {promise['worst']}: {promise['verdict']}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
