"""Masks of contiguous regions: `BlockMask` (DropBlock) and `CutoutMask`, drawn again when they are needed."""

import functools
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.arguments import check_int, check_shape, normalize_axes
from fastdrop.backends import array_module, on_device_of, prepare
from fastdrop.backends.dtypes import compute_dtype
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import MultiplicativeNoise
from fastdrop.rule import RULE_VERSION, check_probability, check_version
from fastdrop.stream import RNG, Drawing


class RegionMask(MultiplicativeNoise):
    """What masks of regions share: `booleans` says what is kept, `scale` what kept elements are multiplied by.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays that the mask applies to.
    axes : tuple of int
        The axes of positions, along which regions lie.
    """

    __slots__ = ("axes", "shape")

    def __init__(self, shape: tuple[int, ...], axes: int | Sequence[int]) -> None:
        self.shape = check_shape(shape)
        self.axes = normalize_axes(axes, len(self.shape), "axes")
        if not self.axes or 0 in self.axes:
            raise ValueError(f"regions lie along axes of positions, not the batch axis 0; got axes {self.axes}")

    def dropped(self, like: Any) -> NDArray[np.bool_]:
        """Which elements are dropped: an array of `shape`, or one that broadcasts to it, of the kind of `like`."""
        return array_module(like).zeros(self.shape, np.bool_) if 0 in self.shape else self._dropped(like)

    def _dropped(self, like: Any) -> NDArray[np.bool_]:
        raise NotImplementedError

    def booleans(self, *, like: Any = None) -> NDArray[np.bool_]:
        """Which elements are kept: an array of `shape`, of the kind of `like`; without it, NumPy's."""
        with on_device_of(like):
            kept: NDArray[np.bool_] = ~self.dropped(like)
            return kept if kept.shape == self.shape else array_module(like).broadcast_to(kept, self.shape).copy()

    def __call__(self, array: Any, out: Any = None) -> NDArray[Any]:
        """Apply the mask. Also the backward pass."""
        backend, x, y = prepare(array, out, "array")
        self._check_shape_of(x)
        if 0 in self.shape:
            return y
        with on_device_of(x), np.errstate(all="ignore"):  # as the kernels have it
            xp, dropped = array_module(x), self.dropped(x)
            scale, wide = self._scale(dropped), compute_dtype(x.dtype)
            if scale is None:
                backend.multiply(x, y, 1.0)
            elif wide == x.dtype:
                xp.multiply(x, scale.astype(wide), out=y)
            else:
                y[...] = x.astype(wide) * scale.astype(wide)
            xp.copyto(y, x.dtype.type(0), where=dropped)
        return y

    def _scale(self, dropped: NDArray[np.bool_]) -> Any:
        """What kept elements are multiplied by, as an array of no axes on the mask's device; None for nothing."""
        return None

    def __getitem__(self, index: Any) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be sliced: its regions cross the borders of any slice, and its scale "
            "counts all elements; apply it whole, or index numpy.asarray(mask)"
        )

    @property
    def _identity(self) -> tuple[Any, ...]:
        return tuple(self.__getstate__().values())

    def __getstate__(self) -> dict[str, Any]:
        names = ("shape", "axes", *type(self).__slots__)
        return {"rule_version": RULE_VERSION, **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        check_version(state)
        try:
            RegionMask.__init__(self, state["shape"], state["axes"])
            self._set_region(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the state of a {type(self).__name__}: {error}") from None

    def _set_region(self, state: dict[str, Any]) -> None:
        """Take the rest of a saved state, once it is checked."""
        raise NotImplementedError

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a mask stores no booleans: looking at it makes a new array (copy=False is impossible)")
        kept = self.booleans()
        return kept if dtype is None else kept.astype(dtype, copy=False)


class BlockMask(RegionMask):
    """Which elements DropBlock keeps: seeds are drawn for every example and map, each drops the block around it.

    Attributes
    ----------
    block : tuple of int
        The block's size along every position axis; at most the map's.
    p : float
        The share of elements that is dropped, on average.
    seeds : Mask
        Where blocks begin: over the places at which a whole block fits, dropped means a block.
    """

    __slots__ = ("block", "p", "seeds")
    made_by = "dropblock"

    def __init__(
        self, shape: tuple[int, ...], p: float, block_size: int, axes: int | Sequence[int], rng: RNG | Drawing = None
    ) -> None:
        super().__init__(shape, axes)
        self.p = check_probability(p)
        self.block = tuple(max(1, min(check_block_size(block_size), self.shape[axis])) for axis in self.axes)
        sizes = tuple(self.shape[axis] for axis in self.axes)
        rate = self.p if 0 in self.shape else block_start_probability(self.p, sizes, self.block)
        self.seeds = Mask(self._places(), rate, rng)

    def _places(self) -> tuple[int, ...]:
        """The shape of the array of places at which a whole block fits."""
        places = list(self.shape)
        for axis, block in zip(self.axes, self.block, strict=True):
            places[axis] = max(0, places[axis] - block + 1)
        return tuple(places)

    def _set_region(self, state: dict[str, Any]) -> None:
        self.p, self.block, self.seeds = check_probability(state["p"]), check_shape(state["block"]), state["seeds"]
        fits = len(self.block) == len(self.axes) and 0 not in self.block
        if not fits or not isinstance(self.seeds, Mask) or self.seeds.shape != self._places():
            raise ValueError(f"blocks of {self.block} and seeds {self.seeds!r:.200}")

    def _dropped(self, like: Any) -> NDArray[np.bool_]:
        xp = array_module(like)
        dropped = ~self.seeds.booleans(like=like)
        for axis, block in zip(self.axes, self.block, strict=True):  # a block is a line along one axis after the other
            shape = list(dropped.shape)
            shape[axis] = self.shape[axis]
            grown = xp.zeros(tuple(shape), np.bool_)
            along = (slice(None),) * axis
            grown[(*along, slice(dropped.shape[axis]))] = dropped
            length = 1
            while length < block:  # lines twice as long, until they are long enough
                step = min(length, block - length)
                longer = grown.copy()
                longer[(*along, slice(step, None))] |= grown[(*along, slice(-step))]
                grown, length = longer, length + step
            dropped = grown
        return dropped

    def _scale(self, dropped: NDArray[np.bool_]) -> Any:
        """Elements over kept elements, counted in this very mask (Ghiasi et al. 2018, algorithm 1, line 6).

        Counted where the mask is: a GPU is not waited for. Where nothing is kept, there is nothing to scale.
        """
        if self.p == 0.0:
            return None
        xp = array_module(dropped)
        return xp.asarray(dropped.size / xp.maximum(dropped.size - xp.count_nonzero(dropped), 1))

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, p={self.p}, block={self.block}, seeds={self.seeds})"


def check_block_size(size: Any) -> int:
    """A block's size as an int, if it is one."""
    return check_int(size, "block_size", 1)


@functools.lru_cache(maxsize=64)
def block_start_probability(p: float, sizes: tuple[int, ...], block: tuple[int, ...]) -> float:
    """The probability that a block begins at a place, so that the fraction p of the elements is dropped, on average.

    An element is kept if no block that covers it begins. There are fewer such blocks near borders, and blocks overlap;
    both are counted: the mean over the elements of (1 - probability)^blocks is 1 - p. To first order in p this
    is equation 1 of Ghiasi et al. 2018, which lets blocks overlap unnoticed and so drops less than p.
    """
    if p in (0.0, 1.0) or 0 in sizes:
        return p
    covers, counts = np.ones(1), np.ones(1)
    for size, length in zip(sizes, block, strict=True):
        most = min(length, size - length + 1)  # blocks that cover a place: 1, 2, ... from both ends, `most` in between
        values, numbers = np.arange(1.0, most + 1), np.full(most, 2.0)
        numbers[-1] = size - 2 * (most - 1)
        covers, counts = np.outer(covers, values).ravel(), np.outer(counts, numbers).ravel()
    share = counts / counts.sum()
    low, high = 0.0, p  # a block of one element is its own seed, larger ones need fewer
    with np.errstate(under="ignore"):  # where many seeds could cover an element, hardly any is kept
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if float(share @ (1.0 - middle) ** covers) > 1.0 - p else (low, middle)
    return (low + high) / 2


def check_size(size: Any, shape: tuple[int, ...]) -> int:
    """A square's size as an int; a larger one than covers every image is clipped to that."""
    return min(check_int(size, "size", 0), 2 * max(shape))


class CutoutMask(RegionMask):
    """Which elements cutout keeps: one square (or cube, or stretch) of every example is dropped, in all channels.

    Attributes
    ----------
    size : int
        The square's side. Its centre is anywhere in the image, so that a part may lie outside.
    words : Mask
        Where the centres are drawn from: 32 keep bits at p = 0.5 are the bits of a number.
    """

    __slots__ = ("size", "words")
    made_by = "cutout"

    def __init__(self, shape: tuple[int, ...], size: int, axes: int | Sequence[int], rng: RNG | Drawing = None) -> None:
        super().__init__(shape, axes)
        self.size = check_size(size, self.shape)
        self.words = Mask((self.shape[0], len(self.axes), 32), 0.5, rng)

    def _set_region(self, state: dict[str, Any]) -> None:
        self.size, self.words = check_size(state["size"], self.shape), state["words"]
        wanted = (self.shape[0], len(self.axes), 32)
        if not isinstance(self.words, Mask) or self.words.shape != wanted or self.words.p != 0.5:
            raise ValueError(f"words {self.words!r:.200}")

    def centres(self, like: Any = None) -> NDArray[np.int64]:
        """The centre of every example's square: shape (batch, position axes), of the kind of `like`, drawn there."""
        with on_device_of(like):
            words = self.words.packed(like=like).view(np.dtype("<u4")).reshape(self.words.shape[:2]).astype(np.uint64)
            centres: NDArray[np.int64] = array_module(like).empty(words.shape, np.int64)
            for number, axis in enumerate(self.axes):
                above, below = map(np.uint64, divmod(self.shape[axis], 1 << 32))  # the product may take 96 bits
                centres[:, number] = words[:, number] * above + (words[:, number] * below >> np.uint64(32))
        return centres

    def _dropped(self, like: Any) -> NDArray[np.bool_]:
        xp, centres = array_module(like), self.centres(like)
        inside = xp.ones((1,) * len(self.shape), np.bool_)
        for number, axis in enumerate(self.axes):
            begin = centres[:, number] - self.size // 2
            place = xp.arange(self.shape[axis])
            within = (place >= begin[:, None]) & (place < begin[:, None] + self.size)
            shape = [1] * len(self.shape)
            shape[0], shape[axis] = within.shape
            inside = inside & within.reshape(shape)
        return inside

    def __repr__(self) -> str:
        return f"CutoutMask(shape={self.shape}, size={self.size}, words={self.words})"
