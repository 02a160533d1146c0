"""`Stream`: where the randomness of a mask comes from."""

import operator
import os
from typing import Any, Self, TypeAlias

import numpy as np

from fastdrop.rule import PURPOSE_SPAWN, RULE_VERSION, check_version
from fastdrop.threads import kernels

_WORD = 1 << 64
_LAST = _WORD - 1

RNG: TypeAlias = "Stream | np.random.Generator | int | None"


class Stream(kernels.Calls):
    """A 64-bit key and a call counter: the only mutable state in fastdrop.

    Parameters
    ----------
    seed : int, optional
        The key, from 0 to 2**64 - 1. None takes one from the operating system.

    Attributes
    ----------
    key : int
        The seed.
    calls : int
        How many masks have been drawn.

    Notes
    -----
    **State and seeding.** Every mask takes the next call number; whether element i is kept depends on key, call number,
    i and p alone. **Parallel use.** `spawn` gives streams with keys of their own; one stream may be shared by several
    Python threads, each call then gets a number of its own. **Compatibility.** Masks stay the same for one version of
    the mask rule, which every saved state names.

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

    def __init__(self, seed: int | None = None) -> None:
        self._set(int.from_bytes(os.urandom(8), "little") if seed is None else _check_word(seed, "seed"), 0, 0)

    @property
    def key(self) -> int:
        return self._get()[0]

    @property
    def calls(self) -> int:
        return self._get()[1]

    def spawn(self, n: int) -> list["Stream"]:
        """Return n new streams with keys of their own.

        A child's key is words 0 and 1 of the Philox block at counter (number of the child, purpose "spawn") under
        this key. Two children, or a child and a stranger, share a key with a probability of 2**-64.
        """
        n = operator.index(n)
        if n < 0:
            raise ValueError(f"cannot spawn {n} streams")
        own, first = self._next_children(n)
        key = (own & 0xFFFFFFFF, own >> 32)
        children = []
        for child in range(first, first + n):
            low, high, _, _ = kernels.philox((child & 0xFFFFFFFF, (child >> 32) | PURPOSE_SPAWN << 24, 0, 0), key)
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
        return _restore, (self.state,)

    def __repr__(self) -> str:
        return f"Stream({self.key}, calls={self.calls})"

    @classmethod
    def from_rng(cls, rng: RNG) -> Self:
        """A stream from what the scientific Python convention (SPEC 7) accepts as `rng`.

        A `Stream` is used as it is and advances; an int is a new stream with that seed; a `numpy.random.Generator`
        gives one draw as the seed; None takes a seed from the operating system.
        """
        if isinstance(rng, cls):
            return rng
        if isinstance(rng, np.random.Generator):
            return cls(int(rng.integers(0, _WORD, dtype=np.uint64)))
        if rng is None or (hasattr(rng, "__index__") and not isinstance(rng, bool)):
            return cls(rng)  # type: ignore[arg-type]
        raise TypeError(f"rng is None, an int seed, a numpy.random.Generator or a fastdrop.Stream; got {rng!r}")


def _restore(state: dict[str, Any]) -> Stream:
    stream = Stream(0)
    stream.state = state
    return stream


def _check_word(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is an int from 0 to 2**64 - 1; got {value!r}")
    number = int(value.__index__())
    if not 0 <= number < _WORD:
        raise ValueError(f"{name} is an int from 0 to 2**64 - 1; got {number}")
    return number
