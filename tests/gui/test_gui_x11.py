"""The app in a real X window under Xvfb, with keys that come through the X server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gui

TOOLS = ("xvfb-run", "xdotool")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]


def test_a_real_window_is_driven_by_keys(tmp_path):
    if MISSING:
        assert "FASTDROP_REQUIRE_NATIVE" not in os.environ, f"missing: {MISSING}"
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "xcb",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    environment.pop("TMPDIR", None)  # xvfb-run fails if TMPDIR holds a space
    script = Path(__file__).parents[1] / "app" / "real_window.py"
    command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", sys.executable, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found.pop("platform") == "xcb"
    width, height = found.pop("size")
    assert width >= 1000
    assert height >= 600
    assert found.pop("colours") > 50
    assert all(found.values()), found
