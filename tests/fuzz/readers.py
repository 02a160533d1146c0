"""The base of all readers: inputs, documented errors, and the conditions of a finding."""

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
"""CPU time that a small input may take."""
MEMORY = 1 << 30
"""Bytes of address space that it may take."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters of terminals, and lone surrogates."""
MODULES = ("configs", "experiments", "models", "tables", "sweeps", "benchmarks", "states", "memory", "worker")
"""The modules of this package that have readers."""


class Finding(AssertionError):
    """A forbidden outcome of an input."""


class NoInput(Exception):
    """Bytes that encode no input of this reader."""


class _TooSlow(BaseException):
    """Not an Exception, so that the tested code does not catch it."""


class Reader:
    """Reads inputs, each some bytes; `refused` are the documented errors.

    Attributes
    ----------
    refused : tuple of exception types
    suffix : str
        Of the file that holds an input; each message must have its name. Empty if there is no file.
    weight : float
        Relative number of inputs in a run: slow readers get fewer.
    """

    refused = ()
    suffix = ""
    weight = 1.0

    def __init__(self, folder):
        self.folder = Path(folder)
        self.path = self.folder / f"input{self.suffix}"
        self.prepare()

    def prepare(self):
        """Prepare what all inputs need."""

    def seeds(self):
        """Valid inputs, made by this version of the product."""
        raise NotImplementedError

    def mutate(self, rng, content):
        """Mutated bytes, of the same structure if possible."""
        raise NotImplementedError

    def read(self, given):
        """Read the file at the path `given`, or these bytes, with the product; raises one of `refused`."""
        raise NotImplementedError

    def use(self, found):
        """Use an accepted input: this must raise nothing."""

    def mutated(self, rng, content):
        """As `mutate`; bytes without structure are mutated as bytes."""
        try:
            return self.mutate(rng, content)
        except Exception:  # bytes that earlier mutations have damaged
            return of_bytes(rng, content)

    def outcome(self, content):
        """ "accepted", "refused" or "no input"; anything else raises a `Finding`."""
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
        while cause is not None:  # a MemoryError is a finding, also behind another error
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
    """Limit the CPU time, so that a busy machine changes nothing."""

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
    """Limit the address space to `MEMORY` more than this process has now."""
    if resource is None or not os.path.exists("/proc/self/statm"):
        yield
        return
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
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
    """`count` inputs, each mutated one to three times from a seed or a file of the corpus."""
    pool = [*reader.seeds(), *(path.read_bytes() for path in corpus(name))]
    for number in range(count):
        rng = random.Random(f"{name} {seed} {number}")
        content = pool[number % len(pool)]
        for _ in range(rng.choice([1, 1, 2, 3])):
            content = reader.mutated(rng, content)
        yield content
