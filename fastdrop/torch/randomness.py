"""Where masks come from, and how a checkpoint's second forward draws the masks of its first.

Each module has a `fastdrop.Stream`, so that its state can be saved. `torch.utils.checkpoint` runs a forward
again during the backward pass, and restores nothing but torch's random state. So every draw also takes a number, its
tag, from torch's default generator: where a draw during a backward pass has the tag of an earlier one, it is that one
again. Torch's own dropout moves the generator, too.
"""

import itertools
import threading
import weakref
from collections import OrderedDict
from typing import Any, TypeAlias

import torch

from fastdrop._kernels import cpu as kernels
from fastdrop.mask import Mask
from fastdrop.rule import threshold_and_scale
from fastdrop.stream import Draw, Stream

REMEMBERED = 1 << 14
"""Draws that a checkpoint can ask for again: more than a hundred steps of most models, in some megabytes."""

_drawn: OrderedDict[tuple[int, int], Draw] = OrderedDict()
_first_mask = threading.Lock()
_handles = itertools.count(1)
_modules: "weakref.WeakValueDictionary[int, ModuleStream]" = weakref.WeakValueDictionary()


class ModuleStream:
    """A module's stream, which gets its key from torch's default generator when it draws its first mask.

    Not when the module is made: that would change the weights which are drawn after it.
    """

    def __init__(self, stream: Stream | None = None) -> None:
        self.stream = stream
        self.handle = next(_handles)  # a compiled graph knows it by this number
        _modules[self.handle] = self

    def __reduce__(self) -> tuple[Any, ...]:
        return ModuleStream, (self.stream,)  # a copy draws the same masks, and counts by itself

    @property
    def state(self) -> torch.Tensor:
        """Rule version, key, calls and children as int64; empty before the first mask."""
        if self.stream is None:
            return torch.empty(0, dtype=torch.int64, device="cpu")
        return _as_tensor(*self.stream.state.values())

    @state.setter
    def state(self, state: torch.Tensor) -> None:
        if not isinstance(state, torch.Tensor) or state.dtype != torch.int64 or state.shape not in ((0,), (4,)):
            raise ValueError(f"the state of a module's stream is a tensor of 4 or 0 int64; got {state!r:.200}")
        numbers = [number % 2**64 for number in state.tolist()]
        if not numbers:
            self.stream = None
            return
        stream = self.stream or Stream(0)  # several modules may share it
        stream.state = dict(zip(("rule_version", "key", "calls", "spawned"), numbers, strict=True))
        self.stream = stream


Source: TypeAlias = Stream | ModuleStream | torch.Generator | None


def mask_of(
    x: torch.Tensor | tuple[int, ...],
    p: float,
    draw: Draw,
    shared_axes: tuple[int, ...] = (),
    made_by: str = "dropout",
) -> Mask:
    """The mask of a draw for a tensor, or for this shape. The arguments have been checked."""
    shape = x if isinstance(x, tuple) else tuple(x.shape)
    mask: Mask = kernels.make_mask(
        shape, float(p), draw, *threshold_and_scale(float(p), "inverted"), shared_axes, made_by
    )
    return mask


def draw(source: Source) -> Draw:
    """The draw to use: a new one, or that of the forward that a checkpoint repeats."""
    if source is not None and not isinstance(source, (ModuleStream, Stream, torch.Generator)):
        raise TypeError(f"generator is a torch.Generator, a fastdrop.Stream or None; got {source!r:.200}")
    tag = _number(None)
    if source is None:
        return Draw(tag, 0)
    if isinstance(source, ModuleStream):
        if source.stream is None:
            with _first_mask:  # replicas in other threads share it
                source.stream = source.stream or Stream(tag)
        source = source.stream
    if isinstance(source, Stream):
        name = (source.key, tag)
        return _again(name) or _remembered(name, source.draw())
    name = (id(source), tag)
    return _again(name) or _remembered(name, Draw(_number(source), 0))


def _again(name: tuple[int, int]) -> Draw | None:
    """What was drawn under this name, if this is a backward pass."""
    return _drawn.get(name) if torch._C._current_graph_task_id() != -1 else None


def _remembered(name: tuple[int, int], draw: Draw) -> Draw:
    _drawn[name] = draw
    if len(_drawn) > REMEMBERED:
        _drawn.popitem(last=False)
    return draw


def draw_as_tensor(source: Source) -> torch.Tensor:
    """`draw`'s key and call number, as int64."""
    drawn = draw(source)
    return _as_tensor(drawn.key, drawn.call)


def draw_of(drawn: torch.Tensor) -> Draw:
    """The draw that `draw_as_tensor` describes."""
    key, call = (number % 2**64 for number in drawn.tolist())
    return Draw(key, call)


def handle_of(source: ModuleStream | None) -> int:
    """A number for it; 0 for torch's default generator."""
    return 0 if source is None else source.handle


def source_of(handle: int) -> ModuleStream | None:
    """What `handle_of` gave this number for."""
    return _modules[handle] if handle else None


def _number(generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.empty((), dtype=torch.int64, device=device).random_(generator=generator).item())


def _as_tensor(*words: int) -> torch.Tensor:
    return torch.tensor([word - (word >> 63 << 64) for word in words], dtype=torch.int64, device="cpu")
