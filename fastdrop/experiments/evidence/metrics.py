"""How good predicted probabilities are: scikit-learn's metrics as means over the splits, calibration, confusion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package

BINS = 10
"""Bins of the calibration."""


class Metric(NamedTuple):
    """A mean over splits, and the number of test rows behind it, of all splits together.

    A row that is in the test parts of several splits counts in each. NaN where no split has such rows.
    """

    value: float
    rows: int


class ReliabilityPoint(NamedTuple):
    """A bin of the reliability curve: mean confidence and accuracy of the `rows` test rows in it."""

    confidence: float
    accuracy: float
    rows: int


@dataclass(frozen=True, eq=False)
class Metrics:
    """The metrics of one network, without dropout or with it, over the test parts of all splits.

    Attributes
    ----------
    accuracy : Metric
    balanced_accuracy : Metric
        The mean recall of the classes that are in the test part.
    log_loss : Metric
        Mean cross-entropy in nats.
    calibration_error : Metric
        See `calibration_error`.
    roc_auc : Metric or None
        The area under the ROC curve, with the second class as the positive one; None unless there are two classes.
    recall : tuple of Metric
        Of each class: the mean over the splits with such test rows, and the number of these rows.
    reliability : tuple of ReliabilityPoint
        The reliability curve over the test rows of all splits; empty bins are left out.
    confusion : numpy.ndarray of int, shape (classes, classes)
        Counts over all splits: rows are the true classes, columns the predicted ones.
    """

    accuracy: Metric
    balanced_accuracy: Metric
    log_loss: Metric
    calibration_error: Metric
    roc_auc: Metric | None
    recall: tuple[Metric, ...]
    reliability: tuple[ReliabilityPoint, ...]
    confusion: NDArray[np.int64]


def metrics_of(splits: Sequence[tuple[NDArray[Any], NDArray[Any]]], classes: int) -> Metrics:
    """The metrics over several splits.

    Parameters
    ----------
    splits : sequence of (labels, probabilities)
        Of the test part of each split: shapes (rows,) and (rows, classes). A class may be missing in it.
    classes : int

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop.experiments.evidence.metrics import metrics_of
    >>> labels, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> metrics = metrics_of([(labels, probabilities)], 2)
    >>> metrics.recall[0], metrics.confusion.tolist()
    (Metric(value=0.5, rows=2), [[1, 1], [0, 1]])
    """
    sklearn = _sklearn_metrics()
    names = list(range(classes))
    rows, found, recalls = 0, [], []
    confusion = np.zeros((classes, classes), np.int64)
    for labels, probabilities in splits:
        predicted = probabilities.argmax(axis=1)
        recall = sklearn.recall_score(labels, predicted, labels=names, average=None, zero_division=np.nan)
        # balanced_accuracy_score computes the same, but warns where a predicted class has no test rows.
        mean_recall = float(np.nanmean(recall))
        found.append(
            (
                float(sklearn.accuracy_score(labels, predicted)),
                mean_recall,
                float(sklearn.log_loss(labels, probabilities, labels=names)),
                calibration_error(labels, probabilities),
            )
        )
        recalls.append(recall)
        confusion += sklearn.confusion_matrix(labels, predicted, labels=names)
        rows += len(labels)
    accuracy, balanced, loss, error = (Metric(float(value), rows) for value in np.mean(found, axis=0))
    counts = confusion.sum(axis=1)
    recall_metrics = [
        Metric(_mean(column), int(count)) for column, count in zip(np.array(recalls).T, counts, strict=True)
    ]
    all_labels = np.concatenate([labels for labels, _ in splits])
    all_probabilities = np.concatenate([probabilities for _, probabilities in splits])
    return Metrics(
        accuracy,
        balanced,
        loss,
        error,
        _roc_auc(splits) if classes == 2 else None,
        tuple(recall_metrics),
        reliability_curve(all_labels, all_probabilities),
        confusion,
    )


def reliability_curve(labels: NDArray[Any], probabilities: NDArray[Any]) -> tuple[ReliabilityPoint, ...]:
    """Confidence and accuracy in 10 equally wide bins of the confidence, the largest probability of a row.

    A bin contains its upper edge, as in Guo et al. (2017) and in scikit-learn's `calibration_curve`.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    return tuple(
        ReliabilityPoint(float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (bins == number for number in range(BINS))
        if inside.any()
    )


def calibration_error(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """The expected calibration error (ECE): the mean over all rows of |accuracy - confidence| of a row's bin.

    With few rows the bins' accuracies scatter, which makes it larger than that of the same network on many rows. Both
    networks of a comparison have the same rows, so the effect is similar in both.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks. ICML 2017, equation 3.
    M. P. Naeini, G. F. Cooper, M. Hauskrecht: Obtaining Well Calibrated Probabilities Using Bayesian Binning.
    AAAI 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop.experiments.evidence.metrics import calibration_error
    >>> round(calibration_error(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]])), 2)
    0.25
    """
    points = reliability_curve(labels, probabilities)
    return sum(point.rows * abs(point.accuracy - point.confidence) for point in points) / len(labels)


def _roc_auc(splits: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Metric:
    """The mean over the splits whose test part has both classes."""
    sklearn = _sklearn_metrics()
    both = [(labels, probabilities) for labels, probabilities in splits if 0 < labels.sum() < len(labels)]
    values = [float(sklearn.roc_auc_score(labels, probabilities[:, 1])) for labels, probabilities in both]
    return Metric(_mean(np.array(values)), sum(len(labels) for labels, _ in both))


def _mean(values: NDArray[np.float64]) -> float:
    """The mean without NaN; NaN if there is nothing else."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _sklearn_metrics() -> Any:
    try:
        import sklearn.metrics
    except ImportError:
        raise missing_package("scikit-learn", "experiments", "metrics") from None
    return sklearn.metrics
