"""Study 11: Monte Carlo dropout as a measure of uncertainty."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import trained
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOONS = ExperimentConfig(dataset="moons", hidden=(128, 128), rate=0.2, epochs=150)
_DIGITS = ExperimentConfig(dataset="digits", train_fraction=0.1, hidden=(256, 128), rate=0.5, epochs=100)
_SAMPLES = 100
_EDGE, _CELLS = 6.0, 81
_NEAR, _FAR = 0.25, 4.0
"""Distances to the nearest training point, in standard deviations of the data."""
_RATES = (0.2, 0.5)
"""The dropout rates whose calibration is judged."""
_KEPT = np.linspace(0.5, 1.0, 26)


class Plane(NamedTuple):
    """Over a grid of the plane: the mean probability of class 1, mutual information, the entropy of one pass.

    `near` and `far` are the means of the last two within a quarter of a standard deviation of the data and beyond 4.
    """

    probability: NDArray[Any]
    information: NDArray[Any]
    plain_entropy: NDArray[np.float64]
    points: NDArray[np.float32]
    labels: NDArray[np.intp]
    near: tuple[float, float]
    far: tuple[float, float]


def plane_of(config: ExperimentConfig) -> Plane:
    """Train on the moons, then predict the plane around them."""
    done = trained(config)
    line = np.linspace(-_EDGE, _EDGE, _CELLS, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    result = nn.mc_dropout(done.network, grid, _SAMPLES, rng=config.seed)
    plain = nn.softmax(done.network.eval().forward(grid).astype(np.float64))
    plain_entropy = -(plain * np.log(np.maximum(plain, 1e-300))).sum(axis=1)
    points = done.dataset.x_train
    away = np.sqrt(((grid[:, None] - points[None]) ** 2).sum(axis=-1)).min(axis=1)
    assert result.predictive_entropy is not None
    assert result.mutual_information is not None
    square = (_CELLS, _CELLS)
    return Plane(
        result.mean[:, 1].reshape(square),
        result.mutual_information.reshape(square),
        plain_entropy.reshape(square),
        points,
        done.dataset.y_train,
        (float(result.mutual_information[away < _NEAR].mean()), float(plain_entropy[away < _NEAR].mean())),
        (float(result.mutual_information[away > _FAR].mean()), float(plain_entropy[away > _FAR].mean())),
    )


class Rejection(NamedTuple):
    """On digits, for Monte Carlo and one pass: accuracy of the surest fraction, bins of confidence, calibration."""

    curves: NDArray[np.float64]
    reliability: NDArray[np.float64]
    error: tuple[float, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]


def rejection_of(config: ExperimentConfig) -> Rejection:
    """Train on few digits; reject the least sure of the test set, by predictive entropy."""
    done = trained(config)
    data = done.dataset
    result = nn.mc_dropout(done.network, data.x_test, _SAMPLES, rng=config.seed)
    plain = nn.softmax(done.network.eval().forward(data.x_test).astype(np.float64))
    curves, reliability, errors, losses, accuracies = [], [], [], [], []
    for mean in (result.mean, plain):
        right = mean.argmax(axis=1) == data.y_test
        curves.append(kept_accuracy(mean, right))
        bins, error = calibration(mean.max(axis=1), right)
        reliability.append(bins)
        errors.append(error)
        losses.append(float(-np.log(np.maximum(mean[np.arange(len(right)), data.y_test], 1e-300)).mean()))
        accuracies.append(float(right.mean()))
    return Rejection(np.array(curves), np.array(reliability), tuple(errors), tuple(losses), tuple(accuracies))


def kept_accuracy(mean: NDArray[Any], right: NDArray[np.bool_]) -> list[float]:
    """Accuracy of the kept examples for every fraction kept, where those of highest entropy are rejected."""
    entropy = -(mean * np.log(np.maximum(mean, 1e-300))).sum(axis=1)
    surest = right[np.argsort(entropy, kind="stable")]
    return [float(surest[: max(1, round(fraction * len(right)))].mean()) for fraction in _KEPT]


def calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Ten bins of confidence: its mean, accuracy and count in each; and the expected calibration error.

    Guo, Pleiss, Sun, Weinberger: "On calibration of modern neural networks", ICML 2017, equation 3.
    """
    place = np.minimum((confidence * 10).astype(int), 9)
    counts = np.bincount(place, minlength=10)
    sums = [np.bincount(place, weights=values, minlength=10) for values in (confidence, right.astype(float))]
    bins = np.array([*(np.where(counts > 0, total / np.maximum(counts, 1), np.nan) for total in sums), counts])
    return bins, float(np.abs(sums[0] - sums[1]).sum() / counts.sum())


def monte_carlo(runner: StudyRunner) -> Finding:
    """Study 11."""
    planes = runner.map(plane_of, [runner.shorten(_MOONS.replace(seed=seed)) for seed in runner.seeds(5)])
    seeds = runner.seeds(20)
    groups = runner.map_variants(rejection_of, {rate: _DIGITS.replace(rate=rate) for rate in _RATES}, seeds)
    found = groups[0.5]
    curves = np.stack([one.curves for one in found])
    errors = {rate: np.array([one.error for one in group]) for rate, group in groups.items()}
    losses = {rate: np.array([one.loss for one in group]) for rate, group in groups.items()}
    accuracies = {rate: np.array([one.accuracy for one in group]) for rate, group in groups.items()}
    near, far = np.array([one.near for one in planes]), np.array([one.far for one in planes])
    tenth = int(np.argmin(np.abs(_KEPT - 0.9)))
    rejected = Estimate.of(curves[:, 0, tenth] - curves[:, 0, -1])
    calibrated = {rate: Estimate.of(error[:, 1] - error[:, 0]) for rate, error in errors.items()}
    bins = np.array([one.reliability[0] for one in found])
    confidence = float(np.nansum(bins[:, 0] * bins[:, 2]) / bins[:, 2].sum())
    unsure = float(np.mean([(one.information > 0.01).mean() for one in planes]))
    rows = [
        _row("moons: mean uncertainty near the data", near),
        _row("moons: mean uncertainty far away", far),
        _row("digits, p = 0.5: a tenth rejected, accuracy", curves[:, :, tenth]),
    ]
    for rate in _RATES:
        rows.append(_row(f"digits, p = {rate}: test accuracy", accuracies[rate]))
        rows.append(_row(f"digits, p = {rate}: test loss", losses[rate]))
        rows.append(_row(f"digits, p = {rate}: calibration error", errors[rate]))
    return Finding(
        parts={
            "uncertainty grows": judged(Estimate.of(far[:, 0] - near[:, 0]), 0),
            "rejection raises accuracy": judged(rejected, ACCURACY),
            **{f"better calibrated at p = {rate}": judged(gain, ACCURACY) for rate, gain in calibrated.items()},
        },
        sentence=f"Mean mutual information is {Estimate.of(near[:, 0])} nats at the moons and "
        f"{Estimate.of(far[:, 0])} far away, but not in every direction: only {unsure:.0%} of the plane exceed 0.01. "
        f"Rejecting the least sure tenth of the digits raises accuracy by {rejected.interval()}. The expected "
        "calibration error falls by "
        + " and ".join(f"{gain.interval()} at p = {rate}" for rate, gain in calibrated.items())
        + f". At p = 0.5 its mean confidence is {confidence:.3f} where accuracy is {accuracies[0.5][:, 0].mean():.3f}.",
        columns=["", "Monte Carlo", "one pass"],
        rows=rows,
        figure=_picture(planes[0], groups, curves),
        data={
            "accuracy of the kept": numbers(curves),
            "calibration error": {str(rate): numbers(error) for rate, error in errors.items()},
            "loss": {str(rate): numbers(loss) for rate, loss in losses.items()},
            "near": numbers(near),
            "far": numbers(far),
        },
        exact={"share kept": numbers(_KEPT)},
    )


def _row(title: str, values: NDArray[np.float64]) -> list[str]:
    """A row of the table; `values` is (seeds, 2): Monte Carlo, one pass."""
    return [title, *(f"{Estimate.of(values[:, column])}" for column in (0, 1))]


def _picture(plane: Plane, groups: dict[float, list[Rejection]], curves: NDArray[np.float64]) -> "Figure":
    """The plane around the moons; rejection and calibration on digits, `groups` by rate."""
    figure, axes = panels("Monte Carlo dropout", 3, 2)
    _draw_plane(figure, axes[0], plane)
    for place, (name, color) in enumerate((("Monte Carlo", COLORS[0]), ("one pass", COLORS[1]))):
        band(axes[1, 0], 1 - _KEPT, curves[:, place], name, color)
        for rate, style in zip(_RATES, ("--", "-"), strict=True):
            bins = np.array([one.reliability[place] for one in groups[rate]])
            counts = bins[:, 2].sum(axis=0)
            used = counts >= 20
            pooled = [np.nansum(bins[:, row] * bins[:, 2], axis=0) / np.maximum(counts, 1) for row in (0, 1)]
            axes[1, 1].plot(pooled[0][used], pooled[1][used], f"o{style}", color=color, label=f"{name}, p = {rate}")
    axes[1, 1].plot([0, 1], [0, 1], ":", color="grey")
    dots(
        axes[1, 2],
        [np.array([one.error[place] for one in groups[rate]]) for rate in _RATES for place in (0, 1)],
        [f"{name}\np = {rate}" for rate in _RATES for name in ("Monte Carlo", "one pass")],
        COLORS[:2] * 2,
    )
    label(axes[1, 0], "fraction rejected, least sure first", "accuracy of the others", "digits, p = 0.5: rejection")
    label(axes[1, 1], "confidence", "accuracy", "digits: calibration")
    label(axes[1, 2], "", "expected calibration error", "every seed")
    axes[1, 0].legend(fontsize=8)
    axes[1, 1].legend(fontsize=8)
    return figure


def _draw_plane(figure: "Figure", axes: Any, plane: Plane) -> None:
    """Probability, mutual information and entropy over the plane, with the training points."""
    extent = (-_EDGE, _EDGE, -_EDGE, _EDGE)
    for axis, values, title, colors in (
        (axes[0], plane.probability, "probability of the orange moon", "PuOr_r"),
        (axes[1], plane.information, "mutual information (nats)", "viridis"),
        (axes[2], plane.plain_entropy, "entropy of one pass (nats)", "viridis"),
    ):
        image = axis.imshow(values, extent=extent, origin="lower", cmap=colors, interpolation="bilinear")
        figure.colorbar(image, ax=axis, shrink=0.8)
        for kind, color in enumerate(("#cbb8ff", "#ffc46b")):  # lighter than the planes, with a dark edge
            points = plane.points[plane.labels == kind].T
            axis.plot(*points, "o", color=color, markersize=2.5, markeredgecolor="black", markeredgewidth=0.4)
        axis.grid(visible=False)
        label(axis, "x", "y", title)


STUDIES = [
    Study(
        "monte-carlo",
        "Monte Carlo dropout",
        "Uncertainty grows away from the data; rejecting the uncertain raises accuracy; probabilities are better "
        "calibrated than those of one pass.",
        f"{_SAMPLES} samples. Moons, 128 + 128 hidden units, p = 0.2, 5 seeds: the plane around them, with the "
        "distance to the nearest training point. Digits, 179 to train on, 256 + 128 hidden units, p = 0.2 "
        "and 0.5, 20 seeds.",
        {"moons": _MOONS, "digits": _DIGITS},
        monte_carlo,
        18,
    )
]
