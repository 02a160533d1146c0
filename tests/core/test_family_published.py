"""DropConnect as its paper has it, and the family's statistics against PyTorch's functions."""

import numpy as np
import pytest

import fastdrop as fd

RNG = np.random.default_rng(0)


class TestDropConnectAsPublished:
    """Wan et al. 2013."""

    x, weight, bias, dy = (RNG.standard_normal(shape) for shape in ((6, 30), (4, 30), (4,), (6, 4)))

    @pytest.mark.parametrize("per_example", [True, False])
    def test_biases_are_dropped_like_weights(self, per_example):
        how = {"per_example": per_example, "drop_bias": True, "scaling": "classic"}
        y, mask = fd.dropconnect(self.x, self.weight, self.bias, 0.4, rng=7, **how)
        assert mask.shape == ((6, 4, 31) if per_example else (4, 31))
        kept = np.broadcast_to(np.asarray(mask), (6, 4, 31))
        wanted = (kept[..., :-1] * self.weight * self.x[:, None]).sum(axis=-1) + kept[..., -1] * self.bias
        np.testing.assert_allclose(y, wanted, rtol=1e-12)
        dx, dweight, dbias = fd.dropconnect_backward(self.dy, self.x, self.weight, mask)
        np.testing.assert_allclose(dx, np.einsum("bo,boi,oi->bi", self.dy, kept[..., :-1], self.weight), rtol=1e-10)
        np.testing.assert_allclose(dweight, np.einsum("bo,boi,bi->oi", self.dy, kept[..., :-1], self.x), rtol=1e-10)
        np.testing.assert_allclose(dbias, (self.dy * kept[..., -1]).sum(axis=0), rtol=1e-10)

    @pytest.mark.parametrize("drop_bias", [True, False])
    @pytest.mark.parametrize("scaling", ["inverted", "classic"])
    def test_moments_are_those_of_many_masks(self, scaling, drop_bias):
        how = {"drop_bias": drop_bias, "scaling": scaling}
        mean, variance = fd.dropconnect_moments(self.x, self.weight, self.bias, 0.4, **how)
        many = np.repeat(self.x, 20_000, axis=0)
        draws = fd.dropconnect(many, self.weight, self.bias, 0.4, rng=1, **how)[0].reshape(6, 20_000, 4)
        np.testing.assert_allclose(draws.mean(axis=1), mean, atol=5 * np.sqrt(variance.max() / 20_000))
        np.testing.assert_allclose(draws.var(axis=1), variance, rtol=0.06)
        if scaling == "classic" and drop_bias:  # as printed in the paper
            np.testing.assert_allclose(mean, 0.6 * (self.x @ self.weight.T + self.bias), rtol=1e-11)
            np.testing.assert_allclose(
                variance, 0.4 * 0.6 * ((self.x**2) @ (self.weight**2).T + self.bias**2), rtol=1e-11
            )

    def test_sampled_inference_is_the_mean_over_masks(self):
        def relu(u):
            return np.maximum(u, 0)

        found = fd.dropconnect_inference(self.x, self.weight, self.bias, 0.4, samples=20_000, activation=relu, rng=2)
        many = np.repeat(self.x, 20_000, axis=0)
        masks = relu(fd.dropconnect(many, self.weight, self.bias, 0.4, rng=1)[0]).reshape(6, 20_000, 4).mean(axis=1)
        np.testing.assert_allclose(found, masks, atol=0.12)  # error of the normal approximation with 30 terms
        mean = relu(fd.dropconnect(self.x, self.weight, self.bias, 0.4, training=False)[0])
        assert np.abs(found - masks).max() < np.abs(mean - masks).max() / 4
        again = fd.dropconnect_inference(self.x, self.weight, self.bias, 0.4, samples=10, activation=relu, rng=2)
        np.testing.assert_array_equal(
            again, fd.dropconnect_inference(self.x, self.weight, self.bias, 0.4, samples=10, activation=relu, rng=2)
        )

    def test_float16(self):
        x, weight, bias = (array.astype(np.float16) for array in (self.x, self.weight, self.bias))
        found = fd.dropconnect_inference(x, weight, bias, 0.4, samples=50, rng=2)
        assert found.dtype == np.float16


class TestAgainstTorch:
    """Semantics and statistics of the functions that torch has as well; masks differ."""

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    def test_alpha_dropout(self, torch):
        x = torch.randn(300, 400, dtype=torch.float64)
        torch.manual_seed(0)
        theirs = torch.nn.functional.alpha_dropout(x, 0.3, training=True).numpy()
        ours, mask = fd.alpha_dropout(x.numpy(), 0.3, rng=1)
        dropped = ours[~np.asarray(mask)]
        values, counts = np.unique(np.round(theirs, 9), return_counts=True)
        np.testing.assert_allclose(dropped, values[counts.argmax()], atol=1e-6)  # both have the same dropped value
        both = np.asarray(mask) & (np.abs(theirs - values[counts.argmax()]) > 1e-6)
        np.testing.assert_allclose(ours[both], theirs[both], atol=1e-6)  # and the same kept values

    def test_feature_alpha_dropout(self, torch):
        x = torch.randn(30, 20, 4, 5, dtype=torch.float64)
        theirs = torch.nn.functional.feature_alpha_dropout(x, 0.3, training=True).numpy()
        ours, _ = fd.feature_alpha_dropout(x.numpy(), 0.3, rng=1)
        for y in (theirs, ours):
            whole = y.std(axis=(2, 3)) < 1e-12
            assert whole.mean() == pytest.approx(0.3, abs=0.1)
        assert ours[ours.std(axis=(2, 3)) < 1e-12].mean() == pytest.approx(
            theirs[theirs.std(axis=(2, 3)) < 1e-12].mean()
        )

    @pytest.mark.parametrize("dimensions", [1, 2, 3])
    def test_spatial_dropout(self, torch, dimensions):
        x = torch.randn(40, 30, *(3,) * dimensions, dtype=torch.float64)
        layer = getattr(torch.nn, f"Dropout{dimensions}d")(0.4)
        axes = tuple(range(2, 2 + dimensions))
        ours, _ = fd.spatial_dropout(x.numpy(), 0.4, rng=1)
        for y in (layer(x).numpy(), ours):
            dropped = (y == 0).all(axis=axes)
            assert np.array_equal(dropped, (y == 0).any(axis=axes))
            assert dropped.mean() == pytest.approx(0.4, abs=0.06)
            np.testing.assert_allclose(y[~dropped], x.numpy()[~dropped] / 0.6)

    def test_attention_in_evaluation(self, torch):
        scores = torch.randn(3, 4, 6, 6, dtype=torch.float64)
        np.testing.assert_allclose(
            fd.softmax_dropout(scores.numpy(), 0.3, training=False)[0],
            torch.nn.functional.dropout(scores.softmax(dim=-1), 0.3, training=False).numpy(),
            rtol=1e-13,
        )
