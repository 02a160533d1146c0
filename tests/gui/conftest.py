"""Fixtures of the app's tests."""

import pytest

pytest.importorskip("PySide6")
from guitools import home, open_window, window  # noqa: F401
from sweeptools import view  # noqa: F401
