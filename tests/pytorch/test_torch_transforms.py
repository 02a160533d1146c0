"""Masks stay right under torch's checkpoints, compilation, autocast and function transforms."""

import pytest

import fastdrop as fd

torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastdrop.torch")
F = ft.functional
checkpoint = pytest.importorskip("torch.utils.checkpoint").checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # torch's warnings about itself
    pytest.mark.slow,
]


class Twice(torch.nn.Module):
    """Draws three masks, two of them from one module."""

    def __init__(self):
        super().__init__()
        self.drop, self.other = ft.Dropout(0.5), ft.AlphaDropout(0.3)

    def forward(self, x):
        return self.drop(self.drop(x) + 1) + self.other(x)


def _with(source):
    return lambda x: F.dropout(x, generator=source)


def _attention():
    layer = ft.MultiheadAttention(20, 2, 0.5)
    return lambda x: layer(x[None], x[None], x[None])[0][0]


SOURCES = {
    "module": Twice,
    "module with a stream": lambda: ft.Dropout(0.5, generator=fd.Stream(4)),
    "default generator": lambda: F.dropout,
    "stream": lambda: _with(fd.Stream(4)),
    "generator": lambda: _with(torch.Generator().manual_seed(3)),
    "attention": _attention,
}


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("source", SOURCES)
def test_a_checkpoint_draws_the_same_masks_again(source, use_reentrant):
    layer, x = SOURCES[source](), torch.randn(30, 20, requires_grad=True)
    outputs = []

    def run(x):
        outputs.append(layer(x))
        return outputs[-1].square()  # square saves its input, which the checkpoint recomputes

    first, second = (checkpoint(run, x, use_reentrant=use_reentrant) for _ in range(2))
    first.sum().backward()  # the second's masks were drawn in between
    second.sum().backward()
    assert len(outputs) == 4
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[1], outputs[3])
    assert not torch.equal(outputs[0], outputs[1])


def test_a_checkpoint_does_not_change_gradients():
    x = torch.randn(40, 50, requires_grad=True)
    layer = Twice()
    layer(x)
    state = layer.state_dict()
    gradients = []
    for run in (lambda x: layer(x).square(), lambda x: checkpoint(lambda x: layer(x).square(), x, use_reentrant=False)):
        layer.load_state_dict(state)
        (gradient,) = torch.autograd.grad(run(x).sum(), x)
        gradients.append(gradient)
    assert torch.equal(*gradients)
    assert layer.drop.stream.calls == int(state["drop._extra_state"][2]) + 2  # the recomputation advances no stream


def test_the_record_for_checkpoints_is_bounded(monkeypatch):
    monkeypatch.setattr(ft.randomness, "REMEMBERED", 100)
    ft.randomness._drawn.clear()
    layer, x = ft.Dropout(), torch.randn(4, requires_grad=True)
    for _ in range(150):
        layer(x)
    assert len(ft.randomness._drawn) == 100
    y = checkpoint(lambda x: layer(x).square(), x, use_reentrant=False)
    for _ in range(90):
        layer(x)
    (dx,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(dx * x / 2, y)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_modules_draw_fresh_masks_and_use_them_backward(backend):
    model = torch.nn.Sequential(ft.Dropout(0.5), ft.Dropout2d(0.4))
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    x = torch.ones(8, 6, 5, 5, requires_grad=True)
    outputs = [compiled(x) for _ in range(3)]
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])
    assert model[0].stream.calls == 3
    (dx,) = torch.autograd.grad(outputs[1].sum(), x)
    assert torch.equal(dx, outputs[1])  # x is 1: the gradient is the mask, times the scales
    assert model.eval()(x) is x


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "aot_eager_decomp_partition"])  # the last merges equal calls
@pytest.mark.parametrize("drop", [ft.Dropout(0.5), F.dropout])
def test_a_compiled_module_used_twice_draws_twice(drop, backend):
    x = torch.ones(2000, requires_grad=True)
    y, z = torch.compile(lambda x: (drop(x) * 3, drop(x) * 3), backend=backend, fullgraph=True)(x)
    assert not torch.equal(y, z)
    assert torch.equal(torch.autograd.grad(y.sum(), x, retain_graph=True)[0], y)
    assert torch.equal(torch.autograd.grad(z.sum(), x)[0], z)


def test_compiled_masks_are_those_of_the_module_and_of_manual_seed():
    x = torch.ones(500)
    layer = ft.Dropout(0.3, generator=fd.Stream(6))
    y = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
    assert torch.equal(y, F.dropout(x, 0.3, generator=fd.Stream(6)))
    compiled = torch.compile(lambda x: F.dropout(x, 0.3), backend="aot_eager", fullgraph=True)
    torch.manual_seed(5)
    y = compiled(x)
    torch.manual_seed(5)
    assert torch.equal(y, compiled(x))
    torch.manual_seed(5)
    assert torch.equal(y, F.dropout(x, 0.3))


def test_compiled_checkpoints_use_the_mask_of_the_forward():
    layer = ft.Dropout(0.5)

    def run(x):
        return checkpoint(lambda x: layer(x.sin()).cos(), x, use_reentrant=False)

    x = torch.randn(300, requires_grad=True)
    y = torch.compile(run, backend="aot_eager")(x)
    (dx,) = torch.autograd.grad(y.sum(), x)
    dropped = y == 1
    assert 50 < dropped.sum() < 250
    kept = torch.where(dropped, 0.0, 2.0)
    torch.testing.assert_close(dx, -(x.sin() * kept).sin() * kept * x.cos())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # raised by torch when it resumes after a graph break
def test_graph_breaks_work_when_compiled():
    stream = fd.Stream(2)
    x = torch.randn(6, 8)
    alpha, connect = ft.AlphaDropout(0.5), ft.DropConnectLinear(8, 5)
    for call in (lambda x: F.dropout(x + 1, generator=stream) * 2, lambda x: alpha(x) + 1, lambda x: connect(x) + 1):
        compiled = torch.compile(call, backend="eager")
        first, second = compiled(x), compiled(x)
        assert first.shape == call(x).shape
        assert not torch.equal(first, second)
        torch.compiler.reset()


def test_compiled_attention_and_inplace():
    layer = ft.MultiheadAttention(8, 2, 0.5, batch_first=True)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 5, 8)
    y, weights = compiled(x, x, x, average_attn_weights=False)
    assert (weights == 0).any()
    assert not torch.equal(y, compiled(x, x, x)[0])
    inplace = torch.compile(ft.Dropout(0.5, inplace=True), backend="aot_eager", fullgraph=True)
    x = torch.ones(100)
    inplace(x)
    assert set(x.tolist()) == {0.0, 2.0}


@pytest.mark.filterwarnings("ignore")
def test_inductor():
    torch.compiler.reset()
    layer = ft.Dropout(0.5)
    compiled = torch.compile(lambda x: layer((x * 2).relu()) + layer(x.relu()), fullgraph=True)
    x = torch.ones(3000, requires_grad=True)
    y, z = compiled(x), compiled(x)
    assert not torch.equal(y, z)
    assert set(y.tolist()) == {0.0, 2.0, 4.0, 6.0}  # two masks, not one
    assert torch.equal(torch.autograd.grad(z.sum(), x)[0], z)


def test_function_transforms():
    x = torch.randn(50)
    with pytest.raises(NotImplementedError, match="vmap"):
        torch.func.vmap(ft.Dropout())(x)
    for call in (ft.AlphaDropout(), ft.Dropout(inplace=True), ft.DropConnectLinear(50, 2)):
        with pytest.raises(NotImplementedError, match="vmap"):
            torch.func.vmap(call)(torch.randn(3, 50))
    torch.manual_seed(4)
    gradient = torch.func.grad(lambda x: (ft.Dropout()(x) ** 2).sum())(x)
    torch.manual_seed(4)
    torch.testing.assert_close(gradient, 2 * 2 * ft.Dropout()(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_dtype_to_the_layers_before(dtype):
    x = torch.randn(8, 16)
    linear = torch.nn.Linear(16, 16)
    with torch.autocast("cpu", dtype=dtype):
        for drop in (ft.Dropout(), torch.nn.Dropout()):
            assert drop(x).dtype == torch.float32
            assert drop(linear(x)).dtype == dtype
        connect = ft.DropConnectLinear(16, 4)
        y = connect(x)
        attention = ft.MultiheadAttention(16, 2, 0.1)
        assert attention(x[None], x[None], x[None])[0].dtype == dtype
    assert y.dtype == dtype
    y.sum().backward()
    assert connect.weight.grad.dtype == torch.float32
