"""Multi-head attention whose dropout is fastdrop's, fused with its softmax."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from fastdrop.torch.functional import softmax_dropout
from fastdrop.torch.modules import OwnMasks
from fastdrop.torch.randomness import ModuleStream

Tensor = torch.Tensor


class MultiheadAttention(OwnMasks, nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` with fastdrop's attention dropout: same arguments, parameters and results.

    While training with dropout, softmax and dropout of the scores are one pass, and the matrix products torch's. It
    computes as torch does in evaluation, for p = 0, for inputs without a batch axis and with `add_bias_kv` or
    `add_zero_attn`: in the last two cases dropout in training is torch's.

    Notes
    -----
    The module has a stream for its masks, as `Dropout` has. Autograd keeps the scores and the dropped weights.

    References
    ----------
    Vaswani et al.: "Attention is all you need", NeurIPS 2017, sections 3.2 and 5.4.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> layer = ft.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
    >>> x = torch.ones(3, 5, 8)
    >>> layer(x, x, x, need_weights=False)[0].shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._masks = ModuleStream()

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if not self._drops_here(query):
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
        if is_causal and attn_mask is None:
            raise RuntimeError("is_causal says what attn_mask is; give the mask as well")
        q, k, v = self._heads(query, key, value)
        bias = _score_bias(attn_mask, key_padding_mask, q, k, self.num_heads)
        blocked = None
        if bias is not None and not need_weights:  # as torch: who may attend to nothing gets zeros here, and NaN else
            blocked = bias.isneginf().all(dim=-1, keepdim=True)
            bias = bias.masked_fill(blocked, 0.0)
        scale = 1.0 / math.sqrt(self.head_dim)
        if bias is None:
            scores = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=scale)
        else:
            scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale)
        weights = softmax_dropout(scores, self.dropout, generator=self._masks)
        heads = torch.bmm(weights, v)
        if blocked is not None:
            heads = heads.masked_fill(blocked, 0.0)
        heads = heads.unflatten(0, (-1, self.num_heads))  # (batch, heads, length, head_dim)
        y = heads.permute(0, 2, 1, 3) if self.batch_first else heads.permute(2, 0, 1, 3)
        y = F.linear(y.flatten(2), self.out_proj.weight, self.out_proj.bias)
        if not need_weights:
            return y, None
        weights = weights.unflatten(0, (-1, self.num_heads))
        return y, weights.mean(dim=1) if average_attn_weights else weights

    def _drops_here(self, query: Tensor) -> bool:
        plain = query.dim() == 3 and not query.is_nested and self.bias_k is None and not self.add_zero_attn
        return self.training and self.dropout > 0 and plain

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Projections of shape (batch x heads, length, head_dim)."""
        if query is key and key is value and self.in_proj_weight is not None:  # one product, then one copy
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            weights: tuple[Tensor, ...] = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            if self.in_proj_weight is not None:
                weights = self.in_proj_weight.chunk(3)
            parts = tuple(map(F.linear, (query, key, value), weights, biases))
        order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        split = [part.unflatten(-1, (self.num_heads, self.head_dim)).permute(order) for part in parts]
        return [part.reshape(-1, part.shape[2], self.head_dim) for part in split]


def _score_bias(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, k: Tensor, heads: int
) -> Tensor | None:
    """What is added to the scores, of a shape that broadcasts to (batch x heads, length, keys); None for nothing."""
    shape = (q.shape[0], q.shape[1], k.shape[1])
    attn, padding = (_as_bias(mask, q.dtype) for mask in (attn_mask, key_padding_mask))
    if attn is not None:
        if attn.shape not in (shape, shape[1:]):
            raise RuntimeError(f"attn_mask has shape {tuple(attn.shape)}; needed is {shape[1:]} or {shape}")
        attn = attn.reshape(-1, *shape[1:])
    if padding is not None:
        if padding.shape != (shape[0] // heads, shape[2]):
            raise RuntimeError(
                f"key_padding_mask has shape {tuple(padding.shape)}; needed is {(shape[0] // heads, shape[2])}"
            )
        padding = padding[:, None, None].expand(-1, heads, 1, -1).reshape(shape[0], 1, shape[2])
    if attn is None or padding is None:
        return padding if attn is None else attn
    return attn + padding


def _as_bias(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if mask is None:
        return None
    if mask.dtype is torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -math.inf)
    if not mask.is_floating_point():
        raise TypeError(f"masks of attention are of bool or floating-point numbers; got {mask.dtype}")
    return mask.to(dtype)
