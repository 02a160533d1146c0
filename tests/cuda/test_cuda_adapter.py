"""What the CUDA adapter decides before it launches: which kernel, how many threads, which bytes."""

import ctypes
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from fastdrop.backends.cuda import geometry, structs
from fastdrop.backends.cuda.geometry import Operand
from fastdrop.bit_layout import whole
from fastdrop.threads import kernels

KERNELS = Path(__file__).parents[2] / "src_kernels" / "cuda"


def plan(*arrays, shared=(), bias=False, bit_strides=None):
    operands = tuple(Operand(a.ctypes.data % 16, a.shape, a.strides) for a in arrays)
    return geometry.plan(operands, shared, arrays[0].itemsize, bias, bit_strides)


def merge(shape, shared, operands):
    return geometry.merge(shape, whole(shape, shared).strides, operands)


def array(*shape, dtype=np.float32):
    """Zeros that begin at a multiple of 16 bytes, as CuPy's do."""
    count = int(np.prod(shape))
    memory = np.zeros(count * np.dtype(dtype).itemsize + 16, np.uint8)
    start = -memory.ctypes.data % 16
    return memory[start : start + memory.size - 16].view(dtype).reshape(shape)


def test_contiguous_arrays_take_16_bytes_at_once():
    for dtype, width in ((np.float32, 4), (np.float64, 2), (np.float16, 8)):
        x = array(5000, 3, dtype=dtype)
        found = plan(x, x)
        assert (found.kernel, found.width, found.fields["count"]) == ("fd_flat_kernel", width, 15000)
        assert found.threads == 4 * 32
        assert plan(x[1:], x[1:]).width == (width if 3 * x.itemsize % 16 == 0 else 1)
    assert plan(array(), array()).fields["count"] == 1
    transposed = array(30, 40)
    assert plan(transposed.T, transposed.T).kernel == "fd_transposed_kernel"  # keep bits run across memory


def test_the_lanes_run_along_memory():
    rows = array(40, 100)[:, 3:90]
    assert plan(rows, rows).kernel == "fd_strided_kernel"
    transposed = plan(array(60, 40).T, array(60, 40).T)
    assert (transposed.kernel, transposed.fields["along"]) == ("fd_transposed_kernel", 0)
    images = array(3, 41, 100).transpose(2, 0, 1)
    assert plan(images, images).fields["along"] == 0
    assert plan(array(40, 60), array(60, 40).T).kernel == "fd_strided_kernel"  # the written array decides


def test_axes_that_one_stride_walks_are_merged():
    x = array(4, 5, 6, 7)
    operand = Operand(0, x.shape, x.strides)
    assert merge(x.shape, (), [operand]) == [geometry.Axis(840, 1, (4,))]
    assert merge(x.shape, (2, 3), [operand]) == [geometry.Axis(20, 1, (168,)), geometry.Axis(42, 0, (4,))]
    assert merge(x.shape, (1,), [operand]) == [
        geometry.Axis(4, 42, (840,)),
        geometry.Axis(5, 0, (168,)),
        geometry.Axis(42, 1, (4,)),
    ]
    assert merge((1, 1), (), [Operand(0, (1, 1), (4, 4))]) == []
    row = Operand(0, (7,), (4,))
    assert merge((3, 7), (), [Operand(0, (3, 7), (28, 4)), row]) == [
        geometry.Axis(3, 7, (28, 0)),
        geometry.Axis(7, 1, (4, 4)),
    ]


@pytest.mark.parametrize("shape", [(32, 64, 56, 56), (4, 8, 7, 7), (2, 3, 1000), (512, 128, 64, 64)])
def test_every_element_of_shared_rows_has_a_thread(shape):
    x = np.lib.stride_tricks.as_strided(array(1), shape, np.zeros(shape, np.int8).strides)
    strides = tuple(4 * s for s in x.strides)
    operand = Operand(0, shape, strides)
    found = geometry.plan((operand, operand), tuple(range(2, len(shape))), 4, False)
    fields = found.fields
    columns = fields["shape"][-1]
    assert found.kernel == "fd_rows_kernel"
    assert found.width == (4 if columns % 4 == 0 else 1)
    assert fields["lanes"] in (1, 2, 4, 8, 16, 32)
    covered = fields["pieces"] * fields["steps"] * fields["lanes"] * found.width
    assert columns <= covered < columns + fields["steps"] * fields["lanes"] * found.width
    assert fields["threads"] == found.threads == int(np.prod(shape[:2])) * fields["pieces"] * fields["lanes"]


def test_channels_last_walk_along_the_images():
    shape = (32, 56 * 56, 64)
    operand = Operand(0, shape, (56 * 56 * 64 * 4, 256, 4))
    found = geometry.plan((operand, operand), (1,), 4, False)
    fields = found.fields
    assert (found.kernel, found.width, fields["along"]) == ("fd_columns_kernel", 4, 1)
    assert fields["lanes"] == 2  # 16 accesses a row: two positions fill a warp
    assert fields["pieces"] * fields["steps"] * fields["lanes"] >= 56 * 56
    thin = Operand(0, (9, 400, 3), (4800, 12, 4))
    assert geometry.plan((thin, thin), (1,), 4, False).fields["lanes"] == 10


def test_a_bias_is_not_loaded_across_a_rows_end():
    x, bias = array(40, 64), array(64)
    assert plan(x, x, bias, bias=True).width == 4
    odd, short = array(40, 66), array(66)
    assert plan(odd, odd, short, bias=True).width == 1
    assert plan(x, x, bias, bias=True).fields == {"count": 2560, "columns": 64}
    assert plan(x[:, ::2], x[:, ::2], bias[::2], bias=True).kernel == "fd_strided_kernel"


def test_windows_have_kernels_of_their_own():
    """Flat and strided kernels number keep bits from 0 on, one after the other: never for a slice."""
    x = array(40, 64)
    found = plan(x, x, bit_strides=(64, 1))
    assert (found.kernel, found.threads) == ("fd_stepped_kernel", 96)  # one run of 2560, 80 pieces of 32
    assert (found.fields["shape"], found.fields["pieces"]) == ([2560], 80)
    found = plan(x[:, 3:50], x[:, 3:50], bit_strides=(1000, 1))
    assert (found.kernel, found.fields["pieces"], found.threads) == ("fd_stepped_kernel", 80, 96)
    assert plan(x, x, bit_strides=(128, 2)).fields["bit_stride"] == [2]
    assert plan(x, x, bit_strides=(-64, -1)).kernel == "fd_stepped_kernel"
    assert plan(x.T, x.T, bit_strides=(1000, 1)).kernel == "fd_transposed_kernel"
    assert plan(x.T, x.T, bit_strides=(1000, 2)).kernel == "fd_stepped_kernel"
    assert plan(x, x, bit_strides=(1000, 0)).kernel == "fd_rows_kernel"
    assert plan(x, x, bit_strides=(0, 1)).kernel == "fd_columns_kernel"
    assert plan(x, x, bit_strides=(0, -1)).kernel == "fd_stepped_kernel"
    single = array()
    assert plan(single, single, bit_strides=()).kernel == "fd_rows_kernel"
    assert plan(single, single).kernel == "fd_flat_kernel"


def test_few_warps_spread_over_the_device():
    assert geometry.grid(5 * 32) == (5, 32)
    assert geometry.grid(geometry.FEW_WARPS * 32) == (geometry.FEW_WARPS // 4, 128)


def test_too_many_axes_are_told():
    class Array:
        data = type("Memory", (), {"ptr": 0})

    fields = {"ndim": 33, "shape": [2] * 33, "bit_stride": [1] * 33, "stride": [[4] * 33] * 2}
    with pytest.raises(ValueError, match="33 axes"):
        structs.pack_walk(structs.Bits(kernels.Draw(0, 0), 0), [Array, Array], fields)


def test_round_keys_are_those_of_philox():
    """A block with the keys of all rounds is the block that the compiled Philox draws."""
    from fastdrop import reference

    key = 0x299F31D0_A4093822
    words = np.frombuffer(structs.round_keys(key), np.uint32).astype(int)
    counter = np.array([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], np.uint64)
    for number in range(10):
        counter = reference.philox4x32(counter, (int(words[2 * number]), int(words[2 * number + 1])), rounds=1)
    assert [hex(word) for word in counter] == ["0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fd_flat", structs.FLAT),
        ("fd_keep_bits", structs.KEEP_BITS),
        ("fd_bias_backward", structs.BIAS_BACKWARD),
        ("fd_softmax", structs.SOFTMAX),
        ("fd_gaussian", structs.GAUSSIAN),
        ("fd_dropconnect", structs.DROPCONNECT),
    ],
)
def test_structs_have_the_fields_of_the_kernels(name, kind):
    """In their order; that the sizes agree, every emulated launch checks."""
    text = "".join(path.read_text() for path in KERNELS.glob("*.cu"))
    body = re.search(rf"struct {name} \{{\n    fd_draws draws;\n(.*?)\n\}};", text, re.DOTALL)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    fields = [
        field.strip(" *")
        for line in body.split(";")
        if line.strip()
        for field in re.sub(r"^\s*(const )?\w+ ", "", line, count=1).split(",")
    ]
    assert tuple(fields) == kind.names[len(structs.DRAWS) :]


def test_arguments_are_packed_in_their_places():
    class Array:
        def __init__(self, ptr):
            self.data = type("Memory", (), {"ptr": ptr})

    bits = structs.Bits(kernels.Draw(2**63 + 9, 2**40 + 1), 2**39, 2.0, 0.25)
    packed = structs.pack(structs.SOFTMAX, bits, y=Array(11), x=Array(22), dy=None, rows=7, columns=2**33)
    assert packed.shape == (1,)
    (values,) = packed.view(structs.SOFTMAX).tolist()
    assert values[1:] == (2**40 + 1, 2**39, 0, 2.0, 0.25, 11, 22, 0, 7, 2**33)
    assert list(values[0][:4]) == [9, 2**31, (9 + 0x9E3779B9) & 0xFFFFFFFF, (2**31 + 0xBB67AE85) & 0xFFFFFFFF]
    assert ctypes.sizeof(ctypes.c_char * packed.nbytes) == structs.SOFTMAX.itemsize
    packed = structs.pack(structs.GAUSSIAN, bits._replace(shift=0.0), y=Array(11), x=Array(22), count=2**33, sigma=0.65)
    assert packed.view(structs.GAUSSIAN).tolist()[0][5:] == (0.0, 11, 22, 2**33, 0.65)
    with pytest.raises(TypeError, match="columns"):
        structs.pack(structs.SOFTMAX, bits, y=Array(11), x=Array(22), dy=None, columns=8, rows=7)


def test_the_backends_have_one_interface():
    """Both offer what the protocol names, with its parameters in its order."""
    from fastdrop.backends import Backend, cpu
    from fastdrop.backends.cuda import operations

    names = [name for name, value in vars(Backend).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert len(names) > 10
    for name in names:
        wanted = list(inspect.signature(getattr(Backend, name)).parameters.values())[1:]
        for backend in (cpu, operations):
            found = inspect.signature(getattr(backend, name)).parameters.values()
            described = [(p.name, p.kind, p.default) for p in found]
            assert described == [(p.name, p.kind, p.default) for p in wanted], f"{backend.__name__}.{name}"
