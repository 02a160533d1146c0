"""What the cells of one column are: numbers, dates or texts, however they are written."""

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "Null", "?", "-", "<NA>", "#N/A")
"""Cells that are missing wherever they are."""
_MISSING_AMONG_NUMBERS = frozenset(
    [
        "na",
        "n.a.",
        "n.a",
        "nil",
        "none",
        "missing",
        "unknown",
        "unk",
        "undefined",
        ".",
        "..",
        "...",
        "--",
        "---",
        "—",
        "–",
        "*",
        "**",
        "#null!",
        "#div/0!",
        "#value!",
        "#ref!",
    ]
)
"""Texts, in lower case, that are missing cells where all other cells of the column are numbers or dates."""
_MOSTLY = 0.9
"""A column is numeric if this fraction of its cells are numbers, and too many different ones to be categories."""
_FEW_NUMBERS = 20
_UNIT = r"(?P<unit>%|[$€£¥₹])"
_NUMBERS = {
    ".": re.compile(
        rf"(?:{_UNIT}\s*)?(?P<number>[+-]?(?:\d+|\d{{1,3}}(?:[,' \u00a0\u202f]\d{{3}})+)?(?:\.\d*)?(?:[eE][+-]?\d+)?)"
        r"\s*(?P<after>%|[$€£¥₹])?"
    ),
    ",": re.compile(
        rf"(?:{_UNIT}\s*)?(?P<number>[+-]?(?:\d+|\d{{1,3}}(?:[.' \u00a0\u202f]\d{{3}})+)?(?:,\d*)?(?:[eE][+-]?\d+)?)"
        r"\s*(?P<after>%|[$€£¥₹])?"
    ),
}
"""Numbers as people write them, by the decimal sign."""
_GROUPING = {".": str.maketrans("", "", ",' \u00a0\u202f"), ",": str.maketrans(",", ".", ".' \u00a0\u202f")}
_DATE_LIKE = re.compile(r"\d.*[-/.: ].*\d|[A-Za-z]{3,9}.*\d{4}")
_DATE_FORMATS = (
    "ISO8601", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%Y",
    "%m-%d-%Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y", "%Y %b",
    "%m/%Y",
    "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%H:%M", "%H:%M:%S",
    "%m/%d/%y %H:%M", "%d/%m/%y %H:%M",
)  # fmt: skip
_LONGEST_DATE = 60
"""Characters of a date; the search for one takes the square of them."""


@dataclass(frozen=True)
class Values:
    """The cells of a column.

    Attributes
    ----------
    kind : str
        "number", "date" or "text".
    cells : numpy.ndarray of float64, shape (rows,)
        Numbers, days since 1970, or indices into `texts`; NaN where missing.
    texts : tuple of str
        The different texts, sorted.
    unit : str
        What is written before or after the numbers.
    notes : tuple of str
        What was merged or taken for missing.
    """

    kind: str
    cells: NDArray[np.float64]
    texts: tuple[str, ...] = ()
    unit: str = ""
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def missing(self) -> int:
        return int(np.count_nonzero(np.isnan(self.cells)))

    @functools.cached_property
    def different(self) -> int:
        """How many different values there are, without missing cells."""
        if self.kind == "text":
            return len(self.texts)
        return len(np.unique(self.cells)) - (self.missing > 0)

    @functools.cached_property
    def is_constant(self) -> bool:
        """Whether all cells are the same."""
        if self.kind == "text":
            return len(self.texts) == 1 and not self.missing
        return not self.missing and all(bool((part == self.cells[0]).all()) for part in self._head_and_all)

    def has_more_than(self, count: int) -> bool:
        """Whether there are more different values, which the first rows may show already."""
        head = self.cells[: 20 * count]
        return (self.kind != "text" and len(np.unique(head)) > count + 1) or self.different > count

    def differ_in(self, fraction: float) -> bool:
        """Whether there are at least as many different values as this fraction of the cells."""
        wanted = fraction * len(self.cells)
        if self.kind != "text":
            head = self.cells[: len(self.cells) // 8]
            repeated = len(head) - len(np.unique(head))
            if len(self.cells) - repeated < wanted:
                return False
        return self.different >= wanted

    @functools.cached_property
    def is_whole(self) -> bool:
        """Whether all are whole numbers."""
        return self.kind == "number" and all(
            bool((np.isnan(part) | (part == np.floor(part))).all()) for part in self._head_and_all
        )

    @property
    def _head_and_all(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The first cells, which often decide, and all."""
        return self.cells[:1000], self.cells


def values_of(series: Any, decimal: str = ".", numeric: bool = False) -> Values:
    """The cells of a pandas Series.

    Parameters
    ----------
    series : pandas.Series
    decimal : str
        The decimal sign that the rest of the file uses: it decides whether 1,234 is a thousand.
    numeric : bool
        Whether it must be numbers: all other texts count as missing.
    """
    from pandas.api import types

    kind = series.dtype
    if isinstance(kind, types.CategoricalDtype):
        categories = values_of(series.cat.categories.to_series(), decimal, numeric)
        codes = series.cat.codes.to_numpy()
        taken = categories.cells[np.maximum(codes, 0)] if len(categories.cells) else np.zeros(len(codes))
        return _without_unused(replace(categories, cells=np.where(codes < 0, np.nan, taken)))
    if types.is_bool_dtype(kind):
        return _numbers(series) if numeric else _without_unused(Values("text", _floats(series), ("False", "True")))
    if types.is_numeric_dtype(kind) and not types.is_complex_dtype(kind):
        return _numbers(series)
    if types.is_datetime64_any_dtype(kind):
        return _dates_of(series)
    if types.is_timedelta64_dtype(kind):
        return Values("number", _floats(series.dt.total_seconds()), unit="s")
    return _texts(series, decimal, numeric)


def canonical(text: str) -> str | float:
    """What two ways of writing the same cell share: 1, 1.0 and " 1"; yes, Yes and "yes "."""
    text = text.strip()
    number = parse_number(text)
    return " ".join(text.casefold().split()) if number is None else number


def parse_number(text: str) -> float | None:
    """A number as Python writes it, without underscores; None for anything else, nan and infinity among it."""
    if not text or text[-1] not in "0123456789." or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _floats(series: Any) -> NDArray[np.float64]:
    found: NDArray[np.float64] = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def _numbers(series: Any) -> Values:
    cells = _floats(series)
    infinite = np.isinf(cells)
    if not infinite.any():
        return Values("number", cells)
    note = f"{int(infinite.sum()):,} infinite cells count as missing"
    return Values("number", np.where(infinite, np.nan, cells), notes=(note,))


def _dates_of(series: Any) -> Values:
    utc = series.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(series.dtype, "tz", None) else series
    moments = utc.to_numpy()  # in their own unit: nanoseconds cannot hold the year 2820
    whole = moments.astype("datetime64[D]")
    days = whole.astype(np.float64) + (moments - whole) / np.timedelta64(1, "D")
    return Values("date", np.where(np.isnat(moments), np.nan, days))


def _without_unused(values: Values) -> Values:
    """The same without texts that no cell has."""
    if values.kind != "text":
        return values
    seen, cells = np.unique(values.cells[~np.isnan(values.cells)].astype(np.intp), return_inverse=True)
    found = np.full(len(values.cells), np.nan)
    found[~np.isnan(values.cells)] = cells
    return replace(values, cells=found, texts=tuple(values.texts[place] for place in seen))


def _texts(series: Any, decimal: str, numeric: bool) -> Values:
    """Cells that pandas did not read as numbers."""
    import pandas as pd

    try:
        codes, found = pd.factorize(series)
    except TypeError:  # lists, arrays, dicts
        codes, found = pd.factorize(series.map(str, na_action="ignore"))
    counts = np.bincount(codes + 1, minlength=len(found) + 1)[1:]  # the code of missing cells is -1
    texts = list(map(_as_text, found.tolist()))
    present = [bool(text) and text not in MISSING for text in texts]
    total = int(counts[present].sum())
    for read in (_as_numbers, _as_dates):
        values = read(texts, present, counts, total, decimal, numeric)
        if values is not None:
            return _spread(codes, values)
    return _merged(codes, texts, present, counts)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:  # a whole number in a column of objects
        return str(int(value))
    return str(value).strip()


def _spread(codes: NDArray[np.intp], values: Values) -> Values:
    """From one value for each different text to one for each row."""
    return replace(values, cells=np.append(values.cells, np.nan).take(codes))  # missing cells have code -1


def _as_numbers(
    texts: list[str], present: list[bool], counts: NDArray[np.intp], total: int, decimal: str, numeric: bool
) -> Values | None:
    """One number for each different text, if nearly all cells are numbers, however they are written."""
    if not numeric and not _looks_numeric([text for text, real in zip(texts, present, strict=True) if real]):
        return None
    best: tuple[int, list[float], list[str]] | None = None
    for sign in (decimal, "," if decimal == "." else "."):
        pattern, grouping = _NUMBERS[sign], _GROUPING[sign]
        cells, units = [], []
        for text, real in zip(texts, present, strict=True):
            value, unit = _number(text, pattern, grouping) if real else (np.nan, "")
            cells.append(value)
            units.append(unit)
        read = int(counts[~np.isnan(cells)].sum()) if cells else 0
        if best is None or read > best[0]:
            best = read, cells, units
    assert best is not None
    read, cells, units = best
    strange = [
        text for text, value, real in zip(texts, cells, present, strict=True)
        if real and math.isnan(value) and text.casefold() not in _MISSING_AMONG_NUMBERS
    ]  # fmt: skip
    different = len({value for value in cells if not math.isnan(value)})
    if strange and not numeric and not (read >= _MOSTLY * total and different > _FEW_NUMBERS):
        return None
    if not different:
        return None
    return Values("number", np.array(cells), (), _common(units), _taken_for_missing(texts, cells, present, counts))


def _looks_numeric(texts: list[str]) -> bool:
    """Whether one of some texts is a number, to spare the others the same question."""
    some = texts[:: max(1, len(texts) // 50)]
    return any(pattern.fullmatch(text) and text[-1:].strip() for text in some for pattern in _NUMBERS.values())


def _number(text: str, pattern: re.Pattern[str], grouping: dict[int, Any]) -> tuple[float, str]:
    found = pattern.fullmatch(text)
    if not found or not any(map(str.isdigit, found["number"].lower().partition("e")[0])):
        return np.nan, ""
    value = float(found["number"].translate(grouping))
    return (value if math.isfinite(value) else math.nan), found["unit"] or found["after"] or ""


def _common(units: list[str]) -> str:
    """The unit, if there is only one."""
    different = set(filter(None, units))
    return different.pop() if len(different) == 1 else ""


def _taken_for_missing(
    texts: list[str], cells: list[float], present: list[bool], counts: NDArray[np.intp]
) -> tuple[str, ...]:
    lost = [place for place, real in enumerate(present) if real and math.isnan(cells[place])]
    if not lost:
        return ()
    named = ", ".join(repr(texts[place][:40]) for place in lost[:3]) + (", …" if len(lost) > 3 else "")
    count = int(counts[lost].sum())
    return (f"{count:,} {'cell counts' if count == 1 else 'cells count'} as missing: {named}",)


def _as_dates(
    texts: list[str], present: list[bool], counts: NDArray[np.intp], total: int, decimal: str, numeric: bool
) -> Values | None:
    """Days since 1970 for each different text, if nearly all cells are dates or times of day in one format."""
    import pandas as pd

    dates = [place for place, real in enumerate(present) if real and texts[place].casefold() not in
             _MISSING_AMONG_NUMBERS]  # fmt: skip
    if not dates or not all(map(_is_date_like, (texts[place] for place in dates[:20]))):
        return None
    given = pd.Series([texts[place] for place in dates])
    first = given.head(50)
    for form in _DATE_FORMATS:
        if _parsed(first, form).notna().mean() < _MOSTLY:
            continue
        moments = _parsed(given, form)
        read = int(counts[[place for place, good in zip(dates, moments.notna(), strict=True) if good]].sum())
        if read < _MOSTLY * total:
            continue
        cells = np.full(len(texts), np.nan)
        cells[dates] = _dates_of(moments).cells
        if form.startswith("%H"):  # a time of day: pandas puts it on a day of 1900
            cells -= np.floor(np.nanmin(cells)) if len(dates) else 0.0
        notes = _taken_for_missing(texts, cells.tolist(), present, counts)
        other = form.replace("%m/%d", "%d/%m")
        if other != form and other in _DATE_FORMATS and _parsed(given, other).notna().all():
            notes += ("month and day cannot be told apart: the first number is taken for the month",)
        return Values("date", cells, (), "", notes)
    return None


def _is_date_like(text: str) -> bool:
    return len(text) <= _LONGEST_DATE and bool(_DATE_LIKE.search(text))


def _parsed(texts: Any, form: str) -> Any:
    import pandas as pd

    return pd.to_datetime(texts, format=form, errors="coerce", utc=True).dt.tz_localize(None)


def _merged(codes: NDArray[np.intp], texts: list[str], present: list[bool], counts: NDArray[np.intp]) -> Values:
    """Categories: texts that differ in case, white space or the way of writing a number are one."""
    groups: dict[str | float, list[int]] = {}
    for place, (text, real) in enumerate(zip(texts, present, strict=True)):
        if real:
            groups.setdefault(canonical(text), []).append(place)
    names = {key: max(places, key=lambda place: counts[place]) for key, places in groups.items()}
    order = sorted(groups, key=_sorted_by(texts, names))
    cells = np.full(len(texts), np.nan)
    notes = []
    for code, key in enumerate(order):
        cells[groups[key]] = code
        spellings = {texts[place] for place in groups[key]}
        if len(spellings) > 1:
            notes.append(f"{', '.join(sorted(map(repr, spellings)))} are one: {texts[names[key]]!r}")
    if len(notes) > 3:
        notes = [*notes[:3], f"{len(notes) - 3} more are merged in the same way"]
    return _spread(codes, Values("text", cells, tuple(texts[names[key]] for key in order), "", tuple(notes)))


def _sorted_by(texts: list[str], names: dict[str | float, int]) -> Callable[[str | float], tuple[bool, float, str]]:
    """Numbers first, by size, then texts."""

    def key(canon: str | float) -> tuple[bool, float, str]:
        is_text = isinstance(canon, str)
        return is_text, 0.0 if isinstance(canon, str) else canon, texts[names[canon]]

    return key
