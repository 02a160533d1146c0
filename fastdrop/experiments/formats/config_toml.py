"""A configuration's fields from its TOML, before they are validated."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.fields import Field, by_present_names
from fastdrop.experiments.formats.reading import reason, shown

FORMAT = 1
"""Version of the TOML."""
LARGEST_FILE = 1 << 18
"""Bytes of a TOML file."""
_STRINGS = re.compile(
    r'''"""(?:\\.|[^\\])*?(?:"{3,5}|\\?\Z)|\'{3}.*?(?:\'{3,5}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|#[^\n]*''', re.DOTALL
)
"""Strings and comments. One without an end goes to the end of the line or text, so that no quote is tried in vain."""
_DEEP_KEY = re.compile(r"\.(?:[^.,=\n]{0,100}\.){3}")
"""Tables in tables in tables: tomllib takes quadratic time for them."""


def fields_from_toml(text: str, known: Mapping[str, Field]) -> dict[str, Any]:
    """The fields that a TOML text sets, by their present names; ConfigError where it is no configuration."""
    if len(text) > LARGEST_FILE:
        raise ConfigError(f"a configuration has at most {LARGEST_FILE:,} characters; got {len(text):,}")
    try:
        if _DEEP_KEY.search(_STRINGS.sub("s", text)):
            raise RecursionError
        parsed = tomllib.loads(text)
    except RecursionError:
        raise ConfigError("this is not a configuration's TOML: it is nested too deeply") from None
    except ValueError as error:  # also of a number with too many digits
        raise ConfigError(f"this is not TOML: {reason(error)}") from None
    header, fields = parsed.get("fastdrop"), parsed.get("experiment")
    if not isinstance(header, dict) or not isinstance(fields, dict):
        raise ConfigError("a configuration must have the tables [fastdrop] and [experiment]; one is missing")
    version = header.get("format")
    if type(version) is not int or version != FORMAT:
        raise ConfigError(f"format {shown(version)} cannot be read; this version of fastdrop reads format {FORMAT}")
    return by_present_names(fields, known)
