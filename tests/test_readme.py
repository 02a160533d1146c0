"""The README's Python runs as it stands, block after block."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_python_blocks_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    namespace = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    accuracy, *summary = capsys.readouterr().out.splitlines()
    assert 0 <= float(accuracy) <= 1
    assert summary[-2].split() == ["total", "7,114"]
    assert namespace["result"].samples == 50


def test_it_opens_with_the_two_commands():
    first = re.search(r"```\n(.*?)```", README, re.DOTALL).group(1).splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make app", "make test"]


def test_every_linked_file_is_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (Path(__file__).parent.parent / link).exists(), link
