"""The kernels as C: built with every compiler, for every processor at hand, replayed against the reference's results.

tests/native/cases.py writes the cases, tests/native/replay.c runs them between guard pages. What a tool or a processor
is missing for is skipped by name; with FASTDROP_REQUIRE_NATIVE=1, as in `make test-all`, a missing tool is a failure.
"""

import contextlib
import os
import platform
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from fastdrop import system

ROOT = Path(__file__).parent.parent
HERE = ROOT / "tests" / "native"
X86 = platform.machine().lower() in ("x86_64", "amd64")
OWN_ISAS = ["avx512", "avx2", "portable"] if X86 else ["neon", "portable"]
SANITIZERS = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Checks as calls, not inlined: half the time to compile, in which most of it goes.
SANITIZERS += ["--param", "asan-instrumentation-with-call-threshold=0"]


class Flavour(NamedTuple):
    """One way to build the kernels, and to run them."""

    compiler: str
    isas: list[str]
    flags: tuple[str, ...] = ()
    machine: str = platform.machine()
    runner: tuple[str, ...] = ()
    openmp: bool = True
    options: tuple[str, ...] = ()  # of replay


FLAVOURS = {
    "gcc": Flavour("gcc", OWN_ISAS),
    "clang": Flavour("clang", OWN_ISAS),
    # What a compiler without vector types and OpenMP gets, such as MSVC.
    "scalar": Flavour("gcc", ["portable"], ("-DFD_SCALAR",), openmp=False),
    "sanitizers": Flavour("gcc", OWN_ISAS, tuple(SANITIZERS), options=("--quick",)),
    "aarch64": Flavour(
        "aarch64-linux-gnu-gcc", ["neon", "portable"], ("-static",), "aarch64", ("qemu-aarch64",), options=("--quick",)
    ),
    "riscv64": Flavour(
        "riscv64-linux-gnu-gcc", ["portable"], ("-static",), "riscv64", ("qemu-riscv64",), options=("--quick",)
    ),
}

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="guard pages and emulation as Linux has them"),
]


def require(*tools):
    """Skips, or fails where tools must be there, if the system lacks one."""
    missing = [need for need in system.missing_for_native() if need.what in tools]
    if missing:
        names = " ".join(need.debian for need in missing)
        message = f"missing: {', '.join(need.what for need in missing)} (Debian: {names})"
        (pytest.fail if os.environ.get("FASTDROP_REQUIRE_NATIVE") else pytest.skip)(message)


def setup_arguments(flavour):
    """What setup.py would hand to setuptools with this compiler on this machine."""
    with (
        mock.patch("setuptools.setup") as setup,
        mock.patch("Cython.Build.cythonize", lambda extensions, **_: extensions),
        mock.patch("platform.machine", return_value=flavour.machine),
        mock.patch.dict(os.environ, CC=flavour.compiler),
        contextlib.chdir(ROOT),
    ):
        runpy.run_path("setup.py")
    return setup.call_args.kwargs["libraries"], setup.call_args.kwargs["ext_modules"][0]


def compile_c(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[-4000:]}"


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, HERE / "cases.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def replayed(tmp_path_factory, cases):
    """A function that builds a flavour and replays the cases on each of its instruction sets, two at a time; once.

    It returns the names that are available, and the finished processes by name.
    """
    results = {}

    def build_and_replay(name):
        flavour = FLAVOURS[name]
        program = build_flavour(flavour, tmp_path_factory.mktemp(name))
        listed = run(flavour, program, "--list").stdout
        available = listed.split("\n")[0].removeprefix("available:").split()

        def replay(isa):
            return run(flavour, program, cases, "--isa", isa, *flavour.options)

        with ThreadPoolExecutor(2) as pool:
            finished = dict(zip(available, pool.map(replay, available), strict=True))
        return available, finished

    def once(name):
        require(FLAVOURS[name].compiler, *FLAVOURS[name].runner)
        if name not in results:
            results[name] = None  # if this fails, a second test does not try again
            results[name] = build_and_replay(name)
        assert results[name], "it did not build, see the first failure"
        return results[name]

    return once


def build_flavour(flavour, folder):
    """dispatch.c and every isa_*.c with setup.py's flags, and replay.c; a warning is an error."""
    libraries, extension = setup_arguments(flavour)
    libraries = [(name, build) for name, build in libraries if name.removeprefix("fastdrop_") in flavour.isas]
    compiler = [flavour.compiler, "-Werror", "-Isrc_kernels"]
    macros = [f"-D{name}=1" for name, _ in extension.define_macros if name.startswith("FASTDROP_HAVE_")]
    if len(libraries) == 1:
        macros = []
    commands, objects = [], []
    for name, options in libraries:
        objects.append(str(folder / f"{name}.o"))
        commands.append([*compiler, *options["cflags"], *flavour.flags, "-c", *options["sources"], "-o", objects[-1]])
    openmp = extension.extra_link_args if flavour.openmp else []
    common = [flag for flag in extension.extra_compile_args if flag != "-fopenmp"]
    target = folder / "replay"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_c, commands))
    sources = ["src_kernels/dispatch.c", str(HERE / "replay.c"), *objects]
    compile_c([*compiler, *common, *openmp, *macros, *flavour.flags, *sources, "-o", str(target)])
    return target


def run(flavour, program, *arguments):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # three threads on fewer cores
    command = [*flavour.runner, str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)


@pytest.mark.parametrize(("name", "isa"), [(name, isa) for name, flavour in FLAVOURS.items() for isa in flavour.isas])
def test_replay(name, isa, replayed):
    available, finished = replayed(name)
    if isa not in available:
        compiler = FLAVOURS[name].compiler
        pytest.skip(f"this processor has no {isa}, or {compiler} cannot build it; available: {' '.join(available)}")
    result = finished[isa]
    print(f"{name}: {result.stdout}")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert f"ran: {isa}\n" in result.stdout


POOL = {
    "gcc": ("gcc", ()),
    "clang": ("clang", ()),
    "sanitizers": ("gcc", tuple(SANITIZERS[:4])),
    "elsewhere": ("gcc", ("-U__linux__", *SANITIZERS[:4])),  # by malloc, as on other systems
    "threads": ("gcc", ("-O1", "-g1", "-fsanitize=thread")),
}


@pytest.mark.parametrize("name", POOL)
def test_the_pool(name, tmp_path):
    """Threads that take and give at once, forks among them, and what NumPy seldom asks for."""
    compiler, flags = POOL[name]
    require(compiler)
    _, extension = setup_arguments(Flavour(compiler, ["portable"]))
    common = [flag for flag in extension.extra_compile_args if flag != "-fopenmp"]
    target = tmp_path / "pool"
    sources = ["src_kernels/pool.c", str(HERE / "pool.c")]
    compile_c(
        [
            compiler,
            "-Werror",
            "-D_GNU_SOURCE",
            "-Isrc_kernels",
            *common,
            *flags,
            *sources,
            "-pthread",
            "-o",
            str(target),
        ]
    )
    arguments = ["--no-fork"] if name == "threads" else []  # its threads are not in a child
    environment = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}
    result = subprocess.run(
        [target, *arguments], capture_output=True, text=True, check=False, env=environment, timeout=600
    )
    assert (result.returncode, result.stdout) == (0, "right\n"), result.stdout + result.stderr[-3000:]
