"""A configuration as a Python script that trains its network with `fastdrop.nn`."""

import inspect
from collections.abc import Callable
from typing import Any

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.network import Network, build_network
from fastdrop.experiments.trainer import DROPOUT_FACTORS, LEARNING_RATE_FACTORS
from fastdrop.stream import Stream

WIDTH = 100
"""Characters of a line at most."""

_NAMES = {
    "mlp": "An MLP",
    "cnn": "A convolutional network",
    "lstm": "An LSTM",
    "attention": "A transformer",
    "text": "A network for text",
}


def to_python(config: ExperimentConfig, dataset: Dataset | None = None) -> str:
    """A script that trains the network of `config` and gets the numbers that `Trainer` gets.

    The text of the layers is made from the built network, so that it is the network that the trainer trains.

    Parameters
    ----------
    config : ExperimentConfig
    dataset : Dataset, optional
        Loaded before; by default that of `config`.

    Returns
    -------
    str
        Python, formatted as ruff does with lines of 100 characters.

    Raises
    ------
    ConfigError, DataError, BackendUnavailable
        As `ExperimentConfig.load_dataset` and `build_network`.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> from fastdrop.experiments.script import to_python
    >>> text = to_python(ExperimentConfig(dataset="moons", hidden=(16,), rate=0.2))
    >>> print(text[text.index("model = ") : text.index("optimizer")].rstrip())
    model = nn.Sequential(
        # hidden 1
        nn.Linear(2, 16, rng=rng),
        nn.ReLU(),
        nn.Dropout(0.2, rng=masks[0]),
        # classes
        nn.Linear(16, 2, rng=rng),
    )
    """
    dataset = config.load_dataset() if dataset is None else dataset
    network = build_network(config, dataset, _masks(config))
    model = _model(network, _Streams(config, network))
    masks = []
    if any("masks[" in line for line in model):
        what = f"fd.Stream({config.seed}).spawn(1)[0].spawn({len(config.hidden)})"
        masks = [f"masks = {what}  # a stream for each hidden layer"]
    lines = [
        *_heading(config, bool(masks)),
        "",
        *_data(config),
        "",
        f"rng = np.random.default_rng([{config.seed}, 0])  # initial weights",
        *masks,
        *model,
        *(['model.to("cuda")'] if config.backend == "cuda" else []),
        "",
        *_training(config),
        "",
        *_loop(config),
    ]
    return "\n".join(lines) + "\n"


def _heading(config: ExperimentConfig, masks: bool) -> list[str]:
    """The script's docstring, and its imports in the order of linters."""
    what = "a table" if config.dataset == "file" else config.dataset
    return [
        f'"""{_NAMES[config.network]} that learns {what}: the same numbers as from fastdrop\'s trainer.',
        "",
        "Its BLAS runs one thread: with OPENBLAS_NUM_THREADS=1 they are the same to the last bit.",
        '"""',
        "",
        *(["import cupy"] if config.backend == "cuda" else []),
        *(["import fastdrop as fd"] if masks else []),
        "import numpy as np",
        "from fastdrop import nn",
        "from fastdrop.experiments import load_dataset",
    ]


def _data(config: ExperimentConfig) -> list[str]:
    """Load the data, and move them to a GPU if the configuration says so."""
    arguments = [_quoted(config.dataset)]
    defaults = ExperimentConfig().data_fields
    for name, value in config.data_fields.items():
        if name != "name" and value != defaults[name]:
            text = _quoted(value) if isinstance(value, str) else repr(value)
            arguments.append(f"{name}={text}")
    place = "cupy.asarray({})" if config.backend == "cuda" else "{}"
    moved = [
        f"{', '.join(f'{axis}_{part}' for axis in 'xy')} = "
        + ", ".join(place.format(f"data.{axis}_{part}") for axis in "xy")
        for part in ("train", "test")
    ]
    return [*_call("data = load_dataset", arguments), *moved]


def _model(network: Network, streams: "_Streams") -> list[str]:
    """All layers, block by block, in the order in which they draw their initial weights."""
    lines = ["model = nn.Sequential("]
    for block in network.blocks:
        lines.append(f"    # {block.name}")
        for layer in block.layers:
            lines += _layer(layer, streams)
    return [*lines, "    # classes", *_layer(network.head, streams), ")"]


def _training(config: ExperimentConfig) -> list[str]:
    """The optimiser, the numbers of the loop, and schedules that are not constant."""
    arguments = ["model.parameters()", repr(config.learning_rate)]
    if config.optimizer == "sgd" and config.momentum != ExperimentConfig().momentum:
        arguments.append(f"momentum={config.momentum!r}")
    if config.weight_decay:
        arguments.append(f"weight_decay={config.weight_decay!r}")
    lines = [
        *_call(f"optimizer = nn.{'Adam' if config.optimizer == 'adam' else 'SGD'}", arguments),
        f"order = np.random.default_rng([{config.seed}, 1])  # in which examples are trained on",
        f"epochs, batch_size = {config.epochs}, {config.batch_size}",
        "batches = range(0, len(x_train), batch_size)",
    ]
    if config.learning_rate_schedule != "constant":
        schedule = LEARNING_RATE_FACTORS[config.learning_rate_schedule]
        lines.append(f"falling = nn.schedules.{schedule!r}  # the learning rate, over the training")
    if _rates_change(config):
        schedule = DROPOUT_FACTORS[config.dropout_schedule]
        lines.append(f"growing = nn.schedules.{schedule!r}  # the rates of dropout")
        lines.append("droppers = [part for part in model.modules() if isinstance(part, nn.DropoutModule)]")
        lines.append("rates = [part.p for part in droppers]")
    return lines


def _rates_change(config: ExperimentConfig) -> bool:
    return config.drops and config.dropout_schedule != "constant"


def _loop(config: ExperimentConfig) -> list[str]:
    """Epochs of batches, with an evaluation after each epoch."""
    schedules = []
    if config.learning_rate_schedule != "constant":
        schedules.append(f"optimizer.learning_rate = {config.learning_rate!r} * falling(progress)")
    if _rates_change(config):
        schedules.append("for part, rate in zip(droppers, rates):")
        schedules.append("    part.p = rate * growing(progress)")
    shuffled = "order.permutation(len(x_train))"
    if config.backend == "cuda":
        shuffled = f"cupy.asarray({shuffled})"
    before = ["step = 0"] if schedules else []
    if schedules:
        schedules = ["progress = step / max(1, epochs * len(batches) - 1)  # from 0 to 1", *schedules, "step += 1"]
    return [
        *before,
        "for epoch in range(1, epochs + 1):",
        "    model.train()",
        f"    shuffled = {shuffled}",
        "    for start in batches:",
        *(f"        {line}" for line in schedules),
        "        rows = shuffled[start : start + batch_size]",
        "        logits = model(x_train[rows])",
        "        loss, dlogits = nn.softmax_cross_entropy(logits, y_train[rows])",
        "        model.backward(dlogits)",
        "        optimizer.step()",
        "",
        "    model.eval()  # dropout off",
        "    train, test = model(x_train), model(x_test)",
        "    train_loss, _ = nn.softmax_cross_entropy(train, y_train)",
        "    test_loss, _ = nn.softmax_cross_entropy(test, y_test)",
        "    train_accuracy, test_accuracy = nn.accuracy(train, y_train), nn.accuracy(test, y_test)",
        '    print(f"epoch {epoch}: train loss {train_loss:.4f}, test loss {test_loss:.4f}")',
        "",
        'print(f"train accuracy {train_accuracy:.4f}, test accuracy {test_accuracy:.4f}")',
    ]


def _masks(config: ExperimentConfig) -> Stream:
    """The trainer's stream of masks."""
    return Stream(config.seed).spawn(1)[0]


class _Streams:
    """Which of the script's `masks` a layer draws from.

    Layers that share a stream take turns, so that a layer that drops nothing advances the masks of one that does: an
    LSTM before its dropout. A stream that no dropping layer uses is left out.
    """

    def __init__(self, config: ExperimentConfig, network: Network) -> None:
        self._numbers = {stream.key: place for place, stream in enumerate(_masks(config).spawn(len(config.hidden)))}
        self._used = {dropper.stream.key for dropper in network.droppers}

    def argument(self, name: str, stream: Stream) -> list[str]:
        return [f"{name}=masks[{self._numbers[stream.key]}]"] if stream.key in self._used else []


def _layer(layer: nn.Module, streams: _Streams) -> list[str]:
    """The call of a layer's constructor, as an argument of another call."""
    kind = type(layer)
    if kind not in _ARGUMENTS:
        raise NotImplementedError(f"a script cannot have the layer {kind.__name__}")
    arguments = _ARGUMENTS[kind](layer, streams)
    return [f"    {line}" for line in _call(f"nn.{kind.__name__}", arguments, after=",", width=WIDTH - 4)]


def _call(name: str, arguments: list[str], after: str = "", width: int = WIDTH) -> list[str]:
    """name(arguments) in one line, in three lines, or with a line for each argument."""
    joined = ", ".join(arguments)
    if len(line := f"{name}({joined}){after}") <= width:
        return [line]
    inside = [joined] if len(joined) + 4 <= width else [f"{argument}," for argument in arguments]
    return [f"{name}(", *(f"    {argument}" for argument in inside), f"){after}"]


def _quoted(text: str) -> str:
    """A string literal, in double quotes where the string has none."""
    written = repr(text)
    return written if '"' in written else f'"{written[1:-1]}"'


def _given(**values: Any) -> list[str]:
    """Named arguments without those that are 0 or None."""
    return [f"{name}={value!r}" for name, value in values.items() if value]


def _changed(layer: nn.Module) -> list[str]:
    """The named arguments that differ from their defaults; the layer has them as attributes of the same name."""
    named = inspect.signature(type(layer)).parameters.values()
    return [
        f"{one.name}={value!r}"
        for one in named
        if one.kind is one.KEYWORD_ONLY and (value := getattr(layer, one.name, one.default)) != one.default
    ]


# The constructor's arguments of each kind of layer, from its attributes.


def _nothing(layer: Any, streams: _Streams) -> list[str]:
    return []


def _linear(layer: nn.Linear, streams: _Streams) -> list[str]:
    outputs, inputs = layer.weight.value.shape
    return [str(inputs), str(outputs), "rng=rng"]


def _drop_connect(layer: nn.DropConnectLinear, streams: _Streams) -> list[str]:
    inputs, outputs, rng = _linear(layer, streams)
    return [inputs, outputs, repr(layer.p), *_changed(layer), rng, *streams.argument("mask_rng", layer.stream)]


def _convolution(layer: nn.Conv2d, streams: _Streams) -> list[str]:
    outputs, inputs, size, _ = layer.weight.value.shape
    return [str(inputs), str(outputs), str(size), *_changed(layer), "rng=rng"]


def _dropout(layer: nn.DropoutModule, streams: _Streams) -> list[str]:
    return [repr(layer.p), *_changed(layer), *streams.argument("rng", layer.stream)]


def _blocks(layer: nn.DropBlock, streams: _Streams) -> list[str]:
    return [repr(layer.p), str(layer.block_size), *_changed(layer), *streams.argument("rng", layer.stream)]


def _lstm(layer: nn.LSTM, streams: _Streams) -> list[str]:
    four_hidden, inputs = layer.weight.value.shape
    rates = _given(p=layer.dropout.p, recurrent_p=layer.recurrent_dropout.p, zoneout=layer.zoneout.p)
    masks = streams.argument("mask_rng", layer.zoneout.stream)
    return [str(inputs), str(four_hidden // 4), *rates, "rng=rng", *masks]


def _embedding(layer: nn.Embedding, streams: _Streams) -> list[str]:
    words, features = layer.weight.value.shape
    return [str(words), str(features), *_changed(layer), "rng=rng", *streams.argument("mask_rng", layer.stream)]


def _transformer(block: nn.TransformerBlock, streams: _Streams) -> list[str]:
    attention = next(part for part in block.modules() if isinstance(part, nn.MultiHeadAttention))
    hidden = next(part for part in block.modules() if isinstance(part, nn.LinearActivationDropout))
    path = next(part for part in block.modules() if isinstance(part, nn.Residual))
    outputs, features = hidden.weight.value.shape
    rates = [f"p={hidden.p!r}"]  # 0.1 by default
    if attention.softmax.p != hidden.p:
        rates.append(f"attention_p={attention.softmax.p!r}")
    rates += _given(drop_path=path.p, causal=attention.causal)
    sizes = [str(features), str(attention.heads), str(outputs)]
    return [*sizes, *rates, "rng=rng", *streams.argument("mask_rng", path.stream)]


_ARGUMENTS: dict[type[nn.Module], Callable[[Any, _Streams], list[str]]] = {
    nn.Linear: _linear,
    nn.DropConnectLinear: _drop_connect,
    nn.Conv2d: _convolution,
    nn.LSTM: _lstm,
    nn.Embedding: _embedding,
    nn.TransformerBlock: _transformer,
    nn.LearnedPositions: lambda layer, streams: [*map(str, layer.weight.value.shape), "rng=rng"],
    nn.BatchNorm: lambda layer, streams: [str(len(layer.gamma.value)), *_changed(layer)],
    nn.LayerNorm: lambda layer, streams: [str(len(layer.gamma.value)), *_changed(layer)],
    nn.Reshape: lambda layer, streams: [*map(str, layer.shape)],
    nn.MaxPool2d: lambda layer, streams: [str(layer.size)],
    nn.DropBlock: _blocks,
    **dict.fromkeys((nn.Dropout, nn.GaussianDropout, nn.AlphaDropout, nn.LockedDropout, nn.SpatialDropout), _dropout),
    **dict.fromkeys((nn.ReLU, nn.SELU, nn.GELU, nn.Tanh, nn.Sigmoid), _nothing),
    **dict.fromkeys((nn.Flatten, nn.LastStep, nn.MeanOverSteps), _nothing),
}
