"""Helpers of the tests of exported networks."""

import functools

import numpy as np
import pytest

from fastdrop import nn
from fastdrop.experiments import ExperimentConfig, Trainer, load_dataset
from fastdrop.experiments.datasets import Dataset

# The folder of the tests is called onnx, too: where the package is missing, `import onnx` may find the folder.
checker = pytest.importorskip("onnx.checker")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5
dataset = functools.cache(load_dataset)


def trained(settings):
    """A trainer after an epoch; then all parameters are shaken, so that none is near a value that changes nothing."""
    trainer = Trainer(settings.replace(epochs=1), dataset(settings.dataset))
    for _ in range(6):
        trainer.step()
    rng = np.random.default_rng(0)
    for _, parameter in trainer.network.parameters():
        parameter.value += 0.1 * rng.standard_normal(parameter.value.shape).astype(np.float32)
    return trainer


def session(model):
    checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def predicted(model, **inputs):
    """Probabilities and class names."""
    return session(model).run(["probabilities", "class"], inputs)


def prepared(raw, center, scale):
    with np.errstate(invalid="ignore", over="ignore"):
        return np.clip((raw.astype(np.float64) - center) / scale, -1e6, 1e6).astype(np.float32)


def expected(network, x):
    """The network's probabilities; its mode is restored."""
    modes = [module.training for module in network.modules()]
    probabilities = nn.softmax(network.eval()(x))
    for module, mode in zip(network.modules(), modes, strict=True):
        module.training = mode
    return probabilities


def own_network(features, classes=3, **settings):
    """A trained network on random columns."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((60, features)).astype(np.float32), np.arange(60) % classes
    names = tuple(f"class {number}" for number in range(classes))
    data = Dataset("own", x, y, x, y, tuple(f"x{number}" for number in range(features)), names)
    trainer = Trainer(ExperimentConfig(dataset="moons", hidden=(16,), learning_rate=0.1, epochs=1, **settings), data)
    trainer.step()
    return trainer.network
