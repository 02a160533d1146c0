"""Strategies of the property tests: shapes, dtypes, contents, memory layouts, rates, axes, sources of randomness."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

import fastdrop as fd
from fastdrop import threads
from fastdrop._kernels import cpu

DTYPES = [np.dtype(kind) for kind in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)]
SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129, 511, 512, 513, 2047, 2048, 2049, 4099]
LARGE = [2**15 - 1, 2**16 + 3, 10**5]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, 65504.0, 65520.0, 6e-8, 3e-8, 1e-310, 1e308]
WORD = 2**64


# --- shapes and axes


@st.composite
def shapes(draw, least: int = 0, most: int = 4, elements: int = 6000, large: bool = True) -> tuple[int, ...]:
    """Sizes around those of registers, words and tiles; sometimes an empty array or a large one."""
    ndim = draw(st.integers(least, most))
    kind = draw(st.sampled_from(["usual"] * 14 + ["empty", "large"]))
    if kind == "large" and large and ndim:
        return (*(1,) * (ndim - 1), draw(st.sampled_from(LARGE)))
    sizes, left = [], elements
    for _ in range(ndim):
        sizes.append(draw(st.sampled_from([size for size in SIZES if size <= left])))
        left //= sizes[-1]
    if kind == "empty" and ndim:
        sizes[draw(st.integers(0, ndim - 1))] = 0
    return tuple(draw(st.permutations(sizes)))


def spelled(axis: int, ndim: int) -> st.SearchStrategy[Any]:
    """The equivalent spellings of an axis."""
    return st.sampled_from([axis, axis - ndim, np.int64(axis)])


@st.composite
def several_axes(draw, ndim: int) -> tuple[Any, tuple[int, ...]]:
    """Some axes in one of their spellings, and the axes themselves."""
    chosen = tuple(axis for axis in range(ndim) if draw(st.booleans()))
    said: Any = [draw(spelled(axis, ndim)) for axis in draw(st.permutations(chosen))]
    kinds = [tuple, list] + [lambda axes: None] * (not chosen) + [lambda axes: axes[0]] * (len(chosen) == 1)
    return draw(st.sampled_from(kinds))(said), chosen


# --- contents and memory


@st.composite
def contents(draw, shape: tuple[int, ...], dtype: np.dtype, finite: bool = False) -> np.ndarray:
    """Ones, or normal numbers, or these with zeros, infinities, NaNs, subnormal and very large numbers among them."""
    kind, seed = draw(st.sampled_from(["ones", "normal"] + ["special"] * (not finite))), draw(st.integers(0, 2**16))
    if kind == "ones":
        return np.ones(shape, dtype)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(math.prod(shape))
    if kind == "special":
        places = rng.random(x.size) < 0.2
        x[places] = rng.choice(SPECIAL, int(places.sum()))
    with np.errstate(all="ignore"):
        return x.astype(dtype).reshape(shape)


class Layout(NamedTuple):
    """How an array lies in memory."""

    order: tuple[int, ...]
    """The axes, by decreasing stride."""
    steps: tuple[int, ...]
    """For each axis, its stride over the dense stride: negative is backwards, 0 repeats one element."""
    gap: int = 0
    """Elements between rows of each axis."""
    shift: int = 0
    """Elements between a 64-byte boundary and the memory's first element."""
    unaligned: bool = False
    swapped: bool = False
    at_end: bool = False
    """Memory ends with the array: an access behind it is outside the allocation."""


@st.composite
def layouts(draw, ndim: int, writable: bool = False) -> Layout:
    """C order in every third case; else any. A writable array repeats no element and has the native byte order."""
    order, steps = tuple(range(ndim)), (1,) * ndim
    kind = draw(st.sampled_from(["C", "F", "any"]))
    shift, at_end = draw(st.integers(0, 17)), draw(st.booleans())
    if kind != "any":
        return Layout(order if kind == "C" else order[::-1], steps, shift=shift, at_end=at_end)
    possible = [1, 1, -1, 2, -2, 3] + [0] * (not writable)
    return Layout(
        tuple(draw(st.permutations(order))),
        tuple(draw(st.sampled_from(possible)) for _ in order),
        draw(st.sampled_from([0, 0, 1, 5])),
        shift,
        draw(st.sampled_from([False, False, True])),
        not writable and draw(st.sampled_from([False, False, True])),
        at_end,
    )


class Geometry(NamedTuple):
    strides: tuple[int, ...]
    before: int
    """Bytes between the lowest address and the first element."""
    extent: int
    """Bytes from the lowest address to the end of the highest element."""


def geometry(shape: tuple[int, ...], itemsize: int, layout: Layout) -> Geometry:
    strides, reach = [0] * len(shape), itemsize
    for axis in reversed(layout.order):
        step = layout.steps[axis]
        strides[axis] = reach * step
        if step:
            reach = reach * abs(step) * max(1, shape[axis]) + layout.gap * itemsize
    if 0 in shape:
        return Geometry(tuple(strides), 0, 0)
    far = [stride * (size - 1) for stride, size in zip(strides, shape, strict=True)]
    before = -sum(min(0, distance) for distance in far)
    return Geometry(tuple(strides), before, before + sum(max(0, distance) for distance in far) + itemsize)


GUARD = 64


def memory_of(size: int, at_end: bool) -> np.ndarray:
    """Bytes that begin at a 64-byte boundary, or that end with the allocation."""
    if at_end:
        memory = np.empty(size, np.uint8)
    else:
        raw = np.empty(size + 64, np.uint8)
        memory = raw[-raw.ctypes.data % 64 :][:size]
    memory[...] = 0xA5
    return memory


class Placed(NamedTuple):
    """An array, and all the memory around it."""

    array: np.ndarray
    memory: np.ndarray
    first: int
    """The offset of the array's first element in the memory."""

    def untouched_since(self, before: np.ndarray, written: np.ndarray | None = None) -> bool:
        """Whether the memory is unchanged, except for the elements of the array `written`, which lies in it."""
        changed = self.memory != before
        if written is not None:
            start = written.ctypes.data - self.memory.ctypes.data
            elements = np.ndarray((*written.shape, written.itemsize), np.bool_, changed, start, (*written.strides, 1))
            elements[...] = False
        return not changed.any()


def place(values: np.ndarray, layout: Layout) -> Placed:
    """The values in this layout, with guard bytes around. Where elements repeat, the array has fewer values."""
    dtype = values.dtype.newbyteorder() if layout.swapped else values.dtype
    strides, before, extent = geometry(values.shape, values.itemsize, layout)
    begin = GUARD + layout.shift * values.itemsize + layout.unaligned
    memory = memory_of(begin + extent + (0 if layout.at_end else GUARD), layout.at_end)
    array = np.ndarray(values.shape, dtype, memory, begin + before, strides)
    array[...] = values
    return Placed(array, memory, begin + before)


def beside(values: np.ndarray, layout: Layout, other: Layout, distance: int) -> tuple[Placed, np.ndarray]:
    """The values in one layout, and an array in another layout whose first element is `distance` elements further."""
    item = values.itemsize
    one, two = (geometry(values.shape, item, each) for each in (layout, other))
    first = GUARD + max(one.before, two.before - distance * item, 0) + layout.shift * item
    end = max(first - one.before + one.extent, first + distance * item - two.before + two.extent, first + item)
    memory = memory_of(end + (0 if layout.at_end else GUARD), layout.at_end)
    array = np.ndarray(values.shape, values.dtype, memory, first, one.strides)
    array[...] = values
    out = np.ndarray(values.shape, values.dtype, memory, min(first + distance * item, memory.size), two.strides)
    return Placed(array, memory, first), out


# --- rates, seeds, the machine


RATES = [0.0, 1.0, 0.5, 0.25, 0.3, 0.9, 1 / 256, 255 / 256, 2.0**-40, 2.0**-41, 1 - 2.0**-40, 1e-13, 1 - 1e-13, 1e-300]
AS_NUMBER = [float, float, float, np.float64, np.float32, np.array, Fraction]


@st.composite
def rates(draw, most: float = 1.0) -> Any:
    """A probability as one of the accepted kinds of numbers."""
    p = draw(st.sampled_from(RATES) | st.floats(0.0, 1.0, allow_subnormal=False))
    kind = draw(st.sampled_from(AS_NUMBER))
    return kind(p) if float(kind(p)) <= most and (most == 1.0 or float(kind(p)) < 1.0) else 0.5


class Source(NamedTuple):
    """A value of `rng`, the mask that it gives next, and how far it has advanced."""

    rng: Any
    key: int
    call: int
    state: Callable[[], Any]
    after: Any
    """The state after one draw."""


KEYS = st.sampled_from([0, 1, 42, 2**32 - 1, 2**32, WORD - 1]) | st.integers(0, WORD - 1)
CALLS = st.sampled_from([0, 1, 2**32 - 1, 2**32, WORD - 1]) | st.integers(0, WORD - 1)


@st.composite
def sources(draw, kinds: tuple[str, ...] = ()) -> Source:
    """A stream, a seed of any kind, or a generator of NumPy's."""
    usual = ("stream", "stream", "int", "integer", "sequence", "SeedSequence", "Generator", "MT19937", "RandomState")
    return make_source(draw(st.sampled_from(kinds or usual)), draw(KEYS), draw(CALLS))


def make_source(kind: str, seed: int, calls: int) -> Source:
    nothing: Callable[[], Any] = lambda: None  # noqa: E731
    if kind == "stream":
        stream = fd.Stream(seed)
        stream.state = {**stream.state, "calls": calls}
        after = {**stream.state, "calls": (calls + 1) % WORD}
        return Source(stream, seed, calls, lambda: stream.state, after)
    if kind in ("int", "integer"):
        return Source(int(seed) if kind == "int" else np.uint64(seed), seed, 0, nothing, None)
    if kind in ("sequence", "SeedSequence"):
        rng: Any = [seed, calls] if kind == "sequence" else np.random.SeedSequence(seed)
        mixed = np.random.SeedSequence(rng if kind == "sequence" else seed)
        return Source(rng, int(mixed.generate_state(1, np.uint64)[0]), 0, nothing, None)
    if kind == "RandomState":
        rng = np.random.RandomState(seed % 2**32)
        ahead = copy.deepcopy(rng)
        key = int(ahead.randint(0, WORD, dtype=np.uint64))
        return Source(rng, key, 0, lambda: str(rng.get_state()), str(ahead.get_state()))
    bits = {"Generator": np.random.PCG64, "MT19937": np.random.MT19937}[kind](seed)
    ahead = copy.deepcopy(bits)
    key = int(np.random.Generator(ahead).integers(0, WORD, dtype=np.uint64))
    rng = np.random.Generator(bits) if kind == "Generator" else bits
    return Source(rng, key, 0, lambda: str(bits.state), str(ahead.state))


class Machine(NamedTuple):
    isa: str
    threads: int


machines = st.builds(Machine, st.sampled_from(cpu.available_isas()), st.integers(1, 3))


@contextlib.contextmanager
def running_on(machine: Machine) -> Iterator[None]:
    """With this instruction set and number of threads, also for calls too small to get them by default."""
    before = cpu.current_isa(), fd.get_num_threads(), threads.SMALLEST_SHARE
    cpu.use_isa(machine.isa)
    fd.set_num_threads(machine.threads)
    threads.SMALLEST_SHARE = 1 if machine.threads > 1 else before[2]
    try:
        yield
    finally:
        cpu.use_isa(before[0])
        fd.set_num_threads(before[1])
        threads.SMALLEST_SHARE = before[2]
