"""DropConnect: dropout of a linear layer's weights, a mask for every example."""

from typing import Any

import torch
from torch import nn

from fastdrop.backends import backend_for
from fastdrop.mask import Mask
from fastdrop.stream import Stream
from fastdrop.torch.autograd import Masked, check_not_batched
from fastdrop.torch.functional import check_p
from fastdrop.torch.interop import array_of, check_tensor, on_stream_of
from fastdrop.torch.modules import OwnMasks
from fastdrop.torch.randomness import ModuleStream, Source, draw, mask_of

Tensor = torch.Tensor


class DropConnectLinear(OwnMasks, nn.Linear):
    """A linear layer whose connections are dropped while training; by the mean weights afterwards.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype
        As in `torch.nn.Linear`.
    p : float
        Probability of dropping a connection.
    per_example : bool
        A mask for every example, as published, or one for the batch.
    drop_bias : bool
        Drop biases like weights.
    generator : fastdrop.Stream, optional
        As in `Dropout`.

    Raises
    ------
    ValueError
        If p is no probability, or there is no bias to drop.

    Notes
    -----
    Under `torch.compile` the layer is a graph break. The keep bits of all examples are used as they are drawn and never
    stored; autograd keeps input, weights and the mask.

    References
    ----------
    Wan et al.: "Regularization of neural networks using DropConnect", ICML 2013, equation 3.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> layer = ft.DropConnectLinear(8, 3, p=0.5)
    >>> layer(torch.ones(4, 8)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        p: float = 0.5,
        bias: bool = True,
        *,
        per_example: bool = True,
        drop_bias: bool = False,
        generator: Stream | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_p(p)
        if drop_bias and not bias:
            raise ValueError("drop_bias is True, but there is no bias")
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p, self.per_example, self.drop_bias = p, per_example, drop_bias
        self._masks = ModuleStream(generator)

    @torch.compiler.disable
    def forward(self, input: Tensor) -> Tensor:
        check_p(self.p)
        if not self.training or self.p == 0:
            return nn.functional.linear(input, self.weight, self.bias)
        return _dropconnect(input, self.weight, self.bias, self.p, self.per_example, self.drop_bias, self._masks)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}, per_example={self.per_example}, drop_bias={self.drop_bias}"


def _dropconnect(
    x: Tensor, weight: Tensor, bias: Tensor | None, p: float, per_example: bool, drop_bias: bool, source: Source
) -> Tensor:
    check_not_batched(x)
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = (None if tensor is None else tensor.to(dtype) for tensor in (x, weight, bias))  # type: ignore[assignment]
    check_tensor(x)
    if x.dtype != weight.dtype or x.shape[-1:] != weight.shape[1:]:
        raise RuntimeError(
            f"an input {tuple(x.shape)} of {x.dtype} does not fit weights {tuple(weight.shape)} of {weight.dtype}"
        )
    if drop_bias:  # a bias is then the weight of one more input, which is 1
        assert bias is not None
        x = torch.cat([x, x.new_ones(*x.shape[:-1], 1)], dim=-1)
        weight, bias = torch.cat([weight, bias[:, None]], dim=1), None
    if not per_example:
        masked = (torch.empty_like(weight),)
        mask = mask_of(weight, p, draw(source), (), "dropconnect")
        return nn.functional.linear(x, Masked.apply(weight, mask, False, masked), bias)
    rows = x.reshape(-1, x.shape[-1])
    half = x.dtype in (torch.float16, torch.bfloat16)
    rows, wide = (rows.float(), weight.float()) if half else (rows, weight)
    mask = mask_of((rows.shape[0], *weight.shape), p, draw(source), (), "dropconnect")
    y = _Product.apply(rows, wide, mask)
    if bias is not None:
        y = y + bias
    result: Tensor = y.to(x.dtype).reshape(*x.shape[:-1], weight.shape[0])
    return result


# y, dx and dweight are each linear in both of their arguments, and their derivatives are one another: so they can be
# differentiated any number of times.


class _Product(torch.autograd.Function):
    """y[b, o] = scale * sum_i keep[b, o, i] * weight[o, i] * x[b, i]"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mask: Mask) -> Tensor:
        return _computed(ctx, "dropconnect_forward", x, weight, mask, None)

    @staticmethod
    def backward(ctx: Any, *dy: Any) -> Any:
        x, weight = ctx.saved_tensors
        return _InputGradient.apply(dy[0], weight, ctx.mask), _WeightGradient.apply(dy[0], x, ctx.mask), None


class _InputGradient(torch.autograd.Function):
    """dx[b, i] = scale * sum_o keep[b, o, i] * weight[o, i] * dy[b, o]"""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, weight: Tensor, mask: Mask) -> Tensor:
        return _computed(ctx, "dropconnect_dx", dy, weight, mask)

    @staticmethod
    def backward(ctx: Any, *ddx: Any) -> Any:
        dy, weight = ctx.saved_tensors
        return _Product.apply(ddx[0], weight, ctx.mask), _WeightGradient.apply(dy, ddx[0], ctx.mask), None


class _WeightGradient(torch.autograd.Function):
    """dweight[o, i] = scale * sum_b keep[b, o, i] * dy[b, o] * x[b, i]"""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor, mask: Mask) -> Tensor:
        return _computed(ctx, "dropconnect_dweight", dy, x, mask)

    @staticmethod
    def backward(ctx: Any, *ddweight: Any) -> Any:
        dy, x = ctx.saved_tensors
        return _Product.apply(x, ddweight[0], ctx.mask), _InputGradient.apply(dy, ddweight[0], ctx.mask), None


def _computed(ctx: Any, function: str, one: Tensor, other: Tensor, mask: Mask, *further: Any) -> Tensor:
    ctx.mask = mask
    ctx.save_for_backward(one, other)
    with on_stream_of(one):
        arrays = array_of(one), array_of(other)
        result = getattr(backend_for(one=arrays[0], other=arrays[1]), function)(*arrays, *further, mask)
    return torch.from_numpy(result) if one.device.type == "cpu" else torch.from_dlpack(result)
