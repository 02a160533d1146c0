"""`Mask`: the recipe of a mask. The decisions themselves are recomputed whenever they are needed."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.backends import backend_for, namespace, prepare
from fastdrop.rule import (
    RULE_VERSION,
    check_probability,
    check_version,
    keep_probability,
    threshold_and_scale,
)
from fastdrop.stream import Stream
from fastdrop.threads import kernels


class Mask:
    """Which elements of an array of one shape are kept, as a recipe of a few dozen bytes.

    The functions of this package make masks; calling one applies it: ``mask(dy)`` is dropout's backward pass.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that the mask applies to.
    shared_axes : tuple of int
        Axes along which one decision is shared, ascending.
    p : float
        The probability of dropping that was asked for.
    keep_prob : float
        The probability of keeping, exact to 2**-40.
    scale : float
        What kept elements are multiplied by.
    recipe
        Key, call number, threshold and scale: what backends get.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.dropout(np.ones((2, 4)), p=0.5, rng=0)
    >>> np.array_equal(np.asarray(mask), y != 0)
    True
    >>> np.array_equal(mask(np.ones((2, 4))), y)
    True
    """

    __slots__ = ("p", "recipe", "shape", "shared_axes")

    def __init__(
        self,
        shape: tuple[int, ...],
        p: float,
        stream: Stream,
        shared_axes: tuple[int, ...] = (),
        scaling: str = "inverted",
    ) -> None:
        self.p = p if type(p) is float else check_probability(p)
        threshold, scale = threshold_and_scale(self.p, scaling)
        self.shape = shape
        self.shared_axes = shared_axes
        self.recipe = stream.next_recipe(threshold, scale)

    @property
    def keep_prob(self) -> float:
        return keep_probability(self.recipe.threshold)

    @property
    def scale(self) -> float:
        return self.recipe.scale

    @property
    def decision_shape(self) -> tuple[int, ...]:
        """`shape` with the shared axes reduced to 1: how many decisions there are."""
        return tuple(1 if axis in self.shared_axes else size for axis, size in enumerate(self.shape))

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Apply the mask: kept elements times `scale`, dropped ones +0.0. Also the backward pass."""
        backend, x, y = prepare(array, out, "array")
        if x.shape != self.shape:
            raise ValueError(f"a mask of shape {self.shape} cannot be applied to an array of shape {x.shape}")
        return backend.apply(x, y, self.recipe, self.shared_axes)

    def first(self) -> NDArray[np.bool_]:
        """The decisions for index 0 of the first axis alone, without drawing the others: shape ``shape[1:]``.

        Only where the first axis shares no decisions.
        """
        if not self.shape or 0 in self.shared_axes:
            raise ValueError(f"a mask of shape {self.shape} with shared axes {self.shared_axes} has no first part")
        return self._decisions((1, *self.decision_shape[1:]))[0]

    def packed(self, *, like: Any = None) -> NDArray[np.uint8]:
        """The decisions in C order over `decision_shape`, eight to a byte, lowest bit first; 1 is kept.

        `numpy.unpackbits(mask.packed(), bitorder="little")` undoes it. `like` is an array of the kind to return, on
        whose device the bits are drawn; without it, NumPy's.
        """
        return backend_for(like=like).packed_bits(self._recipe_for(like), math.prod(self.decision_shape), like)

    def booleans(self, *, like: Any = None) -> NDArray[np.bool_]:
        """Which elements are kept: an array of `shape`, of the kind of `like`; without it, NumPy's.

        `numpy.asarray(mask)` is the same.
        """
        if 0 in self.shape:  # nothing to see, however many decisions the other axes have
            return self._decisions((0,), like).reshape(self.shape)
        kept = self._decisions(self.decision_shape, like)
        return kept if kept.shape == self.shape else namespace(kept).broadcast_to(kept, self.shape).copy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a mask stores no booleans: looking at it makes a new array (copy=False is impossible)")
        kept = self.booleans()
        return kept if dtype is None else kept.astype(dtype, copy=False)

    def _decisions(self, shape: tuple[int, ...], like: Any = None) -> NDArray[np.bool_]:
        """As many decisions as `shape` has elements, from the first on."""
        return backend_for(like=like).booleans(self._recipe_for(like), math.prod(shape), like).reshape(shape)

    def _recipe_for(self, like: Any) -> Any:
        """The recipe as the backend of `like` takes it: the CPU cannot read a call number on a GPU."""
        return getattr(self.recipe, "on_host", self.recipe) if namespace(like) is np else self.recipe

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.shape, self.shared_axes, self.p, self.recipe

    def __eq__(self, other: object) -> bool:
        """Whether the other mask is the same recipe for the same shape."""
        return self._identity == other._identity if isinstance(other, Mask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        shared = f", shared_axes={self.shared_axes}" if self.shared_axes else ""
        return f"Mask(shape={self.shape}, p={self.p}, key={self.recipe.key}, call={self.recipe.call}{shared})"

    def __getstate__(self) -> dict[str, Any]:
        values = {
            "shape": self.shape,
            "shared_axes": self.shared_axes,
            "p": self.p,
            "scale": self.scale,
            "recipe": tuple(self._recipe_for(None)),
        }
        return {"rule_version": RULE_VERSION, **values}

    def __setstate__(self, state: dict[str, Any]) -> None:
        check_version(state)
        self.shape, self.shared_axes = state["shape"], state["shared_axes"]
        key, call, threshold = state["recipe"]
        self.p, self.recipe = state["p"], kernels.Recipe(key, call, threshold, state["scale"])
