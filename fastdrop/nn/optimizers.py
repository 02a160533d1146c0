"""Gradient descent: SGD with momentum, and Adam. They change parameters in place."""

import math
from collections.abc import Iterable

import numpy as np

from fastdrop.nn.module import Parameter


class Optimizer:
    """Holds the parameters, the learning rate and the weight decay; the two rates may change at any time."""

    kept: tuple[str, ...] = ()
    """Names of the lists of arrays that persist between steps, with one array for each parameter."""

    def __init__(
        self, parameters: Iterable[tuple[str, Parameter]], learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        self.parameters = [parameter for _, parameter in parameters]
        self.learning_rate = _check_not_negative("learning_rate", learning_rate)
        self.weight_decay = _check_not_negative("weight_decay", weight_decay)

    def step(self) -> None:
        """Move every parameter by its gradient."""
        raise NotImplementedError

    def set_steps(self, steps: int) -> None:
        """Set the number of steps, after the kept arrays were restored."""

    def decay(self, parameter: Parameter) -> float:
        """This parameter's weight decay: none for vectors.

        Biases and the gains of normalisations are few and hardly overfit, and decay would pull a gain away from the 1
        that leaves a normalised value as it is. All that has two axes or more counts as weights.
        """
        return self.weight_decay if parameter.value.ndim >= 2 else 0.0


def _check_not_negative(name: str, value: float) -> float:
    """The value, if it is a number from 0 on."""
    if not 0.0 <= value < math.inf:  # also True for NaN
        raise ValueError(f"{name} is a number from 0 on; got {value!r:.200}")
    return value


class SGD(Optimizer):
    """velocity = momentum * velocity + grad + weight_decay * value; value -= learning_rate * velocity.

    Parameters
    ----------
    parameters : iterable of (str, Parameter)
        `Module.parameters()`.
    learning_rate, momentum : float
    weight_decay : float
        Strength of the penalty weight_decay / 2 * value**2, on weights alone: see `Optimizer.decay`.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton: "On the importance of initialization and momentum in deep learning", ICML 2013,
    equations 1 and 2, with the learning rate taken out of the velocity.
    """

    kept = ("velocity",)

    def __init__(
        self,
        parameters: Iterable[tuple[str, Parameter]],
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.momentum = _check_not_negative("momentum", momentum)
        self.velocity = [np.zeros_like(parameter.value) for parameter in self.parameters]

    def step(self) -> None:
        for parameter, velocity in zip(self.parameters, self.velocity, strict=True):
            velocity *= self.momentum
            velocity += parameter.grad
            if decay := self.decay(parameter):
                velocity += decay * parameter.value
            parameter.value -= parameter.value.dtype.type(self.learning_rate) * velocity


class Adam(Optimizer):
    """Steps scaled by running estimates of the gradient's mean and square; with weight decay, AdamW.

    Parameters
    ----------
    parameters : iterable of (str, Parameter)
        `Module.parameters()`.
    learning_rate : float
    betas : (float, float)
        Weight of the past in the estimates of mean and square.
    eps : float
        Added to the square's root.
    weight_decay : float
        Every step shrinks weights by learning_rate * weight_decay of themselves, whatever their gradient: decoupled
        from the scaling. Weights alone: see `Optimizer.decay`.

    References
    ----------
    Kingma, Ba: "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1. Loshchilov, Hutter: "Decoupled
    weight decay regularization", ICLR 2019, algorithm 2.
    """

    kept = ("mean", "square")

    def __init__(
        self,
        parameters: Iterable[tuple[str, Parameter]],
        learning_rate: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"betas are numbers from 0 to below 1; got {betas!r:.200}")
        self.betas = betas
        self.eps = _check_not_negative("eps", eps)
        self.mean = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self.square = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self._steps = 0

    def set_steps(self, steps: int) -> None:
        self._steps = steps

    def step(self) -> None:
        self._steps += 1
        beta1, beta2 = self.betas
        size = self.learning_rate / (1 - beta1**self._steps)
        correction = 1 / (1 - beta2**self._steps)
        for parameter, mean, square in zip(self.parameters, self.mean, self.square, strict=True):
            mean += (1 - beta1) * (parameter.grad - mean)
            square += (1 - beta2) * (parameter.grad**2 - square)
            real = parameter.value.dtype.type
            if decay := self.decay(parameter):
                parameter.value *= real(1 - self.learning_rate * decay)
            parameter.value -= real(size) * mean / (np.sqrt(square * real(correction)) + real(self.eps))
