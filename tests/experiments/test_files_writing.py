"""After any failure, a file is written completely or not at all, under every name and permission."""

import errno
import os
import stat
import sys
import threading

import pytest

from fastdrop.cli import main as cli
from fastdrop.experiments import ConfigError, Experiment, ExperimentConfig, save_experiment, studies
from fastdrop.experiments.formats.locks import FileLock
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target, make_folder, write_atomically

CONFIG = ExperimentConfig(dataset="moons")
WRITERS = {
    "write_atomically": lambda path: write_atomically(path, b"new"),
    "check_target": check_target,
    "config.save": CONFIG.save,
    "save_experiment": lambda path: save_experiment(path, Experiment(CONFIG)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_write_protected_file_is_refused_and_left_alone(ordinary_user, write):
    path = ordinary_user / "lesson.toml"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"lesson\.toml: the file is write-protected; choose another name"):
        write(path)
    link = ordinary_user / "link.toml"
    link.symlink_to(path)
    with pytest.raises(PermissionError, match="write-protected"):
        write(link)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"old", 0o444)
    assert sorted(os.listdir(ordinary_user)) == ["lesson.toml", "link.toml"]


def test_a_folder_without_permission(ordinary_user):
    folder = ordinary_user / "mine"
    folder.mkdir()
    folder.chmod(0o555)
    for write in (lambda path: write_atomically(path, b""), check_target, FileLock):
        with pytest.raises(
            PermissionError, match=r"x\.json: no permission to write in the folder .*mine; choose another"
        ):
            write(folder / "x.json")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("nowhere/a", FileNotFoundError, "there is no folder .*nowhere; make it"),
        ("file/a", NotADirectoryError, "there is no folder .*file: a part of this name is a file"),
        ("folder", IsADirectoryError, "this is a folder; add the file's name"),
        ("x" * 256, OSError, "the name is too long; choose a shorter one"),
        ("y/" * 3000, OSError, "the name is too long"),
        ("loop", OSError, "its symbolic links form a circle"),
        ("loop/a", OSError, "its symbolic links form a circle"),
        ("a\0b", OSError, r"a\\x00b: a name has no null byte in it"),
        ("\ud800", OSError, r"\\ud800: a file cannot have this name"),
        ("pipe", OSError, "this is a device or a pipe, not a file"),
        ("device", OSError, "this is a device or a pipe, not a file"),
        ("", OSError, "^'': this is a folder"),
    ],
)
def test_invalid_names_are_reported(tmp_path, monkeypatch, name, kind, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    controller, terminal = os.openpty()  # a device in a folder that takes no files: no fault can replace it
    (tmp_path / "device").symlink_to(os.ttyname(terminal))
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir(tmp_path))
    for write in (lambda path: write_atomically(path, b"new"), check_target):
        with pytest.raises(kind, match=words) as error:
            write(name)
        assert "\n" not in str(error.value)
        assert "[Errno" not in str(error.value)
        assert error.value.errno
    assert sorted(os.listdir(tmp_path)) == before
    assert stat.S_ISCHR((tmp_path / "device").stat().st_mode)
    os.close(controller)
    os.close(terminal)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, f"cannot be written: {os.strerror(errno.EIO)}"),
    ],
)
@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, code, words, step):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail(*_arguments, **_more):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match=rf"a\.json: {words}") as error:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert error.value.errno == code
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    "name", ["x" * 255, "é" * 127, os.fsdecode(b"\xff\xfe.toml"), ".hidden", "a b\nc", "[red]"], ids=range(6)
)
def test_valid_names(tmp_path, name):
    check_target(tmp_path / name)
    for content in (b"first", b"second"):
        write_atomically(tmp_path / name, content)
        assert (tmp_path / name).read_bytes() == content
    FileLock(tmp_path / name).release()
    assert os.listdir(tmp_path) == [name]
    text = path_text(tmp_path / name)
    text.encode()
    assert text.isprintable()


def test_a_name_that_is_no_text_can_be_printed(tmp_path, capfd):
    for name in (os.fsdecode(b"\xff.toml"), "two\nlines.toml"):
        path = tmp_path / name
        options = ["--dataset", "moons", "--epochs", "1", "--no-comparison", "--save-config", str(path)]
        assert cli.main(["train", *options]) == 0
        assert ExperimentConfig.load(path).dataset == "moons"
    path.unlink()
    path.mkdir()
    assert cli.main(["train", *options]) == 2
    assert r"two\nlines.toml: this is a folder" in capfd.readouterr().err


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="in other encodings all bytes are text")
def test_data_with_a_name_that_is_no_text(tmp_path, capfd):
    """Neither a configuration file nor a share code can hold it: it is refused before anything is written."""
    data = tmp_path / os.fsdecode(b"\xff.csv")
    data.write_text("a,b,c\n" + "1,2,x\n2,3,y\n" * 30)
    with pytest.raises(ConfigError, match=r"data_file must be Unicode text"):
        CONFIG.replace(dataset="file", data_file=str(data))
    options = ["train", "--data", str(data), "--epochs", "1", "--no-comparison", "--figure", str(tmp_path / "a.png")]
    assert cli.main(options) == 2
    assert "rename the file" in capfd.readouterr().err
    assert os.listdir(tmp_path) == [data.name]


def test_permissions_of_new_and_of_replaced_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", b"")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        for mode in (0o600, 0o664, 0o777):
            (tmp_path / "old").write_bytes(b"")
            (tmp_path / "old").chmod(mode)
            write_atomically(tmp_path / "old", b"new")
            assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == mode
    finally:
        os.umask(before)


def test_the_umask_is_never_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)
    write_atomically(tmp_path / "a", b"")
    write_atomically(tmp_path / "a", b"")


def test_a_private_file_is_private_while_it_is_written(tmp_path, monkeypatch):
    path = tmp_path / "private"
    path.write_bytes(b"")
    path.chmod(0o600)
    seen = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append(os.fstat(file)), fsync(file)))
    monkeypatch.setattr(os, "fchmod", lambda *_: None)  # it is private from its creation
    write_atomically(path, b"secret")
    assert stat.S_IMODE(seen[0].st_mode) == 0o600
    assert stat.S_ISDIR(seen[1].st_mode)  # the folder is synced after the file


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "link").symlink_to("folder/file")
    (tmp_path / "folder").mkdir()
    for content in (b"first", b"second"):
        write_atomically(tmp_path / "link", content)
        assert (tmp_path / "folder" / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()


def test_threads_that_save_the_same_file_leave_one_complete_file(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
    threads = [
        threading.Thread(target=lambda content=content: [write_atomically(path, content) for _ in range(20)])
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]


def test_folders(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="file: this is no folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="a part of this name is a file"):
        make_folder(tmp_path / "file" / "b")
    with pytest.raises(OSError, match="null byte"):
        make_folder(tmp_path / "a\0")


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "--quick", "--save", "FILE.json"],
        ["bench", "--quick", "--plot", "FILE.png"],
        ["train", "--save-config", "FILE.toml"],
        ["train", "--figure", "FILE.png"],
        ["reproduce", "rates", "--save", "FOLDER"],
    ],
    ids=" ".join,
)
def test_commands_refuse_a_write_protected_file_before_they_work(ordinary_user, arguments, capsys):
    for name in ("x.json", "x.png", "x.toml", "rates.json"):
        (ordinary_user / name).write_bytes(b"old")
        (ordinary_user / name).chmod(0o444)
    here = [each.replace("FILE", str(ordinary_user / "x")).replace("FOLDER", str(ordinary_user)) for each in arguments]
    assert cli.main(here) == 2
    assert "the file is write-protected; choose another name" in capsys.readouterr().err
    assert len(os.listdir(ordinary_user)) == 4


@pytest.mark.parametrize(
    ("study", "name"),
    [("rates", "rates.png"), ("rates", "rates.svg"), ("rates", "CONFIG"), ("all", "README.md"), ("all", "scaling.svg")],
)
def test_studies_do_not_start_if_a_file_cannot_be_written(ordinary_user, capsys, study, name):
    name = studies.STUDIES[study].config_file(next(iter(studies.STUDIES[study].configs))) if name == "CONFIG" else name
    (ordinary_user / name).write_bytes(b"old")
    (ordinary_user / name).chmod(0o444)
    assert cli.main(["reproduce", study, "--save", str(ordinary_user)]) == 2
    assert f"{name}: the file is write-protected; choose another name" in capsys.readouterr().err
    assert os.listdir(ordinary_user) == [name]


@pytest.mark.slow
def test_a_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    options = ["train", "--dataset", "moons", "--epochs", "1", "--no-comparison", "--figure", str(tmp_path / "a.png")]
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", fail)
    assert cli.main(options) == 2
    assert (tmp_path / "a.png").read_bytes() == b"old"
    monkeypatch.undo()
    for name, start in (("a.png", b"\x89PNG"), ("b.SVG", b"<?xml"), ("c.pdf", b"%PDF")):
        assert cli.main([*options[:-1], str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.SVG", "c.pdf"]
