"""setup.py's choice of instruction sets, flags and OpenMP for each compiler, machine and system (fake compilers)."""

import shlex
import sys

import pytest
from native.flavours import Flavour, setup_arguments

COMPILER = """
import sys
sys.exit(any(word in sys.argv for word in {unknown!r}))
"""


@pytest.fixture
def decide(tmp_path):
    """A function that returns the flags of each library, and the extension, for a compiler that rejects some flags."""

    def decide(machine, system="linux", unknown=()):
        script = tmp_path / "cc.py"
        script.write_text(COMPILER.format(unknown=[*unknown]))
        flavour = Flavour(shlex.join([sys.executable, str(script)]), [], machine=machine)
        libraries, extension = setup_arguments(flavour, system)
        return {name.removeprefix("fastdrop_"): build["cflags"] for name, build in libraries}, extension

    return decide


def dispatched(flags):
    """The instruction sets that the dispatching library chooses from."""
    macros = [flag[2:].removesuffix("=1") for flag in flags["calls"] if flag[:2] in ("-D", "/D")]
    return {name.removeprefix("FASTDROP_HAVE_").lower() for name in macros}


@pytest.mark.parametrize(
    ("machine", "system", "isas"),
    [
        ("x86_64", "linux", {"avx512", "avx2", "portable"}),
        ("x86_64", "darwin", {"avx512", "avx2", "portable"}),
        ("arm64", "darwin", {"neon", "portable"}),
        ("aarch64", "linux", {"neon", "portable"}),
        ("riscv64", "linux", {"portable"}),
        ("AMD64", "win32", {"portable"}),
        ("ARM64", "win32", {"portable"}),
    ],
)
def test_instruction_sets(machine, system, isas, decide):
    flags, _ = decide(machine, system)
    assert set(flags) == {*isas, "calls"}
    assert dispatched(flags) == isas


def test_a_compiler_that_lacks_an_instruction_set(decide):
    flags, _ = decide("x86_64", unknown=["-mavx512bw"])
    assert dispatched(flags) == set(flags) - {"calls"} == {"avx2", "portable"}


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_openmp_where_the_compiler_has_it(system, decide):
    flags, extension = decide("arm64", system)
    assert "-fopenmp" in flags["calls"]
    assert "-fopenmp" in extension.extra_link_args


def test_no_openmp_for_apples_clang(decide, capsys):
    flags, extension = decide("arm64", "darwin", unknown=["-fopenmp"])
    assert set(flags) == {"neon", "portable", "calls"}
    assert "-fopenmp" not in [*flags["calls"], *extension.extra_compile_args, *extension.extra_link_args]
    assert "one thread" in capsys.readouterr().err


@pytest.mark.parametrize("machine", ["x86_64", "arm64", "riscv64"])
def test_results_do_not_depend_on_the_instruction_set(machine, decide):
    """Contraction is off: a fused multiply-add rounds once instead of twice."""
    flags, extension = decide(machine)
    for each in (*flags.values(), extension.extra_compile_args):
        assert "-ffp-contract=off" in each
        assert not {"-ffast-math", "-Ofast", "-march=native", "-mfma"} & set(each)


def test_microsofts_compiler_gets_flags_of_its_own(decide):
    flags, extension = decide("AMD64", "win32")
    for each in (*flags.values(), extension.extra_compile_args, extension.extra_link_args):
        assert all(flag.startswith("/") for flag in each)
        assert not {"/fp:fast", "/fp:contract"} & set(each)
    assert "/std:c++17" in flags["portable"]
    assert "/std:c11" in extension.extra_compile_args
