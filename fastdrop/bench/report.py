"""What a run leaves behind: the JSON, and the picture of throughput against size."""

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastdrop.bench import device, promises, quiet, results
from fastdrop.bench.plan import DEVICE_OR_HOST
from fastdrop.bench.results import MOST, Result, copy_of
from fastdrop.experiments.files import path_text, write_atomically, write_json
from fastdrop.experiments.reading import Damaged, Unreadable, is_text, parse_json, read_text, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "fastdrop bench"
VERSION, READABLE = 2, (1, 2)
"""Of the JSON; a file of another version is refused.

Version 1 had one copy, "copy", with `ratio_to_copy`. Version 2 has three on the CPU (`plan.COPY_KINDS`), says which was
the fastest (`best_copy`) and what each candidate's speed is of it (`ratio_to_best_copy`); a GPU's is "copy" as before.
What disturbed a case stands in its `quiet`, and for all of them in the machine's. `bytes`, and so the GB/s, of
operations that read two arrays and write one count all three, no longer two.
"""
_MOST_FACTS = 200
"""About a machine."""
_MOST_RESULTS = 10_000


class Report(NamedTuple):
    """A run with all that is needed to judge it."""

    machine: dict[str, Any]
    results: list[Result]
    missing: list[str]
    plan: str
    complete: bool

    def outcomes(self) -> list[promises.Outcome]:
        return promises.evaluate(self.results, self.machine, missing=self.missing, quick=self.plan == "quick")

    def break_even(self) -> dict[str, int | None]:
        """From how many elements on a GPU is faster than this host's CPU; empty where that was not measured."""
        found = []
        for result in self.results:
            if result.case.operation == DEVICE_OR_HOST and not result.error:
                times = {name: timing for name in result.candidates if (timing := result.timing(name))}
                found.append((result.case.elements, {name: timing.median for name, timing in times.items()}))
        return device.break_even(found) if found else {}


def save(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    noises = results.noises(report.results)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "plan": report.plan,
        "complete": report.complete,
        "machine": {**report.machine, **({"quiet": quiet.summary(noises)} if noises else {})},
        "missing peers": report.missing,
        "break even elements": report.break_even(),
        "promises": [promises.record(outcome) for outcome in report.outcomes()],
        "results": [results.record(result) for result in report.results],
    }
    write_json(path, document)


def load(path: Path) -> Report:
    """Read what `save` wrote; a ValueError of one line where it is something else."""
    try:
        return _from_document(parse_json(read_text(path)))
    except Unreadable as error:
        raise ValueError(f"{path_text(path)}: {error}") from None


def _from_document(document: Any) -> Report:
    """The report that `save` wrote, each value checked."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Damaged("not a file of this fastdrop bench")
    version = document.get("version")
    if type(version) is not int or version not in READABLE:
        raise Damaged(
            f"format version {shown(version)}; this fastdrop reads versions {' and '.join(map(str, READABLE))}"
        )
    kinds = {"machine": dict, "results": list, "missing peers": list, "plan": str, "complete": bool}
    for name, kind in kinds.items():
        if not isinstance(document.get(name), kind):
            raise Damaged(f"damaged: {name!r} is missing or of another type")
    machine, missing = document["machine"], document["missing peers"]
    if not all(is_text(text) for text in (*missing, document["plan"])):
        raise Damaged("damaged: the plan or the missing peers are no names")
    if not (len(machine) <= _MOST_FACTS and all(is_text(name) and _is_fact(fact) for name, fact in machine.items())):
        raise Damaged("damaged: the machine is not described by names and simple values")
    if len(document["results"]) > _MOST_RESULTS:
        raise Damaged(f"damaged: more than {_MOST_RESULTS:,} results")
    found = [results.from_record(record) for record in document["results"]]
    return Report(machine, found, missing, document["plan"], document["complete"])


def _is_fact(value: Any, inside: bool = False) -> bool:
    """Whether a value can stand in a machine's description: a text, a number, or a few of them."""
    if isinstance(value, (list, dict)) and not inside:
        parts = [*value, *(value.values() if isinstance(value, dict) else ())]
        return len(parts) <= _MOST_FACTS and all(_is_fact(part, inside=True) for part in parts)
    if isinstance(value, (int, float)):
        return -MOST <= value <= MOST  # False also for NaN
    return value is None or is_text(value)


class _Line(NamedTuple):
    label: str
    points: list[tuple[int, float]]
    colour: str
    width: float = 1.6
    dashed: bool = False


def draw(report: Report, path: Path) -> bool:
    """The picture: plain float32 dropout under the best copy's roofline. False where nothing of it was measured."""
    from matplotlib.figure import Figure

    lines = _lines(report.results)
    if not lines:
        return False
    figure = Figure(figsize=(10.5, 6.2), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        sizes, rates = zip(*sorted(line.points), strict=True)
        style = "--" if line.dashed else "-"
        roof = line.width > 4
        axes.plot(sizes, rates, style, color=line.colour, linewidth=line.width, marker="" if roof else "o",
                  markersize=4, zorder=1 if roof else 3, solid_capstyle="round", label=line.label)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("elements (float32)")
    axes.set_ylabel("GB/s, read and written")
    machine = report.machine
    axes.set_title(
        f"Dropout under the best copy of the same array: {machine.get('processor')}, {machine.get('instruction set')}",
        loc="left",
    )
    axes.grid(True, which="major", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _label_ends(axes, lines)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())
    return True


def _lines(found: Sequence[Result]) -> list[_Line]:
    plain = [result for result in found if result.case.operation == "dropout" and result.case.dtype == "float32"]
    plain = [result for result in plain if len(result.case.shape) == 1]
    if not plain:
        return []
    counts = sorted({result.case.threads for result in plain})
    # The p at which most sizes were measured, so that lines and not points are drawn.
    sizes = {p: sum(result.case.p == p for result in plain) for p in {result.case.p for result in plain}}
    ps = sorted((p for p in sizes if sizes[p] == max(sizes.values())), reverse=True)[:2]

    def points(name: str, p: float, count: int) -> list[tuple[int, float]]:
        here = [result for result in plain if result.case.p == p and result.case.threads == count]
        return [(each.case.elements, each.gigabytes_per_second(name)) for each in here if each.timing(name)]

    lines, copy = [], copy_of(plain)
    for count, grey in zip((counts[0], counts[-1]), ("0.88", "0.78"), strict=True):
        lines.append(_Line(f"{copy}, {_threads(count)}", points(copy, ps[0], count), grey, 9.0))
    if len(counts) == 1:
        lines.pop()
    for p, shades in zip(ps, (("#7fb3dd", "#1f5f99"), ("#f2b27a", "#c2570c")), strict=False):
        for count, colour in zip(dict.fromkeys((counts[-1], counts[0])), reversed(shades), strict=False):
            lines.append(_Line(f"fastdrop, p = {p:g}, {_threads(count)}", points("fastdrop", p, count), colour, 2.2))
    others = (("np.copyto", "#3a3a3a"), ("NumPy at its best", "#2f8f5b"), ("torch", "#a3379a"))
    lines += [_Line(name, points(name, ps[0], counts[-1]), colour, dashed=True) for name, colour in others]
    return [line for line in lines if line.points]


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _label_ends(axes: "Axes", lines: Sequence[_Line]) -> None:
    """A label at the right end of every line, moved apart where two would touch."""
    low, high = (math.log(value) for value in axes.get_ylim())
    left, right = (math.log2(value) for value in axes.get_xlim())
    step = (high - low) * 0.042
    ends = sorted((math.log(max(line.points)[1]), line) for line in lines)
    places: list[float] = []
    for height, _ in ends:
        places.append(max(height, places[-1] + step) if places else height)
    limit = high - step / 2
    for index in reversed(range(len(places))):  # what was pushed out above goes down, and pushes the others down
        places[index] = min(places[index], limit)
        limit = places[index] - step
    axes.set_xlim(2**left, 2 ** (right + (right - left) * 0.36))
    axes.set_ylim(math.exp(low), math.exp(high))
    start = 2 ** (right + (right - left) * 0.015)
    for (height, line), place in zip(ends, places, strict=True):
        x = max(line.points)[0]
        axes.plot([x, start], [math.exp(height), math.exp(place)], color="0.8", linewidth=0.7, zorder=0)
        axes.text(start, math.exp(place), " " + line.label, color="0.35" if line.width > 4 else line.colour,
                  va="center", fontsize=9)  # fmt: skip
    axes.set_xticks(sorted({x for line in lines for x, _ in line.points}))
