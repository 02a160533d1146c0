"""The compiled extension and its per-instruction-set flags; everything else is in pyproject.toml."""

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib

SOURCES = Path("src_kernels")
CPU = SOURCES / "cpu"
HEADERS = [str(path) for folder in ("shared", "cpu", "cpu/simd") for path in sorted((SOURCES / folder).glob("*.h"))]
MSVC = sys.platform == "win32"

# No contraction: fused multiply-adds would make results differ between instruction sets. And a square root is an
# instruction, which sets no errno. Python's own -g costs a third of the compile time and makes the library eight times
# as large.
COMMON = (
    ["/O2"]
    if MSVC
    else [
        "-O3",
        "-g0",
        "-ffp-contract=off",
        "-fno-trapping-math",
        "-fno-math-errno",
        "-Wall",
        "-Wextra",
        "-fvisibility=hidden",
    ]
)
C = ["/std:c11"] if MSVC else ["-std=c11"]
# Nothing of C++'s run-time library is used, so that none is needed where the kernels run.
CXX = ["/std:c++17"] if MSVC else ["-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]
# Each instruction set beside the portable one: the machines it is for, and its flags, no more than what processor.cpp
# asks the processor for.
X86, ARM = ("x86_64", "amd64"), ("aarch64", "arm64")
ISAS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "avx512": (
        X86,
        [
            "-mavx512f",
            "-mavx512bw",
            "-mavx512dq",
            "-mavx512vl",
            "-mavx512cd",
            "-mbmi2",
            "-mpopcnt",
            "-mprefer-vector-width=512",
        ],
    ),
    "avx2": (X86, ["-mavx2", "-mf16c", "-mbmi2"]),
    "neon": (ARM, []),
}
OPENMP = ["-fopenmp"]
# Short loops are up to a third slower where they begin in the middle of a cache line (Zen 4). For Windows on Arm, LLVM
# cannot compile with it.
if platform.machine().lower() in X86 and not MSVC:
    COMMON += ["-falign-loops=32"]
# A compiler that is chosen compiles both languages, by the names of files; setuptools would take Python's for C++.
if "CC" in os.environ:
    os.environ.setdefault("CXX", os.environ["CC"])


def accepts(flags: list[str], include: str = "stddef.h") -> bool:
    """Whether the compiler takes these flags; and links a program with them, unless they say -c."""
    if MSVC:
        return False
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")  # as setuptools does
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(f"#include <{include}>\nint main(void) {{ return 0; }}\n")
        command = [*compiler, *flags, str(source), "-o", str(Path(folder, "probe"))]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


# Without omp.h it need not link: zig compiles a system's whole C library for that.
openmp = OPENMP if accepts([*OPENMP, "-c"], "omp.h") and accepts(OPENMP, "omp.h") else []
if not openmp:
    print("fastdrop: this compiler has no OpenMP; the kernels will run on one thread", file=sys.stderr)

# One static library for each instruction set: the same body, other flags. And one for what runs on all processors.
targets: dict[str, list[str]] = {"portable": []}
for name, (machines, flags) in ISAS.items():
    if platform.machine().lower() in machines and accepts([*flags, "-c"]):
        targets[name] = flags
MACROS = [f"{'/D' if MSVC else '-D'}FASTDROP_HAVE_{name.upper()}=1" for name in targets]


def library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict[str, Any]]:
    """What setuptools' build_clib takes."""
    return f"fastdrop_{name}", {
        "sources": [str(CPU / source) for source in sources],
        "obj_deps": {"": [*HEADERS, __file__]},  # where the flags are
        "include_dirs": [str(SOURCES)],
        "cflags": [*COMMON, *CXX, *flags],
    }


libraries = [library("calls", ["processor.cpp", "calls.cpp"], [*MACROS, *openmp])]  # first, since it needs the others
libraries += [library(name, [f"isa_{name}.cpp"], flags) for name, flags in targets.items()]

extension = Extension(
    "fastdrop._kernels.cpu",
    sources=[str(CPU / name) for name in ("cpu.pyx", "pool.c")],
    depends=[__file__, *HEADERS, *map(str, sorted(CPU.glob("*.p*"))), *map(str, sorted(CPU.glob("*.cpp")))],
    include_dirs=[str(SOURCES), numpy.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION"),  # NumPy 1.26's: with memory handlers
    ],
    extra_compile_args=[*COMMON, *C],
    extra_link_args=openmp if MSVC else [*openmp, "-pthread"],  # pool.c's pthread_atfork, where the C library is older
)


class ParallelLibraries(build_clib):  # type: ignore[misc]
    """The instruction sets side by side: each is one long compilation."""

    command_name = "build_clib"  # else an editable build finds no options of a configuration file for it

    def build_libraries(self, libraries: list[tuple[str, dict[str, Any]]]) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda one: build_clib.build_libraries(self, [one]), libraries))


setup(
    libraries=libraries,
    ext_modules=cythonize([extension], language_level=3),
    cmdclass={"build_clib": ParallelLibraries},
)
