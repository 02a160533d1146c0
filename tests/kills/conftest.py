"""Fixtures of the app's tests, used here as well."""

import pytest

pytest.importorskip("PySide6")
from guitools import home, open_window  # noqa: F401
