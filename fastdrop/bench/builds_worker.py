"""Measures one build of fastdrop for `builds.py`: a script, run by the build's Python, or with the build's folder.

It uses public functions alone, so that it measures builds that are older than itself. Requests and answers are lines of
JSON; whatever a build prints goes to stderr.
"""

import functools
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_DIGESTED = 1 << 14
"""Elements at either end of a result."""
_PAGE, _PLACES, _STEP = 4096, 1024, 17
"""Arrays lie elsewhere in each turn, since their place affects speed: _STEP pages on, of _PLACES."""


class _Finder(importlib.abc.MetaPathFinder):
    """Finds fastdrop in a folder: site-packages, or a checkout, whose kernels are in another folder."""

    def __init__(self, folder: Path) -> None:
        self._places = {"fastdrop": folder / "fastdrop"}
        if not (folder / "fastdrop" / "_kernels").is_dir():  # a checkout of before 0.2
            self._places["fastdrop._kernels"] = folder / "src_kernels"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self._places.get(fullname)
        if place is None or not (place / "__init__.py").is_file():
            return None
        file = place / "__init__.py"
        return importlib.util.spec_from_file_location(fullname, file, submodule_search_locations=[str(place)])


def load(folder: str) -> Any:
    """The fastdrop of a folder, or this Python's own; an ImportError where there is none, or only a part of one."""
    if folder:
        sys.meta_path.insert(0, _Finder(Path(folder)))
    fd: Any = importlib.import_module("fastdrop")
    kernels = importlib.import_module("fastdrop._kernels.cpu").__file__
    if folder and not Path(str(kernels)).is_relative_to(folder):  # another installation's
        version = ".".join(map(str, sys.version_info[:2]))
        raise ImportError(f"its kernels are not compiled for Python {version}: run `pip install -e .` there")
    return fd


def _operations() -> Any:
    """The table beside this script, whatever build is measured."""
    spec = importlib.util.spec_from_file_location("operations", Path(__file__).with_name("operations.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["operations"] = module
    spec.loader.exec_module(module)
    return module


class Worker:
    """Answers requests."""

    def __init__(self, fd: Any) -> None:
        self._fd = fd
        self._operations = _operations()
        self._buffers = self._operations.Buffers()
        self._run: Callable[[], Any] = lambda: None

    def about(self) -> dict[str, Any]:
        """Which build this is."""
        return {
            "fastdrop": self._fd.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": importlib.import_module("numpy").__version__,
            "instruction set": importlib.import_module("fastdrop._kernels.cpu").current_isa(),
        }

    def prepare(
        self, operation: str, shape: list[int], dtype: str, p: float, threads: int, turn: int
    ) -> dict[str, Any]:
        """Make the arrays of a case, and call it twice: a digest of the first result, seconds of the second call."""
        self._fd.set_num_threads(threads)
        self._run = lambda: None  # frees the case before
        offset, room = turn * _STEP % _PLACES * _PAGE, _PLACES * _PAGE

        @functools.cache
        def get(role: str) -> Any:
            return self._buffers.get(role, tuple(shape), dtype, offset, room)

        self._run = run = self._operations.OPERATIONS[operation].make(self._fd, get, p).run
        result = run()
        y = (result[0] if isinstance(result, tuple) else result).reshape(-1)
        digest = zlib.crc32(y[:_DIGESTED].tobytes() + y[-_DIGESTED:].tobytes())
        del result, y
        begin = time.perf_counter()
        run()
        return {"digest": digest, "seconds": time.perf_counter() - begin}

    def time(self, loops: int, untimed: int) -> dict[str, Any]:
        """Seconds of a call."""
        run = self._run
        for _ in range(untimed):
            run()
        begin = time.perf_counter()
        for _ in range(loops):
            run()
        return {"seconds": (time.perf_counter() - begin) / loops}


def main(folder: str) -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal reaches both; the parent decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(work: Callable[[], dict[str, Any]]) -> bool:
        try:
            found = {**work(), "used": time.process_time()}
        except Exception as error:  # whatever a build raises is reported
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(found), file=answers, flush=True)
        return "error" not in found

    worker: list[Worker] = []

    def begin() -> dict[str, Any]:
        worker.append(Worker(load(folder)))
        return worker[0].about()

    if answer(begin):
        for line in sys.stdin:
            request = json.loads(line)
            answer(functools.partial(getattr(worker[0], request.pop("do")), **request))


if __name__ == "__main__":
    main(sys.argv[1])
