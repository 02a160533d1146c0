"""Dropout modules: `torch.nn`'s, each with a stream of masks that is saved with the model."""

from typing import Any

import torch
from torch import nn

from fastdrop.stream import Stream
from fastdrop.torch import functional
from fastdrop.torch.randomness import ModuleStream

Tensor = torch.Tensor


class OwnMasks:
    """What modules that drop share: a stream behind them, and its state in the model's `state_dict`.

    A state that lacks it, such as that of a model with `torch.nn`'s modules, loads and leaves the stream as it is.
    """

    _masks: ModuleStream

    @property
    def stream(self) -> Stream | None:
        """Where the masks come from; None before the first one, if no stream was given."""
        return self._masks.stream

    def get_extra_state(self) -> Tensor:
        return self._masks.state

    def set_extra_state(self, state: Tensor) -> None:
        self._masks.state = state

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(  # type: ignore[misc]
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        key = f"{prefix}_extra_state"
        if key in missing_keys:
            missing_keys.remove(key)


class _Dropout(OwnMasks):
    p: float
    inplace: bool
    training: bool

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Stream | None = None) -> None:
        functional.check_p(p)
        super().__init__(p, inplace)  # type: ignore[call-arg]
        self._masks = ModuleStream(generator)


class Dropout(_Dropout, nn.Dropout):
    """Set elements to zero with probability p and scale the others by 1 / (1 - p), while training.

    Parameters
    ----------
    p : float
        Probability of dropping; may be changed between calls.
    inplace : bool
        Write to the input.
    generator : fastdrop.Stream, optional
        Where the masks come from; several modules may share one. Without it, the module makes a stream at its
        first mask, whose key is a number of torch's default generator: `torch.manual_seed` before that makes the masks
        reproducible, afterwards it does not change them.

    Attributes
    ----------
    stream : fastdrop.Stream or None
        The stream; `state_dict` holds its state (`_extra_state`), so that a resumed run draws the masks that it would
        have drawn.

    Notes
    -----
    `torch.utils.checkpoint` gets the same mask again, as `functional.dropout` says. A deep copy, and a process that a
    model is sent to, draw the masks that the original would draw next; replicas of `nn.DataParallel` share the stream,
    each call gets another mask.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> import torch
    >>> layer = ft.Dropout(0.5)
    >>> layer
    Dropout(p=0.5, inplace=False)
    >>> x = torch.ones(8)
    >>> layer.eval()(x) is x
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.drop(input, self.p, self.training, self.inplace, self._masks, ())


class Dropout1d(_Dropout, nn.Dropout1d):
    """Drop whole channels of (batch, channels, length) or (channels, length); see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout1d(input, self.p, self.training, self.inplace, generator=self._masks)


class Dropout2d(_Dropout, nn.Dropout2d):
    """Drop whole channels of (batch, channels, height, width); see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout2d(input, self.p, self.training, self.inplace, generator=self._masks)


class Dropout3d(_Dropout, nn.Dropout3d):
    """Drop whole channels of (batch, channels, depth, height, width), or without the batch; see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout3d(input, self.p, self.training, self.inplace, generator=self._masks)


class AlphaDropout(_Dropout, nn.AlphaDropout):
    """Dropout that keeps mean 0 and variance 1; see `functional.alpha_dropout` and `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.alpha_dropout(input, self.p, self.training, self.inplace, generator=self._masks)


class FeatureAlphaDropout(_Dropout, nn.FeatureAlphaDropout):
    """Alpha dropout of whole channels; see `functional.feature_alpha_dropout` and `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.feature_alpha_dropout(input, self.p, self.training, self.inplace, generator=self._masks)
