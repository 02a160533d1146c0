"""The files that were opened or saved last, kept in the app's settings."""

import os
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings

_KEY = "recent"
_MOST = 8


def recent_files() -> list[str]:
    """Those that still exist, the newest first."""
    found: Any = QSettings().value(_KEY, [])
    paths = found if isinstance(found, list) else [found]  # QSettings returns a list of one as text
    return [path for path in paths if isinstance(path, str) and os.path.exists(path)]


def remember_file(path: str) -> None:
    """Make this the newest."""
    path = str(Path(path).absolute())
    QSettings().setValue(_KEY, [path, *(other for other in recent_files() if other != path)][:_MOST])
