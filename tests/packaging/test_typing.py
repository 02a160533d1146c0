"""Types for users: strict checks of user code pass, and the stubs cover the whole compiled module."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fastdrop

pytestmark = pytest.mark.slow

pytest.importorskip("mypy")

PACKAGE = Path(fastdrop.__file__).parent
STUB = PACKAGE / "_kernels" / "cpu.pyi"
USER = Path(__file__).parent / "typing" / "user.py"


def checked(folder, *command):
    """A checker's output for code that imports the package from `folder`: checkers do not find an editable install."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder with the package as a wheel installs it."""
    (tmp_path / "fastdrop").mkdir()
    for entry in PACKAGE.iterdir():
        (tmp_path / "fastdrop" / entry.name).symlink_to(entry)
    monkeypatch.setenv("MYPYPATH", str(tmp_path))
    return tmp_path


def strictly(folder, text):
    (folder / "user.py").write_text(text)
    return checked(folder, "mypy", "--strict", "--follow-imports=silent", "user.py")


def test_users_code_passes_the_strictest_checks(installed):
    status, text = strictly(installed, USER.read_text())
    assert status == 0, text


def pyright(folder, text):
    (folder / "user.py").write_text(text)
    settings = {"typeCheckingMode": "strict", "include": ["user.py"], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return checked(folder, "basedpyright", "--pythonpath", sys.executable)


def test_users_code_passes_pyright(installed):
    pytest.importorskip("basedpyright")
    status, text = pyright(installed, USER.read_text())
    assert status == 0, text
    mistakes = "fd.dropout(np.ones(3), rate=0.5)\nfd.dropout(np.ones(3))[1].nothing\n"
    status, text = pyright(installed, f"import numpy as np\nimport fastdrop as fd\n{mistakes}")
    assert status == 1
    assert 'No overloads for "dropout"' in text
    assert 'Cannot access attribute "nothing" for class "Mask"' in text


def test_users_mistakes_are_found(installed):
    mistakes = {
        "fd.dropout(np.ones(3), p='half')": "call-overload",
        "fd.dropout(np.ones(3), rate=0.5)": "call-overload",
        "fd.dropout(np.ones(3), scaling='invert')": "call-overload",
        "fd.dropout(np.ones(3), training=bool(fd))[1].keep_prob": "union-attr",
        "fd.Stream('seed')": "arg-type",
        "fd.dropout_backwards(np.ones(3), None)": "attr-defined",
    }
    status, text = strictly(installed, "import numpy as np\nimport fastdrop as fd\n" + "\n".join(mistakes) + "\n")
    assert status == 1
    for line, code in enumerate(mistakes.values(), start=3):
        assert any(found.startswith(f"user.py:{line}:") and f"[{code}]" in found for found in text.splitlines()), text


def test_stubs_cover_the_compiled_module(tmp_path, monkeypatch):
    stubs = tmp_path / "stubs" / "fastdrop" / "_kernels"  # Python would import it from the working directory
    stubs.mkdir(parents=True)
    for folder in (stubs.parent, stubs):
        (folder / "__init__.pyi").touch()
    (stubs / "cpu.pyi").symlink_to(STUB)
    names = "__test__", "Calls.__reduce_cython__", "Calls.__setstate_cython__"
    (tmp_path / "cythons_own").write_text("".join(f"fastdrop._kernels.cpu.{name}\n" for name in names))
    compare = ("mypy.stubtest", "fastdrop._kernels.cpu", "--concise", "--ignore-disjoint-bases")
    compare += ("--allowlist", "cythons_own")
    monkeypatch.setenv("MYPYPATH", str(tmp_path / "stubs"))
    status, text = checked(tmp_path, *compare)
    assert status == 0, text
    (stubs / "cpu.pyi").unlink()
    (stubs / "cpu.pyi").write_text(STUB.read_text().replace("def max_threads", "def most_threads"))
    status, text = checked(tmp_path, *compare)
    assert status == 1
    assert "most_threads" in text


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()
