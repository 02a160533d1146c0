"""What the user chooses about a table that is imported, and how the window words what was found in it."""

import re
from pathlib import Path

from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.tables.contents import plural
from fastdrop.experiments.tables.description import DescribedColumn, TableDescription
from fastdrop.experiments.tables.roles import NO_CHOICES, Choices, place_of

ROLE_NAMES = {"target": "Target", "number": "Number", "category": "Category", "date": "Date", "ignored": "Ignored"}
_MOST_CLASSES = 6
_LONGEST_NAME = 24
_USUAL = {"number": "number", "date": "date", "text": "category"}
_REWORDED = (
    (re.compile(r": --target (?:\"[^\"]*\"|[^\s.]+)"), ""),
    (re.compile(r"; --sheet chooses another"), ""),
    (re.compile(r": --ignore (?:\"[^\"]*\"|\S+)"), ": choose Ignored for it"),
    (re.compile(r"--categorical or --numeric keeps a column all the same"), "choose Category or Number to keep one"),
    (
        re.compile(r"choose another target with --target, or declare this one with --categorical"),
        "choose Target for another column",
    ),
    (re.compile(r"--(target|ignore|categorical|numeric|sheet)\b"), r"\1"),
)
"""Ways out that a reader's messages name as options of the command line, and what does the same in the window."""


class RoleChoices:
    """The roles of a table's columns: those that were found, and those that the user has chosen instead.

    A choice that is what would be found anyway is forgotten, so that a configuration holds only what differs.

    Attributes
    ----------
    columns : tuple of DescribedColumn
        Of the newest description that has some.
    can_change : bool
        Whether roles can be chosen: those of arrays are given.
    as_classes : bool
        Whether each number of the target is a class.
    """

    def __init__(self, choices: Choices = NO_CHOICES) -> None:
        self._given: Choices | None = choices if any(choices) else None
        """Choices of a configuration, until the columns are known that they are about."""
        self.columns: tuple[DescribedColumn, ...] = ()
        self.can_change = True
        self.as_classes = False
        self._target: int | None = None
        self._found_target: int | None = None
        self._default_target: int | None = None
        self._chosen: dict[int, str] = {}
        self._found: dict[int, str] = {}

    def forget(self) -> None:
        """Choose nothing."""
        self._given = None
        self._target, self.as_classes = None, False
        self._chosen.clear()

    def take(self, description: TableDescription) -> None:
        """What was found with these choices; a description without columns leaves those before."""
        self.can_change = description.has_roles
        if not description.columns:
            return
        self.columns = description.columns
        if self._given is not None:
            self._settle(self._given)
            self._given = None
        place = next((place for place, column in enumerate(self.columns) if column.role == "target"), None)
        self._found_target = place
        if self._target is None:
            self._default_target = place
        if place is not None and place in self._chosen:  # its other role gives way
            self.as_classes |= self._chosen.pop(place) == "category"
        for place, column in enumerate(self.columns):
            if place not in self._chosen and column.role != "target":
                self._found[place] = column.role

    def _settle(self, given: Choices) -> None:
        """Find the columns that the choices of a configuration are about."""
        names = [column.name for column in self.columns]
        self._target = place_of(names, given.target) if given.target else None
        for role, wanted in (("ignored", given.ignore), ("category", given.categorical), ("number", given.numeric)):
            for place in (place_of(names, each) for each in wanted):
                if self.columns[place].role == "target":
                    self.as_classes |= role == "category"
                else:
                    is_date = role == "number" and self.columns[place].kind == "date"
                    self._chosen[place] = "date" if is_date else role

    @property
    def target(self) -> int | None:
        """The place of the target; None while it is not known."""
        if self._target is not None:
            return self._target
        return None if self._found_target in self._chosen else self._found_target

    def role(self, place: int) -> str:
        """A column's role."""
        if place == self.target:
            return "target"
        if place in self._chosen:
            return self._chosen[place]
        role = self.columns[place].role
        return self._found.get(place, _USUAL[self.columns[place].kind]) if role == "target" else role

    def reason(self, place: int) -> str:
        """Why a column has its role."""
        if place == self._target or (place in self._chosen and place != self.target):
            return "chosen"
        column = self.columns[place]
        return column.reason if column.role == self.role(place) and column.reason != "chosen" else ""

    def offered(self, place: int) -> tuple[str, ...]:
        """The roles that a column can have. The target's moves by choosing Target for another column."""
        if place == self.target:
            return ("target", "ignored")
        return ("target", "date" if self.columns[place].kind == "date" else "number", "category", "ignored")

    def choose(self, place: int, role: str) -> None:
        """Give a column a role."""
        if role == self.role(place):
            return
        self.as_classes &= role != "target" and place != self.target
        if role == "target":
            self._chosen.pop(place, None)
            self._target = None if place == self._default_target else place
            return
        if place == self.target:
            self._target = None
        if role == self._found.get(place):
            self._chosen.pop(place, None)
        else:
            self._chosen[place] = role

    @property
    def choices(self) -> Choices:
        """The same as arguments of `load_table`."""
        if self._given is not None:
            return self._given
        by_role: dict[str, list[str]] = {"ignored": [], "category": [], "number": [], "date": []}
        for place, role in sorted(self._chosen.items()):
            by_role[role].append(self.columns[place].reference)
        target = "" if self._target is None else self.columns[self._target].reference
        if self.as_classes and self.target is not None:
            by_role["category"].append(self.columns[self.target].reference)
        return Choices(
            target, tuple(by_role["ignored"]), tuple(by_role["category"]), (*by_role["number"], *by_role["date"])
        )


def in_window(text: str, *paths: str) -> str:
    """A reader's message for the window: the file's name instead of its path, roles instead of options."""
    for path in filter(None, paths):
        for form in (path, path_text(path)):
            text = text.replace(form, path_text(Path(path).name))
    for pattern, words in _REWORDED:
        text = pattern.sub(words, text)
    return text


def problem_text(description: TableDescription, *paths: str) -> str:
    """Why a table cannot be trained on, and the way out."""
    text = in_window(description.problem, *paths)
    if description.can_be_classes and description.regression and description.regression in text:
        text += "." if not text.endswith(".") else ""
        text += " Or tick that each number is a class."
    return text


def notes_of(description: TableDescription) -> list[str]:
    """What should be known, without what the problem says already."""
    notes = [in_window(note) for note in description.notes]
    problem = in_window(description.problem)
    return [note for note in notes if note not in problem and (not description.regression or "regression" not in note)]


def facts_text(description: TableDescription) -> str:
    """What will be trained on, in sentences."""
    if not description.classes:
        return plural(description.rows, "row") + (f", target {short(description.target)}" if description.target else "")
    counts = (
        sorted(description.classes, key=lambda each: -each[1]) if len(description.classes) > _MOST_CLASSES else None
    )
    listed = [f"{short(name)} ({count:,})" for name, count in (counts or description.classes)[:_MOST_CLASSES]]
    more = len(description.classes) - len(listed)
    classes = ", ".join(listed) + (f" and {more} more" if more else "")
    parts = [plural(description.rows, "row")]
    if description.features:
        parts.append(plural(description.features, "feature"))
    if description.image_shape is not None:
        height, width, channels = description.image_shape
        parts[-1:] = [f"images of {height} × {width} pixels" + (" in colour" if channels > 1 else "")]
    text = f"{', '.join(parts)}, {plural(len(description.classes), 'class')}: {classes}."
    name, most = max(description.classes, key=lambda each: each[1])
    right = f"{most / description.rows:.1%}"
    text += f" Always predicting {short(name)}, the most frequent class, is right for {right} of the rows."
    if description.test_rows:
        text += f" {plural(description.train_rows, 'row')} to train on, {description.test_rows:,} to test on."
    return text


def short(name: str) -> str:
    """A long name shortened: it would stretch the window."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
