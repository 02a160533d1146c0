"""`make statistics`: every order of draws through the battery and dieharder. docs/statistics.md has the results.

`PYTHONPATH=tests python -m randomness.run [--hours H] [--seed N]`. A round takes some minutes. With --hours, further
rounds follow until time is up, each with a fresh seed, four times the data and all of dieharder's tests. A p-value
below SUSPICIOUS is measured again with a fresh seed and four times the data. The run fails if the second one is below a
bound that makes the false-alarm rate of the whole run at most FALSE_ALARM, by Bonferroni. The seed is printed, and a
run with it repeats the p-values.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from randomness import cases, dieharder, page

from fastdrop.cli.bits import Fastdrop

FALSE_ALARM = 1e-3
SUSPICIOUS = 1e-4
BITS = 1 << 23


def measure(tool, order, p, test, seed, factor):
    """The p-values of one case, by test."""
    if tool == "battery":
        return cases.p_values(Fastdrop(), order, p, seed, BITS * factor)
    return dieharder.p_values(order, p, seed, test, factor)


def planned(everything):
    """The cases of a round; the longest first."""
    tests = dieharder.ALL if everything else dieharder.QUICK
    battery = [("battery", order, p, "") for order, p in sorted(cases.CASES, key=lambda case: case[0] != "tails")]
    return battery + [("dieharder", order, p, test) for order, p in dieharder.STREAMS for test in tests]


def run_round(pool, number, seed):
    """All p-values of a round, as records."""
    plan, records = planned(number > 0), []
    factor = 4 if number else 1
    running = {}
    for index, case in enumerate(plan):
        # Far apart, so that neighbouring seeds of a case belong to no other case.
        own = seed + (number * 10000 + index << 40)
        running[pool.submit(measure, *case, own, factor)] = (*case, own, factor)
    for done, future in enumerate(as_completed(running), 1):
        tool, order, p, option, own, factor = running[future]
        found = future.result()
        records += [
            {"tool": tool, "order": order, "p": p, "option": option, "test": test, "seed": own, "p_value": value}
            | {"factor": factor}
            for test, value in found.items()
        ]
        print(f"{done}/{len(plan)} {tool} {order} p={p:g} {option}: smallest {min(found.values()):.2g}", flush=True)
    return records


def measure_again(pool, records):
    """Measure suspicious p-values a second time, and report the results."""
    suspicious = [record for record in records if record["p_value"] < SUSPICIOUS]
    running = []
    for record in suspicious:
        own, factor = record["seed"] + (5000 << 40), 4 * record["factor"]
        case = (record["tool"], record["order"], record["p"], record["option"])
        running.append(pool.submit(measure, *case, own, factor))
    for record, future in zip(suspicious, running, strict=True):
        record["second"] = future.result()[record["test"]]
        print(
            f"suspicious: {record['tool']} {record['order']} p={record['p']:g} {record['test']}: "
            f"{record['p_value']:.2g}, then {record['second']:.2g} with a fresh seed and four times the data"
        )


def second_bound(count):
    """The second p-value below which a test fails, where `count` tests are made."""
    return min(1.0, FALSE_ALARM / (count * SUSPICIOUS))


def main():
    parser = argparse.ArgumentParser(prog="randomness.run", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for child processes
    print(f"seed {options.seed}", flush=True)
    start, records, number = time.monotonic(), [], 0
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        while number == 0 or time.monotonic() - start < 3600 * options.hours:
            records += run_round(pool, number, options.seed)
            number += 1
        measure_again(pool, records)
    bound = second_bound(len(records))
    failed = [record for record in records if record.get("second", 1.0) < bound]
    run = {"seed": options.seed, "rounds": number, "minutes": (time.monotonic() - start) / 60, "bits": BITS}
    page.write(records, run | {"suspicious": SUSPICIOUS, "false_alarm": FALSE_ALARM, "second_bound": bound})
    print(f"{len(records)} p-values in {run['minutes']:.1f} minutes; failed: {len(failed)}")
    for record in failed:
        print(f"FAILED {record}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
