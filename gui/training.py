"""The trainer in a process of its own, so that the window stays fluid however hard it works.

A thread would share Python's lock with the window: each of the window's many short calls would wait for the trainer to
give it up. The process also keeps QObjects and the trainer's garbage apart, and a crash in training leaves the window.

The window asks for a snapshot when it has drawn the last one, and gets the newest: nothing queues up. What it asks for
beyond the curves (`Wanted`) takes a small share of the process's time, whatever it costs: costly views come less often.
"""

import multiprocessing
import pickle
import queue
import threading
from typing import Any

from fastdrop_gui.messages import Failure, Kind, Message
from fastdrop_gui.worker import work


class TrainingProcess:
    """The window's end. No call waits for the trainer."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs,), daemon=True, name="fastdrop training")
        self._process.start()
        theirs.close()
        self._lost = False
        self._commands: queue.SimpleQueue[tuple[Kind, Any] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, daemon=True, name="fastdrop commands")
        self._sender.start()
        self._received: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._receiver = threading.Thread(target=self._receive_all, daemon=True, name="fastdrop news")
        self._receiver.start()

    def _send_all(self) -> None:
        """Hand commands on; a process that does not read makes this thread wait, not the window."""
        while (command := self._commands.get()) is not None:
            try:
                self._connection.send(command)
            except (BrokenPipeError, OSError, ValueError):
                self._lost = True
                return

    def _receive_all(self) -> None:
        """Take what comes, as bytes; a process that stops in the middle of a message makes this thread wait.

        The window's thread unpickles it, where the objects are to live.
        """
        try:
            while True:
                self._received.put(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._received.put(None)

    def send(self, kind: Kind, value: Any = None) -> None:
        """Give a command; it is lost if the process is."""
        if not self._lost:
            self._commands.put((kind, value))

    def receive(self) -> list[Message]:
        """What has come in since the last call."""
        messages: list[Message] = []
        while not self._received.empty():
            news = self._received.get()
            if news is not None:
                messages.append(pickle.loads(news))
                continue
            self._process.join(timeout=1.0)
            self._connection.close()
            self._lost = True
            text = f"the training process ended unexpectedly (exit status {self._process.exitcode})"
            messages.append(Failure(None, f"{text}; Rewind starts another"))
        return messages

    def close(self, patience: float = 0.5) -> None:
        """Ask the process to stop, and end it if it does not within so many seconds."""
        self.send("stop")
        self._commands.put(None)
        self._process.join(timeout=patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._sender.join(timeout=0.5)
        self._receiver.join(timeout=0.5)
        self._connection.close()
