"""A run as a file of JSON: written, and read again with every value checked."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from fastdrop.bench import device, results, targets
from fastdrop.bench.measure import Timing
from fastdrop.bench.noise import Noise
from fastdrop.bench.plan import DEVICE_OR_HOST, PLAIN_CUPY, STORED_MASKS, Case
from fastdrop.bench.results import Result
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import Damaged, Unreadable, cleaned, is_text, parse_json, read_text, shown
from fastdrop.experiments.formats.writing import write_json

FORMAT, VERSION, READABLE = "fastdrop bench", 3, (1, 2, 3)
"""Version 1 had one copy, "copy". Version 2 has three on the CPU (`plan.COPY_KINDS`), and `quiet`: what disturbed a
case. Version 3 has other names for some keys and candidates (`_RENAMED`), and `noise` in place of `quiet`."""
_RENAMED = {
    "streaming copy": "non-temporal copy",
    "NumPy at its best": "best NumPy",
    "cupy recipe": PLAIN_CUPY,
    "materialised mask": STORED_MASKS,
}
_OLD_NOISE = {"others": "foreign_share", "stolen": "steal_share", "spread": "spread"}
_MOST = 1 << 62
"""Of elements, bytes, rounds and other counts in a file."""
_MOST_AXES, _MOST_CANDIDATES, _MOST_RESULTS, _MOST_FACTS = 64, 100, 10_000, 200
_SHORTEST, _LONGEST = 1e-15, 1e15
"""Seconds, and times relative to fastdrop's: what is outside was not measured."""


class Report(NamedTuple):
    """A run with all that is needed to judge it."""

    machine: dict[str, Any]
    results: list[Result]
    missing: list[str]
    plan: str
    complete: bool

    def outcomes(self) -> list[targets.Outcome]:
        """The targets beside what was measured."""
        return targets.evaluate(self.results, on_device="device" in self.machine)

    def break_even(self) -> dict[str, int | None]:
        """From how many elements on a GPU is faster than this CPU; empty where that was not measured."""
        found = []
        for result in self.results:
            if result.case.operation == DEVICE_OR_HOST and not result.error:
                times = {name: timing for name in result.candidates if (timing := result.timing(name))}
                found.append((result.case.elements, {name: timing.median for name, timing in times.items()}))
        return device.break_even(found) if found else {}


def save(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "plan": report.plan,
        "complete": report.complete,
        "machine": report.machine,
        "missing baselines": report.missing,
        "break even elements": report.break_even(),
        "targets": [outcome.record() for outcome in report.outcomes()],
        "results": [record(result) for result in report.results],
    }
    write_json(path, document)


def record(result: Result) -> dict[str, Any]:
    """A result as plain values."""
    case, copy = result.case, results.copy_of([result])
    entries: dict[str, Any] = {}
    for name, timing in result.candidates.items():
        if isinstance(timing, str):
            entries[name] = {"error": timing}
            continue
        rate, ratio = result.gigabytes_per_second(name), result.speed(copy, name)
        entries[name] = {
            "median_seconds": timing.median,
            "quartiles_seconds": [timing.low, timing.high],
            "rounds": timing.rounds,
            "time_relative_to_fastdrop": timing.relative,
            "quartiles_relative_to_fastdrop": [timing.relative_low, timing.relative_high],
            "bytes": timing.bytes,
            "gigabytes_per_second": None if math.isnan(rate) else rate,
            f"ratio_to_{copy.replace(' ', '_')}": ratio if math.isfinite(ratio) else None,
        }
    return {
        "operation": case.operation,
        "shape": list(case.shape),
        "elements": case.elements,
        "dtype": case.dtype,
        "p": case.p,
        "threads": case.threads,
        "best_copy": result.best_copy or None,
        "candidates": entries,
        **({"noise": result.noise._asdict()} if result.noise else {}),
    }


def load(path: Path) -> Report:
    """Read what `save` wrote, also by versions 1 and 2; a ValueError of one line where the file is something else."""
    try:
        return _report(parse_json(read_text(path)))
    except Unreadable as error:
        raise ValueError(f"{path_text(path)}: {error}") from None


def _need(condition: object, what: str, found: Any = None) -> None:
    if not condition:
        raise Damaged(f"damaged: {what}" + ("" if found is None else f"; got {shown(found)}"))


def _report(document: Any) -> Report:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Damaged("not a file of this fastdrop bench")
    version = document.get("version")
    if type(version) is not int or version not in READABLE:
        raise Damaged(f"format version {shown(version)}; this fastdrop reads versions 1, 2 and 3")
    names = ("machine", "results", "plan", "complete", "missing baselines" if version == 3 else "missing peers")
    fields: list[Any] = [document.get(name) for name in names]
    machine, records, plan, complete, missing = fields
    _need(isinstance(missing, list) and all(map(is_text, missing)), "the missing baselines are a list of names")
    _need(is_text(plan) and isinstance(complete, bool), "the plan is a name, and complete true or false")
    _need(isinstance(machine, dict), "the machine's description is missing")
    _need(len(machine) <= _MOST_FACTS and all(is_text(k) and _is_fact(v) for k, v in machine.items()),
          "the machine is described by names and simple values")  # fmt: skip
    _need(isinstance(records, list) and len(records) <= _MOST_RESULTS, f"at most {_MOST_RESULTS:,} results are read")
    return Report(machine, [from_record(each) for each in records], missing, plan, complete)


def _is_fact(value: Any, inside: bool = False) -> bool:
    """Whether a value can be in a machine's description: a text, a number, or a few of them."""
    if isinstance(value, (list, dict)) and not inside:
        parts = [*value, *(value.values() if isinstance(value, dict) else ())]
        return len(parts) <= _MOST_FACTS and all(_is_fact(part, inside=True) for part in parts)
    if isinstance(value, (int, float)):
        return -_MOST <= value <= _MOST  # False also for NaN
    return value is None or is_text(value)


def from_record(found: Any) -> Result:
    """The result that `record` wrote, also in older versions; `Damaged` where it is something else."""
    _need(isinstance(found, dict), "a result is an object", found)
    names = ("operation", "shape", "dtype", "p", "threads", "candidates")
    operation, shape, dtype, p, threads, candidates = (found.get(name) for name in names)
    _need(is_text(operation) and is_text(dtype), "operation and dtype are names", (operation, dtype))
    _need(isinstance(shape, list) and 1 <= len(shape) <= _MOST_AXES, "a shape is a list of lengths", shape)
    _need(all(_is_count(side, 1) for side in shape) and math.prod(shape) <= _MOST, "a shape has lengths", shape)
    _need(_is_number(p, 0.0, 1.0), "p is from 0 to 1", p)
    _need(_is_count(threads), "threads are counted", threads)
    _need(isinstance(candidates, dict) and len(candidates) <= _MOST_CANDIDATES, "candidates by name", candidates)
    _need(all(map(is_text, candidates)), "candidates have names", list(candidates))
    timings = {_RENAMED.get(name, name): _candidate(entry) for name, entry in candidates.items()}
    return Result(Case(operation, tuple(shape), dtype, float(p), threads), timings, _noise(found))


def _candidate(entry: Any) -> Timing | str:
    """A candidate's timing, or the text of its error."""
    _need(isinstance(entry, dict), "a candidate is an object", entry)
    if "error" in entry:
        return cleaned(entry["error"])
    pairs = [entry.get(name) for name in ("quartiles_seconds", "quartiles_relative_to_fastdrop")]
    _need(all(isinstance(pair, list) and len(pair) == 2 for pair in pairs), "quartiles are two numbers", pairs)
    (low, high), (relative_low, relative_high) = pairs
    median, relative = entry.get("median_seconds"), entry.get("time_relative_to_fastdrop")
    times = (median, low, high, relative, relative_low, relative_high)
    _need(all(_is_number(time, _SHORTEST, _LONGEST) for time in times), "times are positive numbers", times)
    rounds, size = entry.get("rounds"), entry.get("bytes")
    _need(_is_count(rounds, 1) and _is_count(size), "rounds and bytes are counted", (rounds, size))
    median, low, high, relative, relative_low, relative_high = map(float, times)
    return Timing(median, low, high, int(rounds or 0), relative, relative_low, relative_high, int(size or 0))


def _noise(found: dict[str, Any]) -> Noise | None:
    """What disturbed a case."""
    if "noise" not in found and "quiet" not in found:
        return None
    names = {name: name for name in Noise._fields} if "noise" in found else _OLD_NOISE
    values = found["noise" if "noise" in found else "quiet"]
    _need(isinstance(values, dict), "what disturbed a case is an object", values)
    shares = {name: values.get(old) for name, old in names.items()}
    for share in shares.values():
        _need(share is None or _is_number(share, 0.0, _LONGEST), "fractions of disturbances are numbers", share)
    return Noise(**{name: None if share is None else float(share) for name, share in shares.items()})


def _is_number(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


def _is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= _MOST
