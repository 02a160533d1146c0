"""Faults of layers, experiments and the benchmark: see python_faults.py."""

import os
from pathlib import Path
from typing import Any

from python_faults import fault, getting, instead, returning

# ---- layers, losses, optimisers


def _mean_bias_gradient(right: Any, layer: Any, dy: Any) -> Any:
    dx = right(layer, dy)
    layer.bias.grad = layer.bias.grad / len(dy)
    return dx


def _constant_statistics(right: Any, layer: Any, dy: Any) -> Any:
    layer._from_batch = False
    return right(layer, dy)


def _summed_loss(right: Any, logits: Any, labels: Any) -> Any:
    loss, dlogits = right(logits, labels)
    return loss, dlogits * len(labels)


def _last_moments(right: Any, moments: Any, y: Any, probabilities: bool) -> None:
    moments.__init__()
    right(moments, y, probabilities)


fault(
    "family_shares_nothing",
    "fastdrop.functional.shared_axes:dropout",
    "DropPath, locked and embedding dropout share no axis",
    "family",
    instead(lambda right, x, p, *, shared_axes, **keywords: right(x, p, **keywords)),
)
fault(
    "block_start_probability_is_p",
    "fastdrop.regions:block_start_probability",
    "DropBlock begins blocks with probability p",
    "family",
    instead(lambda right, p, sizes, block: p),
)
fault(
    "linear_bias_gradient",
    "fastdrop.nn.layers:Linear.backward",
    "a bias' gradient is the mean",
    "layers",
    instead(_mean_bias_gradient),
)
fault(
    "batch_norm_of_constants",
    "fastdrop.nn.layers:BatchNorm.backward",
    "the batch's mean and variance are treated as constants",
    "layers",
    instead(_constant_statistics),
)
fault(
    "max_pool_halves",
    "fastdrop.nn.convolution:MaxPool2d.backward",
    "a maximum gets half of the gradient",
    "layers",
    instead(lambda right, layer, dy: right(layer, dy * 0.5)),
)
fault(
    "lstm_gates",
    "fastdrop.nn.recurrent:sigmoid",
    "gates go from -1 to 1",
    "layers",
    instead(lambda right, x: 2 * right(x) - 1),
)
fault(
    "eval_keeps_dropping",
    "fastdrop.nn.module:Module.eval",
    "evaluation leaves dropout on",
    "layers",
    instead(lambda right, module: module),
)
fault(
    "gradient_of_last_layer",
    "fastdrop.nn.module:Sequential.backward",
    "gradients pass only the last layer",
    "layers",
    instead(lambda right, model, dy: model.layers[-1].backward(dy)),
)
fault(
    "adam_steps_forgotten",
    "fastdrop.nn.optimizers:Adam.set_steps",
    "a restored Adam corrects as in its first step",
    "trainer",
    returning(None),
)
fault(
    "decay_of_all",
    "fastdrop.nn.optimizers:Optimizer.decay",
    "biases decay as well",
    "layers",
    instead(lambda right, optimizer, parameter: optimizer.weight_decay),
)
fault(
    "loss_not_averaged",
    "fastdrop.nn.losses:softmax_cross_entropy",
    "the gradient of the loss is that of a sum",
    "layers",
    instead(_summed_loss),
)
fault(
    "entropy_in_bits",
    "fastdrop.nn.monte_carlo:_entropy",
    "uncertainties are in bits",
    "monte carlo",
    instead(lambda right, probabilities: right(probabilities) / 0.6931471805599453),
)
fault(
    "moments_of_last_part",
    "fastdrop.nn.monte_carlo:_Moments.add",
    "only the last samples count",
    "monte carlo",
    instead(_last_moments),
)
fault(
    "curriculum_is_linear",
    "fastdrop.nn.schedules:Curriculum.at",
    "the curriculum is linear",
    "layers",
    instead(lambda right, schedule, t: schedule.end * t),
)

# ---- experiments: readers, writers, states, tables, sweeps

fault(
    "members_unchecked",
    "fastdrop.experiments.formats.npz:_checked",
    "archives may have duplicate names, or declare any size",
    "archives",
    instead(lambda right, members, size: {each.filename.removesuffix(".npy"): each for each in members}),
)
fault(
    "values_unchecked",
    "fastdrop.experiments.formats.npz:_checked_values",
    "bytes that are no text or bool are accepted",
    "archives",
    instead(lambda right, name, array: array),
)
fault(
    "any_kind_of_file",
    "fastdrop.experiments.formats.reading:size_of",
    "pipes and devices are opened, and files of any size",
    "archives",
    returning(1),
)
fault(
    "underscores_are_digits",
    "fastdrop.experiments.tables.values:parse_number",
    "1_0 and 10 are one class",
    "tables",
    instead(lambda right, text: right(text.replace("_", ""))),
)
fault(
    "label_from_zero",
    "fastdrop.experiments.tables.roles:place_of",
    "a column's number counts from 0",
    "tables",
    instead(lambda right, names, wanted: right(names, wanted) - (wanted.isdecimal() and wanted not in names)),
)


def _next_class(labels, names):
    return (labels + 1) % len(names), names


fault(
    "classes_exchanged",
    "fastdrop.experiments.tables.reader:classes_of",
    "labels are those of the next class",
    "tables",
    instead(lambda right, values, place: _next_class(*right(values, place))),
)
fault(
    "order_unchecked",
    "fastdrop.experiments.checkpoint:_check_order",
    "a state's order of examples may be anything",
    "states",
    returning(None),
)
fault(
    "progress_unchecked",
    "fastdrop.experiments.checkpoint:_check_progress",
    "a state's counts may contradict each other",
    "states",
    returning(None),
)
fault(
    "generator_unchecked",
    "fastdrop.experiments.checkpoint:_generator",
    "a generator's state is not restored",
    "states",
    lambda right: lambda saved: right(__import__("numpy").random.default_rng(0).bit_generator.state),
)
fault(
    "moments_not_saved",
    "fastdrop.experiments.trainer:Trainer._kept_arrays",
    "the optimiser's moments are not saved",
    "trainer",
    instead(lambda right, trainer: iter(())),
)
fault(
    "written_in_place",
    "fastdrop.experiments.formats.writing:write_atomically",
    "files are overwritten in place",
    "files",
    instead(lambda right, path, content: Path(os.fsdecode(path)).write_bytes(content)),
)
fault(
    "lock_for_everybody",
    "fastdrop.experiments.formats.locks:FileLock._acquire",
    "locks do not exclude other processes",
    "files",
    instead(lambda right, lock, path, end: None),
)
fault(
    "unknown_fields",
    "fastdrop.experiments.formats.config_toml:by_present_names",
    "unknown fields are not refused with a message",
    "configuration texts",
    instead(lambda right, fields, known: dict(fields)),
)
fault(
    "numbers_as_python_reads",
    "fastdrop.experiments.formats.share_code:_value",
    "1_0 is accepted as a number in a share code",
    "configuration texts",
    instead(lambda right, kind, text: kind(text)),
)
fault(
    "tables_of_any_sweep",
    "fastdrop.experiments.sweeps.plan:Sweep.identity",
    "tables of other sweeps are accepted",
    "sweep table",
    getting(lambda sweep: {"rule": 1, "parameter": sweep.parameter}),
)
fault(
    "diverged_counts",
    "fastdrop.experiments.sweeps.plan:Result.figure",
    "runs that diverged count in the mean",
    "sweeps",
    instead(
        lambda right, result, quantity: right(
            type(result)(result.value, result.seed, result.config, result.figures), quantity
        )
    ),
)
fault(
    "seal_unchecked",
    "fastdrop.experiments.sweeps.parquet:seal",
    "damaged tables are accepted",
    "sweep table",
    instead(lambda right, content: content),
)

# ---- the benchmark

fault(
    "targets_always_met",
    "fastdrop.bench.targets:Target.is_met",
    "a target counts as met for any result",
    "bench",
    returning(True),
)
fault(
    "speeds_turned_over",
    "fastdrop.bench.targets:Target.measured",
    "speeds are inverted",
    "bench",
    instead(lambda right, target, result: 1 / (right(target, result) or 1.0)),
)
fault(
    "others_unseen",
    "fastdrop.bench.noise:between",
    "CPU use by other processes is not reported",
    "bench",
    instead(lambda right, before, after, *more, **keywords: right(None, None, *more, **keywords)),
)
