"""The files of a study: pictures, figures, configurations, and a page on all studies."""

import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import fastdrop
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.formats.writing import make_folder, write_atomically
from fastdrop.experiments.histories import new_trainer
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study

FORMAT = "fastdrop study"
VERSION = 2
"""Version of the JSON."""
OVERVIEW = "README.md"
"""The page on all studies."""


def files_of(study: Study) -> list[str]:
    """Names of the files that `save` writes."""
    return [*(f"{study.name}.{kind}" for kind in ("png", "svg", "json")), *map(study.config_file, study.configs)]


def document_of(study: Study, finding: Finding, seconds: float, machine: dict[str, Any], quick: bool) -> dict[str, Any]:
    """The content of NAME.json; `compare.compare` compares two of them."""
    exact = {**finding.exact, "masks of the first batch": {n: masks_of(config) for n, config in study.configs.items()}}
    return {
        "format": FORMAT,
        "version": VERSION,
        "fastdrop": fastdrop.__version__,
        "machine": machine,
        "study": study.name,
        "claim": study.claim,
        "setup": study.setup,
        "quick": quick,
        "verdict": finding.verdict,
        "parts": {name: part._asdict() for name, part in finding.parts.items()},
        "found": finding.sentence,
        "seconds": round(seconds, 1),
        "table": [list(finding.columns), *map(list, finding.rows)],
        "exact": exact,
        "data": finding.data,
    }


def masks_of(config: ExperimentConfig) -> str:
    """SHA-256 of the first batch's masks, "none" where no layer shows one; the same on every machine."""
    first = new_trainer(config)
    first.step()
    kept = [view.kept for view in first.snapshot().layers if view.kept is not None]
    if not kept:
        return "none"
    return hashlib.sha256(np.packbits(np.concatenate([mask.ravel() for mask in kept])).tobytes()).hexdigest()


def save(study: Study, finding: Finding, document: dict[str, Any], folder: Path) -> None:
    """Write NAME.png, NAME.svg, NAME.json and the configurations."""
    make_folder(folder)
    for kind in ("png", "svg"):
        buffer = BytesIO()
        finding.figure.savefig(buffer, format=kind, dpi=110, metadata=None if kind == "png" else {"Date": None})
        write_atomically(folder / f"{study.name}.{kind}", buffer.getvalue())
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / f"{study.name}.json", (text + "\n").encode())
    for name, config in study.configs.items():
        config.save(folder / study.config_file(name))


_RULE = f"""\
Tables give means ± standard deviations over seeds; differences are means ± two standard errors, seed by seed. A part of
a claim says that a mean lies beyond a border. It **holds** where the whole interval, the mean ± two standard errors,
lies beyond the border; it **does not hold** where the whole interval lies on the other side; it is **undecided** where
the interval touches the border: that takes more seeds. Two standard errors are 95 % confidence for many seeds, 94 % for
20, 91 % for 8, 88 % for 5 (Student's t). A difference of accuracies counts from {ACCURACY} on, and that is the border
unless the part names another: "does not hold" means that there is no such difference, or a smaller one.

**What is the same on another machine.** Masks are, bit for bit, and so are all figures of masks alone ("exact" in the
JSON, with a SHA-256 of each network's first masks). A network's figures are the same to the last digit where BLAS uses
the same kernels for its matrix products; OpenBLAS chooses them by processor, and other kernels add up in another order.
There they agree within their intervals, and a part may turn from decided to undecided, hardly to its opposite. They
also depend on NumPy's exp and log (with AVX2 or without: "numpy simd"). They do not depend on anything else that was
tried: not on the number of threads, the instruction set of fastdrop's kernels, AVX-512 in NumPy, or AVX2 and FMA in the
C library. `fastdrop reproduce all --compare FOLDER` compares a run with the JSON files of another one."""


def save_overview(done: Sequence[tuple[Study, dict[str, Any]]], folder: Path) -> None:
    """Write README.md: the claim, finding, table and picture of every study."""
    first = done[0][1]
    total = sum(document["seconds"] for _, document in done)
    command = "fastdrop reproduce all" + (" --quick" if first["quick"] else "")
    machine = ", ".join(f"{key}: {value}" for key, value in first["machine"].items())
    lines = [
        "# What dropout does: the experiments",
        "",
        f"Made by `{command}` in {total / 60:.1f} minutes ({machine}).",
        "Every study's configurations are beside it as `.toml` files: `fastdrop gui FILE` opens one, `fastdrop train",
        "--config FILE` trains it.",
        "",
        _RULE,
        "",
        "| | claim | |",
        "| --- | --- | --- |",
        *(
            f"| [{study.title}](#{number}-{_anchor(study.title)}) | {study.claim} | {document['verdict']} |"
            for number, (study, document) in enumerate(done, start=1)
        ),
    ]
    for number, (study, document) in enumerate(done, start=1):
        lines += _section(number, study, document)
    write_atomically(folder / OVERVIEW, ("\n".join(lines) + "\n").encode())


def _section(number: int, study: Study, document: dict[str, Any]) -> list[str]:
    """The lines of one study."""
    verdict, (columns, *rows) = document["verdict"], document["table"]
    return [
        "",
        f"## {number} {study.title}",
        "",
        f"**Claim:** {study.claim} **{verdict[0].upper()}{verdict[1:]}.**",
        "",
        f"{study.setup}",
        "",
        document["found"],
        "",
        f"![{study.title}]({study.name}.png)",
        "",
        "| " + " | ".join(columns) + " |",
        "| " + " | ".join("---" for _ in columns) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        *(f"- {name}: **{part['outcome']}** ({part['measure']})" for name, part in document["parts"].items()),
        "",
        f"`fastdrop reproduce {study.name}`, {document['seconds']:.0f} s · [numbers]({study.name}.json) · "
        f"[vector picture]({study.name}.svg) · configurations: "
        + ", ".join(f"[{name or study.name}]({study.config_file(name)})" for name in study.configs),
    ]


def _anchor(title: str) -> str:
    """The anchor that GitHub makes of a heading."""
    kept = "".join(character for character in title.lower() if character.isalnum() or character in " -_")
    return kept.replace(" ", "-")
