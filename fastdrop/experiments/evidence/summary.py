"""`Evidence`: what the finished splits show, in one sentence and in metrics."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.evidence.metrics import Metric, Metrics, metrics_of
from fastdrop.experiments.evidence.plan import EvidencePlan
from fastdrop.experiments.evidence.statistics import Interval, fixed_test_interval, resampled_interval, verdict
from fastdrop.experiments.evidence.training import FailedSplit, SplitResult


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the finished splits show; made by `Evidence.of`.

    Attributes
    ----------
    plan : EvidencePlan
    results : tuple of SplitResult
        The finished splits, in the order of their numbers.
    failed : tuple of FailedSplit
        Splits without a result, in the order of their numbers.
    sentence : str
        The verdict.
    interval : Interval
        The mean difference in test accuracy, with dropout minus without, and its 95 % confidence interval.
    differences : numpy.ndarray of float64, shape (splits,)
        The difference in each finished split.
    majority : Metric
        The accuracy of always predicting the most frequent class of the training part.
    baseline, dropout : Metrics
        Without dropout, and with the rate that each split chose.
    rates_chosen : dict of float to int
        How many splits chose each candidate rate.
    warning : str
        Why the accuracy misleads here; empty if nothing is known against it.
    notes : tuple of str
        What else must be known: splits that failed or were not trained, rates that diverged.
    """

    plan: EvidencePlan
    results: tuple[SplitResult, ...]
    failed: tuple[FailedSplit, ...]
    sentence: str
    interval: Interval
    differences: NDArray[np.float64]
    majority: Metric
    baseline: Metrics
    dropout: Metrics
    rates_chosen: dict[float, int]
    warning: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, plan: EvidencePlan, results: Iterable[SplitResult], failed: Iterable[FailedSplit] = ()) -> Self:
        """The evidence of the splits that are finished, in any order.

        Raises
        ------
        ValueError
            If no split is finished.
        """
        ordered = tuple(sorted(results, key=lambda result: result.number))
        lost = tuple(sorted(failed, key=lambda split: split.number))
        if not ordered:
            raise ValueError("there is no evidence before the first split is finished")
        interval = _interval_of(plan, ordered)
        rates = [result.rate for result in ordered]
        alike = not any(np.any(_predicted(result)[0] != _predicted(result)[1]) for result in ordered)
        classes = len(ordered[0].class_names)
        hits = [(result.test_labels == result.majority).mean() for result in ordered]
        majority = Metric(float(np.mean(hits)), sum(len(result.test_labels) for result in ordered))
        baseline = metrics_of([(result.test_labels, result.baseline.test) for result in ordered], classes)
        dropout = metrics_of([(result.test_labels, result.dropout.test) for result in ordered], classes)
        return cls(
            plan=plan,
            results=ordered,
            failed=lost,
            sentence=verdict(interval, plan.kind, rates, chosen=len(plan.rates) > 1, same_predictions=alike),
            interval=interval,
            differences=np.array([result.difference for result in ordered]),
            majority=majority,
            baseline=baseline,
            dropout=dropout,
            rates_chosen={rate: Counter(rates)[rate] for rate in plan.rates},
            warning=_warning(ordered, majority, baseline, dropout),
            notes=_notes(plan, ordered, lost),
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.results[0].class_names

    @property
    def test_rows(self) -> tuple[int, int]:
        """The smallest and the largest number of test rows of a split."""
        rows = [len(result.test_labels) for result in self.results]
        return min(rows), max(rows)


def _predicted(result: SplitResult) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return result.baseline.test.argmax(axis=1), result.dropout.test.argmax(axis=1)


def _interval_of(plan: EvidencePlan, results: tuple[SplitResult, ...]) -> Interval:
    """The interval that fits to how the splits are made."""
    if all(result.fixed_test for result in results):
        return fixed_test_interval(np.stack([result.row_differences for result in results]))
    ratio = sum(len(result.test_labels) for result in results) / sum(result.train_rows for result in results)
    differences = [result.difference for result in results]
    return resampled_interval(differences, ratio if plan.splits_share_rows else 0.0)


def _warning(results: tuple[SplitResult, ...], majority: Metric, baseline: Metrics, dropout: Metrics) -> str:
    """Why the accuracy misleads, where it does."""
    arms = {"the baseline": baseline, "the network with dropout": dropout}
    advice = "Compare balanced accuracy and the recall of each class instead of accuracy."
    weak = [name for name, metrics in arms.items() if metrics.accuracy.value <= majority.value]
    if weak:
        who, verb = (weak[0], "is") if len(weak) == 1 else ("both networks", "are")
        text = f"{who} {verb} no better than always predicting the most frequent class (accuracy {majority.value:.1%})"
        return f"{text[0].upper()}{text[1:]}. {advice}"
    names = results[0].class_names
    never = [
        name
        for name, *recalls in zip(names, baseline.recall, dropout.recall, strict=True)
        if any(recall.rows and recall.value == 0 for recall in recalls)
    ]
    if never:
        which = f"class {never[0]!r} is" if len(never) == 1 else f"{len(never)} of {len(names)} classes are"
        return f"{which[0].upper()}{which[1:]} never recognised by one of the networks. {advice}"
    return ""


def _notes(plan: EvidencePlan, results: tuple[SplitResult, ...], failed: tuple[FailedSplit, ...]) -> tuple[str, ...]:
    notes = []
    missing = plan.splits - len(results) - len(failed)
    if missing:
        notes.append(f"{missing} of {plan.splits} splits were not finished.")
    if failed:
        notes.append(f"{len(failed)} of {plan.splits} splits have no result and are left out: {failed[0].error}")
    diverged = Counter(rate for result in results for rate in result.diverged)
    for rate in sorted(diverged):
        notes.append(f"Training with p = {rate:g} diverged in {diverged[rate]} splits; it was no candidate there.")
    return tuple(notes)
