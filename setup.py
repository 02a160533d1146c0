"""The compiled extension and its per-instruction-set flags; everything else stands in pyproject.toml."""

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = Path("src_kernels")
HEADERS = [str(path) for path in sorted(SOURCES.glob("*.h"))]
MSVC = sys.platform == "win32"

# No contraction: fused multiply-adds would make results differ between instruction sets.
COMMON = (
    ["/O2", "/std:c11"]
    if MSVC
    else ["-O3", "-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-Wall", "-Wextra", "-fvisibility=hidden"]
)
# No more than what dispatch.c asks the processor for.
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512cd", "-mbmi2", "-mprefer-vector-width=512"]
OPENMP = ["-fopenmp"]


def compiles(flags: list[str], include: str = "stddef.h") -> bool:
    """Whether the compiler takes these flags and links a program made with them."""
    if MSVC:
        return False
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()  # setuptools' own choice
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(f"#include <{include}>\nint main(void) {{ return 0; }}\n")
        command = [*compiler, *flags, str(source), "-o", str(Path(folder, "probe"))]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


openmp = OPENMP if compiles(OPENMP, "omp.h") else []
if not openmp:
    print("fastdrop: this compiler has no OpenMP; the kernels will run on one thread", file=sys.stderr)
avx512 = platform.machine().lower() in ("x86_64", "amd64") and compiles(AVX512)

# One static library per instruction set: the same body, other flags.
targets: list[tuple[str, list[str]]] = [("portable", [])]
if avx512:
    targets.append(("avx512", AVX512))
libraries = [
    (
        f"fastdrop_{name}",
        {
            "sources": [str(SOURCES / f"isa_{name}.c")],
            "obj_deps": {"": HEADERS},
            "cflags": [*COMMON, *flags],
        },
    )
    for name, flags in targets
]

extension = Extension(
    "fastdrop._kernels.cpu",
    sources=[str(SOURCES / "cpu.pyx"), str(SOURCES / "dispatch.c")],
    depends=[*HEADERS, *(str(SOURCES / f"isa_{name}.c") for name, _ in targets)],
    include_dirs=[str(SOURCES), numpy.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        *([("FASTDROP_HAVE_AVX512", "1")] if avx512 else []),
    ],
    extra_compile_args=[*COMMON, *openmp],
    extra_link_args=openmp,
)

setup(libraries=libraries, ext_modules=cythonize([extension], language_level=3))
