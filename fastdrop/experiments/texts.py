"""A configuration's fields from its TOML and from its line, before they are validated."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from fastdrop.experiments.reading import reason, shown

FORMAT = 1
"""Version of the TOML."""
LARGEST_FILE = 1 << 18
"""Bytes of it."""
LONGEST_LINE = 1 << 17
"""Characters of a line: more than any configuration has."""
_LINE = "fastdrop1"
"""What a line begins with, its version in it."""
_STRINGS = re.compile(
    r'''"""(?:\\.|[^\\])*?(?:"{3,5}|\\?\Z)|\'{3}.*?(?:\'{3,5}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|#[^\n]*''', re.DOTALL
)
"""Strings and comments. One without an end goes to the line's or the text's end: no quote is tried in vain."""
_DEEP_KEY = re.compile(r"\.(?:[^.,=\n]{0,100}\.){3}")
"""Tables in tables in tables: tomllib's time grows with the square of how many there are."""
_NUMBER = re.compile(r"[0-9eE+.-]{1,40}")


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the field and what it may be.

    `field` is the field's name, where it is one that is wrong.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def fields_from_toml(text: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a TOML text names; `defaults` are those that there are."""
    if len(text) > LARGEST_FILE:
        raise ConfigError(f"a configuration has at most {LARGEST_FILE:,} characters; these are {len(text):,}")
    try:
        if _DEEP_KEY.search(_STRINGS.sub("s", text)):
            raise RecursionError
        document = tomllib.loads(text)
    except RecursionError:
        raise ConfigError("this is not a configuration's TOML: nested too deeply") from None
    except ValueError as error:  # also of a number with too many digits
        raise ConfigError(f"this is not TOML: {reason(error)}") from None
    header, fields = document.get("fastdrop"), document.get("experiment")
    if not isinstance(header, dict) or not isinstance(fields, dict):
        raise ConfigError("a configuration has the tables [fastdrop] and [experiment]; one is missing")
    version = header.get("format")
    if type(version) is not int or version != FORMAT:
        raise ConfigError(f"format {shown(version)} is not known here; this fastdrop reads format {FORMAT}")
    _check_known(fields, defaults)
    return fields


def fields_from_line(line: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a line names, white space around and inside it ignored."""
    if len(line) > LONGEST_LINE:
        raise ConfigError(f"a configuration's line has at most {LONGEST_LINE:,} characters; these are {len(line):,}")
    name, mark, rest = "".join(line.split()).partition("?")
    if name != _LINE or not mark:
        raise ConfigError(f"a configuration's line begins with {_LINE}?; got {line.strip()[:60]!r}")
    values: dict[str, str] = {}
    for part in filter(None, rest.split("&")):
        key, _, text = part.partition("=")
        if key in values:
            raise ConfigError(f"{shown(key)} is there twice")
        values[key] = text
    _check_known(values, defaults)
    return {key: _parsed(key, defaults[key], text) for key, text in values.items()}


def line_from_fields(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The line that names what differs from the defaults."""
    parts = []
    for name, value in fields.items():
        if value != defaults[name]:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            parts.append(f"{name}={quote(text, safe=',/')}")
    return f"{_LINE}?{'&'.join(parts)}"


def _parsed(name: str, default: Any, quoted: str) -> Any:
    """A field's value from its text in a line."""
    try:
        text = unquote(quoted, errors="strict")
        if isinstance(default, bool):
            return {"True": True, "False": False}[text]
        if isinstance(default, tuple):
            kind = {"hidden": int, "layer_dropout": str, "layer_rates": float}[name]
            return tuple(_one(kind, item) for item in text.split(",") if item)
        return _one(type(default), text)
    except (KeyError, ValueError):
        raise ConfigError(f"{name} cannot be {shown(quoted)}", name) from None


def _one(kind: type, text: str) -> Any:
    """A text, or a number as `str` writes it: Python's own reading takes 1_0 and other alphabets' digits as well."""
    if kind is not str and not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return kind(text)


def _check_known(fields: Iterable[str], known: Iterable[str]) -> None:
    """Whether these are names of fields."""
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise ConfigError(f"unknown field {shown(unknown[0])}; fields are {', '.join(sorted(known))}")
