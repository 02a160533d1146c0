"""fastdrop.torch on CUDA tensors: the masks and values of the CPU, on torch's streams.

Without a GPU, tests/pytorch/test_torch_models.py uses a fake CuPy.
"""

import copy
import warnings

import numpy as np
import pytest

import fastdrop as fd

torch = pytest.importorskip("torch")
pytest.importorskip("cupy")
ft = pytest.importorskip("fastdrop.torch")
F = ft.functional

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
FORMS = {
    "vector": lambda: torch.randn(3001),
    "0-d": lambda: torch.tensor(3.0),
    "transposed": lambda: torch.randn(33, 65).T,
    "strided": lambda: torch.randn(40, 60)[::2, 1::3],
    "channels last": lambda: torch.randn(2, 5, 7, 9).contiguous(memory_format=torch.channels_last),
    "empty": lambda: torch.randn(3, 0, 2),
}


@pytest.fixture(autouse=True)
def nothing_is_deprecated():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        yield


def bfloat16_or_skip(dtype):
    if dtype is torch.bfloat16:
        pytest.importorskip("ml_dtypes")
    return dtype


def same(actual, expected):
    assert actual.is_cuda
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_dropout_equals_the_cpus(form, dtype):
    x = FORMS[form]().to(bfloat16_or_skip(dtype))
    for p in (0.5, 0.3, 1.0):
        y = F.dropout(x.cuda(), p, generator=fd.Stream(5))
        same(y, F.dropout(x, p, generator=fd.Stream(5)))
        assert y.stride() == torch.nn.functional.dropout(x.cuda(), p).stride()


FUNCTIONS = {
    "dropout": ((6, 7), F.dropout),
    "dropout1d": ((3, 7, 5), F.dropout1d),
    "dropout2d": ((3, 7, 5, 4), F.dropout2d),
    "dropout3d": ((3, 7, 5, 4, 2), F.dropout3d),
    "alpha": ((50, 9), lambda x, p, **how: F.alpha_dropout(x, p, True, **how)),
    "feature alpha": ((5, 9, 4), lambda x, p, **how: F.feature_alpha_dropout(x, p, True, **how)),
    "softmax": ((3, 5, 70), F.softmax_dropout),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_and_their_gradients_equal_the_cpus(name, dtype):
    shape, function = FUNCTIONS[name]
    x, dy = (torch.randn(shape).to(bfloat16_or_skip(dtype)) for _ in range(2))
    results = []
    for device in ("cpu", "cuda"):
        there = x.to(device).requires_grad_()
        y = function(there, 0.4, generator=fd.Stream(2))
        results.append((y.detach(), *torch.autograd.grad(y, there, dy.to(device))))
    for actual, expected in zip(results[1], results[0], strict=True):
        same(actual, expected)


def test_inplace():
    x = torch.randn(100, 33)
    there = x.cuda()
    assert F.dropout(there, 0.5, inplace=True, generator=fd.Stream(1)) is there
    same(there, F.dropout(x, 0.5, generator=fd.Stream(1)))


def test_generators_of_the_gpu():
    x = torch.ones(1000, device="cuda")
    generator = torch.Generator("cuda").manual_seed(3)
    first, second = F.dropout(x, generator=generator), F.dropout(x, generator=generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, F.dropout(x, generator=generator.manual_seed(3)))


def test_torchs_current_stream_is_used():
    """A kernel on another stream would read x before the long products have written it."""
    stream, a = torch.cuda.Stream(), torch.randn(4096, 4096, device="cuda")
    x = torch.zeros(4096, 4096, device="cuda")
    F.dropout(x)  # compiled
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        for _ in range(20):
            x += a @ a
        y = F.dropout(x, 0.3, generator=fd.Stream(3))
        z = y + 1
    stream.synchronize()
    same(y, F.dropout(x.cpu(), 0.3, generator=fd.Stream(3)))
    assert torch.equal(z, y + 1)


def test_modules_train_alike():
    """The masks are the same; the values differ only by the order of summation in matrix products."""

    def trained(device):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(20, 32),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Unflatten(1, (8, 4)),
            torch.nn.Dropout1d(0.2),
            torch.nn.Flatten(),
            torch.nn.AlphaDropout(0.1),
            torch.nn.Linear(32, 3),
        )
        x, target = torch.randn(50, 20), torch.randint(3, (50,))
        ft.replace_dropout(model)
        model.to(device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x.to(device)), target.to(device)).backward()
            optimizer.step()
        return model

    here, there = trained("cpu"), trained("cuda")
    for one, two in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(two.cpu(), one, rtol=1e-3, atol=1e-4)
    state = {name: value.cpu() for name, value in there.state_dict().items()}
    here.load_state_dict(state)


def on_both(module, *tensors):
    """Results and input gradients of a module and of its copy on CUDA."""
    results = []
    for device in ("cpu", "cuda"):
        layer = copy.deepcopy(module).to(device)
        there = [tensor.to(device).requires_grad_() for tensor in tensors]
        y = layer(*there)
        y = y[0] if isinstance(y, tuple) else y
        results.append([y, *torch.autograd.grad(y.square().sum(), [*there, *layer.parameters()])])
    return zip(*results, strict=True)


@pytest.mark.parametrize("how", [{}, {"per_example": False}, {"drop_bias": True}], ids=str)
def test_dropconnect(how):
    layer = ft.DropConnectLinear(33, 9, 0.4, generator=fd.Stream(4), **how)
    for expected, actual in on_both(layer, torch.randn(7, 33)):
        torch.testing.assert_close(actual.cpu(), expected, rtol=1e-4, atol=1e-4)


def test_attention():
    layer = ft.MultiheadAttention(16, 4, dropout=0.3, batch_first=True)
    layer._masks.stream = fd.Stream(6)
    for expected, actual in on_both(layer, *(torch.randn(3, 9, 16) for _ in range(3))):
        torch.testing.assert_close(actual.cpu(), expected, rtol=1e-3, atol=1e-4)


def test_checkpoints_draw_the_same_masks_again():
    from torch.utils.checkpoint import checkpoint

    layer, x = ft.Dropout(0.5), torch.randn(500, device="cuda", requires_grad=True)
    y = checkpoint(lambda x: layer(x).sin(), x, use_reentrant=False)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(dx == 0, y == 0)


def test_the_operator_of_compiled_programs():
    function = torch.compile(lambda x, layer: layer(x) * 2, backend="aot_eager")
    layer, x = ft.Dropout(0.5), torch.ones(1000, device="cuda", requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's warnings while it compiles
        y = function(x, layer)
        (dx,) = torch.autograd.grad(y.sum(), x)
    assert set(y.unique().tolist()) == {0.0, 4.0}
    assert torch.equal(dx, y)


def test_autocast():
    pytest.importorskip("ml_dtypes")
    layer = ft.DropConnectLinear(8, 3, generator=fd.Stream(1)).cuda()
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(torch.randn(4, 8, device="cuda")).dtype == torch.bfloat16


def test_a_captured_call_is_refused():
    x = torch.ones(1000, device="cuda")
    F.dropout(x)  # compiled
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), pytest.raises(RuntimeError, match="GraphStream"):
        F.dropout(x, generator=fd.Stream(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_as_arrays(dtype):
    tensor = torch.zeros(40, 33, dtype=bfloat16_or_skip(dtype), device="cuda")
    array = fd.from_dlpack(tensor)
    assert type(array).__module__.startswith("cupy")
    tensor += 1
    torch.cuda.synchronize()
    _, mask = fd.dropout(array, 0.5, rng=3, out=array)
    same(tensor, torch.from_numpy(np.asarray(mask).astype(np.float32) * 2).to(dtype))
    with pytest.raises(TypeError, match=r"x is a Tensor on a GPU; give fastdrop\.from_dlpack\(x\)"):
        fd.dropout(tensor)
