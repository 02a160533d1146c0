"""What the kernels are told about the processor: which instruction set runs, and where streaming begins.

`FASTDROP_ISA` forces an instruction set (avx512, avx2, neon, portable); none changes a result.
"""

import os
from pathlib import Path
from types import ModuleType

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

USUAL_CACHE = 1 << 25
"""Taken where the system does not tell."""


def configure(kernels: ModuleType) -> None:
    """Set the kernels up for this processor and environment."""
    forced = os.environ.get("FASTDROP_ISA")
    if forced:
        try:
            kernels.use_isa(forced)
        except ValueError as error:
            raise ValueError(f"FASTDROP_ISA={forced}: {error}") from None
    kernels.set_cache_bytes(last_level_cache())


def last_level_cache() -> int:
    """Bytes of the largest cache that a core sees: calls that touch more write past the caches.

    From the kernel's own table; the C library's figure adds up the caches of other cores, which one core cannot use.
    """
    try:
        return max(_size((folder / "size").read_text().strip()) for folder in _CACHES.glob("index*"))
    except (OSError, ValueError):
        return USUAL_CACHE


def _size(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)
