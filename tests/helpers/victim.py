"""A process that writes files and is killed: `Victim` starts a write, and kills it at a given time or system call.

Run as a script, this file is that process: it imports a module of writers once, and forks a child for each request, in
milliseconds. The first argument is the module's file, with a dictionary WRITERS of functions of (folder, version).
"""

import importlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHANGES = (
    "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat"
)
CHANGES += ",ftruncate,truncate,fallocate,chmod,fchmod,fchmodat,flock,mkdir,mkdirat,rmdir"
"""The system calls that change a disk, apart from opening a file."""


def contents(folder):
    """The bytes of all files by relative path, without the temporary files of killed writers."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: content for path, content in found.items() if not is_left(os.path.basename(path))}


def is_left(name):
    return name.startswith((".", "tmp"))


def left(folder):
    return sorted(path for path in folder.rglob("*") if is_left(path.name))


class Victim:
    """Starts children that write; `close` ends their parent process."""

    def __init__(self, file: str | Path) -> None:
        self._child = 0
        self._go_read, self._go_write = os.pipe()
        command = [sys.executable, __file__, str(file), str(self._go_read)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            pass_fds=[self._go_read],
            env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent / 'emulation'}"},
        )

    def write(self, name: str, folder: Path, version: int) -> float:
        """Let a child write to its end; returns the seconds that it took."""
        self.begin(name, folder, version)
        begin = time.perf_counter()
        self.go()
        status = self.end()
        seconds = time.perf_counter() - begin
        assert status == 0, f"{name} ended with {status}: {self.errors()}"
        return seconds

    def write_in_vain(self, name: str, folder: Path, version: int) -> str:
        """Let a child write where writing fails; returns its error message, or ""."""
        start = self._errors.seek(0, os.SEEK_END)
        self.begin(name, folder, version)
        self.go()
        status = self.end()
        assert status in (0, 1), f"{name} ended with {status}: {self.errors()}"
        self._errors.seek(start)
        return self._errors.read().decode(errors="replace") if status else ""

    def write_and_kill(self, name: str, folder: Path, version: int, seconds: float) -> bool:
        """Kill the child after this many seconds; returns whether it was still running."""
        self.begin(name, folder, version)
        self.go()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        self.kill()
        status = self.end()
        assert status in (0, -signal.SIGKILL), f"{name} ended with {status}: {self.errors()}"
        return status != 0

    def write_and_kill_at(self, name: str, folder: Path, version: int, call: tuple[str, int]) -> bool:
        """Kill the child before a thread's n-th call of this kind; returns whether a thread made that many."""
        status, _ = self._traced(name, folder, version, f"--inject={call[0]}:signal=SIGKILL:when={call[1]}")
        assert status in (0, -signal.SIGKILL), f"{name} ended with {status}: {self.errors()}"
        return status != 0

    def calls(self, name: str, folder: Path, version: int) -> list[str]:
        """The system calls of a whole write that change files, as strace prints them; descriptors with paths."""
        return [call for _, call in self.calls_by_thread(name, folder, version)]

    def calls_by_thread(self, name: str, folder: Path, version: int) -> list[tuple[str, str]]:
        """The same, each with its thread ID."""
        status, lines = self._traced(name, folder, version, f"--trace={CHANGES}")
        assert status == 0, f"{name} ended with {status}: {self.errors()}"
        calls = [tuple(line.split(maxsplit=1)) for line in lines]
        return [(thread, call) for thread, call in calls if re.match(r"\w+\(", call)]

    def _traced(self, name: str, folder: Path, version: int, option: str) -> tuple[int, list[str]]:
        child = self.begin(name, folder, version)
        with tempfile.NamedTemporaryFile("r") as log:
            command = ["strace", "-f", "-y", "-o", log.name, option, "-p", str(child)]
            tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert "attached" in said, f"strace cannot attach: {said}"
            self.go()
            status = self.end()
            tracer.communicate()
            return status, log.read().splitlines()

    def begin(self, name: str, folder: Path, version: int) -> int:
        """Fork a child that waits for the start signal."""
        assert self._process.stdin is not None
        while select.select([self._go_read], [], [], 0)[0]:  # a start signal that a killed child did not read
            os.read(self._go_read, 1)
        self._process.stdin.write(f"{name}\t{folder}\t{version}\n")
        self._process.stdin.flush()
        self._child = self._answer()
        return self._child

    def go(self) -> None:
        """Send the start signal."""
        os.write(self._go_write, b"!")

    def kill(self) -> None:
        """Kill the child, if it is still running."""
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)

    def end(self) -> int:
        """Wait for the child's end; returns its exit status, or minus the signal that killed it."""
        status, self._child = self._answer(), 0
        return status

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process that forks has ended: {self.errors()}"
        return int(line)

    def errors(self) -> str:
        """What was printed to standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]

    def close(self) -> None:
        if self._child:  # a test failed between begin and end
            self.kill()
        self._process.communicate()
        self._errors.close()
        os.close(self._go_read)
        os.close(self._go_write)


def serve(file: str, go: int) -> None:
    """Fork a child for each line of standard input; print its number, and later its exit status."""
    sys.path.insert(0, str(Path(file).parent))
    writers = importlib.import_module(Path(file).stem).WRITERS
    for line in sys.stdin:
        name, folder, version = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            status = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(2, 1)
                if not os.read(go, 1):  # the parent has exited
                    os._exit(0)
                writers[name](Path(folder), int(version))
                status = 0
            except SystemExit:  # a command that exits has printed the reason
                pass
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        print(child, flush=True)
        _, how = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(how), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
