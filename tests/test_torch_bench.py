"""`fastdrop bench torch` on small workloads: what it checks, measures, prints and keeps. No test asserts a time."""

import json
import math

import pytest

from fastdrop.cli import main as cli

torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastdrop.torch")
from fastdrop.bench import torch_steps  # noqa: E402
from fastdrop.bench.measure import Timing  # noqa: E402

pytestmark = pytest.mark.slow

nn = torch.nn


def _small(workload):
    """The workload with narrow layers and few examples."""
    if "Transformer" in workload.name:
        make = lambda p: nn.TransformerEncoderLayer(16, 2, 32, p, batch_first=True)  # noqa: E731
        return workload._replace(make=make, inputs=lambda: torch.randn(4, 20, 16))
    make = lambda p: nn.Sequential(  # noqa: E731
        nn.Linear(8, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 10)
    )
    return workload._replace(make=make, inputs=lambda: torch.randn(32, 8))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(torch_steps.run, "__defaults__", (tuple(map(_small, torch_steps.WORKLOADS)), 0.0))
    monkeypatch.setattr(torch_steps, "PASSES", 3)


def test_end_to_end(small, tmp_path, capsys):
    file = tmp_path / "torch.json"
    assert cli.main(["bench", "torch", "--save", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "failed" not in printed
    for words in ("at most 1.08", "at most 1.10", "at most 1.15", "Monte Carlo"):
        assert words in printed
    document = json.loads(file.read_text())
    assert document["machine"]["torch"] == torch.__version__
    assert [result["p"] for result in document["results"]] == [0.1, 0.5, 0.5]
    for result in document["results"]:
        candidates = result["candidates"]
        assert list(candidates) == ["p = 0", "torch", "fastdrop"]
        assert candidates["p = 0"]["ratio_to_floor"] == 1.0
        assert all(each["median_seconds"] > 0 and each["rounds"] >= 5 for each in candidates.values())


def test_the_workloads_are_the_issues():
    encoder, mlp, passes = torch_steps.WORKLOADS
    layer = encoder.make(0.1)
    assert (layer.linear1.in_features, layer.linear1.out_features, layer.self_attn.num_heads) == (512, 2048, 8)
    assert encoder.inputs().shape == (16, 128, 512)
    widths = [(each.in_features, each.out_features) for each in mlp.make(0.5) if isinstance(each, nn.Linear)]
    assert widths == [(784, 1024), (1024, 1024), (1024, 10)]
    assert mlp.inputs().shape == (256, 784)
    assert [each.trains for each in (encoder, mlp, passes)] == [True, True, False]


def test_a_step_trains_and_passes_differ():
    workload = _small(torch_steps.WORKLOADS[1])
    model, x = workload.make(0.5), workload.inputs()
    before = [each.clone() for each in model.parameters()]
    first, second = (torch_steps._passes(model, x)() for _ in range(2))
    assert first.shape == (32, 10)
    assert not torch.equal(first, second)
    assert not first.requires_grad
    loss = torch_steps._step(model, x)()
    assert 1 < loss < 5  # ten classes: log(10)
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


class Wrong(nn.Dropout):
    """Drops, and has a wrong gradient, rate or scale."""

    def __init__(self, p, what):
        super().__init__(p)
        self.what = what

    def forward(self, input):
        x = input
        if self.what == "rate":
            return nn.functional.dropout(x, 0.4) * 0.6 / 0.5
        kept = torch.rand_like(x) > self.p
        if self.what == "scale":
            return x * kept
        if self.what == "gradient":
            return (x * kept / (1 - self.p)).detach() + (x - x.detach()) / (1 - self.p)
        return x * kept / (1 - self.p)


@pytest.mark.parametrize("what", ["rate", "scale", "gradient", ""])
def test_wrong_dropout_is_found(what):
    x = torch.randn(200, 50)
    model = nn.Sequential(nn.Linear(50, 50), Wrong(0.5, what), nn.Linear(50, 3))
    if not what:
        torch_steps.check_dropout(model, x, 0.5)
        return
    with pytest.raises(AssertionError):
        torch_steps.check_dropout(model, x, 0.5)


def test_attention_that_does_not_drop_is_found(monkeypatch):
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.3, batch_first=True)
    ft.replace_dropout(layer)
    x = torch.randn(4, 20, 16)
    torch_steps.check_dropout(layer, x, 0.3)
    layer.self_attn.dropout = 0.0
    with pytest.raises(AssertionError, match="dropped, not"):
        torch_steps.check_dropout(layer, x, 0.3)


def test_ratios_are_to_the_floor():
    def timing(relative):
        return Timing(relative, relative, relative, 5, relative, relative, relative, 0)

    workload = torch_steps.WORKLOADS[0]
    outcome = torch_steps.Outcome(workload, {"p = 0": timing(0.8), "torch": timing(1.2), "fastdrop": timing(1.0)})
    assert [round(outcome.ratio(name), 6) for name in outcome.candidates] == [1.0, 1.5, 1.25]
    assert math.isnan(outcome._replace(candidates={"p = 0": "an error"}).ratio("fastdrop"))


def test_a_model_that_is_not_swapped_as_expected_fails(monkeypatch):
    workload = _small(torch_steps.WORKLOADS[1])._replace(swapped=3)
    (outcome,) = torch_steps.run((workload,), 0.0)
    assert "2 modules were swapped, not 3" in outcome.candidates["fastdrop"]


def test_where_it_cannot_be_saved_is_said_before_measuring(tmp_path, capsys):
    assert cli.main(["bench", "torch", "--save", str(tmp_path / "figures.txt")]) == 2
    assert ".json" in capsys.readouterr().err
