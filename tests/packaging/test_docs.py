"""Files, headings and tests that the documentation names exist."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def prose_of(page):
    """A page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@functools.cache
def headings_of(page):
    """The anchors that GitHub generates from a page's headings."""
    found = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def links_of(page):
    found = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


@functools.cache
def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def test_the_pages_are_found():
    assert len(PAGES) > 20
    assert sum(len(links_of(page)) for page in PAGES) > 150


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    missing = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings_of(target)):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_tests_exist(page):
    for file, name in re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)", page.read_text(encoding="utf-8")):
        assert name in functions_of(ROOT / "tests" / file), f"{file}::{name}"


FOLDERS = ("fastdrop", "src_kernels", "gui", "tests", "docs", "examples")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_files_exist(page):
    """Paths relative to the root, in code font."""
    if page.name == "CHANGELOG.md":  # the changelog also names removed files
        return
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+\.\w+)(?::[\w.]+)?`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_can_be_found():
    """Every page is reachable by links from the README."""
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        linked = [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page) if link[0] != "#"]
        left += [target for target in linked if target.suffix == ".md"]
    assert set(PAGES) - seen == set()


def test_functions_of_the_data_flow_exist():
    """The architecture page's tables have the form `file`: `function`, `function`."""
    page = ROOT / "docs" / "development" / "architecture.md"
    rows = re.findall(r"^\| \d+ \| (.+?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 25
    for row in rows:
        path, *functions = re.findall(r"`([^`]+)`", row.partition(" (")[0])
        place = ROOT / "gui" / path if path.startswith("fastdrop_gui") else ROOT / path
        text = place.read_text(encoding="utf-8")
        for name in functions:
            if name.endswith((".cu", ".h")):
                continue
            assert re.search(rf"\b{re.escape(re.split(r'::|[.]', name)[-1])}\b", text), f"{path}: {name}"
