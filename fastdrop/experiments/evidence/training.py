"""Trains the networks of one split, and chooses the dropout rate on its validation part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends import to_device
from fastdrop.errors import BackendUnavailable
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset
from fastdrop.experiments.errors import ConfigError, DataError
from fastdrop.experiments.evidence.plan import EvidencePlan
from fastdrop.experiments.trainer import Trainer, TrainingDiverged

VALIDATION_FRACTION = 0.2


@dataclass(frozen=True, eq=False)
class Arm:
    """A trained network of a split.

    Attributes
    ----------
    validation, test : numpy.ndarray of float64, shape (rows, classes)
        Predicted probabilities, in evaluation mode.
    train_loss, validation_loss : float
        Mean cross-entropies after the last epoch.
    """

    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    train_loss: float
    validation_loss: float


@dataclass(frozen=True, eq=False)
class SplitResult:
    """The result of a split.

    Attributes
    ----------
    number : int
        Which split, from 0 on.
    rate : float
        The rate that the validation part chose.
    baseline, dropout : Arm
        Without dropout, and with the chosen rate. The predictions of the other rates for the test part are not kept.
    validation_losses : dict of float to float
        The cross-entropy on the validation part by rate; rates that diverged are missing.
    diverged : tuple of float
        Rates whose training diverged.
    validation_labels, test_labels : numpy.ndarray of int, shape (rows,)
        Indices into `class_names`.
    train_rows : int
        Rows of the training part, the validation part included.
    majority : int
        The most frequent class of the training part.
    fixed_test : bool
        Whether all splits have the same test part, in the same order.
    """

    number: int
    rate: float
    baseline: Arm
    dropout: Arm
    validation_losses: dict[float, float]
    diverged: tuple[float, ...]
    validation_labels: NDArray[np.intp]
    test_labels: NDArray[np.intp]
    train_rows: int
    majority: int
    class_names: tuple[str, ...]
    fixed_test: bool = False

    @property
    def difference(self) -> float:
        """Test accuracy with dropout minus that of the baseline."""
        return float(self.row_differences.sum()) / len(self.test_labels)

    @property
    def row_differences(self) -> NDArray[np.intp]:
        """For each test row: 1 where only the network with dropout is right, -1 where only the baseline is, else 0."""
        right = [(arm.test.argmax(axis=1) == self.test_labels).astype(np.intp) for arm in (self.dropout, self.baseline)]
        return right[0] - right[1]


@dataclass(frozen=True)
class FailedSplit:
    """A split without a result: its number, the reason, whether training diverged, and at which rates (0: baseline)."""

    number: int
    error: str
    diverged: tuple[float, ...] = field(default=())


class Parts(NamedTuple):
    """A split's rows to fit on (the training set of `dataset`), and its validation part, then its test part."""

    dataset: Dataset
    validation_rows: int


Look = Callable[[int], None]


def train_split(plan: EvidencePlan, number: int, look: Look = lambda epochs: None) -> SplitResult | FailedSplit:
    """Train all networks of one split.

    The rate with the lowest mean cross-entropy (log loss) on the validation part is chosen; of equal ones the lowest
    rate. The log loss and not the accuracy: on the few validation rows of a small table several rates often have the
    same accuracy. The test part has no influence on the choice.

    Parameters
    ----------
    plan : EvidencePlan
    number : int
        Which split.
    look : callable, optional
        Called after every batch with the number of epochs that are finished, over all networks of the split.
    """
    try:
        return _train_split(plan, number, look)
    except (BackendUnavailable, ConfigError, DataError, OSError) as problem:
        return FailedSplit(number, str(problem) or type(problem).__name__)
    except MemoryError:
        return FailedSplit(number, "there is not enough memory for this network")


def _train_split(plan: EvidencePlan, number: int, look: Look) -> SplitResult | FailedSplit:
    config = plan.split_config(number)
    whole = config.load_dataset()
    parts = hold_out(whole, config.split_seed)
    baseline_config, *configs = plan.trainings(number)
    try:
        baseline = _train(baseline_config, parts, look)
    except TrainingDiverged as problem:
        return FailedSplit(number, f"the baseline diverged: {problem}", (0.0,))
    arms: dict[float, Arm] = {}
    for count, (rate, each) in enumerate(zip(plan.rates, configs, strict=True), start=1):
        before = count * config.epochs
        try:
            arms[rate] = _train(each, parts, look, before)
        except TrainingDiverged:
            look(before + config.epochs)  # its remaining epochs are never trained
    diverged = tuple(rate for rate in plan.rates if rate not in arms)
    if not arms:
        return FailedSplit(number, "training diverged with every dropout rate; lower the learning rate", diverged)
    losses = {rate: arm.validation_loss for rate, arm in arms.items()}
    rate = choose_rate(losses)
    return SplitResult(
        number=number,
        rate=rate,
        baseline=baseline,
        dropout=arms[rate],
        validation_losses=losses,
        diverged=diverged,
        validation_labels=parts.dataset.y_test[: parts.validation_rows],
        test_labels=whole.y_test,
        train_rows=len(whole.y_train),
        majority=int(np.bincount(whole.y_train, minlength=whole.classes).argmax()),
        class_names=whole.class_names,
        fixed_test=bool(getattr(whole, "fixed_test", False)),
    )


def choose_rate(validation_losses: Mapping[float, float]) -> float:
    """The rate with the lowest loss; of equal ones the lowest rate."""
    return min(validation_losses, key=lambda rate: (validation_losses[rate], rate))


def hold_out(dataset: Dataset, split_seed: int) -> Parts:
    """Hold out 20 % of the training part of each class as the validation part, at least one row of each.

    A class with a single row stays in the rows to fit on. Features stay scaled by the whole training part: the test
    part, which judges, has no share in that.

    Raises
    ------
    DataError
        If no class has two training rows.
    """
    rng = np.random.default_rng([split_seed, 2])  # 0 and 1: the trainer's generators of weights and order
    held = np.zeros(len(dataset.y_train), bool)
    for label in range(dataset.classes):
        rows = np.flatnonzero(dataset.y_train == label)
        if len(rows) >= 2:
            count = max(1, int(VALIDATION_FRACTION * len(rows) + 0.5))
            held[rng.permutation(rows)[:count]] = True
    if not held.any():
        raise DataError(f"{dataset.name}: no class has two rows to train on, so none can be held out for validation")
    parts = replace(
        dataset,
        x_train=dataset.x_train[~held],
        y_train=dataset.y_train[~held],
        x_test=np.concatenate([dataset.x_train[held], dataset.x_test]),
        y_test=np.concatenate([dataset.y_train[held], dataset.y_test]),
    )
    return Parts(parts, int(held.sum()))


def _train(config: ExperimentConfig, parts: Parts, look: Look, before: int = 0) -> Arm:
    """A network after its last epoch; `before` epochs of the split were finished already.

    Raises
    ------
    TrainingDiverged
        Also where the last step of all made the outputs infinite, which the trainer has no batch to notice in.
    """
    trainer = Trainer(config, parts.dataset)
    while not trainer.finished:
        trainer.step()
        look(before + len(trainer.history) - 1)
    trainer.network.eval()
    with np.errstate(over="ignore", invalid="ignore"):
        logits = to_device(trainer.network(trainer.data.x_test), "cpu").astype(np.float64)
    if not np.isfinite(logits).all() or not np.isfinite(trainer.history[-1].train_loss):
        raise TrainingDiverged("the network's outputs are not finite: training diverged; lower the learning rate")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probabilities, rows = np.exp(log_probabilities), parts.validation_rows
    right = log_probabilities[np.arange(rows), parts.dataset.y_test[:rows]]
    return Arm(probabilities[:rows], probabilities[rows:], trainer.history[-1].train_loss, float(-right.mean()))
