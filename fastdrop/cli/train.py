"""`fastdrop train`: trains a network with and without dropout, on a data set or on the user's own table.

The options are the fields of a configuration. On a table, the answer is that of several splits, with its evidence.
"""

import argparse
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from fastdrop.cli.configs import config_of
from fastdrop.cli.evidence_report import FIGURE_SUFFIXES, draw_evidence, print_evidence, train_evidence
from fastdrop.cli.table_report import print_notes, print_table
from fastdrop.cli.terminal import (
    BarColumn,
    Console,
    Progress,
    Table,
    TextColumn,
    TimeRemainingColumn,
    escape,
    make_console,
)
from fastdrop.errors import missing_package
from fastdrop.experiments import (
    Dataset,
    EpochRecord,
    ExperimentConfig,
    Model,
    Trainer,
    TrainingDiverged,
    one_blas_thread,
)
from fastdrop.experiments.choices import TYPICAL_HIDDEN
from fastdrop.experiments.config import FIELDS, TABLE_FIELDS, WITHOUT_TABLE
from fastdrop.experiments.evidence import Evidence, EvidencePlan
from fastdrop.experiments.evidence.plan import DEFAULT_RATES, DEFAULT_SPLITS
from fastdrop.experiments.fields import Field
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target, write_atomically
from fastdrop.experiments.model import SUFFIX as MODEL_SUFFIX
from fastdrop.experiments.splitting import split_table
from fastdrop.experiments.tables import load_table
from fastdrop.threads import set_num_threads

_NO_OPTION = ("data_file", "data_hash", "layer_dropout", "layer_rates")
"""Fields that only files have; --data gives the data file."""
_FEW = 4
"""Choices that an option lists; more are explained below all options."""
_METAVARS = {int: "N", float: "X", str: "NAME"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = (
        "Train a network with dropout, then the baseline: the same network from the same initial weights and batches,\n"
        "without dropout. On a table of your own, both are trained on several splits, over a range of rates, and the\n"
        "answer to whether dropout helps comes with its confidence interval."
    )
    parser.epilog = "\n".join(_explained(field) for field in FIELDS.values() if len(field.choices) > _FEW)
    groups = {name: parser.add_argument_group(name) for name in ("data", "network", "training", "files")}
    source = groups["data"].add_mutually_exclusive_group()
    source.add_argument(
        "--data", type=Path, metavar="FILE",
        help="your own table: text, spreadsheet, Parquet, ARFF, NPZ, images (IDX, or a folder with one of each class)",
    )  # fmt: skip
    for name, field in FIELDS.items():
        if name not in _NO_OPTION:
            _add_field(source if name == "dataset" else groups[field.group], field)
    training = groups["training"]
    training.add_argument(
        "--threads", type=int, metavar="N", help="threads of the dropout kernels (default: all cores)"
    )
    training.add_argument("--no-comparison", action="store_true", help="train once, without the baseline")
    training.add_argument(
        "--splits", type=int, metavar="N",
        help=f"train on N splits, and say whether dropout helps (default: {DEFAULT_SPLITS} with --data, else 1)",
    )  # fmt: skip
    training.add_argument(
        "--rates", type=float, nargs="+", metavar="P",
        help=f"rates to choose from (default: {' '.join(f'{rate:g}' for rate in DEFAULT_RATES)}, or --rate)",
    )  # fmt: skip
    training.add_argument(
        "--processes", type=int, metavar="N", help="worker processes of --splits (default: all cores)"
    )
    files = groups["files"]
    files.add_argument("--config", type=Path, metavar="FILE", help="start from this configuration: .toml or .fastdrop")
    files.add_argument("--save-config", type=Path, metavar="FILE.toml", help="write the configuration")
    files.add_argument("--save-model", type=Path, metavar="FILE.fdmodel", help="write the model, for fastdrop predict")
    files.add_argument("--figure", type=Path, metavar="FILE.png", help="draw the result: .png, .svg or .pdf")


def _add_field(group: argparse._ActionsContainer, field: Field) -> None:
    """The option of a field, under its former name as well."""
    if field.type is bool:
        group.add_argument(_option(field.name), action="store_true", default=None, help=field.help)
        return
    default = " ".join(map(str, field.default)) if field.default and field.is_list else field.default
    limits = f"{field.range}; " if field.type is float else "see below; " if len(field.choices) > _FEW else ""
    listed = list(field.choices) if 0 < len(field.choices) <= _FEW else None
    description: dict[str, Any] = {
        "type": field.type,
        "choices": list(field.choices) or None,
        "metavar": None if listed else _metavar(field),
        "nargs": "+" if field.is_list else None,
    }
    text = f"{field.help} ({limits}default: {default})" if default not in ("", ()) else field.help
    group.add_argument(_option(field.name), help=text, **description)
    if field.former_name:
        group.add_argument(_option(field.former_name), dest=field.name, help=argparse.SUPPRESS, **description)


def _metavar(field: Field) -> str:
    if field.in_memory:
        return "FILE"
    if field.is_list:
        return "COLUMN" if field.name in TABLE_FIELDS else "UNITS"
    return "COLUMN" if field.name == "target" else _METAVARS[field.type]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _explained(field: Field) -> str:
    """The choices of a field and what each means."""
    return f"{_option(field.name)}:\n" + "".join(f"  {name:<15} {text}\n" for name, text in field.choices.items())


def config_from(options: argparse.Namespace) -> ExperimentConfig:
    """The configuration that the options describe."""
    base = config_of(options.config) if options.config else ExperimentConfig()
    given = {name: getattr(options, name) for name in FIELDS if name not in _NO_OPTION}
    changes = {name: value for name, value in given.items() if value is not None}
    for_tables = [name for name in TABLE_FIELDS if name in changes]
    if for_tables and not options.data and (base.dataset != "file" or "dataset" in changes):
        names = " and ".join(_option(name) for name in for_tables)
        raise ValueError(f"{names} can only be given for a table of your own; add --data FILE")
    if options.data:
        changes = {**WITHOUT_TABLE, "dataset": "file", "data_file": str(options.data.absolute()), **changes}
        if changes.get("test_data"):
            changes["test_data"] = str(Path(changes["test_data"]).absolute())
    elif "dataset" in changes:
        changes = {**WITHOUT_TABLE, **changes}
    if "network" in changes and changes["network"] != base.network:  # with what it needs, unless that is given as well
        changes.setdefault("hidden", TYPICAL_HIDDEN[changes["network"]])
        if changes["network"] == "text" and "dataset" not in changes:
            changes |= {**WITHOUT_TABLE, "dataset": "reviews"}
    if "dropout" in changes or "dropout_layers" in changes:  # kinds per layer would override them
        changes |= {"layer_dropout": (), "layer_rates": ()}
    elif "rate" in changes:
        changes["layer_rates"] = ()
    return base.replace(**changes)


class Run:
    """One network's training.

    Attributes
    ----------
    name : str
    trainer : Trainer
    seconds : float
        How long the training has taken.
    """

    def __init__(self, name: str, trainer: Trainer) -> None:
        self.name = name
        self.trainer = trainer
        self.seconds = 0.0

    @property
    def history(self) -> list[EpochRecord]:
        return self.trainer.history


def run(options: argparse.Namespace) -> int:
    """Train, compare, save. Ctrl-C ends the training and shows the result so far."""
    return train(config_from(options), options)


def train(config: ExperimentConfig, options: argparse.Namespace) -> int:
    """Train this configuration; returns the exit status."""
    console = make_console()
    plan = _plan(config, options)
    if options.threads is not None:
        set_num_threads(options.threads)
    _check_targets(options)
    if options.save_config:
        config.save(options.save_config)
    dataset = _loaded(config, console)
    for warning in config.warnings:
        console.print(f"[yellow]note:[/] {escape(warning)}")
    status, evidence = 0, None
    if plan is not None:
        console.print(_described(plan))
        evidence = train_evidence(plan, console, options.processes)
        if evidence is None:
            return 130
        print_evidence(evidence, console)
        config = config.with_rate(max(evidence.rates_chosen, key=lambda rate: evidence.rates_chosen[rate]))
        status = 130 if len(evidence.results) < plan.splits else 0
    model = None
    if plan is None or (options.save_model and not status):
        status, model = _train_once(config, dataset, options, console, plan is None)
    _save(evidence, model, options, console)
    return status


def _check_targets(options: argparse.Namespace) -> None:
    """Whether everything can be written: before the training, not after it."""
    if options.save_config:
        check_target(options.save_config, ".toml")
    if options.save_model:
        check_target(options.save_model, MODEL_SUFFIX)
    if options.figure:
        _check_figure(options.figure)


def _plan(config: ExperimentConfig, options: argparse.Namespace) -> EvidencePlan | None:
    """What is trained to answer whether dropout helps; None for a single training."""
    splits = options.splits if options.splits is not None else DEFAULT_SPLITS if config.data_file else 1
    if options.processes is not None and options.processes < 1:
        raise ValueError(f"--processes must be at least 1; got {options.processes}")
    if splits < 1:
        raise ValueError(f"--splits must be at least 1; got {splits}")
    if options.no_comparison or not config.drops or splits == 1:
        if options.rates:
            raise ValueError("--rates is for several splits of a network with dropout; give one rate with --rate")
        return None
    rates = options.rates or ([options.rate] if options.rate is not None else DEFAULT_RATES)
    return EvidencePlan(config, splits, tuple(rates))


def _described(plan: EvidencePlan) -> str:
    rates = ", ".join(f"{rate:g}" for rate in plan.rates)
    return (
        f"{plan.splits} splits: without dropout, and with {plan.config.dropout} dropout at p = {rates}; "
        f"hidden layers {', '.join(map(str, plan.config.hidden))}, {plan.config.epochs} epochs"
    )


def _loaded(config: ExperimentConfig, console: Console) -> Dataset:
    """The data set, described."""
    if config.data_file:
        fields = {name: value for name, value in config.data_fields.items() if name in TABLE_FIELDS}
        table = load_table(fields.pop("data_file"), **fields)
        print_table(table, console)
        dataset = config.noted(split_table(table, config.train_fraction, config.split_seed))
        print_notes(dataset, console)
        return dataset
    dataset = config.load_dataset()
    console.print(
        f"[bold]{escape(path_text(dataset.name))}[/]: {len(dataset.x_train)} training examples, "
        f"{len(dataset.x_test)} test examples, {dataset.features} features, {dataset.classes} classes; "
        f"hidden layers {', '.join(map(str, config.hidden))}"
    )
    return dataset


def _train_once(
    config: ExperimentConfig, dataset: Dataset, options: argparse.Namespace, console: Console, compare: bool
) -> tuple[int, Model | None]:
    """Train one split, with the baseline if wanted; the exit status, and the model."""
    configs = {_name_of(config): config}
    if compare and config.drops and not options.no_comparison:
        configs["without dropout"] = config.without_dropout()
    runs = [Run(name, Trainer(each, dataset)) for name, each in configs.items()]
    with one_blas_thread():
        status = _train_all(runs, console)
    if compare:
        console.print(_table(runs))
        if options.figure:
            draw(runs, options.figure)
    return status, Model.of(runs[0].trainer) if options.save_model and status == 0 else None


def _save(evidence: Evidence | None, model: Model | None, options: argparse.Namespace, console: Console) -> None:
    """Write what is wanted, and say where it is."""
    if options.figure:
        if evidence is not None:
            draw_evidence(evidence, options.figure)
        console.print(f"figure: {escape(path_text(options.figure))}")
    if options.save_config:
        console.print(f"configuration: {escape(path_text(options.save_config))}")
    if model is not None:
        model.save(options.save_model)
        path = path_text(options.save_model)
        console.print(f"model: {escape(path)} (fastdrop predict {escape(path)} new.csv -o out.csv)", soft_wrap=True)


def _name_of(config: ExperimentConfig) -> str:
    """The kind and rate of dropout, or those of each layer."""
    if not config.drops:
        return "no dropout"
    if not config.layer_dropout:
        return f"{config.dropout}, p = {config.rate:g}"
    layers = zip(config.kinds, config.rates, strict=True)
    return ", ".join(kind if kind == "none" else f"{kind} p = {rate:g}" for kind, rate in layers)


def _train_all(runs: list[Run], console: Console) -> int:
    """Train one run after the other; the exit status: 0, 130 after Ctrl-C, 1 if the training diverged."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TextColumn("epoch {task.completed}/{task.total}  test {task.fields[accuracy]:.1%}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console) as progress:
            for run in runs:
                accuracy = run.history[-1].test_accuracy
                task = progress.add_task(run.name, total=run.trainer.config.epochs, accuracy=accuracy)
                begin = time.perf_counter()
                while not run.trainer.finished:
                    run.trainer.step()
                    latest = run.history[-1]
                    progress.update(task, completed=latest.epoch, accuracy=latest.test_accuracy)
                    run.seconds = time.perf_counter() - begin
    except KeyboardInterrupt:
        console.print("stopped; this is the result so far:")
        return 130
    except TrainingDiverged as error:
        console.print(f"[red]{error}[/]")
        return 1
    return 0


def _table(runs: list[Run]) -> Table:
    table = Table("")
    runs = [run for run in runs if run.trainer.step_count]  # after Ctrl-C, some have not begun
    for run in runs:
        table.add_column(run.name, justify="right")
    last = [run.history[-1] for run in runs]
    rows = {
        "train accuracy": [f"{record.train_accuracy:.2%}" for record in last],
        "test accuracy": [f"{record.test_accuracy:.2%}" for record in last],
        "gap": [f"{100 * record.gap:.2f} pp" for record in last],
        "train loss": [f"{record.train_loss:.4f}" for record in last],
        "test loss": [f"{record.test_loss:.4f}" for record in last],
        "epochs": [str(record.epoch) for record in last],
        "seconds": [f"{run.seconds:.1f}" for run in runs],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _check_figure(path: Path) -> None:
    check_target(path, *FIGURE_SUFFIXES)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_package("matplotlib", "experiments", "drawing a figure") from None


def draw(runs: list[Run], path: Path) -> None:
    """Draw the curves of loss and accuracy; the suffix of the path decides the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        for number, run in enumerate(runs):
            epochs = [record.epoch for record in run.history]
            for part, style in (("train", "--"), ("test", "-")):
                values = [getattr(record, f"{part}_{quantity}") for record in run.history]
                panel.plot(epochs, values, style, color=f"C{number}", label=f"{run.name}: {part}")
        panel.set_xlabel("epoch")
        panel.set_ylabel("cross-entropy loss" if quantity == "loss" else quantity)
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(f"{path_text(runs[0].trainer.dataset.name)}, seed {runs[0].trainer.config.seed}")
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower())
    write_atomically(path, content.getvalue())
