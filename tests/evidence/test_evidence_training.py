"""The plan, and one split: what is held out, what chooses the rate, what happens when training diverges."""

from dataclasses import replace

import numpy as np
import pytest
from experimenttools import SMALL

from fastdrop.experiments import DATASETS, ConfigError, DataError, Dataset, ExperimentConfig, Trainer, TrainingDiverged
from fastdrop.experiments.choices import FITTING
from fastdrop.experiments.evidence import Evidence, EvidencePlan, FailedSplit, SplitResult, training
from fastdrop.experiments.evidence.plan import FIXED_WITHOUT_NOISE, MOST_SPLITS
from fastdrop.experiments.evidence.training import choose_rate, hold_out, train_split


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"dropout": "none"}, {}, "has no dropout.*choose a kind for a layer: standard, gaussian"),
        ({"layer_dropout": ("none",)}, {}, "has no dropout"),
        ({}, {"splits": 0}, f"whole number from 1 to {MOST_SPLITS}; got 0"),
        ({}, {"splits": MOST_SPLITS + 1}, f"got {MOST_SPLITS + 1}"),
        ({}, {"splits": 2.5}, "whole number"),
        ({}, {"splits": True}, "whole number"),
        ({}, {"rates": ()}, "from 1 to 50 candidate rates; got 0"),
        ({}, {"rates": (0.0, 0.5)}, "above 0 and at most 1; got 0.0. Rate 0 is the baseline"),
        ({}, {"rates": (1.1,)}, "at most 1; got 1.1"),
        ({}, {"rates": (float("nan"),)}, "got nan"),
        ({}, {"rates": ("half",)}, "got 'half'"),
        ({}, {"rates": "0.5"}, "must be a list of numbers"),
        ({}, {"rates": 0.5}, "must be a list of numbers"),
        ({}, {"rates": (0.5, 0.5)}, "given twice"),
        ({"dropout": "gaussian"}, {"rates": (0.5, 1.0)}, "below 1 with gaussian"),
        ({"split_seed": 2**32 - 2}, {"splits": 3}, "split_seed"),
    ],
)
def test_invalid_plans(changes, options, words):
    with pytest.raises(ConfigError, match=words):
        EvidencePlan(SMALL.replace(**changes), **options)


def test_a_network_without_any_kind_of_dropout_is_refused(monkeypatch):
    monkeypatch.setitem(FITTING, "mlp", ("none",))
    with pytest.raises(ConfigError, match=r"network mlp supports no dropout.*choose another network"):
        EvidencePlan(SMALL.replace(dropout="none"))


def test_the_trainings_of_a_split():
    config = SMALL.replace(hidden=(8, 8), layer_dropout=("gaussian", "none"), layer_rates=(0.7, 0.1), seed=5)
    plan = EvidencePlan(config, splits=3, rates=[0.5, 0.25])
    baseline, *others = plan.trainings(2)
    assert not baseline.drops
    assert [each.kinds for each in others] == [("gaussian", "none")] * 2
    assert [each.rates for each in others] == [(0.5, 0.5), (0.25, 0.25)]
    assert {(each.seed, each.split_seed) for each in (baseline, *others)} == {(7, 2)}
    assert (plan.training_count, plan.epochs_per_split, plan.kind) == (9, 6, "gaussian")


@pytest.mark.parametrize("name", DATASETS)
def test_which_data_sets_share_rows_between_splits(name):
    config = ExperimentConfig(
        dataset=name, network="text" if DATASETS[name].words else "mlp", hidden=(8, 8), dropout="standard"
    )
    for noise in (0.2, 0.0) if name in FIXED_WITHOUT_NOISE else (0.2,):
        config = config.replace(noise=noise)
        rows = []
        for number in range(2):
            data = EvidencePlan(config).split_config(number).load_dataset()
            everything = data.unscaled(np.concatenate([data.x_train, data.x_test]))
            rows.append({tuple(row) for row in np.round(everything, 2).tolist()})
        shared = len(rows[0] & rows[1]) / len(rows[0])
        assert (shared > 0.9) if EvidencePlan(config).splits_share_rows else (shared < 0.1)  # reviews repeat by chance


def dataset_with(y_train):
    y_train = np.array(y_train)
    x = np.arange(len(y_train), dtype=np.float32)[:, None]
    return Dataset("made up", x, y_train, x[:1], y_train[:1], ("x",), tuple("abcd"))


def test_a_validation_part_has_a_fifth_of_each_class():
    data = dataset_with([0] * 50 + [1] * 8 + [2] * 2 + [3])
    parts = hold_out(data, 0)
    held = parts.dataset.y_test[: parts.validation_rows]
    assert np.bincount(held, minlength=4).tolist() == [10, 2, 1, 0]  # a single row stays in the rows to fit on
    rows = np.concatenate([parts.dataset.x_train, parts.dataset.x_test[: parts.validation_rows]])
    assert sorted(rows[:, 0]) == sorted(data.x_train[:, 0])
    np.testing.assert_array_equal(parts.dataset.x_test[parts.validation_rows :], data.x_test)
    np.testing.assert_array_equal(hold_out(data, 0).dataset.x_test, parts.dataset.x_test)
    assert not np.array_equal(hold_out(data, 1).dataset.x_test, parts.dataset.x_test)


def test_nothing_to_hold_out():
    with pytest.raises(DataError, match="no class has two rows"):
        hold_out(dataset_with([0, 1, 2]), 0)


def test_the_lowest_loss_is_chosen_and_of_equal_ones_the_lowest_rate():
    assert choose_rate({0.1: 0.3, 0.5: 0.2, 0.2: 0.25}) == 0.5
    assert choose_rate({0.5: 0.2, 0.2: 0.2, 0.3: 0.2}) == 0.2


def test_a_split_trains_what_the_trainer_trains(plan):
    seen = []
    result = train_split(plan, 1, seen.append)
    assert isinstance(result, SplitResult)
    data = plan.split_config(1).load_dataset()
    parts = hold_out(data, 1)
    losses = {}
    for config in plan.trainings(1):
        trainer = Trainer(config, parts.dataset)
        last = list(trainer.run())[-1].latest
        logits = trainer.network(trainer.data.x_test).astype(float)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        arm = result.dropout if config.drops else result.baseline
        if not config.drops or config.rate == result.rate:
            np.testing.assert_allclose(arm.validation, probabilities[: parts.validation_rows])
            np.testing.assert_allclose(arm.test, probabilities[parts.validation_rows :])
            assert arm.train_loss == last.train_loss
        if config.drops:
            right = probabilities[np.arange(parts.validation_rows), parts.dataset.y_test[: parts.validation_rows]]
            losses[config.rate] = -np.log(right).mean()
    assert result.validation_losses == pytest.approx(losses)
    assert result.rate == min(losses, key=losses.get)
    right, wrong = ((arm.test.argmax(axis=1) == data.y_test).mean() for arm in (result.dropout, result.baseline))
    assert result.difference == pytest.approx(right - wrong)
    assert result.row_differences.sum() == round(len(data.y_test) * (right - wrong))
    assert seen == sorted(seen)
    assert seen[-1] == plan.epochs_per_split


def scrambled(dataset, config):
    """The same training part, and a test part that says the opposite."""
    return replace(dataset, y_test=(dataset.y_test + 1) % dataset.classes, x_test=-dataset.x_test)


def check_choice_ignores_the_test_part(plan, changed_data):
    def choices():
        return [(each.rate, each.validation_losses) for each in (train_split(plan, number) for number in range(4))]

    before = choices()
    changed_data(scrambled)
    assert choices() == before


def test_the_choice_ignores_the_test_part(changed_data):
    plan = EvidencePlan(SMALL.replace(dataset="wine"), splits=4, rates=(0.2, 0.5, 0.8))
    check_choice_ignores_the_test_part(plan, changed_data)


def test_a_choice_by_the_test_part_is_noticed(changed_data, monkeypatch):
    def peeking(dataset, seed):
        """Takes the test part as the validation part."""
        return training.Parts(
            replace(dataset, x_test=np.tile(dataset.x_test, (2, 1)), y_test=np.tile(dataset.y_test, 2)),
            len(dataset.y_test),
        )

    monkeypatch.setattr(training, "hold_out", peeking)
    with pytest.raises(AssertionError):
        test_the_choice_ignores_the_test_part(changed_data)


@pytest.fixture
def diverging(monkeypatch):
    """A function that has the training of some rates diverge; 0 is the baseline."""

    def diverge(*rates):
        class Diverging(Trainer):
            def step(self):
                if (self.config.rate if self.config.drops else 0.0) in rates and self.step_count == 3:
                    raise TrainingDiverged("the loss is nan")
                super().step()

        monkeypatch.setattr(training, "Trainer", Diverging)

    return diverge


def test_a_rate_that_diverges_is_no_candidate(plan, diverging):
    fine = [train_split(plan, number) for number in range(2)]
    diverging(fine[0].rate)
    seen = []
    results = [train_split(plan, number, seen.append) for number in range(2)]
    (other,) = {0.2, 0.5} - {fine[0].rate}
    assert [each.rate for each in results] == [other, other]
    assert results[0].diverged == (fine[0].rate,)
    assert results[0].validation_losses == {other: fine[0].validation_losses[other]}
    assert seen[-1] == plan.epochs_per_split
    (note,) = Evidence.of(plan, results).notes
    assert note == f"Training with p = {fine[0].rate:g} diverged in 2 splits; it was no candidate there."


def test_a_split_whose_baseline_diverges_has_no_result(plan, diverging):
    fine = train_split(plan, 0)
    diverging(0.0)
    failed = train_split(plan, 1)
    assert failed == FailedSplit(1, "the baseline diverged: the loss is nan", (0.0,))
    evidence = Evidence.of(plan, [fine], [failed])
    assert "One split cannot tell" in evidence.sentence
    assert evidence.notes == ("1 of 2 splits have no result and are left out: the baseline diverged: the loss is nan",)
    diverging(0.2, 0.5)
    assert train_split(plan, 0).diverged == (0.2, 0.5)
    assert "with every dropout rate" in train_split(plan, 0).error


def test_a_huge_learning_rate_diverges():
    config = SMALL.replace(dataset="wine", optimizer="sgd", learning_rate=100.0, batch_size=16, hidden=(64, 64))
    assert train_split(EvidencePlan(config), 0).diverged == (0.0,)


def test_weights_that_the_last_step_made_infinite_diverge(plan, monkeypatch):
    class Last(Trainer):
        def step(self):
            super().step()
            if self.finished and self.config.drops:
                self.network.head.bias.value[...] = np.nan

    monkeypatch.setattr(training, "Trainer", Last)
    assert train_split(plan, 0).diverged == plan.rates


def test_errors_are_results(plan, tmp_path):
    missing = plan.config.replace(dataset="file", data_file=str(tmp_path / "none.csv"))
    assert "none.csv" in train_split(EvidencePlan(missing), 3).error
    assert "needs images" in train_split(EvidencePlan(SMALL.replace(network="cnn", hidden=(4, 8))), 0).error


def test_a_class_without_test_rows(plan, changed_data):
    def without_last(dataset, config):
        kept = dataset.y_test < dataset.classes - 1
        return replace(dataset, x_test=dataset.x_test[kept], y_test=dataset.y_test[kept])

    changed_data(without_last)
    evidence = Evidence.of(plan, [train_split(plan, number) for number in range(2)])
    assert evidence.dropout.recall[-1].rows == 0
    assert len(evidence.dropout.confusion) == 3


def test_all_splits_have_the_rows_of_a_fixed_test_set(plan, changed_data):
    """Only seeds and validation parts differ between the splits, and the interval is that of a fixed test set."""
    first = plan.config.load_dataset()
    object.__setattr__(first, "fixed_test", True)
    changed_data(lambda dataset, config: first)
    results = [train_split(plan, number) for number in range(2)]
    assert all(result.fixed_test for result in results)
    np.testing.assert_array_equal(results[0].test_labels, results[1].test_labels)
    assert not np.array_equal(results[0].baseline.test, results[1].baseline.test)
    interval = Evidence.of(plan, results).interval
    assert interval.mean == pytest.approx(np.mean([result.difference for result in results]))
