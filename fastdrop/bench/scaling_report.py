"""What the figures of `fastdrop.bench.scaling` say: where a case stops to scale and why; JSON and the picture."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from fastdrop.bench.machine import machine
from fastdrop.bench.scaling import Point
from fastdrop.experiments.files import write_atomically, write_json

FORMAT, VERSION = "fastdrop bench scaling", 1
EFFICIENT = 0.75
"""A case scales while it puts so much of its threads to use."""
MAIN_SHARE = 0.3
"""Of the lost time, what a cause must explain to be named as the reason."""


class Verdict(NamedTuple):
    """How far a case scales."""

    group: str
    operation: str
    elements: int
    p: float
    scales_to: int
    threads: int
    """That it was measured with at most, or with which it does not scale any more."""
    reason: str
    """Empty where it scales to the end."""
    causes: dict[str, float]
    """What each one explains of the time that is lost there, as a share. They may overlap."""
    text: str


def series(points: Sequence[Point]) -> list[list[Point]]:
    """The points of each case, from one thread on."""
    found: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        found.setdefault(point.case, []).append(point)
    ordered = (sorted(each, key=lambda point: point.threads) for each in found.values())
    return [each for each in ordered if each[0].threads == 1]


def causes(point: Point, one: Point) -> dict[str, float]:
    """What the causes explain of what `point` loses, as shares from 0 to 1.

    Each is seconds that were measured beside the call. The copy suffers from the team's costs and from unequal cores as
    well; what it takes beyond them is the memory's.
    """
    lost = point.seconds - one.seconds / point.threads
    ideal = one.seconds / point.used
    uneven = point.imbalance - 1
    seconds = {
        "memory": point.copy - point.team - uneven * one.copy / point.used - ideal,
        "imbalance": uneven * ideal,
        "wake-up": point.team,
        "size": ideal - one.seconds / point.threads,
    }
    return {name: min(1.0, max(0.0, each / lost)) if lost > 0 else 0.0 for name, each in seconds.items()}


_WORDS = {
    "memory": "the memory, since the copy takes as long (its own efficiency is {copy:.2f})",
    "imbalance": "imbalance, since the slowest core takes {imbalance:.2f} times the mean",
    "wake-up": "the wake-up, since a team costs a call {team:.0f} us",
    "size": "the size, of which a call gives {used} threads their share",
    "": "nothing that was measured: see the machine's other work",
}


def verdict(points: Sequence[Point]) -> Verdict:
    """Where one case stops to scale, and why."""
    one, case, scales_to = points[0], points[0].case, 1
    for point in points[1:]:
        if point.efficiency(one) >= EFFICIENT:
            scales_to = point.threads
            continue
        explained = causes(point, one)
        reason = max(explained, key=lambda name: explained[name])
        reason = reason if explained[reason] >= MAIN_SHARE else ""
        words = _WORDS[reason].format(
            copy=one.copy / point.copy / point.threads,
            imbalance=point.imbalance,
            team=point.team * 1e6,
            used=point.used,
        )
        shares = ", ".join(f"{name} {share:.0%}" for name, share in explained.items() if share >= 0.05) or "nothing"
        text = (
            f"scales to {scales_to} of {points[-1].threads}; with {point.threads} its efficiency is "
            f"{point.efficiency(one):.2f}. What stops it is {words}. Explained of the lost time: {shares}"
        )
        return Verdict(*case, scales_to, point.threads, reason, explained, text)
    text = "one core: nothing to scale to" if len(points) == 1 else f"scales to all {scales_to} threads"
    return Verdict(*case, scales_to, points[-1].threads, "", {}, text)


def save(points: Sequence[Point], groups: dict[str, list[int]], complete: bool, path: Path) -> None:
    """Write the figures as JSON."""
    found = []
    for each in series(points):
        one = each[0]
        for point in each:
            derived = {
                "gigabytes per second": round(point.gigabytes_per_second, 3),
                "speed-up": round(point.speedup(one), 3),
                "efficiency": round(point.efficiency(one), 3),
            }
            found.append({**point._asdict(), **derived})
    document = {
        "format": FORMAT,
        "version": VERSION,
        "complete": complete,
        "machine": machine(),
        "groups": groups,
        "points": found,
        "verdicts": [verdict(each)._asdict() for each in series(points)],
    }
    write_json(path, document)


def draw(points: Sequence[Point], path: Path) -> None:
    """The picture: GB/s against threads, a panel for each group and size, the copy as the roof."""
    from matplotlib.figure import Figure

    found = series(points)
    panels = list(dict.fromkeys((each[0].group, each[0].elements) for each in found))
    figure = Figure(figsize=(5.2 * min(2, len(panels)), 4.2 * ((len(panels) + 1) // 2)), layout="constrained")
    about = machine()
    figure.suptitle(f"Dropout by threads: {about['processor']}, {about['instruction set']}", fontsize=10)
    rows = (len(panels) + 1) // 2
    for number, (group, elements) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, min(2, len(panels)), number)
        here = [each for each in found if (each[0].group, each[0].elements) == (group, elements)]
        counts = [point.threads for point in here[0]]
        roof = [8 * elements / median(each[at].copy for each in here) / 1e9 for at in range(len(counts))]
        axes.plot(counts, roof, color="0.82", linewidth=8, solid_capstyle="round", label="copy")
        colours = iter(("#1f5f99", "#7fb3dd", "#c2570c", "#f2b27a"))
        for each in here:
            rates = [point.gigabytes_per_second for point in each]
            label = f"{each[0].operation}, p = {each[0].p:g}"
            axes.plot([point.threads for point in each], rates, "o-", markersize=4, color=next(colours), label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("threads")
        axes.set_ylabel("GB/s, read and written")
        axes.set_title(f"{group}, {_size(elements)} elements (float32)", loc="left", fontsize=10)
        axes.grid(True, color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())


def _size(elements: int) -> str:
    power = elements.bit_length() - 1
    return f"2^{power}" if elements == 1 << power else f"{elements:,}"
