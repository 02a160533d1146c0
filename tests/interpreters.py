"""Runs the tests under every other CPython that is found here: on PATH, or installed by pyenv.

make interpreters

Each gets a copy of the checkout under build/interpreters, since Cython writes src_kernels/cpu/cpu.c for the NumPy that
it finds, and a virtual environment with the extras gui and dev. What is compiled without Python's headers is compiled
once for all. A version that is not found is named.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from checkout import ROOT, copy_checkout

FOLDER = ROOT / "build" / "interpreters"
VERSIONS = ["3.11", "3.12", "3.13", "3.14"]
BUILD_TOOLS = ["setuptools>=77", "cython>=3.1", "numpy>=2.0"]  # as pyproject.toml has them: nothing else is at hand
# What depends on no interpreter (compilers, GPUs), or builds what has been built here already.
MARKERS = "not native and not gpu and not slow and not packaging"
SHARED_LIBRARIES = f"[build_clib]\nbuild_clib = {FOLDER / 'lib'}\nbuild_temp = {FOLDER / 'objects'}\n"


def find(version):
    """The command of a CPython of this version, or None. Those of pyenv's that are not chosen answer with an error."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")]
    code = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        found = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if found.stdout.split() == ["cpython", version]:
            return str(candidate)
    return None


def set_up(command, version):
    """A copy of the checkout, compiled for this interpreter, in editable mode; returns its folder and its Python."""
    source, environment = FOLDER / version / "source", FOLDER / version / "environment"
    copy_checkout(source)
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([command, "-m", "venv", environment], check=True)
    options = FOLDER / "shared.cfg"
    options.write_text(SHARED_LIBRARIES)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, *BUILD_TOOLS], check=True)
    install = [*pip, "--no-build-isolation", "--editable", ".[gui,dev]"]
    subprocess.run(install, check=True, cwd=source, env={**os.environ, "DIST_EXTRA_CONFIG": str(options)})
    return source, python


def run_tests(source, python, arguments):
    """Compiles every module anew, since the compiler warns only then, and runs the tests; 0 if all is well."""
    compiled = [
        python,
        "-W",
        "error",
        "-m",
        "compileall",
        "-q",
        "-f",
        "fastdrop",
        "gui",
        "tests",
        "examples",
        "setup.py",
    ]
    if subprocess.run(compiled, check=False, cwd=source).returncode:
        return 1
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "OPENBLAS_NUM_THREADS": "1"}
    command = [python, "-m", "pytest", "-n", "2", "-q", "-m", MARKERS, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, check=False, cwd=source, env=environment).returncode


def main(arguments):
    """Prints a line for every version; returns how many failed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for version in VERSIONS:
        if version == "{}.{}".format(*sys.version_info):
            outcomes[version] = "this one, whose tests `make test` runs"
            continue
        command = find(version)
        if command is None:
            outcomes[version] = "not found"
            continue
        print(f"CPython {version}: {command}", flush=True)
        outcomes[version] = "FAILED" if run_tests(*set_up(command, version), arguments) else "passed"
    for version, outcome in outcomes.items():
        print(f"CPython {version}: {outcome}")
    return sum(outcome == "FAILED" for outcome in outcomes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
