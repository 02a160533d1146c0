"""Fixtures of the tests of the core functions."""

import gc

import pytest

import fastdrop as fd


@pytest.fixture
def fresh_pool():
    """The test finds the pool empty, with 1 GiB as its limit."""
    before = fd.get_pool_limit()
    gc.collect()  # frees arrays of a failed test
    fd.empty_pool()
    fd.set_pool_limit(1 << 30)
    yield
    fd.empty_pool()
    fd.set_pool_limit(before)
