"""Kinds and rates of single layers in a configuration, and the diagnostics of a training run."""

import numpy as np
import pytest

from fastdrop.experiments import ConfigError, ExperimentConfig, Trainer, diagnostics


def config(**changes):
    return ExperimentConfig(**{"dataset": "moons", "hidden": (16, 8), "epochs": 3, **changes})


def test_one_kind_and_rate_apply_to_all_layers_unless_set_per_layer():
    assert config(rate=0.3).kinds == ("standard", "standard")
    assert config(rate=0.3).rates == (0.3, 0.3)
    assert config(dropout_layers="last").kinds == ("none", "standard")
    own = config(layer_dropout=("spatial", "dropconnect"), layer_rates=(0.1, 0.9))
    assert own.kinds == ("spatial", "dropconnect")
    assert own.rates == (0.1, 0.9)
    assert own.with_rate(0.4).rates == (0.4, 0.4)
    assert own.with_rate(0.4).kinds == own.kinds
    assert not own.without_dropout().drops
    assert ExperimentConfig.from_toml(own.to_toml()) == own


@pytest.mark.parametrize(
    ("network", "hidden", "dropout", "kinds"),
    [
        ("cnn", (4, 8, 16), "standard", ("standard", "standard", "none")),
        ("lstm", (8, 8), "zoneout", ("zoneout", "zoneout")),
        ("attention", (8, 16, 16), "path", ("none", "path", "path")),
        ("text", (8, 16), "embedding", ("embedding", "none")),
        ("text", (8, 16, 8), "standard", ("none", "standard", "standard")),
    ],
)
def test_a_kind_applies_to_the_layers_that_support_it(network, hidden, dropout, kinds):
    assert config(network=network, hidden=hidden, dropout=dropout).kinds == kinds


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"layer_dropout": ("standard",)}, "layer_dropout", "an entry for each of 2 layers; got 1"),
        ({"layer_rates": (0.1, 0.2)}, "layer_rates", "needs layer_dropout"),
        ({"layer_dropout": ("locked", "none")}, "layer_dropout", "layer 1 does not support dropout 'locked'"),
        ({"layer_dropout": ("standard", "none"), "layer_rates": (0.1, 1.2)}, "layer_rates", "1.2"),
        ({"layer_dropout": ("standard", 3)}, "layer_dropout", "must be text; got 3"),
        ({"layer_dropout": "standard"}, "layer_dropout", "must be a list"),
        ({"layer_dropout": ("spatial", "none"), "hidden": (12, 8)}, "hidden", "multiples of 8"),
        ({"layer_dropout": ("gaussian", "none"), "layer_rates": (1.0, 0.0)}, "rate", "below 1"),
        ({"hidden": (16, 0)}, "hidden", "from 1 to 4096"),
        ({"learning_rate": 0.0}, "learning_rate", "above 0"),
    ],
)
def test_a_wrong_field_is_named(changes, field, message):
    with pytest.raises(ConfigError, match=message) as raised:
        config(**changes)
    assert raised.value.field == field


def test_rates_per_layer():
    trainer = Trainer(
        config(hidden=(400, 400, 8), layer_dropout=("standard", "standard", "none"), layer_rates=(0.1, 0.8, 0.5))
    )
    trainer.step()
    first, second, third, _ = trainer.snapshot().layers
    assert abs((~first.kept).mean() - 0.1) < 0.02
    assert abs((~second.kept).mean() - 0.8) < 0.02
    assert third.kept is None
    trainer.rates = (0.8, 0.1, 0.5)
    first, second, _, _ = trainer.snapshot().layers
    assert abs((~first.kept).mean() - 0.8) < 0.02
    assert abs((~second.kept).mean() - 0.1) < 0.02


@pytest.mark.parametrize("network", ["mlp", "cnn", "lstm"])
def test_a_snapshot_shows_the_masks_of_the_newest_batch(network):
    hidden, dropout = {"mlp": ((16, 8), "standard"), "cnn": ((4, 8, 16), "spatial"), "lstm": ((8,), "locked")}[network]
    trainer = Trainer(config(dataset="digits", network=network, hidden=hidden, dropout=dropout, batch_size=50))
    for _ in range(3):
        trainer.step()
        masks = [np.asarray(dropper.mask)[: diagnostics.EXAMPLES] for dropper in trainer.network.droppers]
        shown = [view.kept for view in trainer.snapshot().layers if view.kept is not None]
        whole = [
            mask for mask, view in zip(masks, shown, strict=False) if view.shape == mask.reshape(len(mask), -1).T.shape
        ]
        assert whole or network == "lstm"
        for mask, view in zip(whole, shown, strict=False):
            np.testing.assert_array_equal(view, mask.reshape(len(mask), -1).T)


def test_snapshots_repeat_their_masks_and_a_higher_rate_only_drops_more():
    trainer = Trainer(config(rate=0.3))
    trainer.step()
    before, again = trainer.snapshot().layers[0].kept, trainer.snapshot().layers[0].kept
    np.testing.assert_array_equal(before, again)
    trainer.rates = (0.6, 0.6)
    after = trainer.snapshot().layers[0].kept
    assert after.sum() < before.sum()
    assert not (after & ~before).any()


def test_diagnostics_do_not_change_the_training():
    first, second = (Trainer(config(dataset="digits", batch_norm=True)) for _ in range(2))
    for _ in range(4):
        first.step()
        second.step()
        views = second.snapshot().layers
        diagnostics.distributions(second)
        diagnostics.misclassified(second)
        diagnostics.unit(second, views, 0, 3)
    for name, value in first.state().items():
        np.testing.assert_array_equal(value, second.state()[name], err_msg=name)


def test_the_boundary_is_the_networks_prediction_on_the_plane():
    trainer = Trainer(config(hidden=(32, 16), epochs=60, rate=0.1, noise=0.1))
    while not trainer.finished:
        trainer.step()
    found = diagnostics.boundary(trainer)
    side = diagnostics.GRID
    assert found.probabilities.shape == (side, side, 2)
    x0, y0, width, height = found.extent
    columns = np.round((found.points[:, 0] - x0) / width * (side - 1)).astype(int)
    rows = np.round((found.points[:, 1] - y0) / height * (side - 1)).astype(int)
    right = found.probabilities[rows, columns].argmax(axis=1) == found.labels
    assert right.mean() > 0.9
    assert found.tested.sum() == len(trainer.dataset.x_test)
    assert (found.uncertainty >= 0).all()
    assert found.uncertainty.max() > 0.01
    assert diagnostics.boundary(Trainer(config(dataset="wine"))) is None


def test_misclassified_examples_are_those_of_the_test_set():
    trainer = Trainer(config(dataset="digits", epochs=1))
    while not trainer.finished:
        trainer.step()
    found = diagnostics.misclassified(trainer)
    assert found.tested == len(trainer.dataset.y_test)
    assert found.count == round((1 - trainer.history[-1].test_accuracy) * found.tested)
    assert (found.labels != found.guesses).all()
    assert found.images.shape[1:] == (8, 8)
    assert found.images.min() >= -1e-4
    assert found.images.max() <= 16.001
    np.testing.assert_allclose(found.mean.sum(axis=1), 1.0, atol=1e-5)
    assert (found.std > 0).any()
    found = diagnostics.misclassified(Trainer(config()))  # points of a plane, no images
    assert found.images.size == 0
    assert len(found.labels) == found.count


def test_quantiles_are_those_of_the_weights():
    trainer = Trainer(config())
    found = diagnostics.distributions(trainer)
    weights = trainer.network.head.weight.value
    np.testing.assert_allclose(found.weights["output"], np.quantile(weights, diagnostics.QUANTILES), rtol=1e-6)
    assert found.activations["hidden 1"][0] == 0.0
    assert found.means["hidden 2"].shape == (8,)


def test_a_unit_shows_its_incoming_weights():
    trainer = Trainer(config(dataset="digits"))
    views = trainer.snapshot().layers
    first = trainer.network.blocks[0].layers[0].weight.value
    np.testing.assert_array_equal(diagnostics.unit(trainer, views, 0, 5).weights, first[5].reshape(8, 8))
    assert diagnostics.unit(trainer, views, 1, 0).weights.shape == (1, 16)
    assert diagnostics.unit(trainer, views, 1, 8) is None
    assert diagnostics.unit(trainer, views, 7, 0) is None
    trainer = Trainer(config(dataset="digits", network="cnn", hidden=(4, 8, 16)))
    kernel = trainer.network.blocks[1].layers[1].weight.value[2]
    shown = diagnostics.unit(trainer, trainer.snapshot().layers, 1, 2 * 16 + 3).weights  # maps of 4 x 4
    np.testing.assert_array_equal(shown, np.concatenate(list(kernel), axis=1))
