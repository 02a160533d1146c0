"""The mask rule: thresholds, frozen masks, nesting and statistics.

The statistical tests use fixed seeds, so that they fail always or never. Each states its false-alarm rate: the chance
that a perfect generator with another seed fails it. `test_statistics.py` has many more.
"""

import hashlib
import itertools

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import reference
from fastdrop._kernels import cpu
from fastdrop.rule import KEEP_ALL, TILE, inverted_scale, keep_probability, threshold_of

# |z| > 5.2 has a probability of 1 in 5 million; for many z, the bound holds for all of them together.
FALSE_ALARM = 2e-7
Z = 5.2


def z_bound(count):
    """The |z| that one of `count` independent normal values exceeds with probability FALSE_ALARM."""
    from statistics import NormalDist

    return -NormalDist().inv_cdf(FALSE_ALARM / count / 2)


def keep_bits(p, shape, seed=2024, calls=0):
    stream = fd.Stream(seed)
    for _ in range(calls):
        stream.draw()
    _, mask = fd.dropout(np.ones(shape, np.float32), p, rng=stream)
    return np.asarray(mask)


@pytest.mark.parametrize(
    ("p", "threshold"),
    [
        *[(0.0, KEEP_ALL), (1.0, 0), (0.5, KEEP_ALL // 2), (0.25, 3 * KEEP_ALL // 4), (0.3, 769658139443)],
        (0.7, 329853488333),  # .8 is rounded up
        *[(1 - 0.5 * 2**-40, 0), (1 - 1.5 * 2**-40, 2), (1 - 2.5 * 2**-40, 2)],  # ties are rounded to even
    ],
)
def test_threshold(p, threshold):
    assert threshold_of(p) == threshold
    assert abs(keep_probability(threshold) - (1 - p)) <= 2**-41


@pytest.mark.parametrize("p", [0.0, 1e-13, 1e-12, 0.1, 0.3, 0.45, 0.5, 1 - 1e-9])
def test_scale_preserves_the_expectation(p):
    """The scale is 1 / (1 - p) to the last bit, so the mean is exact but for the rounding of p."""
    if 0 < threshold_of(p) < KEEP_ALL:
        assert inverted_scale(p) == 1 / (1 - p)
    assert abs(inverted_scale(p) * keep_probability(threshold_of(p)) - 1) <= 2**-40 / (1 - p)


def test_frozen_bits_of_a_mask():
    """Frozen bits: saved experiments depend on them under version 1."""
    stream = fd.Stream(0x0123456789ABCDEF)
    stream.draw()
    _, mask = fd.dropout(np.zeros(64), 0.3, rng=stream)
    expected = np.packbits(reference.keep(0x0123456789ABCDEF, 1, threshold_of(0.3), (64,)), bitorder="little").tobytes()
    assert mask.packed().tobytes() == expected
    assert mask.packed().tobytes().hex() == FINGERPRINT


FINGERPRINT = "f5c2f2e5987fe8ee"


def test_frozen_bits_of_a_longer_mask(isa):
    """2**16 keep bits with about 250 ties: a changed tail, even in both kernel and reference, fails here."""
    _, mask = fd.dropout(np.zeros(1 << 16), 0.3, rng=2**64 - 2)
    assert hashlib.sha256(mask.packed().tobytes()).hexdigest() == LONG_FINGERPRINT


LONG_FINGERPRINT = "0424f718de6da2c40259a380deea01558b1541602020c9c3f4dbeff03d5fd01c"


@pytest.mark.parametrize("tile", [0, 2**21 - 1, 2**21, 2**28 - 1, 2**28, 2**40 + 12345])
@pytest.mark.parametrize("p", [0.5, 0.3])
def test_tiles_far_out(isa, tile, p):
    """Element indices and block indices beyond 2**32."""
    words = np.empty(2 * TILE // 32, np.uint32)
    key, call, threshold = 2**63 + 5, 2**32 + 7, threshold_of(p)
    cpu.keep_bits(words, cpu.Draw(key, call), threshold, 1, tile)
    u = reference.uniform40(key, call, tile * TILE + np.arange(2 * TILE))
    kept = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
    np.testing.assert_array_equal(kept, u < np.uint64(threshold))


def test_the_threshold_itself_is_dropped(isa):
    """An element is kept if U < threshold, also where only the last bit of the tail differs."""
    key, call = 12, 3
    u = reference.uniform40(key, call, np.arange(200))
    for element in range(0, 200, 7):
        for threshold, keep in ((int(u[element]), False), (int(u[element]) + 1, True)):
            words = np.empty(TILE // 32, np.uint32)
            cpu.keep_bits(words, cpu.Draw(key, call), threshold, 1)
            assert bool(words[element // 32] >> np.uint32(element % 32) & 1) == keep


def test_tiles_with_many_ties(isa):
    """More than the 16 ties drawn at once (one tile in hundreds), and more than two in a word (one in fifty)."""
    key, call, top, tiles = 7, 1, 0xB3, 4096

    def kept(threshold):
        words = np.empty(tiles * TILE // 32, np.uint32)
        cpu.keep_bits(words, cpu.Draw(key, call), threshold, 1)
        return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)

    tied = kept(top + 1 << 32) & ~kept(top << 32)  # U has the same eight bit planes as the thresholds in between
    of_tile = tied.reshape(tiles, TILE).sum(axis=1)
    of_word = tied.reshape(tiles, -1, 32).sum(axis=2).max(axis=1)
    many = (of_tile > 15) | (of_word > 2)
    assert {16, 17, 18} <= set(of_tile[many])
    assert of_word.max() > 2
    elements = np.flatnonzero(tied & np.repeat(many, TILE))
    threshold = (top << 32) + 2**31
    below = reference.uniform40(key, call, elements) < np.uint64(threshold)
    np.testing.assert_array_equal(kept(threshold)[elements], below)


def test_keys_of_spawned_streams():
    """Child n has words 0 and 1 of the block with domain 254 and index n, under the parent's key and call number 0."""
    parent = fd.Stream(2**63 + 5)
    children = parent.spawn(2) + parent.spawn(1)
    words = reference.draw(parent.key, 0, 254, np.arange(3, dtype=np.uint64))
    assert [child.key for child in children] == [int(low) | int(high) << 32 for low, high, _, _ in words]


def test_tails_of_neighbours_differ():
    tails = reference.uniform40(1, 0, np.arange(4096)) & np.uint64(0xFFFFFFFF)
    assert len(np.unique(tails)) == 4096  # false-alarm rate 1 in 500 keys; this key passes


def test_raising_p_only_drops_more(isa):
    rates = [0.0, 0.01, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.99, 1.0]
    masks = [keep_bits(p, 20_000) for p in rates]
    for kept_at_lower, kept_at_higher in itertools.pairwise(masks):
        assert not np.any(kept_at_higher & ~kept_at_lower)
    assert masks[0].all()
    assert not masks[-1].any()


def test_u_is_uniform_in_every_bit():
    """40 bits x 2**17 draws; false-alarm rate as stated for all bits together."""
    count = 1 << 17
    u = reference.uniform40(5, 9, np.arange(count))
    for bit in range(40):
        ones = int((u >> np.uint64(bit) & np.uint64(1)).sum())
        assert abs(ones - count / 2) / np.sqrt(count / 4) < z_bound(40), f"bit {bit}"


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_overall_rate(p, seed):
    count = 1 << 21
    kept = np.count_nonzero(keep_bits(p, count, seed))
    assert abs(kept - count * (1 - p)) / np.sqrt(count * p * (1 - p)) < z_bound(18)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("p", [0.3, 0.5])
def test_axes_of_an_odd_shape_are_independent(p, axis):
    kept = keep_bits(p, (129, 67, 251)).astype(np.float64) - (1 - p)
    here = np.take(kept, range(kept.shape[axis] - 1), axis)
    next_to = np.take(kept, range(1, kept.shape[axis]), axis)
    z = (here * next_to).sum() / (np.sqrt(here.size) * p * (1 - p))
    assert abs(z) < z_bound(6)


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_calls_and_seeds_are_independent(p):
    count = 1 << 20
    variants = [
        keep_bits(p, count, seed, calls) for seed, calls in [(1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (1 << 32, 0)]
    ]
    centred = [kept.astype(np.float64) - (1 - p) for kept in variants]
    pairs = [(a, b) for a in range(6) for b in range(a)]
    for a, b in pairs:
        z = (centred[a] * centred[b]).sum() / (np.sqrt(count) * p * (1 - p))
        assert abs(z) < z_bound(2 * len(pairs)), (a, b)


def test_tied_elements_follow_the_tail():
    """Where the eight planes tie with the threshold, the tail decides with its own probability (p chosen so that the
    tail's share is 0.3); hardly any other test detects a tail that is ignored or shared among ties."""
    threshold = (179 << 32) + round(0.3 * 2**32)
    p = 1 - threshold / KEEP_ALL
    count = 1 << 20
    u = reference.uniform40(77, 0, np.arange(count))
    tied = u >> np.uint64(32) == 179
    kept = keep_bits(p, count, 77)[tied]
    ties = kept.size
    assert abs(ties - count / 256) / np.sqrt(count / 256) < Z
    assert abs(kept.sum() - 0.3 * ties) / np.sqrt(0.21 * ties) < Z
    pairs = (kept[:-1] - 0.3) * (kept[1:] - 0.3)
    assert abs(pairs.sum()) / (np.sqrt(pairs.size) * 0.21) < Z
