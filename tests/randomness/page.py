"""docs/statistics.md, its figures as JSON and its picture, as written by `make statistics`."""

import json
import platform
from datetime import date
from pathlib import Path

import numpy as np
import scipy
from randomness import dieharder
from randomness.cases import CASES
from randomness.faulty import FAULTS

import fastdrop
from fastdrop.bench.machine import machine
from fastdrop.cli.bits import ORDERS

DOCS = Path(__file__).resolve().parents[2] / "docs"

TEMPLATE = Path(__file__).with_name("page.md")


def write(records, run):
    """The page, its figures and its picture."""
    folder = DOCS / "statistics"
    folder.mkdir(exist_ok=True)
    here = machine()
    about = {key: here[key] for key in ("processor", "cores", "commit")} | _versions()
    lines = ",\n".join(json.dumps(record) for record in records)
    (folder / "figures.json").write_text(
        f'{{"machine": {json.dumps(about)},\n"run": {json.dumps(run)},\n"p_values": [\n{lines}\n]}}\n', encoding="utf-8"
    )
    _picture(records, folder / "p-values.png")
    (DOCS / "statistics.md").write_text(_text(records, run, about), encoding="utf-8")


def _versions():
    return {
        "fastdrop": fastdrop.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "dieharder": dieharder.version(),
        "python": platform.python_version(),
        "day": date.today().isoformat(),
    }


def _text(records, run, about):
    second = [record for record in records if "second" in record]
    failed = [record for record in second if record["second"] < run["second_bound"]]
    looked = [f"{_named(r)} gave {r['p_value']:.2g}, then {r['second']:.2g}." for r in second]
    values = {
        **{key: about[key] for key in ("processor", "cores", "numpy", "scipy", "dieharder", "python", "day")},
        **run,
        "version": about["fastdrop"],
        "rounds": "One round" if run["rounds"] == 1 else f"{run['rounds']} rounds",
        "bits": f"2^{run['bits'].bit_length() - 1}",
        "normals": f"2^{run['bits'].bit_length() - 4}",
        "count": len(records),
        "cases": len(CASES),
        "faults": len(FAULTS),
        "orders": "\n".join(f"| `{name}` | {text} |" for name, text in ORDERS.items()),
        "rates": ", ".join(f"{p:g}" for p in sorted({p for _, p in CASES})),
        "expected": len(records) * run["suspicious"],
        "outcome": "failed: " + ", ".join(map(_named, failed)) if failed else "passed",
        "looked": " ".join(looked) or "Nothing was suspicious.",
    }
    tables = {
        name: _table([record for record in records if record["tool"] == tool])
        for name, tool in (("battery", "battery"), ("harder", "dieharder"))
    }
    return TEMPLATE.read_text(encoding="utf-8").format(**values, **tables)


def _named(record):
    return f"{record['tool']}'s {record['test']} ({record['order']}, p = {record['p']:g})"


def _table(records):
    orders = [order for order in ORDERS if any(record["order"] == order for record in records)]
    tests = list(dict.fromkeys(record["test"] for record in records))
    lines = [f"| test | {' | '.join(orders)} |", "|---" * (len(orders) + 1) + "|"]
    for test in sorted(tests, key=lambda test: (test.startswith("words"), test)):
        cells = [[r["p_value"] for r in records if (r["test"], r["order"]) == (test, order)] for order in orders]
        lines.append(f"| {test} | {' | '.join(_cell(values) for values in cells)} |")
    sizes = [sum(record["order"] == order for record in records) for order in orders]
    return "\n".join([*lines, f"| p-values | {' | '.join(map(str, sizes))} |"])


def _cell(values):
    return f"{-np.expm1(len(values) * np.log1p(-min(min(values), 1 - 1e-16))):.2g}" if values else ""


def _picture(records, path):
    """Quantiles against a uniform distribution's, both logarithmic, since the small ones matter."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot()
    for tool, colour in (("battery", "tab:blue"), ("dieharder", "tab:orange")):
        values = np.sort([max(record["p_value"], 1e-12) for record in records if record["tool"] == tool])
        expected = (np.arange(values.size) + 0.5) / max(values.size, 1)
        axes.loglog(expected, values, ".", color=colour, markersize=4, label=f"{tool}: {values.size} p-values")
    ends = [0.3 / max(len(records), 1), 1.0]
    axes.loglog(ends, ends, color="gray", linewidth=1, label="uniform")
    axes.set(xlabel="quantile of a uniform distribution", ylabel="p-value")
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})
