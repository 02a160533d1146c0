"""The window's pages: each has a name, a title, and a function that makes it when it is first looked at."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from PySide6.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from fastdrop_gui.views.widgets.view import View


class Page(NamedTuple):
    """A page before it is made.

    Attributes
    ----------
    title : str
        On its tab.
    make : callable
        Returns its widget.
    work : str
        What runs while the view's `is_running` is true, for the question before the window closes.
    has_margin : bool
    """

    title: str
    make: Callable[[], QWidget]
    work: str = ""
    has_margin: bool = True


class Pages(QTabWidget):
    """Tabs of named pages. A page is made when it is first shown, so that the window opens at once."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        super().__init__(documentMode=True)
        self._pages = pages
        self._made: dict[str, QWidget] = {}
        self._layouts: dict[str, QVBoxLayout] = {}
        for name, page in pages.items():
            place = QWidget()
            self._layouts[name] = QVBoxLayout(place)
            if not page.has_margin:
                self._layouts[name].setContentsMargins(0, 0, 0, 0)
            self.addTab(place, page.title)
        self.currentChanged.connect(lambda: self.page(self.current))
        self.page(self.current)

    @property
    def names(self) -> list[str]:
        """Of all pages, from left to right."""
        return list(self._pages)

    @property
    def current(self) -> str:
        """The name of the page in front."""
        return self.names[self.currentIndex()]

    def show_page(self, name: str) -> None:
        """Bring a page to the front."""
        self.setCurrentIndex(self.names.index(name))

    def page(self, name: str) -> QWidget:
        """A page's widget; made if it was not there yet."""
        if name not in self._made:
            widget = self._made[name] = self._pages[name].make()
            self._layouts[name].addWidget(widget)
        return self._made[name]

    @property
    def views(self) -> list[View]:
        """The pages that are views and were made."""
        return [page for page in self._made.values() if isinstance(page, View)]

    def running_work(self) -> list[str]:
        """What closing the window would end."""
        return [
            self._pages[name].work for name, page in self._made.items() if isinstance(page, View) and page.is_running
        ]

    def shutdown(self) -> None:
        """End what runs."""
        for view in self.views:
            view.shutdown()
