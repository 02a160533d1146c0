"""The base class of layers, and sequences of layers."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop.arguments import check_flag, naming_keywords
from fastdrop.backends import to_device
from fastdrop.nn import advice
from fastdrop.nn.summary import summary

Array = NDArray[np.floating[Any]]


class Parameter:
    """A trained array and the gradient of the loss with respect to it."""

    def __init__(self, value: Array) -> None:
        self.value = value
        self.grad: Array = np.zeros_like(value)


class Module:
    """A layer: `forward` keeps what its `backward` needs; `backward` sets the parameters' gradients.

    `training` is True until `eval()` is called.
    """

    training = True
    normalises_batch = False
    """Whether evaluation uses statistics from training."""
    buffers: tuple[str, ...] = ()
    """Names of arrays that persist between calls and are not parameters."""

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """The gradient with respect to x of the last `forward`, given that with respect to its result."""
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        y = self.forward(x)
        if self.training and not advice.made_with_dropout_on(y) and any(module.drops for module in self.modules()):
            advice.remember_dropout_on(y)
        return y

    @property
    def drops(self) -> bool:
        """Whether this layer itself drops anything while training."""
        return False

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """Named modules inside this one."""
        yield from ()

    def own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Named parameters of this module itself."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value

    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Named parameters of this module and of all inside it; names joined by dots."""
        yield from self.own_parameters()
        for child_name, child in self.children():
            for name, parameter in child.parameters():
                yield f"{child_name}.{name}", parameter

    def modules(self) -> Iterator["Module"]:
        """This module and all inside it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def to(self, backend: str) -> Self:
        """Move parameters and buffers to a backend: "cpu" (NumPy) or "cuda" (CuPy).

        Make the optimizer afterwards: it keeps arrays beside the parameters.

        Raises
        ------
        BackendUnavailable
            If there is no GPU.
        """
        for module in self.modules():
            for parameter in vars(module).values():
                if isinstance(parameter, Parameter):
                    parameter.value, parameter.grad = (
                        to_device(parameter.value, backend),
                        to_device(parameter.grad, backend),
                    )
            for name in module.buffers:
                setattr(module, name, to_device(getattr(module, name), backend))
        return self

    def train(self, mode: bool = True) -> Self:
        """Turn dropout on and let batch normalisation use the batch's statistics."""
        mode = check_flag(mode, "mode")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Turn dropout off and let batch normalisation use its running statistics."""
        return self.train(False)

    def summary(self, input_shape: tuple[int, ...] | None = None) -> str:
        """A table: each layer's name and kind, its result's shape for one example, and its own parameters.

        Parameters
        ----------
        input_shape : tuple of int, optional
            The shape of one example, without the batch axis: one of zeros goes through the layers, in evaluation; the
            model itself stays as it is. Without it the results' shapes are not shown.

        Examples
        --------
        >>> from fastdrop import nn
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))
        >>> print(model.summary((64,)))
        layer  kind            output  parameters
        0      Linear          (32,)        2,080
        1      ReLU            (32,)            0
        2      Dropout(p=0.5)  (32,)            0
        3      Linear          (10,)          330
        total                               2,410
        memory of the parameters: 9.4 KiB
        """
        return summary(self, input_shape)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):  # keywords of other packages are explained in the error
            cls.__init__ = naming_keywords(cls.__init__)  # type: ignore[method-assign]

    @property
    def kind(self) -> str:
        """The class, and the attributes that decide how it drops."""
        return type(self).__name__

    def __repr__(self) -> str:
        own = [f"{name}={parameter.value.shape}" for name, parameter in self.own_parameters()]
        inner = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.children()]
        name, _, arguments = self.kind.removesuffix(")").partition("(")
        shown = ", ".join(filter(None, [arguments, *own]))
        return "\n".join([f"{name}({shown}", *inner, ")"]) if inner else f"{name}({shown})"


class Sequential(Module):
    """Layers one after the other.

    Each layer is another object: a layer that is in the network twice is refused with ValueError.

    Warns with `VarianceShiftWarning`, once, where batch normalisation comes after a layer that drops: when it is made,
    or in the first training call after the layer's rate has been raised from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> rng = np.random.default_rng(0)
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.ReLU(), nn.Dropout(0.5, rng=0), nn.Linear(8, 3, rng=rng))
    >>> model(np.ones((2, 4), np.float32)).shape
    (2, 3)
    >>> [name for name, _ in model.parameters()]
    ['0.weight', '0.bias', '3.weight', '3.bias']
    """

    def __init__(self, *layers: Module) -> None:
        self.layers = list(layers)
        modules = list(self.modules())
        if len({id(module) for module in modules}) < len(modules):
            twice = next(module for module in modules if sum(module is other for other in modules) > 1)
            raise ValueError(
                f"a {type(twice).__name__} is in this network twice, and keeps what its backward needs of the last "
                "forward alone: the gradient would be wrong. Make another one"
            )
        self._told_of_order = advice.check_order(self.modules())

    def children(self) -> Iterator[tuple[str, Module]]:
        for number, layer in enumerate(self.layers):
            yield str(number), layer

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        if self.training:
            self._told_of_order = advice.after_training_forward(self.modules(), x, self._told_of_order)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy
