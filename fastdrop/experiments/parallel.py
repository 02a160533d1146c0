"""Worker processes for trainings, each with one thread."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from fastdrop.experiments.blas import one_blas_thread
from fastdrop.threads import set_num_threads


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of worker processes, None for one; terminated at once after an error or Ctrl-C."""
    if count == 1:
        with one_blas_thread():
            yield None
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=begin_worker)
    try:
        yield executor
    except BaseException:
        running = list(executor._processes.values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()
        raise
    executor.shutdown()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_worker() -> None:
    """Set up a worker process: one thread, an end with its parent, and Ctrl-C left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_num_threads(1)
    limits = one_blas_thread()
    limits.__enter__()
    _limits.append(limits)


def begin_nice_worker() -> None:
    """`begin_worker` with less claim to the processor than the parent has: the app stays responsive."""
    begin_worker()
    if hasattr(os, "nice"):
        os.nice(5)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Block Ctrl-C while processes start. The terminal sends it to them as well, and a starting one would print a
    traceback; it inherits the blocked signal. Here the signal arrives afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_processes(running: Iterable[Any], patience: float) -> None:
    """Wait for the processes of a pool, which have been told to end; terminate those alive after `patience` seconds."""
    deadline = time.monotonic() + patience
    # By their sentinels: the pool's thread also collects exit statuses, and each can be collected only once.
    alive = {process.sentinel: process for process in running}
    while alive and (left := deadline - time.monotonic()) > 0:
        for ended in wait(list(alive), left):
            del alive[ended]
    for process in alive.values():
        process.terminate()


def _end_with_parent() -> None:
    """End when the parent is killed: the processes of a pool would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


_limits: list[object] = []
"""Keeps the limit of BLAS threads alive."""
