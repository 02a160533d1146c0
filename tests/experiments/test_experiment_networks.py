"""The networks of experiments train with every kind of dropout, and follow their configuration."""

import numpy as np
import pytest
from studytools import config

from fastdrop import nn
from fastdrop.experiments import ConfigError, ExperimentConfig, Trainer, load_dataset
from fastdrop.experiments.choices import DROPOUT_KINDS, NETWORKS
from fastdrop.experiments.network import build_network
from fastdrop.experiments.reviews import BAD, GOOD, WORDS, reviews
from fastdrop.stream import Stream

pytestmark = pytest.mark.slow


FITTING = [
    (network, kind)
    for network in NETWORKS
    for kind in DROPOUT_KINDS
    if (network, kind)
    in {
        *((network, "none") for network in NETWORKS),
        *((network, "standard") for network in NETWORKS),
        *((network, kind) for network in ("mlp", "cnn", "text") for kind in ("gaussian", "alpha")),
        *((network, "spatial") for network in ("mlp", "cnn")),
        ("cnn", "dropblock"),
        ("mlp", "dropconnect"),
        ("lstm", "locked"),
        ("lstm", "zoneout"),
        ("attention", "path"),
        ("text", "embedding"),
    }
]


@pytest.mark.parametrize(("network", "kind"), FITTING)
def test_every_network_trains_with_every_kind(network, kind):
    trainer = Trainer(config(network, kind))
    before = trainer.history[0].train_loss
    for snapshot in trainer.run():
        assert np.isfinite(snapshot.latest.test_loss)
    assert snapshot.latest.train_loss < before
    assert all(np.isfinite(view.values).all() for view in snapshot.layers)
    assert len(snapshot.layers) >= 2
    drops = bool(trainer.network.droppers)
    assert drops == (kind != "none")
    trainer.rates = (0.6,) * len(trainer.config.hidden)
    assert all(dropper.p == 0.6 for dropper in trainer.network.droppers)
    *_, again = Trainer(trainer.config).run()
    assert again.latest == snapshot.latest


@pytest.mark.parametrize(("network", "kind"), FITTING)
def test_the_probe_shows_what_is_dropped(network, kind):
    trainer = Trainer(config(network, kind, epochs=1, rate=0.5))
    trainer.step()
    state = [dropper.stream.state for dropper in trainer.network.droppers]
    views = trainer.snapshot().layers
    assert [dropper.stream.state for dropper in trainer.network.droppers] == state
    masked = [view for view in views if view.kept is not None]
    shown = kind in ("standard", "alpha", "spatial", "dropblock", "dropconnect", "locked")
    assert bool(masked) == (shown and (network, kind) != ("attention", "standard"))
    for view in masked:
        assert view.kept.shape == view.values.shape
        if kind not in ("alpha", "dropconnect") and (network, kind) != ("lstm", "locked"):
            assert (view.values[~view.kept] == 0).all()


def test_networks_with_and_without_dropout_start_alike():
    for network in NETWORKS:
        data = load_dataset(config(network).dataset)
        plain, dropping = (build_network(config(network, kind), data, Stream(1)) for kind in ("none", "standard"))
        for (_, one), (_, other) in zip(plain.parameters(), dropping.parameters(), strict=True):
            np.testing.assert_array_equal(one.value, other.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"network": "cnn", "dataset": "wine", "hidden": (4, 8)}, "needs images; wine"),
        ({"network": "text", "dataset": "digits", "hidden": (4, 8)}, "needs words; digits"),
        ({"dataset": "reviews"}, "mlp.*words.*text"),
    ],
)
def test_networks_that_cannot_read_the_data(fields, words):
    with pytest.raises(ConfigError, match=words):
        Trainer(ExperimentConfig(**fields))


def test_the_layers_with_dropout():
    cases = (("all", [True, True, True]), ("first", [True, False, False]), ("last", [False, False, True]))
    for where, expected in cases:
        network = Trainer(config(hidden=(8, 8, 8), dropout_layers=where)).network
        assert [block.dropper is not None for block in network.blocks] == expected
        assert len(network.droppers) == sum(expected)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", (0.4, 0.4)), ("linear", (0.0, 0.4)), ("cosine", (0.0, 0.4)), ("curriculum", (0.0, 0.4))],
)
def test_rates_follow_their_schedule(schedule, rates):
    trainer = Trainer(config(rate=0.4, dropout_schedule=schedule, learning_rate_schedule="linear", epochs=3))
    seen, speeds = [], []
    while not trainer.finished:
        trainer.step()
        seen.append(trainer.network.droppers[0].p)
        speeds.append(trainer.optimizer.learning_rate)
    assert (seen[0], round(seen[-1], 4)) == pytest.approx(rates, abs=1e-4)
    assert seen == sorted(seen)
    assert (speeds[0], speeds[-1]) == pytest.approx((0.001, 0.0))
    assert speeds == sorted(speeds, reverse=True)


def test_weight_decay_reaches_the_optimizer():
    plain, decayed = (Trainer(config(kind="none", weight_decay=decay)) for decay in (0.0, 1.0))
    for trainer in (plain, decayed):
        for _ in range(5):
            trainer.step()
    assert np.abs(decayed.weights()["0.weight"]).sum() < np.abs(plain.weights()["0.weight"]).sum()


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"batch_norm": True}, True),
        ({"batch_norm": True, "dropout_layers": "last"}, False),
        ({"batch_norm": True, "hidden": (16,)}, False),
        ({"batch_norm": True, "rate": 0.0}, False),
        ({"batch_norm": True, "dropout": "none"}, False),
        ({"batch_norm": True, "dropout": "dropconnect", "hidden": (16,)}, True),
        ({"batch_norm": True, "network": "cnn", "hidden": (4, 8)}, True),
        ({}, False),
    ],
)
def test_a_configuration_warns_of_the_variance_shift(fields, warned, recwarn):
    """It warns where `fastdrop.nn` warns of the same network."""
    tested = ExperimentConfig(**fields)
    assert bool(tested.warnings) == warned
    layers = Trainer(tested).network.layers
    assert not recwarn.list
    if warned:
        with pytest.warns(nn.VarianceShiftWarning):
            nn.Sequential(*layers)
    else:
        nn.Sequential(*layers)


def test_words_of_reviews_match_their_class():
    words, labels = reviews(300, 0.0, 5)
    assert words.shape == (300, 20)
    for row, label in zip(words, labels, strict=True):
        text = [WORDS[number] for number in row]
        kind = [
            (text[place] in GOOD) != ("not" in text[max(0, place - 1) : place])
            for place in range(20)
            if text[place] in GOOD or text[place] in BAD
        ]
        assert (sum(kind) > len(kind) / 2) == label
    _, noisy = reviews(300, 0.3, 5)
    assert 0.2 < (noisy != labels).mean() < 0.4
    assert len(set(WORDS)) == len(WORDS)
