"""`Stream`: where the randomness of a mask comes from."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_int
from fastdrop.rule import DOMAIN_SPAWN, RULE_VERSION, check_version

Draw = kernels.Draw

_WORD = 1 << 64

Seed: TypeAlias = int | np.integer[Any] | Sequence[int] | NDArray[np.integer[Any]] | np.random.SeedSequence | None


class Stream(kernels.Calls):
    """A 64-bit key and a call counter: the only mutable state in fastdrop.

    Parameters
    ----------
    seed : int, sequence of int or numpy.random.SeedSequence, optional
        An int from 0 to 2**64 - 1 is the key. A larger one, several, or a `SeedSequence` are mixed into a key as NumPy
        does it. None takes a key from the operating system; `numpy.random.seed` has no effect.

    Attributes
    ----------
    key : int
        The seed.
    calls : int
        How many draws have been taken: one for each mask.

    Notes
    -----
    **State and seeding.** Every mask takes the next `draw`: the key and the next call number. Whether element i is kept
    depends on key, call number, i and p. Streams with equal seeds draw equal masks: give the layers of a network one
    stream, or `spawn` one for each. **Parallel use.** `spawn` gives streams with other keys. Several Python
    threads may share one stream: each call then gets another call number. A process that a stream is sent to gets a
    copy, which draws the same masks as the other copies: send ``stream.spawn(n)``, a child to each.
    **Compatibility.** Masks stay the same for one version of the mask rule, which every saved state names.

    Examples
    --------
    >>> import fastdrop as fd
    >>> stream = fd.Stream(42)
    >>> _, first = fd.dropout([1.0, 2.0, 3.0, 4.0], rng=stream)
    >>> saved = stream.state
    >>> _, second = fd.dropout([1.0, 2.0, 3.0, 4.0], rng=stream)
    >>> stream.state = saved
    >>> _, again = fd.dropout([1.0, 2.0, 3.0, 4.0], rng=stream)
    >>> first == second, second == again
    (False, True)
    """

    __slots__ = ()

    def __init__(self, seed: Seed = None) -> None:
        self._set(_key_of(seed), 0, 0)

    @property
    def key(self) -> int:
        return self._get()[0]

    @property
    def calls(self) -> int:
        return self._get()[1]

    def spawn(self, n: int) -> list["Stream"]:
        """Return n new streams with other keys.

        A child's key is words 0 and 1 that Philox gives for the counter (number of the child, domain "spawn") under
        this key. Two children, or a child and an unrelated stream, share a key with a probability of 2**-64.
        """
        n = check_int(n, "n", 0)
        if n >= 1 << 32:
            raise ValueError(f"n is below 2**32; got {n}")
        own, first = self._next_children(n)
        key = (own & 0xFFFFFFFF, own >> 32)
        children = []
        for child in range(first, first + n):
            low, high, _, _ = kernels.philox((child & 0xFFFFFFFF, (child >> 32) | DOMAIN_SPAWN << 24, 0, 0), key)
            children.append(Stream(low | high << 32))
        return children

    @property
    def state(self) -> dict[str, Any]:
        """All of the state, as plain numbers; assign it to restore it."""
        key, calls, spawned = self._get()
        return {"rule_version": RULE_VERSION, "key": key, "calls": calls, "spawned": spawned}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        check_version(state)
        try:
            values = [_check_word(state[name], name) for name in ("key", "calls", "spawned")]
        except KeyError as missing:
            raise ValueError(f"the state of a stream lacks {missing}") from None
        self._set(*values)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.state, getattr(self, "__dict__", {}))

    def __repr__(self) -> str:
        return f"Stream({self.key}, calls={self.calls})"

    @classmethod
    def from_rng(cls, rng: "RNG") -> Self:
        """A stream from what `numpy.random.default_rng` takes (SPEC 7), or from a stream.

        A `Stream` is used as it is and advances: every call gets another mask. A seed (int, sequence of ints,
        `numpy.random.SeedSequence`) is a new stream each time: calls with the same seed get the same mask. A
        `numpy.random.Generator`, `BitGenerator` or `RandomState` gives one draw as the seed, and advances. None takes a
        seed from the operating system.
        """
        if isinstance(rng, cls):
            return rng
        if isinstance(rng, np.random.BitGenerator):
            rng = np.random.Generator(rng)
        if isinstance(rng, np.random.Generator):
            return cls(int(rng.integers(0, _WORD, dtype=np.uint64)))
        if isinstance(rng, np.random.RandomState):
            return cls(int(rng.randint(0, _WORD, dtype=np.uint64)))
        return cls(_key_of(rng))


class Drawing:
    """A stream for one call of a function: its draws are given back if the call fails.

    Where another thread has drawn from the same stream since, the call numbers are skipped instead: no mask is drawn
    twice.
    """

    __slots__ = ("_count", "_first", "_rng", "_saved", "_stream")

    def __init__(self, rng: "RNG") -> None:
        self._rng = rng
        self._count = 0
        # What advances is not touched before the draw; anything else is checked now.
        self._stream: Stream | None = None
        if type(rng) is Stream:
            self._stream = rng
        elif not isinstance(rng, _GENERATORS) and not _is_draw(rng):
            self._stream = Stream.from_rng(rng)

    def __enter__(self) -> Self:
        return self

    def draw(self) -> Any:
        """Take the next call number; returns the draw. A draw that was given is returned as it is."""
        if _is_draw(self._rng):
            return self._rng
        if self._stream is None:
            self._saved = _state_of(self._rng)
            self._stream = Stream.from_rng(self._rng)
        draw = self._stream.draw()
        if self._count == 0:
            self._first = draw.call
        self._count += 1
        return draw

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None or not self._count or self._stream is None:
            return
        if isinstance(self._rng, _GENERATORS):
            _undo(self._rng, self._saved)
        else:
            self._stream._give_back(self._first, self._count)


RNG: TypeAlias = Stream | np.random.Generator | np.random.BitGenerator | np.random.RandomState | Seed | Draw


def draw_from(rng: RNG | Drawing) -> Any:
    """The next draw of a stream, or of what `Stream.from_rng` takes; or the draw that is given."""
    if isinstance(rng, (Stream, Drawing)):
        return rng.draw()
    return rng if _is_draw(rng) else Stream.from_rng(rng).draw()


def _is_draw(rng: Any) -> bool:
    """Whether it is a draw; those of a `GraphStream` have another class."""
    return hasattr(rng, "call")


_GENERATORS = (np.random.Generator, np.random.BitGenerator, np.random.RandomState)


def _state_of(rng: Any) -> Any:
    if isinstance(rng, np.random.RandomState):
        return rng.get_state(legacy=False)
    return _bits_of(rng).state


def _undo(rng: Any, before: Any) -> None:
    """Put a generator back to where it was before one draw, unless others have followed."""
    probe = np.random.RandomState() if isinstance(rng, np.random.RandomState) else type(_bits_of(rng))()
    _set_state(probe, before)
    Stream.from_rng(probe)
    if repr(_state_of(probe)) == repr(_state_of(rng)):
        _set_state(rng, before)


def _bits_of(rng: Any) -> np.random.BitGenerator:
    return rng if isinstance(rng, np.random.BitGenerator) else rng.bit_generator


def _set_state(rng: Any, state: Any) -> None:
    if isinstance(rng, np.random.RandomState):
        rng.set_state(state)
    else:
        _bits_of(rng).state = state


def _restore(kind: type[Stream], state: dict[str, Any], attributes: dict[str, Any]) -> Stream:
    stream = kind.__new__(kind)
    stream.state = state
    for name, value in attributes.items():  # of a subclass
        setattr(stream, name, value)
    return stream


def _key_of(seed: Any) -> int:
    """The key for a seed: an int of one word itself, anything else as NumPy mixes it."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(seed, np.random.SeedSequence):
        return int(seed.generate_state(1, np.uint64)[0])
    if isinstance(seed, (bool, np.bool_, str, bytes)):
        raise TypeError(_no_rng(seed))
    if hasattr(seed, "__index__") and getattr(seed, "shape", ()) == ():
        number = int(seed.__index__())
        if number < 0:
            raise ValueError(f"a seed is not negative; got {number!s:.200}")
        return number if number < _WORD else _key_of(np.random.SeedSequence(number))
    try:
        return _key_of(np.random.SeedSequence(seed))
    except TypeError:
        raise TypeError(_no_rng(seed)) from None
    except ValueError:
        raise ValueError(f"seeds are not negative; got {seed!r:.200}") from None


def _no_rng(seed: Any) -> str:
    if seed is np.random:
        return (
            "rng is numpy.random, whose hidden state is not used here; give a fastdrop.Stream(seed), or "
            "numpy.random.default_rng(seed)"
        )
    return (
        "rng is None, a seed (an int, several, or a numpy.random.SeedSequence), a numpy.random.Generator, BitGenerator "
        f"or RandomState, or a fastdrop.Stream; got {seed!r:.200}"
    )


def _check_word(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is an int from 0 to 2**64 - 1; got {value!r:.200}")
    number = int(value.__index__())
    if not 0 <= number < _WORD:
        raise ValueError(f"{name} is an int from 0 to 2**64 - 1; got {number}")
    return number
