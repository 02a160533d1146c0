"""Whether dropout helps, in the terminal: training with progress, the sentence with its tables, and a figure."""

import math
import os
import time
import warnings
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fastdrop.cli.terminal import (
    BarColumn,
    Console,
    Progress,
    Table,
    TextColumn,
    escape,
    interrupts,
    new_table,
    time_left,
)
from fastdrop.errors import missing_package
from fastdrop.experiments.evidence import Evidence, EvidencePlan, EvidenceRun
from fastdrop.experiments.evidence.metrics import Metric, Metrics
from fastdrop.experiments.formats.paths import check_suffix, path_text
from fastdrop.experiments.formats.writing import write_atomically

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
_POLL_SECONDS = 0.1
_MOST_CLASSES = 12
"""Classes that the tables list; of more, those that matter most."""
_LONGEST_NAME = 20
_ARMS = ("baseline", "dropout")


def train_evidence(plan: EvidencePlan, console: Console, processes: int | None = None) -> Evidence | None:
    """Train all splits and show the progress; Ctrl-C stops and keeps the finished splits.

    Returns
    -------
    Evidence or None
        Of the finished splits; None if Ctrl-C came before the first.

    Raises
    ------
    OSError
        If no split has a result.
    """
    run = EvidenceRun(plan, processes)
    columns = (
        TextColumn("{task.fields[splits]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[left]}"),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with closing(run), interrupts() as interrupted, bar as progress:
        task = progress.add_task("", total=1.0, splits="", left="")
        while run.is_running:
            run.poll()
            splits = f"{len(run.results) + len(run.failed)} of {plan.splits} splits"
            progress.update(task, completed=run.progress, splits=splits, left=time_left(run.progress, run.seconds_left))
            if interrupted:
                run.cancel()
            elif run.is_running:
                time.sleep(_POLL_SECONDS)
    if run.problem and not run.results:
        raise OSError(run.problem)
    if run.problem:
        console.print(f"[red]{escape(run.problem)}[/]", soft_wrap=True)
    if run.cancelled:
        console.print(f"stopped; {len(run.results)} of {plan.splits} splits are finished")
    return run.evidence


def print_evidence(evidence: Evidence, console: Console) -> None:
    """Print the sentence, then the metrics of both networks, the recall of each class and the confusion matrix."""
    console.print(f"[bold]{escape(evidence.sentence)}[/]")
    if evidence.warning:
        console.print(f"[yellow]warning:[/] {escape(evidence.warning)}")
    for note in evidence.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    if len(evidence.plan.rates) > 1:
        counts = ", ".join(f"p = {rate:g}: {count}" for rate, count in evidence.rates_chosen.items())
        console.print(f"splits that chose a dropout rate by their validation part: {counts}")
    _print_metrics(evidence, console)
    _print_recall(evidence, console)
    if len(evidence.class_names) <= _MOST_CLASSES:
        _print_confusion(evidence, console)
    else:
        _print_confused_pairs(evidence, console)


def _print_metrics(evidence: Evidence, console: Console) -> None:
    splits, (fewest, most) = len(evidence.results), evidence.test_rows
    rows = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    over = f"mean over {splits} splits, {rows} test rows in each" if splits > 1 else f"one split, {rows} test rows"
    table = new_table("", ("", *_ARMS, "test rows (all splits)"), left=("",))
    both = (evidence.baseline, evidence.dropout)
    table.add_row(
        "accuracy, always the most frequent class", *(_percent(evidence.majority),) * 2, str(evidence.majority.rows)
    )
    for name, metrics, text in (
        ("accuracy", [each.accuracy for each in both], _percent),
        ("balanced accuracy", [each.balanced_accuracy for each in both], _percent),
        ("log loss (nats)", [each.log_loss for each in both], _number),
        ("expected calibration error", [each.calibration_error for each in both], _number),
        ("area under the ROC curve", [each.roc_auc for each in both], _number),
    ):
        known = [metric for metric in metrics if metric is not None]
        if known:
            table.add_row(name, *map(text, known), str(known[0].rows))
    _print_table(console, f"Test part ({over})", table)


def _print_recall(evidence: Evidence, console: Console) -> None:
    names = evidence.class_names
    found = list(zip(names, evidence.baseline.recall, evidence.dropout.recall, strict=True))
    title = "Recall of each class"
    if len(names) > _MOST_CLASSES:
        title = f"The {_MOST_CLASSES} of {len(names)} classes with the lowest recall"
        # classes without test rows have no recall, and come last
        found.sort(key=lambda each: min((m.value for m in each[1:] if m.rows), default=math.inf))
        found = found[:_MOST_CLASSES]
    table = new_table("", ("class", *_ARMS, "test rows (all splits)"), left=("class",))
    for name, baseline, dropout in found:
        table.add_row(_shown(name), _percent(baseline), _percent(dropout), str(baseline.rows))
    _print_table(console, title, table)


def _print_confusion(evidence: Evidence, console: Console) -> None:
    """The matrix of the network with dropout."""
    names = [_shown(name) for name in evidence.class_names]
    table = new_table("", (r"true \ predicted", *names), left=(r"true \ predicted",))
    for name, counts in zip(names, evidence.dropout.confusion, strict=True):
        table.add_row(name, *(str(count) if count else "·" for count in counts))
    _print_table(console, "Confusion matrix with dropout (test rows of all splits)", table)


def _print_confused_pairs(evidence: Evidence, console: Console) -> None:
    """The pairs that the network with dropout confuses most, where the matrix would not fit the terminal."""
    wrong = evidence.dropout.confusion.copy()
    np.fill_diagonal(wrong, 0)
    size, names = len(wrong), evidence.class_names
    places = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CLASSES]
    title = f"Most confused pairs with dropout (test rows of all splits; {int(wrong.sum())} errors in all)"
    table = new_table("", ("true class", "predicted class", *_ARMS), left=("true class", "predicted class"))
    for true, predicted in (divmod(int(place), size) for place in places):
        if wrong[true, predicted]:
            counts = (evidence.baseline.confusion[true, predicted], wrong[true, predicted])
            table.add_row(_shown(names[true]), _shown(names[predicted]), *map(str, counts))
    _print_table(console, title, table)


def _print_table(console: Console, title: str, table: Table) -> None:
    """The title is a line of its own: above a narrow table, Rich would break it."""
    console.print(f"[italic]{title}[/]")
    console.print(table)


def _percent(metric: Metric) -> str:
    return f"{metric.value:.1%}" if metric.rows else "–"


def _number(metric: Metric) -> str:
    return f"{metric.value:.3f}" if metric.rows else "–"


def _short(name: str) -> str:
    """A class name that a terminal and a figure can show."""
    text = path_text(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def _shown(name: str) -> str:
    """The name for a table: brackets are no markup."""
    return escape(_short(name))


def draw_evidence(evidence: Evidence, path: str | os.PathLike[str]) -> None:
    """Draw the paired differences with their interval, the confusion matrix and the reliability curves.

    Parameters
    ----------
    evidence : Evidence
    path : path-like
        Ends in .png, .svg or .pdf.
    """
    check_suffix(path, *FIGURE_SUFFIXES)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_package("matplotlib", "experiments", "drawing a figure") from None
    figure = Figure(figsize=(15, 6), layout="constrained")
    differences, confusion, reliability = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
    _draw_differences(evidence, differences)
    _draw_confusion(evidence, confusion)
    _draw_reliability(evidence, reliability)
    figure.suptitle(_plain(evidence.sentence), wrap=True, fontsize="medium")
    content = BytesIO()
    with warnings.catch_warnings():  # names in a script that the font does not have are drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(content, format=Path(path).suffix[1:].lower(), dpi=110)
    write_atomically(path, content.getvalue())


def _draw_differences(evidence: Evidence, panel: Any) -> None:
    interval, numbers = evidence.interval, [result.number + 1 for result in evidence.results]
    panel.axhline(0, color="black", linewidth=0.8)
    if interval.low is not None and interval.high is not None:
        panel.axhspan(
            100 * interval.low,
            100 * interval.high,
            color="C0",
            alpha=0.15,
            label="95 % confidence interval of the mean",
        )
    panel.axhline(100 * interval.mean, color="C0", label=f"mean {100 * interval.mean:+.2f} points")
    panel.plot(numbers, 100 * evidence.differences, "o", color="C0", label="one split")
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set(xlabel="split", ylabel="test accuracy with dropout minus baseline\n(percentage points)")
    panel.set_title("Paired differences")
    panel.margins(y=0.25)
    _legend_below(panel)


def _draw_confusion(evidence: Evidence, panel: Any) -> None:
    """Counts of all splits; colours are fractions of the true class, so that rare classes can be seen."""
    counts = evidence.dropout.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    panel.figure.colorbar(image, ax=panel, label="fraction of the true class", shrink=0.8)
    size = len(counts)
    if size <= _MOST_CLASSES:
        for (true, predicted), count in np.ndenumerate(counts):
            color = "white" if shares[true, predicted] > 0.5 else "black"
            panel.text(predicted, true, str(count), ha="center", va="center", color=color, fontsize="small")
    if size <= 3 * _MOST_CLASSES:
        names = [_plain(_short(name)) for name in evidence.class_names]
        turned = 90 if size * max(map(len, names)) > 40 else 0  # characters that fit side by side
        panel.set_xticks(range(size), names, rotation=turned, fontsize="small")
        panel.set_yticks(range(size), names, fontsize="small")
    panel.set(xlabel="predicted class", ylabel="true class")
    panel.set_title("Confusion matrix with dropout\n(test rows of all splits)")


def _draw_reliability(evidence: Evidence, panel: Any) -> None:
    panel.plot([0, 1], [0, 1], "--", color="gray", linewidth=1, label="perfectly calibrated")
    arms: tuple[tuple[str, Metrics], ...] = (("baseline", evidence.baseline), ("dropout", evidence.dropout))
    for number, (name, metrics) in enumerate(arms):
        points = metrics.reliability
        confidence = [point.confidence for point in points]
        accuracy = [point.accuracy for point in points]
        rows = np.array([point.rows for point in points])
        label = f"{name}: calibration error {metrics.calibration_error.value:.3f}"
        panel.plot(confidence, accuracy, "-", color=f"C{1 - number}", label=label)
        panel.scatter(confidence, accuracy, s=10 + 100 * np.sqrt(rows / rows.max()), color=f"C{1 - number}", alpha=0.6)
    lowest = 1 / len(evidence.class_names)  # the largest probability cannot be smaller
    panel.set(xlim=(max(0.0, lowest - 0.05), 1.03), ylim=(-0.03, 1.03))
    panel.set(xlabel="confidence (largest probability)", ylabel="accuracy")
    panel.set_title("Reliability\n(larger points: more test rows)")
    _legend_below(panel)


def _legend_below(panel: Any) -> None:
    """Below the axes: inside it would cover points."""
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize="small", frameon=False)


def _plain(text: str) -> str:
    """Text without mathematics: matplotlib would read it between dollar signs."""
    return text.replace("$", r"\$")
