"""Nodes and constants of an ONNX graph, with names that a drawing of the graph can show."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package

OPSET, IR_VERSION = 20, 9
"""Those of ONNX 1.15, which onnxruntime 1.17 reads: the first opset with Gelu, and with strings in Equal since 19."""
ROWS = "rows"
"""The name of the batch axis, whose size is left open."""


class Value(NamedTuple):
    """A value of the graph: its name, and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]


def load_onnx() -> Any:
    """The package onnx, which users without exports need not have."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise missing_package("onnx", "onnx", "exporting a model") from None
    return onnx


def valid_text(text: str) -> str:
    """The text as UTF-8 can hold it: protobuf refuses unpaired surrogates, which file names and CSV cells may have."""
    return text.encode("utf-8", "replace").decode("utf-8")


class GraphBuilder:
    """Collects the nodes and constants of a graph, or of the body of a loop in it.

    Parameters
    ----------
    parent : GraphBuilder, optional
        The graph around a body. Both share their names, since a body sees the values of the graph around it.
    """

    def __init__(self, parent: "GraphBuilder | None" = None) -> None:
        self.onnx: Any = parent.onnx if parent else load_onnx()
        self._path: list[str] = list(parent._path) if parent else []
        self._taken: set[str] = parent._taken if parent else set()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of nodes and constants made inside begin with this name and a slash."""
        self._path.append(self._unique(name))
        try:
            yield
        finally:
            self._path.pop()

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result; returns the result's name, which is the node's."""
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(self, operator: str, results: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several results; returns their names."""
        name = self._named(operator)
        outputs = [name, *(self._named(operator) for _ in range(results - 1))]
        self._nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add an array; returns its name."""
        array: NDArray[Any] = np.ascontiguousarray(value, dtype).reshape(np.shape(value))  # a scalar stays one
        name = self._named(name)
        self._constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def texts(self, name: str, values: Sequence[str], shape: tuple[int, ...]) -> str:
        """Add an array of strings; returns its name."""
        name, kind = self._named(name), self.onnx.TensorProto.STRING
        encoded = [valid_text(value).encode() for value in values]
        self._constants.append(self.onnx.helper.make_tensor(name, kind, shape, encoded))
        return name

    def described(self, name: str, kind: str, shape: Sequence[int | str], text: str = "") -> Any:
        """The description of an input or a result: `kind` is "FLOAT", "INT64" or "STRING"."""
        kind = getattr(self.onnx.TensorProto, kind)
        return self.onnx.helper.make_tensor_value_info(name, kind, shape, valid_text(text))

    def graph(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The finished graph."""
        return self.onnx.helper.make_graph(self._nodes, name, inputs, outputs, self._constants)

    def rename(self, value: str, name: str) -> None:
        """Give a value that a node made, and that no node has used yet, another name."""
        node = next(node for node in self._nodes if value in node.output)
        node.output[list(node.output).index(value)] = name

    def _named(self, name: str) -> str:
        return "/".join([*self._path, self._unique(name)])

    def _unique(self, name: str) -> str:
        """The name, with a number behind it where the scope has it already."""
        path, count, found = "/".join(self._path), 1, name
        while f"{path}/{found}" in self._taken:
            count += 1
            found = f"{name} {count}"
        self._taken.add(f"{path}/{found}")
        return found
