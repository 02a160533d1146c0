"""Kernels compiled when they are first used, each by itself and for the device that it runs on, and kept on disk.

CuPy's own way from source to kernel adds `-ftz=true`: subnormal numbers would become 0, and values differ from the
CPU's. So NVRTC is called here, through CuPy's bindings, and CuPy loads the result. That takes 0.2 to 0.5 seconds for a
kernel, once for each machine.
"""

import contextlib
import hashlib
import os
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from fastdrop.backends.cuda import source
from fastdrop.backends.cuda.device import INSTALL, cupy
from fastdrop.errors import BackendUnavailable

OPTIONS = ("-std=c++17", "--fmad=false")
"""No fused multiply-adds: products are rounded before they are added, as on the CPU."""

LEFT_BEHIND = 3600
"""Seconds after which a temporary file in the cache belongs to no process that still writes it."""

_kernels: dict[tuple[str, int], Any] = {}
_locks: dict[tuple[str, int], threading.RLock] = {}


def kernel(expression: str, device: int) -> Any:
    """A kernel, ready to be launched on the device that is current and has this number."""
    key = expression, device
    found = _kernels.get(key)
    if found is None:
        with _locks.setdefault(key, threading.RLock()):  # threads that want the same kernel wait for the first
            found = _kernels.get(key)
            if found is None:
                image, function = compiled(expression, cupy().cuda.Device(device).compute_capability)
                module = cupy().cuda.Module()
                module.load(image)
                found = _kernels[key] = module.get_function(function)
    return found


def compiled(expression: str, capability: str) -> tuple[bytes, str]:
    """A kernel as the driver loads it on devices of a compute capability such as "90", and its name there.

    From the cache; compiled, and put there, if it is not in it whole.
    """
    target, kind = target_for(capability)
    text = source.text(source.file_of(expression))
    key = repr((expression, target, OPTIONS, cupy().cuda.nvrtc.getVersion(), _user(), text))
    start = hashlib.sha256(key.encode()).hexdigest()[:32]
    found = _cached(start, kind)
    if found is None:
        found = _compile(text, expression, target)
        _store(start, kind, *found)
    return found


def target_for(capability: str) -> tuple[str, str]:
    """What to compile for, and what that is: machine code ("cubin"), or "ptx" for a device that NVRTC does not know.

    The driver compiles PTX for its device, so the newest that NVRTC knows below it will do.
    """
    nvrtc = cupy().cuda.nvrtc
    try:
        supported = nvrtc.getSupportedArchs()
    except RuntimeError as error:
        raise BackendUnavailable(
            f"CuPy finds no NVRTC, which compiles the kernels ({error}); install it with: {INSTALL}"
        ) from None
    known = [number for number in supported if number <= int(capability)]
    if not known:
        version = ".".join(map(str, nvrtc.getVersion()))
        raise BackendUnavailable(
            f"NVRTC {version} makes no code for a GPU of compute capability {int(capability) / 10}: the oldest that it "
            f"knows is {min(supported) / 10}; install a CuPy with an older one: "
            "pip install 'fastdrop-kernels[cuda12]'"
        )
    newest = max(known)
    return (f"sm_{newest}", "cubin") if newest == int(capability) else (f"compute_{newest}", "ptx")


def _compile(text: str, expression: str, target: str) -> tuple[bytes, str]:
    """The machine code or PTX, and the name that the kernel has in it."""
    nvrtc = cupy().cuda.nvrtc
    program = nvrtc.createProgram(text, source.file_of(expression), (), ())
    try:
        nvrtc.addNameExpression(program, expression)
        try:
            nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={target}"))
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program)
            raise RuntimeError(f"compiling {expression} for {target} failed: {error}\n{log}") from None
        function = nvrtc.getLoweredName(program, expression)
        if target.startswith("sm_"):
            return whole_cubin(nvrtc.getCUBIN(program)), function
        return nvrtc.getPTX(program), function
    finally:
        nvrtc.destroyProgram(program)


def whole_cubin(image: bytes) -> bytes:
    """Machine code with its last byte, which CuPy's `getCUBIN` takes for a string's end and cuts off.

    It is the last of the last program header, the upper byte of a small number: 0. The ELF header says where the
    program headers and the section headers end.
    """
    if len(image) < 64 or not image.startswith(b"\x7fELF\x02\x01"):  # 64 bits, little-endian
        raise RuntimeError(f"NVRTC gave no machine code: {len(image)} bytes that begin {image[:8]!r}")
    program_headers, section_headers = struct.unpack_from("<QQ", image, 0x20)
    program_size, program_count, section_size, section_count = struct.unpack_from("<HHHH", image, 0x36)
    end = max(program_headers + program_size * program_count, section_headers + section_size * section_count)
    if end == len(image) + 1:
        return image + b"\0"
    if end > len(image):
        raise RuntimeError(f"NVRTC gave machine code of {len(image)} bytes, whose headers end at byte {end}")
    return image


# ---- the cache: files named after what was compiled, its function, and their content


def _folder() -> Path:
    """Beside CuPy's own compiled kernels."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache"), "fastdrop")


def _user() -> int:
    """A number for who runs this process; Windows, which has none, keeps each user's folders apart itself."""
    return getattr(os, "getuid", int)()


def _name(start: str, function: str, content: bytes, kind: str) -> str:
    return f"{start}.{function}.{hashlib.sha256(content).hexdigest()[:32]}.{kind}"


def _of(start: str, kind: str) -> list[Path]:
    """All files for this, in whatever state; several only after damage."""
    try:
        return list(_folder().glob(f"{start}.*.{kind}"))
    except OSError:
        return []


def _cached(start: str, kind: str) -> tuple[bytes, str] | None:
    """What was compiled for this, if it is as it was written, and by this user: it runs with this user's rights."""
    for path in _of(start, kind):
        with contextlib.suppress(OSError), path.open("rb") as file:
            content, function = file.read(), path.name.split(".")[1]
            if path.name == _name(start, function, content, kind) and os.fstat(file.fileno()).st_uid == _user():
                return content, function
    return None


def _store(start: str, kind: str, content: bytes, function: str) -> None:
    """Put it into the cache, where damaged files make way for it; where that cannot be written, it is not kept."""
    path = _folder() / _name(start, function, content, kind)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            try:
                part.write(content)
                part.flush()
                os.replace(part.name, path)  # at once: other processes may look for it
            except BaseException:
                os.unlink(part.name)
                raise
        for other in _of(start, kind):
            if other != path:
                other.unlink(missing_ok=True)


def _remove_left_behind(folder: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote."""
    for part in folder.glob(f"{tempfile.gettempprefix()}*"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - LEFT_BEHIND:
                part.unlink()
