"""Fixtures of the tests of experiments."""

import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def ordinary_user():
    """A folder of an ordinary user: the test runs without root's rights."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        if os.geteuid() == 0:
            os.seteuid(65534)
            try:
                yield Path(folder)
            finally:
                os.seteuid(0)
        else:
            yield Path(folder)
