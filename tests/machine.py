"""What this machine lacks for a step of the set-up or of the tests, and the command that installs it.

    python3 tests/machine.py STEP [--install]

STEP is build, gui, native, platforms, statistics or kills. --install installs it, as root on Debian or Ubuntu.
The set-up runs this file before anything is installed: it imports the standard library and one file of fastdrop.
"""

import functools
import importlib.util
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

_DESKTOP = runpy.run_path(str(Path(__file__).parents[1] / "fastdrop" / "cli" / "desktop.py"))
Need, install_command, missing_for_gui = (_DESKTOP[name] for name in ("Need", "install_command", "missing_for_gui"))

_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Programs that the long tests run, by the target of the Makefile, beside the compiler of the build.
_TOOLS = {
    "native": [
        Need("gcc", "gcc libc6-dev", "gcc"),
        Need("g++", "g++", "gcc-c++"),
        Need("clang", "clang", "clang"),
        Need("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu libc6-dev-arm64-cross", "gcc-c++-aarch64-linux-gnu"),
        Need("qemu-aarch64", "qemu-user", "qemu-user"),
        Need("riscv64-linux-gnu-g++", "g++-riscv64-linux-gnu libc6-dev-riscv64-cross", "gcc-c++-riscv64-linux-gnu"),
        Need("qemu-riscv64", "qemu-user", "qemu-user"),
        Need("qemu-x86_64", "qemu-user", "qemu-user"),
        # A screen without one, and keys for it: tests/gui/test_gui_x11.py.
        Need("xvfb-run", "xvfb xauth", "xorg-x11-server-Xvfb"),
        Need("xdotool", "xdotool", "xdotool"),
    ],
    # Programs of other systems and processors run with these; the compiler for them is a Python package.
    "platforms": [
        Need("wine", "wine wine64", "wine-core"),
        Need("qemu-aarch64", "qemu-user", "qemu-user"),
        Need("qemu-riscv64", "qemu-user", "qemu-user"),
    ],
    "statistics": [Need("dieharder", "dieharder", "dieharder")],
    # Writers are killed at their system calls, and get a disk that is full.
    "kills": [Need("strace", "strace", "strace"), Need("mount", "mount", "util-linux")],
}


def missing_for_build() -> list:
    """What setting up and compiling needs."""
    missing = []
    chosen = os.environ.get("CC")  # for both languages, unless CXX is set: setup.py does the same
    c = shlex.split(chosen or sysconfig.get_config_var("CC") or "cc")[0]
    cxx = shlex.split(os.environ.get("CXX") or chosen or sysconfig.get_config_var("CXX") or "c++")[0]
    if shutil.which(c) is None:
        missing.append(Need(f"a C compiler ({c})", "gcc libc6-dev", "gcc"))
    if shutil.which(cxx) is None:
        missing.append(Need(f"a C++ compiler ({cxx})", "g++ libc6-dev", "gcc-c++"))
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        missing.append(Need("Python's headers (Python.h)", f"{_PYTHON}-dev", "python3-devel"))
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        missing.append(Need("Python's venv and ensurepip", f"{_PYTHON}-venv", "python3"))
    return missing


def missing_tools(step: str) -> list:
    """What a target of the Makefile runs and the machine lacks."""
    return [need for need in _TOOLS[step] if shutil.which(need.what) is None]


def main(arguments: list[str]) -> int:
    """Report what is missing for one of the steps below; install it if told to and allowed. 0: none is."""
    find = {"build": missing_for_build, "gui": missing_for_gui}
    find |= {step: functools.partial(missing_tools, step) for step in _TOOLS}
    needs = find[arguments[0]]()
    if not needs:
        return 0
    command = install_command(needs)
    print(f"missing for this step: {', '.join(need.what for need in needs)}", file=sys.stderr)
    if command is None:
        print(f"install (Debian's names): {' '.join(need.debian for need in needs)}", file=sys.stderr)
        return 1
    if "--install" not in arguments or command[0] != "apt-get":
        print(f"install it with: {' '.join(command)}", file=sys.stderr)
        return 1
    print(f"installing it: {' '.join(command)}", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-qq"], command):
        if subprocess.run(step, env=environment, check=False).returncode:
            print(f"that failed: {' '.join(step)}", file=sys.stderr)
            return 1
    left = find[arguments[0]]()
    for need in left:
        print(f"still missing: {need.what}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
