"""A series that stays short however long it is added to."""

import numpy as np
from numpy.typing import NDArray

MOST_KEPT = 400


class DownsampledSeries(list[tuple[float, NDArray[np.float32]]]):
    """Pairs of an epoch and an array: at most `MOST_KEPT`, evenly spaced. Memory stays bounded.

    When it is full, every second pair is removed, and from then on only every second new one is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stride = 1
        self._seen = 0

    def add(self, epoch: float, values: NDArray[np.float32]) -> None:
        if self._seen % self._stride == 0:
            self.append((epoch, values))
        self._seen += 1
        if len(self) > MOST_KEPT:
            del self[1::2]
            self._stride *= 2
