"""One description for each field of a configuration.

A field is described where it is defined, by `setting`: title, help, range or choices, and whether it can be swept or
changed while training runs. Its validation, its option of `fastdrop train`, its sweep parameter and its entry in the
documentation are made from this description.
"""

import dataclasses
import inspect
import math
import os
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.formats.reading import is_text, shown
from fastdrop.experiments.tables.sources import InMemory

LONGEST_TEXT = 4096
"""Characters of a path or of a column's name."""
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_KINDS_OF_LISTS = {int: "whole numbers", float: "numbers", str: "names"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """What is known about one field of a configuration.

    Attributes
    ----------
    name : str
    type : type
        int, float, bool or str: of the value, or of each entry of a list.
    default : object
        The value, or a tuple of values.
    title, help : str
        Its name in words, as a label has it; what it does.
    group : str
        "data", "network" or "training".
    low, high : float
        The range of the value, or of each entry; both ends belong to it, unless `above`.
    above : bool
        Whether `low` itself is excluded.
    least, most : int
        How many entries a list has.
    choices : mapping of str to str
        The allowed names and what each means; empty where the value is no choice.
    unlisted : tuple of str
        Allowed names that need another field as well: neither options nor sweeps offer them.
    live : bool
        Whether it may change while training runs.
    sweep : str
        Values to begin a sweep with; empty where it cannot be swept.
    logarithmic : bool
        Whether an axis shows equal ratios at equal distances.
    former_name : str
        The name in files and options of earlier versions, which are still read.
    in_memory : bool
        Whether it is a path, or the data themselves in memory.
    """

    name: str = ""
    type: type = str
    default: Any = None
    title: str
    help: str
    group: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    least: int = 0
    most: int = 16
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    live: bool = False
    sweep: str = ""
    logarithmic: bool = False
    former_name: str = ""
    in_memory: bool = False

    @property
    def is_list(self) -> bool:
        return isinstance(self.default, tuple)

    def checked(self, value: Any) -> Any:
        """The value as the configuration keeps it: a whole number as a float where one is meant, a list as a tuple.

        Raises
        ------
        ConfigError
            If it is not a value of this field.
        """
        if self.in_memory and not isinstance(value, str):
            return (
                self._checked_value(os.fspath(value), self.name)
                if isinstance(value, os.PathLike)
                else InMemory.of(value)
            )
        if not self.is_list:
            return self._checked_value(value, self.name)
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise self._error(f"{self.name} must be a list of {_KINDS_OF_LISTS[self.type]}", value)
        values = tuple(value)
        if not self.least <= len(values) <= self.most:
            raise ConfigError(
                f"{self.name} must have {self.least} to {self.most} entries; got {len(values)}", self.name
            )
        return tuple(self._checked_value(each, f"each entry of {self.name}") for each in values)

    def _checked_value(self, value: Any, subject: str) -> Any:
        if self.type is float and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                raise ConfigError(f"{subject} must be {self.range}; this number is too large", self.name) from None
        if type(value) is not self.type:
            raise self._error(f"{subject} must be {_KINDS[self.type]}", value)
        if self.type is str and not is_text(value, LONGEST_TEXT):
            limits = f"Unicode text without control characters, of at most {LONGEST_TEXT} characters"
            raise ConfigError(f"{subject} must be {limits}; got {shown(value)}; rename the file or column", self.name)
        if self.choices and value not in self.choices and value not in self.unlisted:
            raise self._error(f"{subject} must be one of {', '.join([*self.choices, *self.unlisted])}", value)
        if isinstance(value, (int, float)) and not self._in_range(value):
            raise self._error(f"{subject} must be {self.range}", value)
        return value

    def _in_range(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high  # False for NaN

    @property
    def range(self) -> str:
        """The range in words."""
        low, high = (f"{end:g}" if isinstance(end, float) else str(end) for end in (self.low, self.high))
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"

    def _error(self, rule: str, value: Any) -> ConfigError:
        return ConfigError(f"{rule}; got {shown(value)}", self.name)


def setting(default: Any, title: str, help: str, **description: Any) -> Any:
    """A field of a dataclass with its description; the further arguments are attributes of `Field`."""
    described = Field(default=default, title=title, help=help, **description)
    return dataclasses.field(default=default, metadata={"description": described})


def fields_of(settings: type) -> dict[str, Field]:
    """The descriptions of a dataclass's fields by name, in order."""
    found = {}
    for each in dataclasses.fields(settings):
        kind: Any = get_args(each.type)[0] if get_args(each.type) else each.type
        found[each.name] = dataclasses.replace(each.metadata["description"], name=each.name, type=kind)
    return found


def document(settings: type) -> None:
    """Put the descriptions of a dataclass's fields into its docstring, where it says ``{attributes}``."""
    entries = []
    for each in fields_of(settings).values():
        names = ", ".join(map(repr, [*each.choices, *each.unlisted]))
        chosen = f" One of {names}." if names else ""
        text = textwrap.fill(f"{each.title}: {each.help}.{chosen} Default: {each.default!r}.", 108)
        kind = f"tuple of {each.type.__name__}" if each.is_list else each.type.__name__
        entries.append(f"{each.name} : {kind}\n{textwrap.indent(text, '    ')}")
    # Python 3.13 has removed the docstring's indentation, older ones have not.
    settings.__doc__ = inspect.cleandoc(settings.__doc__ or "").replace("{attributes}", "\n".join(entries))


def former_names(known: Mapping[str, Field]) -> dict[str, str]:
    """Present names by former ones."""
    return {field.former_name: name for name, field in known.items() if field.former_name}


def by_present_names(fields: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, Any]:
    """The same values with former names replaced; ConfigError where a name is unknown or given twice."""
    former = former_names(known)
    found: dict[str, Any] = {}
    for given, value in fields.items():
        name = former.get(given, given)
        if name not in known:
            raise ConfigError(f"unknown field {shown(given)}; the fields are {', '.join(sorted(known))}")
        if name in found:
            raise given_twice(name)
        found[name] = value
    return found


def given_twice(name: str) -> ConfigError:
    """The error for a field that is given twice."""
    return ConfigError(f"{shown(name)} is given twice; remove one of the two")
