"""Arguments of a wrong type or value: they are refused in short messages."""

import ml_dtypes
import numpy as np
import pytest
from calltools import ALL, FUNCTIONS, NO_OUT, SHAPE, values

import fastdrop as fd

NO_NUMBERS = [True, False, np.True_, 0j, 1 + 0j, np.complex64(0.5), np.timedelta64(0, "s"), np.datetime64(0, "s")]


@pytest.mark.parametrize("p", [*NO_NUMBERS, "0.5", b"0", None, [0.5], np.array([0.5]), object()], ids=range(14))
def test_invalid_probabilities_are_refused(p):
    x = values(SHAPE)
    for call in (FUNCTIONS | NO_OUT).values():
        for training in (True, False):
            with pytest.raises(TypeError, match="probability"):
                call(x, p, training=training)
    for make in (lambda: fd.Mask((3,), p, 1), lambda: fd.GaussianNoise((3,), p, 1), lambda: fd.nn.Dropout(p)):
        with pytest.raises(TypeError, match="probability"):
            make()


def test_numbers_that_are_probabilities():
    from decimal import Decimal
    from fractions import Fraction

    for p in (
        0,
        1,
        0.5,
        Fraction(1, 2),
        Decimal("0.5"),
        np.float16(0.5),
        np.int8(1),
        np.array(0.5),
        ml_dtypes.bfloat16(0.5),
    ):
        assert type(fd.dropout(np.ones(3), p, rng=1)[1].p) is float


def test_long_double_is_told_to_become_float64():
    with pytest.raises(TypeError, match=r"astype\(numpy\.float64\)"):
        fd.dropout(np.ones(3, np.longdouble))
    with pytest.raises(TypeError, match=r"astype\(numpy\.float32\)"):
        fd.dropout(np.ones(3, int))


def test_training_is_a_truth_value():
    for call in ALL.values():
        for training in ("test", None, 1, 0, [], np.array([True])):
            with pytest.raises(TypeError, match="training is True or False"):
                call(values(SHAPE), 0.5, training=training)
        call(values(SHAPE), 0.5, training=np.True_)


@pytest.mark.parametrize("number", [True, np.True_, 2**40, -(2**70), 1.0, "1", None, [0.5]], ids=str)
def test_invalid_axes_and_sizes_are_refused(number):
    x, stream = values(SHAPE), fd.Stream(1)
    calls = [
        lambda: fd.spatial_dropout(x, channel_axis=number, rng=stream),
        lambda: fd.locked_dropout(x, time_axis=number, rng=stream),
        lambda: fd.dropblock(x, channel_axis=number, rng=stream),
        lambda: fd.Mask((2, number), 0.5, stream) if number not in (2**40,) else fd.Mask((2, -number), 0.5, stream),
        lambda: stream.spawn(number),
    ]
    if isinstance(number, int) and abs(number) > 1:
        del calls[-1]  # an int is refused for its size instead
    if number is not None:
        calls.append(lambda: fd.dropout(x, shared_axes=number, rng=stream))
        calls.append(lambda: fd.dropout(x, shared_axes=[number], rng=stream))
    if number not in (2**40,):
        calls.append(lambda: fd.cutout(x, number, rng=stream))
        calls.append(lambda: fd.dropblock(x, block_size=number, rng=stream))
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=r"axis|axes|size|int"):
            call()
    assert (stream.calls, stream.state["spawned"]) == (0, 0)


def test_regions_raise_no_floating_point_warnings():
    x = np.full(SHAPE, 3e38, np.float32)
    with np.errstate(all="raise"):
        fd.dropblock(x, 0.5, 2, rng=1)
        fd.zoneout(x, -x, 0.5, training=False)
        fd.dropconnect(x.reshape(6, 16), np.ones((3, 16), np.float32), rng=1)
    large, weight, dy = np.full((6, 16), 6e4, np.float16), np.full((3, 16), 6e4, np.float16), np.full((6, 3), 6e4, "f2")
    with np.errstate(all="raise"):
        for per_example in (True, False):
            _, mask = fd.dropconnect(large, weight, per_example=per_example, rng=1)
            fd.dropconnect_backward(dy, large, weight, mask)
        fd.dropconnect(large, weight, training=False)
        fd.dropconnect_backward(dy, large, weight, None)
        fd.dropconnect_moments(large, weight)
        fd.dropconnect_inference(large, weight, samples=2, rng=1)
        _, mask = fd.bias_activation_dropout(large, large[0], rng=1)
        fd.bias_activation_dropout_backward(large, large, large[0], mask)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fd.set_num_threads("x" * 10**6),
        lambda: fd.dropout([1.0], **{"k" * 10**6: 1}),
        lambda: fd.dropout([1.0], p=10**4000),
        lambda: fd.mc_dropout(lambda x: x, np.ones((1, 1)), outputs="x" * 10**6),
        lambda: fd.set_pool_limit("x" * 10**6),
        lambda: fd.Stream(-(10**4000)),
        lambda: fd.Stream("x" * 10**6),
    ],
)
def test_a_message_is_short_however_long_the_argument(call):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert 10 < len(str(error.value)) < 500
