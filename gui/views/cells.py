"""Cells of a map: shades, and the cross that tells a dropped one from a zero by shape and not by colour alone."""

import numpy as np
from numpy.typing import NDArray


def cross(side: int, margin: int = 2) -> NDArray[np.bool_]:
    """A cell's cross, one pixel wide; the margin keeps neighbours apart."""
    place = np.arange(side)
    diagonals = (place[:, None] == place) | (place[:, None] + place == side - 1)
    inside = (place >= margin) & (place < side - margin)
    return diagonals & inside[:, None] & inside
