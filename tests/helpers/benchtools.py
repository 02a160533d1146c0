"""Helpers of the benchmark's tests: tiny plans, and results with given times."""

from fastdrop.bench import plan, report, results
from fastdrop.bench.measure import Timing
from fastdrop.bench.noise import Noise

CALM, LOUD = Noise(0.0, 0.0, 0.03), Noise(0.38, 0.07, 0.02)
MACHINE = {"instruction set": "avx512", "cores": 2}
TINY = (
    plan.Row(("dropout",), ((1 << 10,), (1 << 13,)), (0.5, 0.3), (*plan.COPIES, *plan.NUMPY), seconds=0),
    plan.Row(("call overhead",), ((64,),), (0.5,), ("plain NumPy",), seconds=0, one_thread=True),
)


def timing(seconds, own=1.0, size=8):
    """A timing whose quartiles are one percent from the median; `own` is fastdrop's time."""
    relative = seconds / own
    return Timing(seconds, seconds * 0.99, seconds * 1.01, 9, relative, relative * 0.99, relative * 1.01, size)


def result(operation, shape, p, threads, dtype="float32", own=1.0, size=8, **others):
    """A result of fastdrop in `own` seconds; keywords are candidates: plain_copy, np_copyto, nontemporal_copy."""
    names = {name: name.replace("_", " ").replace("np ", "np.").replace("nont", "non-t") for name in others}
    candidates = {names[name]: timing(seconds, own, size) for name, seconds in others.items()}
    case = plan.Case(operation, shape, dtype, p, threads)
    return results.Result(case, {"fastdrop": timing(own, own, size), **candidates})


def run_report(found):
    """A complete run with these results."""
    return report.Report(dict(MACHINE), found, [], "full", True)


def small_result(operation="dropout", elements=1 << 10, p=0.5, threads=1, own=1e-6, **others):
    """A result of one axis, with the bytes that it moves."""
    return result(operation, (elements,), p, threads, own=own, size=8 * elements, **others)


def saved_run(path, found):
    """Save a run with these results; returns the path as text."""
    report.save(report.Report({"cores": 2}, found, [], "quick", True), path)
    return str(path)


def records(found):
    """The results as saved records."""
    return [report.record(each) for each in found]
