"""What figures were measured on, without names of hosts or users: files are meant to be shared."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import fastdrop
from fastdrop.bench.baselines import PACKAGES
from fastdrop.bench.internals import blas_library, configuration

_LIBRARIES = (*PACKAGES, "ml_dtypes", "matplotlib")


def machine() -> dict[str, Any]:
    """Processor, caches, cores, instruction sets, threads, versions, and the commit where there is one."""
    return {
        **configuration(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": _caches(),
        "memory gigabytes": _memory(),
        **blas_library(),
        "numpy simd": " ".join(np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])) or "baseline",
        **{name: version for name in _LIBRARIES if (version := _version(name))},
        "commit": commit(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Sizes as Linux reports them, such as {"L1d": "48K", "L2": "1024K", "L3": "32768K"}."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        found[f"L{level}{kind[0].lower() if kind in ('Data', 'Instruction') else ''}"] = size
    return found


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit(root: Path | None = None) -> str | None:
    """The commit of a checkout (this package's), "+ changes" where files differ from it; None where it is none."""
    root = root or Path(fastdrop.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        name, changes = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return name.stdout.strip() + (" + changes" if changes.stdout.strip() else "")
