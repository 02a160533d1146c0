"""What people write, as strict as mypy and Pyright can be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import nn


def step(x: NDArray[np.float32], dy: NDArray[np.float32], stream: fd.Stream) -> NDArray[Any]:
    _, mask = fd.dropout(x, p=0.5, rng=stream)
    kept: NDArray[np.bool_] = np.asarray(mask)
    half = mask[: len(x) // 2]
    print(kept.mean(), mask.keep_prob, mask.scale, mask.shape, half.shape)
    maps, spatial = fd.spatial_dropout(x.reshape(1, 4, -1), p=0.2, channel_axis=1, rng=stream)
    fd.dropout_backward(maps, spatial)
    weight, bias = np.ones((3, 4), np.float32), np.zeros(3, np.float32)
    product, connect = fd.dropconnect(x, weight, bias, p=0.5, per_example=True, rng=stream)
    dx, dweight, dbias = fd.dropconnect_backward(product, x, weight, connect)
    print(dx.shape, dweight.shape, dbias.shape)
    return fd.dropout_backward(dy, mask)


def backwards(x: NDArray[np.float64]) -> NDArray[Any]:
    y, mask = fd.dropout(x, 0.5)
    print(mask(y), mask * y, (y * mask).shape, mask.factors(), mask.made_by)
    z, maybe = fd.dropout(x, 0.5, training=len(x) > 3)
    if maybe is not None:
        z = maybe(z)
    noise = fd.gaussian_dropout(x, rng=np.random.default_rng(0))[1]
    print(noise.sigma, fd.dropblock(x, rng=[1, 2])[1].block)
    return fd.dropout_backward(z, maybe)


def train(x: NDArray[np.float32], labels: NDArray[np.intp]) -> float:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5, rng=1), nn.Linear(8, 2))
    optimizer = nn.Adam(model.parameters(), 1e-3)
    model.train()
    loss, dlogits = nn.softmax_cross_entropy(model(x), labels)
    model.backward(dlogits)
    optimizer.step()
    model.eval()
    result = fd.mc_dropout(model, x, samples=50)
    print(result.mean, result.std, fd.get_num_threads())
    fd.set_pool_limit(fd.get_pool_limit() - fd.pool_free_bytes())
    fd.empty_pool()
    fd.show_config()
    return loss
