"""What the desktop app needs of the machine: a display, and the libraries that Qt loads.

The standard library only, and no import of fastdrop: `tests/machine.py` uses this file before anything is installed.
"""

import ctypes
import os
import shutil
import sys
from typing import NamedTuple


class Need(NamedTuple):
    """One thing that is missing, and the packages that bring it."""

    what: str
    debian: str
    fedora: str


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
