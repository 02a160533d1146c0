"""What can be swept: the fields of `ExperimentConfig`, their names in words, and values from text."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from fastdrop.experiments.config import (
    ACTIVATIONS,
    DROPOUT_KINDS,
    LEARNING_RATE_SCHEDULES,
    NETWORKS,
    OPTIMIZERS,
    RATE_SCHEDULES,
    ConfigError,
    ExperimentConfig,
)
from fastdrop.experiments.datasets import DATASETS
from fastdrop.experiments.reading import shown

MOST_VALUES = 200
"""Of a sweep."""
_LARGEST = Decimal(10) ** 20


@dataclass(frozen=True)
class Parameter:
    """A field of `ExperimentConfig` that can be swept.

    Attributes
    ----------
    title : str
        Its name in words.
    example : str
        Values to begin with, as `values_from` reads them.
    choices : mapping
        Values by name, where it is one of several; empty for numbers.
    logarithmic : bool
        Whether equal ratios belong at equal distances.
    """

    title: str
    example: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)
    logarithmic: bool = False


def _choice(title: str, names: Iterable[str], example: str = "") -> Parameter:
    choices = {name: name for name in names}
    return Parameter(title, example or ", ".join(choices), choices)


PARAMETERS = {
    "rate": Parameter("dropout rate p", "0:0.9:0.1"),
    "dropout": _choice("kind of dropout", DROPOUT_KINDS, "none, standard, gaussian"),
    "dropout_layers": _choice("layers that drop", ("all", "first", "last")),
    "rate_schedule": _choice("schedule of the rate", RATE_SCHEDULES),
    "learning_rate": Parameter("learning rate", "0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03", logarithmic=True),
    "learning_rate_schedule": _choice("schedule of the learning rate", LEARNING_RATE_SCHEDULES),
    "optimizer": _choice("optimiser", OPTIMIZERS),
    "momentum": Parameter("momentum", "0, 0.5, 0.9, 0.99"),
    "weight_decay": Parameter("weight decay", "0.0001:0.1:x10", logarithmic=True),
    "batch_size": Parameter("batch size", "8:256:x2", logarithmic=True),
    "epochs": Parameter("epochs", "10, 20, 40, 80"),
    "activation": _choice("activation", ACTIVATIONS),
    "batch_norm": Parameter("batch normalisation", "off, on", {"off": False, "on": True}),
    "network": _choice("network", NETWORKS, "mlp, cnn"),
    "dataset": _choice("data set", DATASETS, "moons, circles, spirals, xor"),
    "noise": Parameter("noise in the data", "0:0.5:0.1"),
    "train_share": Parameter("share to train on", "0.1:0.9:0.1"),
    "data_seed": Parameter("seed of the data", "0:9:1"),
}
"""By the field's name."""

_KINDS = {each.name: each.type for each in fields(ExperimentConfig)}


def values_from(text: str, parameter: str) -> tuple[Any, ...]:
    """The values that a line of text names, for a field of `ExperimentConfig`.

    Numbers and ranges stand between commas or spaces. "0:0.9:0.1" goes from 0 to 0.9 in steps of 0.1, 0.9 included;
    "8:256:x2" doubles. What comes twice counts once.

    Raises
    ------
    ConfigError
        If the text cannot be read so.

    Examples
    --------
    >>> from fastdrop.experiments.sweeps.parameters import values_from
    >>> values_from("0:0.3:0.1, 0.5", "rate")
    (0.0, 0.1, 0.2, 0.3, 0.5)
    >>> values_from("8:64:x2", "batch_size")
    (8, 16, 32, 64)
    >>> values_from("adam, sgd", "optimizer")
    ('adam', 'sgd')
    """
    known = parameter_named(parameter)
    values: list[Any] = []
    for part in _parts(text):
        if known.choices:
            if part not in known.choices:
                raise ConfigError(f"{known.title} is one of {', '.join(known.choices)}; got {shown(part)}", parameter)
            values.append(known.choices[part])
        else:
            values += [_number(value, parameter) for value in _range(part, parameter)]
        if len(values) > MOST_VALUES:
            raise too_many(parameter)
    if not values:
        raise ConfigError(f"give values, such as {known.example}", parameter)
    return tuple(dict.fromkeys(values))


def _parts(text: str) -> list[str]:
    """What stands between commas or spaces; spaces around a colon belong to a range."""
    return ":".join(piece.strip() for piece in text.split(":")).replace(",", " ").split()


def parameter_named(name: str) -> Parameter:
    """One of `PARAMETERS`; ConfigError says what there is."""
    if name not in PARAMETERS:
        raise ConfigError(f"{shown(name)} cannot be swept; what can is {', '.join(PARAMETERS)}")
    return PARAMETERS[name]


def too_many(parameter: str) -> ConfigError:
    """Values."""
    return ConfigError(f"a sweep has at most {MOST_VALUES} values", parameter)


def _decimal(text: str, parameter: str) -> Decimal:
    """The number exactly as written: ten steps of 0.1 are 1."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ConfigError(f"{shown(text)} is not a number", parameter) from None
    if not value.is_finite() or value.copy_abs() > _LARGEST:  # abs() rounds, which overflows far out
        raise ConfigError(f"{shown(text)} is too large", parameter)
    return value


def _number(value: Decimal, parameter: str) -> int | float:
    if _KINDS[parameter] is float:
        return float(value)
    if value != value.to_integral_value():
        raise ConfigError(f"{PARAMETERS[parameter].title} is a whole number; got {value!s:.60}", parameter)
    return int(value)


def _range(part: str, parameter: str) -> Iterator[Decimal]:
    """One number, or from start to stop in steps; both included."""
    start, *rest = part.split(":")
    if not rest:
        yield _decimal(start, parameter)
        return
    if len(rest) != 2:
        raise ConfigError(f"a range is start:stop:step, such as 0:0.9:0.1; got {shown(part)}", parameter)
    multiplies = rest[1][:1] in ("x", "×", "*")
    first, last, step = (_decimal(number, parameter) for number in (start, rest[0], rest[1][multiplies:]))
    if multiplies and not (first > 0 and step > 1 and last >= first):
        raise ConfigError(f"a range with x starts above 0 and grows; got {shown(part)}", parameter)
    if not multiplies and (step == 0 or (last - first) * step < 0):
        raise ConfigError(f"{shown(part)}: with this step, {first!s:.60} never comes to {last!s:.60}", parameter)
    value = first
    for _ in range(MOST_VALUES + 1):
        if value > last if step > 0 else value < last:
            return
        yield value
        value = value * step if multiplies else value + step
    raise too_many(parameter)
