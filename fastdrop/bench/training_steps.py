"""Whole training steps in PyTorch: without dropout, with torch's, and with fastdrop's.

What dropout adds to a step is what users wait for; a kernel's time says little about it.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from fastdrop.bench.measure import SUBJECT, Candidate, Maker
from fastdrop.bench.plan import MLP_PASSES, TRANSFORMER_STEP, Case
from fastdrop.torch import replace_dropout

PASSES = 50
"""Forward passes of a prediction by Monte Carlo dropout."""


def makers(case: Case) -> dict[str, Maker]:
    """The candidates by name, fastdrop first."""
    names = {SUBJECT: (case.p, True), "no dropout": (0.0, False), "torch": (case.p, False)}
    return {name: partial(_candidate, case, *how) for name, how in names.items()}


def _candidate(case: Case, p: float, swap: bool) -> Candidate:
    torch.manual_seed(0)
    model, x = _model(case, p).train(), torch.randn(case.shape)
    modules = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    if swap and replace_dropout(model) < len(modules):
        raise AssertionError(f"fewer than {len(modules)} dropout modules were swapped")
    check_rates(model, x, p)
    return Candidate(_passes(model, x) if case.operation == MLP_PASSES else _step(model, x), _check)


def _model(case: Case, p: float) -> nn.Module:
    if case.operation == TRANSFORMER_STEP:
        return nn.TransformerEncoderLayer(case.shape[-1], 8, 2048, p, batch_first=True)
    layers: list[nn.Module] = []
    for inputs in (case.shape[-1], 1024):
        layers += [nn.Linear(inputs, 1024), nn.ReLU(), nn.Dropout(p)]
    return nn.Sequential(*layers, nn.Linear(1024, 10))


def _step(model: nn.Module, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Forward, loss, backward and a step of SGD; returns the loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    classes = torch.arange(x.shape[0]) % 10

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        y = model(x)
        loss = nn.functional.cross_entropy(y, classes) if y.dim() == 2 else y.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _passes(model: nn.Module, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Forward passes with dropout; returns the mean prediction."""

    @torch.no_grad()
    def predict() -> torch.Tensor:
        return sum((model(x) for _ in range(PASSES)), torch.zeros(())) / PASSES

    return predict


def _check(result: torch.Tensor) -> None:
    if not result.isfinite().all():
        raise AssertionError("a loss or a prediction is not finite")


def check_rates(model: nn.Module, x: torch.Tensor, p: float) -> None:
    """Raise AssertionError where a dropout module drops another fraction than p, or scales by another factor."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def see(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        kept = inputs[0] != 0
        seen.append((inputs[0].detach()[kept], output.detach()[kept]))

    modules = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    handles = [module.register_forward_hook(see) for module in modules]
    model(x)
    for handle in handles:
        handle.remove()
    if not seen:
        raise AssertionError("no dropout module was run")
    for before, after in seen:
        dropped = (after == 0).double().mean().item()
        if abs(dropped - p) > 6 * math.sqrt(p * (1 - p) / before.numel()):  # a false alarm in 10^9 runs
            raise AssertionError(f"{dropped:.5f} of the elements are dropped, not {p:g}")
        torch.testing.assert_close(after, torch.where(after != 0, before / (1 - p), 0.0))
