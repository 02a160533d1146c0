"""The experiments behind the claims about dropout: each a claim, and a run that can contradict it."""

from fastdrop.experiments.parallel import available_cores, processes
from fastdrop.experiments.studies import (
    dropconnect,
    ensemble,
    normalization,
    scaling,
    sequences,
    spatial,
    subnetworks,
    training_curves,
    uncertainty,
)
from fastdrop.experiments.studies.compare import Comparison, compare, saved
from fastdrop.experiments.studies.report import OVERVIEW, document_of, files_of, save, save_overview
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import Finding, Study

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
_MODULES = (
    training_curves,
    scaling,
    subnetworks,
    spatial,
    dropconnect,
    normalization,
    uncertainty,
    sequences,
    ensemble,
)

STUDIES: dict[str, Study] = dict(
    sorted(
        ((study.name, study) for module in _MODULES for study in module.STUDIES), key=lambda item: _ORDER.index(item[0])
    )
)
"""All studies by name, in the order of the report."""

__all__ = [
    "OVERVIEW",
    "STUDIES",
    "Comparison",
    "Finding",
    "Study",
    "StudyRunner",
    "available_cores",
    "compare",
    "document_of",
    "files_of",
    "processes",
    "save",
    "save_overview",
    "saved",
]
