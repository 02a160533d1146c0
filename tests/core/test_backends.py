"""Every backend implements every operation of the protocol, with the same parameters and defaults."""

import inspect

import pytest

from fastdrop.backends import cpu
from fastdrop.backends.cuda import operations
from fastdrop.backends.select import Backend

NAMES = [name for name in vars(Backend) if not name.startswith("_")]


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.default) for each in found if each.name != "self"]


@pytest.mark.parametrize("backend", [cpu, operations], ids=["cpu", "cuda"])
@pytest.mark.parametrize("name", NAMES)
def test_a_backend_offers_what_the_protocol_names(backend, name):
    assert parameters(getattr(backend, name)) == parameters(vars(Backend)[name])
