"""Every file survives a kill of its writer: `make kills`, about ten minutes.

Each writer of tests/helpers/writers.py is killed (SIGKILL) before each system call that changes files, and at 100
moments distributed over its run. Afterwards the file has exactly the old or the new content, and the next write
succeeds and leaves no other file. strace sends the kills, so the tests do not depend on how files are written.
"""

import os
import random
import re
import shutil
from statistics import median

import numpy as np
import pytest
import writers
from victim import Victim, contents, left
from writers import WRITERS

from fastdrop.experiments import ExperimentConfig, load_experiment

pytestmark = [pytest.mark.native, pytest.mark.timeout(900)]
SEED = 20
KILLS = 100


@pytest.fixture(scope="module")
def victim():
    if shutil.which("strace") is None:
        pytest.fail("strace is missing; python3 tests/machine.py kills --install")
    found = Victim(writers.__file__)
    yield found
    found.close()


class Stage:
    """A folder with the old content, and the new content that a writer makes."""

    def __init__(self, victim, name, tmp_path):
        self.victim, self.name, self.folder = victim, name, tmp_path / "stage"
        for folder in (tmp_path / "reference", self.folder):
            folder.mkdir()
            victim.write(name, folder, 0)
        self.old = contents(self.folder)
        assert self.old == contents(tmp_path / "reference"), "the writer is not deterministic"
        self.seconds = median(victim.write(name, tmp_path / "reference", 1) for _ in range(5))
        self.new = contents(tmp_path / "reference")
        assert self.old != self.new
        self.found = {"old": 0, "new": 0}

    def check(self):
        """After a kill, check for old or new content, write successfully, and restore the old content."""
        found = contents(self.folder)
        assert found in (self.old, self.new), f"torn: {sorted(found)} of {[len(each) for each in found.values()]} bytes"
        self.found["old" if found == self.old else "new"] += 1
        if self.name == "kernel":  # a cache of the machine; its temporary files are removed after an hour
            for path in left(self.folder):
                os.utime(path, (0, 0))
        self.victim.write(self.name, self.folder, 1)
        if self.name == "kernel" and found == self.new:  # nothing was written
            return self.reset()
        assert contents(self.folder) == self.new
        assert left(self.folder) == []
        return self.reset()

    def reset(self):
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path, content in self.old.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)


@pytest.fixture
def stage(victim, request, tmp_path):
    return Stage(victim, request.param, tmp_path)


every_writer = pytest.mark.parametrize("stage", WRITERS, indirect=True)


@every_writer
def test_killed_before_each_system_call(stage):
    made = [
        (thread, call.partition("(")[0]) for thread, call in stage.victim.calls_by_thread(stage.name, stage.folder, 1)
    ]
    stage.reset()
    # strace counts the calls of each thread separately.
    calls = sorted({(name, made[: number + 1].count((thread, name))) for number, (thread, name) in enumerate(made)})
    killed = 0
    for call in calls:
        killed += stage.victim.write_and_kill_at(stage.name, stage.folder, 1, call)
        stage.check()
    print(f"{stage.name}: {killed} kills before {len(calls)} system calls: {stage.found}")
    assert killed == len(calls) >= 3
    assert stage.found["old"] >= 1
    assert stage.found["new"] >= 1 or made[-1][1].startswith("rename")


@every_writer
def test_killed_at_100_moments(stage):
    rng = random.Random(f"{SEED} {stage.name}")
    killed = 0
    for number in range(KILLS):
        seconds = stage.seconds * 1.2 * (number + rng.random()) / KILLS
        killed += stage.victim.write_and_kill(stage.name, stage.folder, 1, seconds)
        stage.check()
    print(f"{stage.name}: seed {SEED}, {killed} kills within {1000 * stage.seconds:.0f} ms: {stage.found}")
    assert killed >= KILLS // 4
    assert stage.found["old"] >= 1


@every_writer
def test_content_is_on_disk_before_it_has_its_name(stage):
    """For power loss, which a test cannot cause: the file is written, synced and renamed, then the folder is synced."""
    if stage.name == "kernel":
        pytest.skip("a cache: what a loss of power damages is compiled again, as its name has a hash of its content")
    calls = stage.victim.calls(stage.name, stage.folder, 1)
    names = {name for name in stage.new if stage.new[name] != stage.old[name]}
    for name in names:
        path = re.escape(str(stage.folder / name))
        renames = [number for number, call in enumerate(calls) if re.search(rf'^rename.*, "{path}"', call)]
        assert renames, f"{name} is not renamed into place: {calls}"
        assert not [call for call in calls if re.match(rf"(write|pwrite64|ftruncate)\(\d+<{path}>", call)]
        source = re.escape(re.search(r'"([^"]*)"', calls[renames[-1]])[1])
        synced = [number for number, call in enumerate(calls) if re.match(rf"f(data)?sync\(\d+<{source}>", call)]
        written = [number for number, call in enumerate(calls) if re.match(rf"p?write(64|v)?\(\d+<{source}>", call)]
        assert synced, f"{name} is not synced: {calls}"
        assert max(written) < max(synced) < renames[-1]
        folder = re.escape(str(stage.folder))
        assert any(re.match(rf"fsync\(\d+<{folder}>", call) for call in calls[renames[-1] :])


def test_what_was_written_can_be_read(victim, tmp_path):
    """The expected contents are valid files."""
    import json

    import pyarrow.parquet as pq
    from PIL import Image

    for name in WRITERS:
        victim.write(name, tmp_path, 1)
    assert load_experiment(tmp_path / "a.fastdrop").steps == 3
    assert ExperimentConfig.load(tmp_path / "a.toml").seed == 1
    with np.load(tmp_path / "weights.npz") as weights:
        assert weights
    compile((tmp_path / "network.py").read_text(), "network.py", "exec")
    assert json.loads((tmp_path / "bench.json").read_text())["machine"] == {"version": 1}
    assert pq.read_table(tmp_path / "rates.parquet").num_rows == 2
    for name, kind in (("a.png", "PNG"), ("view.png", "PNG"), ("training.gif", "GIF")):
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
            image.load()
