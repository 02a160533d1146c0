"""Dropout as an operation of autograd, in three forms that draw and apply the same masks.

`Masked` is a Python function that autograd calls, and what most calls go through: some 20 microseconds. `Transformed`
is the same for `torch.func`, which has another protocol and costs twice that. The operator `fastdrop::dropout` is
for `torch.compile` and for tensors without data; it gets its mask as two numbers in a tensor from the operator
`fastdrop::draw`, at run time.
"""

import itertools
from typing import Any

import torch

from fastdrop.backends import backend_for
from fastdrop.functional import softmax_dropout_backward
from fastdrop.mask import Mask
from fastdrop.torch.interop import array_of, on_stream_of
from fastdrop.torch.randomness import ModuleStream, Source, draw_as_tensor, draw_of, handle_of, mask_of, source_of

Tensor = torch.Tensor


class Masked(torch.autograd.Function):
    """A mask applied to a tensor. It is linear, so its backward is itself; it keeps the mask, and no tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Mask, inplace: bool = False, to: tuple[Tensor] | None = None) -> Tensor:
        """`to` holds the tensor to write to, in a tuple: so it is no input to autograd."""
        ctx.mask, ctx.inplace = mask, inplace
        if inplace:
            ctx.mark_dirty(x)
        return masked(x, mask, x if inplace else to[0] if to else torch.empty_like(x))

    @staticmethod
    def backward(ctx: Any, *dy: Any) -> Any:
        return Masked.apply(dy[0], ctx.mask), None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangent_of(tangents[0], ctx.mask, ctx.inplace)


class Transformed(torch.autograd.Function):
    """`Masked` for `torch.func`'s transforms, but for vmap."""

    @staticmethod
    def forward(x: Tensor, mask: Mask) -> Tensor:
        return masked(x, mask, torch.empty_like(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mask = inputs[1]

    @staticmethod
    def backward(ctx: Any, *dy: Any) -> Any:
        return Transformed.apply(dy[0], ctx.mask), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return Transformed.apply(tangents[0], ctx.mask)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        raise NotImplementedError(_NO_VMAP)


class SoftmaxDropout(torch.autograd.Function):
    """dropout(softmax(x)) along the last axis; keeps x and the mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Mask, to: tuple[Tensor]) -> Tensor:
        """`to` as in `Masked`."""
        ctx.mask = mask
        ctx.save_for_backward(x)
        (y,) = to
        with on_stream_of(x):
            scores = array_of(x)
            backend_for(x=scores).softmax(array_of(y), scores, None, mask)
        return y

    @staticmethod
    def backward(ctx: Any, *dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates the gradient: of operations that autograd knows
            kept = torch.softmax(x, dim=-1)
            scaled = kept * Masked.apply(dy[0], ctx.mask)
            return scaled - kept * scaled.sum(dim=-1, keepdim=True), None, None
        dx = torch.empty_like(x)
        with on_stream_of(x):
            softmax_dropout_backward(array_of(dy[0]), array_of(x), ctx.mask, out=array_of(dx))
        return dx, None, None


def tangent_of(tangent: Tensor, mask: Mask, inplace: bool) -> Tensor:
    """The tangent of a masked tensor; autograd wants to see that it is written in place where the tensor is."""
    result = masked(tangent, mask, torch.empty_like(tangent))
    return tangent.copy_(result) if inplace else result


def masked(x: Tensor, mask: Mask, y: Tensor) -> Tensor:
    """The mask applied to x, written to y; autograd does not see it."""
    with on_stream_of(x):
        mask(array_of(x), array_of(y))
    return y


def is_plain(x: Tensor) -> bool:
    """Whether it has data that kernels can read, and nobody traces what happens to it."""
    return (
        type(x) in (Tensor, torch.nn.Parameter)
        and not x.is_meta
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def check_not_batched(x: Tensor) -> None:
    """Say that there is no `vmap`: whether its examples should share a mask is not for us to guess."""
    if torch._C._functorch.is_batchedtensor(x):
        raise NotImplementedError(_NO_VMAP)


_NO_VMAP = (
    "fastdrop.torch does not support torch.func.vmap: call the layer on the whole batch, "
    "or use torch.nn.functional.dropout under vmap(..., randomness=...)"
)

_sites = itertools.count()


@torch.compiler.assume_constant_result
def _site() -> int:
    """A new number for every place where a traced program draws: else two equal draws would be taken for one."""
    return next(_sites)


def by_operator(x: Tensor, source: Source, p: float, shared_axes: tuple[int, ...]) -> Tensor:
    """Dropout by the operators."""
    if torch.compiler.is_compiling():
        assert source is None or isinstance(source, ModuleStream)
        drawn = torch.ops.fastdrop.draw(handle_of(source), _site(), device="cpu")
    else:
        drawn = draw_as_tensor(source)
    result: Tensor = torch.ops.fastdrop.dropout(x, drawn, p, list(shared_axes))
    return result


# With the device as an argument, checkpoints in a compiled program know whose random state to restore for it.
torch.library.define(
    "fastdrop::draw",
    "(int source, int site, *, Device device) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)
torch.library.define("fastdrop::dropout", "(Tensor x, Tensor drawn, float p, int[] shared_axes) -> Tensor")


@torch.library.impl("fastdrop::draw", "default")
def _draw(source: int, site: int, *, device: torch.device) -> Tensor:
    return draw_as_tensor(source_of(source))


@torch.library.register_fake("fastdrop::draw")
def _fake_draw(source: int, site: int, *, device: torch.device) -> Tensor:
    return torch.empty(2, dtype=torch.int64, device="cpu")


@torch.library.impl("fastdrop::dropout", "default")
def _dropout(x: Tensor, drawn: Tensor, p: float, shared_axes: list[int]) -> Tensor:
    return masked(x, mask_of(x, p, draw_of(drawn), tuple(shared_axes)), torch.empty_like(x))


@torch.library.register_fake("fastdrop::dropout")
def _fake_dropout(x: Tensor, drawn: Tensor, p: float, shared_axes: list[int]) -> Tensor:
    return torch.empty_like(x)


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    _, drawn, ctx.p, ctx.shared_axes = inputs
    ctx.save_for_backward(drawn)


def _backward(ctx: Any, dy: Tensor) -> Any:
    (drawn,) = ctx.saved_tensors
    return torch.ops.fastdrop.dropout(dy, drawn, ctx.p, ctx.shared_axes), None, None, None


torch.library.register_autograd("fastdrop::dropout", _backward, setup_context=_setup_context)
