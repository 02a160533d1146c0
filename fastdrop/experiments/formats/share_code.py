"""The share code of a configuration: one line to copy and paste. Its fields are not validated here."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.fields import Field, by_present_names, given_twice
from fastdrop.experiments.formats.reading import shown

LONGEST_CODE = 1 << 17
"""Characters of a share code: more than any configuration has."""
_PREFIX = "fastdrop1"
"""What a share code begins with; its version is in it."""
_NUMBER = re.compile(r"[0-9eE+.-]{1,40}")


def fields_from_share_code(code: str, known: Mapping[str, Field]) -> dict[str, Any]:
    """The fields that a share code sets, by their present names; white space around and inside it is ignored."""
    if len(code) > LONGEST_CODE:
        raise ConfigError(f"a share code has at most {LONGEST_CODE:,} characters; got {len(code):,}")
    name, mark, rest = "".join(code.split()).partition("?")
    if name != _PREFIX or not mark:
        raise ConfigError(f"a share code begins with {_PREFIX}?; got {code.strip()[:60]!r}")
    texts: dict[str, str] = {}
    for part in filter(None, rest.split("&")):
        key, _, text = part.partition("=")
        if key in texts:
            raise given_twice(key)
        texts[key] = text
    return {key: _parsed(known[key], text) for key, text in by_present_names(texts, known).items()}


def share_code(values: Mapping[str, Any], known: Mapping[str, Field]) -> str:
    """The share code that names what differs from the defaults."""
    parts = []
    for name, value in values.items():
        if value != known[name].default:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            parts.append(f"{name}={quote(text, safe=',/')}")
    return f"{_PREFIX}?{'&'.join(parts)}"


def _parsed(field: Field, quoted: str) -> Any:
    """A field's value from its text in a share code."""
    try:
        text = unquote(quoted, errors="strict")
        if field.type is bool:
            return {"True": True, "False": False}[text]
        if field.is_list:
            return tuple(_value(field.type, item) for item in text.split(",") if item)
        return _value(field.type, text)
    except (KeyError, ValueError):
        raise ConfigError(f"{field.name} cannot be {shown(quoted)}", field.name) from None


def _value(kind: type, text: str) -> Any:
    """A text, or a number as `str` writes it: Python itself would also read 1_0 and the digits of other alphabets."""
    if kind is not str and not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return kind(text)
