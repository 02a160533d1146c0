"""Plants a fault in the Python side: right after its module was executed, before others import from it.

Python runs this as `sitecustomize` at its start, in child processes too. The environment variable FASTDROP_FAULT names
the fault; python_faults.py has them.
"""

import importlib.machinery
import os
import sys

ROTTEN = 97
"""The exit status if a fault's module no longer has the attribute."""


class Planter:
    """A finder that finds one module through the other finders, and changes it after it was executed."""

    def __init__(self, fault):
        self.fault = fault

    def find_spec(self, name, path=None, target=None):
        if name != self.fault.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            plant(module, self.fault)

        spec.loader.exec_module = exec_module
        return spec


def plant(module, fault):
    *owners, name = fault.attribute.split(".")
    owner = module
    try:
        for part in owners:
            owner = vars(owner)[part]
        setattr(owner, name, fault.change(vars(owner)[name]))
    except KeyError:
        print(f"{fault.module} has no {fault.attribute}", file=sys.stderr, flush=True)
        os._exit(ROTTEN)


def begin():
    chosen = os.environ.get("FASTDROP_FAULT")
    if not chosen:
        return
    from python_faults import FAULTS

    if chosen in FAULTS:
        sys.meta_path.insert(0, Planter(FAULTS[chosen]))


begin()
