"""The pool's limit: which blocks are kept, which are taken, and what the public functions accept."""

import itertools
import os

import numpy as np
import pytest
from pooltools import MARKS, MB, NUMPYS, OURS, SMALLEST, address, block, get_handler_name

import fastdrop as fd
from fastdrop import info, pool

pytestmark = MARKS


# --- which blocks are kept, and which are taken


def test_the_oldest_go_first():
    fd.set_pool_limit(100 * MB)
    first, second, third = block(32), block(34), block(36)
    addresses = address(second), address(third)
    del first, second
    assert fd.pool_free_bytes() == 66 * MB
    del third  # 102 MB would be too many
    assert fd.pool_free_bytes() == 70 * MB
    assert (address(block(34)), address(block(36))) == addresses


def test_a_block_may_drive_out_several():
    fd.set_pool_limit(130 * MB)
    small = [block(32) for _ in range(4)]
    large = block(96)
    del small
    assert fd.pool_free_bytes() == 128 * MB
    del large
    assert fd.pool_free_bytes() == 128 * MB  # one of 32 and the one of 96


def test_a_lower_limit_gives_back_at_once():
    blocks = [block(32) for _ in range(3)]
    last = address(blocks[-1])
    while blocks:
        del blocks[0]
    assert fd.pool_free_bytes() == 96 * MB
    fd.set_pool_limit(40 * MB)
    assert fd.pool_free_bytes() == 32 * MB
    assert address(block(32)) == last


def test_the_smallest_that_fits_is_taken_and_none_that_wastes():
    blocks = [block(size) for size in (64, 40, 36)]
    addresses = [address(each) for each in blocks]
    del blocks
    a = block(34)
    b = block(34)
    assert [address(a), address(b)] == [addresses[2], addresses[1]]
    c = block(34)  # of 64 MB it would leave nearly half unused
    assert address(c) not in addresses
    assert fd.pool_free_bytes() == 64 * MB
    assert address(block(60)) == addresses[0]


def test_the_limit_holds_for_random_requests():
    rng, held = np.random.default_rng(3), []
    fd.set_pool_limit(200 * MB)
    for _ in range(500):
        if held and rng.random() < 0.5:
            del held[rng.integers(len(held))]
        else:
            held.append(block(int(rng.integers(30, 120))))
        assert fd.pool_free_bytes() <= 200 * MB
        places = sorted((address(each), each.nbytes) for each in held)
        assert all(first + size <= second for (first, size), (second, _) in itertools.pairwise(places))
    del held
    assert 100 * MB < fd.pool_free_bytes() <= 200 * MB


def test_a_limit_of_0_turns_it_off():
    y, kept = block(32), block(32)
    del kept
    fd.set_pool_limit(0)
    assert fd.pool_free_bytes() == 0
    assert get_handler_name(block(32)) == NUMPYS
    y[-1] = 5
    assert y[-1] == 5
    del y
    assert fd.pool_free_bytes() == 0


def test_what_is_above_the_limit_is_numpys():
    fd.set_pool_limit(64 * MB)
    assert get_handler_name(block(65)) == NUMPYS
    y = block(64)
    assert get_handler_name(y) == OURS
    fd.set_pool_limit(32 * MB)
    del y
    assert fd.pool_free_bytes() == 0


def test_empty_pool_leaves_arrays_alone():
    y, kept = block(32), block(32)
    y[0] = 3
    del kept
    fd.empty_pool()
    assert fd.pool_free_bytes() == 0
    assert y[0] == 3
    fd.empty_pool()
    del y
    assert fd.pool_free_bytes() == SMALLEST


# --- the public functions


@pytest.mark.parametrize("limit", [-1, -(2**70), 2**63, 2**70])
def test_limits_out_of_range(limit):
    before = fd.get_pool_limit()
    with pytest.raises(ValueError, match=str(limit)):
        fd.set_pool_limit(limit)
    assert fd.get_pool_limit() == before


@pytest.mark.parametrize("limit", [1.5, "1 GiB", None, True, np.float64(3), [1], np.arange(2)])
def test_limits_of_a_wrong_type(limit):
    before = fd.get_pool_limit()
    with pytest.raises(TypeError, match="bytes is an int"):
        fd.set_pool_limit(limit)
    assert fd.get_pool_limit() == before


@pytest.mark.parametrize("limit", [0, 1, np.int64(2**40), 2**63 - 1])
def test_limits_that_fit(limit):
    fd.set_pool_limit(limit)
    assert fd.get_pool_limit() == limit
    assert type(fd.get_pool_limit()) is int


def test_the_default_is_bounded(monkeypatch):
    assert 0 < pool.default_limit() <= 1 << 30
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 20}[name])
    assert pool.default_limit() == 1 << 28
    monkeypatch.setattr(os, "sysconf", lambda name: -1)
    assert pool.default_limit() == pool.USUAL_MEMORY // 16
    monkeypatch.delattr(os, "sysconf")
    assert pool.default_limit() == pool.USUAL_MEMORY // 16


def test_the_configuration_shows_it(capsys):
    y = block(32)
    del y
    fd.show_config()
    assert f"pool free bytes  {SMALLEST}\n" in capsys.readouterr().out
    assert info.configuration()["pool limit"] == 1 << 30
