"""The confidence interval of the difference in accuracy, and the sentence that says what it shows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean difference with its 95 % confidence interval; without one (None), one split cannot tell.

    Attributes
    ----------
    mean : float
    low, high : float or None
        The ends.
    """

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def is_point(self) -> bool:
        """Whether the interval has no width: the differences do not vary, so they say nothing about their error."""
        return self.low is not None and self.low == self.high


def resampled_interval(differences: Sequence[float] | NDArray[Any], test_to_train: float) -> Interval:
    """The corrected resampled t interval of a mean difference over random splits of one table.

    The splits share rows, so their differences are correlated and the interval of the ordinary paired t test is too
    narrow. Nadeau and Bengio replace its variance s²/J by s² (1/J + n_test/n_train), with J - 1 degrees of freedom.
    Where there are more test rows than training rows, that is cautious: the interval is wider than it would have to be.

    Parameters
    ----------
    differences : sequence of float
        One for each of J splits.
    test_to_train : float
        Rows of the test part divided by rows of the training part. The validation part belongs to the training part:
        the correction stands for the overlap of two random test parts of the table, n_test / (n_train + n_test). With
        0, this is the ordinary paired t interval, which is right for splits that share no rows, such as generated data.

    Returns
    -------
    Interval
        Without ends for one split; of no width if all differences are equal.

    References
    ----------
    C. Nadeau, Y. Bengio: Inference for the Generalization Error. Machine Learning 52 (2003), 239-281, section 3.

    Examples
    --------
    >>> from fastdrop.experiments.evidence.statistics import resampled_interval
    >>> mean, low, high = resampled_interval([0.01, 0.03, 0.02], 0.25)
    >>> f"{mean:.3f}, {low:.3f} to {high:.3f}"
    '0.020, -0.013 to 0.053'
    """
    values = np.asarray(differences, float)
    count, mean = len(values), float(values.mean())
    if count < 2:
        return Interval(mean)
    if np.ptp(values) == 0:  # rounding of the mean must not make a variance
        return Interval(float(values[0]), float(values[0]), float(values[0]))
    variance = float(values.var(ddof=1)) * (1 / count + test_to_train)
    return _interval(mean, variance, count - 1)


def fixed_test_interval(row_differences: NDArray[Any]) -> Interval:
    """The interval of a mean difference where all splits are judged by the same test rows.

    The mean over splits and test rows has two sources of error: other seeds and validation parts would give other
    networks, and other test rows would have judged them otherwise. Its variance is estimated as
    s_splits²/J + s_rows²/n, where s_splits² is the variance of the J splits' means, and s_rows² that of the means of
    the n rows. What is left beside these two effects is counted in both, so on average the estimate is a little too
    large. The degrees of freedom are those of Welch and Satterthwaite.

    All networks are trained on rows of the same training file: the interval is about that file, not about others.

    Parameters
    ----------
    row_differences : numpy.ndarray, shape (splits, rows)
        1 where only the network with dropout is right, -1 where only the baseline is, else 0.

    Returns
    -------
    Interval
        Without ends for one split or one row.

    References
    ----------
    F. E. Satterthwaite: An Approximate Distribution of Estimates of Variance Components. Biometrics Bulletin 2 (1946).
    """
    values = np.asarray(row_differences, float)
    splits, rows = values.shape
    mean = float(values.mean())
    if splits < 2 or rows < 2:
        return Interval(mean)
    by_split = _variance(values.mean(axis=1)) / splits
    by_row = _variance(values.mean(axis=0)) / rows
    if by_split + by_row == 0:
        return Interval(mean, mean, mean)
    freedom = (by_split + by_row) ** 2 / (by_split**2 / (splits - 1) + by_row**2 / (rows - 1))
    return _interval(mean, by_split + by_row, freedom)


def _variance(values: NDArray[np.float64]) -> float:
    return 0.0 if np.ptp(values) == 0 else float(values.var(ddof=1))


def _interval(mean: float, variance: float, freedom: float) -> Interval:
    try:
        from scipy.special import stdtrit  # the quantile of t; scipy.stats takes a second to import
    except ImportError:
        raise missing_package("scipy", "experiments", "a confidence interval") from None
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * variance**0.5
    return Interval(mean, mean - half, mean + half)


def verdict(
    interval: Interval, kind: str, rates: Sequence[float], *, chosen: bool = True, same_predictions: bool = False
) -> str:
    """What the splits show, in one sentence.

    Parameters
    ----------
    interval : Interval
        Of the difference in test accuracy, with dropout minus without.
    kind : str
        The kind of dropout.
    rates : sequence of float
        The rate of each finished split.
    chosen : bool
        Whether there were several rates to choose from.
    same_predictions : bool
        Whether both networks predicted the same class for every test row of every split.

    Examples
    --------
    >>> from fastdrop.experiments.evidence.statistics import Interval, verdict
    >>> verdict(Interval(0.013, 0.004, 0.022), "standard", [0.2] * 10)
    'Dropout (standard, p = 0.2 chosen in every split) raised the test accuracy by 1.3 percentage points (95 % confidence interval 0.4 to 2.2, 10 paired splits).'
    """  # noqa: E501
    subject, splits = f"{kind}, {_rate_text(rates, chosen)}", len(rates)
    if interval.low is None or interval.high is None:
        return (
            f"One split cannot tell whether dropout helps: in it, dropout ({subject}) changed the test accuracy by "
            f"{_signed(interval.mean, _decimals(interval.mean))} percentage points."
        )
    if interval.is_point:
        if same_predictions:
            return (
                f"No difference that {splits} splits can show: with dropout ({subject}) and without it, the networks "
                f"predicted alike in all splits."
            )
        if interval.mean == 0:
            return (
                f"No difference that {splits} splits can show: with dropout ({subject}) and without it, the networks "
                f"had the same test accuracy in every split."
            )
        return (
            f"Dropout ({subject}) changed the test accuracy by {_signed(interval.mean, _decimals(interval.mean))} "
            f"percentage points in each of {splits} splits, which is too uniform to give a confidence interval; "
            f"more splits can tell."
        )
    if interval.low > 0 or interval.high < 0:
        word = "raised" if interval.low > 0 else "lowered"
        mean = abs(interval.mean)
        near, far = sorted((abs(interval.low), abs(interval.high)))
        decimals = _decimals(near)
        return (
            f"Dropout ({subject}) {word} the test accuracy by {_points(mean, decimals)} percentage points "
            f"(95 % confidence interval {_points(near, decimals)} to {_points(far, decimals)}, {splits} paired splits)."
        )
    ends = f"{_signed(interval.low, 1)} to {_signed(interval.high, 1)}"
    return (
        f"No difference that {splits} splits can show: dropout ({subject}) changed the test accuracy by "
        f"{_signed(interval.mean, 1)} percentage points (95 % confidence interval {ends})."
    )


def most_chosen(rates: Sequence[float]) -> float:
    """The rate that most splits chose; of equal ones the lowest."""
    counts = Counter(rates)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def _rate_text(rates: Sequence[float], chosen: bool) -> str:
    rate = most_chosen(rates)
    if not chosen or len(rates) == 1:
        return f"p = {rate:g}"
    return f"p = {rate:g} chosen {'in every split' if len(set(rates)) == 1 else 'most often'}"


def _decimals(value: float) -> int:
    """Digits after the point that show a number other than 0 as one: from 1 to 3."""
    shown = (decimals for decimals in (1, 2) if float(f"{100 * value:.{decimals}f}") != 0)
    return 1 if value == 0 else next(shown, 3)


def _points(value: float, decimals: int) -> str:
    return f"{100 * value:.{decimals}f}"


def _signed(value: float, decimals: int) -> str:
    """Percentage points with a sign; 0 has none, whichever side it was rounded from."""
    text = f"{100 * value:+.{decimals}f}"
    return text if float(text) else text[1:]
