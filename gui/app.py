"""`fastdrop-gui` and `fastdrop gui`: open the window."""

import signal
import sys
from collections.abc import Sequence

import pyqtgraph as pg
from PySide6.QtCore import QTimer
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication

from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop_gui.views.window import MainWindow


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window, with the configuration file named in the arguments if there is one."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    config, problem = ExperimentConfig(), ""
    if arguments:
        try:
            config = ExperimentConfig.load(arguments[0])
        except ConfigError as error:
            problem = str(error)
    application = QApplication(sys.argv[:1])
    application.setApplicationName("fastdrop")
    use_palette(application)
    window = MainWindow(config)
    window.show()
    if problem:
        QTimer.singleShot(0, lambda: window.show_problem(problem))
    signal.signal(signal.SIGINT, lambda *_: window.close())
    return application.exec()


def use_palette(application: QApplication) -> None:
    """Give plots the colours of the desktop's theme, light or dark."""
    palette = application.palette()
    pg.setConfigOption("background", palette.color(QPalette.ColorRole.Base))
    pg.setConfigOption("foreground", palette.color(QPalette.ColorRole.Text))
