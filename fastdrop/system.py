"""What the machine itself must have: a C compiler, Python's headers, the libraries that Qt loads.

The standard library only, and no import of fastdrop: the set-up runs this file before anything is installed, and
`fastdrop doctor` asks it too. As a script: ``python3 fastdrop/system.py STEP [--install]``
prints what a step lacks (build, gui, native, platforms, statistics, kills) and the command that installs it; with
--install, as root on Debian or Ubuntu, it installs it.
"""

import ctypes
import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple


class Need(NamedTuple):
    """One thing that is missing, and the packages that bring it."""

    what: str
    debian: str
    fedora: str


_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# What PySide6 and its xcb and offscreen plugins load that its wheels do not bring.
_QT_LIBRARIES = [
    Need("libEGL.so.1", "libegl1", "libglvnd-egl"),
    Need("libGL.so.1", "libgl1", "libglvnd-glx"),
    Need("libglib-2.0.so.0", "libglib2.0-0", "glib2"),
    Need("libfontconfig.so.1", "libfontconfig1", "fontconfig"),
    Need("libfreetype.so.6", "libfreetype6", "freetype"),
    Need("libdbus-1.so.3", "libdbus-1-3", "dbus-libs"),
    Need("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon"),
    Need("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11"),
    Need("libX11.so.6", "libx11-6", "libX11"),
    Need("libX11-xcb.so.1", "libx11-xcb1", "libX11-xcb"),
    Need("libxcb.so.1", "libxcb1", "libxcb"),
    Need("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor"),
    Need("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm"),
    Need("libxcb-image.so.0", "libxcb-image0", "xcb-util-image"),
    Need("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms"),
    Need("libxcb-randr.so.0", "libxcb-randr0", "libxcb"),
    Need("libxcb-render-util.so.0", "libxcb-render-util0", "xcb-util-renderutil"),
    Need("libxcb-shape.so.0", "libxcb-shape0", "libxcb"),
    Need("libxcb-sync.so.1", "libxcb-sync1", "libxcb"),
    Need("libxcb-xfixes.so.0", "libxcb-xfixes0", "libxcb"),
    Need("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb"),
]

# Programs that the long tests run, by the target of the Makefile, beside the compiler of the build.
_TOOLS = {
    "native": [
        Need("gcc", "gcc libc6-dev", "gcc"),
        Need("g++", "g++", "gcc-c++"),
        Need("clang", "clang", "clang"),
        Need("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross", "gcc-aarch64-linux-gnu"),
        Need("qemu-aarch64", "qemu-user", "qemu-user"),
        Need("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross", "gcc-riscv64-linux-gnu"),
        Need("qemu-riscv64", "qemu-user", "qemu-user"),
        Need("qemu-x86_64", "qemu-user", "qemu-user"),
        # A screen without one, and keys for it: tests/test_gui_x11.py.
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


def missing_for_build() -> list[Need]:
    """What setting up and compiling needs."""
    missing = []
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        missing.append(Need(f"a C compiler ({compiler})", "gcc libc6-dev", "gcc"))
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        missing.append(Need("Python's headers (Python.h)", f"{_PYTHON}-dev", "python3-devel"))
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        missing.append(Need("Python's venv and ensurepip", f"{_PYTHON}-venv", "python3"))
    return missing


def missing_tools(step: str) -> list[Need]:
    """What a target of the Makefile runs and the machine lacks."""
    return [need for need in _TOOLS[step] if shutil.which(need.what) is None]


def missing_for_gui() -> list[Need]:
    """Shared libraries that Qt needs and the machine lacks; always empty elsewhere than on Linux."""
    return [need for need in _QT_LIBRARIES if sys.platform == "linux" and not _loads(need.what)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def install_command(needs: list[Need]) -> list[str] | None:
    """The command that installs what is missing on this machine; None where no known package manager is found."""
    prefix = [] if _is_root() else ["sudo"]
    if shutil.which("apt-get"):
        packages = sorted({package for need in needs for package in need.debian.split()})
        return [*prefix, "apt-get", "install", "-y", "--no-install-recommends", *packages]
    if shutil.which("dnf"):
        return [*prefix, "dnf", "install", "-y", *sorted({need.fedora for need in needs})]
    return None


def has_display() -> bool:
    """Whether a window can be opened here."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


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
