"""The CUDA kernels as NVRTC compiles them: planted faults that the checks must find, and the machine code.

`make ptx` runs these, and all tests of CUDA on the PTX (tests/ptx/run.py).
"""

import importlib
import struct
import sys

import emulated_cupy
import numpy as np
import pytest
from devices import kernels_of, values

import fastdrop as fd
from fastdrop.backends.cuda import compiler, operations, source
from fastdrop.threads import kernels as cpu

pytestmark = [pytest.mark.native, pytest.mark.ptx, pytest.mark.timeout(900)]


@pytest.fixture
def machine(request, monkeypatch):
    """The interpreter, with what is decoded in this test forgotten at its end."""
    kernels_of("ptx90", request.node.nodeid)
    module = importlib.import_module("ptx.machine")
    monkeypatch.setattr(module, "kernels", {})
    monkeypatch.setattr(module, "launches", {})
    return module


@pytest.fixture
def sass(machine):
    return importlib.import_module("ptx.sass")


def replaced(monkeypatch, *changes):
    """Kernels whose text is changed in one place each, in every file that has it."""
    texts = {file: source.text(file) for file in source.FILES}
    for right, wrong in changes:
        assert any(right in text for text in texts.values()), right
        texts = {file: text.replace(right, wrong) for file, text in texts.items()}
    monkeypatch.setattr(source, "text", texts.__getitem__)


def flat(cupy, dtype=np.float32, size=5001):
    return fd.dropout(cupy.asarray(values(size, dtype)), 0.3, rng=1)[0]


def noise(cupy):
    x = cupy.asarray(values(300, np.float32))
    return operations.gaussian(x, cupy.empty_like(x), cpu.Draw(1, 0), 0.5)


def dweight(cupy):
    x, weight = (cupy.asarray(values((9, 40), np.float32, seed)) for seed in range(2))
    y, mask = fd.dropconnect(x, weight, rng=1)
    return fd.dropconnect_backward(y, x, weight, mask)[1]


def gelu(cupy):
    x = cupy.asarray(values((3, 40), np.float32))
    return fd.bias_activation_dropout(x, x[0], 0.3, activation="gelu", rng=1)[0]


def softmax(cupy):
    return fd.softmax_dropout(cupy.asarray(values((3, 40), np.float32)), 0.3, rng=1)[0]


LOAD = "pack.bytes = *(const decltype(pack.bytes) *)from;"
STORE = "*(decltype(fd_pack<T, WIDTH>::bytes) *)to = pack.bytes;"
WORDS = "lane % FD_TILE_COUNTERS] = keep[j];"
SYNCED = f"{WORDS}\n    __syncwarp();"
FIRST = "int64_t first = fd_warp_first();"
NOISE = "fd_narrow(fd_widen(values[k]) * noise, &y[first + k * FD_TILE_COUNTERS])"
DECLARED = "T values[4];"
UNORDERED = "race on shared memory|shared memory is read that no"
FAULTS = {
    "16 bytes from an odd place": (
        LOAD,
        LOAD.replace("from;", "(from + (WIDTH > 1));"),
        flat,
        "not aligned to its size",
    ),
    "beyond the end": ("if (k < count) to[k]", "if (k <= count) to[k]", flat, "outside of the arrays"),
    "before the beginning": (STORE, STORE.replace(")to", ")(to - WIDTH)"), flat, "outside of the arrays"),
    "beyond shared memory": ("* FD_TILE_WORDS + j *", "* FD_TILE_WORDS * 80 + j *", flat, "outside of the shared"),
    "no barrier behind the words": (SYNCED, WORDS, flat, UNORDERED),
    "one lane's words are missing": (
        "words[FD_FAULT(cuda_words_of_tile,",
        "if (lane != 5) words[FD_FAULT(cuda_words_of_tile,",
        flat,
        "shared memory is read that no thread",
    ),
    "lanes write one word": (WORDS, WORDS.replace("FD_TILE_COUNTERS", "8"), flat, "race on shared memory"),
    "no barrier between two rounds": ("__syncthreads();", "", dweight, UNORDERED),
    "two threads write one element": (
        NOISE,
        NOISE.replace("FD_TILE_COUNTERS]", "FD_TILE_COUNTERS & ~1]"),
        noise,
        "race on global memory",
    ),
    "a barrier for some": (
        FIRST,
        f"{FIRST} if (threadIdx.x % 2) __syncthreads();",
        flat,
        "wait for others that have left|at different places",
    ),
    "a barrier of half a warp": (SYNCED, SYNCED.replace("()", "(0xFFFFu)"), flat, "a part of the warp"),
    "no end": (DECLARED, f"{DECLARED} while (call.count) __syncwarp();", noise, "comes to no end"),
    "exp by an approximation": (
        "series = series * from_bits((half",
        "series = (V)__expf((float)x) * from_bits((half",
        softmax,
        "instruction ex2.approx",
    ),
    "a fused multiply-add": (
        "zero_unless(kept, x * by.scale), x *",
        "fma(zero_unless(kept, x), by.scale, V{}), x *",
        flat,
        "instruction fma",
    ),
    "an atomic addition": (DECLARED, f"{DECLARED} atomicAdd((float *)call.y, 1.0f);", noise, "instruction (atom|red)"),
    "an array in local memory": (
        "const real noise = (real)1 +",
        "volatile real kept[4]; kept[(first + k) % 4] = 1; const real noise = kept[(first + k + 1) % 4] +",
        noise,
        "local|%SP",
    ),
}


@pytest.fixture
def cupy(machine, monkeypatch):
    module = emulated_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(compiler, "kernel", machine.kernel_for("90"))
    return module


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(cupy, machine, monkeypatch, name):
    right, wrong, call, message = FAULTS[name]
    call(cupy)
    machine.kernels.clear()
    replaced(monkeypatch, (right, wrong))
    with pytest.raises(Exception, match=message):
        call(cupy)


OPTIONS = [
    ("--fmad=true", gelu, r"instruction (fma\.rn|add|mul)\.f32"),
    ("-ftz=true", gelu, r"instruction \w+\.rn\.ftz\.f32"),
    ("-prec-div=false", softmax, r"instruction (rcp|div)\.(approx|full)"),
]


@pytest.mark.parametrize(("option", "call", "message"), OPTIONS)
def test_an_option_that_changes_values_is_found(cupy, monkeypatch, option, call, message):
    kept = [given for given in compiler.OPTIONS if option.partition("=")[0] not in given]
    monkeypatch.setattr(compiler, "OPTIONS", (*kept, option))
    with pytest.raises(Exception, match=message):
        call(cupy)


def test_a_wrong_scale_is_found(cupy, machine, monkeypatch):
    wanted = gelu(cupy).get()
    machine.kernels.clear()
    replaced(monkeypatch, ("gelu(x + bias) * by.scale", "gelu(x + bias) * by.scale * 1.0000001f"))
    assert not np.array_equal(gelu(cupy).get(), wanted)


# ---- machine code


def ends_inside(image):
    """Whether all that an ELF file's headers speak of lies in the file."""
    programs, sections = struct.unpack_from("<QQ", image, 0x20)
    program_size, program_count, section_size, section_count = struct.unpack_from("<HHHH", image, 0x36)
    ends = [programs + program_size * program_count, sections + section_size * section_count]
    for number in range(program_count):
        offset, size = struct.unpack_from("<8xQ16xQ", image, programs + number * program_size)
        ends.append(offset + size)
    for number in range(section_count):
        kind, offset, size = struct.unpack_from("<4xI16xQQ", image, sections + number * section_size)
        ends.append(0 if kind == 8 else offset + size)  # 8: it takes no room in the file
    return max(ends) <= len(image)


@pytest.mark.parametrize("architecture", ["75", "90"])
def test_every_kernel_as_the_driver_gets_it(sass, architecture):
    """Whole files, which nvdisasm reads; no stack and no spilled registers."""
    for name in sass.names():
        image, function = sass.cubin_of(name, architecture)
        assert image.startswith(b"\x7fELF")
        assert ends_inside(image)
        assert function.startswith("_Z")
        assert sass.local_memory(sass.disassembled(name, architecture)) == [], name


def test_no_kernel_takes_more_instructions_than_recorded(sass):
    budgets = sass.recorded()
    assert budgets["nvrtc"] == sass.version(), "the budgets are another NVRTC's: python tests/ptx/sass.py --record"
    found = sass.measured()
    if lower := sass.lower(found, budgets["kernels"]):
        print("less than recorded, so that python tests/ptx/sass.py --record is due:", *lower, sep="\n")
    assert sass.exceeded(found, budgets["kernels"]) == []


def test_more_instructions_are_found(sass, monkeypatch):
    name, budgets = source.elementwise("fd_flat_kernel", "dropout", "float32", 4), sass.recorded()["kernels"]
    budgets = {name: budgets[name]}
    assert sass.exceeded({name: sass.counts(sass.disassembled(name, "90"))}, budgets) == []
    replaced(monkeypatch, ("zero_unless(kept, x * by.scale), x *", "zero_unless(kept, x * by.scale * by.shift), x *"))
    lines = sass.exceeded({name: sass.counts(sass.disassembled(name, "90"))}, budgets)
    assert len(lines) == 2
    assert f"{name}: per_16_bytes" in lines[1]
    assert sass.exceeded({}, budgets) == [f"{name} has a budget, and is no kernel"]
    assert sass.exceeded(budgets, {}) == [f"{name} has no budget"]


def test_spilled_registers_are_found(sass, monkeypatch):
    name = source.elementwise("fd_flat_kernel", "bias_gelu", "float16", 8)
    assert sass.local_memory(sass.disassembled(name, "90")) == []
    monkeypatch.setattr(compiler, "OPTIONS", (*compiler.OPTIONS, "--maxrregcount=32"))
    replaced(monkeypatch, ("__launch_bounds__(FD_MOST_THREADS, 5)", ""))
    assert sass.local_memory(sass.disassembled(name, "90"))
