"""A table of every function that draws: its valid calls, and the expected results of forward and backward.

An entry draws a `Call`: arrays by parameter, keywords, and the results by `oracle.py`. The property tests
go over the table, and the inventory compares it with the public names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import oracle
from hypothesis import strategies as st
from strategies import DTYPES, contents, rates, several_axes, shapes, spelled

import fastdrop as fd
from fastdrop import reference

Arrays = dict[str, Any]


@dataclass
class Call:
    """One call of a function of the table."""

    function: Callable[..., Any]
    arrays: Arrays
    """In the order of the parameters; a bias may be None."""
    keywords: dict[str, Any]
    """With p, as it is given."""
    forward: Callable[[Arrays, int, int], Any]
    """y from the arrays, the key and the call number; with a bound where a matrix product is in between."""
    backward: Callable[[Any, Any, Arrays], Any]
    """Calls the backward function with mask, dy and the arrays."""
    gradients: Callable[[bool, np.ndarray, Arrays, int, int], tuple[Any, ...]]
    """The expected gradients, from whether the forward call trained, dy, the arrays, key and call number."""
    kept: Callable[[int, int], np.ndarray] | None = None
    """The expected `numpy.asarray(mask)`; None where the mask is noise."""
    out: bool = True
    """Whether it takes `out`."""
    wrong: dict[str, list[Any]] = field(default_factory=dict)
    """Values of keywords that this function refuses."""

    @property
    def training(self) -> bool:
        return bool(self.keywords.get("training", True))

    def shape_of_y(self) -> tuple[int, ...]:
        first = next(iter(self.arrays.values()))
        return first.shape if self.out else (len(first), len(self.arrays["weight"]))


TABLE: dict[str, Callable[..., Call]] = {}


def entry(*names: str) -> Callable[[Any], Any]:
    """Put a composite strategy of calls into the table, under each of these names of functions."""

    def register(strategy: Any) -> Any:
        for name in names:
            TABLE[name] = lambda name=name: strategy(name)
        return strategy

    return register


def linear(mask: Any, dy: Any, arrays: Arrays) -> Any:
    """The backward of every function that multiplies elements."""
    return fd.dropout_backward(dy, mask)


flags = st.sampled_from([True, True, True, True, np.True_, False])
dtypes = st.sampled_from(DTYPES)
NO_AXIS = [99, -99, 0.5, "0", None, True]


# --- elements, and keep bits that are shared


@entry("dropout", "spatial_dropout", "drop_path", "locked_dropout", "embedding_dropout")
@st.composite
def shared(draw: Any, name: str) -> Call:
    least, most = {"spatial_dropout": (2, 4), "embedding_dropout": (2, 2)}.get(name, (0 if name == "dropout" else 1, 4))
    shape = draw(shapes(least, most))
    axes, more, wrong = draw(axes_of(name, shape))
    p, training = draw(rates()), draw(flags)
    scaling = draw(st.sampled_from(["inverted", "inverted", "classic"])) if "scaling" in more else "inverted"
    if "scaling" in more:
        more["scaling"], wrong["scaling"] = scaling, ["half", None, 1, ["classic"]]
    rate, parameter = float(p), "weight" if name == "embedding_dropout" else "x"
    factor = oracle.scale(rate) if scaling == "inverted" else 1.0

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        x = arrays[parameter]
        if not training:
            return oracle.evaluated(x, oracle.evaluation_scale(rate) if scaling == "classic" else 1.0)
        return reference.apply(x, kept(key, call), factor)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape, axes)

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        return (reference.apply(dy, kept(key, call), factor) if trained else dy,)

    x = draw(contents(shape, draw(dtypes)))
    keywords = {"p": p, "training": training, **more}
    return Call(getattr(fd, name), {parameter: x}, keywords, forward, linear, gradients, kept, wrong=wrong)


@st.composite
def axes_of(draw: Any, name: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], dict[str, Any], dict[str, Any]]:
    """The axes along which one keep bit is shared, the keywords for them, and values that these refuse."""
    ndim = len(shape)
    if name == "dropout":
        said, axes = draw(several_axes(ndim))
        return axes, {"shared_axes": said, "scaling": ""}, {"shared_axes": [99, (0.5,), "0", (-99,), (0, 0), {0: 1}]}
    if name == "spatial_dropout":
        channel = draw(st.integers(1, ndim - 1))
        axes = tuple(axis for axis in range(1, ndim) if axis != channel)
        return (
            axes,
            {"channel_axis": draw(spelled(channel, ndim)), "scaling": ""},
            {"channel_axis": [*NO_AXIS, 0, -ndim]},
        )
    if name == "locked_dropout":
        time = draw(st.integers(0, ndim - 1))
        return (time,), {"time_axis": draw(spelled(time, ndim))}, {"time_axis": NO_AXIS}
    return tuple(range(1, ndim)), {}, {}


@entry("dropout_add")
@st.composite
def dropout_add(draw: Any, name: str) -> Call:
    shape = draw(shapes())
    said, axes = draw(several_axes(len(shape)))
    p, training, dtype = draw(rates()), draw(flags), draw(dtypes)
    rate = float(p)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape, axes)

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        everything = np.ones(shape, np.bool_), 1.0
        return reference.dropout_add(
            *arrays.values(), *((kept(key, call), oracle.scale(rate)) if training else everything)
        )

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        return (reference.apply(dy, kept(key, call), oracle.scale(rate)) if trained else dy,)

    arrays = {"x": draw(contents(shape, dtype)), "residual": draw(contents(shape, dtype))}
    keywords = {"p": p, "training": training, "shared_axes": said}
    wrong = {"shared_axes": [99, (0.5,), "0"]}
    return Call(fd.dropout_add, arrays, keywords, forward, linear, gradients, kept, wrong=wrong)


@entry("zoneout")
@st.composite
def zoneout(draw: Any, name: str) -> Call:
    shape = draw(shapes())
    p, training, dtype = draw(rates()), draw(flags), draw(dtypes)
    rate = float(p)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape)

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        if not training:
            return oracle.zoneout_mean(*arrays.values(), rate)
        return np.where(kept(key, call), *arrays.values())

    def backward(mask: Any, dy: Any, arrays: Arrays) -> Any:
        return fd.zoneout_backward(dy, mask, p=p)

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        if not trained:
            return oracle.zoneout_mean_backward(dy, rate)
        new = kept(key, call)
        return reference.apply(dy, new, 1.0), reference.apply(dy, ~new, 1.0)

    arrays = {"new": draw(contents(shape, dtype)), "previous": draw(contents(shape, dtype))}
    return Call(fd.zoneout, arrays, {"p": p, "training": training}, forward, backward, gradients, kept)


# --- noise


@entry("alpha_dropout", "feature_alpha_dropout")
@st.composite
def alpha(draw: Any, name: str) -> Call:
    features = name.startswith("feature")
    shape = draw(shapes(2 if features else 0))
    axes, more, wrong = draw(axes_of("spatial_dropout", shape)) if features else ((), {}, {})
    more.pop("scaling", None)
    p, training = draw(rates()), draw(flags)
    rate = float(p)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape, axes)

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        return oracle.alpha(arrays["x"], kept(key, call), rate) if training else arrays["x"]

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        return (reference.apply(dy, kept(key, call), oracle.alpha_scale(rate)) if trained else dy,)

    x = draw(contents(shape, draw(dtypes)))
    keywords = {"p": p, "training": training, **more}
    return Call(getattr(fd, name), {"x": x}, keywords, forward, linear, gradients, kept, wrong=wrong)


@entry("gaussian_dropout")
@st.composite
def gaussian(draw: Any, name: str) -> Call:
    p, training = draw(rates(most=0.999999)), draw(flags)
    x = draw(contents(draw(shapes()), draw(dtypes)))
    sigma = math.sqrt(float(p) / (1.0 - float(p)))

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        return reference.gaussian(arrays["x"], key, call, sigma) if training and sigma else arrays["x"]

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        return (forward({"x": dy}, key, call),)

    keywords = {"p": p, "training": training}
    return Call(fd.gaussian_dropout, {"x": x}, keywords, forward, linear, gradients, wrong={"p": [1.0]})


# --- with an activation or a softmax


@entry("bias_activation_dropout")
@st.composite
def bias_activation(draw: Any, name: str) -> Call:
    shape = draw(shapes(1))
    p, training, dtype = draw(rates()), draw(flags), draw(dtypes)
    activation = draw(st.sampled_from(["relu", "gelu"]))
    rate = float(p)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape)

    def chosen(key: int, call: int, trained: bool) -> tuple[np.ndarray, float]:
        return (kept(key, call), oracle.scale(rate)) if trained else (np.ones(shape, np.bool_), 1.0)

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        return reference.bias_activation_dropout(*arrays.values(), activation, *chosen(key, call, training))

    def backward(mask: Any, dy: Any, arrays: Arrays) -> Any:
        return fd.bias_activation_dropout_backward(dy, *arrays.values(), mask, activation=activation)

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        return oracle.bias_backward(dy, *arrays.values(), activation, *chosen(key, call, trained))

    arrays = {"x": draw(contents(shape, dtype)), "bias": draw(contents(shape[-1:], dtype))}
    keywords = {"p": p, "training": training, "activation": activation}
    wrong = {"activation": ["tanh", None, 1, ["relu"]]}
    return Call(fd.bias_activation_dropout, arrays, keywords, forward, backward, gradients, kept, wrong=wrong)


@entry("softmax_dropout")
@st.composite
def softmax(draw: Any, name: str) -> Call:
    shape = draw(shapes(1))
    p, training = draw(rates()), draw(flags)
    rate = float(p)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape)

    def chosen(key: int, call: int, trained: bool) -> tuple[np.ndarray, float]:
        return (kept(key, call), oracle.scale(rate)) if trained else (np.ones(shape, np.bool_), 1.0)

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        x = arrays["x"]
        return reference.softmax_dropout(x, *chosen(key, call, training)) if x.size else x

    def backward(mask: Any, dy: Any, arrays: Arrays) -> Any:
        return fd.softmax_dropout_backward(dy, arrays["x"], mask)

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        x = arrays["x"]
        return (reference.softmax_dropout_backward(dy, x, *chosen(key, call, trained)) if x.size else x,)

    x = draw(contents(shape, draw(dtypes)))
    return Call(fd.softmax_dropout, {"x": x}, {"p": p, "training": training}, forward, backward, gradients, kept)


# --- regions


@entry("dropblock", "cutout")
@st.composite
def regions(draw: Any, name: str) -> Call:
    shape = draw(shapes(3, 4, elements=1500, large=False))
    axes, more, wrong = draw(axes_of("spatial_dropout", shape))
    more.pop("scaling")
    training, size = draw(flags), draw(st.sampled_from([1, 2, 3, 4, 7, 50, 2**40]))
    blocks = name == "dropblock"
    p = draw(rates()) if blocks else 0.5
    rate = None if not blocks or 0 in shape else block_start_probability(float(p), shape, axes, size)

    def kept(key: int, call: int) -> np.ndarray:
        if 0 in shape:
            return np.zeros(shape, np.bool_)
        if rate is None:
            return oracle.squares(key, call, shape, axes, min(size, 2 * max(shape)))
        return oracle.blocks(key, call, rate, shape, axes, size)

    def forward(arrays: Arrays, key: int, call: int) -> np.ndarray:
        x = arrays["x"]
        return oracle.regions(x, kept(key, call), blocks and float(p) > 0) if training and x.size else x

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        return (forward({"x": dy}, key, call),)

    x = draw(contents(shape, draw(dtypes)))
    keywords = {"block_size" if blocks else "size": size, "training": training, **more} | ({"p": p} if blocks else {})
    wrong["block_size" if blocks else "size"] = [-1, 1.5, "2", None, True]
    return Call(getattr(fd, name), {"x": x}, keywords, forward, linear, gradients, kept, wrong=wrong)


def block_start_probability(p: float, shape: tuple[int, ...], axes: tuple[int, ...], size: int) -> float:
    """The mask's probability that a block begins at a position; checked to drop the fraction p on average."""
    rate: float = fd.BlockMask(shape, p, size, axes, 0).seeds.p
    assert abs(oracle.mean_kept_by_blocks(rate, shape, axes, size) - (1.0 - p)) < 1e-9
    return rate


# --- layers


@entry("dropconnect")
@st.composite
def dropconnect(draw: Any, name: str) -> Call:
    batch, outputs, inputs = draw(shapes(3, 3, elements=3000, large=False))
    per_example, drop_bias, training = draw(st.booleans()), draw(st.booleans()), draw(flags)
    scaling = draw(st.sampled_from(["inverted", "inverted", "classic"]))
    exact = per_example and bool(training)
    p = draw(rates() if exact else st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0]))
    rate = float(p)
    factor = oracle.scale(rate) if scaling == "inverted" else 1.0
    dtype = draw(dtypes)
    sizes = {"x": (batch, inputs), "weight": (outputs, inputs), "bias": (outputs,)}
    arrays: Arrays = {key: draw(contents(size, dtype, finite=not exact)) for key, size in sizes.items()}
    if not drop_bias and draw(st.booleans()):
        arrays["bias"] = None
    shape = (batch,) * per_example + (outputs, inputs + drop_bias)

    def kept(key: int, call: int) -> np.ndarray:
        return oracle.kept(key, call, rate, shape)

    def forward(arrays: Arrays, key: int, call: int) -> Any:
        layer = oracle.widened(*arrays.values())
        layer = oracle.with_bias_as_input(*layer) if drop_bias else layer
        if exact:
            return reference.dropconnect(*layer, kept(key, call), factor).astype(dtype)
        layer = oracle.with_bias_as_input(*arrays.values()) if drop_bias else arrays.values()
        mean = oracle.evaluation_scale(rate) if scaling == "classic" else 1.0
        chosen = kept(key, call) if training else np.ones((outputs, inputs + drop_bias), np.bool_)
        return oracle.connect(*layer, chosen, factor if training else mean)

    def backward(mask: Any, dy: Any, arrays: Arrays) -> Any:
        return fd.dropconnect_backward(dy, arrays["x"], arrays["weight"], mask)

    def gradients(trained: bool, dy: np.ndarray, arrays: Arrays, key: int, call: int) -> tuple[Any, ...]:
        x, weight = arrays["x"], arrays["weight"]
        chosen, times = (kept(key, call), factor) if trained else (np.ones((outputs, inputs), np.bool_), 1.0)
        with_bias = drop_bias and trained
        if exact:
            wide = oracle.widened(dy, x, weight)
            layer = oracle.with_bias_as_input(*wide[1:], None)[:2] if with_bias else wide[1:]
            dx, dweight, dbias = reference.dropconnect_backward(wide[0], *layer, chosen, times)
            results = dx[:, :inputs], dweight[:, :inputs], dweight[:, -1] if with_bias else dbias
            return tuple(each.astype(dtype) for each in results)
        layer = oracle.with_bias_as_input(x, weight, None)[:2] if with_bias else (x, weight)
        (dx, far), (dweight, further), dbias = oracle.connect_backward(dy, *layer, chosen, times)
        dbias = (dweight[:, -1], further[:, -1]) if with_bias else dbias
        return (dx[:, :inputs], far[:, :inputs]), (dweight[:, :inputs], further[:, :inputs]), dbias

    keywords = {"p": p, "per_example": per_example, "drop_bias": drop_bias, "scaling": scaling, "training": training}
    wrong = {"per_example": [None, 1], "drop_bias": [None, "yes"], "scaling": ["half", None]}
    return Call(fd.dropconnect, arrays, keywords, forward, backward, gradients, kept, out=False, wrong=wrong)
