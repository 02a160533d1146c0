"""Disks that become full, read-only or unavailable during a write: part of `make kills`, a minute.

The disk is a small tmpfs in a mount namespace of this process, made as root or within `unshare -rm`. Every writer of
tests/helpers/writers.py reports the error and the path, keeps the old content and leaves no other file. A sweep keeps
its finished runs and can be continued. The app shows the error and continues.
"""

import ctypes
import os
import shutil
import subprocess
import time

import pyarrow.parquet as pq
import pytest
import writers
from guitools import CONFIG, WAIT, click
from victim import Victim, contents, left
from writers import WRITERS

from fastdrop.cli import main as cli
from fastdrop.experiments import ExperimentConfig, load_experiment, sweep
from fastdrop.experiments.sweeps import SweepStopped, sweep_table
from fastdrop.experiments.sweeps.sweep_table import TableError

pytestmark = [pytest.mark.native, pytest.mark.timeout(600)]
_NEW_MOUNTS = 0x00020000
_SIZE = 2 << 20
SILENT = {"kernel"}
"""Writers of caches: an error is ignored."""


@pytest.fixture(scope="module")
def own_mounts():
    """Enter a mount namespace: later mounts are private, and end with this process."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS):
        pytest.fail(f"no mount namespace ({os.strerror(ctypes.get_errno())}): run it as root, or by `unshare -rm`")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class Disk:
    """A small file system."""

    def __init__(self, folder):
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", folder], check=True)

    def fill(self, left=0):
        """Fill the disk until this many bytes are free."""
        with self._filler.open("wb", buffering=0) as file:
            status = os.statvfs(self.folder)
            file.write(bytes(max(0, status.f_bavail * status.f_frsize - left)))
        status = os.statvfs(self.folder)
        assert status.f_bavail * status.f_frsize <= left

    def make_room(self):
        self._filler.unlink()

    def set_read_only(self, wanted):
        """Mount it read-only on top: a file system with files open for writing, such as locks, cannot be remounted."""
        if wanted:
            subprocess.run(["mount", "--bind", self.folder, self.folder], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", self.folder], check=True)
        else:
            subprocess.run(["umount", "--lazy", self.folder], check=True)

    def contents(self):
        return {name: content for name, content in contents(self.folder).items() if name != self._filler.name}


@pytest.fixture
def disk(own_mounts, tmp_path):
    found = Disk(tmp_path / "disk")
    yield found
    subprocess.run(["umount", "--lazy", found.folder], check=True)


@pytest.fixture(scope="module")
def victim(own_mounts):
    found = Victim(writers.__file__)
    yield found
    found.close()


every_writer = pytest.mark.parametrize("name", WRITERS)


@every_writer
@pytest.mark.parametrize("bytes_left", [0, 4096])
def test_a_full_disk(victim, disk, name, bytes_left):
    victim.write(name, disk.folder, 0)
    old = disk.contents()
    disk.fill(bytes_left)
    said = victim.write_in_vain(name, disk.folder, 1)
    if bytes_left and not said and disk.contents() != old:
        return  # the content fits into so little space
    (path,) = old
    if name not in SILENT:
        assert f"{path}: the disk is full; make room, or choose another folder" in said.rstrip().rpartition("\n")[2]
        assert "Traceback" not in said
    assert disk.contents() == old
    assert left(disk.folder) == []
    disk.make_room()
    victim.write(name, disk.folder, 1)
    assert disk.contents() != old
    assert left(disk.folder) == []


@every_writer
def test_a_read_only_file_system(victim, disk, name):
    victim.write(name, disk.folder, 0)
    old = disk.contents()
    disk.set_read_only(True)
    said = victim.write_in_vain(name, disk.folder, 1)
    disk.set_read_only(False)
    if name not in SILENT:
        assert "the file system is read-only; choose another folder" in said
        assert len(said.splitlines()) == 1
    assert disk.contents() == old
    victim.write(name, disk.folder, 1)
    assert left(disk.folder) == []


@every_writer
@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_no_folder_to_write_to(victim, tmp_path, name, there):
    folder = tmp_path / "folder"
    if there == "a file":
        folder.write_bytes(b"old")
    said = victim.write_in_vain(name, folder, 0)
    if name not in SILENT:
        assert f"there is no folder {folder}" in said
        assert len(said.splitlines()) == 1
        assert os.listdir(tmp_path) == (["folder"] if there == "a file" else [])
    if there == "a file":
        assert folder.read_bytes() == b"old"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_sweep_stops_with_what_was_finished_and_is_continued(disk, processes, monkeypatch):
    monkeypatch.setattr(sweep_table, "_SECONDS", 0.01)  # between two writes: the sweep takes a second or two
    config = ExperimentConfig(dataset="moons", hidden=(8,), epochs=20)
    path = disk.folder / "rates.parquet"
    how = {"values": "0:0.5:0.1", "seeds": 10, "processes": processes, "save": path}

    def fill(run):
        # opened once: `read_table` opens the file twice, and the sweep may replace it in between
        if not (disk.folder / "filler").exists() and path.exists() and pq.ParquetFile(path).metadata.num_rows >= 2:
            disk.fill()

    with pytest.raises((SweepStopped, TableError), match=r"rates\.parquet: the disk is full; make room"):
        sweep(config, "rate", **how, progress=fill)
    kept = pq.read_table(path).to_pylist()
    assert 2 <= len(kept) < 60
    assert left(disk.folder) == []
    disk.make_room()
    results = sweep(config, "rate", **how)
    rows = pq.read_table(path).to_pylist()
    assert len({(row["rate"], row["seed"]) for row in rows}) == len(rows) == len(results) == 60
    assert all(row in rows for row in kept)
    again = sweep(config, "rate", "0:0.5:0.1", 10, processes=processes)
    assert [each.figures.tobytes() for each in again] == [each.figures.tobytes() for each in results]


def test_commands_on_a_full_disk(disk, capsys):
    """Commands refuse before they start working, where the error is already known."""
    disk.fill()
    config = disk.folder.parent / "a.toml"
    ExperimentConfig(dataset="moons", epochs=1, hidden=(4,)).save(config)
    train = ["train", "--dataset", "moons", "--epochs", "1", "--no-comparison"]
    for command in (
        [*train, "--save-config", "FILE.toml"],
        [*train, "--figure", "FILE.png"],
        ["sweep", str(config), "--param", "rate=0,0.5", "--seeds", "1", "--save", "FILE.parquet"],
    ):
        assert cli.main([each.replace("FILE", str(disk.folder / "x")) for each in command]) in (1, 2)
        out, err = capsys.readouterr()
        assert "the disk is full; make room, or choose another folder" in out + err
        assert "Traceback" not in out + err
    assert disk.contents() == {}
    assert left(disk.folder) == []


@pytest.fixture
def app_on_disk(disk, home, monkeypatch):
    """The app's data folder is on the small disk."""
    monkeypatch.setenv("XDG_DATA_HOME", str(disk.folder))
    return disk


def trains_on(qtbot, window):
    epoch = window.session.model.history[-1].epoch if window.session.model.history else 0
    click(qtbot, window, window.commands.step_epoch)
    qtbot.waitUntil(
        lambda: window.session.model.history and window.session.model.history[-1].epoch > epoch, timeout=WAIT
    )


def autosaved(folder):
    return [path for path in folder.rglob("*.fastdrop") if path.is_file()]


@pytest.mark.gui
def test_the_app_on_a_full_disk(app_on_disk, qtbot, open_window):
    window = open_window()
    trains_on(qtbot, window)
    window.autosave.save()
    qtbot.waitUntil(lambda: len(autosaved(app_on_disk.folder)) == 1, timeout=WAIT)
    (path,) = autosaved(app_on_disk.folder)
    qtbot.waitUntil(lambda: not window.autosave._is_saving, timeout=WAIT)
    old = path.read_bytes()
    app_on_disk.fill()
    for _ in range(2):
        trains_on(qtbot, window)
        window.session.notice = ""
        window.autosave.save()
        qtbot.waitUntil(lambda: "not autosaved" in window.session.notice, timeout=WAIT)
        assert "the disk is full; make room" in window.session.notice
        assert path.read_bytes() == old
    trains_on(qtbot, window)
    app_on_disk.make_room()
    window.autosave.save()
    qtbot.waitUntil(lambda: path.read_bytes() != old, timeout=WAIT)
    assert load_experiment(path).history[-1].epoch == 4
    assert not [each for each in left(app_on_disk.folder) if each.suffix == ".part"]


@pytest.mark.gui
def test_an_autosave_that_failed_on_a_full_disk_is_repeated(app_on_disk, qtbot, open_window):
    """Without a network for the configuration, the window's process writes the file itself."""
    window = open_window()
    window.session.open_config(CONFIG.replace(dataset="file", data_file="/nowhere/a.csv"), "a test")
    qtbot.waitUntil(lambda: not window.session.model.can_save, timeout=WAIT)
    app_on_disk.fill()
    window.autosave.save()
    assert "the disk is full" in window.session.notice
    app_on_disk.make_room()
    window.autosave.save()
    assert len(autosaved(app_on_disk.folder)) == 1


@pytest.mark.gui
def test_the_app_with_a_data_folder_that_is_read_only_or_goes(app_on_disk, qtbot, open_window):
    window = open_window()
    trains_on(qtbot, window)
    app_on_disk.set_read_only(True)
    window.autosave.save()
    qtbot.waitUntil(lambda: "not autosaved" in window.session.notice, timeout=WAIT)
    assert "the file system is read-only" in window.session.notice
    app_on_disk.set_read_only(False)
    shutil.rmtree(window.autosave.file.path.parent)
    window.session.notice = ""
    trains_on(qtbot, window)
    window.autosave.save()
    end = time.monotonic() + 10
    while not window.session.notice and not autosaved(app_on_disk.folder) and time.monotonic() < end:
        qtbot.wait(50)
    assert autosaved(app_on_disk.folder) or "not autosaved" in window.session.notice
    trains_on(qtbot, window)
