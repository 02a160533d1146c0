"""Monte Carlo dropout: predictions from many sub-networks, and their agreement."""

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fastdrop.backends import array_module, on_device_of
from fastdrop.nn import advice
from fastdrop.nn.dropout import DropoutModule
from fastdrop.nn.losses import softmax
from fastdrop.nn.module import Array, Module, Sequential
from fastdrop.stream import RNG, Stream

Outputs = Literal["logits", "probabilities", "values"]
Progress = Callable[[float, int], bool | None]

ROWS_AT_ONCE = 2048
"""The most examples times samples in one call: enough for matrix products, few enough for the caches."""


@dataclass(frozen=True, eq=False)  # equality of arrays has no single answer
class MonteCarlo:
    """What `mc_dropout` returns.

    Attributes
    ----------
    mean, std : numpy.ndarray
        Over the samples, of the predictions' shape: of probabilities, or of values.
    predictive_entropy : numpy.ndarray or None, shape (batch, ...)
        Entropy of the mean probabilities in nats: all uncertainty. None for values.
    mutual_information : numpy.ndarray or None, shape (batch, ...)
        Predictive entropy minus the mean entropy of the samples, in nats: the disagreement of the sub-networks.
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
    progress: Progress | None = None,
) -> MonteCarlo:
    """Predict with many dropout masks: mean, deviation and disagreement of the sub-networks.

    Parameters
    ----------
    predict : Module or callable
        A model of `fastdrop.nn`, or its `forward`: it is put into evaluation mode but for its dropout, so that batch
        normalisation does not move, and back afterwards. Or any function of a batch that draws masks itself; what
        it calls stays in the mode that it is in, so a function around a model in training mode moves its batch
        normalisation, and one around a model in evaluation mode drops nothing, which gives a `DropoutInactiveWarning`.
    x : numpy.ndarray or cupy.ndarray, shape (batch, ...)
    samples : int
        Masks per example.
    outputs : {"logits", "probabilities", "values"}
        What `predict` returns, along its last axis: logits are made probabilities; "values" are those of a regression.
    rng : None, int, numpy.random.Generator or Stream
        Where the masks of a model come from; its layers' own streams do not move. Only with a model.
    progress : callable, optional
        Called with the samples done and asked for, after each part, or a share of the sample under way where x has
        more than 2048 rows; returning False stops, with the samples that are whole (the first is finished).

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
    Copies of x are stacked and predicted together, about 2048 rows at a time, and an x of more rows is split; what
    is before the first layer that drops is computed once. So 50 samples cost little more than their matrix products
    where these are large: 1.16 times as much for 784-1024-1024-10 units and 256 examples. In small networks copies,
    activations, dropout and the statistics weigh more: 1.5 to 2 times as much for 64-256-128-10 units and 360 examples,
    about as long as 50 plain passes; for 64-48-24-10 units ten times, longer than 50 plain passes.

    The same model, x, samples, rng and version of fastdrop give the same result, to the last digits of matrix products.
    Masks belong to places in the stack, so that another number of rows gives other masks to the same example. Where all
    examples of a batch share a mask (DropConnect with ``per_example=False``, words of an embedding), samples are
    predicted one by one, and the parts of a split x share the sample's mask. Before a backward pass of the model,
    call its forward pass again.

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
        raise ValueError(f'outputs is "logits", "probabilities" or "values"; got {outputs!r:.200}')
    if not isinstance(x, np.ndarray) and array_module(x) is np:
        x = np.asarray(x)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"x has shape {x.shape}; needed is a batch of at least one example")
    model = _model_of(predict)
    if model is None:
        if rng is not None:
            raise TypeError("rng is for models; a plain function draws its masks itself")
        parts = _Parts(x, _as_it_is, predict, watch=True)
        with on_device_of(x):
            result = _sample(parts, samples, outputs, progress)
        if result.samples > 1 and not parts.varied:
            advice.warn(
                f"all {result.samples} samples are the same: the function drops nothing. Give the model itself, whose "
                "dropout is turned on here, or put it into training mode",
                advice.DropoutInactiveWarning,
            )
        return result
    droppers = [module for module in model.modules() if isinstance(module, DropoutModule) and module.drops]
    with on_device_of(x), _only_dropout_on(model, droppers, Stream.from_rng(rng)):
        shared = [dropper for dropper in droppers if dropper.one_mask_per_batch]
        return _sample(_Parts(x, *_around_dropout(model), shared), samples, outputs, progress)


def _model_of(predict: Module | Callable[[Array], Array]) -> Module | None:
    """The model, if this is one or its `forward`."""
    owner = getattr(predict, "__self__", predict)
    bound = owner is predict or getattr(predict, "__name__", "") in ("forward", "__call__")
    return owner if isinstance(owner, Module) and bound else None


@contextmanager
def _only_dropout_on(model: Module, droppers: list[DropoutModule], stream: Stream) -> Iterator[None]:
    """Evaluation mode except for dropout, which draws from children of `stream`; restores everything afterwards."""
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


def _as_it_is(x: Array) -> Array:
    return x


def _around_dropout(model: Module) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """The model in two parts: the layers before any mask, and the rest."""
    if type(model).forward is not Sequential.forward:
        return _as_it_is, model.forward
    assert isinstance(model, Sequential)
    layers = list(model.layers)
    count = next((n for n, layer in enumerate(layers) if any(part.drops for part in layer.modules())), len(layers))

    def through(chosen: list[Module]) -> Callable[[Array], Array]:
        def forward(x: Array) -> Array:
            for layer in chosen:
                x = layer.forward(x)
            return x

        return forward

    return through(layers[:count]), through(layers[count:])


class _Parts:
    """Samples of predictions for x, whose rows are split if there are too many for one call.

    `before` is computed once; droppers in `shared` have one mask for all rows of a sample. With `watch`, `varied` says
    whether two samples have differed by more than rounding.
    """

    def __init__(
        self,
        x: Array,
        before: Callable[[Array], Array],
        rest: Callable[[Array], Array],
        shared: Sequence[DropoutModule] = (),
        watch: bool = False,
    ) -> None:
        self._before, self._rest, self._shared = before, rest, shared
        self.at_once = 1 if shared else max(1, ROWS_AT_ONCE // len(x))
        """Number of samples that are predicted together."""
        self.count = -(-len(x) // ROWS_AT_ONCE)
        edges = [len(x) * number // self.count for number in range(self.count + 1)]
        self._rows = [x[begin:end] for begin, end in itertools.pairwise(edges)]
        self._hidden: dict[int, Array] = {}
        self._first: dict[int, Array] = {}  # a sample of every part, as long as none has differed from it
        self.varied = not watch

    def draw(self, samples: int) -> Iterator[Array]:
        """`count` samples of one part after the other: (samples, rows of the part, ...)."""
        begun = [dropper.stream.state for dropper in self._shared]
        for number, rows in enumerate(self._rows):
            for dropper, state in zip(self._shared, begun, strict=True):
                dropper.stream.state = state
            if number not in self._hidden:
                self._hidden[number] = self._before(rows)
            x = self._hidden[number]
            stacked = array_module(x).broadcast_to(x, (samples, *x.shape)).reshape(-1, *x.shape[1:])
            y = self._rest(stacked)
            if len(y) != samples * len(rows):
                wanted = samples * len(rows)
                raise ValueError(f"predict returned {len(y)} rows for {wanted}; it is to return one for each")
            y = y.reshape(samples, len(rows), *y.shape[1:]).astype(np.float64)
            if not self.varied:
                first = self._first.setdefault(number, y[0])
                self.varied = not (np.abs(y - first) <= 1e-5 * np.abs(first).max()).all()
            yield y


class _Moments:
    """Mean, squared deviations and entropy of the samples so far."""

    def __init__(self) -> None:
        self.done = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0
        self.entropy: Any = 0.0

    def add(self, y: Array, probabilities: bool) -> None:
        """Combine the means and sums of squares of parts as Chan et al. do, which cancels no digits."""
        count = len(y)
        part = y.mean(axis=0)
        shift = part - self.mean
        self.squares = self.squares + ((y - part) ** 2).sum(axis=0)
        self.squares = self.squares + shift**2 * (self.done * count / (self.done + count))
        self.mean = self.mean + shift * (count / (self.done + count))
        if probabilities:
            self.entropy = self.entropy + _entropy(y).sum(axis=0)
        self.done += count


def _sample(parts: _Parts, samples: int, outputs: Outputs, progress: Progress | None) -> MonteCarlo:
    moments, stopped = _Moments(), False
    while moments.done < samples and not stopped:
        count = min(parts.at_once, samples - moments.done)
        found: list[Array] = []
        for y in parts.draw(count):
            found.append(softmax(y) if outputs == "logits" else y)
            if progress is not None and len(found) < parts.count:
                stopped |= progress(moments.done + len(found) / parts.count, samples) is False
            if stopped and moments.done > 0:
                break
        if len(found) < parts.count:
            break
        y = found[0] if len(found) == 1 else array_module(found[0]).concatenate(found, axis=1)
        moments.add(y, outputs != "values")
        if progress is not None and not stopped:
            stopped = progress(moments.done, samples) is False
    std = np.sqrt(moments.squares / moments.done)
    if outputs == "values":
        return MonteCarlo(moments.mean, std, None, None, moments.done)
    total = _entropy(moments.mean)
    disagreement = np.maximum(total - moments.entropy / moments.done, 0.0)
    return MonteCarlo(moments.mean, std, total, disagreement, moments.done)


def _entropy(probabilities: Array) -> Array:
    """Entropy in nats, along the last axis; 0 log 0 is 0."""
    positive = probabilities > 0
    logarithms = np.log(np.where(positive, probabilities, 1.0))
    entropy: Array = -(probabilities * logarithms).sum(axis=-1)
    return entropy
