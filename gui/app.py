"""`fastdrop-gui` and `fastdrop gui`: open the window."""

import gc
import signal
import sys
from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.views.dialogs import show_unexpected_errors
from fastdrop_gui.views.garbage import collect_in_this_thread
from fastdrop_gui.views.window import MainWindow


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window, with the experiment file named in the arguments if there is one."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    application = make_application()
    window = MainWindow(ExperimentConfig())
    window.show()
    show_unexpected_errors(lambda: window)
    path = arguments[0] if arguments else ""
    QTimer.singleShot(0, lambda: window.files.open_any(path) if path else window.files.offer_recovery())
    signal.signal(signal.SIGINT, lambda *_: window.close())
    return application.exec()


def make_application() -> QApplication:
    """The application, under the name by which its settings are kept.

    What the imports have made stays to the end: the garbage collector, which would look through it for tens of
    milliseconds now and then, need not.
    """
    gc.freeze()
    application = QApplication(sys.argv[:1])
    application.setOrganizationName("fastdrop")
    application.setApplicationName("fastdrop")
    collect_in_this_thread(application)
    return application
