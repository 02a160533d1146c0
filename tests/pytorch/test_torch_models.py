"""Whole models: what `replace_dropout` swaps, attention, DropConnect; CUDA tensors with a fake CuPy."""

import collections
import contextlib
import types

import numpy as np
import pytest

import fastdrop as fd

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastdrop.torch")
nn = torch.nn


def _kinds(model):
    return collections.Counter(type(module) for module in model.modules())


def test_replace_dropout_swaps_every_kind_in_place_and_returns_their_number():
    shared = nn.Dropout(0.25, inplace=True)

    class Own(nn.Dropout):
        pass

    kinds = [nn.Dropout1d(0.1), nn.Dropout2d(0.2), nn.Dropout3d(0.3), nn.AlphaDropout(0.4), nn.FeatureAlphaDropout(0.5)]
    model = nn.Sequential(
        nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, *kinds)}),
        Own(0.3),
        nn.LSTM(4, 4, 2, dropout=0.5),
        nn.MultiheadAttention(4, 2, dropout=0.1),
        nn.MultiheadAttention(4, 2),
        nn.TransformerDecoderLayer(4, 2),
    ).eval()
    calls = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    state = torch.get_rng_state()
    assert ft.replace_dropout(model) == 6 + 1 + 2 + 4
    assert torch.equal(torch.get_rng_state(), state)
    found = _kinds(model)
    assert (found[Own], found[nn.LSTM], found[nn.MultiheadAttention]) == (1, 1, 1)
    assert (found[ft.Dropout], found[ft.MultiheadAttention], found[nn.Dropout]) == (5, 3, 0)
    assert model[0]["a"] is model[0]["b"][0]
    assert (shared.p, shared.inplace, shared.training, type(shared)) == (0.25, True, False, ft.Dropout)
    shared(torch.ones(2))
    assert calls == [1]
    assert [module.p for module in kinds] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert ft.replace_dropout(model) == 0
    alone = nn.Dropout()
    assert ft.replace_dropout(alone) == 1
    assert type(alone) is ft.Dropout


def test_states_of_a_swapped_model_keep_their_keys():
    torch.manual_seed(0)
    plain, swapped = (nn.TransformerEncoderLayer(8, 2, 16, 0.1) for _ in range(2))
    assert ft.replace_dropout(swapped) == 4
    swapped.load_state_dict(plain.state_dict())
    extra = swapped.state_dict().keys() - plain.state_dict().keys()
    assert extra == {f"{name}._extra_state" for name in ("self_attn", "dropout", "dropout1", "dropout2")}
    x = torch.randn(5, 3, 8)
    assert torch.equal(plain.eval()(x), swapped.eval()(x))
    with torch.no_grad():  # torch's fast path
        torch.testing.assert_close(plain(x), swapped(x))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("case", ["self", "cross", "key is value", "other sizes", "no bias"])
@pytest.mark.parametrize("masks", ["none", "causal", "3-D", "padding", "padding and bool", "float"])
def test_attention_equals_torchs_where_nothing_is_dropped(case, masks, batch_first, monkeypatch):
    sizes = {"kdim": 6, "vdim": 10} if case == "other sizes" else {}
    layer = ft.MultiheadAttention(8, 2, dropout=1e-13, batch_first=batch_first, bias=case != "no bias", **sizes)
    theirs = nn.MultiheadAttention(8, 2, batch_first=batch_first, bias=case != "no bias", **sizes)
    layer.load_state_dict(theirs.state_dict())
    length, keys, batch = 5, 5 if case == "self" else 7, 3

    def make(steps, features):
        x = torch.randn(batch, steps, features) if batch_first else torch.randn(steps, batch, features)
        return x.requires_grad_()

    query = make(length, 8)
    key = query if case == "self" else make(keys, sizes.get("kdim", 8))
    value = key if case in ("self", "key is value") else make(keys, sizes.get("vdim", 8))
    arguments = {
        "none": {},
        "causal": {"attn_mask": torch.ones(length, keys, dtype=torch.bool).triu(1), "is_causal": True},
        "3-D": {"attn_mask": torch.randn(batch * 2, length, keys)},
        "padding": {"key_padding_mask": torch.arange(keys).expand(batch, -1) > 3},
        "padding and bool": {
            "key_padding_mask": torch.arange(keys).expand(batch, -1) > 3,
            "attn_mask": torch.ones(length, keys, dtype=torch.bool).triu(2),
        },
        "float": {"attn_mask": torch.randn(length, keys)},
    }[masks]
    for weights in ({"need_weights": False}, {}, {"average_attn_weights": False}):
        y, found = layer(query, key, value, **arguments, **weights)
        z, expected = theirs(query, key, value, **arguments, **weights)
        torch.testing.assert_close(y, z)
        assert y.stride() == z.stride() or y.is_contiguous()
        if expected is None:
            assert found is None
        else:
            torch.testing.assert_close(found, expected)
        dy = torch.randn_like(y)
        for ours, other in zip(
            torch.autograd.grad(y, [query, layer.out_proj.weight], dy),
            torch.autograd.grad(z, [query, theirs.out_proj.weight], dy),
            strict=True,
        ):
            torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)


def test_fully_masked_queries_equal_torchs():
    ours, theirs = ft.MultiheadAttention(8, 2, dropout=1e-13), nn.MultiheadAttention(8, 2)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 3, 8, requires_grad=True)
    attn_mask, padding = torch.zeros(5, 5, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool)
    attn_mask[2], padding[1] = True, True
    for masks in ({"attn_mask": attn_mask}, {"key_padding_mask": padding}):
        for need_weights in (False, True):
            results = []
            for layer in (ours, theirs):
                y = layer(x, x, x, need_weights=need_weights, **masks)[0]
                results.append((y, torch.autograd.grad(y.nansum(), x)[0]))
            torch.testing.assert_close(*results, equal_nan=True)
            assert results[0][0].isnan().any() == need_weights


def test_attention_drops_its_weights_and_scales_them():
    layer = ft.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)
    x = torch.randn(20, 30, 8)
    y, weights = layer(x, x, x, average_attn_weights=False)
    with torch.no_grad():
        layer.eval()
        plain = layer(x, x, x, average_attn_weights=False)[1]
    kept = torch.from_numpy(np.asarray(fd.Mask((40, 30, 30), 0.3, fd.Stream(layer.stream.key)))).view(20, 2, 30, 30)
    torch.testing.assert_close(weights, torch.where(kept, plain / 0.7, 0.0))
    v = nn.functional.linear(x, layer.in_proj_weight[16:], layer.in_proj_bias[16:]).view(20, 30, 2, 4)
    heads = torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(20, 30, 8)
    torch.testing.assert_close(y, layer.out_proj(heads))


def test_unsupported_attention_options_are_left_to_torch():
    for options in ({"add_bias_kv": True}, {"add_zero_attn": True}):
        layer = ft.MultiheadAttention(8, 2, dropout=0.5, **options)
        x = torch.randn(5, 3, 8)
        assert not torch.equal(layer(x, x, x)[0], layer(x, x, x)[0])
        assert layer.stream is None
    layer = ft.MultiheadAttention(8, 2, dropout=0.5)
    assert layer(x[:, 0], x[:, 0], x[:, 0])[0].shape == (5, 8)
    with pytest.raises(RuntimeError, match="attn_mask has shape"):
        layer(x, x, x, attn_mask=torch.zeros(4, 5))
    with pytest.raises(RuntimeError, match="key_padding_mask has shape"):
        layer(x, x, x, key_padding_mask=torch.zeros(5, 3))
    with pytest.raises(RuntimeError, match="is_causal"):
        layer(x, x, x, is_causal=True)
    with pytest.raises(TypeError, match="int64"):
        layer(x, x, x, attn_mask=torch.zeros(5, 5, dtype=torch.int64))


@pytest.mark.parametrize("drop_bias", [False, True])
@pytest.mark.parametrize("per_example", [False, True])
def test_dropconnect_equals_fastdrops_and_is_differentiable_twice(per_example, drop_bias):
    layer = ft.DropConnectLinear(
        6, 3, 0.4, per_example=per_example, drop_bias=drop_bias, dtype=torch.float64, generator=fd.Stream(5)
    )
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    options = {"per_example": per_example, "drop_bias": drop_bias, "rng": 5}
    expected, mask = fd.dropconnect(x.detach().numpy(), weight, bias, 0.4, **options)
    y = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12)
    dy = torch.randn(4, 3, dtype=torch.float64)
    gradients = torch.autograd.grad(y, [x, layer.weight, layer.bias], dy)
    for ours, theirs in zip(
        gradients, fd.dropconnect_backward(dy.numpy(), x.detach().numpy(), weight, mask), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-10)

    def f(x, weight, bias):
        layer.stream.state = layer.stream.state | {"calls": 0}
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    parameters = (x, layer.weight, layer.bias)
    assert torch.autograd.gradcheck(f, parameters)
    assert torch.autograd.gradgradcheck(f, parameters)


def test_dropconnect_in_evaluation_with_leading_axes_and_wrong_inputs():
    layer = ft.DropConnectLinear(6, 3, 0.4)
    x = torch.randn(2, 5, 6)
    assert layer(x).shape == (2, 5, 3)
    assert not torch.equal(layer(x), layer(x))
    linear = nn.Linear(6, 3)
    assert layer.load_state_dict(linear.state_dict()).missing_keys == []
    assert torch.equal(layer.eval()(x), linear(x))
    assert "p=0.4" in repr(layer)
    half = ft.DropConnectLinear(6, 3, dtype=torch.bfloat16)
    assert half(x.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="does not fit"):
        layer.train()(torch.randn(2, 7))
    with pytest.raises(RuntimeError, match="does not fit"):
        layer(x.double())
    with pytest.raises(ValueError, match="no bias"):
        ft.DropConnectLinear(6, 3, bias=False, drop_bias=True)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ft.DropConnectLinear(6, 3, 2.0)


@pytest.fixture(params=["CuPy 13", "CuPy 14"])
def fake_cupy(monkeypatch, request):
    """A fake CuPy on NumPy arrays; returns its recorded calls."""
    calls = []

    @contextlib.contextmanager
    def entered(*what):
        calls.append(what)
        yield

    cuda = types.SimpleNamespace(Device=lambda index: entered("device", index), Stream=types.SimpleNamespace())
    if request.param == "CuPy 13":
        cuda.ExternalStream = lambda pointer, index: entered("stream", 0, pointer)
    else:
        cuda.Stream.from_external = lambda stream: entered("stream", *stream.__cuda_stream__())
    cupy = types.SimpleNamespace(cuda=cuda, from_dlpack=lambda tensor: torch.from_dlpack(tensor).numpy())
    monkeypatch.setattr(ft.interop.device, "require", lambda: cupy)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: types.SimpleNamespace(cuda_stream=4711, device=device)
    )
    return calls


class OnCuda:
    """A CPU tensor that claims to be on CUDA."""

    is_cpu, is_cuda, device = False, True, torch.device("cuda", 1)

    def __init__(self, tensor):
        self.tensor, self.dtype = tensor, tensor.dtype

    def detach(self):
        return self

    def is_neg(self):
        return False

    def view(self, dtype):
        return OnCuda(self.tensor.view(dtype))

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__()

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_tensors_use_dlpack_and_torchs_stream(fake_cupy, dtype):
    x, y = torch.randn(300).to(dtype), torch.empty(300, dtype=dtype)
    mask = fd.Mask((300,), 0.5, fd.Stream(3))
    ft.autograd.masked(OnCuda(x), mask, OnCuda(y))
    assert torch.equal(y, ft.functional.dropout(x, generator=fd.Stream(3)))
    assert fake_cupy == [("device", 1), ("stream", 0, 4711)]


def test_torchs_stream_is_used_without_a_warning():
    """With the installed CuPy, whose older interface is deprecated."""
    cupy = pytest.importorskip("cupy")
    entered = ft.interop._OnStream(cupy, 0, 4711)
    assert entered._stream().ptr == 4711
