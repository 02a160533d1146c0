"""Evidence in words and tables of text, as the window shows and copies it."""

from typing import NamedTuple

from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop.experiments.evidence import Evidence, EvidencePlan
from fastdrop.experiments.evidence.metrics import Metric
from fastdrop_gui.model.wording import counted, display_name

ARMS = ("Baseline (no dropout)", "With dropout")


class TextTable(NamedTuple):
    """Headings and rows of text; the first column names the row."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def plan_of(config: ExperimentConfig, splits: int, rates: str) -> EvidencePlan:
    """The plan for a configuration; `rates` are numbers with commas or spaces between them.

    Raises
    ------
    ConfigError
        If a rate is no number, or as `EvidencePlan`.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> from fastdrop_gui.model.evidence_text import plan_of
    >>> plan_of(ExperimentConfig(), 3, "0.1, 0.5").rates
    (0.1, 0.5)
    """
    parts = rates.replace(",", " ").replace(";", " ").split()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise ConfigError("the candidate rates must be numbers with commas between them, such as 0.1, 0.3") from None
    return EvidencePlan(config, splits, tuple(numbers))


def described(config: ExperimentConfig) -> str:
    """Which network is trained on what, in a line."""
    data = config.data_file.replace("\\", "/").rpartition("/")[2] or config.dataset
    hidden = ", ".join(map(str, config.hidden))
    kinds = ", ".join(dict.fromkeys(display_name(kind).lower() for kind in config.kinds if kind != "none"))
    dropout = f"{kinds} dropout" if kinds else "no dropout"
    return f"{display_name(config.network)} {hidden} on {data}, {dropout}, {counted(config.epochs, 'epoch')}"


def metrics_table(evidence: Evidence) -> TextTable:
    """The figures of both networks, and what always predicting the most frequent class gives."""
    both = evidence.baseline, evidence.dropout
    majority = _percent(evidence.majority)
    rows = [("Always the most frequent class: accuracy", majority, majority, f"{evidence.majority.rows:,}")]
    for name, metrics, text in (
        ("Accuracy", [each.accuracy for each in both], _percent),
        ("Balanced accuracy", [each.balanced_accuracy for each in both], _percent),
        ("Log loss (nats)", [each.log_loss for each in both], _number),
        ("Expected calibration error", [each.calibration_error for each in both], _number),
        ("Area under the ROC curve", [each.roc_auc for each in both], _number),
    ):
        known = [metric for metric in metrics if metric is not None]
        if known:
            rows.append((name, text(known[0]), text(known[1]), f"{known[0].rows:,}"))
    return TextTable(("Mean over the splits", *ARMS, "Test rows"), tuple(rows))


def recall_table(evidence: Evidence) -> TextTable:
    """The recall of each class."""
    rows = zip(evidence.class_names, evidence.baseline.recall, evidence.dropout.recall, strict=True)
    return TextTable(
        ("Recall of class", *ARMS, "Test rows"),
        tuple((name, _percent(before), _percent(after), f"{before.rows:,}") for name, before, after in rows),
    )


def confusion_table(evidence: Evidence, with_dropout: bool = True) -> TextTable:
    """The confusion matrix of one network: true classes are rows, predicted ones columns."""
    counts = (evidence.dropout if with_dropout else evidence.baseline).confusion
    rows = tuple(
        (name, *(f"{count:,}" for count in row)) for name, row in zip(evidence.class_names, counts, strict=True)
    )
    return TextTable(("True \\ predicted", *evidence.class_names), rows)


def rates_text(evidence: Evidence) -> str:
    """How often each rate was chosen; empty where there was only one."""
    if len(evidence.plan.rates) < 2:
        return ""
    counts = ", ".join(f"p = {rate:g}: {count}" for rate, count in evidence.rates_chosen.items())
    return f"Splits that chose each rate by their validation rows: {counts}."


def evidence_text(evidence: Evidence) -> str:
    """All of it as plain text, to paste elsewhere."""
    parts = [evidence.sentence, f"({described(evidence.plan.config)})"]
    if evidence.warning:
        parts.append(f"Warning: {evidence.warning}")
    parts += [f"Note: {note}" for note in evidence.notes]
    parts += filter(None, [rates_text(evidence)])
    for table in (metrics_table(evidence), recall_table(evidence), confusion_table(evidence)):
        parts += ["", *("\t".join(row) for row in (table.headings, *table.rows))]
    return "\n".join(parts) + "\n"


def _percent(metric: Metric) -> str:
    return f"{metric.value:.1%}" if metric.rows else "–"


def _number(metric: Metric) -> str:
    return f"{metric.value:.3f}" if metric.rows else "–"
