"""The work of studies, spread over processes, with progress."""

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.blas import one_blas_thread
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset, load_dataset
from fastdrop.experiments.trainer import Trainer
from fastdrop.threads import set_num_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

TRAIN_LOSS, TEST_LOSS, TRAIN_ACCURACY, TEST_ACCURACY = range(4)
"""Columns of what `train` returns."""


class Work:
    """Runs the parts of a study in processes, one thread each; results come back in order.

    Parameters
    ----------
    executor : ProcessPoolExecutor or None
        None works in this process.
    quick : bool
        Fewer seeds and epochs: to see that it runs, not to show anything.
    report : callable
        Called with the share of the study that is done.
    """

    def __init__(
        self, executor: ProcessPoolExecutor | None, quick: bool, report: Callable[[float], None] = lambda share: None
    ) -> None:
        self._executor = executor
        self.quick = quick
        self._report = report

    def seeds(self, count: int) -> range:
        """The seeds of a study that takes so many."""
        return range(2 if self.quick else count)

    def shorten(self, config: ExperimentConfig) -> ExperimentConfig:
        """The configuration, with few epochs in a quick run."""
        return config.replace(epochs=min(config.epochs, 3)) if self.quick else config

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """function(item) for every item; `function` is one that another process can import."""
        items = list(items)
        if self._executor is None:
            done = []
            for number, item in enumerate(items, start=1):
                done.append(function(item))
                self._report(number / len(items))
            return done
        futures = [self._executor.submit(function, item) for item in items]
        for number, _ in enumerate(as_completed(futures), start=1):
            self._report(number / len(items))
        return [future.result() for future in futures]

    def train(self, configs: Sequence[ExperimentConfig]) -> NDArray[np.float64]:
        """The histories of these configurations, which have one number of epochs: (configurations, epochs + 1, 4)."""
        return np.stack(self.map(train, [self.shorten(config) for config in configs]))


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for `Work`, ended at once if something goes wrong or Ctrl-C is pressed; None for one."""
    if count == 1:
        with one_blas_thread():
            yield None
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
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


def _end_with_parent() -> None:
    """A pool's processes would wait for work for ever if their parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


_limits: list[object] = []


def begin_worker() -> None:
    """One thread for each process, for as long as it and its parent live; Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_num_threads(1)
    limits = one_blas_thread()
    limits.__enter__()
    _limits.append(limits)


@functools.lru_cache(maxsize=8)
def _loaded(name: str, data_file: str, label: str, noise: float, train_share: float, seed: int) -> Dataset:
    return load_dataset(name, data_file=data_file, label=label, noise=noise, train_share=train_share, seed=seed)


def trainer(config: ExperimentConfig) -> Trainer:
    """A trainer of this configuration; the data set may be one that was loaded before."""
    return Trainer(config, _loaded(*config.data_fields))


def trained(config: ExperimentConfig) -> Trainer:
    """A trainer that has gone through all epochs."""
    fresh = trainer(config)
    while not fresh.finished:
        fresh.step()
    return fresh


def history(done: Trainer) -> NDArray[np.float64]:
    """Epochs in rows, from 0 on; columns TRAIN_LOSS, TEST_LOSS, TRAIN_ACCURACY, TEST_ACCURACY."""
    return np.array(
        [(record.train_loss, record.test_loss, record.train_accuracy, record.test_accuracy) for record in done.history]
    )


def train(config: ExperimentConfig) -> NDArray[np.float64]:
    """The history of one configuration."""
    return history(trained(config))
