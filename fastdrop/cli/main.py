"""The command `fastdrop`: finds the subcommand, and turns errors into one line and an exit status."""

import argparse
import importlib
import io
import sys
from collections.abc import Sequence

from fastdrop._version import __version__
from fastdrop.cli.formatter import HelpFormatter
from fastdrop.errors import BackendUnavailable

COMMANDS = {
    "train": ("fastdrop.cli.train", "train a network with and without dropout and compare"),
    "predict": ("fastdrop.cli.predict", "predict the rows of a table with a model that train has saved"),
    "export": ("fastdrop.cli.export", "write a model as ONNX, for other programs"),
    "gui": ("fastdrop.cli.app", "open the desktop app"),
    "reproduce": ("fastdrop.cli.reproduce", "run the experiments behind the claims about dropout"),
    "sweep": ("fastdrop.cli.sweep", "train one parameter over a range, several seeds for each value"),
    "bench": ("fastdrop.cli.bench_options", "measure the kernels against a copy, NumPy and other packages"),
    "bits": ("fastdrop.cli.bits", "write the draws of masks as random bytes, for statistical tests"),
    "doctor": ("fastdrop.cli.doctor", "say what is installed, what is missing and how to get it"),
}
"""By name: the module with the functions `add_options` and `run`, and a line of help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _replace_what_the_terminal_cannot_show()
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        status: int = options.run(options)
        return status
    except (BackendUnavailable, OSError, ValueError) as error:  # configurations and data raise ValueErrors
        print(f"fastdrop: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"fastdrop: there is not enough memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def gui() -> int:
    """The command `fastdrop-gui`."""
    return main(["gui", *sys.argv[1:]])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command that `arguments` name; only the module of this command is imported."""
    parser = argparse.ArgumentParser(
        prog="fastdrop",
        allow_abbrev=False,
        formatter_class=HelpFormatter,
        description="Dropout: train small networks with it, look at what it does, and measure its kernels.",
        epilog="examples:\n"
        "  fastdrop train                          digits, with and without dropout\n"
        "  fastdrop train --data my.csv            your own table: does dropout help there?\n"
        "  fastdrop reproduce all                  the experiments behind the claims about dropout\n"
        "  fastdrop gui                            the desktop app\n",
    )
    parser.add_argument("--version", action="version", version=f"fastdrop {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(name, help=line, allow_abbrev=False, formatter_class=HelpFormatter)
        if name == wanted:
            loaded = importlib.import_module(module)
            loaded.add_options(command)
            command.set_defaults(run=loaded.run)
    return parser.parse_args(arguments)


def _replace_what_the_terminal_cannot_show() -> None:
    """Print "?" for a character that the output's encoding lacks: hours of work must not end at a ± sign."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
