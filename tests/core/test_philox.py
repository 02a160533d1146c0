"""Known answers of Philox, for the C header and the reference."""

from pathlib import Path

import numpy as np
import pytest

from fastdrop import reference
from fastdrop._kernels import cpu

VECTORS = [
    [int(word, 16) for word in line.split()]
    for line in Path(__file__).with_name("kat_vectors.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("vector", VECTORS)
def test_known_answers(vector):
    counter, key, expected = vector[:4], vector[4:6], vector[6:]
    assert list(cpu.philox(counter, key)) == expected
    assert reference.philox4x32(np.array(counter, np.uint64), tuple(key)).tolist() == expected


def test_there_are_vectors():
    assert len(VECTORS) == 3


def test_header_and_reference_agree_on_random_counters():
    rng = np.random.default_rng(0)
    for row in rng.integers(0, 1 << 32, (200, 6), dtype=np.uint64):
        expected = reference.philox4x32(row[:4], (int(row[4]), int(row[5]))).tolist()
        assert list(cpu.philox(row[:4].tolist(), row[4:].tolist())) == expected
