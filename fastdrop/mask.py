"""`Mask`: which elements are kept, as a draw and a threshold. The keep bits are computed whenever they are needed."""

import copyreg
import math
import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop import chunks
from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_draws, check_shape, naming_keywords, normalize_axes
from fastdrop.backends import array_module, backend_for, on_arrays_device, on_device_of, prepare
from fastdrop.bit_layout import checked_layout, sliced
from fastdrop.multiplicative_noise import MultiplicativeNoise
from fastdrop.rule import RULE_VERSION, check_probability, check_version, keep_probability, threshold_and_scale
from fastdrop.stream import RNG, Draw, Drawing, draw_from


class Mask(MultiplicativeNoise, kernels.MaskFields):
    """Which elements of an array of one shape are kept, in some 200 bytes, however large the array.

    The functions of this package make masks; calling one applies it: ``mask(dy)`` is dropout's backward pass, and
    ``mask * dy`` the same. A mask of your own is the constructor's.

    A mask can be sliced: ``mask[1000:2000, ::2]`` is the mask of that part, by basic slicing as NumPy does it (slices
    with any step, integers, an ellipsis, None), and ``mask[s](x[s])`` is ``mask(x)[s]`` bit for bit. Arrays and lists
    raise TypeError, what lies outside IndexError.

    Parameters
    ----------
    shape : int or tuple of int
    p : float
        Probability of dropping.
    rng : Stream, what `Stream.from_rng` takes, or a draw of a stream, optional
        A stream gives its next draw.
    shared_axes : int or sequence of int, optional
        As in `dropout`.
    scaling : {"inverted", "classic"}
        Whether kept elements are multiplied by 1 / (1 - p), or left.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that the mask applies to.
    shared_axes : tuple of int
        Axes along which one keep bit is shared, ascending.
    p : float
        The probability of dropping that was asked for.
    keep_prob : float
        The probability of keeping: 1 - p, rounded to a multiple of 2**-40.
    scale : float
        What kept elements are multiplied by: 1 / (1 - p) in double precision; 0.0 where p is 1.
    draw : Draw
        Key and call number: with the threshold, all that the keep bits depend on.
    threshold : int
        keep_prob times 2**40.
    layout : BitLayout or None
        Of a slice: the number of its first keep bit, and by how much the numbers grow along each axis.
    made_by : str
        The function that made it: the backward functions of others refuse it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the mask would have more than 2**56 keep bits. Nothing is drawn then.

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
        rng: RNG | Drawing | Draw = None,
        shared_axes: int | tuple[int, ...] | None = None,
        scaling: str = "inverted",
    ) -> None:
        self.p = check_probability(p)
        self.threshold, self.scale = threshold_and_scale(self.p, scaling)
        self.shape = check_shape(shape)
        self.shared_axes = normalize_axes(shared_axes, len(self.shape))
        check_draws(self.shape, self.shared_axes)
        self.layout, self.made_by = None, "dropout"
        self.draw = draw_from(rng)

    @property
    def keep_prob(self) -> float:
        return keep_probability(self.threshold)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """`shape` with the shared axes reduced to 1: one keep bit for each of its elements (Keras' ``noise_shape``)."""
        return tuple(1 if axis in self.shared_axes else size for axis, size in enumerate(self.shape))

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Apply the mask: kept elements times `scale`, dropped ones +0.0. Also the backward pass."""
        usual = kernels.apply_mask(self, array, out)
        if usual is not None:
            return usual
        if chunks.has_chunks(array, out):
            x = chunks.as_input(array, out, "array")
            self._check_shape_of(x)
            return chunks.apply(self, x)
        backend, x, y = prepare(array, out, "array")
        self._check_shape_of(x)
        return backend.elementwise("dropout", y, (x,), self)

    def __getitem__(self, index: Any) -> "Mask":
        """The mask of a part: basic slicing as NumPy does it. A whole mask again where the part has one's keep bits."""
        shape, shared_axes, layout = sliced(self.shape, self.shared_axes, self.layout, index)
        return self._with(shape=shape, shared_axes=shared_axes, layout=layout)

    def _with(self, **changes: Any) -> "Mask":
        names = ("shape", "p", "draw", "threshold", "scale", "shared_axes", "made_by", "layout")
        mask: Mask = kernels.make_mask(**{name: getattr(self, name) for name in names} | changes)
        return mask

    def packed(self, *, like: Any = None) -> NDArray[np.uint8]:
        """The keep bits in C order over `noise_shape`, eight to a byte, lowest bit first.

        `numpy.unpackbits(mask.packed(), bitorder="little")` undoes it. `like` is an array of the kind to return, on
        whose device the bits are drawn; without it, NumPy's.
        """
        if self.layout is None:
            count = math.prod(self.noise_shape)
            return backend_for(like=like).keep_bits(self._draw_for(like), self.threshold, count, like)
        with on_device_of(like):
            kept = self._keep_bits(like).reshape(-1)
            bits: NDArray[np.uint8] = array_module(like).packbits(kept, bitorder="little")
            return bits

    @on_arrays_device
    def booleans(self, *, like: Any = None) -> NDArray[np.bool_]:
        """Which elements are kept: an array of `shape`, of the kind of `like`; without it, NumPy's.

        `numpy.asarray(mask)` is the same.
        """
        if 0 in self.shape:  # nothing to see, whatever the sizes of the other axes
            return backend_for(like=like).booleans(self._draw_for(like), self.threshold, 0, like).reshape(self.shape)
        kept = self._keep_bits(like)
        return kept if kept.shape == self.shape else array_module(kept).broadcast_to(kept, self.shape).copy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a mask stores no booleans: looking at it makes a new array (copy=False is impossible)")
        kept = self.booleans()
        return kept if dtype is None else kept.astype(dtype, copy=False)

    def _keep_bits(self, like: Any) -> NDArray[np.bool_]:
        """An array of `noise_shape`."""
        backend, shape, draw = backend_for(like=like), self.noise_shape, self._draw_for(like)
        if self.layout is None:
            return backend.booleans(draw, self.threshold, math.prod(shape), like).reshape(shape)
        with on_device_of(like):
            ones = array_module(like).ones(shape, np.float32)
        y, x = backend.prepare_out(ones, ones)
        mask = self._with(shape=shape, shared_axes=(), scale=1.0, draw=draw)
        return backend.elementwise("dropout", y, (x,), mask).astype(np.bool_)

    def _draw_for(self, like: Any) -> Any:
        """The draw as the backend of `like` takes it: the CPU cannot read a call number on a GPU."""
        return getattr(self.draw, "on_host", self.draw) if array_module(like) is np else self.draw

    @property
    def _identity(self) -> tuple[Any, ...]:
        names = ("shape", "shared_axes", "p", "draw", "threshold", "scale", "layout", "made_by")
        return tuple(getattr(self, name) for name in names)

    def __repr__(self) -> str:
        shared = f", shared_axes={self.shared_axes}" if self.shared_axes else ""
        part = f", layout={self.layout}" if self.layout else ""
        return f"Mask(shape={self.shape}, p={self.p}, key={self.draw.key}, call={self.draw.call}{shared}{part})"

    def __reduce__(self) -> tuple[Any, ...]:
        """As objects of Python classes do it: a compiled base is pickled only by the newer protocols."""
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        draw = self._draw_for(None)
        values = {name: getattr(self, name) for name in ("shape", "shared_axes", "p", "scale", "threshold", "made_by")}
        layout = tuple(self.layout) if self.layout else None
        return {"rule_version": RULE_VERSION, "key": draw.key, "call": draw.call, "layout": layout, **values}

    def __setstate__(self, state: dict[str, Any]) -> None:
        check_version(state)
        try:
            if "recipe" in state:  # before 0.2
                state = state | dict(zip(("key", "call", "threshold"), state["recipe"], strict=True))
            shape, p = check_shape(state["shape"]), check_probability(state["p"])
            shared_axes, made_by = normalize_axes(state["shared_axes"], len(shape)), state.get("made_by", "dropout")
            check_draws(shape, shared_axes)
            key, call, threshold = (operator.index(state[name]) for name in ("key", "call", "threshold"))
            draw, layout, scale = Draw(key, call), state.get("layout", state.get("window")), state["scale"]
            if not isinstance(made_by, str) or not math.isfinite(scale) or not 0 <= threshold <= 2**40:
                raise ValueError(f"made_by is {made_by!r:.200}, scale {scale}, threshold {threshold}")
            layout = None if layout is None else checked_layout(layout, len(shape))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"this is not the state of a mask: {error}") from None
        self.shape, self.p, self.shared_axes, self.made_by = shape, p, shared_axes, made_by
        self.draw, self.threshold, self.scale, self.layout = draw, threshold, scale, layout
