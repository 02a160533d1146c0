"""The kernels as C for Windows, macOS, musl, RISC-V and WebAssembly: built by zig, replayed where possible.

make platforms

Windows' programs run under Wine, WebAssembly in Wasmtime, other processors' under emulation; macOS's and Windows
on Arm's are compiled only. tests/native/flavours.py says what a flavour is; what is missing is skipped or, with
FASTDROP_REQUIRE_NATIVE=1, a failure.
"""

import shlex
import sys

import pytest
from native.flavours import HERE, Flavour, build_flavour, check_replay, require

X86_ISAS = ["avx512", "avx2", "portable"]
ARM_ISAS = ["neon", "portable"]


def zig(target, machine, isas, runner, *flags):
    # Warnings come before code generation: what is not run need not be optimised.
    flags = flags if runner is not None else (*flags, "-O1")
    command = shlex.join([sys.executable, "-m", "ziglang", "cc", "-target", target])
    return Flavour(command, isas, flags, machine, runner, openmp=False, options=("--quick",), needs=("ziglang",))


WASMTIME = (sys.executable, str(HERE / "wasi.py"))
FLAVOURS = {
    "windows-x86_64": zig("x86_64-windows-gnu", "AMD64", X86_ISAS, ("wine",)),
    "windows-arm64": zig("aarch64-windows-gnu", "ARM64", ARM_ISAS, None),
    "macos-arm64": zig("aarch64-macos", "arm64", ARM_ISAS, None),
    "macos-x86_64": zig("x86_64-macos", "x86_64", X86_ISAS, None),
    "musl-x86_64": zig("x86_64-linux-musl", "x86_64", X86_ISAS, ()),
    "musl-aarch64": zig("aarch64-linux-musl", "aarch64", ARM_ISAS, ("qemu-aarch64",)),
    "musl-riscv64": zig("riscv64-linux-musl", "riscv64", ["portable"], ("qemu-riscv64",)),
    "wasm32": zig("wasm32-wasi", "wasm32", ["portable"], WASMTIME)._replace(needs=("ziglang", "wasmtime")),
}

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform != "linux", reason="Wine and emulation as Linux has them"),
]


@pytest.mark.parametrize("name", [name for name, flavour in FLAVOURS.items() if flavour.runner is None])
def test_compiles(name, tmp_path):
    require(FLAVOURS[name])
    build_flavour(FLAVOURS[name], tmp_path)


@pytest.mark.parametrize(
    ("name", "isa"),
    [(name, isa) for name, flavour in FLAVOURS.items() if flavour.runner is not None for isa in flavour.isas],
)
def test_replay(name, isa, replayed):
    check_replay(name, FLAVOURS[name], isa, replayed)
