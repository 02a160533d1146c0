"""The experiments behind what is said about dropout: each a claim, and a run that can contradict it."""

from fastdrop.experiments.studies import (
    connect,
    ensemble,
    normalization,
    pictures,
    scaling,
    sequences,
    spatial,
    training,
    uncertainty,
)
from fastdrop.experiments.studies.compare import Comparison, compare, saved
from fastdrop.experiments.studies.report import OVERVIEW, document_of, files_of, save, save_overview
from fastdrop.experiments.studies.study import Finding, Study
from fastdrop.experiments.work import Work, available_cores, processes

_ORDER = [
    "overfitting",
    "with-and-without",
    "rates",
    "scaling",
    "sub-networks",
    "spatial",
    "dropconnect",
    "forgetting-eval",
    "batch-norm",
    "weights",
    "monte-carlo",
    "sequences",
    "ensemble",
]
_MODULES = (training, scaling, pictures, spatial, connect, normalization, uncertainty, sequences, ensemble)

STUDIES: dict[str, Study] = dict(
    sorted(
        ((study.name, study) for module in _MODULES for study in module.STUDIES), key=lambda item: _ORDER.index(item[0])
    )
)
"""By name, in the order in which they are told."""

__all__ = [
    "OVERVIEW",
    "STUDIES",
    "Comparison",
    "Finding",
    "Study",
    "Work",
    "available_cores",
    "compare",
    "document_of",
    "files_of",
    "processes",
    "save",
    "save_overview",
    "saved",
]
