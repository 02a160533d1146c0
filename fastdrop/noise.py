"""`GaussianNoise`: factors 1 + sigma z, as a draw and a rate. The numbers are drawn again when they are needed."""

import math
import operator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.arguments import check_draws, check_shape, naming_keywords
from fastdrop.backends import prepare
from fastdrop.multiplicative_noise import MultiplicativeNoise
from fastdrop.rule import RULE_VERSION, check_probability, check_version
from fastdrop.stream import RNG, Draw, Drawing, draw_from


class GaussianNoise(MultiplicativeNoise):
    """Factors 1 + sigma z for an array of one shape, z standard normal; calling it multiplies by them.

    Parameters
    ----------
    shape : int or tuple of int
    p : float
        The rate of dropout whose variance the noise has, 0 to below 1.
    rng : Stream, what `Stream.from_rng` takes, or a draw of a stream, optional
        A stream gives its next draw.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that the noise applies to.
    p : float
        The rate of dropout whose variance the noise has.
    sigma : float
        Standard deviation of the factors: sqrt(p / (1 - p)).
    draw : Draw
        Key and call number, which decide the normal numbers.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x = np.ones((2, 4))
    >>> y, noise = fd.gaussian_dropout(x, p=0.5, rng=0)
    >>> np.array_equal(noise(x), y)
    True
    """

    __slots__ = ("draw", "p", "shape")
    made_by = "gaussian_dropout"

    @naming_keywords
    def __init__(self, shape: int | tuple[int, ...], p: float = 0.5, rng: RNG | Drawing | Draw = None) -> None:
        self.p, self.shape = check_noise(p), check_shape(shape)
        check_draws(self.shape, ())
        self.draw = draw_from(rng)

    @property
    def sigma(self) -> float:
        return math.sqrt(self.p / (1.0 - self.p))

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Multiply by the noise. Also the backward pass."""
        backend, x, y = prepare(array, out, "array")
        self._check_shape_of(x)
        if self.p == 0.0:
            return backend.multiply(x, y, 1.0)
        return backend.gaussian(x, y, self.draw, self.sigma)

    def __getitem__(self, index: Any) -> NoReturn:
        raise TypeError(
            "noise cannot be sliced as masks can: index its factors, numpy.asarray(noise)[...], and multiply by them"
        )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """The factors, in float32 unless another dtype is asked for."""
        if copy is False:
            raise ValueError("noise is not stored: looking at it makes a new array (copy=False is impossible)")
        return self.factors(np.float32 if dtype is None else dtype)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.shape, self.p, self.draw

    def __repr__(self) -> str:
        return f"GaussianNoise(shape={self.shape}, p={self.p}, key={self.draw.key}, call={self.draw.call})"

    def __getstate__(self) -> dict[str, Any]:
        draw = getattr(self.draw, "on_host", self.draw)
        return {"rule_version": RULE_VERSION, "shape": self.shape, "p": self.p, "key": draw.key, "call": draw.call}

    def __setstate__(self, state: dict[str, Any]) -> None:
        check_version(state)
        try:
            if "recipe" in state:  # before 0.2
                state = state | dict(zip(("key", "call"), state["recipe"], strict=True))
            self.shape, self.p = check_shape(state["shape"]), check_noise(state["p"])
            check_draws(self.shape, ())
            self.draw = Draw(*map(operator.index, (state["key"], state["call"])))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"this is not the state of a noise: {error}") from None


def check_noise(p: float) -> float:
    """p as a float, if there is noise of its variance."""
    p = check_probability(p)
    if p == 1.0:
        raise ValueError("p = 1 asks for noise of infinite variance; p is below 1 here")
    return p
