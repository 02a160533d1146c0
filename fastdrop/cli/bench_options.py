"""The options of `fastdrop bench`, which load nothing of the benchmark."""

import argparse
from pathlib import Path

from fastdrop.cli.formatter import HelpFormatter


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if options.action == "tune":
        from fastdrop.cli.bench_tune import bench_tune

        return bench_tune(options)
    if options.action == "compare" and options.builds:
        from fastdrop.cli.bench_builds import bench_builds

        return bench_builds(options)
    from fastdrop.cli import bench

    return bench.compare_files(options) if options.action == "compare" else bench.measure(options)


def add_options(bench: argparse.ArgumentParser) -> None:
    """Describe the command."""
    bench.description = (
        "Measure every operation, each result checked first, against the best copy of the same array on\n"
        "the same threads, NumPy, and torch (also compiled), JAX and numba where installed; with torch and Dask also\n"
        "training steps and a Dask array. It takes some minutes; Ctrl-C keeps what was measured."
    )
    bench.epilog = (
        "examples:\n"
        "  fastdrop bench --quick                                less than a minute\n"
        "  fastdrop bench --save figures.json --plot figures.png everything\n"
        "  fastdrop bench --device cuda --save gpu.json          a GPU, and from which size on it is faster\n"
        "  fastdrop bench --scaling --plot scaling.png           from one thread to all\n"
        "  fastdrop bench compare before.json after.json         what changed\n"
        "  fastdrop bench compare --builds ../before .           which of two builds is faster, in one run\n"
        "  fastdrop bench tune                                   the constants for large arrays, a minute\n"
    )
    bench.add_argument("--quick", action="store_true", help="a part of it, in less than a minute")
    bench.add_argument("--scaling", action="store_true", help="dropout from one thread to all")
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what to measure (default: cpu)")
    bench.add_argument("--threads", type=int, nargs="+", metavar="N", help="numbers of threads (default: 1 and all)")
    bench.add_argument("--only", nargs="+", metavar="NAME", help="some operations, such as dropout or dropout-backward")
    bench.add_argument("--save", type=Path, metavar="FILE.json", help="write the figures and the machine's description")
    bench.add_argument("--plot", type=Path, metavar="FILE.png", help="draw throughput against size, or threads")
    actions = bench.add_subparsers(dest="action", metavar="compare | tune")
    _add_compare(actions)
    _add_tune(actions)


def _add_tune(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tune = actions.add_parser(
        "tune",
        allow_abbrev=False,
        help="measure the constants for large arrays on this machine",
        formatter_class=HelpFormatter,
        description="Measure which prefetches are fastest where arrays are larger than the caches, and from which\n"
        "size on non-temporal stores gain; say whether the constants in use (fastdrop.show_config()) are\n"
        "right here. A processor that is not in the table of fastdrop/processor.py is worth an entry. Takes a minute.",
    )
    tune.add_argument("--save", type=Path, metavar="FILE.json", help="write the figures and the machine's description")


def _add_compare(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = actions.add_parser(
        "compare",
        allow_abbrev=False,
        help="tell what changed between two saved runs, or measure two builds in turns",
        formatter_class=HelpFormatter,
        description="Tell what changed between two saved runs beyond noise: the medians differ by more than 5 %, and\n"
        "the ranges between the quartiles do not overlap. Both the seconds are compared and the speed as a share\n"
        "of the best copy in the same run, which says whether the kernel changed or the machine.\n\n"
        "With --builds, measure two builds in one run. They take turns (A B B A), pair by pair; the verdict is about\n"
        "the second one, and says so where it is 99 % sure and the change is more than 1 %.",
        epilog="examples:\n"
        "  fastdrop bench compare before.json after.json\n"
        "  fastdrop bench compare --builds ../before . --only dropout --quick    two checkouts that are compiled\n"
        "  fastdrop bench compare --builds old/bin/python new/bin/python         two environments\n",
    )
    compare.add_argument("first", type=Path, nargs="?", metavar="A.json")
    compare.add_argument("second", type=Path, nargs="?", metavar="B.json")
    compare.add_argument(
        "--builds",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="folders with the package fastdrop (a checkout, or site-packages), or Pythons that have it",
    )
    # Without defaults: options before `compare` count as well.
    inherited = argparse.SUPPRESS
    compare.add_argument("--quick", action="store_true", default=inherited, help="with --builds: a part of the cases")
    compare.add_argument("--only", nargs="+", metavar="NAME", default=inherited, help="with --builds: some operations")
    compare.add_argument(
        "--save", type=Path, metavar="FILE.json", default=inherited, help="with --builds: write all pairs as JSON"
    )
