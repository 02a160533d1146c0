"""Compares two runs of a study by their JSON files: `fastdrop reproduce all --compare FOLDER`.

Figures of masks must be equal to the last digit. A network's figures depend on the kernels of BLAS: the intervals of
their means over seeds must overlap. No verdict may be the opposite of the other run's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import Unreadable, is_text, parse_json, read_text, shown
from fastdrop.experiments.studies.report import FORMAT, VERSION
from fastdrop.experiments.studies.study import Outcome, Study

_LARGEST_FIGURE = 1e100
"""Losses are smaller, and the square of this is finite."""


class Comparison(NamedTuple):
    """The result of comparing two runs of a study."""

    differences: list[str]
    """One line for each disagreement."""
    undecided: list[str]
    """Parts of the claim that only one of the runs decides."""
    equal: int
    """Arrays of networks' figures that are equal to the last digit."""
    arrays: int
    """All arrays of networks' figures."""

    def __str__(self) -> str:
        lines = [f"networks' figures: {self.equal} of {self.arrays} arrays equal to the last digit"]
        lines += [f"decided by one run only: {name}" for name in self.undecided]
        lines += [f"DIFFERENT: {line}" for line in self.differences]
        return "\n".join(lines if self.differences else [*lines, "no difference beyond the intervals"])


def saved(study: Study, folder: Path, quick: bool) -> dict[str, Any]:
    """The saved document of this study; ValueError where a run with these settings cannot be compared with it."""
    path = folder / f"{study.name}.json"
    try:
        document = parse_json(read_text(path))
        wanted = {"format": FORMAT, "version": VERSION, "study": study.name, "quick": quick}
        for key, value in wanted.items():
            found = document.get(key) if isinstance(document, dict) else None
            if found != value:
                raise Unreadable(f"cannot be compared: its {key} is {shown(found)}, not {value!r}")
        _check(document)
    except Unreadable as error:
        raise ValueError(f"{path_text(path)}: {error}") from None
    return dict(document)


def _check(document: dict[str, Any]) -> None:
    """Raise `Unreadable` where the parts that `compare` reads are not what a run saves."""
    fitting: dict[str, Callable[[dict[str, Any]], bool]] = {
        "machine": lambda tree: all(is_text(value) or isinstance(value, int) for value in tree.values()),
        "parts": lambda tree: all(
            isinstance(part, dict) and _is_outcome(part.get("outcome")) for part in tree.values()
        ),
        "exact": lambda tree: bool(dict(_leaves(tree))),
        "data": lambda tree: all(map(_are_figures, dict(_leaves(tree)).values())),
    }
    for key, fits in fitting.items():
        tree = document.get(key)
        try:
            fit = isinstance(tree, dict) and fits(tree)
        except RecursionError:
            fit = False
        if not fit:
            raise Unreadable(f"cannot be compared: its {key} is not what a run saves; run it again")


def _is_outcome(value: Any) -> bool:
    return isinstance(value, str) and value in list(Outcome)


def _are_figures(values: Any) -> bool:
    """Whether it is an array of numbers as they come out of training."""
    try:
        found = np.array(values)
    except ValueError:  # lists of different lengths
        return False
    return isinstance(values, list) and found.dtype.kind in "if" and bool((np.abs(found) < _LARGEST_FIGURE).all())


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
    arrays, others = dict(_leaves(new["data"])), dict(_leaves(old["data"]))
    for name in unequal:
        differences += _beyond_intervals(name, arrays.get(name), others.get(name))
    return Comparison(sorted(differences), sorted(undecided), len(arrays.keys() - set(unequal)), len(arrays))


def _leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not a dictionary, with its path."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}: ")
        else:
            yield f"{above}{name}", value


def _unequal(new: dict[str, Any], old: dict[str, Any]) -> Iterator[str]:
    """Paths of the values that differ."""
    one, other = dict(_leaves(new)), dict(_leaves(old))
    missing = object()
    for name in one | other:
        if one.get(name, missing) != other.get(name, missing):
            yield name


def _beyond_intervals(name: str, new: Any, old: Any) -> Iterator[str]:
    """A line for each figure whose intervals do not overlap; with several figures they are wider (Bonferroni)."""
    if new is None or old is None or np.shape(new) != np.shape(old):
        yield f"{name}: {np.shape(new)} figures, were {np.shape(old)}"
        return
    arrays = [np.reshape(values, (len(values), -1)).T for values in (new, old)]
    for place, (one, other) in enumerate(zip(*arrays, strict=True)):
        (low, high), (begin, end) = (Estimate.of(values).bounds(comparisons=len(arrays[0])) for values in (one, other))
        if not (low <= end and begin <= high):
            yield f"{name}, number {place}: {low:.4f} to {high:.4f}, was {begin:.4f} to {end:.4f}"
