"""`torch.nn.functional`'s dropout with a `generator`, by fastdrop's masks."""

import warnings
from typing import Any

import torch

import fastdrop.functional as F
from fastdrop.backends.overlap import overlaps_itself
from fastdrop.rule import check_probability
from fastdrop.torch.autograd import (
    Masked,
    SoftmaxDropout,
    Transformed,
    by_operator,
    check_not_batched,
    is_plain,
    tangent_of,
)
from fastdrop.torch.interop import array_of, check_tensor, on_stream_of
from fastdrop.torch.randomness import ModuleStream, Source, draw, mask_of

Tensor = torch.Tensor


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Source = None,
) -> Tensor:
    """Set elements to zero with probability p and scale the others by 1 / (1 - p).

    Parameters
    ----------
    input : torch.Tensor of float16, bfloat16, float32 or float64
        Any shape and strides, on the CPU or on CUDA.
    p : float
        Probability of dropping, honoured to 2**-41.
    training : bool
        False returns `input` itself, as p = 0 does.
    inplace : bool
        Write to `input`.
    generator : torch.Generator, fastdrop.Stream or None
        Where the mask comes from: one draw of a generator is the key, and its state moves on; a stream gives its next
        mask. None takes torch's default generator, which `torch.manual_seed` seeds. With every choice the default
        generator gives one number, by which a second forward under `torch.utils.checkpoint` gets the same mask.

    Returns
    -------
    torch.Tensor
        `input`'s dtype, shape and memory format. A dropped element is +0.0, also where `input` is inf or NaN and where
        p = 1; torch multiplies by zero, which gives NaN there, and -0.0 for negative numbers.

    Raises
    ------
    ValueError
        If p is no probability.
    TypeError
        If the dtype or the device has no kernels, or the generator is none.
    NotImplementedError
        Under `torch.func.vmap`.

    Notes
    -----
    Autograd keeps the mask, some 200 bytes, and no tensor. Under `torch.compile` the mask is drawn at
    run time by an operator of the graph; with a generator or a stream given, the call is a graph break.

    References
    ----------
    Srivastava et al.: "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014), section 10.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import fastdrop.torch
    >>> import torch
    >>> x = torch.ones(2, 4)
    >>> y = fd.torch.functional.dropout(x, 0.5, generator=fd.Stream(0))
    >>> bool(((y == 0) | (y == 2)).all())
    True
    >>> torch.equal(y, fd.torch.functional.dropout(x, 0.5, generator=fd.Stream(0)))
    True
    """
    return drop(input, p, training, inplace, generator, ())


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Source = None
) -> Tensor:
    """Drop whole channels of (batch, channels, length) or (channels, length); see `dropout`.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> y = ft.functional.dropout1d(torch.ones(2, 3, 5))
    >>> bool((y == y[..., :1]).all())
    True
    """
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input: (channels, length) or "
            "(batch, channels, length)"
        )
    return drop(input, p, training, inplace, generator, _positions(input, batched=input.dim() == 3))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Source = None
) -> Tensor:
    """Drop whole channels of (batch, channels, height, width); see `dropout`.

    As in torch, three axes are (batch, channels, length), with a warning.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> y = ft.functional.dropout2d(torch.ones(2, 3, 5, 5))
    >>> bool((y == y[..., :1, :1]).all())
    True
    """
    if input.dim() == 3:
        warnings.warn("dropout2d: 3D input is taken as (batch, channels, length); use dropout1d", stacklevel=2)
    else:
        _check_axes("dropout2d", input, (4,))
    return drop(input, p, training, inplace, generator, _positions(input, batched=True))


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Source = None
) -> Tensor:
    """Drop whole channels of (batch, channels, depth, height, width), or without the batch; see `dropout`.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> y = ft.functional.dropout3d(torch.ones(3, 2, 5, 5))
    >>> bool((y == y[:, :1, :1, :1]).all())
    True
    """
    _check_axes("dropout3d", input, (4, 5))
    return drop(input, p, training, inplace, generator, _positions(input, batched=input.dim() == 5))


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, generator: Source = None
) -> Tensor:
    """Dropout that keeps mean 0 and variance 1, for SELU networks; see `fastdrop.alpha_dropout` and `dropout`.

    Under `torch.compile` the call is a graph break.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    >>> y = ft.functional.alpha_dropout(x, 0.3, training=True)
    >>> bool(abs(y.mean()) < 0.02), bool(abs(y.std() - 1) < 0.02)
    (True, True)
    """
    return _alpha(input, p, training, inplace, generator, features=False)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False, *, generator: Source = None
) -> Tensor:
    """Alpha dropout of whole channels of (batch, channels, ...); see `fastdrop.feature_alpha_dropout`.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> len(ft.functional.feature_alpha_dropout(torch.zeros(8, 8, 4), 0.5, training=True).unique())
    2
    """
    return _alpha(input, p, training, inplace, generator, features=True)


def softmax_dropout(input: Tensor, p: float = 0.5, training: bool = True, *, generator: Source = None) -> Tensor:
    """Softmax along the last axis and dropout of its probabilities, in one pass; see `fastdrop.softmax_dropout`.

    Autograd keeps `input` and computes the probabilities again.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> ft.functional.softmax_dropout(torch.zeros(2, 4), p=0.0)[0]
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    check_p(p)
    if not training or p == 0 or input.dim() == 0 or not input.numel() or not is_plain(input):
        return drop(torch.softmax(input, dim=-1), p, training, False, generator, ())
    check_tensor(input)
    y = torch.empty_like(input)  # before the draw: a call that fails draws nothing
    result: Tensor = SoftmaxDropout.apply(input, mask_of(input, p, draw(generator), (), "softmax_dropout"), (y,))
    return result


def check_p(p: float) -> None:
    """Raise as torch does where p is no probability."""
    try:
        check_probability(p)
    except ValueError:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}") from None


def drop(x: Tensor, p: float, training: bool, inplace: bool, source: Source, shared_axes: tuple[int, ...]) -> Tensor:
    """Dropout with keep bits that are shared along these axes."""
    check_p(p)
    if not training or p == 0:
        return x
    check_tensor(x)
    if not is_plain(x):
        return _traced(x, p, inplace, source, shared_axes)
    if not x.numel():
        return x
    if inplace:
        check_inplace(x)
        if x.is_neg():  # its memory holds the other sign
            return x.copy_(drop(x, p, training, False, source, shared_axes))
    y = x if inplace else torch.empty_like(x)  # before the draw: a call that fails draws nothing
    result: Tensor = Masked.apply(x, mask_of(x, p, draw(source), shared_axes), inplace, (y,))
    return result


def check_inplace(x: Tensor) -> None:
    """Raise where a tensor cannot be written in place, as torch does: before anything is drawn or written."""
    if overlaps_itself(x.shape, x.stride(), 1):
        raise ValueError(
            f"a tensor of strides {x.stride()}: several elements share one place in memory; clone() it first"
        )
    if torch.is_grad_enabled() and x.requires_grad:
        if x.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        if x._base is not None and x._base.is_leaf and x._base.requires_grad:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def _traced(x: Tensor, p: float, inplace: bool, source: Source, shared_axes: tuple[int, ...]) -> Tensor:
    if torch.compiler.is_compiling():
        if source is not None and not isinstance(source, ModuleStream):
            return _untraced(x, p, inplace, source, shared_axes)
        y = by_operator(x, source, p, shared_axes)
    elif torch._C._are_functorch_transforms_active():
        check_not_batched(x)
        y = Transformed.apply(x, mask_of(x, p, draw(source), shared_axes))
    else:
        y = by_operator(x, source, p, shared_axes)
    return x.copy_(y) if inplace else y


@torch.compiler.disable  # no graph can hold a generator or a stream
def _untraced(x: Tensor, p: float, inplace: bool, source: Source, shared_axes: tuple[int, ...]) -> Tensor:
    return drop(x, p, True, inplace, source, shared_axes)


def _positions(x: Tensor, batched: bool) -> tuple[int, ...]:
    return tuple(range(2 if batched else 1, x.dim()))


def _check_axes(name: str, x: Tensor, usual: tuple[int, ...]) -> None:
    if x.dim() in usual:
        return
    if x.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    warnings.warn(f"{name}: a {x.dim()}D input is deprecated in torch; use dropout", stacklevel=3)


class _Alpha(torch.autograd.Function):
    """Alpha dropout; its gradient is the mask of what was kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float, source: Source, inplace: bool, features: bool) -> Tensor:
        ctx.inplace = inplace
        if inplace:
            ctx.mark_dirty(x)
        y = x if inplace else torch.empty_like(x)
        function = F.feature_alpha_dropout if features else F.alpha_dropout
        with on_stream_of(x):
            arrays = array_of(x), array_of(y)
            _, ctx.mask = function(arrays[0], p, rng=draw(source), out=arrays[1])
        return y

    @staticmethod
    def backward(ctx: Any, *dy: Any) -> Any:
        return Masked.apply(dy[0], ctx.mask), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangent_of(tangents[0], ctx.mask, ctx.inplace)


@torch.compiler.disable
def _alpha(x: Tensor, p: float, training: bool, inplace: bool, source: Source, features: bool) -> Tensor:
    check_p(p)
    if not training or p == 0 or not x.numel():
        return x
    check_tensor(x)
    check_not_batched(x)
    if features and x.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    if inplace:
        check_inplace(x)
        if x.is_neg():
            return x.copy_(_alpha(x, p, training, False, source, features))
    result: Tensor = _Alpha.apply(x, p, source, inplace, features)
    return result
