"""Ways to build the kernels and to run them: compilers, processors, operating systems.

A flavour is built by setup.py's own flags, warnings as errors, and replays the cases of cases.py by replay.c, if
this machine can run it. test_native.py and test_platforms.py say which flavours there are.
"""

import contextlib
import importlib.util
import os
import platform
import runpy
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import machine
import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = ROOT / "tests" / "native"
BUILD = ROOT / "build"
X86 = platform.machine().lower() in ("x86_64", "amd64")
OWN_ISAS = ["avx512", "avx2", "portable"] if X86 else ["neon", "portable"]
ENVIRONMENT = {
    **os.environ,
    "OMP_WAIT_POLICY": "passive",  # three threads on fewer cores
    "WINEDEBUG": "-all",
    "WINEPREFIX": str(BUILD / "wine"),
    "ZIG_LOCAL_CACHE_DIR": str(BUILD / "zig"),
    "ZIG_GLOBAL_CACHE_DIR": str(BUILD / "zig"),
}


class Flavour(NamedTuple):
    """One way to build the kernels, and to run them."""

    compiler: str  # a command, as the environment variable CC has it
    isas: list[str]
    flags: tuple[str, ...] = ()
    machine: str = platform.machine()
    runner: tuple[str, ...] | None = ()  # the command that runs the program; None: it cannot run here
    openmp: bool = True
    options: tuple[str, ...] = ()  # of replay
    needs: tuple[str, ...] = ()  # Python packages


def require(flavour):
    """Skips, or fails where tools must be there, if the system lacks one that a flavour needs."""
    compiler = shlex.split(flavour.compiler)[0]
    tools = (compiler, compiler.replace("gcc", "g++"), *(flavour.runner or ()))  # gcc needs g++'s parts for C++
    missing = [need for step in ("native", "platforms") for need in machine.missing_tools(step) if need.what in tools]
    message = ""
    if missing:
        names = " ".join(need.debian for need in missing)
        message = f"missing: {', '.join(need.what for need in missing)} (Debian: {names})"
    if packages := [name for name in flavour.needs if importlib.util.find_spec(name) is None]:
        message += f" missing: {' '.join(packages)} (pip install --group platforms)"
    if message:
        (pytest.fail if os.environ.get("FASTDROP_REQUIRE_NATIVE") else pytest.skip)(message.strip())


def setup_arguments(flavour, system_name=sys.platform):
    """What setup.py would hand to setuptools with this compiler, for this machine and this system."""
    with (
        mock.patch("setuptools.setup") as setup,
        mock.patch("Cython.Build.cythonize", lambda extensions, **_: extensions),
        mock.patch("platform.machine", return_value=flavour.machine),
        mock.patch("sys.platform", system_name),
        mock.patch.dict(os.environ, ENVIRONMENT, CC=flavour.compiler),
        contextlib.chdir(ROOT),
    ):
        runpy.run_path("setup.py")
    return setup.call_args.kwargs["libraries"], setup.call_args.kwargs["ext_modules"][0]


def compile_c(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=ENVIRONMENT)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[-4000:]}"


def build_flavour(flavour, folder):
    """Every source with setup.py's flags, a warning is an error; and replay.c, linked with them if it can run."""
    libraries, extension = setup_arguments(flavour)
    built = [name.removeprefix("fastdrop_") for name, _ in libraries]
    assert set(built) >= set(flavour.isas), f"setup.py has flags for {built} alone"
    libraries = [part for part in libraries if part[0].removeprefix("fastdrop_") in (*flavour.isas, "calls")]
    compiler = [*shlex.split(flavour.compiler), "-Werror", "-Isrc_kernels"]
    openmp = [flag for flag in extension.extra_link_args if flavour.openmp or flag != "-fopenmp"]
    c_flags = extension.extra_compile_args
    sources = [
        (source, [flag for flag in options["cflags"] if flavour.openmp or flag != "-fopenmp"])
        for _, options in libraries
        for source in options["sources"]
    ]
    if len(flavour.isas) == 1:  # calls.cpp has no other to choose
        sources = [
            (source, [flag for flag in flags if not is_of_another(flag, flavour.isas)]) for source, flags in sources
        ]
    sources.append(("src_kernels/cpu/pool.c", c_flags))
    objects = [str(folder / f"{Path(source).stem}.o") for source, _ in sources]
    commands = [
        [*compiler, *flags, source, *flavour.flags, "-c", "-o", target]
        for (source, flags), target in zip(sources, objects, strict=True)
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_c, commands))
    if flavour.runner is None:
        return None
    target = folder / "replay"
    compile_c([*compiler, *c_flags, *openmp, *flavour.flags, str(HERE / "replay.c"), *objects, "-o", str(target)])
    return target


def is_of_another(flag, isas):
    """Whether this flag is the macro of an instruction set that is not built."""
    return flag.startswith("-DFASTDROP_HAVE_") and flag.split("_")[2].split("=")[0].lower() not in isas


def run(flavour, program, *arguments):
    command = [*flavour.runner, str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=ENVIRONMENT, timeout=1500)


class Replays:
    """Builds a flavour and replays the cases on each of its instruction sets, two at a time; once for each flavour."""

    def __init__(self, tmp_path_factory):
        self.new_folder = tmp_path_factory.mktemp
        self.cases = None
        self.results = {}

    def __call__(self, name, flavour):
        """The instruction sets that are available, and the finished processes by instruction set."""
        require(flavour)
        if name not in self.results:
            self.results[name] = None  # if this fails, a second test does not try again
            self.results[name] = self.build_and_replay(name, flavour)
        assert self.results[name], "it did not build, see the first failure"
        return self.results[name]

    def build_and_replay(self, name, flavour):
        program = build_flavour(flavour, self.new_folder(name))
        if self.cases is None:
            self.cases = self.new_folder("cases")
            subprocess.run([sys.executable, HERE / "cases.py", self.cases], check=True)
        listed = run(flavour, program, "--list")
        assert listed.returncode == 0, listed.stdout + listed.stderr
        available = listed.stdout.split("\n")[0].removeprefix("available:").split()

        def replay(isa):
            return run(flavour, program, self.cases, "--isa", isa, *flavour.options)

        with ThreadPoolExecutor(2) as pool:
            return available, dict(zip(available, pool.map(replay, available), strict=True))


def processor_has(isa):
    """Whether this processor has an instruction set, as the system reports it; an emulator has all of its machine's."""
    needed = {"avx512": "avx512f avx512bw avx512dq avx512vl avx512cd bmi2 popcnt", "avx2": "avx2 f16c bmi2"}
    words = set(Path("/proc/cpuinfo").read_text().split())
    return words.issuperset(needed.get(isa, "").split())


def check_replay(name, flavour, isa, replayed):
    """Fails where an instruction set's results are not the reference's; skips where the processor has none of it."""
    if not processor_has(isa):
        pytest.skip(f"this processor has no {isa}")
    available, finished = replayed(name, flavour)
    assert isa in available, f"{isa} was not built, or not found in the processor; available: {' '.join(available)}"
    result = finished[isa]
    print(f"{name}: {result.stdout}")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert f"ran: {isa}\n" in result.stdout
