"""How many cores a training run uses."""

from contextlib import AbstractContextManager

from fastdrop.errors import missing_package


def one_blas_thread() -> AbstractContextManager[object]:
    """Within it, matrix products run on one thread.

    The networks here are small: a second core made the default one 10 % faster on an idle machine, but on a busy one
    BLAS's threads waited for each other and training nearly stood still. And with one thread everywhere, the same
    configuration gives the same numbers on machines with more or fewer cores.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise missing_package("threadpoolctl", "experiments", "training") from None
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits
