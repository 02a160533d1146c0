"""Chooses the committed corpus: the smallest inputs that together cover all edges of the product's code.

An edge is a pair of lines executed one after the other in a function. Findings always stay.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from fuzz.readers import CORPUS, Finding, limited_memory, mutations, readers

ROOT = Path(__file__).parents[2]
PRODUCT = (f"{ROOT}/fastdrop/", f"{ROOT}/gui/")
FINDINGS = ("crash-", "timeout-", "oom-")
MOST_FILES, MOST_BYTES = 60, 40_000
"""Of a reader."""
LARGEST = 16_000
"""Bytes of a file."""
MOST_CANDIDATES = 3000
MUTATIONS = 100
"""For a reader of weight 1, in addition to the inputs that a run has kept."""


def _edges(work):
    """The edges that are covered while `work` runs, and its result."""
    found, last = set(), {}

    def line(frame, event, _):
        if event == "line":
            key = id(frame)
            found.add((frame.f_code, last.get(key), frame.f_lineno))
            last[key] = frame.f_lineno
        elif event == "return":
            last.pop(id(frame), None)
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: line if frame.f_code.co_filename.startswith(PRODUCT) else None)
    try:
        return found, work()
    finally:
        sys.settrace(before)


def distil(names, work):
    """Write the corpus of these readers; returns 1 if one of the candidates is a finding."""
    status = 0
    for name in names:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        old = [path for path in folder.iterdir() if not path.name.startswith(FINDINGS)]
        with tempfile.TemporaryDirectory() as place:
            reader = readers()[name](place)
            candidates = {path.read_bytes() for path in (*old, *Path(work, name).glob("*")) if path.is_file()}
            candidates |= set(mutations(reader, name, round(MUTATIONS * reader.weight)))
            chosen, problems, count = _chosen(reader, candidates)
        status |= bool(problems)
        for path in old:
            path.unlink()
        for outcome, content in chosen:
            (folder / f"{outcome}-{hashlib.sha256(content).hexdigest()[:16]}").write_bytes(content)
        size = sum(len(content) for _, content in chosen)
        said = f"{name}: {len(chosen)} of {len(candidates)} inputs, {size:,} bytes, {count:,} edges"
        print(said, *problems, sep="\n  ", flush=True)
    return status


def _chosen(reader, candidates):
    """Outcome and content of the inputs with an edge that no smaller one covers."""
    covered, chosen, problems, size = set(), [], [], 0
    ordered = sorted((content for content in candidates if len(content) <= LARGEST), key=lambda each: (len(each), each))
    seeds = [content for content in reader.seeds() if len(content) <= LARGEST]
    with limited_memory():
        for content in [*seeds, *ordered[:MOST_CANDIDATES]]:
            try:
                edges, outcome = _edges(lambda content=content: reader.outcome(content))
            except Finding as finding:
                problems.append(f"{finding!s:.200}: {content[:80]!r}")
                continue
            new = edges - covered
            if not new or outcome == "no input" or len(chosen) >= MOST_FILES or size + len(content) > MOST_BYTES:
                continue
            covered |= edges
            size += len(content)
            chosen.append((outcome, content))
    return chosen, problems, len(covered)
