"""Warnings in a model's own calls: metrics of `forward`, and rates that are raised in front of batch normalisation."""

import warnings

import numpy as np
import pytest

from fastdrop import nn
from fastdrop.experiments import ExperimentConfig, Trainer

X = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
LABELS = np.zeros(7, int)
CALLS = {"forward": lambda model, x: model.forward(x), "call": lambda model, x: model(x)}


def model(p=0.5):
    return nn.Sequential(nn.Linear(4, 8, rng=0), nn.Sequential(nn.ReLU(), nn.Dropout(p, rng=1)), nn.Linear(8, 3, rng=2))


@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize("part", [lambda y: y, nn.softmax, lambda y: y[1:5]])
def test_a_metric_of_predictions_with_dropout_on(how, part):
    network = model()
    predictions = part(CALLS[how](network, X))
    with pytest.warns(nn.DropoutActiveWarning) as caught:
        nn.accuracy(predictions, LABELS[: len(predictions)])
    assert caught[0].filename == __file__
    for quiet in (network.eval(), model(0.0)):
        predictions = part(CALLS[how](quiet, X))
        nn.accuracy(predictions, LABELS[: len(predictions)])  # warnings are errors here


def test_the_names():
    assert nn.evaluate(model(), X, LABELS, batch_size=2)._fields == nn.Evaluation._fields
    with pytest.warns(nn.DropoutInactiveWarning):
        nn.mc_dropout(lambda x: x, X, samples=2)


@pytest.mark.parametrize("how", CALLS)
class TestRatesRaisedLater:
    def test_the_first_training_call_tells(self, how):
        call = CALLS[how]
        network = nn.Sequential(nn.Sequential(nn.Dropout(0.0)), nn.Linear(4, 3, rng=0), nn.BatchNorm(3))
        call(network, X)  # warnings are errors here
        network.layers[0].layers[0].p = 0.3
        call(network.eval(), X)
        network.train()
        with pytest.warns(nn.VarianceShiftWarning, match="Dropout is before BatchNorm") as caught:
            call(network, X)
        assert caught[0].filename == __file__
        call(network, X)  # the warning is raised once

    def test_a_warning_when_the_model_is_made_is_the_only_one(self, how):
        with pytest.warns(nn.VarianceShiftWarning):
            network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm(4))
        CALLS[how](network, X)

    def test_it_can_be_turned_off(self, how):
        network = nn.Sequential(nn.Dropout(0.0), nn.BatchNorm(4))
        network.layers[0].p = 0.3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nn.VarianceShiftWarning)
            CALLS[how](network, X)

    def test_other_orders_are_fine(self, how):
        network = nn.Sequential(nn.BatchNorm(4), nn.Dropout(0.0), nn.LayerNorm(4))
        network.layers[1].p = 0.5
        CALLS[how](network, X)
        recurrent = nn.Sequential(nn.Reshape(2, 2), nn.LSTM(2, 3, rng=0), nn.LastStep(), nn.BatchNorm(3))
        CALLS[how](recurrent, X)  # its dropout layers have p = 0


def test_experiments_have_their_own_warning():
    """Experiments warn by `ExperimentConfig.warnings`, also if the rate starts at 0 or is raised later."""
    config = ExperimentConfig(dataset="moons", hidden=(8, 8), batch_norm=True, dropout_schedule="curriculum", epochs=1)
    for trainer in (Trainer(config), Trainer(config.replace(rate=0.0, dropout_schedule="constant"))):
        trainer.step()
        trainer.rates = (0.5, 0.5)
        while not trainer.finished:
            trainer.step()
