"""Every function that draws: its values, its gradients, and the memory that it reads and writes.

`operations.py` has the calls and their expected results. The properties: the results equal the reference's bit for bit,
for any memory layout, any `out`, every instruction set and number of threads, and every kind of `rng`; only the result
is written, and there are no warnings; the backward function draws the same mask.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
from devices import same
from hypothesis import given
from hypothesis import strategies as st
from operations import TABLE, Call
from strategies import Layout, Placed, beside, contents, layouts, machines, place, running_on, sources

import fastdrop as fd


class Arranged(NamedTuple):
    """A call's arrays in memory, and where its result goes."""

    placed: dict[str, Placed | None]
    out: np.ndarray | None
    memory_of_out: Placed | None
    """The array whose memory `out` lies in: `out` itself, or an input."""

    def arrays(self) -> list[np.ndarray | None]:
        return [None if each is None else each.array for each in self.placed.values()]

    def values(self) -> dict[str, np.ndarray | None]:
        """The arrays' values, as new arrays in C order and native byte order."""
        return {name: None if each is None else plain(each.array) for name, each in self.placed.items()}


def plain(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="), order="C")


@st.composite
def arranged(draw: Any, call: Call) -> Arranged:
    """Each array in another layout; the result in a new array, in a given one, or in memory that overlaps an input."""
    shape, ndim = call.shape_of_y(), len(call.shape_of_y())
    kinds = ["new", "new", "own", "same", "overlapping"] if call.out else ["new"]
    kind = draw(st.sampled_from(kinds))
    placed: dict[str, Placed | None] = {}
    chosen = draw(st.sampled_from([name for name, array in call.arrays.items() if is_of(array, shape)] or [""]))
    out = memory = None
    for name, values in call.arrays.items():
        if values is None:
            placed[name] = None
        elif name == chosen and kind == "same":
            memory = placed[name] = place(values, draw(layouts(ndim, writable=True)))
            out = memory.array
        elif name == chosen and kind == "overlapping":
            most = max(1, min(70, 2 * values.size))
            layout = draw(layouts(ndim, writable=True))._replace(unaligned=False)
            memory, out = beside(values, layout, draw(layouts(ndim, writable=True)), draw(st.integers(-most, most)))
            placed[name] = memory
        else:
            placed[name] = place(values, draw(layouts(values.ndim)))
            if draw(st.booleans()):
                placed[name].array.flags.writeable = False
    if kind == "own":
        memory = place(np.zeros(shape, next(iter(call.arrays.values())).dtype), draw(layouts(ndim, writable=True)))
        out = memory.array
    return Arranged(placed, out, memory)


def is_of(array: np.ndarray | None, shape: tuple[int, ...]) -> bool:
    return array is not None and array.shape == shape


def agree(actual: np.ndarray, expected: Any) -> None:
    """The same bits, or within the bound that comes with the expected values."""
    if not isinstance(expected, tuple):
        same(actual, expected)
        return
    values, bound = expected
    assert actual.shape == values.shape
    far = np.abs(actual.astype(np.float64) - values) - bound
    assert not far.size or far.max() <= 1e-7, far.max()  # 1e-7 rounds to 0 in float16


def run(call: Call, arrangement: Arranged, rng: Any, out: np.ndarray | None) -> tuple[np.ndarray, Any]:
    more = {"out": out} if call.out else {}
    y, mask = call.function(*arrangement.arrays(), rng=rng, **call.keywords, **more)
    return y, mask


@pytest.mark.parametrize("name", TABLE)
@given(data=st.data())
def test_results_equal_the_references_and_nothing_else_is_written(name, data):
    call, source = data.draw(TABLE[name]()), data.draw(sources())
    arrangement, machine, other = data.draw(arranged(call)), data.draw(machines), data.draw(machines)
    values, before = arrangement.values(), memories(arrangement)
    with np.errstate(all="ignore"):
        expected = call.forward(values, source.key, source.call)
    again = fd.Stream(source.key)
    again.state = {**again.state, "calls": source.call}
    with running_on(other):
        first, first_mask = run(call, arrangement, again, None)
    check_memory(arrangement, before, written=False)
    agree(first, expected)
    untouched = source.state()
    with running_on(machine):
        y, mask = run(call, arrangement, source.rng, arrangement.out)
    assert type(y) is np.ndarray
    assert arrangement.out is None or y is arrangement.out
    agree(y, expected)
    same(y, first)
    check_memory(arrangement, before, written=True)
    assert source.state() == (source.after if call.training else untouched)
    check_mask(call, mask, first_mask, source.key, source.call)


def memories(arrangement: Arranged) -> list[tuple[Placed, np.ndarray]]:
    placed = [each for each in (*arrangement.placed.values(), arrangement.memory_of_out) if each is not None]
    return [(each, each.memory.copy()) for each in placed]


def check_memory(arrangement: Arranged, before: list[tuple[Placed, np.ndarray]], written: bool) -> None:
    """Nothing has changed but the elements of `out`, if it is written."""
    for placed, bytes_before in before:
        its_own = written and placed is arrangement.memory_of_out
        assert placed.untouched_since(bytes_before, arrangement.out if its_own else None)


def check_mask(call: Call, mask: Any, same_mask: Any, key: int, number: int) -> None:
    assert mask == same_mask
    assert (mask is not None) == call.training
    if mask is not None and call.kept is not None:
        np.testing.assert_array_equal(np.asarray(mask), call.kept(key, number))


@pytest.mark.parametrize("name", TABLE)
@given(data=st.data())
def test_gradients_equal_the_references(name, data):
    """The backward function draws the forward call's mask again, from arrays in any layout."""
    call, source = data.draw(TABLE[name]()), data.draw(sources())
    machine, other = data.draw(machines), data.draw(machines)
    plain_inputs = Arranged(
        {key: None if x is None else place(x, c_order(x.ndim)) for key, x in call.arrays.items()}, None, None
    )
    with running_on(machine):
        _, mask = run(call, plain_inputs, source.rng, None)
    shape, dtype = call.shape_of_y(), next(iter(call.arrays.values())).dtype
    inputs = {key: None if x is None else place(x, data.draw(layouts(x.ndim))) for key, x in call.arrays.items()}
    finite = name == "dropconnect"
    dy = place(data.draw(contents(shape, dtype, finite=finite)), data.draw(layouts(len(shape))))
    arrangement = Arranged({**inputs, "dy": dy}, None, None)
    before, values = memories(arrangement), arrangement.values()
    gradient = values.pop("dy")
    with np.errstate(all="ignore"):
        expected = call.gradients(mask is not None, gradient, values, source.key, source.call)
    with running_on(other):
        found = call.backward(mask, dy.array, {key: each and each.array for key, each in inputs.items()})
    check_memory(arrangement, before, written=False)
    for one, two in zip(found if isinstance(found, tuple) else (found,), expected, strict=True):
        agree(one, two)


def c_order(ndim: int) -> Layout:
    return Layout(tuple(range(ndim)), (1,) * ndim)
