"""onnxruntime predicts with an exported network what the network predicts."""

import inspect
import sys

import numpy as np
import pytest
from onnxtools import TOLERANCE, dataset, expected, own_network, predicted, prepared, session, trained
from studytools import SIZES, config

from fastdrop import nn
from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.choices import ACTIVATIONS, FITTING
from fastdrop.experiments.network import Block, Network
from fastdrop.experiments.onnx import Input, export
from fastdrop.experiments.onnx.layers import BUILDERS, IDENTITIES

ROWS = 200


def check_against_network(trainer):
    """Probabilities, and classes wherever the first two probabilities are not about equal."""
    data, network = trainer.dataset, trainer.network
    center, scale = data.center.astype(np.float64), data.scale.astype(np.float64)
    model = export(network, None, center, scale, data.class_names, data.features)
    raw = data.unscaled(data.x_test[:ROWS])
    if data.words:
        found, classes = predicted(model, words=raw.astype(np.int64))
        wanted = expected(network, data.x_test[:ROWS])
    else:
        found, classes = predicted(model, features=raw)
        wanted = expected(network, prepared(raw, center, scale))
    assert found.dtype == np.float32
    assert wanted.std(axis=0).max() > 1e-3  # otherwise the comparison would say little
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert classes.tolist() == [data.class_names[number] for number in found.argmax(axis=1)]
    return model


@pytest.mark.parametrize(("network", "kind"), [(network, kind) for network in FITTING for kind in FITTING[network]])
def test_every_network_with_every_kind_of_dropout(network, kind):
    check_against_network(trained(config(network, kind)))


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("network", ["mlp", "cnn", "text"])
def test_every_activation_with_and_without_batch_norm(network, activation, batch_norm):
    check_against_network(trained(config(network, activation=activation, batch_norm=batch_norm)))


def test_kinds_of_dropout_that_differ_per_layer():
    settings = config("mlp", layer_dropout=("dropconnect", "spatial"), layer_rates=(0.2, 0.9), batch_norm=True)
    check_against_network(trained(settings))


@pytest.mark.parametrize("name", ["moons", "wine", "breast-cancer"])
def test_raw_columns_of_any_size(name):
    check_against_network(trained(ExperimentConfig(dataset=name, hidden=(16,), batch_size=64)))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9])
def test_zoneout_is_its_expectation_at_the_present_rate(rate):
    trainer = trained(config("lstm", "zoneout"))
    trainer.network.set_rates((rate, 0.5))
    operators = [node.op_type for node in check_against_network(trainer).graph.node]
    assert operators.count("LSTM") == (rate == 0.0)


@pytest.mark.parametrize(("network", "kind"), [*((network, "none") for network in SIZES), ("lstm", "zoneout")])
def test_any_number_of_rows(network, kind):
    """Also none: onnxruntime's recurrent operators end the process then, without the row that is added for them."""
    trainer = trained(config(network, kind))
    data = trainer.dataset
    ready = session(export(trainer.network, None, data.center, data.scale, data.class_names, data.features))
    name, x = ready.get_inputs()[0].name, data.unscaled(data.x_test[:7])
    x = x.astype(np.int64) if data.words else x
    together = ready.run(None, {name: x})
    for rows in (0, 1):
        found = ready.run(None, {name: x[:rows]})
        np.testing.assert_allclose(found[0], together[0][:rows], rtol=0, atol=1e-6)
        assert found[1].tolist() == together[1][:rows].tolist()


def narrow_batch_norm(features):
    """With gathered variances so small that its epsilon matters, and results that are small all the same."""
    layer, rng = nn.BatchNorm(features), np.random.default_rng(4)
    layer.running_mean[:], layer.running_var[:] = rng.normal(size=features), rng.uniform(1e-5, 1e-3, features)
    layer.gamma.value[:] = 0.01
    return layer


OTHER_LAYERS = {
    "average pooling": [nn.Reshape(1, 8, 8), nn.Conv2d(1, 3, 3, stride=2, padding=2, rng=0), nn.AvgPool2d(2)],
    "global average": [nn.Reshape(1, 8, 8), nn.Conv2d(1, 3, 2, rng=0), nn.MaxPool2d(3), nn.GlobalAveragePool()],
    "causal attention": [nn.Reshape(8, 8), nn.MultiHeadAttention(8, 2, causal=True, rng=0)],
    "longer positions": [nn.Reshape(8, 8), nn.LearnedPositions(20, 8, rng=0), nn.MeanOverSteps()],
    "zoneout of the cell": [nn.Reshape(8, 8), nn.LSTM(8, 6, zoneout=0.2, zoneout_cell=0.4, rng=0)],
    "zoneout of the cell alone": [nn.Reshape(8, 8), nn.LSTM(8, 6, recurrent_p=0.5, zoneout_cell=0.4, rng=0)],
    "fused": [nn.LinearActivationDropout(64, 6, 0.5, activation="relu", rng=0), nn.SoftmaxDropout()],
    "nested": [nn.Sequential(nn.Residual(nn.Sequential(nn.Linear(64, 64, rng=0), nn.Tanh()), 0.5), nn.DropPath())],
    "narrow batch norm": [narrow_batch_norm(64)],
    "batch norm of maps": [nn.Reshape(4, 4, 4), narrow_batch_norm(4), nn.FeatureAlphaDropout(), nn.Cutout(2)],
}


@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_layers_that_no_configuration_has(name):
    layers = [*OTHER_LAYERS[name], nn.Flatten()]
    x = np.random.default_rng(1).standard_normal((30, 64)).astype(np.float32)
    features = nn.Sequential(*layers).eval()(x).shape[1]
    network = Network([Block("own", layers, None)], nn.Linear(features, 3, rng=1))
    rng = np.random.default_rng(2)
    for _, parameter in network.parameters():
        parameter.value *= rng.uniform(0.7, 1.3, parameter.value.shape).astype(np.float32)
        parameter.value += 0.02 * rng.standard_normal(parameter.value.shape).astype(np.float32)
    found, _ = predicted(export(network, None, None, None, "abc", 64), features=x)
    np.testing.assert_allclose(found, expected(network, x), rtol=0, atol=TOLERANCE)


def test_every_layer_of_the_library_has_a_builder():
    found = {
        value for name in nn.__all__ if inspect.isclass(value := getattr(nn, name)) and issubclass(value, nn.Module)
    }
    assert found - BUILDERS.keys() - IDENTITIES == {nn.Module, nn.DropoutModule, nn.Zoneout}


def test_of_equal_probabilities_the_first_class_is_named():
    network = own_network(2)
    network.head.weight.value[:], network.head.bias.value[:] = 0, (0, 1, 1)
    _, classes = predicted(export(network, None, None, None, "abc", 2), features=np.ones((4, 2), np.float32))
    assert classes.tolist() == ["b"] * 4


def test_provenance_is_in_the_model():
    model = export(own_network(2), None, None, None, "abc", 2, {"config": "größe\ud800", "trained": "today"})
    found = session(model).get_modelmeta()
    assert found.producer_name == "fastdrop"
    assert found.custom_metadata_map == {"config": "größe?", "trained": "today"}
    assert "3 classes" in found.description


def test_names_of_nodes_are_unique_and_begin_with_their_block():
    network = trained(config("attention")).network
    model = export(network, None, None, None, dataset("digits").class_names, 64)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    blocks = {name.partition("/")[0] for name in names}
    assert blocks == {block.name for block in network.blocks} | {"output"}


def test_the_network_and_the_model_stay_the_same():
    network = trained(config("mlp", batch_norm=True)).network.train()
    before = {name: parameter.value.copy() for name, parameter in network.parameters()}
    models = [export(network, None, None, None, dataset("digits").class_names, 64) for _ in range(2)]
    assert models[0].SerializeToString(deterministic=True) == models[1].SerializeToString(deterministic=True)
    assert all(module.training for module in network.modules())
    assert all(np.array_equal(parameter.value, before[name]) for name, parameter in network.parameters())


def test_what_does_not_fit_is_refused():
    network = own_network(2)
    both = [Input(name, "number", columns=(0,)) for name in "ab"]
    for arguments, message in [
        (([], None, None, "abc", 2), "columns of inputs"),
        ((both, None, None, "abc", 2), "each once"),
        ((None, None, None, "ab", 2), "3 classes; got 2 names"),
        ((None, [0, 0], None, "abc", 2), "together"),
        ((None, [0], [1], "abc", 2), "2 entries"),
        ((None, [0, 0], [1, 0], "abc", 2), "scale is not 0"),
        ((None, [0, np.nan], [1, 1], "abc", 2), "finite"),
        ((None, None, None, "abc", 3), "2 inputs"),
    ]:
        with pytest.raises(ValueError, match=message):
            export(network, *arguments)
    for center, scale in ((np.zeros(20), np.full(20, 2.0)), (np.ones(20), np.ones(20))):
        with pytest.raises(ValueError, match="words cannot be scaled"):
            export(trained(config("text")).network, None, center, scale, ("a", "b"), 20)
    with pytest.raises(ValueError, match="cannot get the shape"):
        export(trained(config("cnn")).network, None, None, None, dataset("digits").class_names, 63)


def test_a_layer_without_builder_is_refused():
    class Doubled(nn.ReLU):
        def forward(self, x):
            return 2 * super().forward(x)

    network = Network([Block("own", [Doubled()], None)], nn.Linear(2, 2))
    with pytest.raises(TypeError, match="type Doubled"):
        export(network, None, None, None, "ab", 2)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendUnavailable, match=r"exporting a model needs the package onnx.*\[onnx\]"):
        export(own_network(2), None, None, None, "abc", 2)
