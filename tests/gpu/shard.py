"""A pytest plugin that runs one shard of the tests: GPU_SHARD=2/8 is the third of eight, one for each process."""

import os

import pytest


@pytest.hookimpl(trylast=True)  # after tests without the marker gpu are deselected
def pytest_collection_modifyitems(config, items):
    number, shards = map(int, os.environ["GPU_SHARD"].split("/"))
    mine = items[number::shards]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
    items[:] = mine
