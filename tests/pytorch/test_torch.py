"""Dropout for PyTorch: values, layouts, gradients, errors and state, against torch's own and fastdrop's masks."""

import copy
import io
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastdrop as fd

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastdrop.torch")
F = ft.functional

FORMS = {
    "vector": lambda: torch.randn(3001),
    "0-d": lambda: torch.tensor(3.0),
    "transposed": lambda: torch.randn(33, 65).T,
    "strided": lambda: torch.randn(40, 60)[::2, 1::3],
    "expanded": lambda: torch.randn(1, 50).expand(40, 50),
    "channels last": lambda: torch.randn(2, 5, 7, 9).contiguous(memory_format=torch.channels_last),
    "flipped view": lambda: torch.randn(6, 4, 5).permute(2, 0, 1)[1:],
    "negated view": lambda: torch.randn(70, dtype=torch.complex64).conj().imag,
}


def by_mask(x, p, seed, shared_axes=None):
    """The result of `fastdrop.dropout` on the same numbers."""
    array = x.detach().float().numpy() if x.dtype is torch.bfloat16 else x.detach().numpy(force=True)
    return torch.from_numpy(fd.dropout(array, p, rng=seed, shared_axes=shared_axes)[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [0.5, 0.3, 1.0])
def test_values_are_fastdrops_and_strides_are_torchs(form, p):
    x = FORMS[form]()
    y = F.dropout(x, p, generator=fd.Stream(5))
    torch.testing.assert_close(y, by_mask(x, p, 5), rtol=0, atol=0)
    assert y.stride() == torch.nn.functional.dropout(x, p).stride()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    x = torch.randn(64, 33).to(dtype)
    y = F.dropout(x, 0.3, generator=fd.Stream(1))
    assert y.dtype == dtype
    kept = torch.from_numpy(np.asarray(fd.Mask((64, 33), 0.3, fd.Stream(1))))
    expected = (x.double() / 0.7).to(dtype)  # rounded once, as the kernels do
    torch.testing.assert_close(y, torch.where(kept, expected, torch.zeros((), dtype=dtype)))


@pytest.mark.parametrize(
    "module", ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
)
def test_modules_are_torchs_by_arguments_mode_and_statistics(module):
    ours, theirs = getattr(ft, module), getattr(torch.nn, module)
    layer = ours(0.3, True)
    assert isinstance(layer, theirs)
    assert repr(layer) == repr(theirs(0.3, True))
    assert (layer.p, layer.inplace, layer.training) == (0.3, True, True)
    x = torch.randn(40, 60, *(4,) * {"1": 1, "2": 2, "3": 3}.get(module[7:8], 1))
    assert ours(0.3).eval()(x) is x
    assert ours(0.0)(x) is x
    y, z = ours(0.3)(x), theirs(0.3)(x)
    assert y.shape == z.shape
    # Torch draws other masks than fastdrop; mean and variance agree.
    assert abs(y.mean() - z.mean()) < 0.1
    assert abs(y.var() / z.var() - 1) < 0.25
    assert not torch.equal(y, ours(0.3)(x))


@pytest.mark.parametrize(
    ("function", "shape", "mask_shape"),
    [
        ("dropout1d", (7, 5), (7, 1)),
        ("dropout1d", (3, 7, 5), (3, 7, 1)),
        ("dropout2d", (3, 7, 5, 4), (3, 7, 1, 1)),
        ("dropout3d", (7, 5, 4, 2), (7, 1, 1, 1)),
        ("dropout3d", (3, 7, 5, 4, 2), (3, 7, 1, 1, 1)),
    ],
)
def test_channels_share_a_keep_bit_with_and_without_a_batch(function, shape, mask_shape):
    y = getattr(F, function)(torch.ones(shape), 0.5, generator=fd.Stream(2))
    few = F.dropout(torch.ones(mask_shape), 0.5, generator=fd.Stream(2))
    assert torch.equal(y, few.expand(shape))
    torch_shape = getattr(torch.nn.functional, function)(torch.ones(shape), 0.5)
    assert torch.equal(torch_shape, torch_shape[(..., *(slice(0, 1),) * mask_shape.count(1))].expand(shape))


def test_feature_maps_of_other_ranks_are_handled_as_by_torch():
    with pytest.warns(UserWarning, match="3D input"):
        y = F.dropout2d(torch.ones(3, 7, 50), 0.5)
    assert torch.equal(y, y[..., :1].expand(3, 7, 50))
    with pytest.raises(RuntimeError, match="2D or 3D"):
        F.dropout1d(torch.ones(4))
    with pytest.raises(RuntimeError, match="at least 2"):
        F.dropout2d(torch.ones(4))
    with pytest.warns(UserWarning, match="deprecated"):
        F.dropout3d(torch.ones(3, 7, 50))


def test_p_outside_and_wrong_inputs_are_refused():
    x = torch.ones(4)
    for p in (-0.1, 1.5, float("nan")):
        for call in (F.dropout, F.dropout1d, F.alpha_dropout, F.softmax_dropout):
            with pytest.raises(ValueError, match="between 0 and 1"):
                call(torch.ones(2, 4), p)
        with pytest.raises(ValueError, match="between 0 and 1"):
            ft.Dropout(p)
    for dtype in (torch.int64, torch.complex64, torch.bool):
        with pytest.raises(TypeError, match=str(dtype)):
            F.dropout(x.to(dtype))
    with pytest.raises(TypeError, match="generator is"):
        F.dropout(x, generator=np.random.default_rng())
    with pytest.raises(ValueError, match="share one place"):
        F.dropout(torch.ones(1).expand(4), inplace=True)


def test_dropped_elements_are_zero_where_torch_multiplies():
    x = torch.tensor([float("inf"), float("nan"), -1.0, 2.0])
    for p in (1.0, 0.5):
        y = F.dropout(x, p, generator=fd.Stream(3))
        dropped = ~torch.from_numpy(np.asarray(fd.Mask((4,), p, fd.Stream(3))))
        assert dropped.any()
        assert torch.equal(y[dropped], torch.zeros(int(dropped.sum())))
        assert not torch.signbit(y[dropped]).any()
    assert torch.nn.functional.dropout(x, 1.0)[:2].isnan().all()  # the difference that the docstring states
    assert torch.equal(F.alpha_dropout(torch.randn(9), 1.0, True).abs(), torch.zeros(9))


def test_empty_tensors():
    for shape in ((0,), (3, 0, 2)):
        assert F.dropout(torch.ones(shape)).shape == shape
        assert F.alpha_dropout(torch.ones(shape), training=True).shape == shape


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, in forward mode
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("call", [F.dropout, F.dropout1d, F.alpha_dropout])
def test_gradients_to_the_second_order(call, inplace):
    def f(x):
        return call(x * 1.5, 0.4, training=True, inplace=inplace, generator=fd.Stream(4))

    x = torch.randn(6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, (x,))


def test_softmax_dropout_gradients_and_values():
    x = torch.randn(3, 4, 7, dtype=torch.float64, requires_grad=True)

    def f(x):
        return F.softmax_dropout(x, 0.4, generator=fd.Stream(4))

    kept = torch.from_numpy(np.asarray(fd.Mask(x.shape, 0.4, fd.Stream(4))))
    torch.testing.assert_close(f(x), torch.where(kept, torch.softmax(x, -1) / 0.6, 0.0))
    assert torch.autograd.gradcheck(f, (x,))
    assert torch.autograd.gradgradcheck(f, (x,))
    assert torch.equal(F.softmax_dropout(x, 0.4, training=False), torch.softmax(x, -1))
    assert F.softmax_dropout(torch.tensor(3.0), 0.4).item() in (0.0, pytest.approx(1 / 0.6))


def test_gradient_uses_the_same_mask_and_saves_no_tensors():
    saved = []
    x = torch.randn(50, 60, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        y = F.dropout(x, 0.3)
        z = F.alpha_dropout(x, 0.3, training=True)
        assert saved == []
        (x * x).sum()
        assert saved  # the hooks do see tensors that other operations save
    dy = torch.randn(60, 50).T
    (dx,) = torch.autograd.grad(y, x, dy)
    assert torch.equal(dx == 0, y == 0)
    torch.testing.assert_close(dx, torch.where(y != 0, dy / 0.7, 0))
    assert z.grad_fn is not None


def test_inplace():
    x = torch.randn(100)
    before = x.clone()
    y = F.dropout(x, 0.5, inplace=True, generator=fd.Stream(1))
    assert y is x
    assert torch.equal(y, F.dropout(before, 0.5, generator=fd.Stream(1)))
    view = torch.ones(4, 6)
    ft.Dropout(1.0, inplace=True)(view[:, ::2])
    assert torch.equal(view[0], torch.tensor([0.0, 1, 0, 1, 0, 1]))
    with pytest.raises(RuntimeError, match="leaf Variable"):
        F.dropout(torch.ones(3, requires_grad=True), inplace=True)
    w = torch.randn(8, requires_grad=True)
    exp = w.exp()
    F.dropout(exp, inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        exp.sum().backward()


def test_generators():
    x = torch.ones(1000)
    generator = torch.Generator().manual_seed(3)
    first, second = F.dropout(x, generator=generator), F.dropout(x, generator=generator)
    assert not torch.equal(first, second)
    torch.manual_seed(1)  # does not affect the result
    assert torch.equal(first, F.dropout(x, generator=generator.manual_seed(3)))
    torch.manual_seed(8)
    a, b = F.dropout(x), F.dropout(x)
    assert not torch.equal(a, b)
    torch.manual_seed(8)
    assert torch.equal(a, F.dropout(x))
    stream = fd.Stream(9)
    F.dropout(x, generator=stream)
    assert stream.calls == 1
    assert torch.equal(F.dropout(x, generator=stream), F.dropout(x, generator=_at(9, 1)))


def _at(key, calls):
    stream = fd.Stream(key)
    stream.state = stream.state | {"calls": calls}
    return stream


def test_a_new_module_draws_nothing_and_its_first_mask_follows_manual_seed():
    x = torch.ones(1000)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    layer = ft.Dropout()
    assert layer.stream is None
    assert torch.equal(torch.get_rng_state(), state)
    y = layer(x)
    torch.manual_seed(2)
    assert torch.equal(y, ft.Dropout()(x))
    assert not torch.equal(y, ft.Dropout()(x))
    assert not torch.equal(y, layer(x))
    torch.manual_seed(2)  # does not reset a stream that has started
    assert not torch.equal(y, layer(x))


def _model():
    return torch.nn.Sequential(torch.nn.Linear(50, 50), ft.Dropout(0.5), ft.AlphaDropout(0.2), ft.Dropout1d(0.3))


def test_a_resumed_run_continues_the_masks():
    model, x = _model(), torch.randn(20, 50)
    model(x)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    expected = [model(x) for _ in range(3)]
    torch.manual_seed(77)
    resumed = _model()
    resumed(x)  # starts streams, which the state replaces
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert all(torch.equal(y, resumed(x)) for y in expected)


def test_states_of_other_versions_of_other_models_and_before_the_first_mask():
    layer, plain = ft.Dropout(), torch.nn.Dropout()
    state = layer.state_dict()
    assert state["_extra_state"].numel() == 0
    assert layer.load_state_dict(plain.state_dict()).missing_keys == []
    layer.load_state_dict(state)
    assert layer.stream is None
    layer(torch.ones(3))
    key = layer.stream.key
    layer.load_state_dict(plain.state_dict())
    assert layer.stream.key == key
    state = layer.state_dict()
    state["_extra_state"][0] += 1
    with pytest.raises((ValueError, RuntimeError), match="rule version"):
        layer.load_state_dict(state)


@pytest.mark.parametrize(
    "state", [None, "x", [1, 1, 2, 0], torch.tensor([1.0, 1.7, 2.2, 0.0]), torch.tensor([1, 1, 2]), torch.tensor(1)]
)
def test_invalid_states(state):
    layer = ft.Dropout(generator=fd.Stream(5))
    with pytest.raises((ValueError, RuntimeError), match="4 or 0 int64"):
        layer.load_state_dict({"_extra_state": state})
    assert layer.stream.state == fd.Stream(5).state


def test_copies_and_shared_streams():
    layer, x = ft.Dropout(), torch.ones(500)
    layer(x)
    copies = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    expected = layer(x)
    assert all(torch.equal(each(x), expected) for each in copies)
    stream = fd.Stream(2**64 - 1)
    one, other = ft.Dropout(generator=stream), ft.Dropout(generator=stream)
    assert not torch.equal(one(x), other(x))
    assert (one.stream, stream.calls) == (stream, 2)
    one.load_state_dict(other.state_dict())
    assert one.stream is stream
    assert stream.key == 2**64 - 1
    replica = layer._replicate_for_data_parallel()
    assert replica.stream is layer.stream


def test_other_devices_are_refused_and_meta_has_a_shape():
    y = ft.Dropout()(torch.ones(3, 4, device="meta"))
    assert (y.shape, y.device.type) == ((3, 4), "meta")

    class Elsewhere:
        is_cpu = is_cuda = is_meta = False
        dtype, layout, device = torch.float32, torch.strided, torch.device("mps")

    with pytest.raises(TypeError, match="mps"):
        ft.interop.check_tensor(Elsewhere())


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ft.Dropout()(torch.ones(3, requires_grad=True)).sum().backward()


def test_without_torch_the_error_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import fastdrop.torch"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "BackendUnavailable: fastdrop.torch needs the package torch" in found.stderr
    assert "fastdrop-kernels[torch]" in found.stderr


def test_a_call_that_fails_draws_nothing():
    """It advances no stream and no generator of torch's, not even the number by which checkpoints find their masks."""
    x, stream, generator = torch.ones(4, 4), fd.Stream(1), torch.Generator().manual_seed(1)
    calls = [
        lambda function, source: function(x, 2.0, True, generator=source),
        lambda function, source: function(x, "half", True, generator=source),
        lambda function, source: function(x, True, True, generator=source),
        lambda function, source: function(x, None, True, generator=source),
        lambda function, source: function(x.int(), 0.5, True, generator=source),
        lambda function, source: function(x.to_sparse(), 0.5, True, generator=source),
        lambda function, source: function(x, 0.5, True, generator=np.random.default_rng(1)),
        lambda function, source: function(x, 0.5, True, generator=5),
        lambda function, source: function(torch.ones(1).expand(2**45, 2), 0.5, True, generator=source),
    ]
    functions = [ft.functional.dropout, ft.functional.alpha_dropout, ft.functional.softmax_dropout]
    for source in (stream, generator, None):
        before = stream.state, generator.get_state().tolist(), torch.get_rng_state().tolist()
        for function in functions:
            for call in calls:
                with pytest.raises((TypeError, ValueError, RuntimeError)):
                    call(function, source)
        assert (stream.state, generator.get_state().tolist(), torch.get_rng_state().tolist()) == before
    leaf = torch.ones(6, requires_grad=True)
    before = stream.state, torch.get_rng_state().tolist()
    unwritable = [
        torch.ones(1).expand(4),
        torch.ones(8).as_strided((3, 4), (1, 1)),
        torch.ones(8, 1).expand(8, 3),
        leaf,
        leaf[:3],
        leaf.view(2, 3),
    ]
    for function in functions[:2]:
        for x in unwritable:
            with pytest.raises((RuntimeError, ValueError)):
                function(x, 0.5, True, True, generator=stream)
    with pytest.raises(RuntimeError, match="2 dimensions"):
        ft.functional.feature_alpha_dropout(torch.ones(4), 0.5, True, generator=stream)
    assert (stream.state, torch.get_rng_state().tolist()) == before
    assert torch.equal(leaf, torch.ones(6))
    layer = ft.DropConnectLinear(4, 2, 0.5)
    before = torch.get_rng_state()
    for wrong in (torch.ones(3, 5), torch.ones(3, 4, dtype=torch.float64), torch.ones(3, 4, dtype=torch.int32)):
        with pytest.raises((TypeError, RuntimeError)):
            layer(wrong)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tensor_with_the_negative_bit():
    z = torch.view_as_complex(torch.ones(400, 2)).conj().imag
    assert z.is_neg()
    for function in (ft.functional.dropout, ft.functional.alpha_dropout):
        expected = function(z.resolve_neg(), 0.5, True, generator=fd.Stream(1))
        assert torch.equal(function(z, 0.5, True, generator=fd.Stream(1)), expected)
        written = z.clone(memory_format=torch.preserve_format)
        again = torch.view_as_complex(torch.ones(400, 2)).conj().imag
        assert torch.equal(function(again, 0.5, True, True, generator=fd.Stream(1)), expected)
        assert torch.equal(again, expected)
        assert torch.equal(written, z)
    for call in (fd.from_dlpack, lambda tensor: fd.dropout(tensor, rng=1)):
        with pytest.raises(TypeError, match=r"resolve_neg\(\)"):
            call(z)
