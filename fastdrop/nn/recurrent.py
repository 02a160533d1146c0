"""Long short-term memory and its dropout: locked masks and zoneout. Sequences are (batch, steps, features)."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import fastdrop.functional as F
from fastdrop.backends import array_module
from fastdrop.nn.activations import sigmoid
from fastdrop.nn.dropout import Dropout, DropoutModule, LockedDropout
from fastdrop.nn.module import Array, Module, Parameter
from fastdrop.stream import RNG, Stream


class Zoneout(DropoutModule):
    """Units that keep their previous value with probability p instead of taking their new one.

    It works between two steps, so it has no `forward` of one array: see `mix`.

    Parameters
    ----------
    p : float
        Probability of keeping the previous value.
    rng
        As in `Dropout`.

    References
    ----------
    Krueger et al.: "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR 2017, equation 5.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.Zoneout(0.25).eval().mix(np.array([1.0]), np.array([5.0]))
    array([2.])
    """

    def __init__(self, p: float = 0.5, *, rng: RNG = None) -> None:
        super().__init__(p, rng)

    def mix(self, new: Array, previous: Array) -> Array:
        """The previous or the new value of every unit; in evaluation mode their expectation."""
        y, self.mask = F.zoneout(new, previous, self.p, rng=self.stream, training=self.training)
        return y

    def forward(self, x: Array) -> Array:
        raise TypeError("zoneout takes two states: call mix(new, previous)")

    def backward(self, dy: Array) -> Array:
        raise TypeError("zoneout has two gradients: fastdrop.zoneout_backward(dy, layer.mask, p=layer.p)")


class LSTM(Module):
    """Long short-term memory: the hidden states of all steps, from a hidden state and a memory of zeros.

    Parameters
    ----------
    inputs, hidden : int
        (batch, steps, inputs) becomes (batch, steps, hidden). `weight` has shape (4 * hidden, inputs) and
        `recurrent_weight` (4 * hidden, hidden): input gate, forget gate, output gate, candidate.
    p : float
        Probability of dropping an input, at all steps of a sequence alike.
    recurrent_p : float
        Probability of dropping a hidden unit on its way to the next step, at all steps of a sequence alike.
    zoneout : float
        Probability that a hidden unit keeps its previous value, decided anew at every step.
    zoneout_cell : float
        The same for a unit's memory (the cell).
    rng : None, int or numpy.random.Generator
        For the initial weights: normal with variance 1 / inputs and 1 / hidden.
    mask_rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.
    dtype : float32 or float64

    Notes
    -----
    The rates are attributes of the parts: `dropout.p`, `recurrent_dropout.p`, `zoneout.p` and `zoneout_cell.p`, and
    may change between calls. With the gates i (input), f (forget), o (output), the candidate g, and masks d of the
    units that keep their previous values, 1 with the probabilities `zoneout_cell` and `zoneout`, zoneout is::

        new_t = f_t * c_{t-1} + i_t * g_t
        c_t = dc_t * c_{t-1} + (1 - dc_t) * new_t
        h_t = dh_t * h_{t-1} + (1 - dh_t) * o_t * tanh(new_t)

    so that a hidden unit which is updated sees its new memory, kept or not. Evaluation takes the masks' means. At rate
    0 the cell draws no masks, so that the others stay what they are without it.

    References
    ----------
    Hochreiter, Schmidhuber: "Long short-term memory", Neural Computation 9 (1997). Gers, Schmidhuber, Cummins:
    "Learning to forget", Neural Computation 12 (2000): the forget gate. Jozefowicz, Zaremba, Sutskever: "An empirical
    exploration of recurrent network architectures", ICML 2015: its bias begins at 1. Gal, Ghahramani
    2016, equation 7, and Krueger et al. 2017, section 3.2: the dropout, as in `LockedDropout` and `Zoneout`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> layer = nn.LSTM(3, 16, p=0.2, recurrent_p=0.2, zoneout=0.1, zoneout_cell=0.2, rng=0, mask_rng=0)
    >>> layer(np.ones((2, 5, 3), np.float32)).shape
    (2, 5, 16)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        p: float = 0.0,
        recurrent_p: float = 0.0,
        zoneout: float = 0.0,
        zoneout_cell: float = 0.0,
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        generator, stream = np.random.default_rng(rng), Stream.from_rng(mask_rng)
        self.weight, self.recurrent_weight = (
            Parameter(generator.normal(0.0, 1 / math.sqrt(size), (4 * hidden, size)).astype(dtype))
            for size in (inputs, hidden)
        )
        self.bias = Parameter(np.zeros(4 * hidden, dtype))
        self.bias.value[hidden : 2 * hidden] = 1  # an open forget gate at first, so that early inputs are learned
        self.dropout = LockedDropout(p, rng=stream)
        self.recurrent_dropout = Dropout(recurrent_p, rng=stream)
        self.zoneout, self.zoneout_cell = (Zoneout(rate, rng=stream) for rate in (zoneout, zoneout_cell))

    def children(self) -> Iterator[tuple[str, Module]]:
        for name in ("dropout", "recurrent_dropout", "zoneout", "zoneout_cell"):
            yield name, getattr(self, name)

    def forward(self, x: Array) -> Array:
        inputs, hidden = self.weight.value.shape[1], self.recurrent_weight.value.shape[1]
        if x.ndim != 3 or x.shape[2] != inputs:
            raise ValueError(f"x has shape {x.shape}; needed is (batch, steps, {inputs})")
        batch, steps, _ = x.shape
        make: Any = array_module(x)
        # Steps first: what one step uses is contiguous. All inputs are projected in one product.
        self._x = self.dropout.forward(x).swapaxes(0, 1).reshape(-1, inputs)
        projected = (self._x @ self.weight.value.T + self.bias.value).reshape(steps, batch, 4 * hidden)
        self.recurrent_dropout.forward(make.ones((batch, hidden), x.dtype))  # every step applies this mask
        self._remembered = make.empty((steps, batch, hidden), projected.dtype)  # the last state, dropped
        self._gates = make.empty_like(projected)
        self._states = make.zeros((steps + 1, batch, hidden), projected.dtype)  # hidden states and memory,
        self._memory = make.zeros((steps + 1, batch, hidden), projected.dtype)  # after the zeros before step 0
        self._tanh_memory = make.empty_like(self._memory[1:])  # of the new memory, kept or not
        self._masks: list[Any] = []  # zoneout's, of every step: of the hidden state,
        self._cell_masks: list[Any] = []  # and of the memory
        self._zoneout_p, self._cell_p = self.zoneout.p, self.zoneout_cell.p
        for step in range(steps):
            self._step(step, projected[step])
        return self._states[1:].swapaxes(0, 1)

    def _step(self, step: int, projected: Array) -> None:
        hidden, previous, gates = self._states.shape[2], self._states[step], self._gates[step]
        self._remembered[step] = F.dropout_backward(previous, self.recurrent_dropout.mask)
        sums = projected + self._remembered[step] @ self.recurrent_weight.value.T
        gates[:, : 3 * hidden] = sigmoid(sums[:, : 3 * hidden])
        gates[:, 3 * hidden :] = np.tanh(sums[:, 3 * hidden :])
        enter, forget, leave, candidate = self._parts(gates)
        memory = forget * self._memory[step] + enter * candidate
        self._tanh_memory[step] = np.tanh(memory)
        if self._cell_p > 0:
            memory = self.zoneout_cell.mix(memory, self._memory[step])
            self._cell_masks.append(self.zoneout_cell.mask)
        self._memory[step + 1] = memory
        self._states[step + 1] = self.zoneout.mix(leave * self._tanh_memory[step], previous)
        self._masks.append(self.zoneout.mask)

    def backward(self, dy: Array) -> Array:
        batch, steps, hidden = dy.shape
        dsums = np.empty_like(self._gates)
        # Derivatives of all activation functions at once, from their values.
        derivatives = self._gates * (1 - self._gates)
        derivatives[:, :, 3 * hidden :] = 1 - self._gates[:, :, 3 * hidden :] ** 2
        tanh_memory = self._tanh_memory
        dstate = dmemory = np.zeros_like(self._states[0])
        for step in reversed(range(steps)):
            dnew, dstate = F.zoneout_backward(dy[:, step] + dstate, self._masks[step], p=self._zoneout_p)
            enter, forget, leave, candidate = self._parts(self._gates[step])
            kept: Any = 0.0  # the gradient that passes this step, to the memory before it
            if self._cell_p > 0:
                dmemory, kept = F.zoneout_backward(dmemory, self._cell_masks[step], p=self._cell_p)
            dmemory = dmemory + dnew * leave * (1 - tanh_memory[step] ** 2)
            gradients = (dmemory * candidate, dmemory * self._memory[step], dnew * tanh_memory[step], dmemory * enter)
            for part, gradient in zip(self._parts(dsums[step]), gradients, strict=True):
                part[...] = gradient
            dsums[step] *= derivatives[step]
            dmemory = dmemory * forget + kept
            dremembered = dsums[step] @ self.recurrent_weight.value
            dstate = dstate + F.dropout_backward(dremembered, self.recurrent_dropout.mask)
        rows = dsums.reshape(steps * batch, 4 * hidden)
        self.weight.grad = rows.T @ self._x
        self.recurrent_weight.grad = rows.T @ self._remembered.reshape(-1, hidden)
        self.bias.grad = rows.sum(axis=0)
        dx = (rows @ self.weight.value).reshape(steps, batch, -1).swapaxes(0, 1)
        return self.dropout.backward(dx)

    def _parts(self, gates: Array) -> list[Array]:
        """Views of input gate, forget gate, output gate and candidate."""
        hidden = gates.shape[1] // 4
        return [gates[:, part * hidden : (part + 1) * hidden] for part in range(4)]


class LastStep(Module):
    """The last step of every sequence: (batch, steps, features) becomes (batch, features)."""

    def forward(self, x: Array) -> Array:
        self._x = x  # for its shape and its kind
        return x[:, -1]

    def backward(self, dy: Array) -> Array:
        dx = np.zeros_like(self._x)
        dx[:, -1] = dy
        return dx


class MeanOverSteps(Module):
    """The mean over all steps: (batch, steps, features) becomes (batch, features)."""

    def forward(self, x: Array) -> Array:
        self._shape = x.shape
        y: Array = x.mean(axis=1)
        return y

    def backward(self, dy: Array) -> Array:
        return np.broadcast_to((dy / self._shape[1])[:, np.newaxis], self._shape).copy()
