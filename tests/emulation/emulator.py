"""Runs the CUDA kernels on the processor: the same source, compiled as C++ after cuda_emulation.h.

`kernel` replaces `fastdrop.backends.cuda.compiler.kernel`. FASTDROP_EMULATION_FLAGS adds compiler flags, such as
a planted fault. It takes seconds and needs no wheel of NVIDIA, so `make test` uses it; accesses, races and orders are
checked on the PTX that NVRTC makes from the same source (tests/ptx).
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from fastdrop.backends.cuda import source

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "emulation"
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-fno-strict-aliasing"]
FLAGS += ["-fno-gnu-unique"]  # every library has separate shared arrays
FLAGS += [
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-Wno-maybe-uninitialized",
    "-Wno-clobbered",
    "-Werror",
]


ORDERS = ("forwards", "backwards", "random")


class Launch(ctypes.Structure):
    """As in scheduler.h."""

    _fields_: ClassVar = [(name, ctypes.c_uint32) for name in ("grid", "first", "last", "block", "order")]
    _fields_ += [("seed", ctypes.c_uint64)]


def launched(grid, block, order, seed=0):
    """A launch's blocks and order, by the options."""
    (blocks,), (threads,) = grid, block
    first = 0 if options.only_last_blocks is None else max(0, blocks - options.only_last_blocks)
    return Launch(blocks, first, blocks, threads, ORDERS.index(options.order or order), seed)


class Options:
    """How launches run; tests change it."""

    only_last_blocks = None
    """Run only this number of blocks, at the end of the grid."""
    order = None
    """The order in which threads and blocks run: one of ORDERS; None: the emulation chooses."""
    watch_shared = False
    """Whether reads of shared memory that no thread of the block wrote are errors."""


options = Options()


@contextlib.contextmanager
def set_options(**changes):
    before = {name: getattr(options, name) for name in changes}
    try:
        for name, value in changes.items():
            setattr(options, name, value)
        yield options
    finally:
        for name, value in before.items():
            setattr(options, name, value)


def translation_unit(text, expressions):
    """The kernels and, for each instance, a function that runs blocks of it."""
    entries = "\n".join(
        f'extern "C" const char *run_{n}(const void *argument, unsigned long size, const launch *how) {{ '
        f"return run_instance<decltype({name}), {name}>(argument, size, how); }}"
        for n, name in enumerate(expressions)
    )
    return f"""#include "cuda_emulation.h"
{text}
#include "cuda_emulation_end.h"
template <typename Function> struct argument_of;
template <typename Argument> struct argument_of<void(Argument)> {{ typedef Argument type; }};
template <typename Function, Function kernel>
const char *run_instance(const void *argument, unsigned long size, const launch *how) {{
    typedef typename argument_of<Function>::type type;
    if (size != sizeof(type)) return "the argument has another size than the kernel's struct";
    return emulate([](const void *a) {{ kernel(*(const type *)a); }}, argument, *how);
}}
{entries}
"""


@functools.cache
def library(file, text=None, watch_shared=False):
    """The compiled kernels of a file."""
    expressions = source.instances()[file]
    unit = translation_unit(text or source.text(file), expressions)
    watched = ["-fsanitize=thread"] if watch_shared else []
    flags = [*FLAGS, *watched, f"-I{HERE}", *shlex.split(os.environ.get("FASTDROP_EMULATION_FLAGS", ""))]
    headers = "".join(path.read_text() for path in sorted(HERE.glob("*.h")))
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{hashlib.sha256((unit + headers + repr(flags)).encode()).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            unit_path, part, made = (Path(folder, name) for name in ("unit.cpp", "unit.o", "unit.so"))
            unit_path.write_text(unit)
            linked = [flag for flag in flags if flag not in watched]
            for command in (
                ["g++", *flags, "-c", str(unit_path), "-o", str(part)],
                ["g++", *linked, "-Wl,-Bsymbolic", str(part), "-o", str(made)],
            ):
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                if result.returncode:
                    raise RuntimeError(result.stderr[:5000])
            os.replace(made, path)
    return ctypes.CDLL(str(path)), expressions


def kernel(expression, device=0, text=None):
    """An object that is launched like CuPy's kernels."""
    loaded, expressions = library(source.file_of(expression), text, options.watch_shared)
    function = getattr(loaded, f"run_{expressions.index(expression)}")
    function.restype = ctypes.c_char_p

    def launch(grid, block, arguments):
        (packed,) = arguments
        how = launched(grid, block, "forwards")
        failure = function(packed.ctypes.data_as(ctypes.c_void_p), ctypes.c_ulong(packed.nbytes), ctypes.byref(how))
        if failure:
            raise RuntimeError(f"{expression}: {failure.decode()}")

    return launch
