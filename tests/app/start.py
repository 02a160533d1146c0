"""How long the app takes to show its window: `python tests/app/start.py`. Prints the seconds of five starts."""

import subprocess
import sys
import time

CODE = (
    "import time, sys\n"
    "from fastdrop_gui import app\n"
    "from fastdrop.experiments import ExperimentConfig\n"
    "from fastdrop_gui.views.main_window import MainWindow\n"
    "application = app.make_application(); application.setApplicationName('fastdrop-start')\n"
    "window = MainWindow(ExperimentConfig()); window.show(); application.processEvents()\n"
    "print(time.time()); window.session.model._process.close(0.0); window.close()\n"
)


def main() -> int:
    for _ in range(5):
        begin = time.time()
        shown = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
        print(f"{float(shown) - begin:.2f} s until the window is drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
