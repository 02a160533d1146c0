"""The experiment of a window: its configuration, its training, and the runs pinned beside it."""

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from fastdrop.experiments import Experiment, ExperimentConfig, Run
from fastdrop_gui.model import editing
from fastdrop_gui.model.experiment_model import ExperimentModel, Status
from fastdrop_gui.model.messages import Saved
from fastdrop_gui.views.document import Document


class Session(QObject):
    """What can be done with the experiment. Parts of the window call it and listen to its signals; it draws nothing."""

    changed = Signal()
    """Anything that is shown may have changed."""
    config_changed = Signal(object)
    """The configuration that is edited: after every edit, and when an experiment is opened."""
    restarted = Signal()
    """Training starts anew: what is shown of it is out of date."""
    failed = Signal()
    """The model's status has become FAILED."""
    replacing = Signal()
    """Another experiment is about to take the place of this one."""
    opened = Signal()
    """A run or a configuration was opened, and wants to be seen."""
    announced = Signal(str)
    """Something went well: shown for some seconds."""

    def __init__(self, config: ExperimentConfig, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.document = Document(config, self)
        self.model = ExperimentModel(config)
        self.runs: tuple[Run, ...] = ()
        self.notice = ""
        """A problem that stops nothing; shown until the next change."""
        self.saved_step: int = 0
        """How many batches the network in the document's file was trained on; -1 without such a file."""
        self._saving: list[tuple[str, Callable[[Saved], object]]] = []
        self.document.config_changed.connect(self._take_config)

    # -- what is edited

    @property
    def config(self) -> ExperimentConfig:
        """The configuration as it is edited."""
        return self.document.config

    @property
    def needs_reset(self) -> bool:
        """Whether the configuration has changes that the network in training does not have."""
        return not editing.only_live(self.model.config, self.config)

    @property
    def is_unsaved(self) -> bool:
        """Whether the configuration differs from the file's, or the network was trained since it was saved."""
        return self.document.is_modified or self.model.steps_done != self.saved_step

    def _take_config(self, config: ExperimentConfig) -> None:
        """Rates, learning rate and epochs take effect at once, all else before the first batch; later, at a reset."""
        self.notice = ""
        self.config_changed.emit(config)
        running = self.model.config
        if editing.only_live(running, config):
            self.model.change(config)
        elif self.model.status is Status.FAILED or self.model.steps_done == 0:
            self.reset()
        else:
            self.model.change(editing.with_live(running, config))
        self.changed.emit()

    def begin(self, config: ExperimentConfig, text: str) -> None:
        """Take a configuration and start with it, whatever runs now; `text` names the change for Undo."""
        self.document.change(config, text)
        if self.model.status is not Status.LOADING or self.model.config != config:  # else it has just started
            self.reset()

    # -- what runs

    def run(self) -> None:
        """Train."""
        self.model.run()
        self.changed.emit()

    def pause(self) -> None:
        """Stop after the current batch."""
        self.model.pause()
        self.changed.emit()

    def step(self) -> None:
        """Train on one batch."""
        self.model.step()
        self.changed.emit()

    def step_epoch(self) -> None:
        """Train to the end of the epoch."""
        self.model.step(epoch=True)
        self.changed.emit()

    def reset(self) -> None:
        """Go back to the initial weights, with the configuration as it is now."""
        self._restart(baseline=self.model.baseline_requested)

    def _restart(self, *, baseline: bool, file: str = "", was_saved: bool = False) -> None:
        self.notice = ""
        self.model.reset(self.config, baseline=baseline, file=file, was_saved=was_saved)
        self.restarted.emit()
        self.changed.emit()

    def new_seed(self) -> None:
        """Take other initial weights, another order of batches and other masks."""
        self.begin(self.config.replace(seed=(self.config.seed + 1) % 2**31), "new seed")

    def set_baseline(self, enabled: bool) -> None:
        """Train the baseline as well, or no longer."""
        if enabled != self.model.baseline_requested:
            self.model.set_baseline(enabled)

    def tick(self) -> bool:
        """Take what the training process has sent; True where something has changed."""
        was_failed = self.model.status is Status.FAILED
        changed = self.receive()
        if self.model.status is Status.FAILED and not was_failed:
            self.failed.emit()
        if changed:
            self.changed.emit()
        return changed

    def receive(self) -> bool:
        """As `tick`, but only the savers hear of it: what a window that is closing still waits for."""
        changed = self.model.tick()
        while self.model.saved:
            saved = self.model.saved.pop(0)
            for number, (path, done) in enumerate(self._saving):
                if path == saved.path:
                    del self._saving[number]
                    done(saved)
                    break
        if self.model.is_lost and self._saving:
            lost, self._saving = self._saving, []
            for path, done in lost:
                done(Saved(0, path, 0, f"{path} was not written, since the training process ended"))
        return changed

    # -- runs and experiments

    def set_runs(self, runs: tuple[Run, ...]) -> None:
        """Compare with these runs."""
        self.runs = runs
        self.changed.emit()

    def pin_run(self) -> None:
        """Keep the curves of the current run, to compare later ones with."""
        model = self.model
        if len(model.history) > 1:
            self.set_runs((*self.runs, Run(editing.title(model.config), model.config, tuple(model.history))))

    def remove_run(self, number: int) -> None:
        """Remove a pinned run."""
        self.set_runs((*self.runs[:number], *self.runs[number + 1 :]))

    def restore_run(self, run: Run) -> None:
        """Take a run's configuration."""
        self.document.change(run.config, f"restore {run.name}")
        self.opened.emit()

    def open_config(self, config: ExperimentConfig, name: str = "") -> None:
        """Start with a configuration that comes from elsewhere: a preset, or a share code."""
        self.replacing.emit()
        self.begin(config, f"open {name or 'a configuration'}")
        self.opened.emit()

    def open_experiment(self, experiment: Experiment, path: str = "", states: str = "") -> None:
        """Take a whole experiment; `path` is the file to save to, `states` the file with the weights."""
        self.replacing.emit()
        self.saved_step = experiment.steps if path or not states else -1
        self.document.open(experiment.config, path)
        self.config_changed.emit(experiment.config)
        self.runs = experiment.runs
        self._restart(baseline=False, file=states if experiment.states else "", was_saved=True)

    def experiment(self, config: ExperimentConfig | None = None) -> Experiment:
        """What a file gets, without the weights."""
        return Experiment(config or self.config, runs=self.runs)

    def save(self, path: str, experiment: Experiment, done: Callable[[Saved], object]) -> None:
        """Have the training process write a file, or the weights alone as .npz; `done` learns how that went."""
        self._saving.append((path, done))
        self.model.save(path, experiment)

    # -- messages

    def notify(self, problem: str) -> None:
        """Show a problem in the status bar, without stopping anything; until the next change."""
        self.notice = problem
        self.changed.emit()

    def announce(self, text: str) -> None:
        """Show for some seconds that something was done."""
        self.announced.emit(text)
