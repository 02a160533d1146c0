"""What a study leaves behind: pictures, numbers, configurations, and a page that tells all of them."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import fastdrop
from fastdrop.experiments.files import make_folder, write_atomically
from fastdrop.experiments.studies.study import Finding, Study

VERSION = 1
"""Of the JSON."""
OVERVIEW = "README.md"
"""The page that tells all of them."""


def files_of(study: Study) -> list[str]:
    """The names of the files that `save` writes."""
    return [*(f"{study.name}.{kind}" for kind in ("png", "svg", "json")), *map(study.config_file, study.configs)]


def save(study: Study, finding: Finding, seconds: float, folder: Path, quick: bool) -> None:
    """Write NAME.png, NAME.svg, NAME.json and the configurations."""
    make_folder(folder)
    for kind in ("png", "svg"):
        buffer = BytesIO()
        finding.figure.savefig(buffer, format=kind, dpi=110, metadata=None if kind == "png" else {"Date": None})
        write_atomically(folder / f"{study.name}.{kind}", buffer.getvalue())
    document = {
        "format": "fastdrop study",
        "version": VERSION,
        "fastdrop": fastdrop.__version__,
        "study": study.name,
        "claim": study.claim,
        "setup": study.setup,
        "quick": quick,
        "shown": finding.shown,
        "found": finding.sentence,
        "seconds": round(seconds, 1),
        "table": [list(finding.columns), *map(list, finding.rows)],
        "data": finding.data,
    }
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / f"{study.name}.json", (text + "\n").encode())
    for name, config in study.configs.items():
        config.save(folder / study.config_file(name))


def save_overview(
    done: Sequence[tuple[Study, Finding, float]], folder: Path, about: dict[str, Any], quick: bool
) -> None:
    """Write README.md: every claim, whether it was shown, the table and the picture."""
    total = sum(seconds for _, _, seconds in done)
    command = "fastdrop reproduce all" + (" --quick" if quick else "")
    machine = ", ".join(f"{key}: {value}" for key, value in about.items())
    introduction = (
        f"Made by `{command}` in {total / 60:.1f} minutes ({machine}). Tables give means ± standard deviations over "
        "seeds; differences are means ± two standard errors, seed by seed. A claim counts as shown where its "
        "difference "
        "is larger than that. Every study's configurations stand beside it as `.toml` files: `fastdrop gui FILE` opens "
        "one, `fastdrop train --config FILE` trains it."
    )
    lines = [
        "# What dropout does: the experiments",
        "",
        introduction,
        "",
        "| | claim | |",
        "| --- | --- | --- |",
        *(
            f"| [{study.title}](#{number}-{_anchor(study.title)}) | {study.claim} | {finding.verdict} |"
            for number, (study, finding, _) in enumerate(done, start=1)
        ),
    ]
    for number, (study, finding, seconds) in enumerate(done, start=1):
        lines += [
            "",
            f"## {number} {study.title}",
            "",
            f"**Claim:** {study.claim} **{finding.verdict[0].upper()}{finding.verdict[1:]}.**",
            "",
            f"{study.setup}",
            "",
            finding.sentence,
            "",
            f"![{study.title}]({study.name}.png)",
            "",
            "| " + " | ".join(finding.columns) + " |",
            "| " + " | ".join("---" for _ in finding.columns) + " |",
            *("| " + " | ".join(row) + " |" for row in finding.rows),
            "",
            f"`fastdrop reproduce {study.name}`, {seconds:.0f} s · [numbers]({study.name}.json) · "
            f"[vector picture]({study.name}.svg) · configurations: "
            + ", ".join(f"[{name or study.name}]({study.config_file(name)})" for name in study.configs),
        ]
    write_atomically(folder / OVERVIEW, ("\n".join(lines) + "\n").encode())


def _anchor(title: str) -> str:
    """As GitHub makes anchors of headings."""
    kept = "".join(character for character in title.lower() if character.isalnum() or character in " -_")
    return kept.replace(" ", "-")
