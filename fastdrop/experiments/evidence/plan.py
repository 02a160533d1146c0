"""What is trained to answer whether dropout helps: the splits, the baseline and the candidate rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastdrop.experiments.choices import FITTING
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.formats.reading import shown

DEFAULT_SPLITS = 10
MOST_SPLITS = 1000
DEFAULT_RATES = (0.1, 0.2, 0.3, 0.5)
MOST_RATES = 50
SHARES_ROWS = ("digits", "breast-cancer", "wine", "file")
"""Data sets that are one table: its splits share rows. All others are generated anew for every split seed."""
FIXED_WITHOUT_NOISE = ("moons", "circles")
"""Generated data sets that are the same points for every seed where the noise is 0."""


@dataclass(frozen=True)
class EvidencePlan:
    """What to train: in every split the baseline without dropout, and the network with each candidate rate.

    Split i has the configuration's `seed` + i and `split_seed` + i. All networks of a split start from the same weights
    and see the same batches.

    Attributes
    ----------
    config : ExperimentConfig
        With dropout. Its kind and its layers are kept; its rates are replaced by the candidates.
    splits : int
        From 1 to 1000. One split gives no confidence interval.
    rates : sequence of float
        The candidate rates, above 0 and at most 1. With a single one there is nothing to choose.

    Raises
    ------
    ConfigError
        If the configuration has no dropout, or a number is out of range.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> from fastdrop.experiments.evidence import EvidencePlan
    >>> plan = EvidencePlan(ExperimentConfig(dataset="wine"), splits=3, rates=(0.2, 0.5))
    >>> [(each.dropout, each.rate, each.split_seed) for each in plan.trainings(2)]
    [('none', 0.5, 2), ('standard', 0.2, 2), ('standard', 0.5, 2)]
    >>> plan.training_count
    9
    """

    config: ExperimentConfig
    splits: int = DEFAULT_SPLITS
    rates: Sequence[float] = DEFAULT_RATES

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", _checked_rates(self.rates))
        if isinstance(self.splits, bool) or not isinstance(self.splits, int) or not 1 <= self.splits <= MOST_SPLITS:
            raise ConfigError(f"splits must be a whole number from 1 to {MOST_SPLITS}; got {shown(self.splits)}")
        if not self.config.drops:
            raise _without_dropout(self.config)
        for rate in self.rates:
            self.config.with_rate(rate)
        self.split_config(self.splits - 1)  # the largest seeds

    def split_config(self, number: int) -> ExperimentConfig:
        """The configuration of a split: another random seed, and another split seed."""
        return self.config.replace(seed=self.config.seed + number, split_seed=self.config.split_seed + number)

    def trainings(self, number: int) -> tuple[ExperimentConfig, ...]:
        """The configurations that a split trains: the baseline, then one for each of `rates`."""
        config = self.split_config(number)
        return config.without_dropout(), *(config.with_rate(rate) for rate in self.rates)

    @property
    def training_count(self) -> int:
        """Number of networks in all splits."""
        return self.splits * (1 + len(self.rates))

    @property
    def epochs_per_split(self) -> int:
        """Epochs of all networks of one split."""
        return self.config.epochs * (1 + len(self.rates))

    @property
    def kind(self) -> str:
        """The kinds of dropout, as text: mostly one."""
        return ", ".join(dict.fromkeys(kind for kind in self.config.kinds if kind != "none"))

    @property
    def splits_share_rows(self) -> bool:
        """Whether a row may be in the training part of one split and in the test part of another.

        False where every split seed generates new data: such splits are independent of each other.
        """
        config = self.config
        return config.dataset in SHARES_ROWS or (config.dataset in FIXED_WITHOUT_NOISE and config.noise == 0)


def _checked_rates(rates: Any) -> tuple[float, ...]:
    if isinstance(rates, str | bytes):
        raise ConfigError(f"rates must be a list of numbers, such as (0.1, 0.3); got {shown(rates)}", "rate")
    try:
        given = tuple(rates)
    except TypeError:
        raise ConfigError(f"rates must be a list of numbers, such as (0.1, 0.3); got {shown(rates)}", "rate") from None
    if not 1 <= len(given) <= MOST_RATES:
        raise ConfigError(f"there must be from 1 to {MOST_RATES} candidate rates; got {len(given)}", "rate")
    checked = []
    for rate in given:
        if isinstance(rate, bool | str) or not hasattr(rate, "__float__") or not 0 < float(rate) <= 1:
            raise ConfigError(
                f"a candidate rate must be a number above 0 and at most 1; got {shown(rate)}. "
                "Rate 0 is the baseline, which is always trained",
                "rate",
            )
        checked.append(float(rate))
    if len(set(checked)) < len(checked):
        raise ConfigError("a candidate rate is given twice; remove one of the two", "rate")
    return tuple(checked)


def _without_dropout(config: ExperimentConfig) -> ConfigError:
    """The error for a configuration in which nothing is dropped."""
    kinds = [kind for kind in FITTING[config.network] if kind != "none"]
    if not kinds:
        return ConfigError(
            f"network {config.network} supports no dropout, so there is nothing to compare; choose another network",
            "network",
        )
    return ConfigError(
        "the configuration has no dropout, so there is nothing to compare with the baseline; "
        f"choose a kind for a layer: {', '.join(kinds)}",
        "dropout",
    )
