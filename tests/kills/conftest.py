"""Fixtures of the app's tests, for what is killed there."""

import pytest

pytest.importorskip("PySide6")
from guitools import home, open_window  # noqa: F401
