"""Checkpoints: a saved state of a trainer is checked as a whole before the trainer takes any of it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.diagnostics import EpochRecord
from fastdrop.experiments.errors import CheckpointError
from fastdrop.experiments.formats.reading import LARGEST_TEXT, Unreadable, parse_json, shown
from fastdrop.rule import check_probability
from fastdrop.stream import Stream

if TYPE_CHECKING:
    from fastdrop.experiments.trainer import Trainer

State = dict[str, NDArray[Any]]

MOST_CALLS = 1 << 62
"""Calls that a stream may have made: it can still make as many again."""
MOST_STEPS = 1 << 62
MOST_EPOCHS = 1_000_000
"""The limit of a configuration."""
_NUMBERS = ("step_count", "rates", "learning_rate", "streams", "newest_calls", "order_rng", "epoch_losses")
_OTHERS = ("numbers", "history", "order", "newest_rows")
_STREAM = {"rule_version", "key", "calls", "spawned"}
_NEVER_NEGATIVE = {"square", "running_var"}
"""Words in the names of arrays whose values are means of squares."""


@dataclass(frozen=True)
class Numbers:
    """The parts of a state that are not arrays."""

    step_count: int
    rates: tuple[float, ...]
    learning_rate: float
    streams: tuple[Stream, ...]
    newest_calls: tuple[int, ...]
    order_rng: np.random.Generator
    epoch_losses: tuple[float, ...]


def numbers_of(state: Mapping[str, NDArray[Any]]) -> Numbers:
    """The state's numbers; an error where no trainer can have them."""
    text = _array(state, "numbers")
    if text.shape != () or text.dtype.kind != "U" or text.dtype.itemsize > 4 * LARGEST_TEXT:
        raise CheckpointError("numbers must be text; it is another type, or too long")
    try:
        found = parse_json(str(text))
    except Unreadable as error:
        raise CheckpointError(f"numbers: {error}") from None
    if not isinstance(found, dict) or found.keys() != set(_NUMBERS):
        raise CheckpointError(f"numbers must have the keys {', '.join(_NUMBERS)}; got {shown(found)}")
    for name in ("rates", "streams", "newest_calls", "epoch_losses"):
        if not isinstance(found[name], list):
            raise CheckpointError(f"{name} must be a list; got {shown(found[name])}")
    try:
        rates = tuple(check_probability(_real("rates", rate), "rate") for rate in found["rates"])
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    learning_rate = _real("learning_rate", found["learning_rate"])
    if learning_rate < 0.0:
        raise CheckpointError(f"learning_rate must not be negative; got {learning_rate!r}")
    return Numbers(
        _count("step_count", found["step_count"], MOST_STEPS),
        rates,
        learning_rate,
        tuple(_stream(saved) for saved in found["streams"]),
        tuple(_count("newest_calls", calls, MOST_CALLS) for calls in found["newest_calls"]),
        _generator(found["order_rng"]),
        tuple(_real("epoch_losses", loss) for loss in found["epoch_losses"]),
    )


def records(rows: Iterable[list[float]]) -> tuple[EpochRecord, ...]:
    """The curves, from rows of an epoch, two losses and two accuracies; an error where they are something else."""
    return tuple(_record(row) for row in rows)


def _record(row: Any) -> EpochRecord:
    if not isinstance(row, list) or len(row) != 5 or any(type(value) not in (int, float) for value in row):
        raise CheckpointError(f"a row of history must be an epoch and four figures; got {shown(row)}")
    epoch, _, _, *accuracies = row
    if not (0 <= epoch <= MOST_EPOCHS and epoch == int(epoch)):
        raise CheckpointError(f"an epoch in history must be a whole number from 0 to {MOST_EPOCHS}; got {shown(epoch)}")
    if not all(0 <= accuracy <= 1 for accuracy in accuracies):
        raise CheckpointError(f"accuracies must be from 0 to 1; got {shown(row)}")
    try:
        return EpochRecord(int(epoch), *map(float, row[1:]))
    except OverflowError:
        raise CheckpointError(f"a loss in history is too large: {shown(row)}") from None


def history_of(state: Mapping[str, NDArray[Any]]) -> tuple[EpochRecord, ...]:
    """The state's curves: a row for each epoch from 0 on."""
    rows = _array(state, "history")
    if rows.ndim != 2 or rows.dtype != np.float64 or not len(rows):
        raise CheckpointError(f"history must have an epoch and four figures in each row; got {_kind(rows)}")
    history = records(rows.tolist())
    if [record.epoch for record in history] != list(range(len(history))):
        raise CheckpointError("history must have one row for each epoch from 0 on")
    return history


def check(state: Mapping[str, NDArray[Any]], trainer: "Trainer", arrays: Mapping[str, NDArray[Any]]) -> Numbers:
    """The state's numbers, if this trainer can have the whole state; otherwise an error names the reason.

    `arrays` are the trainer's arrays by their names in a state. After divergence they may hold infinities and NaNs.
    """
    for name, own in arrays.items():
        found = _array(state, name)
        if found.shape != own.shape:
            raise CheckpointError(f"{name} must have shape {own.shape}; got {found.shape}")
        if not np.can_cast(found.dtype, own.dtype, "equiv"):
            raise CheckpointError(f"{name} must have dtype {own.dtype}; got {found.dtype}")
        if not _NEVER_NEGATIVE.isdisjoint(name.split()) and (found < 0).any():
            raise CheckpointError(f"{name} holds negative numbers")
    unknown = sorted(state.keys() - arrays.keys() - set(_OTHERS))
    if unknown:
        raise CheckpointError(f"it holds {shown(unknown[0])}, which this network does not have")
    numbers, history = numbers_of(state), history_of(state)
    _check_progress(numbers, len(history) - 1, trainer)
    _check_order(state, numbers.step_count, trainer)
    return numbers


def _check_progress(numbers: Numbers, epochs: int, trainer: "Trainer") -> None:
    """Check the counts and the lengths of lists against the number of steps."""
    steps, per_epoch = numbers.step_count, trainer.steps_per_epoch
    if epochs != steps // per_epoch:
        raise CheckpointError(f"history ends with epoch {epochs}; {steps} steps are {steps // per_epoch} epochs")
    if len(numbers.epoch_losses) != ((steps - 1) % per_epoch + 1 if steps else 0):
        raise CheckpointError(
            f"epoch_losses has {len(numbers.epoch_losses)} entries, which is impossible after {steps} steps"
        )
    if len(numbers.rates) != len(trainer.config.hidden):
        raise CheckpointError(
            f"rates must have an entry for each of {len(trainer.config.hidden)} layers; got {len(numbers.rates)}"
        )
    if [stream.key for stream in numbers.streams] != [stream.key for stream in trainer.streams]:
        raise CheckpointError("the streams belong to another seed or network")
    if len(numbers.newest_calls) != len(numbers.streams):
        raise CheckpointError(f"newest_calls must have an entry for each stream; got {len(numbers.newest_calls)}")
    if any(calls > stream.calls for calls, stream in zip(numbers.newest_calls, numbers.streams, strict=True)):
        raise CheckpointError("newest_calls must not exceed the calls of the streams")


def _check_order(state: Mapping[str, NDArray[Any]], steps: int, trainer: "Trainer") -> None:
    """Check that the order is a permutation of the examples, and the newest batch part of them."""
    examples = len(trainer.dataset.x_train)
    order, newest = _array(state, "order"), _array(state, "newest_rows")
    for name, rows in (("order", order), ("newest_rows", newest)):
        if rows.ndim != 1 or rows.dtype.kind != "i":
            raise CheckpointError(f"{name} must be a row of whole numbers; got {_kind(rows)}")
        if rows.size and not 0 <= rows.min() <= rows.max() < examples:
            raise CheckpointError(f"{name} names examples that the data set does not have")
    if len(order) != (examples if steps else 0) or len(np.unique(order)) != len(order):
        raise CheckpointError(f"order must name each of {examples} examples once")
    if not 1 <= len(newest) <= trainer.config.batch_size:
        raise CheckpointError(f"newest_rows must have 1 to {trainer.config.batch_size} entries; got {len(newest)}")


def _array(state: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in state:
        raise CheckpointError(f"{name!r} is missing")
    if not isinstance(state[name], np.ndarray):
        raise CheckpointError(f"{name} must be an array; got {shown(state[name])}")
    return state[name]


def _kind(array: NDArray[Any]) -> str:
    return f"dtype {array.dtype}, shape {array.shape}"


def _count(name: str, value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise CheckpointError(f"{name} must be a whole number from 0 on; got {shown(value)}")
    return value


def _real(name: str, value: Any) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise CheckpointError(f"{name} must be a finite number; got {shown(value)}")


def _stream(saved: Any) -> Stream:
    """A stream with this state."""
    if (
        not isinstance(saved, dict)
        or saved.keys() != _STREAM
        or any(type(value) is not int for value in saved.values())
    ):
        raise CheckpointError(f"streams must hold states of streams; got {shown(saved)}")
    stream = Stream(0)
    try:
        stream.state = saved
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"streams: {error}") from None
    _count("calls of a stream", stream.calls, MOST_CALLS)
    return stream


def _generator(saved: Any) -> np.random.Generator:
    """A generator with this state. NumPy accepts some invalid states and then has another one."""
    generator = np.random.default_rng(0)
    try:
        generator.bit_generator.state = saved
        if generator.bit_generator.state == saved and saved["state"]["inc"] % 2:
            return generator
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        pass
    raise CheckpointError("order_rng must be the state of a PCG64 generator")
