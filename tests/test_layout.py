"""What importing costs and pulls in, and what the public surface promises."""

import ast
import subprocess
import sys
from pathlib import Path

import fastdrop as fd


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_pulls_in_no_heavy_package():
    loaded = run("import fastdrop, sys; print(*sys.modules)")
    heavy = {"PySide6", "pyqtgraph", "cupy", "sklearn", "scipy", "matplotlib", "rich", "torch", "dask"}
    assert not heavy & {name.partition(".")[0] for name in loaded}


def test_import_leaves_the_environment_alone():
    assert run("import os; before = dict(os.environ); import fastdrop; print(before == dict(os.environ))") == ["True"]


def test_experiments_and_the_app_model_know_nothing_of_qt():
    code = "import fastdrop.experiments, fastdrop.nn, fastdrop_gui.model, sys; print(*sys.modules)"
    assert "PySide6" not in run(code)


def test_every_public_name_is_documented():
    for name in fd.__all__:
        assert name.startswith("__") or getattr(fd, name).__doc__, name


def test_no_property_of_qt_that_a_turkish_machine_has_not():
    """PySide makes `setInterval` of `interval=` by C's toupper: there it is `setİnterval`, and no window opens."""
    found = []
    for path in Path(__file__).parent.parent.glob("gui/**/*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("Q"):
                found += [
                    (path.name, call.lineno, word.arg) for word in call.keywords if (word.arg or "").startswith("i")
                ]
    assert found == []
