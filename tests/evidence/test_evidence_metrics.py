"""Metrics against scikit-learn called directly, and against small cases worked out by hand."""

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.evidence import Evidence, EvidencePlan
from fastdrop.experiments.evidence.metrics import Metric, calibration_error, metrics_of, reliability_curve


def predictions(classes, rows, seed):
    """Labels, and probabilities that know a little of them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    logits = rng.normal(0, 1.5, (rows, classes)) + 1.5 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3])
def test_one_split_gives_scikit_learns_figures(classes):
    labels, probabilities = predictions(classes, 60, 0)
    predicted = probabilities.argmax(axis=1)
    found = metrics_of([(labels, probabilities)], classes)
    assert found.accuracy == pytest.approx((sk.accuracy_score(labels, predicted), 60))
    assert found.balanced_accuracy == pytest.approx((sk.balanced_accuracy_score(labels, predicted), 60))
    assert found.log_loss == pytest.approx((sk.log_loss(labels, probabilities), 60))
    for label, value in enumerate(sk.recall_score(labels, predicted, average=None)):
        assert found.recall[label] == pytest.approx((value, 60 // classes))
    np.testing.assert_array_equal(found.confusion, sk.confusion_matrix(labels, predicted))
    if classes == 2:
        assert found.roc_auc == pytest.approx((sk.roc_auc_score(labels, probabilities[:, 1]), 60))
    else:
        assert found.roc_auc is None


def test_several_splits_are_averaged_and_confusions_are_added():
    splits = [predictions(2, rows, rows) for rows in (20, 30)]
    single = [metrics_of([split], 2) for split in splits]
    both = metrics_of(splits, 2)
    for name in ("accuracy", "balanced_accuracy", "log_loss", "calibration_error", "roc_auc"):
        assert getattr(both, name).value == pytest.approx(np.mean([getattr(each, name).value for each in single]))
        assert getattr(both, name).rows == 50
    np.testing.assert_array_equal(both.confusion, single[0].confusion + single[1].confusion)
    assert sum(point.rows for point in both.reliability) == 50


def test_a_class_that_is_missing_in_a_test_part():
    """The second split has no row of class 2, but a prediction of it; class 3 is in the training part only."""
    first = (np.array([0, 1, 2, 2]), np.eye(4)[[0, 1, 2, 0]])
    second = (np.array([0, 1, 1]), np.eye(4)[[0, 2, 1]])
    found = metrics_of([first, second], 4)
    assert found.recall[0] == (1.0, 2)
    assert found.recall[1] == (0.75, 3)  # the mean of 1 and 1/2
    assert found.recall[2] == (0.5, 2)  # the first split alone
    assert math.isnan(found.recall[3].value)
    assert found.recall[3].rows == 0
    balanced = []
    for labels, probabilities in (first, second):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of the predicted class without rows
            balanced.append(sk.balanced_accuracy_score(labels, probabilities.argmax(axis=1)))
    assert found.balanced_accuracy.value == pytest.approx(np.mean(balanced))
    assert found.confusion.tolist() == [[2, 0, 0, 0], [0, 2, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_the_roc_curve_needs_both_classes():
    one, two = (np.array([1, 1]), np.array([[0.3, 0.7], [0.6, 0.4]])), predictions(2, 10, 1)
    found = metrics_of([one, two], 2)
    assert found.roc_auc == (pytest.approx(sk.roc_auc_score(two[0], two[1][:, 1])), 10)
    none = metrics_of([one], 2).roc_auc
    assert math.isnan(none.value)
    assert none.rows == 0


def test_calibration_by_hand():
    """Two rows of confidence 0.75, one of them right; one row each of 0.6 and 1.0, both right."""
    labels = np.array([0, 1, 0, 0])
    confidence = np.array([0.75, 0.75, 0.6, 1.0])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    points = reliability_curve(labels, probabilities)
    assert points == ((0.6, 1.0, 1), (0.75, 0.5, 2), (1.0, 1.0, 1))
    assert calibration_error(labels, probabilities) == pytest.approx((0.4 + 2 * 0.25 + 0.0) / 4)


def test_calibration_has_scikit_learns_bins():
    labels, probabilities = predictions(4, 400, 3)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracies, confidences = calibration_curve(right, confidence, n_bins=10, strategy="uniform")
    points = reliability_curve(labels, probabilities)
    assert [point.accuracy for point in points] == pytest.approx(accuracies)
    assert [point.confidence for point in points] == pytest.approx(confidences)


def test_certain_mistakes_have_a_finite_log_loss():
    assert 30 < metrics_of([(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))], 2).log_loss.value * 2 < 40


def evidence_of(made_up, labels, baseline, dropout, **options):
    plan = EvidencePlan(ExperimentConfig(dataset="wine"), 1)
    return Evidence.of(plan, [made_up(labels, baseline, dropout, **options)])


def test_warning_where_the_most_frequent_class_does_as_well(made_up):
    labels = [0] * 9 + [1]
    evidence = evidence_of(made_up, labels, [0] * 10, labels, names="ab")
    assert evidence.majority == Metric(0.9, 10)
    assert evidence.warning.startswith("The baseline is no better than always predicting the most frequent class")
    assert "90.0%" in evidence.warning
    assert "Both networks are no better" in evidence_of(made_up, labels, [0] * 10, [1] * 10, names="ab").warning


def test_warning_where_a_class_is_never_recognised(made_up):
    labels = [0] * 5 + [1] * 4 + [2]
    evidence = evidence_of(made_up, labels, labels, [0] * 5 + [1] * 5)
    assert evidence.warning.startswith("Class 'c' is never recognised by one of the networks.")
    assert evidence_of(made_up, labels, labels, labels).warning == ""


def test_the_majority_is_that_of_the_training_part(made_up):
    assert evidence_of(made_up, [0, 0, 0, 1], [0] * 4, [0] * 4, majority=1).majority == (0.25, 4)
