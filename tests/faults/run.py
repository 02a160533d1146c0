"""Plants one fault at a time and reports which test notices it: `python tests/faults/run.py`.

Faults are FD_FAULT in src_kernels (kernel_faults.py describes each) and attributes of modules (python_faults.py).
For each fault the tests of its areas (areas.py) run in another process, first the one that noticed it the last time
(noticed.json). At the end, all tests that noticed something must pass without a fault. The exit status is 1 if a fault
is not noticed, or if a test notices a fault that must change nothing.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import kernel_faults
import python_faults
from areas import AREAS
from build_faults import BUILD, ROOT, build, hooks

NOTICED = Path(__file__).with_name("noticed.json")
ROTTEN = 97  # plant.py's
PROCESSES = 2
LONGEST = 120  # seconds of a test: a longer one counts as a hang, and fails
BEGUN = re.compile(r"^((?:tests|fastdrop)/\S+\.py::.+?)(?= (?:PASSED|FAILED|ERROR|SKIPPED|Fatal)| *$)", re.MULTILINE)
FAILED = re.compile(r"^(?:FAILED|ERROR) ((?:tests|fastdrop)/\S+\.py.*?)(?: - .*)?$", re.MULTILINE)


class Task(NamedTuple):
    """A fault, and one list of tests that must notice it."""

    fault: str
    place: str
    breaks: str
    area: str
    reason: str
    """Why the fault changes nothing, if that is so."""


class Outcome(NamedTuple):
    status: int | str
    test: str
    seconds: float
    output: str

    @property
    def failed(self) -> bool:
        """Whether a test failed; an error in a test, a crash or a hang count as well."""
        return self.status in (1, 2, "hang") or (isinstance(self.status, int) and self.status < 0)


def tasks() -> list[Task]:
    """All faults, with each of their areas; raises where a table and the sources disagree."""
    places, known = hooks(), kernel_faults.FAULTS.keys()
    if places.keys() != known:
        lacking = sorted(places.keys() - known), sorted(known - places.keys())
        raise SystemExit(f"without an entry: {lacking[0]}; without a hook: {lacking[1]}")
    if twice := known & python_faults.FAULTS.keys():
        raise SystemExit(f"faults of C and Python with one name: {sorted(twice)}")
    found = []
    for name, (breaks, areas) in kernel_faults.FAULTS.items():
        found += of_areas(name, places[name], breaks, areas)
    for name, fault in python_faults.FAULTS.items():
        found += of_areas(name, f"{fault.module}:{fault.attribute}", fault.breaks, fault.areas)
    return found


def of_areas(name: str, place: str, breaks: str, areas: str) -> list[Task]:
    reason = ""
    if areas.startswith("["):
        areas, _, reason = areas[1:].partition("] ")
    return [Task(name, place, breaks, area, reason) for area in areas.split(", ")]


def pytest(arguments: list[str], environment: dict[str, str], fault: str = "") -> Outcome:
    """Run tests, with a fault up to the first that fails."""
    begin = time.monotonic()
    command = [sys.executable, "-u", "-m", "pytest", "-v", "--tb=line", "-p", "no:cacheprovider"]
    command += ["-p", "no:hypothesispytest", "-m", "not native and not gpu", "-o", f"timeout={LONGEST}"]
    command += [*(["-x"] if fault else []), *arguments]
    own = environment | ({"FASTDROP_FAULT": fault} if fault else {})
    with subprocess.Popen(
        command, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            output, status = process.communicate(timeout=10 * LONGEST)[0], process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, status = process.communicate()[0], "hang"
    begun = BEGUN.findall(output)
    return Outcome(status, begun[-1] if begun else "", time.monotonic() - begin, output)


def not_here(environment: dict[str, str]) -> set[str]:
    """Faults in code that this processor does not run."""
    question = "from fastdrop._kernels import cpu; print(*cpu.available_isas())"
    command = [sys.executable, "-c", question]
    found = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if "avx512" in found:
        return set()
    print(f"this processor has no AVX-512: without {', '.join(sorted(kernel_faults.OF_AVX512))}")
    return kernel_faults.OF_AVX512


def attempt(task: Task, environment: dict[str, str], noticed: dict[str, str]) -> Outcome:
    """Run the tests that must notice a fault."""
    before = noticed.get(f"{task.fault}, {task.area}")
    if before and not task.reason:
        outcome = pytest([before], environment, task.fault)
        if outcome.failed:
            return outcome
    names = (name.rpartition("/") for name in AREAS[task.area].split())
    files = [f"tests/{folder}/test_{name}.py" for folder, _, name in names]
    return pytest(files, environment, task.fault)


def fail_without_fault(tests: set[str], environment: dict[str, str]) -> set[str]:
    """The tests that fail without a fault, so that their failures show nothing."""
    files: dict[str, list[str]] = {}
    for test in sorted(tests):
        files.setdefault(test.partition("::")[0], []).append(test)
    failed: set[str] = set()
    with ThreadPoolExecutor(PROCESSES) as pool:
        for of_file, outcome in zip(
            files.values(), pool.map(lambda some: pytest(some, environment), files.values()), strict=True
        ):
            if outcome.status != 0:
                print(outcome.output[-3000:])
                failed |= set(FAILED.findall(outcome.output)) & tests or set(of_file)
    return failed


def verdict(task: Task, outcome: Outcome) -> str:
    """The problem; empty without one."""
    if outcome.status == ROTTEN:
        return "its attribute is gone"
    if not outcome.failed and outcome.status != 0:
        return f"pytest ended with {outcome.status}"
    if task.reason:
        return "noticed, although it must change nothing" if outcome.failed else ""
    return "" if outcome.failed else "NOT NOTICED"


def report(task: Task, outcome: Outcome, wrong: str) -> dict[str, object]:
    how = {"hang": "a hang in ", 2: "collecting "}.get(outcome.status, "")
    if isinstance(outcome.status, int) and outcome.status < 0:
        how = f"a crash (signal {-outcome.status}) in "
    by = how + outcome.test if outcome.failed else f"changes nothing: {task.reason}" if task.reason else "-"
    print(f"{task.fault:26} {task.area:13} {outcome.seconds:5.1f} s  {wrong or by}", flush=True)
    return {**task._asdict(), "noticed_by": by, "seconds": round(outcome.seconds, 1), "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="this number of faults, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("faults", nargs="*", help="these alone")
    arguments = parser.parse_args()
    chosen = tasks()
    names = sorted({task.fault for task in chosen})
    if arguments.faults:
        names = arguments.faults
    elif arguments.sample is not None:
        print(f"{arguments.sample} of {len(names)} faults, seed {arguments.seed}")
        names = random.Random(arguments.seed).sample(names, min(arguments.sample, len(names)))
    chosen = [task for task in chosen if task.fault in names]
    begin = time.monotonic()
    environment = build()
    absent = not_here(environment)
    chosen = [task for task in chosen if task.fault not in absent]
    noticed = json.loads(NOTICED.read_text()) if NOTICED.exists() else {}
    rows, outcomes = [], []
    with ThreadPoolExecutor(PROCESSES) as pool:
        for task, outcome in zip(chosen, pool.map(lambda t: attempt(t, environment, noticed), chosen), strict=True):
            rows.append(report(task, outcome, verdict(task, outcome)))
            outcomes.append(outcome)
            if outcome.failed and outcome.test:
                noticed[f"{task.fault}, {task.area}"] = outcome.test
    anyway = fail_without_fault({outcome.test for outcome in outcomes if outcome.failed and outcome.test}, environment)
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome.failed and outcome.test in anyway:
            row["wrong"] = f"{outcome.test} fails without a fault, too"
    (BUILD / "report.json").write_text(json.dumps(rows, indent=1))
    NOTICED.write_text(json.dumps(dict(sorted(noticed.items())), indent=1) + "\n")
    wrong = [row for row in rows if row["wrong"]]
    print(f"\n{len({task.fault for task in chosen})} faults, {len(rows)} runs, {time.monotonic() - begin:.0f} s")
    for row in rows:
        if row["reason"] and not row["wrong"]:
            print(f"changes nothing: {row['fault']} ({row['breaks']}): {row['reason']}")
    for row in wrong:
        print(f"WRONG: {row['fault']} ({row['place']}: {row['breaks']}), {row['area']}: {row['wrong']}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
