"""The benchmark on a GPU, on tiny plans, emulated: calls, checks and conclusions. No test asserts a time."""

import json
import sys

import emulated_cupy
import emulator
import pytest

from fastdrop.backends.cuda import compiler
from fastdrop.bench import device, plan, report, results, targets
from fastdrop.bench.operations import Buffers
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow

SMALL = {
    plan.DEVICE_IMAGES: (2, 8, 6, 6),
    plan.DEVICE_IMAGES_LAST: (2, 6, 6, 8),
    plan.DEVICE_LAYER: (3, 5, 40),
    plan.DEVICE_ROWS: (30, 48),
}
TINY = (
    plan.Row(plan.BOTH, ((1 << 10,),), (0.5, 0.3), ("copy", "plain CuPy"), seconds=0),
    plan.Row((plan.DEVICE_OR_HOST,), plan.powers(6, 8), (0.5,), ("with transfer", "on the CPU"), seconds=0),
)


@pytest.fixture
def emulated(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", emulated_cupy.make())
    monkeypatch.setattr(compiler, "kernel", emulator.kernel)


def _everything():
    for case in plan.cases(plan.DEVICE + plan.DEVICE_QUICK, plan.ON_DEVICE):
        others = tuple(name for name in case.baselines if name != "torch")
        yield case._replace(shape=SMALL.get(case.shape, (min(case.elements, 5000),)), seconds=0, baselines=others)


@pytest.mark.parametrize("operation", plan.operations(plan.DEVICE))
def test_every_case_of_the_plan_runs_small(emulated, operation):
    found = sorted({case for case in _everything() if case.operation == operation})
    assert found
    for result in results.run(found):
        assert {name: text for name, text in result.candidates.items() if isinstance(text, str)} == {}
        assert set(result.candidates) == {"fastdrop", *result.case.baselines}


def test_tiny_plan_end_to_end(emulated, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(plan, "DEVICE", TINY)
    path = tmp_path / "gpu.json"
    assert cli.main(["bench", "--device", "cuda", "--save", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "dropout on the GPU is faster than on this CPU, data moved both ways: " in printed
    for words in ("emulated, 1 multiprocessors", "plain", "on the GPU"):
        assert words in printed
    document = json.loads(path.read_text())
    assert document["machine"]["device"] == "emulated"
    assert set(document["break even elements"]) == {"data on the GPU", "data moved both ways"}
    assert len(document["targets"]) == len(targets.DEVICE_TARGETS)
    assert [report.record(result) for result in report.load(path).results] == document["results"]


def test_arrays_take_turns_beyond_the_cache(emulated):
    assert device.turns(1 << 10) == 32
    assert device.turns(1 << 16) == 1
    assert device.turns(1) == device.MOST_TURNS
    gets = device.getters(plan.Case("dropout", (10,), "float32", 0.5, 0), Buffers(device.cupy()))
    assert gets[1]("x").data.ptr - gets[0]("x").data.ptr == 512
    assert gets[1]("bias").data.ptr == gets[0]("bias").data.ptr


def test_a_wrong_result_is_not_timed(emulated, monkeypatch):
    true = device.fd.dropout

    def wrong(*arguments, **keywords):
        y, mask = true(*arguments, **keywords)
        y[-1] = 7
        return y, mask

    monkeypatch.setattr(device.fd, "dropout", wrong)
    (result,) = results.run([plan.Case("dropout", (3000,), "float32", 0.5, 0, ("copy",), 0)])
    assert "differs from the reference" in result.error


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([(1, 9, 9, 5), (2, 4, 9, 5), (4, 3, 9, 5)], (2, None)),
        ([(1, 1, 1, 5), (2, 1, 9, 5), (4, 1, 4, 5)], (1, 4)),
        ([(1, 9, 9, 5), (2, 9, 9, 5)], (None, None)),
    ],
)
def test_break_even(seconds, expected):
    found = [
        (size, {"fastdrop": there, "with transfer": moved, "on the CPU": host}) for size, there, moved, host in seconds
    ]
    assert tuple(device.break_even(found).values()) == expected


def test_options_that_have_no_meaning_there(emulated, capsys):
    assert cli.main(["bench", "--device", "cuda", "--threads", "2"]) == 2
    assert "--threads" in capsys.readouterr().err
    assert cli.main(["bench", "--device", "cuda", "--only", "nothing"]) == 2
    assert "CPU or GPU" in capsys.readouterr().err
