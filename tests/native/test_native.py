"""The kernels as C: built with every compiler, for every available processor, replayed against the reference's results.

make native

tests/native/cases.py writes the cases, tests/native/replay.c runs them between guard pages. A case whose tool or
processor is missing is skipped and named; with FASTDROP_REQUIRE_NATIVE=1, as in `make test-all`, a missing
tool is a failure. test_platforms.py does the same for other operating systems.
"""

import subprocess
import sys

import pytest
from native.flavours import (
    ENVIRONMENT,
    HERE,
    OWN_ISAS,
    X86,
    Flavour,
    check_replay,
    compile_c,
    processor_has,
    require,
    setup_arguments,
)

SANITIZERS = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Checks as calls, not inlined: this halves the compile time, which dominates.
SANITIZERS += ["--param", "asan-instrumentation-with-call-threshold=0"]


FLAVOURS = {
    "gcc": Flavour("gcc", OWN_ISAS),
    "clang": Flavour("clang", OWN_ISAS),
    # The build of a compiler without vector types and OpenMP, such as MSVC.
    "scalar": Flavour("gcc", ["portable"], ("-DFD_SCALAR",), openmp=False),
    "sanitizers": Flavour("gcc", OWN_ISAS, tuple(SANITIZERS), options=("--quick",)),
    "aarch64": Flavour(
        "aarch64-linux-gnu-gcc", ["neon", "portable"], ("-static",), "aarch64", ("qemu-aarch64",), options=("--quick",)
    ),
    "riscv64": Flavour(
        "riscv64-linux-gnu-gcc", ["portable"], ("-static",), "riscv64", ("qemu-riscv64",), options=("--quick",)
    ),
}

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="guard pages and emulation as Linux has them"),
]


@pytest.mark.parametrize(("name", "isa"), [(name, isa) for name, flavour in FLAVOURS.items() for isa in flavour.isas])
def test_replay(name, isa, replayed):
    check_replay(name, FLAVOURS[name], isa, replayed)


# QEMU's emulation of x86 has no AVX-512.
PROCESSORS = {
    "Westmere": ["portable"],
    "Haswell": ["avx2", "portable"],
    "EPYC": ["avx2", "portable"],
    "Haswell,-bmi2": ["portable"],
    "Haswell,-f16c": ["portable"],
    "Haswell,-avx2": ["portable"],
    "Haswell,-xsave": ["portable"],  # the system does not save AVX's registers
}


@pytest.mark.skipif(not X86, reason="asks an x86 processor")
def test_instruction_sets_of_other_processors(tmp_path):
    program = tmp_path / "available"
    macros = ["-DFASTDROP_HAVE_AVX512=1", "-DFASTDROP_HAVE_AVX2=1"]
    for compiler in ("gcc", "clang"):
        require(Flavour(compiler, [], runner=("qemu-x86_64",)))
        objects = [str(tmp_path / name) for name in ("processor.o", "available.o")]
        compile_c(
            [compiler, "-std=c++17", "-Isrc_kernels", *macros, "-c", "src_kernels/cpu/processor.cpp", "-o", objects[0]]
        )
        compile_c([compiler, "-std=c11", "-Isrc_kernels", "-c", str(HERE / "available.c"), "-o", objects[1]])
        compile_c([compiler, *objects, "-o", str(program)])
        for processor, isas in PROCESSORS.items():
            command = ["qemu-x86_64", "-cpu", processor, program]
            found = subprocess.run(command, capture_output=True, text=True, check=True)
            assert found.stdout.split() == isas, (compiler, processor)
        here = subprocess.run([program], capture_output=True, text=True, check=True)
        assert here.stdout.split() == [isa for isa in OWN_ISAS if processor_has(isa)]


POOL = {
    "gcc": ("gcc", ()),
    "clang": ("clang", ()),
    "sanitizers": ("gcc", tuple(SANITIZERS[:4])),
    "elsewhere": ("gcc", ("-U__linux__", *SANITIZERS[:4])),  # by malloc, as on other systems
    "threads": ("gcc", ("-O1", "-g1", "-fsanitize=thread")),
}


@pytest.mark.parametrize("name", POOL)
def test_the_pool(name, tmp_path):
    """Threads that allocate and free concurrently, forks, and requests that NumPy seldom makes."""
    compiler, flags = POOL[name]
    flavour = Flavour(compiler, ["portable"])
    require(flavour)
    _, extension = setup_arguments(flavour)
    common = extension.extra_compile_args
    target = tmp_path / "pool"
    sources = ["src_kernels/cpu/pool.c", str(HERE / "pool.c")]
    compile_c(
        [
            compiler,
            "-Werror",
            "-D_GNU_SOURCE",
            "-Isrc_kernels",
            *common,
            *flags,
            *sources,
            "-pthread",
            "-o",
            str(target),
        ]
    )
    # ThreadSanitizer has no threads in a child; and AddressSanitizer's malloc may deadlock there.
    arguments = ["--no-fork"] if name in ("threads", "elsewhere") else []
    environment = {**ENVIRONMENT, "ASAN_OPTIONS": "allocator_may_return_null=1"}
    result = subprocess.run(
        [target, *arguments], capture_output=True, text=True, check=False, env=environment, timeout=600
    )
    assert (result.returncode, result.stdout) == (0, "right\n"), result.stdout + result.stderr[-3000:]
