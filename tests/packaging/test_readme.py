"""The Python of the README and of the pages for users runs unchanged, block by block."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
RUN = {"README", "cluster", "experiments", "functions", "gpu", "guide", "layers", "mask-rule", "tables", "torch"}
"""The pages whose code blocks run in this file; test_mask_rule_vectors.py runs those of the mask rule."""


def blocks_of(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def run(path, blocks):
    """Run a page's code blocks, of which there must be this many; returns the names that they define."""
    found = blocks_of(path)
    assert len(found) == blocks
    namespace = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch|distributed|dask")
        for block in found:
            exec(compile(block, path.name, "exec"), namespace)
    return namespace


def test_every_page_with_python_is_run():
    pages = [README, *DOCS.glob("*.md"), *DOCS.glob("development/**/*.md")]
    assert {page.stem for page in pages if blocks_of(page)} == RUN
    for page in pages:  # no Python block in a form that blocks_of misses
        assert "```py\n" not in page.read_text(encoding="utf-8"), page


def test_the_readme_runs(capsys):
    found = run(README, 2)
    assert 0 <= float(capsys.readouterr().out) <= 1
    np.testing.assert_array_equal(found["dx"], found["mask"].factors())
    np.testing.assert_array_equal(found["y"], found["x"])
    assert (found["mask"].draw.call, found["mask"].p) == (2, 0.2)
    assert found["stream"].calls == 3 + 20  # one of the loop, one of the layer that shares the stream
    assert len({found[name].key for name in ("stream", "first", "second")}) == 3


def test_the_functions_run():
    found = run(DOCS / "functions.md", 1)
    assert found["mask"].shape == (64, 10, 100)
    assert found["stream"].calls == 7
    np.testing.assert_array_equal(found["dx"] != 0, found["dx"] == 2)
    assert [found[name].shape for name in ("dv", "dweight", "dbias")] == [(64, 100), (10, 100), (10,)]


def test_the_tables_run(capsys):
    run(DOCS / "tables.md", 1)
    *columns, sentence = capsys.readouterr().out.splitlines()
    assert columns == ["size number numbers", "color category 2 different texts", "kind target the last column"]
    assert "dropout (standard, p = 0.2)" in sentence.lower()


def test_the_layers_run(capsys):
    found = run(DOCS / "layers.md", 2)
    accuracy, *summary = capsys.readouterr().out.splitlines()
    assert 0 <= float(accuracy) <= 1
    assert summary[-2].split() == ["total", "7,114"]
    assert found["result"].samples == 50


def test_the_gpu_page_runs(gpu):
    found = run(DOCS / "gpu.md", 1)
    kept = np.asarray(found["mask"])
    np.testing.assert_array_equal(gpu.get(found["kept"]), kept)
    np.testing.assert_array_equal(gpu.get(found["dx"]), kept * np.float32(2))
    np.testing.assert_array_equal(gpu.get(found["y"]), kept * gpu.get(found["x"]) * np.float32(2))
    assert gpu.get(found["logits"]).shape == (64, 10)


@pytest.mark.slow
def test_the_torch_page_runs():
    found = run(DOCS / "torch.md", 1)
    assert found["swapped"] == 4
    assert "self_attn._extra_state" in found["saved"]
    assert 0.4 < float((found["noisy"] == 0).float().mean()) < 0.6


@pytest.mark.slow
def test_the_cluster_page_runs():
    found = run(DOCS / "cluster.md", 2)
    assert found["same"]
    y = np.asarray(found["y"])
    assert np.array_equal(found["part"], y[10:20, :, ::2])
    assert np.array_equal(np.asarray(found["gradient"]) != 0, np.asarray(found["mask"]))
    assert len(found["results"]) == 6
    assert found["best"].figure("test_accuracy") > 0.5


def test_the_experiments_page_runs(capsys):
    found = run(DOCS / "experiments.md", 1)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(epoch) for epoch, _ in printed] == [1, 2, 3, 4, 5]
    assert float(printed[-1][1]) == found["trainer"].history[-1].test_accuracy > 0.5


def test_the_guide_runs():
    blocks = blocks_of(DOCS / "guide.md")
    assert sum("assert" in block for block in blocks) == 6
    found = run(DOCS / "guide.md", 9)
    y, mask = found["forward"](found["x"], 0.5, found["stream"])
    assert np.array_equal(found["backward"](np.ones_like(y), mask), mask.factors(float))
    assert len({stream.key for stream in found["streams"]}) == 4


def test_the_readme_is_short_and_opens_with_the_two_commands():
    text = README.read_text(encoding="utf-8")
    first = re.search(r"```\n(.*?)```", text, re.DOTALL).group(1).splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make app", "make test"]
    assert len(text.splitlines()) <= 150


def test_the_first_lines_of_code_say_what_people_get_wrong():
    first = "\n".join(blocks_of(README)[0].splitlines()[:12])
    for words in ("p is the probability of dropping", "training=False", "before the loop", "layers share", "worker"):
        assert words in first
