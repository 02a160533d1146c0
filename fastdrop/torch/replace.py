"""A model's dropout, swapped for fastdrop's in place."""

from typing import Any

from torch import nn

from fastdrop.torch import modules
from fastdrop.torch.attention import MultiheadAttention
from fastdrop.torch.randomness import ModuleStream

_SWAPS: dict[type[nn.Module], type[Any]] = {
    nn.Dropout: modules.Dropout,
    nn.Dropout1d: modules.Dropout1d,
    nn.Dropout2d: modules.Dropout2d,
    nn.Dropout3d: modules.Dropout3d,
    nn.AlphaDropout: modules.AlphaDropout,
    nn.FeatureAlphaDropout: modules.FeatureAlphaDropout,
    nn.MultiheadAttention: MultiheadAttention,
}


def replace_dropout(model: nn.Module) -> int:
    """Swap every dropout module of a model for fastdrop's, in place.

    Swapped are `torch.nn`'s Dropout, Dropout1d, 2d, 3d, AlphaDropout and FeatureAlphaDropout, and MultiheadAttention
    if it has attention dropout. The modules stay the same objects and change their class: p, inplace, parameters,
    hooks, mode, and being shared by several places stay as they are. Nothing is drawn from torch's generator.

    Left alone are classes of your own, calls of `torch.nn.functional.dropout` and `scaled_dot_product_attention`, and
    the dropout between the layers of LSTM, GRU and RNN, which is inside torch's kernels.

    Parameters
    ----------
    model : torch.nn.Module
        Itself may be a dropout module.

    Returns
    -------
    int
        How many modules were swapped; a shared one counts once, a second call finds none.

    Examples
    --------
    >>> import fastdrop.torch as ft
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.TransformerEncoderLayer(4, 2))
    >>> ft.replace_dropout(model)
    5
    >>> ft.replace_dropout(model)
    0
    """
    swapped = 0
    module: Any  # its class changes
    for module in model.modules():
        target = _SWAPS.get(type(module))
        if target is None or (isinstance(module, nn.MultiheadAttention) and not module.dropout):
            continue
        module.__class__ = target
        module._masks = ModuleStream()
        swapped += 1
    return swapped
