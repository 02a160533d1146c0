"""A refusal has a message and changes nothing: no number is drawn, no input and no `out` is written.

One argument of a valid call is replaced by an invalid one. The error must be a TypeError or ValueError (or MemoryError)
whose message names that argument.
"""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations import TABLE, Call
from strategies import layouts, machines, place, running_on, sources

import fastdrop as fd


class Fault(NamedTuple):
    """An argument with an invalid value."""

    name: str
    value: Any
    words: str
    """A regular expression that the message must match."""


class Subclass(np.ndarray):
    """A subclass of arrays."""


class Fake:
    """Looks like a number, but cannot be converted."""

    def __float__(self) -> float:
        raise ValueError("no")

    def __index__(self) -> int:
        raise TypeError("no")


INVALID_RATES = [-0.1, 1.1, float("nan"), float("inf"), -1, 2, 10**400, "0.5", b"0", None, True, 1j, [0.5], Fake()]
INVALID_RATES += [np.array([0.5]), np.float32("nan"), np.complex64(0.5), np.timedelta64(0, "s"), np.True_]
INVALID_RNGS = ["seed", -1, 1.5, True, np.random, object(), [0.5], [-1], b"1", np.array([0.5]), {}, np.float64(3)]
INVALID_FLAGS = ["yes", None, 1, 0, [], np.array([True])]


def faults(call: Call, x: np.ndarray) -> list[Fault]:
    """All faults of this call."""
    found = [Fault("training", value, "training") for value in INVALID_FLAGS]
    found += [Fault("rng", value, "rng|seeds?") for value in INVALID_RNGS]
    found += [Fault(name, 3, name) for name in ("seed", "inplace", "keep_prob", "another")]
    if "p" in call.keywords:
        found += [Fault("p", value, "p") for value in INVALID_RATES]
    for name, values in call.wrong.items():
        found += [Fault(name, value, name) for value in values]
    for name, array in call.arrays.items():
        if array is not None:
            found += [Fault(name, value, name) for value in invalid_arrays(call, name, array)]
    if call.out:
        found += [Fault("out", value, "out") for value in invalid_outs(x)]
    return found


def invalid_arrays(call: Call, name: str, array: np.ndarray) -> list[Any]:
    """Arrays that this parameter refuses: dtypes without kernels, subclasses, shapes that do not fit."""
    with np.errstate(all="ignore"):
        numbers = np.nan_to_num(array.astype(np.float64), posinf=1, neginf=-1).clip(-100, 100)
    kinds = [np.int32, np.uint8, np.bool_, np.complex64, np.longdouble, object, "S3", "M8[s]"]
    invalid: list[Any] = [numbers.astype(np.int64).astype(kind) for kind in kinds]
    invalid += [np.ma.masked_array(numbers), array.view(Subclass), "array", {"a": 1}, object(), [[1.0], [1.0, 2.0]]]
    if call.function is not fd.dropconnect or name != "bias":
        invalid.append(None)
    if name != next(iter(call.arrays)):
        other = np.float32 if array.dtype != np.float32 else np.float64
        invalid += [numbers.astype(other), numbers[None], np.concatenate([np.atleast_1d(array)] * 2, axis=0)[..., None]]
    return invalid


def invalid_outs(y: np.ndarray) -> list[Any]:
    """Arrays that are invalid as `out` for this shape and dtype."""
    invalid: list[Any] = [[0.0], "out", 0, y.astype(np.int32), y[None], y.view(Subclass)]
    invalid.append(y.astype(np.float64 if y.dtype != np.float64 else np.float32))
    invalid.append(np.empty((*y.shape, 2), y.dtype))
    frozen = y.copy()
    frozen.flags.writeable = False
    invalid.append(frozen)
    if y.dtype.name != "bfloat16":
        invalid.append(y.astype(y.dtype.newbyteorder()))
    if y.size > 1:
        repeated = np.lib.stride_tricks.as_strided(np.zeros(1, y.dtype), y.shape, (0,) * y.ndim)
        invalid.append(repeated)
    return invalid


def check_message(error: BaseException, words: str) -> None:
    text = str(error)
    assert text.strip(), f"{type(error).__name__} without a message"
    assert re.search(rf"(?<![A-Za-z0-9])({words})(?![A-Za-z0-9])", text), text


@pytest.mark.parametrize("name", TABLE)
@given(data=st.data())
def test_a_refusal_names_the_argument_and_changes_nothing(name, data):
    call, source = data.draw(TABLE[name]()), data.draw(sources())
    placed = {key: None if x is None else place(x, data.draw(layouts(x.ndim))) for key, x in call.arrays.items()}
    first = next(iter(call.arrays.values()))
    out = place(np.ones(call.shape_of_y(), first.dtype), data.draw(layouts(len(call.shape_of_y()), writable=True)))
    fault = data.draw(st.sampled_from(faults(call, np.ones(call.shape_of_y(), first.dtype))), label="fault")
    arrays = {key: each and each.array for key, each in placed.items()}
    keywords = {**call.keywords, "rng": source.rng}
    if call.out and data.draw(st.booleans()):
        keywords["out"] = out.array
    (arrays if fault.name in arrays else keywords)[fault.name] = fault.value
    watched = [each for each in (*placed.values(), out) if each is not None]
    before, state = [each.memory.copy() for each in watched], source.state()
    given_bytes = bytes_of(fault.value)
    with running_on(data.draw(machines)), pytest.raises((TypeError, ValueError, MemoryError)) as caught:
        call.function(*arrays.values(), **keywords)
    check_message(caught.value, fault.words)
    assert source.state() == state
    assert all(each.untouched_since(old) for each, old in zip(watched, before, strict=True))
    assert bytes_of(fault.value) == given_bytes


def bytes_of(value: Any) -> bytes:
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype != object else b""


@pytest.mark.parametrize("name", TABLE)
@given(data=st.data())
def test_a_backward_refuses_arguments_that_do_not_match_the_mask(name, data):
    call, source = data.draw(TABLE[name]()), data.draw(sources(("stream",)))
    _, mask = call.function(*call.arrays.values(), rng=source.rng, **call.keywords)
    shape, dtype = call.shape_of_y(), next(iter(call.arrays.values())).dtype
    gradient = np.ones(shape, dtype)
    bad = [np.ones(shape, np.int32), gradient.astype(np.complex64), gradient.view(Subclass), None, "dy", object()]
    masks = [gradient, 0.5, "mask", True, [True], fd.Stream(1), object()]
    if mask is not None or name in ("bias_activation_dropout", "softmax_dropout", "dropconnect"):  # these also take x
        bad += [gradient[None], np.ones((*shape, 2), dtype)]
    is_mask = data.draw(st.booleans())
    dy, wrong = (gradient, data.draw(st.sampled_from(masks))) if is_mask else (data.draw(st.sampled_from(bad)), mask)
    before, state = {key: bytes_of(x) for key, x in call.arrays.items()}, source.state()
    with pytest.raises((TypeError, ValueError)) as caught:
        call.backward(wrong, dy, call.arrays)
    check_message(caught.value, "mask" if is_mask else "dy|array|noise of shape")
    assert {key: bytes_of(x) for key, x in call.arrays.items()} == before
    assert source.state() == state
