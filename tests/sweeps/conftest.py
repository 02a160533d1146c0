"""Fixtures of the tests of sweeps."""

import pytest


@pytest.fixture
def path(tmp_path):
    """The name of a table that does not exist yet."""
    return tmp_path / "results.parquet"
