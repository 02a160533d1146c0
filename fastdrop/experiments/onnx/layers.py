"""The layers of `fastdrop.nn` in evaluation mode as nodes of an ONNX graph: a builder for each module."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.backends import to_device
from fastdrop.experiments.onnx.graph import ROWS, GraphBuilder, Value
from fastdrop.rule import evaluation_scale


def add_layer(graph: GraphBuilder, layer: nn.Module, x: Value) -> Value:
    """Add the nodes of a layer, if it has any in evaluation mode; returns its result.

    Raises
    ------
    TypeError
        If there is no builder for this type of layer. A subclass may compute something else, so it needs its own.
    """
    kind = type(layer)
    if kind in IDENTITIES:
        return x
    if kind in CONTAINERS:
        return BUILDERS[kind](graph, layer, x)
    if kind not in BUILDERS:
        raise TypeError(f"a layer of type {kind.__name__} cannot be exported to ONNX")
    with graph.scope(kind.__name__):
        return BUILDERS[kind](graph, layer, x)


def _array(value: Any) -> NDArray[Any]:
    return to_device(value, "cpu")


def _linear(graph: GraphBuilder, layer: nn.Linear, x: Value) -> Value:
    weight = _array(layer.weight.value)
    if x.shape[-1:] != weight.shape[1:]:
        raise ValueError(f"a linear layer with {weight.shape[1]} inputs follows a result of shape {x.shape}")
    bias, shape = graph.constant("bias", _array(layer.bias.value)), (*x.shape[:-1], len(weight))
    if len(shape) == 1:
        return Value(graph.node("Gemm", x.name, graph.constant("weight", weight), bias, transB=1), shape)
    product = graph.node("MatMul", x.name, graph.constant("weight", weight.T))  # Gemm takes matrices only
    return Value(graph.node("Add", product, bias), shape)


def _linear_activation(graph: GraphBuilder, layer: nn.LinearActivationDropout, x: Value) -> Value:
    sums = _linear(graph, layer, x)
    return Value(graph.node({"gelu": "Gelu", "relu": "Relu"}[layer.activation], sums.name), sums.shape)


def _conv(graph: GraphBuilder, layer: nn.Conv2d, x: Value) -> Value:
    weight, padding, stride = _array(layer.weight.value), layer.padding, layer.stride
    constants = graph.constant("weight", weight), graph.constant("bias", _array(layer.bias.value))
    size = weight.shape[2]
    height, width = ((length + 2 * padding - size) // stride + 1 for length in x.shape[1:])
    attributes = {"kernel_shape": [size, size], "pads": [padding] * 4, "strides": [stride, stride]}
    return Value(graph.node("Conv", x.name, *constants, **attributes), (len(weight), height, width))


def _pool(operator: str) -> Callable[[GraphBuilder, Any, Value], Value]:
    def build(graph: GraphBuilder, layer: nn.MaxPool2d | nn.AvgPool2d, x: Value) -> Value:
        window = [layer.size, layer.size]
        channels, height, width = x.shape
        shape = (channels, height // layer.size, width // layer.size)
        return Value(graph.node(operator, x.name, kernel_shape=window, strides=window), shape)

    return build


def _global_average(graph: GraphBuilder, layer: nn.GlobalAveragePool, x: Value) -> Value:
    axes = graph.constant("axes", range(2, 1 + len(x.shape)), np.int64)
    return Value(graph.node("ReduceMean", x.name, axes, keepdims=0), x.shape[:1])


def _batch_norm(graph: GraphBuilder, layer: nn.BatchNorm, x: Value) -> Value:
    arrays = {
        "gamma": layer.gamma.value,
        "beta": layer.beta.value,
        "mean": layer.running_mean,
        "variance": layer.running_var,
    }
    constants = [graph.constant(name, _array(array)) for name, array in arrays.items()]
    return Value(graph.node("BatchNormalization", x.name, *constants, epsilon=layer.eps), x.shape)


def _layer_norm(graph: GraphBuilder, layer: nn.LayerNorm, x: Value) -> Value:
    gamma, beta = (graph.constant(name, _array(getattr(layer, name).value)) for name in ("gamma", "beta"))
    return Value(graph.node("LayerNormalization", x.name, gamma, beta, axis=-1, epsilon=layer.eps), x.shape)


def _elementwise(operator: str, **attributes: Any) -> Callable[[GraphBuilder, Any, Value], Value]:
    def build(graph: GraphBuilder, layer: nn.Module, x: Value) -> Value:
        return Value(graph.node(operator, x.name, **attributes), x.shape)

    return build


def _reshape(graph: GraphBuilder, layer: nn.Reshape, x: Value) -> Value:
    if math.prod(layer.shape) != math.prod(x.shape):
        raise ValueError(f"a result of shape {x.shape} cannot get the shape {layer.shape}")
    shape = graph.constant("shape", [0, *layer.shape], np.int64)  # 0 keeps the batch axis as it is
    return Value(graph.node("Reshape", x.name, shape), layer.shape)


def _flatten(graph: GraphBuilder, layer: nn.Flatten, x: Value) -> Value:
    return Value(graph.node("Flatten", x.name, axis=1), (math.prod(x.shape),))


def _sequential(graph: GraphBuilder, layer: nn.Sequential, x: Value) -> Value:
    for inner in layer.layers:
        x = add_layer(graph, inner, x)
    return x


def _residual(graph: GraphBuilder, layer: nn.Residual, x: Value) -> Value:
    return Value(graph.node("Add", add_layer(graph, layer.branch, x).name, x.name), x.shape)


def _attention(graph: GraphBuilder, layer: nn.MultiHeadAttention, x: Value) -> Value:
    steps, features = x.shape
    size = features // layer.heads
    with graph.scope("projection"):
        projected = _linear(graph, layer.projection, x).name
    parts = graph.node(
        "Reshape", projected, graph.constant("parts", [0, steps, 3, layer.heads, size], np.int64)
    )  # (batch, steps, query key value, heads, size)
    split = graph.node("Transpose", parts, perm=[2, 0, 3, 1, 4])
    query, key, value = (
        graph.node("Gather", split, graph.constant(name, number, np.int64), axis=0)
        for number, name in enumerate(("query", "key", "value"))
    )
    query = graph.node("Mul", query, graph.constant("scale", 1 / math.sqrt(size)))
    scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 1, 3, 2]))
    if layer.causal:
        seen, hidden = graph.constant("seen", np.tri(steps), np.bool_), graph.constant("hidden", -math.inf)
        scores = graph.node("Where", seen, scores, hidden)
    mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
    steps_first = graph.node("Transpose", mixed, perm=[0, 2, 1, 3])
    joined = graph.node("Reshape", steps_first, graph.constant("joined", [0, steps, features], np.int64))
    with graph.scope("output"):
        return _linear(graph, layer.output, Value(joined, x.shape))


def _positions(graph: GraphBuilder, layer: nn.LearnedPositions, x: Value) -> Value:
    positions = graph.constant("positions", _array(layer.weight.value)[: x.shape[0]])
    return Value(graph.node("Add", x.name, positions), x.shape)


def _embedding(graph: GraphBuilder, layer: nn.Embedding, x: Value) -> Value:
    weight = _array(layer.weight.value)
    words = graph.node("Cast", x.name, to=graph.onnx.TensorProto.INT64)
    return Value(graph.node("Gather", graph.constant("weight", weight), words, axis=0), (*x.shape, weight.shape[1]))


def _lstm(graph: GraphBuilder, layer: nn.LSTM, x: Value) -> Value:
    hidden = layer.recurrent_weight.value.shape[1]
    # A batch without rows would end the process in onnxruntime 1.32, in LSTM and in Scan: one row is added.
    padded = graph.node("Concat", x.name, graph.constant("row", np.zeros((1, *x.shape))), axis=0)
    loops = layer.zoneout.p > 0 or layer.zoneout_cell.p > 0
    states = (_zoneout_lstm if loops else _plain_lstm)(graph, layer, padded, hidden)
    bounds = [graph.constant(name, [bound], np.int64) for name, bound in (("first", 0), ("end", -1), ("rows", 0))]
    return Value(graph.node("Slice", states, *bounds), (x.shape[0], hidden))


def _plain_lstm(graph: GraphBuilder, layer: nn.LSTM, x: str, hidden: int) -> str:
    def reordered(parameter: nn.Parameter) -> NDArray[Any]:
        """With the gates in ONNX's order: input, output, forget, candidate."""
        enter, forget, leave, candidate = np.split(_array(parameter.value), 4)
        return np.concatenate([enter, leave, forget, candidate])[np.newaxis]  # one direction

    bias = np.concatenate([reordered(layer.bias), np.zeros((1, 4 * hidden))], axis=1)  # ONNX has a second bias
    constants = [
        graph.constant("weight", reordered(layer.weight)),
        graph.constant("recurrent weight", reordered(layer.recurrent_weight)),
        graph.constant("bias", bias),
    ]
    steps_first = graph.node("Transpose", x, perm=[1, 0, 2])  # onnxruntime has no other layout
    states = graph.node("LSTM", steps_first, *constants, hidden_size=hidden)  # (steps, direction, batch, hidden)
    states = graph.node("Squeeze", states, graph.constant("direction", [1], np.int64))
    return graph.node("Transpose", states, perm=[1, 0, 2])


def _zoneout_lstm(graph: GraphBuilder, layer: nn.LSTM, x: str, hidden: int) -> str:
    """An LSTM as a loop: ONNX's operator has no states that are a mean of the new and the previous ones."""
    weight = graph.constant("weight", _array(layer.weight.value).T)
    bias = graph.constant("bias", _array(layer.bias.value))
    projected = graph.node("Add", graph.node("MatMul", x, weight), bias)
    batch = graph.node("Shape", x, start=0, end=1)
    shape = graph.node("Concat", batch, graph.constant("hidden", [hidden], np.int64), axis=0)
    zeros = graph.node("ConstantOfShape", shape)
    body = GraphBuilder(graph)
    with body.scope("step"):
        names = [f"{zeros}/{part}" for part in ("state", "memory", "projected")]
        results = _zoneout_step(body, layer, *names)
        sizes = (hidden, hidden, 4 * hidden)
        inputs = [body.described(name, "FLOAT", (ROWS, size)) for name, size in zip(names, sizes, strict=True)]
        outputs = [body.described(name, "FLOAT", (ROWS, hidden)) for name in results]
        step = body.graph("step", inputs, outputs)
    loop: dict[str, Any] = {"num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1], "body": step}
    return graph.nodes("Scan", 3, zeros, zeros, projected, **loop)[2]


def _zoneout_step(body: GraphBuilder, layer: nn.LSTM, state: str, memory: str, projected: str) -> list[str]:
    """One step: returns the new state, the new memory, and the state again as the step's result."""
    recurrent = body.constant("recurrent weight", _array(layer.recurrent_weight.value).T)
    sums = body.node("Add", projected, body.node("MatMul", state, recurrent))
    enter, forget, leave, candidate = body.nodes("Split", 4, sums, axis=1, num_outputs=4)
    enter, forget, leave = (body.node("Sigmoid", gate) for gate in (enter, forget, leave))
    kept, added = body.node("Mul", forget, memory), body.node("Mul", enter, body.node("Tanh", candidate))
    new_memory = body.node("Add", kept, added)
    new_state = body.node("Mul", leave, body.node("Tanh", new_memory))
    new_state = _mixed(body, layer.zoneout, new_state, state)
    return [new_state, _mixed(body, layer.zoneout_cell, new_memory, memory), body.node("Identity", new_state)]


def _mixed(body: GraphBuilder, zoneout: nn.Zoneout, new: str, previous: str) -> str:
    """The expectation of a state that keeps its previous value with probability p."""
    share = evaluation_scale(zoneout.p)
    if share == 1.0:
        return new
    new = body.node("Mul", new, body.constant("updated", share))
    return body.node("Add", new, body.node("Mul", previous, body.constant("kept", 1.0 - share)))


def _last_step(graph: GraphBuilder, layer: nn.LastStep, x: Value) -> Value:
    last = graph.constant("last", x.shape[0] - 1, np.int64)
    return Value(graph.node("Gather", x.name, last, axis=1), x.shape[1:])


def _mean_over_steps(graph: GraphBuilder, layer: nn.MeanOverSteps, x: Value) -> Value:
    axes = graph.constant("axes", [1], np.int64)
    return Value(graph.node("ReduceMean", x.name, axes, keepdims=0), x.shape[1:])


IDENTITIES: set[type[nn.Module]] = {
    nn.Dropout,
    nn.GaussianDropout,
    nn.AlphaDropout,
    nn.DropPath,
    nn.LockedDropout,
    nn.SpatialDropout,
    nn.FeatureAlphaDropout,
    nn.DropBlock,
    nn.Cutout,
}
"""What returns its input in evaluation mode."""
CONTAINERS: set[type[nn.Module]] = {nn.Sequential, nn.TransformerBlock}
"""What only holds layers: it gets no name in the graph."""
BUILDERS: dict[type[nn.Module], Callable[[GraphBuilder, Any, Value], Value]] = {
    nn.Sequential: _sequential,
    nn.TransformerBlock: _sequential,
    nn.Residual: _residual,
    nn.Linear: _linear,
    nn.DropConnectLinear: _linear,  # its evaluation takes the mean weights, which are the weights
    nn.LinearActivationDropout: _linear_activation,
    nn.Conv2d: _conv,
    nn.MaxPool2d: _pool("MaxPool"),
    nn.AvgPool2d: _pool("AveragePool"),
    nn.GlobalAveragePool: _global_average,
    nn.BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.Reshape: _reshape,
    nn.Flatten: _flatten,
    nn.ReLU: _elementwise("Relu"),
    nn.SELU: _elementwise("Selu", alpha=nn.SELU.alpha, gamma=nn.SELU.scale),
    nn.GELU: _elementwise("Gelu", approximate="none"),
    nn.Tanh: _elementwise("Tanh"),
    nn.Sigmoid: _elementwise("Sigmoid"),
    nn.SoftmaxDropout: _elementwise("Softmax", axis=-1),
    nn.MultiHeadAttention: _attention,
    nn.LearnedPositions: _positions,
    nn.Embedding: _embedding,
    nn.LSTM: _lstm,
    nn.LastStep: _last_step,
    nn.MeanOverSteps: _mean_over_steps,
}
"""Only exact types are looked up: see `add_layer`."""
