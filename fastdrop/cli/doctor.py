"""`fastdrop doctor`: what is installed, what is missing, and how to get it."""

import argparse
import importlib.metadata
from typing import NamedTuple

from fastdrop.backends.cuda import device
from fastdrop.cli import desktop
from fastdrop.errors import BackendUnavailable
from fastdrop.info import configuration


class _Package(NamedTuple):
    module: str
    distributions: tuple[str, ...]
    use: str
    extra: str


_PACKAGES = (
    _Package("sklearn", ("scikit-learn",), "data sets", "experiments"),
    _Package("rich", ("rich",), "progress and tables in the terminal", "experiments"),
    _Package("tomli_w", ("tomli-w",), "saving configurations", "experiments"),
    _Package("matplotlib", ("matplotlib",), "figures", "experiments"),
    _Package("pandas", ("pandas",), "reading your own tables", "tables"),
    _Package("python_calamine", ("python-calamine",), "spreadsheets", "tables"),
    _Package("pyarrow", ("pyarrow",), "Parquet and Feather files, and the tables of sweeps", "tables"),
    _Package("onnx", ("onnx",), "exporting models", "onnx"),
    _Package("PySide6", ("pyside6-essentials", "pyside6"), "the desktop app", "gui"),
    _Package("pyqtgraph", ("pyqtgraph",), "the desktop app's plots", "gui"),
    _Package("cupy", ("cupy-cuda13x", "cupy-cuda12x", "cupy"), "arrays on a GPU", "cuda13"),
    _Package("torch", ("torch",), "PyTorch", "torch"),
    _Package("dask", ("dask",), "arrays larger than memory", "dask"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command, which has no options."""
    parser.description = "Say what is installed, what is missing and how to get it."


def run(_: argparse.Namespace) -> int:
    """Print the state of this installation; 0 if train and gui can run."""
    for name, value in configuration().items():
        if name != "cupy":
            print(f"  {name:<18} {', '.join(value) if isinstance(value, list) else value}")
    print()
    works = True
    for package in _PACKAGES:
        version = _version(package.distributions)
        if version is None:
            print(f"  missing  {package.module:<15} {package.use}: pip install 'fastdrop-kernels[{package.extra}]'")
            works = works and package.extra not in ("experiments", "gui")
        else:
            print(f"  ok       {package.module:<15} {version:<12} {package.use}")
    needs = desktop.missing_for_gui()
    if needs:
        works = False
        command = desktop.install_command(needs)
        print(f"  missing  Qt's system libraries: {', '.join(need.what for need in needs)}")
        print(f"           install with: {' '.join(command or [need.debian for need in needs])}")
    else:
        print("  ok       Qt's system libraries")
    if desktop.has_display():
        print("  ok       a display")
    else:
        print("  missing  a display (DISPLAY, WAYLAND_DISPLAY): the app's window cannot open; fastdrop train works")
    print(f"  {_gpu()}")
    return 0 if works else 1


def _version(distributions: tuple[str, ...]) -> str | None:
    for distribution in distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _gpu() -> str:
    try:
        cupy = device.require()
    except BackendUnavailable as error:
        return f"missing  a CUDA GPU, for arrays of CuPy's: {error}"
    names = {cupy.cuda.runtime.getDeviceProperties(number)["name"] for number in range(device.count())}
    return f"ok       a CUDA GPU: {', '.join(sorted(name.decode() for name in names))}"
