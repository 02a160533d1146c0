"""Settings of the kernels for this processor: which instruction set runs, and how large arrays are accessed.

Arrays that are too large for the caches are written with non-temporal stores, and read with prefetches some way ahead.
What is fastest differs between families of processors, and the best of one is the worst of another, so the
constants are in a table. `fastdrop bench tune` measures them. None of them changes a result.

`FASTDROP_ISA` forces an instruction set (avx512, avx2, neon, portable).
"""

import os
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

USUAL_CACHE = 1 << 25
"""Taken where the system does not tell."""


class Tuning(NamedTuple):
    """The constants of loops over arrays that no cache holds."""

    family: str
    """The processors that they were measured on."""
    hint: str
    """Which cache prefetches go to: one of `kernels.HINTS`."""
    ahead: int
    """How many bytes ahead."""
    cache: int
    """Bytes of the last-level cache that are counted on at most, since others share it: a virtual machine that named
    300 MB streamed with gain from 64 MB on. Measured with a reader of the result behind, whose time counts as well."""


# fmt: off
TUNINGS = {
    ("AuthenticAMD", 26): Tuning("AMD Zen 5",                   "non-temporal", 8192, 32 << 20),
    ("AuthenticAMD", 25): Tuning("AMD Zen 4",                   "non-temporal", 2048, 24 << 20),
    ("GenuineIntel", 6):  Tuning("Intel Xeon (Emerald Rapids)", "second level", 8192, 48 << 20),
}
"""By vendor and family, as CPUID has them; Zen 3 has Zen 4's number."""
OTHERS = Tuning("not measured", "first level", 2048, 32 << 20)
"""The one that gains on every family of the table, if not the most."""
# fmt: on


def tuning_for(vendor: str, family: int) -> Tuning:
    """The constants for a processor; a family of a known vendor that is not in the table gets its nearest one's."""
    known = {number: tuning for (name, number), tuning in TUNINGS.items() if name == vendor}
    if not known:
        return OTHERS
    nearest = min(known, key=lambda number: abs(number - family))
    return known[family] if family in known else known[nearest]._replace(family=f"as {known[nearest].family}")


def configure(kernels: ModuleType) -> None:
    """Set the kernels up for this processor and environment."""
    forced = os.environ.get("FASTDROP_ISA")
    if forced:
        try:
            kernels.use_isa(forced)
        except ValueError as error:
            raise ValueError(f"FASTDROP_ISA={forced}: {error}") from None
    vendor, family, _ = kernels.processor()
    tuning = tuning_for(vendor, family)
    kernels.set_large_arrays(tuning.hint, tuning.ahead, min(last_level_cache(), tuning.cache))


def last_level_cache() -> int:
    """Bytes of the largest cache that a core sees.

    From the kernel's own table; the C library's figure adds up the caches of other cores, which one core cannot use.
    """
    try:
        return max(_size((folder / "size").read_text().strip()) for folder in _CACHES.glob("index*"))
    except (OSError, ValueError):
        return USUAL_CACHE


def _size(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1:] in _UNITS else int(text)
