"""What every reader has in common: its inputs, its documented errors, and what is a finding."""

import contextlib
import importlib
import os
import random
import re
import signal
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no limits
    resource = None

from fuzz.mutations import of_bytes

CORPUS = Path(__file__).with_name("corpus")
LONGEST_MESSAGE = 2000
SECONDS = 5
"""Of processor time that a small input may take."""
MEMORY = 1 << 30
"""Bytes of address space that it may take."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a terminal may take for a command, and what cannot be written."""
MODULES = ("configs", "experiments", "tables", "sweeps", "benchmarks", "states", "memory", "worker")
"""Those of this package that have readers."""


class Finding(AssertionError):
    """What an input must not come to."""


class NoInput(Exception):
    """Bytes that stand for no input of this reader."""


class _TooSlow(BaseException):
    """Not an Exception: what is tested must not catch it."""


class Reader:
    """Reads inputs, each some bytes; `refused` are the documented errors.

    Attributes
    ----------
    refused : tuple of exception types
    suffix : str
        Of the file that an input is written to, whose name each message has to have; empty where there is no file.
    share : float
        Of a run's inputs, beside others: slow readers get fewer.
    """

    refused = ()
    suffix = ""
    share = 1.0

    def __init__(self, folder):
        self.folder = Path(folder)
        self.path = self.folder / f"input{self.suffix}"
        self.prepare()

    def prepare(self):
        """Make what all inputs are read with."""

    def seeds(self):
        """Valid inputs, made by this version of the product."""
        raise NotImplementedError

    def mutate(self, rng, content):
        """Other bytes, of the same structure if that can be."""
        raise NotImplementedError

    def read(self, given):
        """What the product makes of the file at the path `given`, or of these bytes; raises one of `refused`."""
        raise NotImplementedError

    def use(self, found):
        """Work with what was accepted: that raises nothing."""

    def mutated(self, rng, content):
        """As `mutate`; what stands for nothing any more is mutated as bytes."""
        try:
            return self.mutate(rng, content)
        except Exception:  # of bytes that were mutated often before
            return of_bytes(rng, content)

    def outcome(self, content):
        """ "accepted", "refused" or "no input"; a `Finding` where it is anything else."""
        try:
            with _limited_time():
                return self._outcome(content)
        except _TooSlow:
            raise Finding(f"takes more than {SECONDS} seconds") from None

    def _outcome(self, content):
        given = content
        if self.suffix:
            self.path.write_bytes(content)
            given = self.path
        try:
            found = self.read(given)
        except NoInput:
            return "no input"
        except self.refused as error:
            self._check_message(error)
            return "refused"
        except Finding:
            raise
        except Exception as error:
            raise Finding(f"{type(error).__name__} while reading: {error!s:.500}") from error
        try:
            self.use(found)
        except Exception as error:
            raise Finding(f"accepted, but then {type(error).__name__}: {error!s:.500}") from error
        return "accepted"

    def _check_message(self, error):
        cause = error
        while cause is not None:  # in whatever words: to ask for so much memory is wrong
            if isinstance(cause, MemoryError):
                raise Finding(f"asks for too much memory: {error!s:.500}") from error
            cause = cause.__cause__ or cause.__context__
        message = str(error)
        if not 0 < len(message) <= LONGEST_MESSAGE:
            raise Finding(f"a message of {len(message)} characters: {message:.200}") from error
        if self.suffix and self.path.name not in message:
            raise Finding(f"a message that does not name the file: {message:.500}") from error
        if _CONTROL.search(message):
            raise Finding(f"a message with control characters: {message!r:.500}") from error


@contextlib.contextmanager
def _limited_time():
    """Of the processor, so that a busy machine changes nothing."""

    if resource is None:
        yield
        return

    def stop(*_):
        raise _TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def limited_memory():
    """No more than `MEMORY` beyond what this process has now, until the end."""
    if resource is None or not os.path.exists("/proc/self/statm"):
        yield
        return
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = now + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def readers():
    """All readers' classes by name."""
    modules = [importlib.import_module(f"fuzz.{name}") for name in MODULES]
    return {name: kind for module in modules for name, kind in module.READERS.items()}


def corpus(name):
    """The committed inputs of a reader, in order."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def mutations(reader, name, count, seed=0):
    """So many inputs, each mutated once to three times from a seed or a file of the corpus."""
    pool = [*reader.seeds(), *(path.read_bytes() for path in corpus(name))]
    for number in range(count):
        rng = random.Random(f"{name} {seed} {number}")
        content = pool[number % len(pool)]
        for _ in range(rng.choice([1, 1, 2, 3])):
            content = reader.mutated(rng, content)
        yield content
