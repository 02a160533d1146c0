"""Confidence intervals against numbers worked out by hand, against SciPy and in simulations; the sentences."""

import numpy as np
import pytest
from scipy import stats

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.evidence import Evidence, EvidencePlan, summary
from fastdrop.experiments.evidence.statistics import (
    Interval,
    fixed_test_interval,
    most_chosen,
    resampled_interval,
    verdict,
)


def test_corrected_interval_by_hand():
    # mean 0.02, s² = 0.0001, variance 0.0001 (1/3 + 1/4), t(0.975; 2) = 4.302653
    interval = resampled_interval([0.01, 0.03, 0.02], 0.25)
    assert interval.mean == pytest.approx(0.02)
    assert (interval.low, interval.high) == pytest.approx((0.02 - 0.0328624, 0.02 + 0.0328624), abs=1e-6)


def test_without_shared_rows_it_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    with_dropout, baseline = rng.normal(0.9, 0.02, (2, 12))
    expected = stats.ttest_rel(with_dropout, baseline).confidence_interval(0.95)
    interval = resampled_interval(with_dropout - baseline, 0.0)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_one_split_has_no_interval_and_equal_ones_have_no_width():
    assert resampled_interval([0.1], 0.25) == Interval(0.1, None, None)
    assert resampled_interval([0.0, 0.0], 0.25) == Interval(0.0, 0.0, 0.0)
    assert resampled_interval([0.1] * 7, 0.25) == Interval(0.1, 0.1, 0.1)  # 0.7 / 7 is not 0.1
    assert resampled_interval([0.1] * 7, 0.25).is_point


def test_fixed_test_interval_by_hand():
    # splits' means 1/4 and 1/2: s² = 1/32, over 2 splits 1/64; rows' means 1, 1/2, 0, 0: s² = 11/48, over 4 rows 11/192
    interval = fixed_test_interval(np.array([[1, 0, 0, 0], [1, 1, 0, 0]]))
    by_split, by_row = 1 / 64, 11 / 192
    freedom = (by_split + by_row) ** 2 / (by_split**2 / 1 + by_row**2 / 3)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(by_split + by_row)
    assert interval.mean == 0.375
    assert (interval.low, interval.high) == pytest.approx((0.375 - half, 0.375 + half))


def test_fixed_test_interval_at_its_limits():
    assert fixed_test_interval(np.array([[1, 0]])).low is None
    assert fixed_test_interval(np.array([[1], [0]])).low is None
    assert fixed_test_interval(np.zeros((3, 5))) == Interval(0.0, 0.0, 0.0)
    # equal splits: only the rows vary, and it is SciPy's interval over rows
    rows = np.array([1, 0, 0, -1, 0, 1, 1, 0])
    expected = stats.ttest_1samp(rows, 0).confidence_interval(0.95)
    interval = fixed_test_interval(np.stack([rows, rows, rows]))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def misses(intervals):
    """The fraction of intervals without 0, the true mean."""
    return np.mean([interval.low > 0 or interval.high < 0 for interval in intervals])


def test_in_splits_that_share_rows_only_the_corrected_interval_is_wide_enough():
    """Two classifiers that are equally good: each row has a difference of mean 0, whatever was trained on."""
    rng = np.random.default_rng(1)
    tables = rng.standard_normal((600, 100))
    splits = [[table[rng.permutation(100)[:20]].mean() for _ in range(10)] for table in tables]
    assert misses([resampled_interval(values, 20 / 80) for values in splits]) == pytest.approx(0.05, abs=0.025)
    assert misses([resampled_interval(values, 0.0) for values in splits]) > 0.2  # naive: four times as often as it says


def test_with_a_fixed_test_set_the_interval_covers_seeds_and_rows():
    """Effects of splits, of rows and of both; each can dominate."""
    rng = np.random.default_rng(2)
    for split_effect, row_effect in ((0.0, 1.0), (0.3, 0.0), (0.2, 1.0)):
        intervals = []
        for _ in range(300):
            values = rng.standard_normal((8, 40))
            values += split_effect * rng.standard_normal((8, 1)) + row_effect * rng.standard_normal((1, 40))
            intervals.append(fixed_test_interval(values))
        assert misses(intervals) < 0.08


def of_both_kinds(made_up):
    """Made-up results whose differences are 0.2, 0 and 0.4, of a table and of generated data."""
    labels, wrong = [0, 0, 1, 1, 2], [1, 1, 1, 1, 2]
    right = [[0, 1, 1, 1, 2], wrong, labels]
    results = [made_up(labels, wrong, each, number=number) for number, each in enumerate(right)]
    return [Evidence.of(EvidencePlan(ExperimentConfig(dataset=name), 3), results).interval for name in ("wine", "xor")]


def check_correction(made_up):
    table, generated = of_both_kinds(made_up)
    half = stats.t.ppf(0.975, 2) * 0.2
    assert table == pytest.approx((0.2, 0.2 - half * np.sqrt(1 / 3 + 5 / 8), 0.2 + half * np.sqrt(1 / 3 + 5 / 8)))
    assert generated == pytest.approx((0.2, 0.2 - half * np.sqrt(1 / 3), 0.2 + half * np.sqrt(1 / 3)))


def test_evidence_corrects_where_splits_share_rows(made_up):
    check_correction(made_up)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_another_correction_is_noticed(made_up, monkeypatch, ratio):
    monkeypatch.setattr(summary, "resampled_interval", lambda values, _: resampled_interval(values, ratio))
    with pytest.raises(AssertionError):
        check_correction(made_up)


RATES = [0.2] * 6 + [0.5] * 4
SENTENCES = [
    (
        Interval(0.013, 0.004, 0.022),
        (
            "Dropout (standard, p = 0.2 chosen most often) raised the test accuracy by 1.3 percentage points "
            "(95 % confidence interval 0.4 to 2.2, 10 paired splits)."
        ),
    ),
    (
        Interval(-0.013, -0.022, -0.004),
        (
            "Dropout (standard, p = 0.2 chosen most often) lowered the test accuracy by 1.3 percentage points "
            "(95 % confidence interval 0.4 to 2.2, 10 paired splits)."
        ),
    ),
    (
        Interval(0.0021, 0.0002, 0.004),  # 0.0 would look like no difference
        (
            "Dropout (standard, p = 0.2 chosen most often) raised the test accuracy by 0.21 percentage points "
            "(95 % confidence interval 0.02 to 0.40, 10 paired splits)."
        ),
    ),
    (
        Interval(0.002, -0.009, 0.013),
        (
            "No difference that 10 splits can show: dropout (standard, p = 0.2 chosen most often) changed the test "
            "accuracy by +0.2 percentage points (95 % confidence interval -0.9 to +1.3)."
        ),
    ),
    (
        Interval(0.0065, 0.0, 0.013),  # 0 is inside
        (
            "No difference that 10 splits can show: dropout (standard, p = 0.2 chosen most often) changed the test "
            "accuracy by +0.7 percentage points (95 % confidence interval 0.0 to +1.3)."
        ),
    ),
    (
        Interval(-0.0001, -0.0102, 0.01),
        (
            "No difference that 10 splits can show: dropout (standard, p = 0.2 chosen most often) changed the test "
            "accuracy by 0.0 percentage points (95 % confidence interval -1.0 to +1.0)."
        ),
    ),
    (
        Interval(0.0, 0.0, 0.0),
        (
            "No difference that 10 splits can show: with dropout (standard, p = 0.2 chosen most often) and without it, "
            "the networks had the same test accuracy in every split."
        ),
    ),
    (
        Interval(0.01, 0.01, 0.01),
        (
            "Dropout (standard, p = 0.2 chosen most often) changed the test accuracy by +1.0 percentage points in each "
            "of 10 splits, which is too uniform to give a confidence interval; more splits can tell."
        ),
    ),
]


@pytest.mark.parametrize(("interval", "sentence"), SENTENCES)
def test_sentences(interval, sentence):
    assert verdict(interval, "standard", RATES) == sentence


def test_sentences_of_special_cases():
    assert verdict(Interval(0.0, 0.0, 0.0), "alpha", [0.5] * 3, chosen=False, same_predictions=True) == (
        "No difference that 3 splits can show: with dropout (alpha, p = 0.5) and without it, the networks predicted "
        "alike in all splits."
    )
    assert verdict(Interval(0.5), "alpha", [0.5]) == (
        "One split cannot tell whether dropout helps: in it, dropout (alpha, p = 0.5) changed the test accuracy by "
        "+50.0 percentage points."
    )
    assert "p = 0.5 chosen in every split" in verdict(Interval(0.5, 0.4, 0.6), "alpha", [0.5, 0.5])
    assert most_chosen([0.5, 0.1, 0.5, 0.1, 0.9]) == 0.1


def test_a_sentence_says_no_more_than_the_predictions(made_up):
    """Equal accuracies by other predictions are not equal predictions."""
    plan = EvidencePlan(ExperimentConfig(dataset="wine"), 2)
    same = [made_up([0, 1, 2], [0, 1, 1], [0, 1, 1], number=number) for number in range(2)]
    other = [made_up([0, 1, 2], [0, 1, 1], [0, 0, 2], number=number) for number in range(2)]
    assert "predicted alike in all splits" in Evidence.of(plan, same).sentence
    assert "had the same test accuracy in every split" in Evidence.of(plan, other).sentence


def test_fewer_splits_than_planned_are_counted(made_up):
    plan = EvidencePlan(ExperimentConfig(dataset="wine"), 10)
    labels, wrong = [0, 0, 1, 1], [1, 1, 0, 0]
    results = [made_up(labels, wrong, wrong, number=3), made_up(labels, wrong, [0, 1, 0, 0], number=1)]
    evidence = Evidence.of(plan, results)
    assert "No difference that 2 splits can show" in evidence.sentence
    assert [result.number for result in evidence.results] == [1, 3]
    assert evidence.differences.tolist() == [0.25, 0.0]
    assert evidence.notes == ("8 of 10 splits were not finished.",)
    with pytest.raises(ValueError, match="before the first split"):
        Evidence.of(plan, [])


def test_a_fixed_test_set_is_judged_by_splits_and_rows(made_up):
    labels, wrong = [0, 0, 1, 1], [1, 1, 0, 0]
    right = ([0, 1, 0, 0], [0, 0, 0, 0])
    results = [made_up(labels, wrong, each, number=number, fixed=True) for number, each in enumerate(right)]
    interval = Evidence.of(EvidencePlan(ExperimentConfig(dataset="wine"), 2), results).interval
    assert interval == fixed_test_interval(np.array([[1, 0, 0, 0], [1, 1, 0, 0]]))
