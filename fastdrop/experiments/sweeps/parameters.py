"""The parameters of sweeps: fields of `ExperimentConfig`, and their values from text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from fastdrop.experiments.config import FIELDS
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.fields import Field
from fastdrop.experiments.formats.reading import shown

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
    type : type
        Of a value.
    choices : mapping
        Values by name; empty for numbers.
    logarithmic : bool
        Whether an axis shows equal ratios at equal distances.
    """

    title: str
    example: str
    type: type
    choices: Mapping[str, Any] = field(default_factory=dict)
    logarithmic: bool = False

    @classmethod
    def of(cls, described: Field) -> "Parameter":
        """The parameter of a field."""
        choices = {"off": False, "on": True} if described.type is bool else {name: name for name in described.choices}
        return cls(described.title, described.sweep, described.type, choices, described.logarithmic)


_FIRST = ("rate", "dropout", "dropout_layers", "dropout_schedule", "learning_rate", "learning_rate_schedule")
"""The parameters that a list begins with."""
PARAMETERS = {name: Parameter.of(FIELDS[name]) for name in dict.fromkeys([*_FIRST, *FIELDS]) if FIELDS[name].sweep}
"""What can be swept, by the field's name."""


def values_from(text: str, parameter: str) -> tuple[Any, ...]:
    """The values of a field of `ExperimentConfig` from a line of text.

    Commas or spaces separate numbers and ranges. "0:0.9:0.1" goes from 0 to 0.9 in steps of 0.1, 0.9 included;
    "8:256:x2" doubles. A value that is given twice counts once.

    Raises
    ------
    ConfigError
        If the text cannot be read.

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
                raise ConfigError(
                    f"{parameter} must be one of {', '.join(known.choices)}; got {shown(part)}", parameter
                )
            values.append(known.choices[part])
        else:
            values += [_number(value, parameter) for value in _range(part, parameter)]
        if len(values) > MOST_VALUES:
            raise too_many(parameter)
    if not values:
        raise ConfigError(f"give at least one value, such as {known.example}", parameter)
    return tuple(dict.fromkeys(values))


def _parts(text: str) -> list[str]:
    """The parts between commas or spaces; spaces around a colon belong to a range."""
    return ":".join(piece.strip() for piece in text.split(":")).replace(",", " ").split()


def parameter_named(name: str) -> Parameter:
    """One of `PARAMETERS`; a ConfigError names all of them."""
    if name not in PARAMETERS:
        raise ConfigError(f"{shown(name)} cannot be swept; choose {', '.join(PARAMETERS)}")
    return PARAMETERS[name]


def too_many(parameter: str) -> ConfigError:
    """The error for too many values."""
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
    if PARAMETERS[parameter].type is float:
        return float(value)
    if value != value.to_integral_value():
        raise ConfigError(f"{parameter} must be a whole number; got {value!s:.60}", parameter)
    return int(value)


def _range(part: str, parameter: str) -> Iterator[Decimal]:
    """One number, or the numbers from start to stop, both included."""
    start, *rest = part.split(":")
    if not rest:
        yield _decimal(start, parameter)
        return
    if len(rest) != 2:
        raise ConfigError(f"a range is start:stop:step, such as 0:0.9:0.1; got {shown(part)}", parameter)
    multiplies = rest[1][:1] in ("x", "×", "*")
    first, last, step = (_decimal(number, parameter) for number in (start, rest[0], rest[1][multiplies:]))
    if multiplies and not (first > 0 and step > 1 and last >= first):
        raise ConfigError(f"a range with x must start above 0 and grow; got {shown(part)}", parameter)
    if not multiplies and (step == 0 or (last - first) * step < 0):
        raise ConfigError(f"{shown(part)}: this step never leads from {first!s:.60} to {last!s:.60}", parameter)
    value = first
    for _ in range(MOST_VALUES + 1):
        if value > last if step > 0 else value < last:
            return
        yield value
        value = value * step if multiplies else value + step
    raise too_many(parameter)
