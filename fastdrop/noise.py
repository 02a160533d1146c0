"""`GaussianNoise`: the recipe of multiplicative noise. The numbers themselves are drawn again when they are needed."""

import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.backends import prepare
from fastdrop.rule import KEEP_ALL, RULE_VERSION, check_probability, check_version
from fastdrop.stream import Stream
from fastdrop.threads import kernels


class GaussianNoise:
    """Factors 1 + sigma z for an array of one shape, z standard normal; calling it multiplies by them.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that the noise applies to.
    p : float
        The rate of dropout whose variance the noise has.
    sigma : float
        Standard deviation of the factors: sqrt(p / (1 - p)).

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x = np.ones((2, 4))
    >>> y, noise = fd.gaussian_dropout(x, p=0.5, rng=0)
    >>> np.array_equal(noise(x), y)
    True
    """

    __slots__ = ("p", "recipe", "shape")

    def __init__(self, shape: tuple[int, ...], p: float, stream: Stream) -> None:
        self.p = check_probability(p)
        if self.p == 1.0:
            raise ValueError("p = 1 asks for noise of infinite variance; p is below 1 here")
        self.shape = shape
        self.recipe = stream.next_recipe(KEEP_ALL - 1, 1.0)

    @property
    def sigma(self) -> float:
        return math.sqrt(self.p / (1.0 - self.p))

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Multiply by the noise. Also the backward pass."""
        backend, x, y = prepare(array, out, "array")
        if x.shape != self.shape:
            raise ValueError(f"noise of shape {self.shape} cannot be applied to an array of shape {x.shape}")
        if self.p == 0.0:
            return backend.scaled_copy(x, y, 1.0)
        return backend.gaussian(x, y, self.recipe, self.sigma)

    def __getitem__(self, index: Any) -> NoReturn:
        raise TypeError(
            "noise cannot be cut as masks can: index its factors, numpy.asarray(noise)[...], and multiply by them"
        )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """The factors, in float32 unless another dtype is asked for."""
        if copy is False:
            raise ValueError("noise is not stored: looking at it makes a new array (copy=False is impossible)")
        return self(np.ones(self.shape, np.float32 if dtype is None else dtype))

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.shape, self.p, self.recipe

    def __eq__(self, other: object) -> bool:
        """Whether the other noise is the same recipe for the same shape."""
        return self._identity == other._identity if isinstance(other, GaussianNoise) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"GaussianNoise(shape={self.shape}, p={self.p}, key={self.recipe.key}, call={self.recipe.call})"

    def __getstate__(self) -> dict[str, Any]:
        recipe = getattr(self.recipe, "on_host", self.recipe)
        return {"rule_version": RULE_VERSION, "shape": self.shape, "p": self.p, "recipe": (recipe.key, recipe.call)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        check_version(state)
        self.shape, self.p = state["shape"], state["p"]
        key, call = state["recipe"]
        self.recipe = kernels.Recipe(key, call, KEEP_ALL - 1, 1.0)
