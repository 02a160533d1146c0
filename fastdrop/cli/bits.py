"""`fastdrop bits`: draws of masks as random bytes without end, for the batteries that test random number generators.

Everything is drawn by the public interface: masks, streams, their children, Gaussian noise. An order says which draw
follows which.

Batteries want uniform bits. Masks of p = 0.5 are written as they are packed. For another p, each run of n draws
becomes one 32-bit word by the distribution function of n independent draws, over all 2^n outcomes in a fixed order:

    word = floor(2^32 * (F + v * P))

F is the sum of the probabilities of all outcomes before this one, P its own probability, and v, from NumPy's PCG64, a
uniform number that fills the interval between the two. The words are uniform and independent if the draws are
independent and kept with probability 1 - p, to within 2^-50. n is the largest multiple of 8 for which a run has at most
32 bits of entropy, so that the word still tells almost every outcome from every other. Von Neumann's pairs, and methods
made of them, would hide faults: they pass a wrong p, and where the draws of every pair are equal they only get slower.
"""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.mask import Mask
from fastdrop.noise import GaussianNoise
from fastdrop.rule import check_probability, keep_probability, threshold_of
from fastdrop.stream import Stream

Bytes = NDArray[np.uint8]

ORDERS = {
    "elements": "element after element, call after call",
    "calls": "one element in 4096 calls, then the next element",
    "seeds": "one element under 4096 neighbouring seeds, then the next element",
    "children": "one element of a stream and of 4095 spawned ones, then the next element",
    "remainders": "the last 1009 elements, after the last full tile, call after call",
    "planes": "the first 8 bits of the number that an element compares with 1 - p: a byte per element",
    "tails": "the 9th bit, which one element in 256 needs; about 1 MB/s",
    "gaussian": "the normal numbers of Gaussian dropout: 16 bits of each one's distribution function",
}
FAIR = ("planes", "tails", "gaussian")
"""Orders whose bits are fair whatever the p of a mask."""

_TILE, _REMAINDER = 2048, 1009
_WORD = 1 << 64


class Size(NamedTuple):
    """How much is drawn at a time: rows are calls, seeds or children; each row has this number of elements."""

    rows: int = 4096
    elements: int = 1 << 14


class Source(Protocol):
    """What is put in order: fastdrop itself, or a rule that a test has broken."""

    def packed(self, key: int, call: int, p: float, count: int) -> Bytes:
        """The first draws of the call, as `Mask.packed` has them."""

    def children(self, key: int, first: int, count: int) -> list[int]:
        """The keys of spawned streams, from child number `first` on."""

    def normals(self, key: int, call: int, count: int) -> NDArray[np.float32]:
        """The first standard normal numbers of the call."""


class Fastdrop:
    """The source that is tested: fastdrop's public interface."""

    def packed(self, key: int, call: int, p: float, count: int) -> Bytes:
        return Mask(count, p, rng=_stream(key, call)).packed()

    def children(self, key: int, first: int, count: int) -> list[int]:
        stream = Stream(key)
        stream.state = {**stream.state, "spawned": first}
        return [child.key for child in stream.spawn(count)]

    def normals(self, key: int, call: int, count: int) -> NDArray[np.float32]:
        noise = GaussianNoise(count, p=0.5, rng=_stream(key, call))  # p = 0.5 is a sigma of 1
        return (np.asarray(noise, np.float64) - 1.0).astype(np.float32)


def _stream(key: int, call: int) -> Stream:
    stream = Stream(key)
    if call:
        stream.state = {**stream.state, "calls": call % _WORD}
    return stream


def draws(source: Source, order: str, p: float, seed: int, size: Size = Size()) -> Iterator[Bytes]:  # noqa: B008
    """Packed draws in this order, without end; biased where the masks of this p are. Chunks of 8 MB at most."""
    chunk: Callable[..., Bytes] = _CHUNKS[order]
    number = 0
    while True:
        yield chunk(source, p, seed, number, *size)
        number += 1


def _elements(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    return source.packed(seed, number, p, rows * elements)


def _calls(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    return _interleaved(source, p, [(seed, number * rows + row) for row in range(rows)], elements)


def _seeds(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    first = seed + number * rows
    return _interleaved(source, p, [((first + row) % _WORD, 0) for row in range(rows)], elements)


def _children(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    keys = [seed, *source.children(seed, number * (rows - 1), rows - 1)]
    return _interleaved(source, p, [(key, number) for key in keys], elements)


def _interleaved(source: Source, p: float, rows: list[tuple[int, int]], elements: int) -> Bytes:
    """Element 0 of every (key, call), then element 1 of every one, and so on."""
    return transposed(np.stack([source.packed(key, call, p, elements) for key, call in rows]))


def _remainders(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    count = _TILE + _REMAINDER
    masks = np.stack([source.packed(seed, number * rows + row, p, count) for row in range(rows)])
    rest = np.unpackbits(masks[:, _TILE // 8 :], axis=1, count=_REMAINDER, bitorder="little")
    return np.packbits(rest, bitorder="little")


def _planes(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    """Masks of one call are nested: of those that keep 1/256, 2/256, ... 255/256 of all elements, an element is in all
    that keep more than its U. So bit k of U is 0 where an odd number of those at multiples of 2^-k keep it."""
    planes = np.full((8, elements), 0xFF, np.uint8)
    for j in range(1, 256):
        kept = source.packed(seed, number, 1 - j / 256, 8 * elements)
        planes[8 - (j & -j).bit_length() :] ^= kept
    return transposed(planes)


def _tails(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    """An element kept where (j + 1)/256 are, and dropped where j/256 are, needs its tail between: half-way here."""
    found = []
    for j in range(256):
        low, middle, high = (
            source.packed(seed, 256 * number + j, 1 - (j + part) / 256, rows * elements // 128)
            for part in (0.0, 0.5, 1.0)
        )
        tied = high & ~low
        where = np.flatnonzero(tied)
        chosen = np.unpackbits(tied[where], bitorder="little").astype(bool)
        found.append(np.unpackbits(middle[where], bitorder="little")[chosen])
    bits = np.concatenate(found)
    return np.packbits(bits[: bits.size // 8 * 8], bitorder="little")


def _gaussian(source: Source, p: float, seed: int, number: int, rows: int, elements: int) -> Bytes:
    """The distribution function of each number; a float32 represents the reals that round to it, so one of them."""
    try:
        from scipy.special import ndtr
    except ImportError:
        raise missing_package("scipy", "experiments", "the order gaussian") from None
    z = source.normals(seed, number, rows * elements // 128)
    filler = np.random.Generator(np.random.PCG64([seed, number])).random(z.size)
    u: NDArray[np.float64] = ndtr(z + (filler - 0.5) * np.spacing(np.abs(z)))
    return np.minimum(u * 65536.0, 65535.0).astype("<u2").view(np.uint8)


_CHUNKS: dict[str, Any] = {
    "elements": _elements,
    "calls": _calls,
    "seeds": _seeds,
    "children": _children,
    "remainders": _remainders,
    "planes": _planes,
    "tails": _tails,
    "gaussian": _gaussian,
}


def transposed(rows: Bytes) -> Bytes:
    """Packed bits of shape (rows, columns / 8) as (columns, rows / 8); both are multiples of 8.

    Blocks of 8 x 8 bits are transposed in 64-bit words (H. S. Warren, Hacker's Delight, section 7-3).
    """
    groups, width = rows.shape[0] // 8, rows.shape[1]
    x = np.ascontiguousarray(rows.reshape(groups, 8, width).transpose(2, 0, 1)).view("<u8")
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        swapped = (x ^ (x >> np.uint64(shift))) & np.uint64(mask)
        x ^= swapped ^ (swapped << np.uint64(shift))
    return np.ascontiguousarray(x.view(np.uint8).reshape(width, groups, 8).transpose(0, 2, 1)).reshape(
        8 * width, groups
    )


def run_bytes(keep_prob: float) -> int:
    """How many bytes of draws have at most 32 bits of entropy: one at least, and 4 KB at most."""
    entropy = -sum(share * math.log2(share) for share in (keep_prob, 1 - keep_prob) if share > 0.0)
    return min(max(int(32 / max(entropy, 1e-9) / 8), 1), 4096)


def uniform(chunks: Iterator[Bytes], keep_prob: float, seed: int) -> Iterator[Bytes]:
    """Uniform bytes of biased draws, as this module's docstring says; fair ones are handed on."""
    if keep_prob == 0.5:
        yield from chunks
        return
    ones = np.array([value.bit_count() for value in range(256)])
    share = keep_prob**ones * (1 - keep_prob) ** (8 - ones)
    before = np.cumsum(share) - share
    size, left = run_bytes(keep_prob), np.empty(0, np.uint8)
    filler = np.random.Generator(np.random.PCG64(seed))
    for chunk in chunks:
        data = np.concatenate([left, chunk.reshape(-1)])
        whole = data.size // size * size
        runs, left = data[:whole].reshape(-1, size), data[whole:]
        for part in np.array_split(runs, max(1, len(runs) >> 16)):  # that fits in a cache
            value = filler.random(len(part))
            for column in range(size - 1, -1, -1):
                symbol = part[:, column]
                value *= share[symbol]
                value += before[symbol]
            yield np.minimum(value * 2.0**32, 2.0**32 - 1).astype("<u4").view(np.uint8)


def stream_of_bytes(source: Source, order: str, p: float, seed: int) -> Iterator[Bytes]:
    """What the command writes."""
    return uniform(draws(source, order, p, seed), keep_prob_of(order, p), seed)


def keep_prob_of(order: str, p: float) -> float:
    """The probability of a one among the draws of this order."""
    return 0.5 if order in FAIR else keep_probability(threshold_of(p))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = (
        "Write draws as uniform random bytes to standard output, until the reader closes it.\n"
        "Masks of p = 0.5 are written as they are. Of another p, runs of draws become 32-bit words: the\n"
        "distribution function of a run."
    )
    parser.epilog = (
        "orders:\n" + "".join(f"  {name:<12} {text}\n" for name, text in ORDERS.items()) + "\nexamples:\n"
        "  fastdrop bits --order calls --rate 0.3 | dieharder -g 200 -a\n"
        "  fastdrop bits --order seeds | RNG_test stdin32 -tlmax 32GB      PractRand\n"
    )
    parser.add_argument("--order", choices=list(ORDERS), default="elements", metavar="NAME", help="(default: elements)")
    parser.add_argument("--rate", type=float, metavar="P", help="probability of dropping (default: 0.5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--bytes", type=int, metavar="N", help="write N bytes (default: without end)")


def run(options: argparse.Namespace) -> int:
    """Write bytes until the reader has enough."""
    order, rate, seed, limit = options.order, options.rate, options.seed, options.bytes
    if rate is not None and order in FAIR:
        raise ValueError(f"--order {order} takes no --rate: its bits are the same at every p")
    p = check_probability(0.5 if rate is None else rate, "--rate")
    if keep_probability(threshold_of(p)) in (0.0, 1.0):
        raise ValueError(f"--rate is between 0 and 1, without them: masks of p = {p:g} have nothing random")
    if not 0 <= seed < _WORD:
        raise ValueError(f"--seed is an int from 0 to 2**64 - 1; got {seed}")
    if limit is not None and limit < 0:
        raise ValueError(f"--bytes is not negative; got {limit}")
    if sys.stdout.isatty():
        raise ValueError(
            "bits writes binary data, and this is a terminal: pipe it into a battery, "
            f"such as  fastdrop bits --order {order} | dieharder -g 200 -a"
        )
    sys.stdout.flush()
    binary = open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115
    with binary as out, contextlib.suppress(BrokenPipeError):  # the battery has enough
        _write(stream_of_bytes(Fastdrop(), order, p, seed), out.fileno(), limit)
    return 0


def _write(chunks: Iterator[Bytes], descriptor: int, limit: int | None) -> None:
    """All of it, or the first `limit` bytes."""
    left = math.inf if limit is None else limit
    while left:
        chunk = np.ascontiguousarray(next(chunks)).reshape(-1).data
        if len(chunk) > left:
            chunk = chunk[: int(left)]
        left -= len(chunk)
        while chunk:
            chunk = chunk[os.write(descriptor, chunk) :]
