"""Decides what each column of a table is used for, with the reason in words."""

import difflib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.tables.contents import (
    MOST_CATEGORIES,
    MOST_CLASSES,
    Cells,
    Column,
    TableProblem,
    column_name,
    listed,
    number_text,
    plural,
)
from fastdrop.experiments.tables.names import (
    CLEAR_NAMES,
    LABEL_NAMES,
    STRONG_NAMES,
    is_named_like_labels,
    named_targets,
    plain,
    words,
)
from fastdrop.experiments.tables.values import Values, values_of
from fastdrop.threads import get_num_threads

_NEARLY_ALL = 0.95
_NEARLY_ALL_FIRST = 0.9
"""The same of a first column, or of one with a name of row labels: identifiers are there, and some come twice."""
_MOST_THREADS = 4
_ENOUGH_ROWS = 20
"""From this number of rows on, whole numbers that differ in nearly every row are row labels."""
_COUNTED_ROWS = 5
"""From this number of rows on, whole numbers that count the rows are row labels."""
MOST_WHOLE_CLASSES = 30
"""A target with more different whole numbers is a regression's, and so is one with more than 10 other numbers."""
MOST_REAL_CLASSES = 10


class Choices(NamedTuple):
    """What the user decides about a table; columns by name or by their number, which begins at 1."""

    target: str = ""
    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()


NO_CHOICES = Choices()


class Roles(NamedTuple):
    """The columns of a table with their roles and values; `target` is a place in both.

    `problem` says why no feature is left; empty where there is one.
    """

    columns: tuple[Column, ...]
    values: list[Values]
    target: int
    notes: tuple[str, ...]
    problem: str = ""


def assign_roles(cells: Cells, choices: Choices) -> Roles:
    """Give every column its role.

    Raises
    ------
    TableProblem
        If a chosen column is not there or cannot be what was chosen, or there is no target.
    """
    names = cells.names
    if len(names) < 2:
        raise TableProblem("one column only; a table must have features and a target")
    chosen = {kind: [place_of(names, each) for each in getattr(choices, kind)] for kind in _KINDS}
    target = place_of(names, choices.target) if choices.target else None
    _check_choices(names, chosen, target)
    with ThreadPoolExecutor(
        min(_MOST_THREADS, get_num_threads())
    ) as pool:  # texts are compared outside the interpreter
        values = list(pool.map(lambda place: _chosen_values(place, chosen, cells), range(len(names))))
    drafts = [_role(place, names, each, chosen) for place, each in enumerate(values)]
    found, why = (target, "chosen") if target is not None else _find_target(names, values, drafts, chosen["ignore"])
    drafts[found] = ("target", why)
    drafts, problem = _with_a_feature(drafts, values, names)
    columns = tuple(
        Column(column_name(names, place), role, reason, each.texts if role == "category" else (), each.unit)
        for place, ((role, reason), each) in enumerate(zip(drafts, values, strict=True))
    )
    notes = [_target_note(columns[found].name, why, found, names, values, drafts, target is not None)]
    notes += [f"{column.name}: {note}" for column, each in zip(columns, values, strict=True) for note in each.notes]
    notes += _same_as_target(columns, values, found)
    return Roles(columns, values, found, tuple(filter(None, notes)), problem)


_KINDS = ("ignore", "categorical", "numeric")


def place_of(names: Sequence[str], wanted: str) -> int:
    """The place of the column with this name, or this number; an error names the columns and the most similar one."""
    for same in (str, str.strip, lambda name: name.strip().casefold()):
        known = [same(name) for name in names]
        if same(wanted) and same(wanted) in known:
            return known.index(same(wanted))
    number = wanted.removeprefix("column ")
    if number.isascii() and number.isdecimal() and len(number) < 10 and 1 <= int(number) <= len(names):
        return int(number) - 1
    all_names = [column_name(tuple(names), place) for place in range(len(names))]
    close = difflib.get_close_matches(wanted[:100], all_names[:1000], 1)
    hint = f"; did you mean {shown(close[0])}?" if close else ""
    raise TableProblem(f"no column {shown(wanted)}{hint}; the columns are {listed(all_names)}")


def _check_choices(names: tuple[str, ...], chosen: dict[str, list[int]], target: int | None) -> None:
    """A column has one role only; the target may be declared categorical or numeric."""
    seen: dict[int, str] = {} if target is None else {target: "target"}
    for kind, places in chosen.items():
        for place in places:
            before = seen.get(place)
            if before is not None and not (before == "target" and kind != "ignore") and before != kind:
                name = shown(column_name(names, place))
                raise TableProblem(f"column {name} is both --{before} and --{kind}; remove one of the two")
            seen.setdefault(place, kind)


def _chosen_values(place: int, chosen: dict[str, list[int]], cells: Cells) -> Values:
    """A column's values, as the user says if he does."""
    name, numeric = column_name(cells.names, place), place in chosen["numeric"]
    values = values_of(cells.columns[place], cells.decimal, numeric)
    if numeric and values.kind == "text":
        example = next(iter(values.texts), "")
        raise TableProblem(f"no cell is a number; the first text is {shown(example)}", f"column {shown(name)}")
    if place in chosen["categorical"] and values.kind != "text":
        return as_texts(values, name)
    return values


def as_texts(values: Values, name: str = "") -> Values:
    """Numbers or dates as categories."""
    text = number_text if values.kind == "number" else Column(name, values.kind, "").text
    different, codes = np.unique(values.cells, return_inverse=True)
    different = different[~np.isnan(different)]
    cells = np.where(np.isnan(values.cells), np.nan, codes)
    return Values("text", cells, tuple(map(text, different)), "", values.notes)


def _role(place: int, names: tuple[str, ...], values: Values, chosen: dict[str, list[int]]) -> tuple[str, str]:
    """A feature's role and its reason."""
    if place in chosen["ignore"]:
        return "ignored", "chosen"
    kind = "category" if values.kind == "text" else values.kind
    if place in chosen["categorical"] or place in chosen["numeric"]:
        return kind, "chosen"
    if values.missing == len(values.cells):
        return "ignored", "empty"
    if values.is_constant:
        cell = Column("", kind, "", values.texts, values.unit).text(float(values.cells[0]))
        return "ignored", f"constant: every cell is {shown(cell)}"
    labels = _row_labels(place, names[place], values)
    if labels:
        return "ignored", f"row labels: {labels}"
    missing = f", {values.missing:,} missing" if values.missing else ""
    if values.kind == "text":
        different = values.different
        if different > MOST_CATEGORIES:
            return (
                "ignored",
                f"{different:,} different texts; more than {MOST_CATEGORIES} are not encoded unless chosen",
            )
        return "category", f"{different} different texts{missing}"
    return kind, f"{kind}s{missing}"


def _row_labels(place: int, name: str, values: Values) -> str:
    """Why a column is row labels, or nothing.

    Measurements can be whole numbers that differ in nearly every row too, such as populations. So whole numbers are row
    labels only where something else says so: the name, the first place, or that they count the rows or have all the
    same number of digits, five at least.
    """
    rows = len(values.cells)
    named = is_named_like_labels(name)
    unnamed_first = place == 0 and bool(re.fullmatch(r"\s*(?:Unnamed: 0)?", name))
    enough = _NEARLY_ALL_FIRST if named or place == 0 else _NEARLY_ALL
    if values.missing or rows < 3 or not (values.kind == "text" or values.is_whole) or not values.differ_in(enough):
        return ""
    if "year" in words(name):
        return ""
    different = values.different
    every = "every row" if different == rows else "nearly every row"
    if values.kind == "text":
        return f"a different text in {every}" if rows >= _COUNTED_ROWS or named or unnamed_first else ""
    if named or (rows >= _COUNTED_ROWS and _counts(values)) or (unnamed_first and rows >= _ENOUGH_ROWS):
        return f"a different whole number in {every}"
    if rows < _ENOUGH_ROWS:
        return ""
    low, high = values.cells.min(), values.cells.max()
    as_long = low >= 10_000 and len(str(int(low))) == len(str(int(high)))
    return f"a different whole number in {every}" if place == 0 or as_long else ""


def _counts(values: Values) -> bool:
    """Whether the numbers are those of the rows, in any order."""
    if values.kind != "number" or values.missing or not values.is_whole:
        return False
    return values.different == len(values.cells) == int(values.cells.max() - values.cells.min()) + 1


def _with_a_feature(
    drafts: list[tuple[str, str]], values: list[Values], names: tuple[str, ...]
) -> tuple[list[tuple[str, str]], str]:
    """Where no feature is left, keep whole numbers that only look like row labels; or why there are none."""
    if any(role in ("number", "category", "date") for role, _ in drafts):
        return drafts, ""
    kept = list(drafts)
    for place, (_, reason) in enumerate(drafts):
        if reason.startswith("row labels: a different whole") and plain(names[place]) not in LABEL_NAMES:
            kept[place] = values[place].kind, f"kept, since no other feature is left; {reason}"
    if any(role == "number" for role, _ in kept):
        return kept, ""
    ignored = [
        f"{column_name(names, place)} ({reason})" for place, (role, reason) in enumerate(drafts) if role == "ignored"
    ]
    return drafts, (
        f"no feature is left; ignored: {listed(ignored, 8)}; --categorical or --numeric keeps a column all the same"
    )


# -- the target


def _find_target(
    names: tuple[str, ...], values: list[Values], drafts: list[tuple[str, str]], ignored: list[int]
) -> tuple[int, str]:
    """The target's place, and why it is the target."""
    for place in named_targets(names):
        if place not in ignored and can_be_classes(values[place]):
            return place, f"its name is {shown(names[place])}"
    for place in named_targets(names):
        is_strong = plain(names[place]) in STRONG_NAMES
        if is_strong and place not in ignored and values[place].different > 1 and drafts[place][0] != "ignored":
            return place, f"its name is {shown(names[place])}"
    for place in named_targets(names):
        if plain(names[place]) in CLEAR_NAMES and place not in ignored and values[place].different < 2:
            return place, f"its name is {shown(names[place])}"
    usable = [place for place in range(len(names)) if place not in ignored and values[place].different]
    if not usable:
        raise TableProblem("all columns are ignored or empty; there is no target")
    likely = [
        place for place in usable
        if drafts[place][0] != "ignored"
        or values[place].different == 1
        or (values[place].kind == "number" and not _counts(values[place]) and not is_named_like_labels(names[place]))
    ]  # fmt: skip
    last = (likely or usable)[-1]
    return last, "the last column" if last == len(names) - 1 else "the last column that is not ignored"


def can_be_classes(values: Values) -> bool:
    """Whether these values are those of a classification."""
    if values.has_more_than(MOST_CLASSES):
        return False
    different, rows = values.different, len(values.cells) - values.missing
    if different < 2 or values.kind == "date":
        return False
    if values.kind == "text":
        return different <= MOST_CLASSES and (different <= rows / 2 or different == 2)
    few = MOST_WHOLE_CLASSES if values.is_whole else MOST_REAL_CLASSES
    return different <= few and (different <= rows / 2 or different == 2)


def _target_note(
    name: str,
    why: str,
    found: int,
    names: tuple[str, ...],
    values: list[Values],
    drafts: list[tuple[str, str]],
    is_chosen: bool,
) -> str:
    """A better candidate for the target, if there is one."""
    if is_chosen:
        return ""
    others = [place for place in named_targets(names) if place != found and can_be_classes(values[place])]
    if not others and (not can_be_classes(values[found]) or why.startswith("the last")):
        texts = [
            place for place, each in enumerate(values)
            if place != found and can_be_classes(each) and drafts[place][0] != "ignored"
            and (each.kind == "text" or not can_be_classes(values[found]))
        ]  # fmt: skip
        if not can_be_classes(values[found]) or (values[found].kind == "number" and values[found].different > 2):
            others = [place for place in (0, len(names) - 1) if place in texts] or texts[:3]
    if not others:
        return ""
    candidates = ", ".join(f"{column_name(names, place)} ({_summary(values[place])})" for place in others[:3])
    return f"{name} is the target ({why}); it could also be {candidates}: --target {_quoted(names, others[0])}"


def _quoted(names: tuple[str, ...], place: int) -> str:
    name = names[place]
    if not name:
        return str(place + 1)
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'


def _summary(values: Values) -> str:
    if values.kind == "text":
        return listed(values.texts, 4)
    return plural(values.different, "different number")


def _same_as_target(columns: tuple[Column, ...], values: list[Values], target: int) -> list[str]:
    """Features that say the same as the target in every row: it is likely that they would not be known beforehand."""
    wanted, notes = values[target], []
    classes = wanted.different
    if not can_be_classes(wanted):
        return []
    for place, (column, each) in enumerate(zip(columns, values, strict=True)):
        if place == target or column.role == "ignored" or each.has_more_than(classes) or each.different != classes:
            continue
        both = ~(np.isnan(each.cells) | np.isnan(wanted.cells))
        if both.sum() > 2 * classes and len(np.unique(each.cells[both] + 1j * wanted.cells[both])) == classes:
            notes.append(
                f"{column.name} says the same as the target in every row; if it is not known before the target is, "
                f"leave it out: --ignore {_quoted(tuple(c.name for c in columns), place)}"
            )
    return notes
