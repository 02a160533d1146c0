"""Compares two runs of a study by the JSON that they saved: `fastdrop reproduce all --compare FOLDER`.

Figures of masks are to be equal to the last digit. A network's figures depend on the kernels of BLAS: the intervals of
their means over seeds are to overlap. No verdict may be the opposite of the other run's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastdrop.experiments.reading import Unreadable, parse_json, read_text
from fastdrop.experiments.spread import Spread
from fastdrop.experiments.studies.report import FORMAT, VERSION
from fastdrop.experiments.studies.study import Outcome, Study


class Comparison(NamedTuple):
    """Of two runs of a study."""

    differences: list[str]
    """What should agree and does not, a line each."""
    undecided: list[str]
    """Parts of the claim that only one of the runs decides."""
    equal: int
    """Arrays of networks' figures that are equal to the last digit, of so many."""
    arrays: int

    def __str__(self) -> str:
        lines = [f"networks' figures: {self.equal} of {self.arrays} arrays equal to the last digit"]
        lines += [f"decided by one run only: {name}" for name in self.undecided]
        lines += [f"DIFFERENT: {line}" for line in self.differences]
        return "\n".join(lines if self.differences else [*lines, "no difference beyond the intervals"])


def saved(study: Study, folder: Path, quick: bool) -> dict[str, Any]:
    """What a run saved of this study; ValueError where it cannot be compared with one of these settings."""
    path = folder / f"{study.name}.json"
    try:
        document = parse_json(read_text(path))
    except Unreadable as error:
        raise ValueError(f"{path}: {error}") from None
    wanted = {"format": FORMAT, "version": VERSION, "study": study.name, "quick": quick}
    for key, value in wanted.items():
        found = document.get(key) if isinstance(document, dict) else None
        if found != value:
            raise ValueError(f"{path}: cannot be compared: its {key} is {found!r}, not {value!r}")
    return dict(document)


def compare(new: dict[str, Any], old: dict[str, Any]) -> Comparison:
    """Compare two documents of one study."""
    differences = [f"{name} (masks, settings)" for name in _unequal(new["exact"], old["exact"])]
    undecided = []
    for name in new["parts"].keys() | old["parts"].keys():
        one, other = (document["parts"].get(name, {}).get("outcome", "missing") for document in (new, old))
        if one != other and Outcome.UNDECIDED in (one, other) and "missing" not in (one, other):
            undecided.append(f"{name}: {one}, was {other}")
        elif one != other:
            differences.append(f"{name}: {one}, was {other}")
    unequal = list(_unequal(new["data"], old["data"]))
    arrays = dict(_leaves(new["data"]))
    for name in unequal:
        differences += _beyond_intervals(name, arrays.get(name), dict(_leaves(old["data"])).get(name))
    return Comparison(sorted(differences), sorted(undecided), len(arrays.keys() - set(unequal)), len(arrays))


def _leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that is no dictionary, with its path."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}: ")
        else:
            yield f"{above}{name}", value


def _unequal(new: dict[str, Any], old: dict[str, Any]) -> Iterator[str]:
    """Paths of what is not the same in both."""
    one, other = dict(_leaves(new)), dict(_leaves(old))
    missing = object()
    for name in one | other:
        if one.get(name, missing) != other.get(name, missing):
            yield name


def _beyond_intervals(name: str, new: Any, old: Any) -> Iterator[str]:
    """A line for each figure whose intervals do not overlap; arrays of so many figures have wider ones (Bonferroni)."""
    if new is None or old is None or np.shape(new) != np.shape(old):
        yield f"{name}: {np.shape(new)} figures, were {np.shape(old)}"
        return
    arrays = [np.reshape(values, (len(values), -1)).T for values in (new, old)]
    for place, (one, other) in enumerate(zip(*arrays, strict=True)):
        (low, high), (begin, end) = (Spread.of(values).limits(among=len(arrays[0])) for values in (one, other))
        if not (low <= end and begin <= high):
            yield f"{name}, number {place}: {low:.4f} to {high:.4f}, was {begin:.4f} to {end:.4f}"
