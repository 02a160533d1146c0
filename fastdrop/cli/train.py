"""`fastdrop train`: a progress bar, a closing table, figures on request."""

import argparse
import time
from io import BytesIO
from pathlib import Path

from fastdrop.errors import missing_package
from fastdrop.experiments import EpochRecord, ExperimentConfig, Trainer, TrainingDiverged, one_blas_thread
from fastdrop.experiments.files import check_target, path_text, write_atomically
from fastdrop.threads import set_num_threads

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table
except ImportError:
    raise missing_package("rich", "experiments", "training in the terminal") from None


class Run:
    """One network's training: what it is called, its trainer, and how long it took."""

    def __init__(self, name: str, trainer: Trainer) -> None:
        self.name = name
        self.trainer = trainer
        self.seconds = 0.0

    @property
    def history(self) -> list[EpochRecord]:
        return self.trainer.history


def train(config: ExperimentConfig, options: argparse.Namespace) -> int:
    """Train, compare, save what was asked for. Ctrl-C ends the training and shows what was reached."""
    console = Console()
    if options.threads is not None:
        set_num_threads(options.threads)
    if options.save_config:
        check_target(options.save_config, ".toml")
    if options.figure:
        _check_figure(options.figure)
    if options.save_config:
        config.save(options.save_config)
    dataset = config.load_dataset()
    console.print(
        f"[bold]{escape(path_text(dataset.name))}[/]: {len(dataset.x_train)} examples to train, "
        f"{len(dataset.x_test)} to test, {dataset.features} features, {dataset.classes} classes; "
        f"hidden layers {', '.join(map(str, config.hidden))}"
    )
    for warning in config.warnings:
        console.print(f"[yellow]note:[/] {escape(warning)}")
    configs = {_name_of(config): config}
    if config.drops and not options.no_comparison:
        configs["without dropout"] = config.without_dropout()
    runs = [Run(name, Trainer(each, dataset)) for name, each in configs.items()]
    with one_blas_thread():
        status = _train_all(runs, console)
    console.print(_table(runs))
    if options.figure:
        draw(runs, options.figure)
        console.print(f"figure: {escape(path_text(options.figure))}")
    if options.save_config:
        console.print(f"configuration: {escape(path_text(options.save_config))}")
    return status


def _name_of(config: ExperimentConfig) -> str:
    """What is dropped: one kind at one rate, or what each layer has of its own."""
    if not config.drops:
        return "no dropout"
    if not config.layer_dropout:
        return f"{config.dropout}, p = {config.rate:g}"
    layers = zip(config.kinds, config.rates, strict=True)
    return ", ".join(kind if kind == "none" else f"{kind} p = {rate:g}" for kind, rate in layers)


def _train_all(runs: list[Run], console: Console) -> int:
    """Train one after the other; the exit status: 0, 130 after Ctrl-C, 1 where the training diverged."""
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
        console.print("stopped; this is what was reached:")
        return 130
    except TrainingDiverged as error:
        console.print(f"[red]{error}[/]")
        return 1
    return 0


def _table(runs: list[Run]) -> Table:
    table = Table("")
    runs = [run for run in runs if run.trainer.step_count]  # after an early stop, not those that never began
    for run in runs:
        table.add_column(run.name, justify="right")
    last = [run.history[-1] for run in runs]
    rows = {
        "train accuracy": [f"{record.train_accuracy:.2%}" for record in last],
        "test accuracy": [f"{record.test_accuracy:.2%}" for record in last],
        "gap": [f"{record.train_accuracy - record.test_accuracy:.2%}" for record in last],
        "train loss": [f"{record.train_loss:.4f}" for record in last],
        "test loss": [f"{record.test_loss:.4f}" for record in last],
        "epochs": [str(record.epoch) for record in last],
        "seconds": [f"{run.seconds:.1f}" for run in runs],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _check_figure(path: Path) -> None:
    check_target(path, ".png", ".svg", ".pdf")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_package("matplotlib", "experiments", "drawing a figure") from None


def draw(runs: list[Run], path: Path) -> None:
    """Curves of loss and accuracy, as a file of the kind that the path names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        for number, run in enumerate(runs):
            epochs = [record.epoch for record in run.history]
            for share, style in (("train", "--"), ("test", "-")):
                values = [getattr(record, f"{share}_{quantity}") for record in run.history]
                panel.plot(epochs, values, style, color=f"C{number}", label=f"{run.name}: {share}")
        panel.set_xlabel("epoch")
        panel.set_ylabel("loss in nats" if quantity == "loss" else quantity)
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(f"{path_text(runs[0].trainer.dataset.name)}, seed {runs[0].trainer.config.seed}")
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower())
    write_atomically(path, content.getvalue())
