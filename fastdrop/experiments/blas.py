"""BLAS: the number of threads of a training run, and the kernels of its matrix products."""

from contextlib import AbstractContextManager
from typing import Any

from fastdrop.errors import missing_package


def one_blas_thread() -> AbstractContextManager[object]:
    """A context in which matrix products run on one thread.

    The networks are small: a second thread made the default one 10 % faster on an idle machine, but on a busy one
    BLAS's threads waited for each other and training nearly stopped. With one thread everywhere, a configuration also
    gives the same numbers on machines with more or fewer cores.
    """
    limits: AbstractContextManager[object] = _threadpoolctl().threadpool_limits(limits=1, user_api="blas")
    return limits


def blas_library() -> dict[str, str]:
    """NumPy's BLAS with its version, and the kernels that it chose for this processor.

    Kernels add up in different orders: the last digits of a product differ, and after some epochs a network's figures.
    """
    for pool in _threadpoolctl().threadpool_info():
        if pool["user_api"] == "blas":
            name = f"{pool['internal_api']} {pool['version']}"
            return {"blas": name, "blas kernel": pool.get("architecture") or "not named"}
    return {"blas": "not found", "blas kernel": "not named"}


def _threadpoolctl() -> Any:
    try:
        import threadpoolctl
    except ImportError:
        raise missing_package("threadpoolctl", "experiments", "training") from None
    return threadpoolctl
