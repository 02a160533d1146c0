"""A pytest plugin that runs a share of the tests: GPU_SHARE=2/8 is the third of eight, one for each process."""

import os

import pytest


@pytest.hookimpl(trylast=True)  # after what is not for a GPU has been left out
def pytest_collection_modifyitems(config, items):
    number, shares = map(int, os.environ["GPU_SHARE"].split("/"))
    mine = items[number::shares]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
    items[:] = mine
