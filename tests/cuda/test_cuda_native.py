"""The CUDA kernels without a GPU: compiled by NVIDIA's compilers.

With FASTDROP_REQUIRE_NATIVE=1, as in `make test-all`, a missing tool is a failure.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastdrop.backends.cuda import compiler, source

ROOT = Path(__file__).parents[2]
ARCHITECTURES = ["80", "100", "120"]  # tests/ptx has 75 and 90, with each kernel's machine code

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="compilers and sanitizers as Linux has them"),
]


def missing(what):
    message = f"missing: {what}"
    (pytest.fail if os.environ.get("FASTDROP_REQUIRE_NATIVE") else pytest.skip)(message)


def unit(file):
    """A text that has nvcc compile every instance of a file's kernels."""
    names = ",\n".join(f"(void *){name}" for name in source.instances()[file])
    return f"{source.text(file)}\nvoid *instances[] = {{{names}}};\n"


class Kernel:
    """What ptxas reports of one kernel."""

    def __init__(self, name, report):
        self.name = name
        self.registers = int(re.search(r"Used (\d+) registers", report)[1])
        self.stack, *self.spills = map(
            int,
            re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report).groups(),
        )


def reported(text):
    """The kernels of a report of `ptxas -v`."""
    parts = re.split(r"Compiling entry function '(\S+)' for '\w+'", text)
    return [Kernel(name, report) for name, report in zip(parts[1::2], parts[2::2], strict=True)]


@pytest.mark.parametrize("file", source.FILES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvcc(architecture, file, tmp_path):
    if shutil.which("nvcc") is None:
        missing("nvcc (NVIDIA's CUDA toolkit 13)")
    path = tmp_path / file
    path.write_text(unit(file))
    flags = [*compiler.OPTIONS, f"-arch=sm_{architecture}", "-Werror", "all-warnings", "-Xptxas", "-v"]
    flags += ["-diag-suppress", "177"]  # what the C side alone uses of the shared headers
    command = ["nvcc", *flags, "-cubin", str(path), "-o", str(tmp_path / "kernels.cubin")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    kernels = reported(result.stderr)
    assert len(kernels) == len(source.instances()[file])
    print(f"sm_{architecture}, registers and bytes of stack and spills:")
    for kernel in kernels:
        print(f"  {kernel.registers:4} {kernel.stack} {kernel.spills}  {kernel.name}")
    spilling = [(kernel.name, kernel.stack, kernel.spills) for kernel in kernels if kernel.stack or any(kernel.spills)]
    assert spilling == []


@pytest.fixture
def nvrtc(tmp_path, monkeypatch):
    """NVIDIA's run-time compiler through CuPy, and an empty cache."""
    if importlib.util.find_spec("cupy") is None or importlib.util.find_spec("nvidia") is None:
        missing("cupy and NVRTC (pip install --group native)")
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    return importlib.import_module("cupy").cuda.nvrtc


@pytest.mark.parametrize("architecture", ["75", "90"])
def test_the_run_time_compiler(architecture, tmp_path, monkeypatch, nvrtc):
    """A kernel of each file as users' machines compile it, by NVRTC; and its cache. test_ptx.py has all kernels."""
    names = [names[-1] for names in source.instances().values()]
    found = [compiler.compiled(name, architecture) for name in names]
    files = sorted((tmp_path / "fastdrop").iterdir())
    assert sorted(path.read_bytes() for path in files) == sorted(image for image, _ in found)
    monkeypatch.setattr(compiler, "_compile", None)
    assert compiler.compiled(names[0], architecture) == found[0]  # from the disk, without compiling
    with pytest.raises(TypeError):
        compiler.compiled(names[0], "80")


def test_ptx_for_a_gpu_that_is_newer_than_the_compiler(nvrtc, monkeypatch, tmp_path):
    """The driver's compiler takes it. That it makes no one instruction of a product and a sum: tests/ptx."""
    monkeypatch.setattr(nvrtc, "getSupportedArchs", lambda: (75, 80, 90))
    for number, names in enumerate(source.instances().values()):
        for name in (names[0], names[-1]):
            ptx, function = compiler.compiled(name, "100")
            text = ptx.decode()
            assert ".target sm_90" in text
            assert f".entry {function}(" in text
            path = tmp_path / f"{number}.ptx"
            path.write_text(text)
            if shutil.which("ptxas"):  # what the driver does
                command = ["ptxas", "-arch=sm_100", str(path), "-o", str(tmp_path / "made.cubin")]
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                assert result.returncode == 0 or "Unsupported .version" in result.stderr, result.stderr


def test_what_does_not_compile_is_told(nvrtc):
    with pytest.raises(RuntimeError, match=r"(?s)fd_keep_bits_kernel for sm_90 failed.*here_is_no_such_thing"):
        compiler._compile("here_is_no_such_thing;", "fd_keep_bits_kernel", "sm_90")
