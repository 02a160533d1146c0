"""Every public function, class and method has a property, or is listed here with a reason."""

import importlib
import inspect
from pathlib import Path

import operations
import pytest
import registry
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop as fd

EXEMPT = {
    "__version__": "text",
    "BackendUnavailable": "raised where there is no GPU; tests/cuda/test_cuda_adapter.py",
    "GraphStream": "needs a GPU or its emulation; tests/cuda/test_cuda_graphs.py",
    "show_config": "prints; tests/packaging/test_readme.py and its docstring",
}
CLASSES = ("Mask", "GaussianNoise", "BlockMask", "CutoutMask", "Stream")
OPERATORS = ("__call__", "__mul__", "__getitem__", "__array__")
VALUES = ("shape", "made_by", "p", "axes", "block", "seeds", "size", "words", "draw")
NO_METHODS = {
    **{f"{kind}.{name}": "a plain value, part of equality" for kind in CLASSES for name in VALUES},
    **{f"{kind}.scale": "of masks alone" for kind in CLASSES if kind != "Mask"},
}


def load_all() -> None:
    """Modules register what they cover when they are imported."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.name != Path(__file__).name:
            importlib.import_module(path.stem)


def public_names() -> set[str]:
    return set(fd.__all__) | set(fd.functional.__all__)


def test_every_public_name_has_a_property():
    load_all()
    backward = {f"{name}_backward" for name in (*operations.TABLE, "dropout")}
    covered = registry.COVERED | set(operations.TABLE) | backward
    missing = public_names() - covered - set(EXEMPT)
    assert not missing, f"no property and no reason in {Path(__file__).name}: {sorted(missing)}"
    assert not set(EXEMPT) - public_names(), "these are no public names any more"


def test_every_public_method_has_a_property():
    load_all()
    missing = []
    for kind in CLASSES:
        own = getattr(fd, kind)
        names = {name for name, _ in inspect.getmembers(own) if not name.startswith("_") or name in OPERATORS}
        names -= {name for name in OPERATORS if not callable(getattr(own, name, None))}
        missing += [f"{kind}.{name}" for name in names]
    missing = sorted(set(missing) - registry.COVERED - set(NO_METHODS))
    assert not missing, f"no property and no reason in {Path(__file__).name}: {missing}"


@pytest.mark.parametrize("name", operations.TABLE)
@settings(max_examples=2)
@given(data=st.data())
def test_an_entry_of_the_table_calls_the_function_that_it_is_named_after(name, data):
    """So the properties of the table cover each of its names, and each backward function."""
    call = data.draw(operations.TABLE[name]())
    assert call.function is getattr(fd, name)
    assert (call.backward is operations.linear) == (not hasattr(fd, f"{name}_backward") or name == "dropout")
