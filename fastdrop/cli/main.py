"""The command `fastdrop`: its subcommands and their options."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from fastdrop._version import __version__
from fastdrop.backends import BACKENDS
from fastdrop.cli.bits import ORDERS, bits
from fastdrop.errors import BackendUnavailable
from fastdrop.experiments.archive import load_experiment
from fastdrop.experiments.config import (
    ACTIVATIONS,
    DROPOUT_KINDS,
    LEARNING_RATE_SCHEDULES,
    NETWORKS,
    OPTIMIZERS,
    RATE_SCHEDULES,
    TYPICAL_HIDDEN,
    ConfigError,
    ExperimentConfig,
)
from fastdrop.experiments.datasets import DATASETS
from fastdrop.experiments.sweeps import PARAMETERS
from fastdrop.experiments.tables import SUFFIXES, DataError

_DEFAULTS = ExperimentConfig()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def build_parser() -> argparse.ArgumentParser:
    """All that the command understands."""
    parser = argparse.ArgumentParser(
        prog="fastdrop",
        allow_abbrev=False,
        formatter_class=_Formatter,
        description="Dropout: train small networks with it, look at what it does, and measure its kernels.",
        epilog="examples:\n"
        "  fastdrop train                          digits, with and without dropout\n"
        "  fastdrop train --data my.csv --rate 0.2 your own table; the last column is the class\n"
        "  fastdrop reproduce all                  the experiments behind what is said about dropout\n"
        "  fastdrop gui                            the desktop app\n",
    )
    parser.add_argument("--version", action="version", version=f"fastdrop {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_train(commands)
    gui = commands.add_parser("gui", help="open the desktop app", formatter_class=_Formatter)
    gui.add_argument("config", nargs="?", type=Path, metavar="FILE", help="an experiment (.fastdrop, .toml) or a table")
    _add_reproduce(commands)
    _add_sweep(commands)
    _add_bench(commands)
    _add_bits(commands)
    commands.add_parser("doctor", help="say what is installed, what is missing and how to get it")
    return parser


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="train a network with and without dropout and compare",
        formatter_class=_Formatter,
        description="Train a network with dropout, then the same network from the same weights and batches without it.",
        epilog="data sets:\n"
        + "".join(f"  {name:<15} {source.description}\n" for name, source in DATASETS.items())
        + "\nnetworks:\n"
        + "".join(f"  {name:<15} {text}\n" for name, text in NETWORKS.items())
        + "\nkinds of dropout:\n"
        + "".join(f"  {name:<15} {text}\n" for name, text in DROPOUT_KINDS.items()),
    )
    data = train.add_argument_group("data")
    source = data.add_mutually_exclusive_group()
    source.add_argument("--dataset", choices=list(DATASETS), metavar="NAME", help="see below (default: digits)")
    source.add_argument("--data", type=Path, metavar="FILE", help="your own table: .csv, or .npz with x and y")
    data.add_argument("--label", help="CSV column that holds the class, by name or number (default: the last)")
    data.add_argument("--noise", type=float, help=f"noise of the 2-D sets (default: {_DEFAULTS.noise})")
    data.add_argument("--train-share", type=float, help=f"share to train on (default: {_DEFAULTS.train_share})")
    data.add_argument("--data-seed", type=int, help="decides generated data and the split (default: 0)")
    network = train.add_argument_group("network")
    sizes = " ".join(map(str, _DEFAULTS.hidden))
    network.add_argument("--hidden", type=int, nargs="+", metavar="UNITS", help=f"hidden layers (default: {sizes})")
    network.add_argument("--network", choices=list(NETWORKS), metavar="KIND", help="see below (default: mlp)")
    network.add_argument("--activation", choices=ACTIVATIONS, metavar="NAME", help=f"{', '.join(ACTIVATIONS)}")
    network.add_argument("--batch-norm", action="store_true", default=None, help="normalise before every activation")
    network.add_argument("--dropout", choices=list(DROPOUT_KINDS), metavar="KIND", help="see below (default: standard)")
    network.add_argument("--rate", type=float, help=f"probability of dropping, 0 to 1 (default: {_DEFAULTS.rate})")
    network.add_argument("--rate-schedule", choices=RATE_SCHEDULES, help="how the rate grows (default: constant)")
    network.add_argument("--dropout-layers", choices=("all", "first", "last"), help="which layers drop (default: all)")
    training = train.add_argument_group("training")
    training.add_argument("--optimizer", choices=OPTIMIZERS, help=f"(default: {_DEFAULTS.optimizer})")
    training.add_argument("--learning-rate", type=float, help=f"(default: {_DEFAULTS.learning_rate})")
    training.add_argument(
        "--learning-rate-schedule", choices=LEARNING_RATE_SCHEDULES, help="how it falls (default: constant)"
    )
    training.add_argument("--weight-decay", type=float, help="(default: 0)")
    training.add_argument("--momentum", type=float, help=f"for sgd (default: {_DEFAULTS.momentum})")
    training.add_argument("--batch-size", type=int, help=f"(default: {_DEFAULTS.batch_size})")
    training.add_argument("--epochs", type=int, help=f"(default: {_DEFAULTS.epochs})")
    training.add_argument("--seed", type=int, help="decides weights, batches and masks (default: 0)")
    training.add_argument(
        "--backend", choices=BACKENDS, help="cuda trains on a GPU, with the same masks (default: cpu)"
    )
    training.add_argument(
        "--threads", type=int, help="threads of the dropout kernels (default: all cores); matrix products use one"
    )
    files = train.add_argument_group("files")
    files.add_argument("--config", type=Path, metavar="FILE", help="start from this configuration: .toml or .fastdrop")
    files.add_argument("--save-config", type=Path, metavar="FILE.toml", help="write the configuration")
    files.add_argument("--figure", type=Path, metavar="FILE.png", help="draw the curves")
    files.add_argument("--no-comparison", action="store_true", help="do not train the twin without dropout")


def _add_reproduce(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    reproduce = commands.add_parser(
        "reproduce",
        allow_abbrev=False,
        help="run the experiments behind what is said about dropout",
        formatter_class=_Formatter,
        description="Run an experiment on several seeds: a table with spread, a picture, and whether what is claimed\n"
        "holds, does not hold, or is undecided. All of them take about twelve minutes on two cores; Ctrl-C keeps\n"
        "what is done.",
        epilog="examples:\n"
        "  fastdrop reproduce list             names and claims\n"
        "  fastdrop reproduce rates            one of them\n"
        "  fastdrop reproduce all --quick      two seeds, few epochs: to see that all of it runs\n"
        "  fastdrop reproduce all --compare docs/experiments\n"
        "                                      does this machine find what another one found?\n",
    )
    reproduce.add_argument("name", metavar="NAME", help="an experiment, all, or list")
    reproduce.add_argument(
        "--save", type=Path, metavar="FOLDER", default=Path("experiments"), help="(default: experiments)"
    )
    reproduce.add_argument("--quick", action="store_true", help="two seeds and few epochs, which show nothing")
    reproduce.add_argument("--processes", type=int, metavar="N", help="(default: all cores)")
    reproduce.add_argument(
        "--compare",
        type=Path,
        metavar="FOLDER",
        help="compare with the figures that another run saved there; exit status 1 where they disagree",
    )


def _add_sweep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sweep = commands.add_parser(
        "sweep",
        allow_abbrev=False,
        help="train one parameter over a range, several seeds of each value",
        formatter_class=_Formatter,
        description="Train every value of a parameter with every seed, on all cores or on a cluster, and print the\n"
        "curve. Their number does not change the results. Ctrl-C stops; with --save, the same command continues.",
        epilog="examples:\n"
        "  fastdrop sweep config.toml --param p=0:0.9:0.1 --seeds 20 --save rates.parquet\n"
        "  fastdrop sweep config.toml --param optimizer=adam,sgd --seeds 0,1,5\n"
        "  fastdrop sweep config.toml --param batch_size=8:256:x2 --cluster tcp://10.0.0.5:8786\n"
        "\nparameters:\n" + "".join(f"  {name:<22} {known.title}\n" for name, known in PARAMETERS.items()),
    )
    sweep.add_argument("config", type=Path, metavar="FILE", help="an experiment: .toml or .fastdrop")
    sweep.add_argument("--param", required=True, metavar="NAME=VALUES", help="see below; p is the rate")
    sweep.add_argument("--seeds", default="5", metavar="N", help="so many, or a list such as 0,1,2 (default: 5)")
    sweep.add_argument("--new-data", action="store_true", help="each seed also decides the data and their split")
    sweep.add_argument("--save", type=Path, metavar="FILE.parquet", help="a table that takes the results as they come")
    where = sweep.add_mutually_exclusive_group()
    where.add_argument("--processes", type=int, metavar="N", help="on this computer (default: all cores)")
    where.add_argument("--cluster", metavar="ADDRESS", help="the scheduler of a cluster of dask.distributed")


def _add_bench(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    bench = commands.add_parser(
        "bench",
        allow_abbrev=False,
        help="measure the kernels against a copy, NumPy and other packages",
        formatter_class=_Formatter,
        description="Measure every operation, each result checked first, against the best copy of the same array on\n"
        "the same threads, NumPy, and torch (also compiled), JAX, numba and oneDNN where installed. It takes some\n"
        "minutes; Ctrl-C keeps what was measured.",
        epilog="examples:\n"
        "  fastdrop bench --quick                                less than a minute\n"
        "  fastdrop bench --save figures.json --plot figures.png everything\n"
        "  fastdrop bench --device cuda --save gpu.json          a GPU, and from which size on it pays to go there\n"
        "  fastdrop bench --scaling --plot scaling.png           one thread to all, by NUMA node, and what stops it\n"
        "  fastdrop bench compare before.json after.json         what changed\n"
        "  fastdrop bench compare --builds ../before .           which of two builds is faster, in one run\n"
        "  fastdrop bench torch                                  training steps in PyTorch, a minute\n"
        "  fastdrop bench dask                                   a Dask array of 64 GB, a minute\n"
        "  fastdrop bench tune                                   the constants for large arrays, a minute\n",
    )
    bench.add_argument("--quick", action="store_true", help="a part of it, in less than a minute")
    bench.add_argument("--scaling", action="store_true", help="dropout from one thread to all, and what stops it")
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what to measure (default: cpu)")
    bench.add_argument("--threads", type=int, nargs="+", metavar="N", help="numbers of threads (default: 1 and all)")
    bench.add_argument("--only", nargs="+", metavar="NAME", help="some operations, such as dropout or dropout-backward")
    bench.add_argument("--save", type=Path, metavar="FILE.json", help="write the figures and the machine's description")
    bench.add_argument("--plot", type=Path, metavar="FILE.png", help="draw throughput against size, or threads")
    actions = bench.add_subparsers(dest="action", metavar="compare | torch | dask | tune")
    _add_compare(actions)
    steps = actions.add_parser(
        "torch",
        allow_abbrev=False,
        help="measure whole training steps in PyTorch",
        formatter_class=_Formatter,
        description="Measure training steps of a transformer layer and of an MLP, and Monte Carlo passes, with\n"
        "torch's dropout and with fastdrop's, against the same with p = 0, in one run. Masks are checked first.",
    )
    steps.add_argument("--save", type=Path, metavar="FILE.json", help="write the figures and the machine's description")
    arrays = actions.add_parser(
        "dask",
        allow_abbrev=False,
        help="measure a Dask array that no memory holds",
        formatter_class=_Formatter,
        description="Drop a Dask array that no memory holds and add it up, in turns with a copy by NumPy of the same\n"
        "chunks, on Dask's threads. Ctrl-C keeps what was measured.",
    )
    arrays.add_argument("--gigabytes", type=float, default=64.0, metavar="N", help="the array's size (default: 64)")
    arrays.add_argument("--save", type=Path, metavar="FILE.json", help="write the figures and the machine")
    tune = actions.add_parser(
        "tune",
        allow_abbrev=False,
        help="measure the constants for large arrays on this machine",
        formatter_class=_Formatter,
        description="Measure which prefetches are fastest where arrays are larger than the caches, and from which\n"
        "size on writing past the caches gains; say whether the constants in force (fastdrop.show_config()) are\n"
        "right here. A processor that is not in the table of fastdrop/processor.py is worth an entry. Takes a minute.",
    )
    tune.add_argument("--save", type=Path, metavar="FILE.json", help="write the figures and the machine's description")


def _add_compare(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = actions.add_parser(
        "compare",
        allow_abbrev=False,
        help="tell what changed between two saved runs, or measure two builds in turns",
        formatter_class=_Formatter,
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
    # Without defaults of their own: what stands before `compare` counts as well.
    inherited = argparse.SUPPRESS
    compare.add_argument("--quick", action="store_true", default=inherited, help="with --builds: a part of the cases")
    compare.add_argument("--only", nargs="+", metavar="NAME", default=inherited, help="with --builds: some operations")
    compare.add_argument(
        "--save", type=Path, metavar="FILE.json", default=inherited, help="with --builds: write all pairs as JSON"
    )


def _add_bits(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    bits = commands.add_parser(
        "bits",
        allow_abbrev=False,
        help="write the draws of masks as random bytes, for statistical tests",
        formatter_class=_Formatter,
        description="Write draws as uniform random bytes to standard output, until the reader closes it.\n"
        "Masks of p = 0.5 are written as they are. Of another p, runs of draws become 32-bit words: the\n"
        "distribution function of a run.",
        epilog="orders:\n" + "".join(f"  {name:<12} {text}\n" for name, text in ORDERS.items()) + "\nexamples:\n"
        "  fastdrop bits --order calls --rate 0.3 | dieharder -g 200 -a\n"
        "  fastdrop bits --order seeds | RNG_test stdin32 -tlmax 32GB      PractRand\n",
    )
    bits.add_argument("--order", choices=list(ORDERS), default="elements", metavar="NAME", help="(default: elements)")
    bits.add_argument("--rate", type=float, metavar="P", help="probability of dropping (default: 0.5)")
    bits.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    bits.add_argument("--bytes", type=int, metavar="N", help="write N bytes (default: without end)")


def config_from(options: argparse.Namespace) -> ExperimentConfig:
    """The configuration that the options of `fastdrop train` describe."""
    base = load_experiment(options.config).config if options.config else _DEFAULTS
    names = (
        "dataset label noise train_share data_seed network hidden activation batch_norm dropout dropout_layers rate "
        "rate_schedule optimizer learning_rate learning_rate_schedule momentum weight_decay batch_size epochs seed "
        "backend"
    )
    changes = {name: getattr(options, name) for name in names.split() if getattr(options, name) is not None}
    if options.data:
        changes |= {"dataset": "file", "data_file": str(options.data.absolute())}
    elif "dataset" in changes:
        changes["data_file"] = ""
    if "network" in changes and changes["network"] != base.network:  # with what it needs, unless that is given as well
        changes.setdefault("hidden", TYPICAL_HIDDEN[changes["network"]])
        if changes["network"] == "text" and "dataset" not in changes:
            changes |= {"dataset": "reviews", "data_file": ""}
    if "dropout" in changes or "dropout_layers" in changes:  # what single layers have would leave it without effect
        changes |= {"layer_dropout": (), "layer_rates": ()}
    elif "rate" in changes:
        changes["layer_rates"] = ()
    return base.replace(**changes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _print_whatever_the_terminal_can_show()
    options = build_parser().parse_args(arguments)
    try:
        match options.command:
            case "train":
                from fastdrop.cli.train import train

                return train(config_from(options), options)
            case "bench":
                from fastdrop.cli.bench import bench

                return bench(options)
            case "reproduce":
                from fastdrop.cli.reproduce import reproduce

                return reproduce(options)
            case "sweep":
                from fastdrop.cli.sweep import sweep

                return sweep(options)
            case "bits":
                return bits(options)
            case "doctor":
                from fastdrop.cli.doctor import doctor

                return doctor()
            case _:
                return _open_app(options.config)
    except (BackendUnavailable, ConfigError, DataError, OSError, ValueError) as error:
        print(f"fastdrop: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"fastdrop: there is not enough memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _print_whatever_the_terminal_can_show() -> None:
    """Where the output's encoding lacks a character, print "?": hours of work must not end at a ± sign."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def gui() -> int:
    """The command `fastdrop-gui`."""
    return main(["gui", *sys.argv[1:]])


def _open_app(config: Path | None) -> int:
    """The window, or the same experiment in the terminal where there can be none."""
    from fastdrop.cli.app import open_app, window_is_possible

    if window_is_possible():
        return open_app(config)
    print("No display here (DISPLAY and WAYLAND_DISPLAY are not set): training in the terminal instead.\n")
    option = "--data" if config is not None and config.suffix.lower() in SUFFIXES else "--config"
    return main(["train", *([f"{option}={config}"] if config else [])])


if __name__ == "__main__":
    sys.exit(main())
