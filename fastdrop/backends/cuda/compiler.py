"""Kernels compiled when they are first used, each by itself and for the device that it runs on, and kept on disk.

CuPy's own way from source to kernel adds `-ftz=true`: subnormal numbers would become 0, and values differ from the
CPU's. So NVRTC is called here, through CuPy's bindings, and CuPy loads the result. That takes 0.2 to 0.5 seconds for a
kernel, once for each machine.
"""

import functools
import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastdrop.backends.cuda import source
from fastdrop.backends.cuda.device import cupy

OPTIONS = ("-std=c++17", "--fmad=false")
"""No fused multiply-adds: products are rounded before they are added, as on the CPU."""
_PART = ".part-"


@functools.cache
def kernel(expression: str, device: int) -> Any:
    """A kernel, ready to be launched on the device that is current and has this number."""
    path = cubin(expression, cupy().cuda.Device(device).compute_capability)
    return cupy().RawModule(path=str(path)).get_function(_function(path))


def cubin(expression: str, architecture: str) -> Path:
    """The file with the compiled kernel for an architecture such as "90"; compiled if it is not there yet."""
    nvrtc = cupy().cuda.nvrtc
    text = source.text(source.file_of(expression))
    key = repr((expression, architecture, OPTIONS, nvrtc.getVersion(), text))
    start = hashlib.sha256(key.encode()).hexdigest()[:32]
    folder = _cache_folder()
    for known in folder.glob(f"{start}.*.cubin"):
        if os.access(known, os.R_OK):
            return known
    image, function = _compile(text, expression, architecture)
    path = folder / f"{start}.{function}.cubin"
    _write(path, image)
    return path


def _write(path: Path, image: bytes) -> None:
    """Whole or not at all: other processes may look for it. What killed ones left an hour ago is removed."""
    for left in path.parent.glob(f"{_PART}*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - 3600:
                left.unlink()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_PART, delete=False) as part:
        try:
            part.write(image)
            part.flush()
            os.chmod(part.name, 0o644)  # the folder may be shared
            os.replace(part.name, path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


def _function(path: Path) -> str:
    return path.name.split(".")[1]


def _compile(text: str, expression: str, architecture: str) -> tuple[bytes, str]:
    """The machine code, and the name that the kernel has in it."""
    nvrtc = cupy().cuda.nvrtc
    program = nvrtc.createProgram(text, source.file_of(expression), (), ())
    try:
        nvrtc.addNameExpression(program, expression)
        try:
            nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture=sm_{architecture}"))
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program)
            raise RuntimeError(f"compiling {expression} for sm_{architecture} failed: {error}\n{log}") from None
        return nvrtc.getCUBIN(program), nvrtc.getLoweredName(program, expression)
    finally:
        nvrtc.destroyProgram(program)


@functools.cache
def _cache_folder() -> Path:
    """Beside CuPy's own compiled kernels; a folder for this process alone where that cannot be written."""
    base = os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache")
    folder = Path(base) / "fastdrop"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return Path(tempfile.mkdtemp(prefix="fastdrop-kernels-"))
    return folder
