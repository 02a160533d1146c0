"""Runs the kernels' PTX on the processor, as NVRTC makes it, with every access to memory checked.

`kernel_for("90")` replaces `fastdrop.backends.cuda.compiler.kernel`, as tests/emulation's does for the source.
`python tests/ptx/run.py` runs all tests of CUDA on it.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import ClassVar
from unittest import mock

import cupy
import emulated_cupy
import emulator
import numpy as np
from ptx import decode

from fastdrop.backends.cuda import compiler

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "ptx"
FLAGS = ["-std=gnu++17", "-O2", "-ffp-contract=off", "-fno-strict-aliasing", "-fPIC", "-shared", "-Wall", "-Wextra"]
FLAGS += ["-Wno-unused-function", "-Wno-implicit-fallthrough", "-Werror", f"-I{emulator.HERE}"]
ARCHITECTURES = ("75", "90")

SEED = int(os.environ.get("FASTDROP_PTX_SEED", "0"))

cupy.cuda.nvrtc.getVersion()  # loads its library now, before tests replace CuPy

_test = ""
"""The name of the test that runs, and the number of its launches: they decide the orders."""
_count = 0

launches: dict[tuple[str, str], set[str]] = {}
"""The orders in which each kernel of each architecture has run in this process."""
kernels: dict[tuple[str, str], decode.Kernel] = {}


class Code(ctypes.Structure):
    """As in machine.cpp."""

    _fields_: ClassVar = [
        ("instructions", ctypes.c_void_p),
        ("instruction_count", ctypes.c_uint64),
        ("registers", ctypes.c_void_p),
        ("register_count", ctypes.c_uint64),
        ("executed", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("tid", "ctaid", "ntid", "nctaid")),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    """The machine, compiled once for each version of its source."""
    texts = [path.read_bytes() for folder in (HERE, emulator.HERE) for path in sorted(folder.glob("*.[hc]*"))]
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"machine-{hashlib.sha256(b''.join(texts) + repr(FLAGS).encode()).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            made = Path(folder, path.name)
            command = ["g++", *FLAGS, str(HERE / "machine.cpp"), "-o", str(made)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise RuntimeError(result.stderr[:5000])
            os.replace(made, path)
    loaded = ctypes.CDLL(str(path))
    loaded.operation_name.restype = loaded.execute.restype = ctypes.c_char_p
    return loaded


@functools.cache
def operations() -> dict[str, int]:
    """The instructions that kernels may consist of, and their numbers."""
    return {library().operation_name(n).decode(): n for n in range(library().operation_count())}


@contextlib.contextmanager
def compiling():
    """The product's compiler with the real CuPy, even where tests replace it, and with a cache in the build folder."""
    changed = {"CUPY_CACHE_DIR": str(BUILD / "compiled")}
    with mock.patch.object(compiler, "cupy", return_value=cupy), mock.patch.dict(os.environ, changed):
        yield


def ptx_of(expression: str, architecture: str) -> tuple[str, str]:
    """The PTX that the driver gets for a GPU that NVRTC does not know, and the function's name in it."""
    with compiling():
        image, function = compiler.compiled(expression, str(int(architecture) + 1))
    text = image.decode().rstrip("\0")
    if f".target sm_{architecture}" not in text:
        raise RuntimeError(f"{expression} is not compiled for sm_{architecture}")
    return text, function


def decoded(expression: str, architecture: str) -> decode.Kernel:
    key = architecture, expression
    if key not in kernels:
        kernels[key] = decode.Kernel(*ptx_of(expression, architecture), operations())
    return kernels[key]


def kernel_for(architecture: str):
    """The function that replaces the compiler's: it returns an object that is launched like CuPy's kernels."""
    return lambda expression, device=0: Launcher(decoded(expression, architecture), expression, architecture)


class Launcher:
    def __init__(self, kernel: decode.Kernel, expression: str, architecture: str) -> None:
        self.kernel, self.expression, self.architecture = kernel, expression, architecture
        places = [kernel.registers[name] for name in decode.SPECIAL]
        rows, start = kernel.instructions, kernel.start
        self.code = Code(
            rows.ctypes.data, len(rows), start.ctypes.data, len(start), kernel.executed.ctypes.data, *places
        )
        self.shared = np.array(kernel.shared, np.uint64).reshape(-1, 2)

    def __call__(self, grid, block, arguments) -> None:
        (packed,) = arguments
        how = emulator.launched(grid, block, *next_order())
        arrays = emulated_cupy.allocations(packed.view(np.uint8).view(np.uint64))
        failure = library().execute(
            ctypes.byref(self.code),
            packed.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint64(packed.nbytes),
            ctypes.byref(how),
            *(
                part
                for bounds in (arrays, self.shared)
                for part in (bounds.ctypes.data_as(ctypes.c_void_p), len(bounds))
            ),
        )
        order = emulator.ORDERS[how.order]
        if failure:
            raise RuntimeError(
                f"{self.expression}, PTX for sm_{self.architecture}, {order}, seed {how.seed}: {failure.decode()}"
            )
        launches.setdefault((self.architecture, self.expression), set()).add(order)


def begin_test(name: str) -> None:
    global _test, _count
    _test, _count = name, 0


def next_order() -> tuple[str, int]:
    """The order of a launch, and the seed of a random one; other tests do not change them."""
    global _count
    _count += 1
    number = zlib.crc32(f"{SEED} {_test} {_count}".encode())
    return emulator.ORDERS[number % 3], number
