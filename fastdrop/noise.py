"""`GaussianNoise`: the recipe of multiplicative noise. The numbers themselves are drawn again when they are needed."""

import math
import operator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.arguments import check_draws, check_shape, naming_keywords
from fastdrop.backends import prepare
from fastdrop.multiplier import Multiplier
from fastdrop.rule import KEEP_ALL, RULE_VERSION, check_probability, check_version
from fastdrop.stream import RNG, Drawing, draw
from fastdrop.threads import kernels


class GaussianNoise(Multiplier):
    """Factors 1 + sigma z for an array of one shape, z standard normal; calling it multiplies by them.

    Parameters
    ----------
    shape : int or tuple of int
    p : float
        The rate of dropout whose variance the noise has, 0 to below 1.
    rng : Stream or what `Stream.from_rng` takes, optional
        Takes the next call number.

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
    made_by = "gaussian_dropout"

    @naming_keywords
    def __init__(self, shape: int | tuple[int, ...], p: float = 0.5, rng: RNG | Drawing = None) -> None:
        self.p, self.shape = check_noise(p), check_shape(shape)
        check_draws(self.shape, ())
        self.recipe = draw(rng, KEEP_ALL - 1, 1.0)

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
        return self.factors(np.float32 if dtype is None else dtype)

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
        try:
            key, call = map(operator.index, state["recipe"])
            shape, p, recipe = check_shape(state["shape"]), check_noise(state["p"]), (key, call, KEEP_ALL - 1, 1.0)
            check_draws(shape, ())
            self.shape, self.p, self.recipe = shape, p, kernels.Recipe(*recipe)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"this is not the state of a noise: {error}") from None


def check_noise(p: float) -> float:
    """p as a float, if there is noise of its variance."""
    p = check_probability(p)
    if p == 1.0:
        raise ValueError("p = 1 asks for noise of infinite variance; p is below 1 here")
    return p
