"""Describes a table in a process of its own: the window stays fluid, and a huge file ends that process alone."""

import multiprocessing
import time
from typing import Any

from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.tables.description import TableDescription, send_description
from fastdrop.experiments.tables.roles import Choices


class DescriptionProcess:
    """At most one process at a time. Call `poll` regularly, and `stop` at the end."""

    def __init__(self) -> None:
        self._process: Any = None
        self._connection: Any = None
        self._since = 0.0
        self._path = ""

    @property
    def is_running(self) -> bool:
        """Whether a description is still to come."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process's number."""
        return int(self._process.pid)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._since

    def start(self, path: str, choices: Choices, sheet: str, test_data: str) -> None:
        """Describe this; an earlier description is given up."""
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe(duplex=False)
        arguments = (theirs, path, choices, sheet, test_data)
        self._process = context.Process(target=send_description, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._since, self._path = time.monotonic(), path

    def poll(self) -> TableDescription | None:
        """The description, once it is there."""
        if self._process is None:
            return None
        try:
            found: TableDescription | None = self._connection.recv() if self._connection.poll() else None
        except (EOFError, OSError):  # the process was killed, probably for its memory
            text = "reading it ended unexpectedly; it may be too large for this machine's memory"
            found = TableDescription(problem=f"{path_text(self._path)}: {text}")
        if found is not None:
            self.stop()
        return found

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._connection.close()
            self._process = None
