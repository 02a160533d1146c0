"""Arrays, what three kinds of dropout make of them, and the Python that does the same.

Each array is dropped in three ways: its elements, its maps, or (as the weights of a layer) its connections. The three
calls draw from one stream one after another, as the layers of a network do.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd

MOST_MASKS = 1000
CALLS = 3
"""Call numbers that one set of masks takes: one for each kind."""

_EDGES = """np.stack(
    [np.maximum(digit - np.roll(digit, step, axis), 0) for axis in (0, 1) for step in (1, -1)]
)[None]"""
_DIGIT = """np.array(
    [
        [0, 0, 7, 15, 13, 1, 0, 0],
        [0, 8, 13, 6, 15, 4, 0, 0],
        [0, 2, 1, 13, 13, 0, 0, 0],
        [0, 0, 2, 15, 11, 1, 0, 0],
        [0, 0, 0, 1, 12, 12, 1, 0],
        [0, 0, 0, 0, 1, 10, 8, 0],
        [0, 0, 8, 4, 5, 14, 9, 0],
        [0, 0, 7, 13, 13, 9, 0, 0],
    ],
    np.float32,
) / 16"""


@dataclass(frozen=True)
class Source:
    """An array of shape (1, maps, height, width): what it is, and the Python that makes it."""

    text: str
    code: str

    def make(self) -> NDArray[np.float32]:
        """Run the code: so the array that is shown and the code that is copied cannot differ."""
        names: dict[str, Any] = {"np": np}
        exec(self.code, names)
        return names["x"]


SOURCES = {
    "feature maps": Source("the four kinds of edges of a digit", f"digit = {_DIGIT}\nx = {_EDGES}"),
    "digit image": Source("one map: spatial dropout drops all of it or nothing", f"x = ({_DIGIT})[None, None]"),
    "gradient": Source(
        "one map: spatial dropout drops all of it or nothing",
        "x = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 1, 16, 16)",
    ),
    "random numbers": Source(
        "sixteen small maps, mean 0 and deviation 1",
        "x = np.random.default_rng(0).standard_normal((1, 16, 4, 4), dtype=np.float32)",
    ),
    "ones": Source("nine maps of ones, so that outputs are the scale", "x = np.ones((1, 9, 4, 4), np.float32)"),
}


@dataclass(frozen=True)
class ExplorerSettings:
    """Which array is shown, and how it is dropped.

    Attributes
    ----------
    draw : int
        Number of the set of masks, from 0 on; each set takes `CALLS` call numbers.
    masks : int
        How many outputs are averaged.
    """

    source: str = "feature maps"
    p: float = 0.5
    seed: int = 0
    draw: int = 0
    masks: int = 1
    training: bool = True
    scaling: str = "inverted"

    @property
    def first_call(self) -> int:
        """The stream's call number of the first of the three kinds."""
        return CALLS * self.draw

    def stream(self) -> fd.Stream:
        """The stream with this call number."""
        stream = fd.Stream(self.seed)
        stream.state = {**stream.state, "calls": self.first_call}
        return stream


@dataclass(frozen=True)
class Outcome:
    """What one kind of dropout made of the array.

    Attributes
    ----------
    kept : numpy.ndarray of bool or None
        The first mask, with the shape of the picture; None in evaluation mode.
    before, after : numpy.ndarray
        The values without dropout, and the output or the mean of outputs: with the shape of the picture, or for
        DropConnect of shape (outputs,).
    fraction_kept, count : float, int
        Fraction of the draws, over all masks, that keep; and the number of draws.
    scale : float
        What kept values are multiplied by; in evaluation mode, all values.
    """

    kind: str
    kept: NDArray[np.bool_] | None
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    fraction_kept: float
    count: int
    scale: float

    def target(self, settings: ExplorerSettings) -> NDArray[np.float64]:
        """What the mean of many outputs converges to."""
        keep = 1.0 - settings.p if settings.scaling == "classic" else float(settings.p < 1.0)
        return self.before * np.float64(keep)

    def largest_error(self, settings: ExplorerSettings) -> float:
        """The largest distance from the target."""
        return float(np.abs(self.after - self.target(settings)).max())


KINDS = {
    "standard": "fd.dropout: elements",
    "spatial": "fd.spatial_dropout: whole maps",
    "DropConnect": "fd.dropconnect: weights",
}


def tiled(x: NDArray[Any]) -> NDArray[Any]:
    """Arrange maps (k * k, height, width) as one picture: k by k, without gaps."""
    maps, height, width = x.shape
    k = math.isqrt(maps)
    return x.reshape(k, k, height, width).swapaxes(1, 2).reshape(k * height, k * width)


def outcomes(x: NDArray[np.float32], settings: ExplorerSettings) -> tuple[Outcome, ...]:
    """The three kinds of dropout of one array, in the order of `KINDS`.

    The masks of a mean are those of as many equal examples: one call draws them all, and the first example's mask is
    the same however many follow.
    """
    stream = settings.stream()
    options: dict[str, Any] = {"scaling": settings.scaling, "training": settings.training, "rng": stream}
    batch = np.repeat(x, settings.masks, axis=0)
    w = tiled(x[0])
    v = np.ones((settings.masks, w.shape[1]), np.float32)
    y, mask = fd.dropout(batch, settings.p, **options)
    standard = _outcome("standard", w, y, mask, settings)
    y, mask = fd.spatial_dropout(batch, settings.p, **options)
    spatial = _outcome("spatial", w, y, mask, settings)
    y, mask = fd.dropconnect(v, w, p=settings.p, **options)
    return standard, spatial, _outcome("DropConnect", w.sum(axis=1), y, mask, settings)


def _outcome(
    kind: str, before: NDArray[np.float32], y: NDArray[np.float32], mask: fd.Mask | None, settings: ExplorerSettings
) -> Outcome:
    maps = y.ndim == 4
    mean = y.mean(axis=0)
    after = tiled(mean) if maps else mean
    if mask is None:
        scale = 1.0 - settings.p if settings.scaling == "classic" else 1.0
        return Outcome(kind, None, before, after, 1.0, 0, scale)
    kept = mask[0].booleans()
    fraction, count = _fraction_kept(mask)
    return Outcome(kind, tiled(kept) if maps else kept, before, after, fraction, count, mask.scale)


def _fraction_kept(mask: fd.Mask) -> tuple[float, int]:
    """Fraction of the draws that keep, and their number: one for each map, however many elements share it."""
    count = math.prod(mask.noise_shape)
    return int(np.unpackbits(mask.packed()).sum()) / count, count


def kept_fractions(
    x: NDArray[np.float32], settings: ExplorerSettings, rates: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """For each kind and each p, the fraction that its first mask keeps: a step function, since masks are nested."""
    w = tiled(x[0])
    shapes = {"standard": (x.shape, ()), "spatial": (x.shape, (2, 3)), "DropConnect": (w.shape, ())}
    fractions: dict[str, list[float]] = {kind: [] for kind in shapes}
    for p in rates:
        stream = settings.stream()
        for kind, (shape, shared) in shapes.items():
            mask = fd.Mask(shape, float(p), stream, shared)
            fractions[kind].append(_fraction_kept(mask)[0])
    return {kind: np.array(values) for kind, values in fractions.items()}


def changes(before: tuple[Outcome, ...], after: tuple[Outcome, ...]) -> tuple[int, int]:
    """How many cells of the three masks are newly dropped, and how many are kept again."""
    dropped = back = 0
    for old, new in zip(before, after, strict=True):
        if old.kept is not None and new.kept is not None:
            dropped += int((old.kept & ~new.kept).sum())
            back += int((~old.kept & new.kept).sum())
    return dropped, back


# -- the same in Python


def call_lines(settings: ExplorerSettings) -> dict[str, str]:
    """For each kind, the line of Python that makes what is shown."""
    options = f"p={settings.p:g}, "
    options += "training=False, " if not settings.training else ""
    options += f'scaling="{settings.scaling}", ' if settings.scaling != "inverted" else ""
    options += "rng=stream"
    arguments = {"standard": "x", "spatial": "x", "DropConnect": "v, w"}
    functions = {"standard": "dropout", "spatial": "spatial_dropout", "DropConnect": "dropconnect"}
    return {kind: f"y, mask = fd.{functions[kind]}({arguments[kind]}, {options})" for kind in KINDS}


def program(settings: ExplorerSettings) -> str:
    """A Python program that makes what is shown: the array, the stream, and the calls in their order."""
    source = SOURCES[settings.source]
    _, maps, height, width = source.make().shape
    k = math.isqrt(maps)
    lines = ["import numpy as np", "", "import fastdrop as fd", "", source.code]
    if maps == 1:
        lines.append("w = x[0, 0]  # as weights")
    else:
        side = f"({k * height}, {k * width})"
        lines.append(
            f"w = x[0].reshape({k}, {k}, {height}, {width}).swapaxes(1, 2).reshape{side}  # maps as one picture"
        )
    if settings.masks > 1:
        lines.append(f"x = np.repeat(x, {settings.masks}, axis=0)  # every example gets another mask")
    lines += [f"v = np.ones(({settings.masks}, {k * width}), np.float32)", "", *stream_lines(settings)]
    for call in call_lines(settings).values():
        lines.append(call)
        if settings.masks > 1:
            lines.append("mean = y.mean(axis=0)")
    return "\n".join(lines) + "\n"


def stream_lines(settings: ExplorerSettings) -> list[str]:
    """The lines that make the stream."""
    lines = [f"stream = fd.Stream({settings.seed})"]
    if settings.first_call:
        lines.append(f'stream.state = {{**stream.state, "calls": {settings.first_call}}}')
    return lines
