"""What this build of fastdrop is and can use."""

import importlib.util
import platform
from typing import Any

import numpy as np

from fastdrop._kernels import cpu as kernels
from fastdrop._version import __version__
from fastdrop.pool import get_pool_limit, pool_free_bytes
from fastdrop.processor import tuning_for
from fastdrop.rule import RULE_VERSION
from fastdrop.threads import get_num_threads


def configuration() -> dict[str, Any]:
    """Versions, instruction sets, the constants for this processor, threads and the pool of memory, as plain values."""
    hint, ahead, above = kernels.large_arrays()
    return {
        "fastdrop": __version__,
        "mask rule": RULE_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction set": kernels.current_isa(),
        "available": kernels.available_isas(),
        "processor family": tuning_for(*kernels.processor()[:2]).family,
        "non-temporal above": f"{above / 2**20:g} MB",
        "prefetch": f"{hint}, {ahead} bytes ahead",
        "openmp": kernels.has_openmp(),
        "threads": get_num_threads(),
        "pool limit": get_pool_limit(),
        "pool free bytes": pool_free_bytes(),
        "cupy": importlib.util.find_spec("cupy") is not None,
    }


def show_config() -> None:
    """Print versions, instruction sets, the constants for this processor, threads and the pool of memory.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.show_config()  # doctest: +ELLIPSIS
    fastdrop         ...
    mask rule        1
    ...
    """
    for name, value in configuration().items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, list):
            value = ", ".join(value)
        print(f"{name:<16} {value}")
