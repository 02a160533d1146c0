"""A network as a table: `Module.summary`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastdrop.backends import array_module

if TYPE_CHECKING:
    from fastdrop.nn.module import Array, Module

Shapes = dict["Module", tuple[int, ...]]


def summary(model: "Module", input_shape: tuple[int, ...] | None) -> str:
    """See `Module.summary`."""
    shapes = {} if input_shape is None else output_shapes(model, input_shape)
    rows = [("layer", "kind", "output", "parameters")]
    for name, module in _layers(model):
        count = sum(parameter.value.size for _, parameter in module.own_parameters())
        shape = str(shapes[module][1:]) if module in shapes else ""
        rows.append((name, module.kind, shape, f"{count:,}"))
    values = [parameter.value for _, parameter in model.parameters()]
    rows.append(("total", "", "", f"{sum(value.size for value in values):,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])])
        for row in rows
    )
    memory = sum(value.nbytes for value in values) / 1024
    return "\n".join([*lines, f"memory of the parameters: {memory:,.1f} KiB"])


def output_shapes(model: "Module", input_shape: tuple[int, ...]) -> Shapes:
    """The shape of every module's result for one example of zeros, in evaluation; the model is unchanged."""
    values: list[Any] = [parameter.value for _, parameter in model.parameters()] or [np.zeros(0, np.float32)]
    x = array_module(values[0]).zeros((1, *input_shape), values[0].dtype)
    # A forward pass changes attributes (what backward needs, the last mask), and so do the recorders: all are restored.
    before = [(module, vars(module).copy()) for module in model.modules()]
    shapes: Shapes = {}
    try:
        model.eval()
        for module, _ in before:
            vars(module)["forward"] = _recorder(module, module.forward, shapes)
        with np.errstate(all="ignore"):  # the parameters may have diverged
            model(x)
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
    return shapes


def _recorder(module: "Module", forward: Callable[["Array"], "Array"], shapes: Shapes) -> Callable[["Array"], "Array"]:
    def recording(x: "Array") -> "Array":
        y = forward(x)
        shapes[module] = y.shape
        return y

    return recording


def _layers(module: "Module", name: str = "") -> Iterator[tuple[str, "Module"]]:
    """The modules that get a line: all except those that only hold others."""
    children = list(module.children())
    if not children or hasattr(module, "p") or any(module.own_parameters()):
        yield name, module
    for child_name, child in children:
        yield from _layers(child, f"{name}.{child_name}" if name else child_name)
