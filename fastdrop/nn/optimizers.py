"""Gradient descent: SGD with momentum, and Adam. They change parameters in place."""

from collections.abc import Iterable

import numpy as np

from fastdrop.nn.module import Parameter


class Optimizer:
    """Holds the parameters and the learning rate, which may change at any time."""

    def __init__(self, parameters: Iterable[tuple[str, Parameter]], learning_rate: float) -> None:
        self.parameters = [parameter for _, parameter in parameters]
        self.learning_rate = learning_rate

    def step(self) -> None:
        """Move every parameter by its gradient."""
        raise NotImplementedError


class SGD(Optimizer):
    """velocity = momentum * velocity + grad; value -= learning_rate * velocity.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton: "On the importance of initialization and momentum in deep learning", ICML 2013,
    equations 1 and 2, with the learning rate taken out of the velocity.
    """

    def __init__(
        self, parameters: Iterable[tuple[str, Parameter]], learning_rate: float = 0.01, momentum: float = 0.9
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.momentum = momentum
        self._velocity = [np.zeros_like(parameter.value) for parameter in self.parameters]

    def step(self) -> None:
        for parameter, velocity in zip(self.parameters, self._velocity, strict=True):
            velocity *= self.momentum
            velocity += parameter.grad
            parameter.value -= parameter.value.dtype.type(self.learning_rate) * velocity


class Adam(Optimizer):
    """Steps scaled by running estimates of the gradient's mean and square.

    References
    ----------
    Kingma, Ba: "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, Parameter]],
        learning_rate: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.betas = betas
        self.eps = eps
        self._mean = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self._square = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        beta1, beta2 = self.betas
        size = self.learning_rate / (1 - beta1**self._steps)
        correction = 1 / (1 - beta2**self._steps)
        for parameter, mean, square in zip(self.parameters, self._mean, self._square, strict=True):
            mean += (1 - beta1) * (parameter.grad - mean)
            square += (1 - beta2) * (parameter.grad**2 - square)
            real = parameter.value.dtype.type
            parameter.value -= real(size) * mean / (np.sqrt(square * real(correction)) + real(self.eps))
