"""The tested cases: the orders of `fastdrop bits` with some p, and all p-values of one case."""

import numpy as np
from randomness.battery import bit_tests, normal_tests, word_tests

from fastdrop.cli.bits import FAIR, ORDERS, Size, draws, keep_prob_of, uniform

# 0.25 has ties with no plane, 77/256 with the last; 77.3/256 needs tails, and 0.007 is rare.
RATES = {
    "elements": (0.5, 0.3, 0.1, 0.007, 0.9, 0.25, 77 / 256, 77.3 / 256),
    "calls": (0.5, 0.3, 0.1, 0.007, 0.9, 77 / 256, 77.3 / 256),
    "seeds": (0.5, 0.3, 0.1, 0.007, 0.9, 77 / 256, 77.3 / 256),
    "children": (0.5, 0.3, 0.1, 0.007, 0.9, 77 / 256, 77.3 / 256),
    "remainders": (0.5, 0.3, 0.9),
} | dict.fromkeys(FAIR, (0.5,))
CASES = [(order, p) for order in ORDERS for p in RATES[order]]
SMALL = Size(rows=512, elements=1 << 11)


def p_values(source, order, p, seed, count, size=Size()):  # noqa: B008
    """All p-values of this many draws (normal numbers: an eighth of it), by test."""
    keep_prob = keep_prob_of(order, p)
    chunks = list(_first(draws(source, order, p, seed, size), count // 8))
    bits = np.unpackbits(np.concatenate([chunk.reshape(-1) for chunk in chunks])[: count // 8], bitorder="little")
    words = np.concatenate(list(uniform(iter(chunks), keep_prob, seed)), axis=None)[: count // 8]
    found = bit_tests(bits, keep_prob) | word_tests(words[: words.size // 4 * 4].view("<u4"))
    if order == "gaussian":
        each = size.rows * size.elements // 128
        numbers = [source.normals(seed, call, each) for call in range(max(1, count // 8 // each))]
        found |= normal_tests(np.concatenate(numbers))
    return found


def _first(chunks, total):
    """As many chunks as hold `total` bytes."""
    while total > 0:
        chunk = next(chunks)
        total -= chunk.size
        yield chunk
