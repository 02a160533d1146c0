"""How arrays lie in memory, in plain numbers: for arrays that are not NumPy's, which compiled code looks at."""

from collections.abc import Sequence


def overlaps_itself(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Whether elements may share memory with each other; strides and itemsize in one unit.

    As `fastdrop._kernels.cpu.overlaps_itself`: an axis steps by less than the axes inside it reach.

    >>> overlaps_itself((4, 6), (24, 4), 4), overlaps_itself((4, 6), (8, 4), 4)
    (False, True)
    """
    if 0 in shape:
        return False
    reach = itemsize
    for step, size in sorted((abs(stride), size) for size, stride in zip(shape, strides, strict=True) if size > 1):
        if step < reach:
            return True
        reach += (size - 1) * step
    return False
