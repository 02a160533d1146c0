"""Reader of messages: the app's training process gets arbitrary ones from the window."""

import gc
import json
import os
import pickle
import signal
from pathlib import Path
from typing import get_args
from unittest import mock

from fastdrop.experiments import Experiment
from fastdrop_gui.model import worker
from fastdrop_gui.model.messages import Failure, Kind, Notice, RequestedViews, Saved, Start, Update
from fuzz.configs import CONFIG
from fuzz.mutations import VALUES, of_json
from fuzz.readers import NoInput, Reader

KINDS = get_args(Kind)
MOST_STEPS = 20
"""Training steps between two messages."""


class Refused(Exception):
    """The process has reported a failure."""


class Connection:
    """The process's end of a pipe: waiting messages, and those that it sends."""

    def __init__(self, messages):
        self.messages, self.sent, self.polls = messages, [], 0

    def poll(self, patience=0.0):
        """A message is waiting; while the process trains, only every `MOST_STEPS` polls."""
        self.polls += 1
        return patience != 0.0 or self.polls % MOST_STEPS == 0

    def recv(self):
        return self.messages.pop(0) if self.messages else ("stop", None)

    def send(self, message):
        self.sent.append(pickle.loads(pickle.dumps(message)))  # as a pipe does


class Messages(Reader):
    """[kind, value] in JSON, each; afterwards a good experiment must train."""

    refused = (Refused,)
    weight = 0.02

    def mutate(self, rng, content):
        messages = json.loads(content)
        place = rng.randrange(len(messages))
        match rng.randrange(6):
            case 0:
                del messages[place]
            case 1:
                messages.insert(place, rng.choice(messages))
            case 2:
                messages[place][0] = rng.choice([*KINDS, "", None, 3])
            case 3:
                messages[place] = rng.choice(VALUES)
            case _:
                messages[place][1] = of_json(rng, messages[place])[-1]
        return json.dumps(messages).encode()

    def seeds(self):
        start = ["start", [1, {"Start": {"baseline": True}}]]
        requested = {"layers": True, "boundary": True, "misclassified": True, "distributions": True, "unit": [0, 1]}
        changes = [["rates", [0.1, 0.2]], ["learning_rate", 0.01], ["epochs", 2], ["baseline", False], ["speed", 5.0]]
        found = [
            [start, ["step", 3], ["snapshot", {"RequestedViews": requested}], *changes, ["run", None], ["pause", None]],
            [start, ["step", "epoch"], ["threads", 1], ["save", ["a.fastdrop", {"Experiment": 0}]]],
            [["pause", None], ["start", [2, {"Start": {"file": "gone.fastdrop"}}]], ["save", ["a.npz", None]]],
        ]
        return [json.dumps(each).encode() for each in found]

    def _object(self, found):
        if found.keys() == {"Start"}:
            fields = found["Start"]
            return Start(CONFIG, bool(fields.get("baseline")), str(self.folder / str(fields.get("file")))[:200]
                         if fields.get("file") else "")  # fmt: skip
        if found.keys() == {"RequestedViews"}:
            unit = found["RequestedViews"].pop("unit", None)
            return RequestedViews(**found["RequestedViews"], unit=tuple(unit) if isinstance(unit, list) else unit)
        return Experiment(CONFIG) if found.keys() == {"Experiment"} else found

    def _messages(self, given):
        try:
            messages = json.loads(given, object_hook=self._object)
            for kind, value in messages:
                if kind == "stop":
                    raise NoInput  # it would end the process
                if kind == "threads" and (not isinstance(value, int) or value > 2):
                    raise NoInput  # the machine would start that many threads
                if kind == "save" and isinstance(value, list) and value and isinstance(value[0], str):
                    value[0] = str(self.folder / Path(value[0]).name)
                if kind == "save" and not (isinstance(value, list) and value and isinstance(value[0], str)):
                    raise NoInput  # a number would be a file descriptor
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise NoInput from None
        return [tuple(message) for message in messages]

    def read(self, given):
        connection = Connection(self._messages(given))
        connection.messages += [("speed", 0.0), ("start", (99, Start(CONFIG)))]
        connection.messages += [("snapshot", RequestedViews()), ("step", 1)]
        with (
            mock.patch.object(signal, "signal"),
            mock.patch.object(os, "nice"),
            mock.patch.object(gc, "freeze"),
            mock.patch.object(worker, "set_num_threads"),
        ):
            worker.serve(connection)
        sent = connection.sent
        assert all(isinstance(message, (Failure, Notice, Saved, Update)) for message in sent)
        assert any(isinstance(message, Update) and message.run == 99 for message in sent), "it no longer trains"
        problems = [message.message for message in sent if isinstance(message, Failure)]
        problems += [message.problem for message in sent if isinstance(message, Saved) and message.problem]
        if problems:
            raise Refused(problems[0])


READERS = {"messages": Messages}
