"""How many examples properties get: in `make test` a few fixed ones, in `run.py` as many as the time allows."""

import os
import random
import re
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # oracle, strategies, operations

COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", derandomize=True, max_examples=40, database=None, **COMMON)
settings.register_profile("round", derandomize=False, max_examples=25, **COMMON)
ROUND_ENDS = float(os.environ.get("FASTDROP_PROPERTIES_UNTIL", "0"))
"""The end of the rounds of `run.py`, in seconds since 1970; 0 without it."""
settings.load_profile("round" if ROUND_ENDS else "quick")


def pytest_collection_modifyitems(config, items):
    """Allow time to shrink a counterexample. Each round has another order."""
    if ROUND_ENDS:
        random.Random(config.getoption("--hypothesis-seed")).shuffle(items)
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker(pytest.mark.timeout(900))


def pytest_runtest_setup(item):
    """In a timed round, no property begins after its end."""
    if ROUND_ENDS and time.time() > ROUND_ENDS:
        pytest.exit("the time is over", returncode=0)


def pytest_runtest_teardown(item):
    """Each property prints its number of examples."""
    found = re.findall(r"(\d+) passing", getattr(item, "hypothesis_statistics", ""))
    if ROUND_ENDS and found:
        print(f" {item.name}: {sum(map(int, found))} examples", flush=True)
