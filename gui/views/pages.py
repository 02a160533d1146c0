"""The window's pages beside the training: made when they are first looked at, so that the window opens at once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QVBoxLayout, QWidget

from fastdrop.experiments import Run
from fastdrop_gui import editing
from fastdrop_gui.views.plots import View

if TYPE_CHECKING:
    from fastdrop_gui.views.window import MainWindow

TITLES = ("&Train", "&Presets", "S&weep", "K&ernel", "&Benchmark")


class Pages:
    """Presets, sweeps, the kernel and the benchmark."""

    def __init__(self, window: "MainWindow") -> None:
        self._window = window
        self._made: dict[int, Any] = {}
        self._layouts: dict[int, QVBoxLayout] = {}
        self._makers: tuple[Callable[[], View], ...] = (self._presets, self._sweep, self._kernel, self._benchmark)
        window.tabs.addTab(window.training, TITLES[0])
        for title in TITLES[1:]:
            page = QWidget()
            self._layouts[window.tabs.addTab(page, title)] = QVBoxLayout(page)
        window.tabs.currentChanged.connect(self._show)
        window.document.changed.connect(lambda _before, after: self.tell(after))

    def page(self, number: int) -> Any:
        """A page's view, made if it is not there yet; from 1 on."""
        if number not in self._made:
            view = self._makers[number - 1]()
            self._layouts[number].addWidget(view)
            self._made[number] = view
        return self._made[number]

    @property
    def views(self) -> list[View]:
        """Those that were made."""
        return list(self._made.values())

    def _show(self, number: int) -> None:
        if number:
            self.page(number)
        else:
            self._window.training.refresh()

    def _presets(self) -> View:
        from fastdrop_gui.views.gallery import GalleryView

        view = GalleryView()
        view.chosen.connect(self._window.open_config)
        return view

    def _sweep(self) -> View:
        from fastdrop_gui.views.sweep import SweepView

        view = SweepView()
        view.set_config(self._window.document.config)
        view.run_chosen.connect(self._open_result)
        return view

    def _kernel(self) -> View:
        from fastdrop_gui.views.explorer import ExplorerView

        return ExplorerView()

    def _benchmark(self) -> View:
        from fastdrop_gui.views.benchmark import BenchmarkView

        view = BenchmarkView()
        view.started.connect(self._window.pause)
        return view

    def tell(self, config: object) -> None:
        """Say that there is another configuration."""
        if 2 in self._made:
            self._made[2].set_config(config)

    def _open_result(self, result: Any) -> None:
        """A point of a sweep was chosen: take its configuration, and keep its curves."""
        self._window.open_run(Run(editing.title(result.config), result.config, tuple(result.history)))

    def what_runs(self) -> list[str]:
        """What closing would end."""
        names = {2: "the sweep", 4: "the benchmark"}
        return [name for number, name in names.items() if number in self._made and self._made[number].is_running]

    def shutdown(self) -> None:
        """End what runs."""
        for view in self._made.values():
            if hasattr(view, "shutdown"):
                view.shutdown()
