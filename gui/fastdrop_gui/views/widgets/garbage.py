"""Cyclic garbage is collected in the window's thread alone.

Python's collector runs in whichever thread allocates, and destroys widgets in a reference cycle there.
Qt's widgets belong to one thread: destroyed in another, they take one of Qt's locks and wait for Python's, while the
window's thread has Python's and waits for that of Qt. Then the app hangs.
"""

import gc

from PySide6.QtCore import QObject, QTimer

_MILLISECONDS = 1000


def collect_in_this_thread(parent: QObject) -> QTimer:
    """From now on the collector runs in this thread, once a second where it has something to do."""
    gc.disable()
    timer = QTimer(parent)
    timer.timeout.connect(collect)
    timer.start(_MILLISECONDS)
    return timer


def collect() -> None:
    """Collect the oldest generation that is due, by the thresholds that Python has for its own runs."""
    generations = enumerate(zip(gc.get_count(), gc.get_threshold(), strict=True))
    due = [generation for generation, (count, most) in generations if count > most > 0]
    if due:
        gc.collect(due[-1])
