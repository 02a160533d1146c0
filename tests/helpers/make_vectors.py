"""Makes docs/mask-rule-vectors.json from `fastdrop.reference`: `python tests/helpers/make_vectors.py`.

Version 1 of the rule is final, so no case ever changes; `test_mask_rule_vectors.py` fails if one would. New cases may
be added to the lists.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np

from fastdrop import reference
from fastdrop.regions import block_start_probability
from fastdrop.rule import DOMAIN_NORMAL, DOMAIN_SPAWN, DOMAIN_TAIL, RULE_VERSION, inverted_scale, threshold_of

TARGET = Path(__file__).parents[2] / "docs" / "mask-rule-vectors.json"
LARGEST = 2**64 - 1
KEY = 0x0123456789ABCDEF

PROBABILITIES = [0.0, 2**-42, 2**-41, 3 * 2**-41, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 1 - 2**-20, 1 - 1.5 * 2**-40, 1.0]
"""Includes odd multiples of 2^-41, whose thresholds are rounded half to even."""

MASKS = [
    # key, call, p, shape, shared axes
    (0, 0, 0.5, (64,), ()),
    (0, 0, 0.0, (40,), ()),
    (0, 0, 1.0, (40,), ()),
    (42, 0, 0.5, (2, 3, 7), ()),
    (42, 1, 0.5, (2, 3, 7), ()),
    (42, 2**32, 0.25, (129,), ()),
    (42, 0, 0.3, (4099,), ()),  # three tiles, with ties that the tail bits decide
    (KEY, 7, 0.1, (65, 32), ()),
    (KEY, 8, 1 - 2**-20, (2048,), ()),  # almost no element is kept
    (KEY, 9, 15 * 2**-12, (2049,), ()),  # below 1/256: the eight bit planes alone keep no element
    (LARGEST, LARGEST, 0.3, (2100,), ()),
    (LARGEST, 0, 0.9, (513,), ()),
    (0, LARGEST, 0.7, (513,), ()),
    (KEY, 3, 0.5, (4, 5, 6, 7), (2, 3)),
    (KEY, 3, 0.3, (4, 5, 6, 7), (0, 2)),
    (KEY, 4, 0.5, (9, 8), (1,)),
    (KEY, 5, 0.3, (5, 1, 3), ()),
    (KEY, 6, 0.5, (), ()),
]
SLICES = [
    # key, call, p, shape, shared axes, (start, stop, step) along each axis
    (42, 0, 0.3, (100, 60), (), ((10, 20, 1), (0, 60, 2))),
    (42, 1, 0.3, (100, 60), (), ((99, None, -1), (5, 6, 1))),
    (KEY, 2, 0.5, (8, 6, 5, 4), (1,), ((2, 7, 3), (1, 4, 1), (0, 5, 1), (3, None, -2))),
    (LARGEST, LARGEST, 0.3, (5000,), (), ((2040, 4100, 1),)),
]
SPAWNED = [(0, 0), (0, 1), (42, 0), (42, 3), (KEY, 2**31), (LARGEST, 2**32)]
NORMALS = [(0, 0, 0, 4), (42, 1, 60, 8), (KEY, 2**32, 0, 64), (LARGEST, LARGEST, 1000, 8), (42, 0, 64 * 2**32, 4)]
"""Key, call, first element, count."""
DROPBLOCK = [(42, 0, 0.2, (2, 3, 9, 8), 3), (KEY, 1, 0.5, (1, 2, 6, 6), 4), (KEY, 2, 0.1, (2, 1, 40), 7)]
"""Key, call, p, shape, block size; axes 0 and 1 are examples and channels."""
CUTOUT = [(42, 0, (4, 1, 9, 8), 3), (KEY, 1, (3, 2, 12, 12), 6), (KEY, 2, (5, 1, 40), 7)]
"""Key, call, shape, size; axes 0 and 1 are examples and channels."""


def word(number, digits=16):
    """An unsigned number as text: JSON readers may keep only 53 bits."""
    return f"0x{number:0{digits}x}"


def words_of(numbers):
    """Words of 32 bits as text."""
    return [word(int(number), 8) for number in numbers]


def packed(kept):
    """Keep bits in C order as hexadecimal bytes, lowest bit first."""
    return np.packbits(np.asarray(kept).reshape(-1), bitorder="little").tobytes().hex()


def bits_shape(shape, shared_axes):
    return tuple(1 if axis in shared_axes else size for axis, size in enumerate(shape))


def philox_vectors():
    cases = [
        ((0, 0, 0, 0), (0, 0)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)),
    ]
    for counter, key in cases:
        words = reference.philox4x32(np.array(counter, np.uint64), key)
        yield {
            name: [word(int(n), 8) for n in ns] for name, ns in (("counter", counter), ("key", key), ("words", words))
        }


def word_vectors():
    indices = (0, 1, 2**32 + 5, 2**56 - 1)
    for (key, call), domain, index in itertools.product(
        [(42, 0), (LARGEST, LARGEST)], (0, 7, DOMAIN_NORMAL, DOMAIN_SPAWN, DOMAIN_TAIL), indices
    ):
        words = reference.draw(key, call, domain, np.array(index, np.uint64))
        where = {"key": word(key), "call": word(call), "domain": domain, "index": word(index, 14)}
        yield where | {"words": words_of(words)}


def threshold_vectors():
    for p in PROBABILITIES:
        yield {"p": p, "p_hex": p.hex(), "threshold": word(threshold_of(p), 11), "scale_hex": inverted_scale(p).hex()}


def uniform_vectors():
    for key, call, elements in [
        (42, 0, (0, 1, 31, 32, 511, 512, 2047, 2048, 2**32, 2**56 - 1)),
        (LARGEST, LARGEST, (0, 4099)),
    ]:
        values = reference.uniform40(key, call, np.array(elements, np.uint64))
        for element, value in zip(elements, values, strict=True):
            yield {"key": word(key), "call": word(call), "element": word(element, 14), "u": word(int(value), 10)}


def mask_vectors():
    for key, call, p, shape, shared_axes in MASKS:
        kept = reference.keep(key, call, threshold_of(p), bits_shape(shape, shared_axes))
        draw = {"key": word(key), "call": word(call), "p": p, "p_hex": p.hex()}
        about = {"shape": list(shape), "shared_axes": list(shared_axes)}
        yield draw | about | {"bits": kept.size, "kept": int(kept.sum()), "packed": packed(kept)}


def slice_vectors():
    for key, call, p, shape, shared_axes, slices in SLICES:
        whole = reference.keep(key, call, threshold_of(p), bits_shape(shape, shared_axes))
        part = np.broadcast_to(whole, shape)[tuple(slice(*each) for each in slices)]
        draw = {"key": word(key), "call": word(call), "p": p, "p_hex": p.hex()}
        about = {"shape": list(shape), "shared_axes": list(shared_axes), "slices": [list(each) for each in slices]}
        yield draw | about | {"sliced_shape": list(part.shape), "booleans": packed(part)}


def spawned_vectors():
    for key, child in SPAWNED:
        low, high = (int(n) for n in reference.draw(key, 0, DOMAIN_SPAWN, np.array(child, np.uint64))[:2])
        yield {"key": word(key), "child": child, "child_key": word(low | high << 32)}


def normal_vectors():
    for key, call, first, count in NORMALS:
        z = reference.normals(key, call, np.arange(first, first + count, dtype=np.uint64))
        where = {"key": word(key), "call": word(call), "first": word(first, 14)}
        yield where | {"float32": words_of(z.view(np.uint32)), "about": [float(f"{n:.6g}") for n in z]}


def gaussian_vectors():
    x = np.linspace(-3, 3, 20, dtype=np.float32)
    for key, call, p in [(42, 0, 0.5), (KEY, 5, 0.1)]:
        y = reference.gaussian(x, key, call, math.sqrt(p / (1 - p)))
        about = {"key": word(key), "call": word(call), "p": p, "p_hex": p.hex()}
        numbers = {name: words_of(array.view(np.uint32)) for name, array in (("x", x), ("y", y))}
        yield about | numbers


def dropblock_vectors():
    for key, call, p, shape, block in DROPBLOCK:
        sizes = shape[2:]
        seed_p = block_start_probability(p, sizes, (block,) * len(sizes))
        places = (*shape[:2], *(size - block + 1 for size in sizes))
        seeds = reference.keep(key, call, threshold_of(seed_p), places)
        kept = np.ones(shape, bool)
        for place in np.argwhere(~seeds):
            kept[(*place[:2], *(slice(begin, begin + block) for begin in place[2:]))] = False
        about = {"key": word(key), "call": word(call), "p": p, "p_hex": p.hex(), "shape": list(shape), "block": block}
        yield about | {
            "seed_p_hex": seed_p.hex(),
            "seeds": packed(seeds),
            "kept": int(kept.sum()),
            "packed": packed(kept),
        }


def cutout_vectors():
    for key, call, shape, size in CUTOUT:
        sizes = shape[2:]
        bits = reference.keep(key, call, threshold_of(0.5), (shape[0], len(sizes), 32))
        words = (bits.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(axis=-1)
        centres = [[int(n) * length >> 32 for n, length in zip(row, sizes, strict=True)] for row in words]
        kept = np.ones(shape, bool)
        for example, centre in enumerate(centres):
            begins = [place - size // 2 for place in centre]
            kept[(example, slice(None), *(slice(max(0, begin), begin + size) for begin in begins))] = False
        about = {"key": word(key), "call": word(call), "shape": list(shape), "size": size}
        yield about | {"centres": centres, "packed": packed(kept)}


def vectors():
    """The content of the file."""
    return {
        "format": "fastdrop mask rule vectors",
        "rule_version": RULE_VERSION,
        "philox": list(philox_vectors()),
        "words": list(word_vectors()),
        "thresholds": list(threshold_vectors()),
        "uniforms": list(uniform_vectors()),
        "masks": list(mask_vectors()),
        "slices": list(slice_vectors()),
        "spawned": list(spawned_vectors()),
        "normals": list(normal_vectors()),
        "gaussian": list(gaussian_vectors()),
        "dropblock": list(dropblock_vectors()),
        "cutout": list(cutout_vectors()),
    }


def as_text(content):
    """The file's text, one case per line."""
    lines = []
    for name, value in content.items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(f"  {json.dumps(case)}" for case in value) + "\n ]"
        else:
            value = json.dumps(value)
        lines.append(f' "{name}": {value}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(as_text(vectors()), encoding="utf-8")
