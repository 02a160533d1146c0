"""What can be looked at and exported: the base class of pages and panels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from PySide6.QtWidgets import QWidget


class Table(NamedTuple):
    """The numbers behind a view, as CSV takes them."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]


class View(QWidget):
    """Shows something. `title` is the name on its tab, `description` is what a screen reader says."""

    title = ""
    description = ""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName(self.title)
        self.setAccessibleDescription(self.description)

    def table(self) -> Table:
        """The numbers that are shown."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """End the work under way; the window closes."""

    @property
    def is_running(self) -> bool:
        """Whether it has work under way, which closing the window would end."""
        return False

    @property
    def is_seen(self) -> bool:
        """Whether a part of it can be seen: it is neither closed nor behind another one."""
        return self.isVisible() and not self.visibleRegion().isEmpty()
