"""`Mask`: the recipe of a mask. The decisions themselves are recomputed whenever they are needed."""

import copyreg
import math
import operator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.arguments import check_draws, check_shape, naming_keywords, normalize_axes
from fastdrop.backends import (
    Window,
    backend_for,
    checked_window,
    cut,
    namespace,
    on_arrays_device,
    on_device_of,
    prepare_chunkwise,
)
from fastdrop.multiplier import Multiplier
from fastdrop.rule import (
    RULE_VERSION,
    check_probability,
    check_version,
    keep_probability,
    threshold_and_scale,
)
from fastdrop.stream import RNG, Drawing, draw
from fastdrop.threads import kernels


class Mask(Multiplier, kernels.MaskFields):
    """Which elements of an array of one shape are kept, as a recipe of a few dozen bytes.

    The functions of this package make masks; calling one applies it: ``mask(dy)`` is dropout's backward pass, and
    ``mask * dy`` the same. A mask of your own is the constructor's.

    A mask can be cut: ``mask[1000:2000, ::2]`` is the recipe of that window, by basic slicing as NumPy does it (slices
    with any step, integers, an ellipsis, None), and ``mask[w](x[w])`` is ``mask(x)[w]`` bit for bit. Arrays and lists
    raise TypeError, what lies outside IndexError.

    Parameters
    ----------
    shape : int or tuple of int
    p : float
        Probability of dropping.
    rng : Stream or what `Stream.from_rng` takes, optional
        Takes the next call number.
    shared_axes : int or sequence of int, optional
        As in `dropout`.
    scaling : {"inverted", "classic"}
        Whether kept elements are multiplied by 1 / (1 - p), or left.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that the mask applies to.
    shared_axes : tuple of int
        Axes along which one decision is shared, ascending.
    p : float
        The probability of dropping that was asked for.
    keep_prob : float
        The probability of keeping: 1 - p, rounded to a multiple of 2**-40.
    scale : float
        What kept elements are multiplied by: 1 / (1 - p) in double precision; 0.0 where p is 1.
    made_by : str
        The function that made it: the backward functions of others refuse it.
    recipe
        Key, call number, threshold and scale: what backends get.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the mask would have more than 2**56 draws. Nothing is drawn then.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.dropout(np.ones((2, 4)), p=0.5, rng=0)
    >>> np.array_equal(np.asarray(mask), y != 0)
    True
    >>> np.array_equal(mask(np.ones((2, 4))), y)
    True
    >>> np.array_equal(mask[1, ::2](np.ones(2)), y[1, ::2])
    True
    """

    __slots__ = ()

    @naming_keywords
    def __init__(
        self,
        shape: int | tuple[int, ...],
        p: float = 0.5,
        rng: RNG | Drawing = None,
        shared_axes: int | tuple[int, ...] | None = None,
        scaling: str = "inverted",
    ) -> None:
        p = check_probability(p)
        numbers = threshold_and_scale(p, scaling)
        sizes = check_shape(shape)
        axes = normalize_axes(shared_axes, len(sizes))
        check_draws(sizes, axes)
        self._set(sizes, p, axes, draw(rng, *numbers), "dropout")

    def _set(self, shape: tuple[int, ...], p: float, shared_axes: tuple[int, ...], recipe: Any, made_by: str) -> None:
        self.shape = shape
        self.p = p
        self.shared_axes = shared_axes
        self.recipe = recipe
        self.made_by = made_by

    @staticmethod
    def _of(
        shape: tuple[int, ...], p: float, recipe: Any, shared_axes: tuple[int, ...] = (), made_by: str = "dropout"
    ) -> "Mask":
        """A mask from arguments that are checked and a recipe that is drawn."""
        mask: Mask = kernels.make_mask(shape, p, recipe, shared_axes, made_by)
        return mask

    @property
    def keep_prob(self) -> float:
        return keep_probability(self._source.threshold)

    @property
    def scale(self) -> float:
        return self._source.scale

    @property
    def decision_shape(self) -> tuple[int, ...]:
        """`shape` with the shared axes reduced to 1: how many decisions there are."""
        return tuple(1 if axis in self.shared_axes else size for axis, size in enumerate(self.shape))

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Apply the mask: kept elements times `scale`, dropped ones +0.0. Also the backward pass."""
        usual = kernels.multiply(self, array, out)
        if usual is not None:
            return usual
        backend, x, y = prepare_chunkwise(array, out, "array")
        if x.shape != self.shape:
            raise ValueError(f"a mask of shape {self.shape} cannot be applied to an array of shape {x.shape}")
        return backend.apply(x, y, self.recipe, self.shared_axes)

    def __getitem__(self, index: Any) -> "Mask":
        """The recipe of a window: basic slicing as NumPy does it."""
        return self._cut(index, None)

    def _cut(self, index: Any, window: Window | None) -> "Mask":
        """A plain mask where the window has the decisions of one: so equal recipes are equal masks."""
        shape, shared_axes, found = cut(self.shape, self.shared_axes, window, index)
        mask = Mask.__new__(Mask if found is None else MaskWindow)
        mask.shape, mask.shared_axes, mask.p, mask.made_by = shape, shared_axes, self.p, self.made_by
        if isinstance(mask, MaskWindow) and found is not None:
            mask.window, mask._origin = found, self._source
        else:
            mask.recipe = self._source
        return mask

    @property
    def _source(self) -> kernels.Recipe:
        """The recipe that the decisions come from, be they the first ones of it or not."""
        return self.recipe

    def first(self) -> NDArray[np.bool_]:
        """The decisions for index 0 of the first axis alone, without drawing the others: shape ``shape[1:]``.

        Only where the first axis shares no decisions.
        """
        if not self.shape or 0 in self.shared_axes:
            raise ValueError(f"a mask of shape {self.shape} with shared axes {self.shared_axes} has no first part")
        return self[0]._decisions()

    def packed(self, *, like: Any = None) -> NDArray[np.uint8]:
        """The decisions in C order over `decision_shape`, eight to a byte, lowest bit first; 1 is kept.

        `numpy.unpackbits(mask.packed(), bitorder="little")` undoes it. `like` is an array of the kind to return, on
        whose device the bits are drawn; without it, NumPy's.
        """
        return backend_for(like=like).packed_bits(self._recipe_for(like), math.prod(self.decision_shape), like)

    @on_arrays_device
    def booleans(self, *, like: Any = None) -> NDArray[np.bool_]:
        """Which elements are kept: an array of `shape`, of the kind of `like`; without it, NumPy's.

        `numpy.asarray(mask)` is the same.
        """
        if 0 in self.shape:  # nothing to see, however many decisions the other axes have
            return backend_for(like=like).booleans(self._recipe_for(like), 0, like).reshape(self.shape)
        kept = self._decisions(like)
        return kept if kept.shape == self.shape else namespace(kept).broadcast_to(kept, self.shape).copy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a mask stores no booleans: looking at it makes a new array (copy=False is impossible)")
        kept = self.booleans()
        return kept if dtype is None else kept.astype(dtype, copy=False)

    def _decisions(self, like: Any = None) -> NDArray[np.bool_]:
        """All decisions: an array of `decision_shape`."""
        shape = self.decision_shape
        return backend_for(like=like).booleans(self._recipe_for(like), math.prod(shape), like).reshape(shape)

    def _recipe_for(self, like: Any) -> Any:
        """The recipe as the backend of `like` takes it: the CPU cannot read a call number on a GPU."""
        return getattr(self._source, "on_host", self._source) if namespace(like) is np else self._source

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.shape, self.shared_axes, self.p, self._source, self.made_by

    def __eq__(self, other: object) -> bool:
        """Whether the other mask is the same recipe for the same shape."""
        return self._identity == other._identity if isinstance(other, Mask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        shared = f", shared_axes={self.shared_axes}" if self.shared_axes else ""
        return f"Mask(shape={self.shape}, p={self.p}, key={self._source.key}, call={self._source.call}{shared})"

    def __reduce__(self) -> tuple[Any, ...]:
        """As objects of Python classes do it: a compiled base is pickled by the newer protocols alone."""
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        values = {
            "shape": self.shape,
            "shared_axes": self.shared_axes,
            "p": self.p,
            "scale": self.scale,
            "recipe": tuple(self._recipe_for(None)),
            "made_by": self.made_by,
        }
        return {"rule_version": RULE_VERSION, **values}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(*_checked(state))


def _checked(state: dict[str, Any]) -> tuple[tuple[int, ...], float, tuple[int, ...], kernels.Recipe, str]:
    """Shape, p, shared axes, recipe and maker of a saved mask, each as a mask may have it."""
    check_version(state)
    try:
        shape, p = check_shape(state["shape"]), check_probability(state["p"])
        shared_axes, made_by = normalize_axes(state["shared_axes"], len(shape)), state.get("made_by", "dropout")
        check_draws(shape, shared_axes)
        key, call, threshold = map(operator.index, state["recipe"])
        recipe = kernels.Recipe(key, call, threshold, state["scale"])
        if not isinstance(made_by, str) or not math.isfinite(recipe.scale):
            raise ValueError(f"made_by is {made_by!r:.200}, scale {recipe.scale}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"this is not the state of a mask: {error}") from None
    return shape, p, shared_axes, recipe, made_by


class MaskWindow(Mask):
    """A part of a mask, which cutting one makes: the same recipe, other decisions than its first ones.

    Only what is documented of `Mask` knows of windows. Functions that read decisions from a recipe's first one on, such
    as `dropconnect_backward`, ask for `recipe` and are refused.

    Attributes
    ----------
    window : Window
        The first decision's number, and by how much the numbers grow along each axis.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> _, mask = fd.dropout(np.ones((4, 6)), p=0.5, rng=0)
    >>> mask[::-1, 2]
    Mask(shape=(4,), p=0.5, key=0, call=0, window=Window(first=20, strides=(-6,)))
    >>> mask[::-1][::-1] == mask
    True
    """

    __slots__ = ("_origin", "window")

    def __init__(self) -> None:
        raise TypeError("a window is cut from a mask: mask[10:20, ::2]")

    @property
    def recipe(self) -> NoReturn:  # type: ignore[override] # a window is no whole mask, and has none
        raise TypeError(
            "this mask is a window of another: it can be called, looked at and cut, and dropout_backward takes it; "
            "this function needs a whole mask"
        )

    @property
    def _source(self) -> kernels.Recipe:
        return self._origin

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Apply the window to an array of its shape. Also the backward pass."""
        backend, x, y = prepare_chunkwise(array, out, "array")
        if x.shape != self.shape:
            raise ValueError(f"a window of shape {self.shape} cannot be applied to an array of shape {x.shape}")
        return backend.apply(x, y, self._origin, (), self.window)

    def __getitem__(self, index: Any) -> Mask:
        """A window of the window: basic slicing as NumPy does it."""
        return self._cut(index, self.window)

    @on_arrays_device
    def packed(self, *, like: Any = None) -> NDArray[np.uint8]:
        """The window's decisions in C order over `decision_shape`, packed as `Mask.packed` says."""
        kept = self._decisions(like)
        with on_device_of(like):
            bits: NDArray[np.uint8] = namespace(like).packbits(kept.reshape(-1), bitorder="little")
            return bits

    def _decisions(self, like: Any = None) -> NDArray[np.bool_]:
        backend = backend_for(like=like)
        with on_device_of(like):
            ones = namespace(like).ones(self.decision_shape, np.float32)
        y, x = backend.prepare_out(ones, ones)
        return backend.apply(x, y, self._recipe_for(like), (), self.window).astype(np.bool_)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return *super()._identity, self.window

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, window={self.window})"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "window": tuple(self.window)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.shape, self.p, self.shared_axes, self._origin, self.made_by = _checked(state)
        self.window = checked_window(state.get("window"), len(self.shape))
