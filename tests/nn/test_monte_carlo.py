"""Monte Carlo dropout: statistics, unchanged models, reproducibility, cancellation; and the two warnings."""

import warnings

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn
from fastdrop.nn.advice import DropoutInactiveWarning
from fastdrop.nn.losses import evaluate

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 12)).astype(np.float32)


def model(p=0.5, batch_norm=True):
    layers = [nn.Linear(12, 16, rng=0)]
    if batch_norm:
        layers.append(nn.BatchNorm(16))
    return nn.Sequential(*layers, nn.ReLU(), nn.Dropout(p, rng=3), nn.Linear(16, 4, rng=1))


def sampled(network, samples):
    """The probabilities of this number of forward passes, with dropout alone on: slow, one by one."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.DropoutModule):
            module.training = True
    return np.array([nn.softmax(network.forward(X).astype(np.float64)) for _ in range(samples)])


def test_it_is_the_mean_over_many_sub_networks():
    network = model()
    network(X)  # so that batch normalisation has running statistics
    result = fd.mc_dropout(network, X, samples=4000, rng=1)
    slow = sampled(network, 4000)
    error = 5 * slow.std(axis=0).max() / np.sqrt(4000)
    np.testing.assert_allclose(result.mean, slow.mean(axis=0), atol=2 * error)
    np.testing.assert_allclose(result.std, slow.std(axis=0), atol=2 * error)
    np.testing.assert_allclose(result.mean.sum(axis=1), 1)

    def entropy(q):
        return -(q * np.log(q)).sum(axis=-1)

    np.testing.assert_allclose(result.predictive_entropy, entropy(result.mean), rtol=1e-12)
    information = entropy(slow.mean(axis=0)) - entropy(slow).mean(axis=0)
    np.testing.assert_allclose(result.mutual_information, information, atol=0.03)
    assert (result.mutual_information <= result.predictive_entropy).all()


def test_parts_do_not_change_the_statistics(monkeypatch):
    """The combined means and deviations of parts are exactly those of all samples at once."""
    drawn = RNG.standard_normal((50, 7, 3)) + 1000
    calls = iter(range(50))

    def predict(x):
        count = len(x) // 7
        return np.concatenate([drawn[next(calls)] for _ in range(count)])

    monkeypatch.setattr("fastdrop.nn.monte_carlo.ROWS_AT_ONCE", 7 * 13)
    result = fd.mc_dropout(predict, X, samples=50, outputs="values")
    np.testing.assert_allclose(result.mean, drawn.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(result.std, drawn.std(axis=0), rtol=1e-9)
    assert result.predictive_entropy is None
    assert result.mutual_information is None


def test_the_model_is_unchanged():
    network = model()
    network(X)
    norm, dropout = network.layers[1], network.layers[3]
    norm.training = False
    before = dropout.stream.state, dropout.stream, norm.running_mean.copy(), norm.running_var.copy()
    modes = [module.training for module in network.modules()]
    fd.mc_dropout(network, X, samples=5, rng=1)
    assert (dropout.stream.state, dropout.stream) == before[:2]
    np.testing.assert_array_equal(norm.running_mean, before[2])
    np.testing.assert_array_equal(norm.running_var, before[3])
    assert [module.training for module in network.modules()] == modes

    def fails(done, samples):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fd.mc_dropout(network, X, samples=5, rng=1, progress=fails)
    assert dropout.stream is before[1]
    assert [module.training for module in network.modules()] == modes


def test_batch_norm_uses_its_running_statistics():
    network = model(p=0.0)
    network(X)
    result = fd.mc_dropout(network, X, samples=3)
    np.testing.assert_allclose(result.mean, nn.softmax(network.eval()(X).astype(float)), rtol=1e-6)
    np.testing.assert_allclose(result.std, 0, atol=1e-7)
    np.testing.assert_allclose(result.mutual_information, 0, atol=1e-7)


def test_reproducible_and_samples_differ():
    network = model()
    one, two, other = (fd.mc_dropout(network, X, samples=10, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.mean, two.mean)
    assert (one.mean != other.mean).any()
    assert (one.std > 0).any()
    assert fd.mc_dropout(network, X[:1], samples=1, rng=1).std.max() == 0


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.DropConnectLinear(12, 4, rng=0),
        lambda: nn.DropConnectLinear(12, 4, rng=0, per_example=False),
        lambda: nn.Sequential(nn.Reshape(3, 4), nn.LSTM(4, 5, p=0.3, zoneout=0.2, rng=0), nn.LastStep()),
        lambda: nn.Sequential(nn.Reshape(3, 4), nn.TransformerBlock(4, 2, 8, p=0.3, drop_path=0.3), nn.Flatten()),
        lambda: nn.Sequential(nn.Reshape(3, 2, 2), nn.DropBlock(0.3, 2), nn.Flatten()),
        lambda: nn.GaussianDropout(0.5),
        lambda: nn.AlphaDropout(0.5),
    ],
)
def test_every_kind_varies_from_sample_to_sample(layer):
    network = nn.Sequential(layer(), nn.Tanh())
    drawn = []
    network.layers[1].forward = lambda x: drawn.append(x) or np.tanh(x)
    result = fd.mc_dropout(network, X, samples=20, outputs="values", rng=0)
    assert result.samples == 20
    assert (result.std.max(axis=-1) > 0).all()
    samples = np.concatenate(drawn).reshape(20, len(X), -1)
    assert len({sample.tobytes() for sample in samples}) == 20


def test_layers_before_dropout_are_computed_once():
    network = model()
    calls = []
    first = network.layers[0].forward
    network.layers[0].forward = lambda x: calls.append(len(x)) or first(x)
    fd.mc_dropout(network, X, samples=50)
    assert calls == [7]


def test_progress_and_cancellation():
    seen = []
    x = np.repeat(X, 300, axis=0)
    result = fd.mc_dropout(
        model(), x, samples=9, rng=0, progress=lambda done, samples: seen.append((done, samples)) or done < 4
    )
    assert seen == [(done / 2, 9) for done in range(1, 9)]  # 2100 rows are split in two
    assert result.samples == 4
    stops = []
    halfway = fd.mc_dropout(model(), x, samples=9, rng=0, progress=lambda done, _: stops.append(done) or done < 2.5)
    assert stops[-1] == 2.5
    assert halfway.samples == 2  # the third was incomplete
    np.testing.assert_array_equal(halfway.mean, fd.mc_dropout(model(), x, samples=2, rng=0).mean)
    stops.clear()
    first = fd.mc_dropout(model(), x, samples=9, rng=0, progress=lambda done, _: stops.append(done) or False)
    assert stops == [0.5]
    assert first.samples == 1
    assert np.isfinite(first.mean).all()
    full = []
    fd.mc_dropout(model(), X, samples=600, progress=lambda done, samples: full.append(done))
    assert full == [292, 584, 600]


class TestManyRows:
    """x of more rows than one call takes is split."""

    x = np.repeat(X, 5, axis=0)

    @pytest.fixture(autouse=True)
    def few_at_once(self, monkeypatch):
        monkeypatch.setattr("fastdrop.nn.monte_carlo.ROWS_AT_ONCE", 12)

    def test_no_call_is_larger(self):
        network, calls = model(), []
        for place in (0, 3):
            forward = network.layers[place].forward
            network.layers[place].forward = lambda x, forward=forward, place=place: (
                calls.append((place, len(x))) or forward(x)
            )
        result = fd.mc_dropout(network, self.x, samples=4, rng=1)
        assert result.mean.shape == (35, 4)
        assert [rows for place, rows in calls if place == 0] == [11, 12, 12]  # before dropout: once
        assert [rows for place, rows in calls if place == 3] == [11, 12, 12] * 4

    def test_the_statistics_are_the_same(self):
        network = model()
        network(X)
        split = fd.mc_dropout(network, self.x, samples=1500, rng=1)
        slow = sampled(network, 1500)
        for name, expected in (("mean", slow.mean(axis=0)), ("std", slow.std(axis=0))):
            found = getattr(split, name).reshape(7, 5, 4)  # every example five times, with separate masks
            np.testing.assert_allclose(found.mean(axis=1), expected, atol=0.02)
            assert (found[:, 0] != found[:, 1]).any()

    def test_samples_of_one_mask_share_it_over_the_parts(self):
        for layer in (
            nn.DropConnectLinear(12, 4, rng=0, per_example=False),
            nn.Sequential(nn.Embedding(5, 4, p=0.5, rng=0), nn.Flatten()),
        ):
            words = np.zeros((35, 1), int) if isinstance(layer, nn.Sequential) else np.ones((35, 12), np.float32)
            result = fd.mc_dropout(nn.Sequential(layer, nn.Tanh()), words, samples=20, outputs="values", rng=3)
            assert result.std.max() > 0
            assert (result.mean == result.mean[0]).all()

    def test_functions_get_parts(self):
        calls, rng = [], np.random.default_rng(0)
        result = fd.mc_dropout(
            lambda x: calls.append(len(x)) or x * rng.random(x.shape), self.x, samples=2, outputs="values"
        )
        assert calls == [11, 12, 12] * 2
        assert result.mean.shape == self.x.shape


class TestFunctions:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("name", ["forward", "__call__"])
    def test_a_models_forward_equals_the_model(self, name, training):
        network = model()
        network(X)
        network.train(training)
        norm = network.layers[1]
        before = norm.running_mean.copy()
        found = fd.mc_dropout(getattr(network, name), X, samples=20, rng=5)
        np.testing.assert_array_equal(norm.running_mean, before)
        np.testing.assert_array_equal(found.mean, fd.mc_dropout(network, X, samples=20, rng=5).mean)
        assert (found.std > 0).any()
        assert network.training is training

    def test_other_methods_are_functions(self):
        class Ours(nn.Sequential):
            def predict(self, x):
                return self.forward(x)

        with pytest.warns(DropoutInactiveWarning):
            fd.mc_dropout(Ours(nn.Dropout(0.5)).eval().predict, X, samples=3)

    def test_equal_samples_are_reported(self):
        network = model().eval()
        with pytest.warns(DropoutInactiveWarning, match="all 5 samples are the same") as caught:
            result = fd.mc_dropout(lambda x: network.forward(x), X, samples=5)
        assert caught[0].filename == __file__
        assert result.std.max() < 1e-6
        fd.mc_dropout(lambda x: network.forward(x), X, samples=1)  # a single sample gives no warning
        network.train()
        fd.mc_dropout(lambda x: network.forward(x), X, samples=5)  # warnings are errors here
        fd.mc_dropout(lambda x: 1e4 * network.forward(x), X[:1], samples=50)  # though probabilities are 0 and 1


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"samples": 0}, ValueError, "samples.*0"),
        ({"samples": 2.5}, TypeError, "float"),
        ({"outputs": "votes"}, ValueError, "votes"),
        ({"x": X[:0]}, ValueError, r"\(0, 12\)"),
        ({"x": np.float32(1)}, ValueError, r"\(\)"),
        ({"predict": lambda x: x, "rng": 1}, TypeError, "model"),
        ({"predict": lambda x: x[:3]}, ValueError, "3 rows"),
        ({"rng": 1.5}, TypeError, "1.5"),
    ],
)
def test_refusals(how, error, words):
    arguments = {"predict": model(), "x": X, "samples": 5} | how
    predict, x = arguments.pop("predict"), arguments.pop("x")
    with pytest.raises(error, match=words):
        fd.mc_dropout(predict, x, **arguments)


class TestDropoutActiveWarning:
    labels = np.zeros(7, int)

    def test_a_metric_of_predictions_with_dropout_on(self):
        network = model()
        with pytest.warns(nn.DropoutActiveWarning, match="model.eval"):
            nn.accuracy(network(X), self.labels)

    @pytest.mark.parametrize(
        "part",
        [
            nn.softmax,
            lambda y: y[:5],
            lambda y: y[::2][1:],
            lambda y: y.T.T.reshape(7, 4),
            lambda y: nn.softmax(y[:5]),
            lambda y: nn.softmax(y)[:5].view(),
        ],
    )
    def test_parts_and_probabilities_of_them(self, part):
        predictions = part(model()(X))
        with pytest.warns(nn.DropoutActiveWarning):
            nn.accuracy(predictions, self.labels[: len(predictions)])
        evaluated = part(model().eval()(X))
        nn.accuracy(evaluated, self.labels[: len(evaluated)])  # warnings are errors here

    def test_a_model_that_ends_in_a_view(self):
        network = nn.Sequential(nn.Dropout(0.5), nn.Reshape(3, 4), nn.LastStep())
        with pytest.warns(nn.DropoutActiveWarning):
            nn.accuracy(network(X)[:4], self.labels[:4])

    def test_the_training_loss_does_not_warn(self):
        nn.softmax_cross_entropy(model()(X), self.labels)

    @pytest.mark.parametrize("how", [{"p": 0.5, "training": False}, {"p": 0.0, "training": True}])
    def test_none_without_dropout(self, how):
        network = model(how["p"]).train(how["training"])
        nn.accuracy(nn.softmax(network(X)), self.labels)

    def test_predictions_of_other_code_do_not_warn(self):
        model()(X)
        nn.accuracy(RNG.standard_normal((7, 4)), self.labels)

    def test_none_for_an_array_that_reuses_the_memory(self):
        """The record ends with its array: a new array in the same memory does not warn."""
        network = model()
        for _ in range(50):
            del_me = network.train()(X)
            del del_me
            nn.accuracy(network.eval()(X), self.labels)

    def test_it_can_be_turned_off(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nn.DropoutActiveWarning)
            nn.accuracy(model()(X), self.labels)

    def test_it_names_the_callers_line(self):
        with pytest.warns(nn.DropoutActiveWarning) as caught:
            nn.accuracy(model()(X), self.labels)
        assert caught[0].filename == __file__


class TestEvaluate:
    labels = np.arange(7) % 4

    @pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
    def test_batches_do_not_change_the_result(self, batch_size):
        network = model()
        network(X)
        network.layers[1].training = False
        modes = [module.training for module in network.modules()]
        state = network.layers[3].stream.state, network.layers[1].running_mean.copy()
        found = evaluate(network, X, self.labels, batch_size=batch_size)
        assert [module.training for module in network.modules()] == modes
        assert network.layers[3].stream.state == state[0]
        np.testing.assert_array_equal(network.layers[1].running_mean, state[1])
        logits = network.eval()(X)
        assert found.accuracy == pytest.approx(nn.accuracy(logits, self.labels))
        assert found.loss == pytest.approx(nn.softmax_cross_entropy(logits, self.labels)[0], rel=1e-5)

    def test_modes_are_restored_after_an_error(self):
        network = model()
        with pytest.raises(ValueError, match="matmul"):
            evaluate(network, X[:, :3], self.labels)
        assert all(module.training for module in network.modules())

    @pytest.mark.parametrize(
        ("x", "labels", "size", "words"),
        [
            (X[:0], labels[:0], 5, "0 examples"),
            (X, labels[:3], 5, "7 examples and 3"),
            (X, labels, 0, "batch_size.*0"),
        ],
    )
    def test_refusals(self, x, labels, size, words):
        with pytest.raises(ValueError, match=words):
            evaluate(model(), x, labels, batch_size=size)


class TestVarianceShiftWarning:
    def test_dropout_before_batch_norm(self):
        with pytest.warns(nn.VarianceShiftWarning, match="Dropout is before BatchNorm") as caught:
            nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 4), nn.BatchNorm(4))
        assert caught[0].filename == __file__

    def test_within_inner_models(self):
        with pytest.warns(nn.VarianceShiftWarning, match="AlphaDropout"):
            nn.Sequential(nn.Sequential(nn.AlphaDropout(0.5)), nn.Sequential(nn.ReLU(), nn.BatchNorm(4)))

    def test_other_orders_are_fine(self):
        nn.Sequential(nn.BatchNorm(4), nn.Dropout(0.5))
        nn.Sequential(nn.Dropout(0.0), nn.BatchNorm(4))
        nn.Sequential(nn.Dropout(0.5), nn.LayerNorm(4))
