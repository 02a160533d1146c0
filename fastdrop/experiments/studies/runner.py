"""Runs the parts of a study in worker processes, with progress."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.histories import train

Item = TypeVar("Item")
Result = TypeVar("Result")
Name = TypeVar("Name")


class StudyRunner:
    """Runs the parts of a study in processes of one thread each; results are in order.

    Parameters
    ----------
    executor : ProcessPoolExecutor or None
        None computes in this process.
    quick : bool
        Fewer seeds and epochs: a test that everything runs, whose results prove nothing.
    report : callable
        Called with the finished fraction of the study.
    """

    def __init__(
        self,
        executor: ProcessPoolExecutor | None,
        quick: bool,
        report: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        self._executor = executor
        self.quick = quick
        self._report = report

    def seeds(self, count: int) -> range:
        """The seeds of a study that has `count` of them; two in a quick run."""
        return range(2 if self.quick else count)

    def shorten(self, config: ExperimentConfig) -> ExperimentConfig:
        """The configuration, with few epochs in a quick run."""
        return config.replace(epochs=min(config.epochs, 3)) if self.quick else config

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """function(item) for every item; another process must be able to import `function`."""
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

    def map_variants(
        self,
        function: Callable[[ExperimentConfig], Result],
        variants: Mapping[Name, ExperimentConfig],
        seeds: Sequence[int],
        new_data: bool = True,
    ) -> dict[Name, list[Result]]:
        """function(config) for every variant with every seed: the variants' results in the order of the seeds.

        With `new_data`, a seed also decides the data and their split.
        """
        configs = [
            config.replace(seed=seed, split_seed=seed if new_data else config.split_seed)
            for config in variants.values()
            for seed in seeds
        ]
        found = iter(self.map(function, [self.shorten(config) for config in configs]))
        return {name: [next(found) for _ in seeds] for name in variants}

    def train_variants(self, variants: Mapping[Name, ExperimentConfig], seeds: Sequence[int]) -> NDArray[np.float64]:
        """The histories of every variant with every seed: (variants, seeds, epochs + 1, 4)."""
        return np.array(list(self.map_variants(train, variants, seeds).values()))

    def train(self, configs: Sequence[ExperimentConfig]) -> NDArray[np.float64]:
        """The histories of configurations with the same number of epochs: (configurations, epochs + 1, 4)."""
        return np.stack(self.map(train, [self.shorten(config) for config in configs]))
