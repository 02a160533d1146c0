"""Arrays of other packages and subclasses of NumPy arrays are shared or refused; nothing is dropped silently."""

import sys

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn
from fastdrop.backends.cuda import device

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)


class DLPackArray:
    """An array of another package, with DLPack alone."""

    def __init__(self, data, kind=1):
        self.data, self.kind = data, kind

    def __dlpack__(self, **options):
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.kind, 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_supports_dlpack_is_shared_and_not_copied(dtype):
    x = X.astype(dtype)
    shared = fd.from_dlpack(DLPackArray(x))
    assert type(shared) is np.ndarray
    assert np.shares_memory(shared, x)
    assert shared.dtype == dtype
    expected, mask = fd.dropout(x, 0.5, rng=3)
    for given in (shared, DLPackArray(x)):  # functions accept it directly as well
        y, again = fd.dropout(given, 0.5, rng=3)
        assert np.array_equal(y, expected)
        assert again == mask
    assert np.array_equal(fd.dropout_backward(DLPackArray(x), mask), expected)
    assert np.array_equal(fd.spatial_dropout(DLPackArray(x), rng=1)[0], fd.spatial_dropout(x, rng=1)[0])


def test_own_arrays_are_returned_as_they_are():
    assert fd.from_dlpack(X) is X


def test_readonly_memory_is_enough_for_an_input():
    x = X.copy()
    x.flags.writeable = False
    try:
        given = fd.from_dlpack(DLPackArray(x))
    except TypeError:  # NumPy before 2.1 cannot share read-only memory
        return
    assert np.array_equal(fd.dropout(given, 0.5, rng=3)[0], fd.dropout(X, 0.5, rng=3)[0])


def test_strides_are_kept():
    shared = fd.from_dlpack(DLPackArray(X.T[::2]))
    assert shared.strides == X.T[::2].strides
    assert np.array_equal(fd.dropout(shared, 0.5, rng=3)[0], fd.dropout(X.T[::2].copy(), 0.5, rng=3)[0])


def test_what_lies_on_a_gpu_is_cupys(monkeypatch):
    asked = []

    class CuPy:
        @staticmethod
        def from_dlpack(array):
            asked.append(array)
            return "a cupy.ndarray"

    monkeypatch.setattr(device, "require", lambda: CuPy)
    there = DLPackArray(X, kind=2)
    assert fd.from_dlpack(there) == "a cupy.ndarray"
    assert asked == [there]
    with pytest.raises(TypeError, match=r"x is a DLPackArray on a GPU; give fastdrop.from_dlpack\(x\)"):
        fd.dropout(there)


def test_a_gpu_that_is_not_there_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(fd.BackendUnavailable, match="CuPy"):
        fd.from_dlpack(DLPackArray(X, kind=2))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_arrays_on_a_gpu_are_shared(dtype):
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("there is no GPU")
    kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype
    there = cupy.zeros((40, 33), kind)
    shared = fd.from_dlpack(DLPackArray(there, kind=2))
    assert isinstance(shared, cupy.ndarray)
    there += 1
    _, mask = fd.dropout(shared, 0.5, rng=3, out=shared)
    np.testing.assert_array_equal(there.get().astype(float), 2.0 * np.asarray(mask))
    assert fd.from_dlpack(there) is there


@pytest.mark.parametrize("ask", [fd.from_dlpack, lambda array: nn.Linear(2, 3, dtype=array.dtype).to("cuda")])
def test_the_numpy_that_bfloat16_needs_on_a_gpu_is_named(monkeypatch, ask):
    """CuPy's own message is misleading: it says that ml_dtypes is missing."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    monkeypatch.setattr(device, "require", lambda: None)
    monkeypatch.setattr(device.np, "__version__", "2.1.1")
    there = DLPackArray(X, kind=2)
    there.dtype = np.dtype(ml_dtypes.bfloat16)
    with pytest.raises(fd.BackendUnavailable, match=r"NumPy 2\.1\.2 or newer, and this is 2\.1\.1"):
        ask(there)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([1.0, 2.0], "a list does not support DLPack"),
        (DLPackArray(X, kind=8), "device type 8"),
        (DLPackArray(np.array(["a"])), "cannot be read by DLPack"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_words(array, words):
    with pytest.raises(TypeError, match=words):
        fd.from_dlpack(array)


def test_tensors_of_torch():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    shared = fd.from_dlpack(tensor)
    tensor[0, 0] = 7.0
    assert shared[0, 0] == 7.0
    assert np.array_equal(fd.dropout(tensor, rng=0)[0], fd.dropout(shared, rng=0)[0])
    with pytest.raises(TypeError, match="gradient"):
        fd.from_dlpack(tensor.requires_grad_())
    with pytest.raises(TypeError, match="gradient"):
        fd.dropout(tensor)


class WithUnit(np.ndarray):
    """An array class as packages for physical units define it."""


SUBCLASSES = [np.ma.masked_array(X, X > 0), X.view(WithUnit), np.rec.array(np.ones(3, [("a", np.float32)]))]


@pytest.mark.parametrize("x", SUBCLASSES, ids=lambda x: type(x).__name__)
def test_subclasses_lose_nothing_silently(x):
    stream = fd.Stream(0)
    _, mask = fd.dropout(X)
    weight = np.ones((2, 6), np.float32)
    for call in (
        lambda: fd.dropout(x, rng=stream),
        lambda: fd.dropout(x, training=False),
        lambda: fd.dropout_backward(x, mask),
        lambda: fd.dropout_backward(x, None),
        lambda: mask(x),
        lambda: fd.spatial_dropout(x, rng=stream),
        lambda: fd.dropconnect(x, weight, rng=stream),
        lambda: fd.dropout_add(X, x, rng=stream),
        lambda: fd.softmax_dropout(x, rng=stream),
        lambda: fd.gaussian_dropout(x, rng=stream),
        lambda: fd.dropblock(x, rng=stream),
    ):
        with pytest.raises(TypeError, match=rf"is a {type(x).__name__}.*numpy\.asarray"):
            call()
    assert stream.calls == 0


def test_a_subclass_is_no_place_for_a_result():
    with pytest.raises(TypeError, match="out is a MaskedArray"):
        fd.dropout(X, out=np.ma.masked_array(X.copy()))


def test_files_in_memory_are_arrays_as_any_other(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    x[:] = X
    y, _ = fd.dropout(x, 0.5, rng=3)
    assert type(y) is np.ndarray
    assert np.array_equal(y, fd.dropout(X, 0.5, rng=3)[0])
    fd.dropout(X, 0.5, rng=3, out=x)
    assert np.array_equal(x, y)
