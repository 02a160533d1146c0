"""Whole training steps in PyTorch: with torch's dropout, with fastdrop's, and with p = 0 as the floor.

What dropout adds to a step is what users wait for; a kernel alone says little about it. The three stand in one run, in
rounds, on the same inputs.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT, Candidate, Timing, measure
from fastdrop.experiments.files import write_json
from fastdrop.torch import replace_dropout
from fastdrop.torch.modules import OwnMasks

Tensor = torch.Tensor

FLOOR, PEER = "p = 0", "torch"
FORMAT, VERSION = "fastdrop bench torch", 1
SECONDS = 12.0
"""What a workload's rounds may take, beyond the fewest."""
PASSES = 50


class Workload(NamedTuple):
    """A model, what it is trained on, and how much dropout may add."""

    name: str
    p: float
    make: Callable[[float], nn.Module]
    inputs: Callable[[], Tensor]
    swapped: int
    """Modules that `replace_dropout` finds."""
    promised: float
    """At most so many times the floor."""
    trains: bool = True
    """A step of training, or `PASSES` forward passes of Monte Carlo dropout."""


def _encoder(p: float) -> nn.Module:
    return nn.TransformerEncoderLayer(512, 8, 2048, p, batch_first=True)


def _mlp(p: float) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs in (784, 1024):
        layers += [nn.Linear(inputs, 1024), nn.ReLU(), nn.Dropout(p)]
    return nn.Sequential(*layers, nn.Linear(1024, 10))


WORKLOADS = (
    Workload(
        "TransformerEncoderLayer, 512 wide, 8 heads, 2048 hidden, batch 16 x 128",
        0.1,
        _encoder,
        lambda: torch.randn(16, 128, 512),
        4,
        1.08,
    ),
    Workload("MLP 784-1024-1024-10, batch 256", 0.5, _mlp, lambda: torch.randn(256, 784), 2, 1.10),
    Workload(f"{PASSES} Monte Carlo passes of that MLP", 0.5, _mlp, lambda: torch.randn(256, 784), 2, 1.15, False),
)


class Outcome(NamedTuple):
    """A workload's timings by candidate; the text of an error where one failed."""

    workload: Workload
    candidates: dict[str, Timing | str]

    def ratio(self, name: str) -> float:
        """How many times the floor's time it takes: the median over rounds. NaN where one failed."""
        own, floor = self.candidates.get(name), self.candidates.get(FLOOR)
        if not isinstance(own, Timing) or not isinstance(floor, Timing):
            return math.nan
        return own.relative / floor.relative


def run(workloads: tuple[Workload, ...] = WORKLOADS, seconds: float = SECONDS) -> Iterator[Outcome]:
    """Measure them, one after the other."""
    for workload in workloads:
        makers: dict[str, Callable[[], Candidate]] = {
            FLOOR: partial(_candidate, workload, 0.0, False),
            PEER: partial(_candidate, workload, workload.p, False),
            SUBJECT: partial(_candidate, workload, workload.p, True),
        }
        yield Outcome(workload, measure(makers, seconds))


def _candidate(workload: Workload, p: float, swap: bool) -> Candidate:
    torch.manual_seed(0)
    model, x = workload.make(p).train(), workload.inputs()
    if swap:
        found = replace_dropout(model)
        if found != workload.swapped:
            raise RuntimeError(f"{found} modules were swapped, not {workload.swapped}")
    check_dropout(model, x, p)
    work = _step(model, x) if workload.trains else _passes(model, x)
    return Candidate(work, _check_result, 0)


def _step(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Forward, loss, backward and a step of SGD; returns the loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    classes = torch.arange(x.shape[0]) % 10

    def step() -> Tensor:
        optimizer.zero_grad()
        y = model(x)
        loss = nn.functional.cross_entropy(y, classes) if y.dim() == 2 else y.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _passes(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Forward passes with dropout; returns the mean prediction."""

    @torch.no_grad()
    def predict() -> Tensor:
        total = model(x)
        for _ in range(PASSES - 1):
            total += model(x)
        return total / PASSES

    return predict


def _check_result(result: Tensor) -> None:
    if not result.isfinite().all():
        raise AssertionError("a loss or a prediction is not finite")


def check_dropout(model: nn.Module, x: Tensor, p: float) -> None:
    """Raise where a dropout module does not drop at p, does not scale, or its gradient has another mask."""
    seen: list[tuple[Tensor, Tensor]] = []
    handles = [
        module.register_forward_hook(partial(_see, seen))
        for module in model.modules()
        if isinstance(module, nn.Dropout)
    ]
    model(x).square().sum().backward()
    for handle in handles:
        handle.remove()
    if len(seen) != len(handles) or not seen:
        raise AssertionError(f"{len(handles)} dropout modules ran {len(seen)} times")
    for before, after in seen:
        _check_rate(before[before != 0], after[before != 0], p)
        torch.testing.assert_close(after, torch.where(after != 0, before / (1 - p), 0.0))
        if after.requires_grad and p:
            assert before.grad is not None
            assert after.grad is not None
            kept = (after != 0) | (before == 0)  # where the input is 0, nobody sees the mask
            torch.testing.assert_close(before.grad[kept & (before != 0)], after.grad[kept & (before != 0)] / (1 - p))
            if before.grad[~kept].count_nonzero():
                raise AssertionError("a dropped element has a gradient")
    for attention in model.modules():
        if isinstance(attention, nn.MultiheadAttention) and isinstance(attention, OwnMasks):
            weights = attention(x, x, x, average_attn_weights=False)[1]
            _check_rate(torch.ones_like(weights), weights, p)


def _see(seen: list[tuple[Tensor, Tensor]], module: nn.Module, inputs: Any, output: Tensor) -> None:
    for tensor in (inputs[0], output):
        if tensor.requires_grad:
            tensor.retain_grad()
    seen.append((inputs[0], output))


def _check_rate(before: Tensor, after: Tensor, p: float) -> None:
    """Six standard deviations: a false alarm in 10**9 runs."""
    dropped = (after == 0).double().mean().item()
    if abs(dropped - p) > 6 * math.sqrt(p * (1 - p) / before.numel()):
        raise AssertionError(f"{dropped:.5f} of the elements are dropped, not {p:g}")


def save(outcomes: list[Outcome], path: Path) -> None:
    """Write the figures as JSON."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "machine": machine() | {"torch threads": torch.get_num_threads()},
        "results": [_record(outcome) for outcome in outcomes],
    }
    write_json(path, document)


def _record(outcome: Outcome) -> dict[str, Any]:
    candidates: dict[str, Any] = {}
    for name, timing in outcome.candidates.items():
        if isinstance(timing, str):
            candidates[name] = {"error": timing}
            continue
        ratio = outcome.ratio(name)
        candidates[name] = {
            "median_seconds": timing.median,
            "quartiles_seconds": [timing.low, timing.high],
            "rounds": timing.rounds,
            "ratio_to_floor": ratio if math.isfinite(ratio) else None,
        }
    workload = outcome.workload
    return {"workload": workload.name, "p": workload.p, "promised_ratio": workload.promised, "candidates": candidates}
