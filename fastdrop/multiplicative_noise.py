"""`MultiplicativeNoise`: the interface that all masks and noises share."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.backends import array_module, on_device_of

_QUERIES = {np.where, np.copyto, np.count_nonzero, np.nonzero, np.flatnonzero, np.argwhere, np.any, np.all}
_QUERIES |= {np.array_equal, np.array_equiv, np.shape, np.ndim, np.size, np.packbits, np.extract, np.compress}
"""Functions of NumPy that ask which elements are kept."""


def _not_defined(function: Any, kind: str) -> str:
    return (
        f"numpy.{function.__name__} is not defined for a {kind}, which stores no array; multiplying applies it: "
        "array * mask. numpy.asarray(mask) is an array to look at, mask.factors() one of its factors"
    )


class _OfTheClass:
    """`__array_ufunc__` as ufuncs look it up, on the class. On an object it is None, which asks arrays of other kinds
    (masked ones, Dask's) to leave a product to `__rmul__` instead of making booleans of the mask.
    """

    def __init__(self, function: Any) -> None:
        self._function = function

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self._function if instance is None else None


class MultiplicativeNoise:
    """Factors for the elements of an array, which are drawn again whenever they are applied and never stored.

    The functions of this package return one: `Mask` (Bernoulli noise), `GaussianNoise`, `BlockMask`, `CutoutMask`.
    ``noise(x)``, ``noise * x``, ``x * noise`` and ``numpy.multiply(x, noise)`` are the same: each element times its
    factor, a dropped one +0.0. Since that is linear, ``noise(dy)`` is the backward pass. Any other ufunc raises
    TypeError. ``numpy.asarray(noise)`` is an array to look at, ``noise.factors()`` one of the factors. Noises are equal
    where they would draw the same; they can be pickled.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that it applies to.
    made_by : str
        The function that made it, whose backward takes it.
    """

    __slots__ = ()
    __array_priority__: ClassVar[float] = 1000.0  # so that CuPy's arrays leave products to us
    __pandas_priority__: ClassVar[int] = 5000  # and pandas' frames, which would hand over their blocks, transposed

    shape: tuple[int, ...]
    made_by: str

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Multiply an array of `shape`. Also the backward pass."""
        raise NotImplementedError

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """An array to look at: of masks, which elements are kept."""
        raise NotImplementedError

    def _check_shape_of(self, x: Any) -> None:
        """Raise ValueError where x does not have `shape`."""
        if x.shape != self.shape:
            kind = type(self).__name__
            raise ValueError(f"a {kind} of shape {self.shape} cannot be applied to an array of shape {x.shape}")

    @property
    def _identity(self) -> tuple[Any, ...]:
        """All that its factors depend on."""
        raise NotImplementedError

    def __dask_tokenize__(self) -> Any:
        """What Dask names arrays after that it was applied to."""
        return type(self).__name__, self.__reduce_ex__(2)[2]

    def __eq__(self, other: object) -> bool:
        """Whether the other one draws the same factors for the same shape."""
        return self._identity == other._identity if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __mul__(self, other: Any) -> NDArray[Any]:
        if isinstance(other, MultiplicativeNoise):
            raise TypeError(f"{_PRODUCT}: apply one after the other, mask(other(array))")
        if isinstance(other, (int, float, complex, np.number)):
            raise ValueError(f"a mask of shape {self.shape} cannot be applied to a number; mask.factors() is an array")
        return self(other)

    __rmul__ = __mul__

    def _ufunc(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> NDArray[Any]:
        kind = type(self).__name__
        if ufunc is not np.multiply or method != "__call__":
            raise TypeError(_not_defined(ufunc, kind))
        (out,) = keywords.pop("out", (None,))
        if keywords:
            raise TypeError(f"multiplying by a {kind} takes no {', '.join(keywords)}: numpy.asarray(mask) is an array")
        arrays = [each for each in inputs if not isinstance(each, MultiplicativeNoise)]
        if len(arrays) != 1 or isinstance(out, MultiplicativeNoise):
            raise TypeError(f"{_PRODUCT}: apply one after the other, mask(other(array))")
        return self(arrays[0], out)

    __array_ufunc__ = _OfTheClass(_ufunc)

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        """What looks at a mask sees its booleans; what would compute with them lacks the scale, and is refused."""
        if function not in _QUERIES:
            raise TypeError(_not_defined(function, type(self).__name__))
        arguments = map(_as_array, arguments)
        keywords = {
            name: np.asarray(each) if isinstance(each, MultiplicativeNoise) else each for name, each in keywords.items()
        }
        return function(*arguments, **keywords)

    def factors(self, dtype: DTypeLike = np.float32, *, like: Any = None) -> NDArray[Any]:
        """The factor of each element as an array of `shape`: of a mask 0 or its scale.

        `like` is an array of the kind to return, on whose device they are computed; without it, NumPy's.

        Examples
        --------
        >>> import fastdrop as fd
        >>> _, mask = fd.dropout([1.0, 2.0, 3.0, 4.0], p=0.5, rng=0)
        >>> mask.factors(), mask([1.0, 2.0, 3.0, 4.0])
        (array([0., 2., 0., 2.], dtype=float32), array([0., 4., 0., 8.]))
        """
        with on_device_of(like):
            xp = array_module(like)
            one = xp.ones((1,) * len(self.shape), dtype)
            return self(xp.broadcast_to(one, self.shape), xp.empty(self.shape, dtype))


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, MultiplicativeNoise) else value


_PRODUCT = "two masks have no product"


def check_made_by(mask: Any, backward: str, *makers: str) -> None:
    """Raise TypeError unless one of these functions made the mask that a backward function was given."""
    if isinstance(mask, MultiplicativeNoise):
        if mask.made_by in makers:
            return
        kind = f"a {type(mask).__name__} of {mask.made_by}"
        own = _BACKWARD.get(mask.made_by.partition("(")[0], "dropout_backward")
        advice = f"; its own is {own}" if own != backward else ""
    else:
        kind, own, advice = f"a {type(mask).__name__}", "", ""
        if hasattr(mask, "__array__") or isinstance(mask, (list, tuple)):
            advice = f": is the order {backward}(dy, ..., mask)? An array of booleans cannot be one, it has no scale"
    raise TypeError(f"{backward} takes the mask that {' or '.join(makers)} returned; got {kind}{advice}")


_BACKWARD = {
    name: f"{name}_backward" for name in ("zoneout", "softmax_dropout", "bias_activation_dropout", "dropconnect")
}
"""The backward functions that compute more than a product with the mask."""
