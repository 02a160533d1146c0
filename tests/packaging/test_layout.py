"""Imports load no heavy package, and the app's modules follow the rules of the project's layout."""

import ast
import subprocess
import sys
from pathlib import Path

import fastdrop as fd

APP = Path(__file__).parents[2] / "gui" / "fastdrop_gui"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_pulls_in_no_heavy_package():
    loaded = run("import fastdrop, sys; print(*sys.modules)")
    heavy = {"PySide6", "pyqtgraph", "cupy", "sklearn", "scipy", "matplotlib", "rich", "torch", "dask"}
    assert not heavy & {name.partition(".")[0] for name in loaded}


def test_import_leaves_the_environment_alone():
    assert run("import os; before = dict(os.environ); import fastdrop; print(before == dict(os.environ))") == ["True"]


def test_experiments_and_the_app_model_know_nothing_of_qt():
    code = "import fastdrop.experiments, fastdrop.nn, fastdrop_gui.model.experiment_model, sys; print(*sys.modules)"
    assert "PySide6" not in run(code)


def test_every_public_name_is_documented():
    for name in fd.__all__:
        assert name.startswith("__") or getattr(fd, name).__doc__, name


def app_modules():
    """The path of every module of the app, below its package, with its syntax tree."""
    found = [(path.relative_to(APP), ast.parse(path.read_text(encoding="utf-8"))) for path in APP.glob("**/*.py")]
    assert found
    return found


def test_no_qt_property_fails_in_a_turkish_locale():
    """PySide turns `interval=` into `setInterval` by C's toupper; in a Turkish locale that gives `setİnterval`."""
    found = []
    for path, tree in app_modules():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("Q"):
                words = [word.arg for word in call.keywords if (word.arg or "").startswith("i")]
                found += [(path, call.lineno, word) for word in words]
    assert found == []


def test_no_part_of_the_window_reaches_into_the_window():
    """Parts get arguments and emit signals, which the window connects. Parents are for dialogs only."""
    found = []
    for path, tree in app_modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and path.name != "app.py":
                found += [(path, node.lineno) for name in node.names if name.name == "MainWindow"]
            if isinstance(node, ast.Attribute):
                used = ast.unparse(node)
                if used.startswith(("self._window", "self.window()", "self.parent()", "self._parent.")):
                    found += [(path, node.lineno)] * (used != "self._parent.findChildren")
    assert found == []


def test_module_names_are_unique_and_init_files_hold_docstrings():
    modules = app_modules()
    names = [path.stem for path, _ in modules if path.stem != "__init__"]
    folders = {path.parent.name for path, _ in modules if path.parent != Path()}
    assert len(set(names)) == len(names)
    assert not folders & set(names)
    for path, tree in modules:
        if path.name == "__init__.py":
            assert all(isinstance(node, ast.Expr) for node in tree.body), path
