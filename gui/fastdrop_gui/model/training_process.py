"""The window's end of the training process.

Training runs in another process, so that the window stays fluid however hard it works. A thread would share Python's
lock with the window: each of the window's short calls would wait for the trainer to release it. The process also keeps
QObjects and the trainer's garbage apart, and the window survives a crash in training.

The window asks for a snapshot when it has drawn the last one, and gets the newest: nothing queues up. What it requests
beyond the curves (`RequestedViews`) takes a small fraction of the process's time: costly views come less often.
"""

import multiprocessing
import pickle
import queue
import threading
from typing import Any

from fastdrop_gui.model.messages import Failure, Kind, Message
from fastdrop_gui.model.worker import serve


class TrainingProcess:
    """Starts the process, sends commands and receives messages. No call waits for the trainer."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True, name="fastdrop training")
        self._process.start()
        theirs.close()
        self._lost = False
        self._commands: queue.SimpleQueue[tuple[Kind, Any] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, daemon=True, name="fastdrop commands")
        self._sender.start()
        self._received: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._receiver = threading.Thread(target=self._receive_all, daemon=True, name="fastdrop messages")
        self._receiver.start()

    def _send_all(self) -> None:
        """Send commands; a process that does not read makes this thread wait, not the window."""
        while (command := self._commands.get()) is not None:
            try:
                self._connection.send(command)
            except (BrokenPipeError, OSError, ValueError):
                self._lost = True
                return

    def _receive_all(self) -> None:
        """Receive messages as bytes; a process that stops in the middle of a message makes this thread wait.

        The window's thread unpickles them, because the objects live there.
        """
        try:
            while True:
                self._received.put(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._received.put(None)

    @property
    def pid(self) -> int | None:
        """The process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def send(self, kind: Kind, value: Any = None) -> None:
        """Send a command; it is lost if the process is."""
        if not self._lost:
            self._commands.put((kind, value))

    def receive(self) -> list[Message]:
        """The messages since the last call."""
        messages: list[Message] = []
        while not self._received.empty():
            message = self._received.get()
            if message is not None:
                messages.append(pickle.loads(message))
                continue
            self._process.join(timeout=1.0)
            self._connection.close()
            self._lost = True
            text = f"the training process ended unexpectedly (exit status {self._process.exitcode})"
            messages.append(Failure(None, f"{text}; Reset starts a new one"))
        return messages

    def close(self, patience: float = 0.5) -> None:
        """Ask the process to stop; kill it if it has not stopped after `patience` seconds."""
        self.send("stop")
        self._commands.put(None)
        self._process.join(timeout=patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._sender.join(timeout=0.5)
        self._receiver.join(timeout=0.5)
        self._connection.close()
