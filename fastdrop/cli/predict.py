"""`fastdrop predict`: adds the class, its probability and perhaps its uncertainty to the rows of a table."""

import argparse
import sys
from pathlib import Path
from typing import Any

from fastdrop.cli.terminal import escape, make_console
from fastdrop.errors import missing_package
from fastdrop.experiments import Model, Prediction
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target, write_atomically
from fastdrop.experiments.tables.arrays import files_with_pictures
from fastdrop.experiments.tables.contents import Arrays, column_name
from fastdrop.experiments.tables.reader import opened

OUTPUTS = (".csv", ".tsv", ".parquet")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = (
        "Predict the class of each row of a table with a model that `fastdrop train --save-model` has written.\n"
        "The columns are found by their names; the target may be missing. The output has the rows in their order,\n"
        "with the columns predicted_class, probability, and probability_CLASS for each class."
    )
    parser.epilog = "example:\n  fastdrop predict m.fdmodel new.csv -o out.csv --samples 50\n"
    parser.add_argument("model", type=Path, metavar="MODEL.fdmodel", help="what --save-model has written")
    parser.add_argument(
        "data", type=Path, metavar="FILE", help="a table with the columns that the model was trained on, or images"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT.csv", help=f"{', '.join(OUTPUTS)}; without it, CSV is printed"
    )
    parser.add_argument(
        "--samples", type=int, default=0, metavar="N",
        help="masks of Monte Carlo dropout: adds uncertainty (mutual information, in nats) and std, the standard "
        "deviation of the probability (default: 0, none)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides the masks (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Predict, and write or print the table."""
    if options.samples < 0:
        raise ValueError(f"--samples must be at least 0; got {options.samples}")
    if options.output is not None:
        check_target(options.output, *OUTPUTS)
        if options.output.absolute() == options.data.absolute():
            raise ValueError(f"{path_text(options.output)}: the output would replace the data; choose another name")
    model = Model.load(options.model)
    if options.samples and not model.config.drops:
        raise ValueError(
            f"{path_text(options.model)}: its network has no dropout, so that --samples has nothing to sample"
        )
    found = model.predict(options.data, options.samples, options.seed)
    frame = _frame(options.data, found)
    console = make_console()
    if options.output is None:
        frame.to_csv(sys.stdout, index=False)
        return 0
    for note in found.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    _write(frame, options.output)
    console.print(f"{len(frame):,} rows: {escape(path_text(options.output))}", soft_wrap=True)
    return 0


def _frame(path: Path, found: Prediction) -> Any:
    """The rows of the file with what is predicted for them."""
    import pandas as pd

    if path.is_dir():
        files = [file.relative_to(path).as_posix() for file in files_with_pictures(path)]
        names, columns = ["file"], [pd.Series(files)]
    elif isinstance(cells := opened(path), Arrays):  # they have no columns to repeat
        names, columns = ["row"], [pd.Series(range(1, len(found.probabilities) + 1))]
    else:
        names = [column_name(cells.names, place) for place in range(len(cells.names))]
        columns = list(cells.columns)
    best = found.classes
    rows = range(len(best))
    added: dict[str, Any] = {
        "predicted_class": [found.class_names[place] for place in best],
        "probability": found.probabilities[rows, best],
    }
    if found.mutual_information is not None and found.std is not None:
        added |= {"uncertainty": found.mutual_information, "std": found.std[rows, best]}
    added |= {f"probability_{name}": found.probabilities[:, place] for place, name in enumerate(found.class_names)}
    for name, column in added.items():
        names.append(name)
        columns.append(pd.Series(column))
    frame = pd.concat([column.reset_index(drop=True) for column in columns], axis=1)
    frame.columns = _unique(names)
    return frame


def _unique(names: list[str]) -> list[str]:
    """The same names, with numbers behind those that are there already."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}.{seen[name] - 1}")
    return found


def _write(frame: Any, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise missing_package("pyarrow", "tables", "writing Parquet") from None
        frame = frame.astype({name: str for name, kind in frame.dtypes.items() if kind.kind == "O"})  # of mixed types
        write_atomically(path, frame.to_parquet(index=False))
        return
    write_atomically(path, frame.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",").encode())
