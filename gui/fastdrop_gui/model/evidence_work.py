"""Runs a comparison and sums it up beside the window: worker processes train, a thread computes what they show."""

from concurrent.futures import Future, ThreadPoolExecutor

from fastdrop.experiments.evidence import Evidence, EvidencePlan, EvidenceRun
from fastdrop.experiments.parallel import available_cores


class EvidenceWork:
    """One comparison. Call `poll` regularly, and `close` at the end.

    Metrics are scikit-learn's, whose import takes a second: a thread does it, so that the window does not wait.

    Attributes
    ----------
    run : EvidenceRun
    evidence : Evidence or None
        Of the splits that were finished when it was computed last.
    error : str
        Why it could not be computed.
    """

    def __init__(self, plan: EvidencePlan) -> None:
        self.run = EvidenceRun(plan, max(1, available_cores() - 1))  # a core for the window and its training
        self.evidence: Evidence | None = None
        self.error = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastdrop evidence")
        self._computing: Future[Evidence] | None = None
        self._computed = -1

    @property
    def is_running(self) -> bool:
        """Whether networks are trained."""
        return self.run.is_running

    @property
    def is_complete(self) -> bool:
        """Whether nothing more can come."""
        return not self.run.is_running and self._computing is None and self._computed == self._known

    @property
    def _known(self) -> int:
        run = self.run
        return len(run.results) + len(run.failed) + int(not run.is_running) if run.results else -1

    def poll(self) -> bool:
        """Look what is finished; True where there is new evidence."""
        self.run.poll()
        found = False
        if self._computing is not None and self._computing.done():
            try:
                self.evidence = self._computing.result()
                found = True
            except Exception as error:  # a package is missing, or a defect
                self.error = str(error) or type(error).__name__
            self._computing = None
        if self._computing is None and self._computed != self._known:
            self._computed = self._known
            run = self.run
            self._computing = self._thread.submit(Evidence.of, run.plan, tuple(run.results), tuple(run.failed))
        return found

    def cancel(self) -> None:
        """Stop; finished splits stay."""
        self.run.cancel()

    def close(self) -> None:
        """Stop, and end the processes."""
        self.run.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
