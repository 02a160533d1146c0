"""What the benchmark's tests share."""

from fastdrop.bench import quiet
from fastdrop_gui import benchmark

_measure = benchmark._measure


def measure_at_once(*arguments):
    """The work of the benchmark's process, which waits for nobody's cores: those who test keep them busy."""
    quiet.PATIENCE = 0.0
    _measure(*arguments)
