"""Public functions that draw for more than one array, or not at all."""

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import oracle
import pytest
from devices import same
from hypothesis import given
from hypothesis import strategies as st
from operations import DTYPES
from registry import covers
from strategies import KEYS, contents, layouts, machines, make_source, place, rates, running_on, shapes, sources
from threadpoolctl import threadpool_limits

import fastdrop as fd
from fastdrop import reference


class Foreign:
    """Another package's array, which supports DLPack."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


@covers("from_dlpack")
@given(data=st.data())
def test_from_dlpack_shares_memory(data):
    dtype = data.draw(st.sampled_from([dtype for dtype in DTYPES if dtype != ml_dtypes.bfloat16]))
    values = data.draw(contents(data.draw(shapes()), dtype))
    placed = place(values, data.draw(layouts(values.ndim, writable=True))._replace(unaligned=False))
    found = fd.from_dlpack(Foreign(placed.array))
    same(found, placed.array)
    assert np.shares_memory(found, placed.array) or not found.size
    assert fd.from_dlpack(placed.array) is placed.array
    before, p = placed.memory.copy(), data.draw(rates())
    same(fd.dropout(Foreign(placed.array), p, rng=3)[0], fd.dropout(values, p, rng=3)[0])
    assert placed.untouched_since(before)


@given(wrong=st.sampled_from([None, 5, "x", [1.0], object(), Foreign(np.ones(3), (4, 0)), Foreign(np.ones(3, "O"))]))
def test_from_dlpack_refuses(wrong):
    with pytest.raises(TypeError) as caught:
        fd.from_dlpack(wrong)
    assert "DLPack" in str(caught.value)


# --- DropConnect's moments


@st.composite
def layers(draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    batch, outputs, inputs = draw(shapes(3, 3, elements=1000, large=False))
    dtype = draw(st.sampled_from(DTYPES))
    sizes = {"x": (batch, inputs), "weight": (outputs, inputs), "bias": (outputs,)}
    arrays = {name: draw(contents(size, dtype, finite=True)) for name, size in sizes.items()}
    keywords = {"p": draw(st.sampled_from([0.0, 0.25, 0.3, 0.5])), "drop_bias": draw(st.booleans())}
    return arrays, {**keywords, "scaling": draw(st.sampled_from(["inverted", "classic"]))}


def moments(arrays: dict[str, Any], p: float, drop_bias: bool, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the layer's result over masks, in float64."""
    x, weight, bias = (array.astype(np.float64) for array in arrays.values())
    factor = 1.0 - p if scaling == "classic" else 1.0
    spread = p * (1.0 - p) if scaling == "classic" else p / (1.0 - p)
    mean = factor * (x @ weight.T) + bias * (factor if drop_bias else 1.0)
    return mean, spread * ((x**2) @ (weight**2).T + (bias**2 if drop_bias else 0.0))


@covers("dropconnect_moments", "dropconnect_inference")
@given(layer=layers(), samples=st.integers(1, 4), source=sources(("stream",)), data=st.data())
def test_moments_and_the_average_over_their_draws(layer, samples, source, data):
    arrays, keywords = layer
    mean, variance = moments(arrays, **keywords)
    dtype = arrays["x"].dtype
    size = max(1.0, np.abs(mean).max(initial=0), variance.max(initial=0)) * (8 + arrays["x"].shape[1])
    with running_on(data.draw(machines)):
        found = fd.dropconnect_moments(*arrays.values(), **keywords)
        for one, two in zip(found, (mean, variance), strict=True):
            assert one.dtype == dtype
            np.testing.assert_allclose(one.astype(np.float64), two, rtol=0, atol=size * oracle.unit(dtype))
        positive = lambda u: np.maximum(u, 0)  # noqa: E731
        average = fd.dropconnect_inference(
            *arrays.values(), **keywords, samples=samples, activation=positive, rng=source.rng
        )
    expected = np.zeros(mean.shape)
    for sample in range(samples):
        number = (source.call + sample) % 2**64
        z = reference.gaussian(np.ones(mean.shape), source.key, number, 1.0) - 1.0
        expected += positive(mean + np.sqrt(variance) * z) / samples
    unit = oracle.unit(np.dtype(np.float32) if dtype.itemsize == 2 else dtype)
    far = (
        20 * size * np.sqrt(unit) if keywords["p"] else 20 * size * unit
    )  # the square root of values rounded towards 0
    np.testing.assert_allclose(average.astype(np.float64), expected, rtol=0, atol=far + size * oracle.unit(dtype))
    assert source.rng.calls == (source.call + samples) % 2**64


@given(layer=layers(), data=st.data())
def test_moments_refuse_and_draw_nothing(layer, data):
    arrays, keywords = layer
    stream, (x, weight, bias) = fd.Stream(1), arrays.values()
    attempts = [
        ("p", lambda f, more: f(x, weight, bias, **{**keywords, "p": 1.5}, **more)),
        ("p", lambda f, more: f(x, weight, bias, **{**keywords, "p": 1.0, "scaling": "inverted"}, **more)),
        ("drop_bias", lambda f, more: f(x, weight, None, **{**keywords, "drop_bias": True}, **more)),
        ("scaling", lambda f, more: f(x, weight, bias, **{**keywords, "scaling": "half"}, **more)),
        ("weight", lambda f, more: f(x, weight[..., None], bias, **keywords, **more)),
        ("x", lambda f, more: f(x.astype(int), weight, bias, **keywords, **more)),
        ("seed", lambda f, more: f(x, weight, bias, **keywords, seed=3, **more)),
    ]
    word, attempt = data.draw(st.sampled_from(attempts))
    for function, more in ((fd.dropconnect_moments, {}), (fd.dropconnect_inference, {"rng": stream, "samples": 2})):
        with pytest.raises((TypeError, ValueError), match=rf"\b{word}\b"):
            attempt(function, more)
    with pytest.raises((TypeError, ValueError), match="samples"):
        fd.dropconnect_inference(x, weight, bias, samples=data.draw(st.sampled_from([0, -1, 1.5, True])), rng=stream)
    with pytest.raises(TypeError, match="activation"):
        fd.dropconnect_inference(x, weight, bias, activation="relu", rng=stream)
    assert stream.calls == 0


# --- Monte Carlo dropout


@covers("mc_dropout", "MonteCarlo")
@given(data=st.data(), key=KEYS, samples=st.integers(2, 9), batch=st.integers(1, 5), outputs=st.integers(2, 6))
def test_monte_carlo_is_the_mean_of_its_samples(data, key, samples, batch, outputs):
    """Samples are stacked in one call here: the rows of its mask are the samples' masks, in order."""
    stream = make_source("stream", key, 0).rng
    x = data.draw(contents((batch, outputs), np.dtype(np.float64), finite=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few samples may be equal
        result = fd.mc_dropout(lambda rows: fd.dropout(rows, 0.5, rng=stream)[0], x, samples, outputs="values")
    kept = oracle.kept(key, 0, 0.5, (samples * batch, outputs)).reshape(samples, batch, outputs)
    drawn = np.where(kept, 2.0 * x, 0.0)
    np.testing.assert_allclose(result.mean, drawn.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.std, drawn.std(axis=0), rtol=1e-9, atol=1e-12)
    assert (result.samples, result.predictive_entropy, result.mutual_information) == (samples, None, None)
    assert stream.calls == 1


@given(wrong=st.sampled_from([("samples", 0), ("samples", -1), ("outputs", "x"), ("x", np.ones((0, 2))), ("rng", 3)]))
def test_monte_carlo_refuses(wrong):
    name, value = wrong
    calls: list[Any] = []
    arguments = {"x": np.ones((2, 3)), name: value}
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        fd.mc_dropout(lambda rows: calls.append(rows), arguments.pop("x"), **arguments)
    assert not calls


# --- the process' settings


@covers("set_num_threads", "get_num_threads")
@given(threads=st.integers(1, 1024), wrong=st.sampled_from([0, -1, 1025, 2**70, True, 1.5, "2", None]))
def test_the_number_of_threads(threads, wrong):
    before = fd.get_num_threads()
    with threadpool_limits(1024, user_api="openmp"):  # else torch's limit for OpenMP counts, once torch is imported
        try:
            fd.set_num_threads(threads)
            assert fd.get_num_threads() == threads
            with pytest.raises((TypeError, ValueError), match="threads"):
                fd.set_num_threads(wrong)
            assert fd.get_num_threads() == threads
        finally:
            fd.set_num_threads(before)


@covers("set_pool_limit", "get_pool_limit", "empty_pool", "pool_free_bytes")
@given(limit=st.sampled_from([0, 1, 2**25, 2**26, 2**63 - 1]), wrong=st.sampled_from([-1, 2**63, 1.5, "2", None, True]))
def test_the_pool_keeps_no_more_than_its_limit(limit, wrong):
    before = fd.get_pool_limit()
    try:
        fd.set_pool_limit(limit)
        with pytest.raises((TypeError, ValueError), match="bytes"):
            fd.set_pool_limit(wrong)
        assert fd.get_pool_limit() == limit
        y = fd.dropout(np.broadcast_to(np.float32(1), 2**23), 0.0, rng=1)[0]  # 32 MiB, from the pool if that is enabled
        assert (y[::4096] == 1).all()
        del y
        assert fd.pool_free_bytes() <= limit
        fd.empty_pool()
        assert fd.pool_free_bytes() == 0
    finally:
        fd.set_pool_limit(before)
