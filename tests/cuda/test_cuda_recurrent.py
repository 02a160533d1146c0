"""Zoneout of a recurrent layer's memory on CuPy arrays: masks, values and gradients of NumPy arrays."""

import numpy as np
import pytest
from devices import values

from fastdrop import nn


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_states_and_cells(gpu, training):
    def make():
        return nn.LSTM(6, 8, recurrent_p=0.2, zoneout=0.4, zoneout_cell=0.3, rng=0, mask_rng=1).train(training)

    x, here, there = values((5, 7, 6), np.float32), make(), make().to("cuda")
    y = here(x)
    np.testing.assert_allclose(gpu.get(there(gpu.put(x))), y, rtol=1e-4, atol=1e-5)
    assert there.zoneout_cell.mask == here.zoneout_cell.mask
    dy = values(y.shape, np.float32, 1)
    np.testing.assert_allclose(gpu.get(there.backward(gpu.put(dy))), here.backward(dy), rtol=1e-3, atol=1e-5)
    for (name, one), (_, two) in zip(here.parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(gpu.get(two.grad), one.grad, rtol=1e-3, atol=1e-4, err_msg=name)
