"""`fastdrop export`: writes a model as ONNX, which other programs and languages read."""

import argparse
from pathlib import Path

from fastdrop.cli.terminal import escape, make_console
from fastdrop.experiments import Model
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target, write_atomically


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = (
        "Write a model that `fastdrop train --save-model` has made as ONNX. Its inputs are the columns of the table,\n"
        "as they are in the file: filling, encoding and scaling are inside. A missing number is NaN, a missing text\n"
        "is empty, a date is days since 1970. Results: probabilities and class."
    )
    parser.add_argument("model", type=Path, metavar="MODEL.fdmodel", help="what --save-model has written")
    parser.add_argument("output", type=Path, metavar="OUT.onnx", help="the file to write")


def run(options: argparse.Namespace) -> int:
    """Write the file."""
    check_target(options.output, ".onnx")
    model = Model.load(options.model)
    from fastdrop.experiments.onnx import onnx_model

    content = onnx_model(model).SerializeToString()
    write_atomically(options.output, content)
    make_console().print(f"{len(content):,} bytes: {escape(path_text(options.output))}", soft_wrap=True)
    return 0
