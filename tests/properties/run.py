"""The property tests by the clock, on kernels built with sanitizers: an access outside an array ends the run.

    make properties                    15 minutes, from a random seed that is printed
    make properties MINUTES=300        hours
    make properties SEED=123           begins with the round of this seed, which an earlier run printed

Each round tries every property with one seed, the next round with the next. The first counterexample ends the run, with
the arguments, Hypothesis' `@reproduce_failure` line and the round's seed; after a sanitizer's report, which ends the
process, the last property named is the one. Where the example is worth keeping, paste it
over its test as `@example(...)`, or write the call as another test.
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitized"
PACKAGE = BUILD / "package"
FLAGS = "-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
FLAGS += " --param asan-instrumentation-with-call-threshold=0"  # checks as calls: halves the compile time


def build() -> None:
    """The extension as setup.py builds it, by a compiler that adds these flags after all others.

    The package is the checkout's Python files, as links, with this extension in it.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    compiler = BUILD / "cc"
    text = f'#!/bin/sh\nexec gcc "$@" {FLAGS}\n'
    if not compiler.exists() or compiler.read_text() != text:
        shutil.rmtree(BUILD)
        BUILD.mkdir()
        compiler.write_text(text)
        compiler.chmod(0o755)
    folders = [f"--build-temp={BUILD / 'objects'}"]
    command = [sys.executable, "setup.py", "-q", "build_clib", f"--build-clib={BUILD / 'libraries'}", *folders]
    command += ["build_ext", f"--build-lib={BUILD / 'built'}", *folders]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "CC": str(compiler)})
    shutil.rmtree(PACKAGE, ignore_errors=True)
    kernels = PACKAGE / "fastdrop" / "_kernels"
    kernels.mkdir(parents=True)
    for path in (ROOT / "fastdrop").iterdir():
        if path.name != "_kernels":
            (PACKAGE / "fastdrop" / path.name).symlink_to(path)
    (kernels / "__init__.py").symlink_to(ROOT / "fastdrop" / "_kernels" / "__init__.py")
    (kernels / "sources").symlink_to(ROOT / "src_kernels")
    for path in BUILD.glob("built/fastdrop/_kernels/*.so"):
        (kernels / path.name).symlink_to(path)


def environment(until: float) -> dict[str, str]:
    """The sanitizers' library is loaded first, and memory comes from the system's malloc, which it checks."""
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    more = {
        "LD_PRELOAD": library.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONSAFEPATH": "1",  # else the checkout's package comes before this one
        "PYTHONPATH": str(PACKAGE),
        "FASTDROP_PROPERTIES_UNTIL": str(until),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",  # three threads on fewer cores
    }
    return {**os.environ, **more}


def check_build(variables: dict[str, str]) -> None:
    """Raise unless the tests would import the package that was built here."""
    code = "from fastdrop._kernels import cpu; print(cpu.__file__)"
    found = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    if not found.stdout.startswith(str(PACKAGE)):
        raise SystemExit(f"these are not the kernels with sanitizers: {found.stdout}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    build()
    seed = secrets.randbelow(10**9) if arguments.seed is None else arguments.seed
    until = time.time() + 60 * arguments.minutes
    variables = environment(until)
    check_build(variables)
    while time.time() < until:
        print(f"round of seed {seed}; again: make properties SEED={seed}", flush=True)
        tests = [sys.executable, "-m", "pytest", "-x", "-v", "-s", "--no-header", "--timeout=0"]
        tests += [f"--hypothesis-seed={seed}", str(ROOT / "tests" / "properties")]
        result = subprocess.run(tests, cwd=ROOT, env=variables, check=False)
        if result.returncode:
            print(f"found by seed {seed}; again: make properties SEED={seed}")
            return result.returncode
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
