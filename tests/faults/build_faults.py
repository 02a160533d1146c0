"""The package of a fault run: links to the sources, and kernels that are built with all their faults.

One build serves all faults of C++, CUDA and Cython. Every file includes a header first, in which
FD_FAULT(name, right, wrong) is `wrong` if the environment variable FASTDROP_FAULT is this name, else `right`.
"""

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import setuptools

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src_kernels"
BUILD = ROOT / "build" / "faults"
LAYOUT = BUILD / "layout"

NO_HOOKS = ("faults.h", "kernels.pxi", "cpu.c")
"""The file that declares FD_FAULT; and the files that Cython generates."""

HEADER = """#include <stdlib.h>
#include <string.h>

enum {{ FD_FAULT_none, {members} }};
__attribute__((section("emulation"))) /* the emulation of CUDA checks no variable in this section */
static int fd_fault;
__attribute__((constructor)) static void fd_choose_fault(void) {{
    static const char *const names[] = {{"", {names}}};
    const char *const chosen = getenv("FASTDROP_FAULT");
    for (int k = 1; chosen && k <= {count}; k++)
        if (strcmp(names[k], chosen) == 0) fd_fault = k;
}}
#define FD_FAULT(name, right, wrong) (fd_fault == FD_FAULT_##name ? (wrong) : (right))
"""

EMULATED = """
import itertools, multiprocessing.pool, emulator
from fastdrop.backends.cuda.source import FILES
with multiprocessing.pool.ThreadPool(2) as pool:  # compiled beforehand, so that no test times out
    pool.starmap(emulator.library, itertools.product(FILES, (None,), (False, True)))
"""


def hooks() -> dict[str, str]:
    """The names of the faults in C++, CUDA and Cython, and the file and line of each."""
    found = {}
    for path in sorted(SOURCES.rglob("*.*")):
        if path.suffix not in (".h", ".c", ".cpp", ".cu", ".cuh", ".pyx", ".pxi") or path.name in NO_HOOKS:
            continue
        text = path.read_text(encoding="utf-8")
        for hook in re.finditer(r"FD_FAULT\(\s*(\w+)", text):
            line = text.count("\n", 0, hook.start()) + 1
            found.setdefault(hook[1], f"{path.relative_to(SOURCES)}:{line}")
    return dict(sorted(found.items()))


def header() -> Path:
    """Write the header. Its name depends on its content, so that no build with another header is used."""
    names = list(hooks())
    text = HEADER.format(
        members=", ".join(f"FD_FAULT_{name}" for name in names),
        names=", ".join(f'"{name}"' for name in names),
        count=len(names),
    )
    path = BUILD / f"faults_{hashlib.sha256(text.encode()).hexdigest()[:12]}.h"
    BUILD.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def environment(first: Path) -> dict[str, str]:
    """Environment of Python with the package from `LAYOUT` only, in child processes too; emulation with the faults."""
    own = {
        "PYTHONPATH": str(LAYOUT),
        "PYTHONSAFEPATH": "1",  # the working folder has a package of the same name
        "FASTDROP_EMULATION_FLAGS": f"-D_GNU_SOURCE -include {first} -Wno-error",
        "QT_QPA_PLATFORM": "offscreen",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return {name: value for name, value in os.environ.items() if name != "FASTDROP_FAULT"} | own


def build() -> dict[str, str]:
    """Build what is not built yet; returns the environment of a run."""
    first = header()
    made = BUILD / "made_with"
    if not made.exists() or made.read_text() != first.name:
        shutil.rmtree(BUILD / "temp", ignore_errors=True)
    print("building the kernels with their faults", flush=True)
    subprocess.run([sys.executable, __file__, first], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    made.write_text(first.name)
    lay_out()
    own = environment(first)
    print("building the emulated kernels", flush=True)
    paths = {"PYTHONPATH": os.pathsep.join((str(LAYOUT), str(ROOT / "tests" / "emulation")))}
    subprocess.run([sys.executable, "-c", EMULATED], env=own | paths, check=True)
    return own


def compile_with(first: str) -> None:
    """Build as setup.py does, with this header first, and with few optimisations to save time."""
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path("setup.py")
    arguments = setup.call_args.kwargs
    own = ["-O1", "-g0", "-D_GNU_SOURCE", "-include", first]
    for _, library in arguments["libraries"]:
        library["cflags"] += own
    for extension in arguments["ext_modules"]:
        extension.extra_compile_args += own
    temporary = str(BUILD / "temp")
    commands = ["build_clib", "--build-clib", temporary, "--build-temp", temporary]
    commands += ["build_ext", "--build-lib", str(BUILD / "lib"), "--build-temp", temporary]
    setuptools.setup(script_args=commands, **arguments)


def lay_out() -> None:
    """Links to the sources in their installed layout, with these kernels; and the modules with faults of Python."""
    shutil.rmtree(LAYOUT, ignore_errors=True)
    kernels = LAYOUT / "fastdrop" / "_kernels"
    kernels.mkdir(parents=True)
    for path in (ROOT / "fastdrop").iterdir():
        if path.name != "_kernels":
            (LAYOUT / "fastdrop" / path.name).symlink_to(path)
    (kernels / "__init__.py").symlink_to(ROOT / "fastdrop" / "_kernels" / "__init__.py")
    (kernels / "sources").symlink_to(SOURCES)
    for path in (BUILD / "lib" / "fastdrop" / "_kernels").glob("cpu.*"):
        shutil.copy(path, kernels)
    (LAYOUT / "fastdrop_gui").symlink_to(ROOT / "gui" / "fastdrop_gui")
    here = Path(__file__).parent
    for name in ("plant.py", "python_faults.py", "python_more.py"):
        (LAYOUT / ("sitecustomize.py" if name == "plant.py" else name)).symlink_to(here / name)


if __name__ == "__main__":
    compile_with(sys.argv[1])
