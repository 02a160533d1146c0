"""Mask rules with one fault each, which the battery must find: the reference with a faulty draw."""

import functools

import numpy as np

from fastdrop import reference
from fastdrop.rule import DOMAIN_TAIL, TILE, TILE_COUNTERS, threshold_of


class Rule:
    """The mask rule of the reference with this draw function, as a source of `fastdrop.cli.bits`."""

    def __init__(self, draw=reference.draw, child=None, normal=lambda z: z, key=lambda key: key):
        self.draw, self.child, self.normal, self.key = draw, child or self.spawned, normal, key
        self.uniform = functools.lru_cache(4)(self.uniform)

    def uniform(self, key, call, count):
        return reference.uniform40(self.key(key), call, np.arange(count), self.draw)

    def packed(self, key, call, p, count):
        return np.packbits(self.uniform(key, call, count) < np.uint64(threshold_of(p)), bitorder="little")

    def spawned(self, key, number):
        low, high = self.draw(key, 0, 0xFE, np.array([number], np.uint64))[0, :2]
        return int(low) | int(high) << 32

    def children(self, key, first, count):
        return [self.child(key, number) for number in range(first, first + count)]

    def normals(self, key, call, count):
        return self.normal(reference.normals(self.key(key), call, np.arange(count), self.draw))


def seven_planes(key, call, domain, index):
    words = reference.draw(key, call, domain, index)
    return np.zeros_like(words) if domain == 7 else words


def plane_twice(key, call, domain, index):
    return reference.draw(key, call, 2 if domain == 3 else domain, index)


def repeated_counter(key, call, domain, index):
    if domain != DOMAIN_TAIL:
        index = np.where(index % np.uint64(TILE_COUNTERS) == 5, index - np.uint64(1), index)
    return reference.draw(key, call, domain, index)


def no_call_number(key, call, domain, index):
    return reference.draw(key, 0, domain, index)


def halved_call_number(key, call, domain, index):
    """Two call numbers give the same draws."""
    return reference.draw(key, call // 2, domain, index)


def one_tail_per_tile(key, call, domain, index):
    return reference.draw(key, call, domain, index // np.uint64(TILE) if domain == DOMAIN_TAIL else index)


def same_second_tile(key, call, domain, index):
    """Every second tile repeats the one before it."""
    if domain < 8:
        index = index - index // np.uint64(TILE_COUNTERS) % np.uint64(2) * np.uint64(TILE_COUNTERS)
    return reference.draw(key, call, domain, index)


def few_rounds(key, call, domain, index):
    """Philox with 3 rounds of 10."""
    counter = np.stack(
        [
            index & np.uint64(0xFFFFFFFF),
            (index >> np.uint64(32)) | np.uint64(domain << 24),
            np.full(index.shape, call & 0xFFFFFFFF, np.uint64),
            np.full(index.shape, call >> 32, np.uint64),
        ],
        axis=-1,
    )
    return reference.philox4x32(counter, (key & 0xFFFFFFFF, key >> 32), rounds=3)


def one_radius(key, call, domain, index):
    """Box and Muller's two pairs of a counter share the number that makes the radius."""
    words = reference.draw(key, call, domain, index)
    words[..., 2] = words[..., 0]
    return words


# The fault, the order in which it must show, and p: None if p does not matter.
FAULTS = {
    "7 planes instead of 8": (Rule(seven_planes), "planes", 0.5),
    "7 planes instead of 8, by the rate": (Rule(seven_planes), "elements", 77 / 256),
    "a plane used twice": (Rule(plane_twice), "planes", 0.5),
    "a plane used twice, by the rate": (Rule(plane_twice), "elements", 0.3),
    "a repeated counter": (Rule(repeated_counter), "elements", 0.3),
    "a repeated counter, after the last full tile": (Rule(repeated_counter), "remainders", 0.5),
    "a repeated tile": (Rule(same_second_tile), "elements", 0.5),
    "the call number ignored": (Rule(no_call_number), "calls", 0.3),
    "the call number halved": (Rule(halved_call_number), "calls", 0.5),
    "one tail per tile": (Rule(one_tail_per_tile), "tails", 0.5),
    "children are their parents": (Rule(child=lambda key, number: key), "children", 0.3),
    "children equal in pairs": (Rule(child=lambda key, number: Rule().spawned(key, number // 2)), "children", 0.5),
    "neighbouring seeds equal": (Rule(key=lambda key: key & ~1), "seeds", 0.3),
    "3 rounds of Philox": (Rule(few_rounds), "seeds", 0.5),
    "normal numbers clipped at 3": (Rule(normal=lambda z: np.clip(z, -3, 3)), "gaussian", 0.5),
    "normal numbers of one radius": (Rule(one_radius), "gaussian", 0.5),
    "normal numbers 1 % too wide": (Rule(normal=lambda z: z * np.float32(1.01)), "gaussian", 0.5),
}
