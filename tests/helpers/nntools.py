"""Keywords of layers that draw and compute in float64."""

import numpy as np

DOUBLE = {"rng": 1, "dtype": np.float64}
DROPPING = {**DOUBLE, "mask_rng": 3}
