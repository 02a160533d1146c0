"""The app in a real X window, with real key events: run by tests/gui/test_gui_x11.py under Xvfb.

Presses F5, F6 and Ctrl+K as a person at the keyboard would, and prints the window's state as JSON.
"""

import json
import subprocess
import sys
import time

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.app import make_application
from fastdrop_gui.views.main_window import MainWindow


def main() -> int:
    application = make_application()
    application.setApplicationName("fastdrop-x11")
    window = MainWindow(ExperimentConfig(dataset="moons", hidden=(32, 16), epochs=5000))
    window.show()

    def wait(condition, seconds: float = 60.0) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            application.processEvents()
            time.sleep(0.005)
        return True

    def press(key: str) -> None:
        name = str(int(window.winId()))
        subprocess.run(["xdotool", "windowfocus", "--sync", name, "key", key], check=True)

    found = {"platform": application.platformName()}
    found["ready"] = wait(lambda: window.session.model.status.value == "ready")
    press("F5")
    found["ran"] = wait(lambda: len(window.session.model.history) > 5)
    press("ctrl+k")
    found["kept"] = wait(lambda: len(window.session.runs) == 1)
    press("F6")
    found["paused"] = wait(lambda: "paused" in window.status.figures.text())
    picture = window.screen().grabWindow(window.winId()).toImage()
    pixels = {picture.pixel(x, y) for x in range(0, picture.width(), 7) for y in range(0, picture.height(), 7)}
    found["size"] = [picture.width(), picture.height()]
    found["colours"] = len(pixels)
    found["closed"] = window.close()
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
