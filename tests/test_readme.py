"""The README's Python runs as it stands, block after block."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.slow  # with PyTorch and Dask
def test_python_blocks_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 6
    namespace = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch|distributed|dask")
        for block in blocks:
            exec(compile(block, "README.md", "exec"), namespace)
    accuracy, *summary = capsys.readouterr().out.splitlines()
    assert 0 <= float(accuracy) <= 1
    assert summary[-2].split() == ["total", "7,114"]
    assert namespace["result"].samples == 50
    assert namespace["swapped"] == 4
    assert "self_attn._extra_state" in namespace["saved"]
    assert 0.4 < float((namespace["noisy"] == 0).float().mean()) < 0.6
    assert namespace["same"]
    y = np.asarray(namespace["y"])
    assert np.array_equal(namespace["part"], y[10:20, :, ::2])
    assert np.array_equal(np.asarray(namespace["gradient"]) != 0, np.asarray(namespace["mask"]))
    assert len(namespace["results"]) == 6
    assert namespace["best"].figure("test_accuracy") > 0.5


def test_the_guide_runs():
    text = (Path(__file__).parent.parent / "docs" / "guide.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 8
    assert sum("assert" in block for block in blocks) == 5
    namespace = {}
    for block in blocks:
        exec(compile(block, "guide.md", "exec"), namespace)
    y, mask = namespace["forward"](namespace["x"], 0.5, namespace["stream"])
    assert np.array_equal(namespace["backward"](np.ones_like(y), mask), mask.factors(float))
    assert len({stream.key for stream in namespace["streams"]}) == 4


def test_it_opens_with_the_two_commands():
    first = re.search(r"```\n(.*?)```", README, re.DOTALL).group(1).splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make app", "make test"]


def test_every_linked_file_is_there():
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        assert (Path(__file__).parent.parent / link).exists(), link
