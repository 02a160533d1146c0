"""Streams as a state machine: a model of three numbers predicts the state after any operations in any order.

Draws, refused draws, spawned children, copies, pickles, saved and restored states, and calls of other functions.
"""

import copy
import pickle
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule
from registry import covers
from strategies import CALLS, KEYS, WORD

import fastdrop as fd
from fastdrop import reference

X = np.ones(70, np.float32)


class Model:
    """A stream, with its expected key, calls and number of children."""

    def __init__(self, stream: fd.Stream, key: int, calls: int = 0, spawned: int = 0) -> None:
        self.stream, self.key, self.calls, self.spawned = stream, key, calls, spawned

    def check(self) -> None:
        expected = {"rule_version": 1, "key": self.key, "calls": self.calls, "spawned": self.spawned}
        assert self.stream.state == expected
        assert (self.stream.key, self.stream.calls) == (self.key, self.calls)
        assert repr(self.stream) == f"Stream({self.key}, calls={self.calls})"

    def another(self, stream: fd.Stream) -> "Model":
        return Model(stream, self.key, self.calls, self.spawned)


def child_key(key: int, number: int) -> int:
    low, high = (int(word) for word in reference.draw(key, 0, 254, np.array([number], np.uint64))[0, :2])
    return low | high << 32


DRAWS = [
    lambda rng: fd.dropout(X, 0.3, rng=rng),
    lambda rng: fd.dropout_add(X, X, 0.3, rng=rng),
    lambda rng: fd.alpha_dropout(X, 0.3, rng=rng),
    lambda rng: fd.softmax_dropout(X, 0.3, rng=rng),
    lambda rng: fd.zoneout(X, X, 0.3, rng=rng),
    lambda rng: fd.bias_activation_dropout(X[None], X, 0.3, rng=rng),
    lambda rng: (None, fd.Mask(70, 0.3, rng)),
]
REFUSED = [
    lambda rng: fd.dropout(X, 1.5, rng=rng),
    lambda rng: fd.dropout(X.astype(int), rng=rng),
    lambda rng: fd.dropout_add(X, X[1:], rng=rng),
    lambda rng: fd.softmax_dropout(np.float32(1), rng=rng),
    lambda rng: fd.gaussian_dropout(X, out=X[1:], rng=rng),
    lambda rng: fd.dropconnect(X, X, rng=rng),
    lambda rng: fd.cutout(X, 3, rng=rng),
    lambda rng: fd.Mask((2, -1), 0.5, rng),
    lambda rng: rng.spawn(-1),
    lambda rng: rng.spawn(2**32),
    lambda rng: rng.spawn(1.5),
    lambda rng: setattr(rng, "state", {"rule_version": 1, "key": -1, "calls": 0, "spawned": 0}),
    lambda rng: setattr(rng, "state", {"rule_version": 1, "key": 1, "calls": 2**64, "spawned": 0}),
    lambda rng: setattr(rng, "state", {"rule_version": 2, "key": 1, "calls": 0, "spawned": 0}),
    lambda rng: setattr(rng, "state", {"rule_version": 1, "key": 1}),
    lambda rng: setattr(rng, "state", 5),
]


class Streams(RuleBasedStateMachine):
    streams = Bundle("streams")
    states = Bundle("states")

    @initialize(target=streams, key=KEYS, calls=CALLS)
    def begin(self, key: int, calls: int) -> Model:
        stream = fd.Stream(key)
        stream.state = {**stream.state, "calls": calls}
        return Model(stream, key, calls)

    @rule(model=streams, draw=st.sampled_from(DRAWS))
    def draw(self, model: Model, draw: Any) -> None:
        _, mask = draw(model.stream)
        np.testing.assert_array_equal(
            np.asarray(mask).ravel(), oracle.kept(model.key, model.calls, 0.3, mask.shape).ravel()
        )
        model.calls = (model.calls + 1) % WORD
        model.check()

    @rule(model=streams, refused=st.sampled_from(REFUSED))
    def refuse(self, model: Model, refused: Any) -> None:
        with pytest.raises((TypeError, ValueError)) as caught:
            refused(model.stream)
        assert str(caught.value)
        model.check()

    @rule(model=streams)
    def evaluate(self, model: Model) -> None:
        assert fd.dropout(X, 0.3, rng=model.stream, training=False)[1] is None
        model.check()

    @rule(target=streams, model=streams, n=st.integers(1, 5), which=st.integers(0, 4))
    def spawn(self, model: Model, n: int, which: int) -> Model:
        children = model.stream.spawn(n)
        keys = [child_key(model.key, model.spawned + number) for number in range(n)]
        for child, key in zip(children, keys, strict=True):
            Model(child, key).check()
        model.spawned += n
        model.check()
        return Model(children[which % n], keys[which % n])

    @rule(target=streams, model=streams, how=st.sampled_from(["copy", "deepcopy", "pickle", "state"]))
    def duplicate(self, model: Model, how: str) -> Model:
        """A copy advances independently."""
        if how == "state":
            stream = fd.Stream(0)
            stream.state = model.stream.state
        else:
            ways = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda s: pickle.loads(pickle.dumps(s))}
            stream = ways[how](model.stream)
        again = model.another(stream)
        again.check()
        return again

    @rule(target=states, model=streams)
    def save(self, model: Model) -> tuple[Any, int, int, int]:
        return model.stream.state, model.key, model.calls, model.spawned

    @rule(model=streams, saved=states)
    def restore(self, model: Model, saved: tuple[Any, int, int, int]) -> None:
        model.stream.state = saved[0]
        model.key, model.calls, model.spawned = saved[1:]
        model.check()

    @rule(model=streams)
    def take(self, model: Model) -> None:
        assert fd.Stream.from_rng(model.stream) is model.stream
        model.check()

    @rule(model=streams)
    def take_a_draw(self, model: Model) -> None:
        """A mask made from an existing draw draws nothing more."""
        draw = model.stream.draw()
        assert (draw.key, draw.call) == (model.key, model.calls)
        model.calls = (model.calls + 1) % WORD
        assert fd.Mask(70, 0.3, draw).draw == draw
        model.check()


@covers("Stream", "Stream.spawn", "Stream.state", "Stream.from_rng", "Stream.key", "Stream.calls", "Stream.draw")
class TestStreams(Streams.TestCase):
    settings = settings(stateful_step_count=20)
