"""Types of the compiled module; its contracts stand in cpu.pyx."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

def set_cache_bytes(size: int) -> None: ...
def cache_bytes() -> int: ...
def available_isas() -> list[str]: ...
def use_isa(name: str) -> None: ...
def current_isa() -> str: ...
def max_threads() -> int: ...
def has_openmp() -> bool: ...
def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]: ...
def apply(
    y: Array, x: Array, shared_axes: tuple[int, ...], key: int, call: int, threshold: int, scale: float, threads: int
) -> None: ...
def elementwise(
    operation: str,
    arrays: tuple[Array, ...],
    shared_axes: tuple[int, ...],
    key: int,
    call: int,
    threshold: int,
    scale: float,
    threads: int,
) -> None: ...
def bias_backward(
    activation: str,
    dx: Array,
    dy: Array,
    x: Array,
    bias: Array,
    sums: Array,
    key: int,
    call: int,
    threshold: int,
    scale: float,
    threads: int,
) -> None: ...
def sum_blocks(rows: int, columns: int) -> int: ...
def softmax(
    y: Array, x: Array, dy: Array | None, key: int, call: int, threshold: int, scale: float, threads: int
) -> None: ...
def copy(x: Array, y: Array, threads: int) -> None: ...
def bits(words: NDArray[np.uint32], key: int, call: int, threshold: int, threads: int, first_tile: int = 0) -> None: ...
def connect_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    key: int,
    call: int,
    threshold: int,
    scale: float,
    threads: int,
) -> None: ...
def connect_dx(
    dy: Array, weight: Array, dx: Array, key: int, call: int, threshold: int, scale: float, threads: int
) -> None: ...
def connect_dweight(
    dy: Array, x: Array, dweight: Array, key: int, call: int, threshold: int, scale: float, threads: int
) -> None: ...
