"""The app and hostile files: it shows the error, and its processes and window keep running."""

import json
import multiprocessing
import os
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6")
from fuzz.mutations import HEADERS, archive, npy, with_header
from guitools import CONFIG, WAIT
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMessageBox

from fastdrop.experiments import Experiment, ExperimentConfig, Run, Trainer, load_experiment, save_experiment, tables
from fastdrop.experiments.tables.description import send_description
from fastdrop.experiments.tables.roles import NO_CHOICES
from fastdrop_gui.model import trainer_pair, worker
from fastdrop_gui.model.experiment_model import ExperimentModel, Status
from fastdrop_gui.model.messages import Failure, RequestedViews, Saved, Start, Update
from fastdrop_gui.views.benchmark.benchmark_view import BenchmarkView
from fastdrop_gui.views.files.import_dialog import ImportDialog
from fastdrop_gui.views.files.recent_files import recent_files
from fastdrop_gui.views.widgets.dialogs import UnexpectedError

pytestmark = [pytest.mark.gui, pytest.mark.slow]

Y = npy(np.arange(8) % 2)


def table(path, header=HEADERS[0]):
    path.write_bytes(archive([("x.npy", with_header(header, bytes(192)), 0), ("y.npy", Y, 0)]))
    return path


# --- the training process


def wait(model, condition):
    end = time.monotonic() + WAIT / 1000
    while not condition():
        assert time.monotonic() < end, (model.status, model.message)
        model.tick()
        time.sleep(0.01)


def test_the_process_survives_hostile_files(tmp_path):
    model = ExperimentModel(CONFIG)
    wait(model, lambda: model.status is Status.READY)
    pid = model._process.pid
    for number, header in enumerate(HEADERS[:12]):
        path = table(tmp_path / f"{number}.npz", header)
        model.reset(ExperimentConfig(dataset="file", data_file=str(path)))
        wait(model, lambda: model.status is Status.FAILED)
        assert f"{number}.npz: not an archive of plain arrays" in model.message
        assert model.field == "dataset"
    for name, content in {"text": b"hello", "no arrays": archive([("experiment.npy", b"hello", 0)])}.items():
        path = tmp_path / f"{name}.fastdrop"
        path.write_bytes(content)
        model.reset(CONFIG, file=str(path))
        wait(model, lambda: model.status is Status.FAILED)
        assert "not an experiment of fastdrop, or damaged" in model.message
    damaged = {**Trainer(CONFIG.without_dropout()).state(), "order": np.full(3, np.nan)}
    save_experiment(
        tmp_path / "state.fastdrop", Experiment(CONFIG, {"main": Trainer(CONFIG).state(), "baseline": damaged})
    )
    model.reset(CONFIG, file=str(tmp_path / "state.fastdrop"))
    wait(model, lambda: model.status is Status.FAILED)
    assert "does not belong to this configuration: order must be a row of whole numbers" in model.message
    model.reset(CONFIG)
    wait(model, lambda: model.status is Status.READY)
    model.save("a\0b.fastdrop", Experiment(CONFIG))
    wait(model, lambda: model.saved)
    assert model.saved[0].problem
    assert model.status is Status.READY
    assert model._process.pid == pid
    model.close()


@pytest.fixture
def told():
    """A function that runs a worker's commands in this process, and returns its messages."""

    def tell(*commands):
        ours, theirs = multiprocessing.Pipe()
        with ours, theirs:
            for command in (*commands, ("stop", None)):
                ours.send(command)
            worker.Worker(theirs).loop()
            messages = []
            while ours.poll():
                messages.append(ours.recv())
            return messages

    return tell


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("error", [ZeroDivisionError("no"), EOFError("no"), BrokenPipeError("no"), KeyError("no")])
def test_an_unexpected_error_is_told_with_details(error, told, monkeypatch):
    monkeypatch.setattr(trainer_pair, "load_experiment", failing(error))
    start = ("start", (1, Start(CONFIG, file="x.fastdrop")))
    messages = told(start, start, ("start", (2, Start(CONFIG))), ("save", ("no/where.fastdrop", Experiment(CONFIG))))
    failures = [message for message in messages if isinstance(message, Failure)]
    assert len(failures) == 2
    assert all("no" in failure.message for failure in failures)
    if not isinstance(error, OSError):  # an unexpected error: OSErrors are expected of files
        assert f"unexpected error: {type(error).__name__}" in failures[0].message
        assert "Traceback" in failures[0].details
        assert "load_experiment" in failures[0].details
    assert isinstance(messages[-1], Saved)  # it has started the next command


DEFECTS = {
    "rates": (("rates", (0.1, 0.1)), property(lambda self: (0.5, 0.5), failing(ZeroDivisionError()))),
    "extend": (("epochs", 900), failing(ZeroDivisionError())),
    "step": (("run", None), failing(ZeroDivisionError())),
    "snapshot": (("snapshot", RequestedViews()), failing(ZeroDivisionError())),
}


@pytest.mark.parametrize("broken", DEFECTS)
def test_a_defect_ends_what_was_under_way_and_not_the_process(broken, monkeypatch):
    command, defect = DEFECTS[broken]
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        mine = worker.Worker(theirs)
        mine._obey("start", (1, Start(CONFIG, baseline=True)))
        mine._obey("snapshot", RequestedViews())  # so that the test does not wait
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, broken, defect)
            ours.send(command)
            while not ours.poll():
                assert mine._turn()
            failure = ours.recv()
        assert isinstance(failure, Failure)
        assert "ZeroDivisionError" in failure.details
        assert not mine.running
        ours.send(("start", (2, Start(CONFIG))))
        ours.send(("snapshot", RequestedViews()))
        while not ours.poll():
            assert mine._turn()
        update = ours.recv()
        assert isinstance(update, Update)
        assert update.run == 2


# --- the window


@pytest.fixture
def warned(monkeypatch):
    texts = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: texts.append(arguments[2]))
    return texts


def test_hostile_experiments_leave_the_one_at_hand(window, warned, tmp_path):
    contents = {
        "a.fastdrop": archive([("experiment.npy", with_header("{("), 0)]),
        "b.fastdrop": b"PK\x05\x06" + b"\xff" * 18,
        "c.toml": b"rate = " + b"[" * 9999,
        "d.toml": b"[fastdrop]\nformat=1\n[experiment]\nseed = 0x" + b"f" * 9999,
        "e.toml": b'[fastdrop]\nformat=1\n[experiment]\n"<img src=x>" = 1',
    }
    for number, (name, content) in enumerate(contents.items(), start=1):
        path = tmp_path / name
        path.write_bytes(content)
        window.open_path(str(path))
        assert len(warned) == number
        assert name in warned[-1]
    assert "&lt;img src=x&gt;" in warned[-1]  # shown as text, not interpreted as markup
    for name in ("a\0b.toml", "\ud800.fastdrop", "x" * 5000 + ".toml"):
        window.open_path(name)
        assert "cannot be read" in warned[-1]
    assert window.session.document.config == CONFIG
    assert window.session.model.status is Status.READY


def test_hostile_share_codes_are_refused_and_extreme_ones_accepted(qtbot, window):
    for line in (
        "fastdrop1?dataset=file&data_file=%00",
        "fastdrop1?epochs=" + "1" * 401,
        "fastdrop1?rate=nan",
        "\ud83d",
    ):
        QGuiApplication.clipboard().setText(line)
        window.exporter.paste_share_code()
        assert window.session.notice
        assert window.session.document.config == CONFIG
    odd = CONFIG.replace(
        seed=2**63 - 1,
        split_seed=2**32 - 1,
        epochs=10**6,
        batch_size=65536,
        learning_rate=1e-300,
        noise=1e-300,
        rate=1.0,
    )
    QGuiApplication.clipboard().setText(odd.to_share_code())
    window.exporter.paste_share_code()
    assert window.session.document.config == odd
    qtbot.waitUntil(lambda: window.session.model.status is Status.READY, timeout=WAIT)


def test_a_pasted_file_that_is_hostile_fails_beside_its_field(qtbot, window, tmp_path):
    path = table(tmp_path / "given.npz")
    QGuiApplication.clipboard().setText(ExperimentConfig(dataset="file", data_file=str(path)).to_share_code())
    window.exporter.paste_share_code()
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "given.npz" in window.training.settings.problem("dataset")
    assert not window.session.model.is_lost


def test_an_unexpected_error_in_the_process_opens_the_dialog_with_details(qtbot, window):
    failure = Failure(
        window.session.model._run, "unexpected error: KeyError: 'x'", details="Traceback: here\nKeyError: 'x'"
    )
    window.session.model._process.receive = lambda: [failure]
    window._tick()
    del window.session.model._process.receive
    dialog = window.findChild(UnexpectedError)
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    assert "Traceback: here" in QGuiApplication.clipboard().text()
    dialog.close()
    assert "unexpected error" in window.status.problem.text()
    window.session.reset()
    qtbot.waitUntil(lambda: window.session.model.status is Status.READY, timeout=WAIT)


# --- folders without access


@contextmanager
def as_ordinary_user():
    """The rights of an ordinary user."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def without_network(qtbot, window):
    """A configuration that cannot be trained: only the configuration can be saved."""
    window.table_import.use("/nowhere.csv")
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)


def test_a_folder_that_may_not_be_entered_any_more(qtbot, window, warned, tmp_path):
    folder, other = tmp_path / "closed", tmp_path / "other.fastdrop"
    folder.mkdir()
    path = folder / "run.fastdrop"
    for name in (path, other):
        window.files.save_to(str(name))
        qtbot.waitUntil(lambda name=name: str(name) in recent_files(), timeout=WAIT)
    without_network(qtbot, window)
    folder.chmod(0o000)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.geteuid() and above != above.parent:
            above.chmod(above.stat().st_mode | 0o055)
    with as_ordinary_user():
        assert recent_files() == [str(other)]
        window.files.save_to(str(path))
    folder.chmod(0o700)
    assert "no permission" in warned[-1] or "cannot be" in warned[-1]
    assert recent_files() == [str(other), str(path)]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "no/where", "\ud800"])
def test_a_name_that_cannot_be_where_only_settings_are_saved(qtbot, window, warned, name):
    without_network(qtbot, window)
    window.files.save_to(name + ".fastdrop")
    assert len(warned) == 1
    assert ".fastdrop: " in warned[0]


@pytest.mark.parametrize("name", [b"\xff.csv", b"caf\xe9 1\x07.csv", b"\xed\xa0\x80.npz"])
def test_a_table_whose_name_is_no_text(qtbot, window, warned, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    if path.suffix == ".csv":
        path.write_text("a,b\n1,x\n2,x\n3,y\n4,y\n")
    else:
        np.savez(os.fspath(path), x=np.arange(8.0).reshape(4, 2), y=np.arange(4) % 2)
    window.open_path(str(path))
    dialog = window.findChild(ImportDialog)
    qtbot.waitUntil(lambda: not dialog.is_checking, timeout=WAIT)
    assert dialog.file.text()
    assert dialog.ok.isEnabled()
    dialog.accept()
    assert len(warned) == 1
    assert "data_file must be Unicode text without control characters" in warned[0]
    assert "rename the file" in warned[0]
    assert window.session.document.config == CONFIG
    missing = ImportDialog(str(path) + ".csv")
    qtbot.addWidget(missing)
    qtbot.waitUntil(lambda: "cannot be read" in missing.problem.text(), timeout=WAIT)


def test_what_cannot_be_saved_is_reported(qtbot, window, warned, tmp_path):
    path = tmp_path / "run.fastdrop"
    window.session.set_runs((Run("a\x07b", CONFIG, tuple(Trainer(CONFIG).history)),))
    window.files.save_to(str(path))
    qtbot.waitUntil(lambda: bool(warned), timeout=WAIT)
    without_network(qtbot, window)
    window.files.save_to(str(path))
    assert ["the name of a pinned run must be Unicode text" in text for text in warned] == [True, True]
    window.autosave.save()
    qtbot.waitUntil(lambda: "not autosaved: " in window.session.notice, timeout=WAIT)
    assert not path.exists()


# --- dialogs and pages


def test_the_table_dialog_says_what_is_wrong(qtbot, tmp_path):
    many = archive([(f"{number}.npy", Y, 0) for number in range(5000)])
    for number, content in enumerate([b"hello", archive([("x.npy", b"hello", 0)]), many]):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(content)
        dialog = ImportDialog(path)
        qtbot.addWidget(dialog)
        dialog.open()
        qtbot.waitUntil(lambda dialog=dialog: not dialog.is_checking, timeout=WAIT)
        assert f"{number}.npz" in dialog.problem.text()
        assert len(dialog.problem.text()) < 3000
        assert not dialog.ok.isEnabled()
        dialog.reject()


def test_a_check_that_fails_unexpectedly_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(tables.reader, "opened", failing(ZeroDivisionError("no")))
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with ours, theirs:
        send_description(theirs, "x.npz", NO_CHOICES, "", "")
        assert ours.recv().problem == "x.npz: unexpected error: ZeroDivisionError: no"


def test_hostile_benchmarks_leave_the_page_as_it_is(qtbot, tmp_path):
    view = BenchmarkView()
    qtbot.addWidget(view)
    path = tmp_path / "given.json"
    whole = json.loads((Path(__file__).parents[2] / "docs" / "benchmarks" / "cpu-zen5.json").read_text())
    for change in ({"results": [[]]}, {"machine": []}, {"version": True}, {"missing peers": [3]}):
        path.write_text(json.dumps({**whole, **change}))
        view.open_saved(str(path))
        assert "given.json" in view.status.text()
        assert view.model.saved is None
    for content in ("[" * 100_000, "1" * 5000, "\x00"):
        path.write_text(content)
        view.open_saved(str(path))
        assert "given.json: not JSON" in view.status.text()
    for value in (10**400, 2**70, -1, 0.5, "8"):
        result = {**whole["results"][0], "shape": [value]}
        path.write_text(json.dumps({**whole, "results": [result]}))
        view.open_saved(str(path))
        assert "damaged" in view.status.text()
    path.write_text(json.dumps(whole))
    view.open_saved(str(path))
    assert view.model.saved is not None
    view.shutdown()


def test_what_the_window_opens_is_what_was_saved(tmp_path):
    trainer = Trainer(CONFIG)
    trainer.step()
    save_experiment(tmp_path / "run.fastdrop", Experiment(CONFIG, {"main": trainer.state()}))
    assert load_experiment(tmp_path / "run.fastdrop").steps == 1


@pytest.mark.parametrize("found", [None, 3, ["a\0b", 3, None, ["x"]], {"a": 1}, QPoint(1, 2), b"x", ""])
def test_settings_of_another_kind_in_place_of_the_recent_files(qtbot, window, tmp_path, found):
    QSettings().setValue("recent", found)
    assert recent_files() == []
    window.menus.recent.aboutToShow.emit()
    without_network(qtbot, window)
    window.files.save_to(str(tmp_path / "run.fastdrop"))
    qtbot.waitUntil(lambda: recent_files() == [str(tmp_path / "run.fastdrop")], timeout=WAIT)
