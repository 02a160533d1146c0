"""Monte Carlo dropout: predictions from many sub-networks, and how far they agree."""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastdrop.backends import namespace, on_device_of
from fastdrop.nn.dropout import DropoutModule
from fastdrop.nn.losses import softmax
from fastdrop.nn.module import Array, Module, Sequential
from fastdrop.stream import RNG, Stream

Outputs = Literal["logits", "probabilities", "values"]

ROWS_AT_ONCE = 2048
"""Examples times samples in one call, about: enough for matrix products, little enough for the caches."""


@dataclass(frozen=True)
class MonteCarlo:
    """What `mc_dropout` returns.

    Attributes
    ----------
    mean, std : numpy.ndarray
        Over the samples, of the predictions' shape: of probabilities, or of values.
    predictive_entropy : numpy.ndarray or None, shape (batch, ...)
        Entropy of the mean probabilities in nats: all uncertainty. None for values.
    mutual_information : numpy.ndarray or None, shape (batch, ...)
        Predictive entropy less the mean entropy of the samples, in nats: what the sub-networks disagree about.
    samples : int
        How many were drawn; fewer than asked for after a cancellation.
    """

    mean: Array
    std: Array
    predictive_entropy: Array | None
    mutual_information: Array | None
    samples: int


def mc_dropout(
    predict: Module | Callable[[Array], Array],
    x: Array,
    samples: int = 50,
    *,
    outputs: Outputs = "logits",
    rng: RNG = None,
    progress: Callable[[int, int], bool | None] | None = None,
) -> MonteCarlo:
    """Predict with many dropout masks: mean, spread and what the sub-networks disagree about.

    Parameters
    ----------
    predict : Module or callable
        A model of `fastdrop.nn`: it is put into evaluation mode but for its dropout, so that batch normalisation does
        not move, and back afterwards. Or any function of a batch that draws masks of its own.
    x : numpy.ndarray or cupy.ndarray, shape (batch, ...)
    samples : int
        Masks per example.
    outputs : {"logits", "probabilities", "values"}
        What `predict` returns, along its last axis: logits are made probabilities; "values" are those of a regression.
    rng : None, int, numpy.random.Generator or Stream
        Where the masks of a model come from; its layers' own streams do not move. Only with a model.
    progress : callable, optional
        Called with the samples done and asked for, after each part; returning False stops, with what is there.

    Returns
    -------
    MonteCarlo

    Raises
    ------
    ValueError
        If samples is less than 1, x is empty, or outputs is not one of these.
    TypeError
        If rng is given and `predict` is a plain function.

    Notes
    -----
    Copies of x are stacked and predicted together, about 2048 rows at a time; what stands before the first layer that
    drops is computed once. So 50 samples cost little more than their matrix products. Where all examples of a batch
    share a mask (DropConnect with ``per_example=False``, words of an embedding), samples are predicted one by one. A
    backward pass of the model needs a forward pass of its own afterwards.

    References
    ----------
    Gal, Ghahramani: "Dropout as a Bayesian approximation", ICML 2016; mutual information: Houlsby et al., "Bayesian
    active learning for classification and preference learning", 2011, equation 2.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> model = nn.Sequential(nn.Linear(4, 32, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=0), nn.Linear(32, 3, rng=1))
    >>> result = fd.mc_dropout(model, np.ones((2, 4), np.float32), samples=50, rng=7)
    >>> result.mean.shape, result.std.shape, result.mutual_information.shape, result.samples
    ((2, 3), (2, 3), (2,), 50)
    >>> bool((result.mutual_information > 0).all())
    True
    """
    samples = operator.index(samples)
    if samples < 1:
        raise ValueError(f"samples is at least 1; got {samples}")
    if outputs not in ("logits", "probabilities", "values"):
        raise ValueError(f'outputs is "logits", "probabilities" or "values"; got {outputs!r}')
    if not isinstance(x, np.ndarray) and namespace(x) is np:
        x = np.asarray(x)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"x has shape {x.shape}; needed is a batch of at least one example")
    if not isinstance(predict, Module):
        if rng is not None:
            raise TypeError("rng is for models; a plain function draws masks of its own")
        with on_device_of(x):
            return _sample(predict, x, samples, max(1, ROWS_AT_ONCE // len(x)), outputs, progress)
    droppers = [module for module in predict.modules() if isinstance(module, DropoutModule) and module.drops]
    at_once = max(1, ROWS_AT_ONCE // len(x))
    if any(dropper.one_mask_per_batch for dropper in droppers):
        at_once = 1
    with on_device_of(x), _only_dropout_on(predict, droppers, Stream.from_rng(rng)):
        x, rest = _before_dropout(predict, x)
        return _sample(rest, x, samples, at_once, outputs, progress)


@contextmanager
def _only_dropout_on(model: Module, droppers: list[DropoutModule], stream: Stream) -> Iterator[None]:
    """Evaluation mode but for the droppers, which draw from children of `stream`; everything as it was afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    streams = [dropper.stream for dropper in droppers]
    try:
        model.eval()
        for dropper, child in zip(droppers, stream.spawn(len(droppers)), strict=True):
            dropper.training, dropper.stream = True, child
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for dropper, own in zip(droppers, streams, strict=True):
            dropper.stream = own


def _before_dropout(model: Module, x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """x behind the layers that no mask changes, and what is left to compute."""
    if type(model).forward is not Sequential.forward:
        return x, model.forward
    assert isinstance(model, Sequential)
    layers = list(model.layers)
    while layers and not any(module.drops for module in layers[0].modules()):
        x = layers.pop(0).forward(x)

    def rest(x: Array) -> Array:
        for layer in layers:
            x = layer.forward(x)
        return x

    return x, rest


def _sample(
    predict: Callable[[Array], Array],
    x: Array,
    samples: int,
    at_once: int,
    outputs: Outputs,
    progress: Callable[[int, int], bool | None] | None,
) -> MonteCarlo:
    xp = namespace(x)
    done = 0
    mean: Any = 0.0
    squares: Any = 0.0
    entropy: Any = 0.0
    while done < samples:
        count = min(at_once, samples - done)
        stacked = xp.broadcast_to(x, (count, *x.shape)).reshape(-1, *x.shape[1:])
        y = predict(stacked)
        if len(y) != count * len(x):
            raise ValueError(f"predict returned {len(y)} rows for {count * len(x)}; it is to return one for each")
        y = y.reshape(count, len(x), *y.shape[1:]).astype(np.float64)
        y = softmax(y) if outputs == "logits" else y
        # Chan et al.: the parts' means and sums of squares together, which cancel no digits
        part = y.mean(axis=0)
        shift = part - mean
        squares = squares + ((y - part) ** 2).sum(axis=0) + shift**2 * (done * count / (done + count))
        mean = mean + shift * (count / (done + count))
        if outputs != "values":
            entropy = entropy + _entropy(y).sum(axis=0)
        done += count
        if progress is not None and progress(done, samples) is False:
            break
    std = np.sqrt(squares / done)
    if outputs == "values":
        return MonteCarlo(mean, std, None, None, done)
    total = _entropy(mean)
    return MonteCarlo(mean, std, total, np.maximum(total - entropy / done, 0.0), done)


def _entropy(probabilities: Array) -> Array:
    """In nats, along the last axis; 0 log 0 is 0."""
    positive = probabilities > 0
    logarithms = np.log(np.where(positive, probabilities, 1.0))
    entropy: Array = -(probabilities * logarithms).sum(axis=-1)
    return entropy
