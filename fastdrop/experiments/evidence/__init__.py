"""Does dropout help on this data? Paired splits, a rate chosen on validation rows, and a verdict by test rows.

`plan` says what is trained; `training` trains one split; `running` trains all in processes; `statistics` has the
confidence interval and the sentence, `metrics` the figures beside it, `summary` both of them as an `Evidence`.
"""

from fastdrop.experiments.evidence.plan import EvidencePlan
from fastdrop.experiments.evidence.running import EvidenceRun, does_dropout_help
from fastdrop.experiments.evidence.summary import Evidence
from fastdrop.experiments.evidence.training import FailedSplit, SplitResult

__all__ = ["Evidence", "EvidencePlan", "EvidenceRun", "FailedSplit", "SplitResult", "does_dropout_help"]
