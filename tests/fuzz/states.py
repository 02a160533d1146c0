"""Readers of saved states of streams, masks and noises: dicts, and arguments of `__setstate__`."""

import copy
import json
import math

import numpy as np

import fastdrop as fd
from fastdrop.noise import GaussianNoise
from fastdrop.regions import BlockMask, CutoutMask
from fuzz.mutations import as_text, change_json
from fuzz.readers import Finding, NoInput, Reader

KINDS = {kind.__name__: kind for kind in (fd.Mask, GaussianNoise, BlockMask, CutoutMask)}
MOST_ELEMENTS = 1 << 12
"""The largest mask whose keep bits are read."""


def _plain(value):
    """An object for JSON: its kind and its state."""
    if type(value).__name__ in KINDS:
        return {type(value).__name__: value.__getstate__()}
    raise TypeError(value)


def _restored(found):
    """The object of such a dict, made as `copy` and `pickle` make it."""
    if len(found) != 1 or next(iter(found)) not in KINDS:
        return found
    ((name, state),) = found.items()
    restored = KINDS[name].__new__(KINDS[name])
    restored.__setstate__(state)
    return restored


class MaskState(Reader):
    refused = (ValueError, TypeError)
    mutate = staticmethod(as_text(change_json))

    def seeds(self):
        rng = fd.Stream(7)
        x = np.ones((4, 6, 8, 8), np.float32)
        found = [
            fd.Mask((3, 4), 0.5, rng), fd.dropout(x, p=0.25, rng=rng)[1], fd.spatial_dropout(x, p=0.5, rng=rng)[1],
            GaussianNoise((3, 4), 0.5, rng), fd.dropout(np.ones(()), p=1.0, rng=rng)[1],
            BlockMask((2, 3, 8, 8), 0.1, 3, (2, 3), rng), CutoutMask((2, 3, 8, 8), 4, (2, 3), rng),
        ]  # fmt: skip
        return [json.dumps(_plain(each), default=_plain).encode() for each in found]

    def read(self, given):
        try:
            document = json.loads(given)
            json.loads(given, object_pairs_hook=lambda pairs: dict(pairs))
        except (ValueError, RecursionError):
            raise NoInput from None
        if not isinstance(document, dict) or len(document) != 1 or next(iter(document)) not in KINDS:
            raise NoInput
        return json.loads(given, object_hook=_restored)

    def _check_message(self, error):
        super()._check_message(error)
        if "state" not in str(error):
            raise Finding(f"a message that does not say that it is about a state: {error!s:.300}") from error

    def use(self, found):
        again = copy.deepcopy(found)
        assert again == found
        assert hash(again) == hash(found)
        assert again.__getstate__() == found.__getstate__()
        repr(found)
        if math.prod(max(side, 1) for side in found.shape) > MOST_ELEMENTS:
            return
        x = np.ones(found.shape, np.float32)
        with np.errstate(over="ignore"):
            y = found(x)
        assert y.shape == found.shape
        assert found(x).tobytes() == y.tobytes()
        looked = np.asarray(found)
        assert looked.shape == found.shape
        if looked.dtype == bool:
            assert not y[~looked].any()
        else:
            assert np.isfinite(y).all()


class StreamState(Reader):
    refused = (ValueError, TypeError)
    mutate = staticmethod(as_text(change_json))

    def seeds(self):
        stream = fd.Stream(42)
        stream.spawn(3)
        fd.dropout(np.ones(3), rng=stream)
        return [json.dumps(each.state).encode() for each in (fd.Stream(2**64 - 1), stream)]

    def read(self, given):
        try:
            state = json.loads(given)
        except (ValueError, RecursionError):
            raise NoInput from None
        stream = fd.Stream(3)
        before = stream.state
        try:
            stream.state = state
        except (ValueError, TypeError):
            if stream.state != before:
                raise Finding("a refused state has changed the stream") from None
            raise
        return stream, state

    def use(self, found):
        stream, state = found
        assert stream.state == {name: state[name] for name in stream.state}
        assert copy.deepcopy(stream).state == stream.state
        if max(stream.calls, state["spawned"]) < 1 << 63:
            copies = stream, copy.deepcopy(stream)
            (_, one), (_, two) = (fd.dropout(np.ones(8), p=0.5, rng=each) for each in copies)
            assert one == two
            assert copies[0].spawn(1)[0].key == copies[1].spawn(1)[0].key


READERS = {"mask-state": MaskState, "stream-state": StreamState}
