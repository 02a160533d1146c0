"""Pictures of a run: throughput against size, or against threads."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fastdrop.bench import figures
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import BOTH
from fastdrop.bench.report import Report
from fastdrop.bench.results import copy_of
from fastdrop.experiments.formats.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OTHERS = {"np.copyto": "#3a3a3a", "best NumPy": "#2f8f5b", "torch": "#a3379a"}
"""Baselines beside the best copy, and their colours."""
_COLOURS = ("#1f5f99", "#c2570c", "#2f8f5b", "#a3379a")


def draw(report: Report, path: Path) -> bool:
    """Draw plain float32 dropout as PNG. False where nothing of it was measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 6.2), layout="constrained")
    drawn = _by_threads(figure, report) if report.plan == "scaling" else _by_size(figure, report)
    if not drawn:
        return False
    machine = report.machine
    figure.suptitle(f"Dropout beside a copy: {machine.get('processor')}, {machine.get('instruction set')}", fontsize=11)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_atomically(path, content.getvalue())
    return True


def _by_size(figure: "Figure", report: Report) -> bool:
    found = figures.lines(report.results, BOTH[0], tuple(OTHERS))
    if not found:
        return False
    fewest, most = (choose(line.threads for line in found) for choose in (min, max))
    axes = figure.add_subplot()
    for line in found:
        name, few = line.name.partition(",")[0], line.threads == fewest < most
        if line.threads not in (fewest, most) or (few and name in OTHERS):
            continue
        sizes, rates = zip(*line.points, strict=True)
        if line.p is None and name not in OTHERS:
            axes.plot(sizes, rates, color="0.88" if few else "0.75", linewidth=7, label=line.name, zorder=1)
        else:
            colour = _COLOURS[line.p < 0.5] if line.p else OTHERS[name]
            axes.plot(sizes, rates, "o--" if few else "o-", markersize=4, color=colour, label=line.name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("elements (float32)")
    _finish(axes, sorted({size for line in found for size, _ in line.points}))
    return True


def _by_threads(figure: "Figure", report: Report) -> bool:
    """A panel for each size, with the best copy."""
    found = [result for result in report.results if not result.error and result.case.dtype == "float32"]
    sizes = sorted({result.case.elements for result in found})
    for number, size in enumerate(sizes, start=1):
        here = [result for result in found if result.case.elements == size]
        axes = figure.add_subplot(1, len(sizes), number)
        series = sorted({(result.case.operation, -result.case.p) for result in here})
        for (operation, p), colour in zip(series, _COLOURS, strict=False):
            points = sorted(
                (r.case.threads, r.gigabytes_per_second(SUBJECT), r.gigabytes_per_second(copy_of([r])))
                for r in here
                if (r.case.operation, -r.case.p) == (operation, p)
            )
            threads, rates, copies = zip(*points, strict=True)
            if (operation, p) == series[0]:
                axes.plot(threads, copies, color="0.8", linewidth=7, label="best copy", zorder=1)
            axes.plot(threads, rates, "o-", color=colour, markersize=4, label=f"{operation}, p = {-p:g}")
        axes.set_title(f"{here[0].case.size} elements (float32)", loc="left", fontsize=10)
        axes.set_xlabel("threads")
        axes.set_ylim(bottom=0)
        _finish(axes, sorted({result.case.threads for result in here}))
    return bool(found)


def _finish(axes: "Axes", ticks: list[int]) -> None:
    axes.set_xscale("log", base=2)
    if max(ticks) < 1 << 10:
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    else:
        axes.set_xticks(ticks)
    axes.set_ylabel("GB/s, read and written")
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
