"""Names, numbers and times as the app shows them."""

import math

from fastdrop_gui.model.experiment_model import ExperimentModel, Status

_DISPLAY_NAMES = {
    "mlp": "MLP",
    "cnn": "CNN",
    "lstm": "LSTM",
    "attention": "Transformer",
    "text": "Text classifier",
    "relu": "ReLU",
    "selu": "SELU",
    "gelu": "GELU",
    "tanh": "tanh",
    "sigmoid": "Sigmoid",
    "adam": "Adam",
    "sgd": "SGD",
    "cpu": "CPU",
    "cuda": "GPU (CUDA)",
    "none": "None",
    "standard": "Standard",
    "gaussian": "Gaussian",
    "alpha": "Alpha",
    "spatial": "Spatial",
    "dropblock": "DropBlock",
    "dropconnect": "DropConnect",
    "locked": "Locked",
    "zoneout": "Zoneout",
    "path": "DropPath",
    "embedding": "Embedding",
    "constant": "Constant",
    "linear": "Linear",
    "cosine": "Cosine",
    "curriculum": "Curriculum",
}


def display_name(name: str) -> str:
    """How a value of the configuration is written in the app.

    Examples
    --------
    >>> display_name("mlp"), display_name("moons")
    ('MLP', 'moons')
    """
    return _DISPLAY_NAMES.get(name, name)


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "run"), counted(3, "run")
    ('1 run', '3 runs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def time_text(seconds: float) -> str:
    """A duration, as precisely as an estimate is known."""
    if seconds < 90:
        return f"{math.ceil(seconds / 5) * 5} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def gap_text(gap: float) -> str:
    """The difference of two accuracies, in percentage points."""
    return f"{100 * gap:.1f} pp"


def status_text(model: ExperimentModel) -> str:
    """What the experiment is doing, and its newest figures, in a line."""
    if model.snapshot is None:
        seconds = model.loading_seconds
        return model.status.value + (f" for {seconds:.0f} s (a large network or table)" if seconds >= 2 else "")
    latest = model.history[-1]
    parts = [
        model.status.value,
        f"epoch {model.snapshot.epoch:.1f}",
        f"train {latest.train_accuracy:.1%}",
        f"test {latest.test_accuracy:.1%}",
        f"gap {gap_text(latest.gap)}",
    ]
    if model.baseline_history:
        baseline = model.baseline_history[-1]
        behind = ", catching up" if (model.baseline_step or 0) < model.steps_done - model.steps_per_epoch else ""
        parts.append(f"baseline (no dropout): test {baseline.test_accuracy:.1%}, gap {gap_text(baseline.gap)}{behind}")
    if model.silence:
        parts.append(f"no answer for {model.silence:.0f} s (Reset ends it)")
    elif model.status is Status.RUNNING and model.steps_per_second:
        left = model.seconds_left
        time = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
        parts.append(f"{model.steps_per_second:.0f} batches/s, {time} left")
    return "   ".join(parts)
