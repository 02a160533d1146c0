"""`fastdrop-gui` and `fastdrop gui`: open the window."""

import gc
import signal
import sys
from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.views.main_window import MainWindow
from fastdrop_gui.views.widgets.dialogs import show_unexpected_errors
from fastdrop_gui.views.widgets.garbage import collect_in_this_thread


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window, with the experiment or the data named in the arguments if there are any."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    application = make_application()
    window = MainWindow(ExperimentConfig())
    window.show()
    show_unexpected_errors(lambda: window)
    path = arguments[0] if arguments else ""
    QTimer.singleShot(0, lambda: window.open_path(path) if path else window.autosave.offer_recovery())
    signal.signal(signal.SIGINT, lambda *_: window.close())
    return application.exec()


def make_application() -> QApplication:
    """The application, with the name under which its settings are kept.

    What the imports have made stays to the end. The garbage collector skips it, which saves tens of milliseconds.
    """
    gc.freeze()
    application = QApplication(sys.argv[:1])
    application.setOrganizationName("fastdrop")
    application.setApplicationName("fastdrop")
    collect_in_this_thread(application)
    return application
