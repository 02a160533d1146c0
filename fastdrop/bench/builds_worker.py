"""Measures one build of fastdrop for `builds.py`: a script, run by the build's Python, or with the build's folder.

It uses public functions alone, so that it measures builds that are older than itself. Requests come as lines of JSON,
and so do the answers; whatever else is printed goes to stderr.
"""

import functools
import importlib
import importlib.abc
import importlib.util
import json
import math
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

Call = Callable[[], Any]

Get = Callable[[str], Any]
"""The array of this role, in the case's shape and dtype."""

_DIGESTED = 1 << 14
"""Elements at either end of a result."""
_BLOCK = 1 << 16
_PAGE, _PLACES, _STEP = 4096, 1024, 17
"""Arrays lie elsewhere in each turn, since that decides about speed as well: _STEP pages on, of _PLACES."""


def _plain(name: str, **more: Any) -> Callable[..., Call]:
    def make(fd: Any, get: Get, p: float) -> Call:
        function, stream, x, out = getattr(fd, name), fd.Stream(0), get("x"), get("out")
        return lambda: function(x, p, rng=stream, out=out, **more)

    return make


def _of_two(name: str) -> Callable[..., Call]:
    def make(fd: Any, get: Get, p: float) -> Call:
        function, stream, x, other, out = getattr(fd, name), fd.Stream(0), get("x"), get("other"), get("out")
        return lambda: function(x, other, p, rng=stream, out=out)

    return make


def _activated(activation: str) -> Callable[..., Call]:
    def make(fd: Any, get: Get, p: float) -> Call:
        function, stream, x, out = fd.bias_activation_dropout, fd.Stream(0), get("x"), get("out")
        bias = x[-1].copy()
        return lambda: function(x, bias, p, activation=activation, rng=stream, out=out)

    return make


def _backward(fd: Any, get: Get, p: float) -> Call:
    x, out = get("x"), get("out")
    mask = fd.dropout(x, p, rng=fd.Stream(0), out=out)[1]
    return lambda: fd.dropout_backward(x, mask, out=out)


def _new_result(fd: Any, get: Get, p: float) -> Call:
    stream, x = fd.Stream(0), get("x")
    return lambda: fd.dropout(x, p, rng=stream)


OPERATIONS: dict[str, Callable[..., Call]] = {
    "dropout": _plain("dropout"),
    "dropout backward": _backward,
    "dropout, new result": _new_result,
    "spatial dropout, channels first": _plain("spatial_dropout", channel_axis=1),
    "spatial dropout, channels last": _plain("spatial_dropout", channel_axis=-1),
    "bias + ReLU + dropout": _activated("relu"),
    "bias + GELU + dropout": _activated("gelu"),
    "dropout + add": _of_two("dropout_add"),
    "softmax + dropout": _plain("softmax_dropout"),
    "zoneout": _of_two("zoneout"),
    "drop path": _plain("drop_path"),
    "locked dropout": _plain("locked_dropout"),
    "call overhead": _new_result,
}
"""By the benchmark's names."""


class _Finder(importlib.abc.MetaPathFinder):
    """Finds fastdrop in a folder: site-packages, or a checkout, whose kernels have a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._places = {"fastdrop": folder / "fastdrop", "fastdrop._kernels": folder / "src_kernels"}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self._places.get(fullname)
        if place is None or not (place / "__init__.py").is_file():
            return None
        return importlib.util.spec_from_file_location(
            fullname, place / "__init__.py", submodule_search_locations=[str(place)]
        )


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


class Worker:
    """Does what is asked."""

    def __init__(self, fd: Any) -> None:
        self._fd = fd
        self._run: Call = lambda: None
        self._pools: dict[str, Any] = {}

    def about(self) -> dict[str, Any]:
        """Which build this is."""
        numpy = importlib.import_module("numpy")
        kernels = importlib.import_module("fastdrop._kernels.cpu")
        return {
            "fastdrop": self._fd.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": numpy.__version__,
            "instruction set": kernels.current_isa(),
        }

    def prepare(
        self, operation: str, shape: list[int], dtype: str, p: float, threads: int, turn: int
    ) -> dict[str, Any]:
        """Make the arrays of a case, and call it twice: a digest of the first result, seconds of the second call."""
        self._fd.set_num_threads(threads)
        self._run = run = OPERATIONS[operation](self._fd, lambda role: self._array(role, shape, dtype, turn), p)
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

    def _array(self, role: str, shape: list[int], dtype: str, turn: int) -> Any:
        """Random numbers, the same ones each time; of a result only the place matters."""
        numpy = importlib.import_module("numpy")
        kind = numpy.dtype(importlib.import_module("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
        count = math.prod(shape)
        start, size = turn * _STEP % _PLACES * _PAGE, count * kind.itemsize
        pool = self._pools.get(role)
        if pool is None or pool.size < size + _PLACES * _PAGE:
            self._run = lambda: None  # first free the old one
            del pool
            self._pools.pop(role, None)
            pool = self._pools[role] = numpy.zeros(size + _PLACES * _PAGE, numpy.uint8)
            pool.fill(0)  # zeros leaves the pages to the first writer
        array = pool[start : start + size].view(kind)
        if role != "out":
            seed = sum(role.encode())
            block = numpy.random.default_rng(seed).standard_normal(min(count, _BLOCK), numpy.float32).astype(kind)
            for begin in range(0, count, _BLOCK):
                array[begin : begin + _BLOCK] = block[: count - begin]
        return array.reshape(shape)


def main(folder: str) -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides; Ctrl-C in the terminal reaches both
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(work: Callable[[], dict[str, Any]]) -> bool:
        try:
            found = work()
        except Exception as error:  # whatever a build raises is told
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
