"""Locks of files, and temporary files that killed writers left."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from fastdrop.experiments.formats import own_files
from fastdrop.experiments.formats.locks import FileLock, LockHeld
from fastdrop.experiments.formats.writing import write_atomically

ENDLESS = """
import itertools, sys
from fastdrop.experiments.formats.locks import FileLock
from fastdrop.experiments.formats.writing import write_atomically
lock = FileLock(sys.argv[1] + "-locked")
print("ready", flush=True)
for letter in itertools.cycle(b"bc"):
    write_atomically(sys.argv[1], bytes([letter]) * 4_000_000)
"""


def endless(path):
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


def killed_while_it_writes(path):
    """Kill a writer during a write; returns whether it left a temporary file."""
    child = endless(path)
    end = time.monotonic() + 20
    while not list(path.parent.glob(".fastdrop-*.part")) and time.monotonic() < end:
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return bool(list(path.parent.glob(".fastdrop-*.part")))


@pytest.mark.slow
def test_files_of_killed_writers_are_removed_by_the_next_write(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"a" * 4_000_000)
    left = sum(killed_while_it_writes(path) for _ in range(4))
    assert left
    assert len(list(tmp_path.glob(".fastdrop-*"))) <= 2  # each removed the files of the one before
    content = path.read_bytes()
    assert len(content) == 4_000_000
    assert len(set(content)) == 1
    write_atomically(tmp_path / "other", b"")
    assert sorted(os.listdir(tmp_path)) == ["file", "other"]


def test_files_of_a_running_writer_are_kept(tmp_path):
    child = endless(tmp_path / "file")
    try:
        for number in range(200):
            write_atomically(tmp_path / "mine", b"%d" % number)
        assert child.poll() is None
        with pytest.raises(LockHeld, match=f"process {child.pid} on"):
            FileLock(tmp_path / "file-locked")
    finally:
        child.kill()
        child.communicate()
    FileLock(tmp_path / "file-locked").release()


def test_only_files_with_our_names_are_removed(tmp_path):
    names = [".fastdrop-notes.part", ".fastdrop-0123456789abcdef.part~", "fastdrop-0123456789abcdef.lock", ".x.part"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".fastdrop-0123456789abcdef.part").symlink_to(".x.part")
    (tmp_path / ".fastdrop-0123456789abcdee.lock").mkdir()
    (tmp_path / ".fastdrop-0123456789abcded.lock").write_bytes(b"")
    before = set(os.listdir(tmp_path))
    write_atomically(tmp_path / "a", b"")
    assert set(os.listdir(tmp_path)) == (before | {"a"}) - {".fastdrop-0123456789abcded.lock"}


def test_a_temporary_file_that_another_writer_removes_is_created_again(tmp_path, monkeypatch):
    """Another writer removes it between its creation and its lock."""
    flock, taken = own_files.fcntl.flock, []

    def slow(descriptor, operation):
        if not taken:
            taken.extend(tmp_path.glob(".fastdrop-*"))
            taken[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(own_files.fcntl, "flock", slow)
    write_atomically(tmp_path / "a", b"new")
    assert taken
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """Files can be written; a caller that needs a lock gets an error."""

    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(own_files.fcntl, "flock", fail)
    write_atomically(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(OSError, match=r"a: the file system has no locks \(.*\); choose a folder on another"):
        FileLock(tmp_path / "a")


def test_a_lock_between_threads_and_objects(tmp_path):
    lock = FileLock(tmp_path / "a")
    FileLock(tmp_path / "b").release()
    refused = []

    def other():
        try:
            FileLock(tmp_path / "a")
        except LockHeld as error:
            refused.append(error.holder)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert refused == ["this program"]
    waiting = threading.Thread(target=lambda: FileLock(tmp_path / "a", patience=20.0).release())
    waiting.start()
    lock.release()
    lock.release()
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    forgotten = FileLock(tmp_path / "a")
    del forgotten
    FileLock(tmp_path / "a").release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", ["symbolic link", "loop", "hard link", "folder", "pipe"])
def test_something_else_in_the_place_of_a_lock(tmp_path, make):
    lock, other = tmp_path / lock_name(tmp_path / "a"), tmp_path / "somebody's"
    other.write_bytes(b"content")
    {
        "symbolic link": lambda: lock.symlink_to(other),
        "loop": lambda: lock.symlink_to(lock),
        "hard link": lambda: lock.hardlink_to(other),
        "folder": lock.mkdir,
        "pipe": lambda: os.mkfifo(lock),
    }[make]()
    with pytest.raises(OSError, match=f"a: .*{lock.name} should be its lock and is something else; remove it"):
        FileLock(tmp_path / "a")
    assert other.read_bytes() == b"content"


def lock_name(path):
    held = FileLock(path)
    (name,) = [name for name in os.listdir(path.parent) if name.endswith(".lock")]
    held.release()
    return name


@contextmanager
def as_user(number):
    """Switch to a user's rights; the process must have started as root."""
    before = os.geteuid()
    os.seteuid(0)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.seteuid(before)


def stale_lock(path, umask=0o022):
    """The lock file that a dead process left for this name."""
    child = os.fork()
    if not child:
        os.umask(umask)
        _held = FileLock(path)
        os._exit(0)
    os.waitpid(child, 0)
    (name,) = [name for name in os.listdir(path.parent) if name.endswith(".lock")]
    return path.parent / name


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed")


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o277, 0o777])
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_another_users_stale_lock_is_ignored(ordinary_user, umask, mode):
    path = ordinary_user / "table"
    with as_user(0):
        ordinary_user.chmod(mode)
    with as_user(1234):
        left = stale_lock(path, umask)
    assert left.exists()
    lock = FileLock(path)
    with pytest.raises(LockHeld, match="this program" if mode == 0o777 else "process"):
        FileLock(path)
    with as_user(1234), pytest.raises(LockHeld):  # they cannot take our lock
        FileLock(path)
    lock.release()
    assert left.exists() == (mode == 0o1777)  # a sticky folder: only a file's owner can remove it
    FileLock(path).release()


@needs_root
def test_another_users_lock_holds_while_their_process_runs(ordinary_user):
    path = ordinary_user / "table"
    with as_user(1234):
        lock = FileLock(path)
    for _ in range(2):
        with pytest.raises(LockHeld):
            FileLock(path)
        write_atomically(ordinary_user / "other", b"")  # this removes stale files
    with as_user(1234):
        lock.release()
    FileLock(path).release()


@needs_root
def test_a_lock_that_cannot_be_opened_is_named(ordinary_user):
    path = ordinary_user / "table"
    with as_user(1234):
        left = stale_lock(path)
        left.chmod(0)
    with pytest.raises(PermissionError, match=rf"table: the lock .*{left.name} is another user's.*; remove it if no"):
        FileLock(path)
    assert left.exists()
