"""Each reader with the committed corpus and some mutations; and the detection of broken readers."""

import contextlib
import os
import signal
import tempfile

import pytest

from fuzz.readers import SECONDS, Finding, Reader, corpus, limited_memory, mutations, readers

READERS = readers()
PROCESSOR = getattr(signal, "ITIMER_PROF", None)
MUTATIONS = 150
"""For each reader of weight 1."""


@pytest.fixture(scope="module")
def opened():
    """The readers, created on first use."""
    with contextlib.ExitStack() as stack:
        made = {}

        def reader(name):
            if name not in made:
                made[name] = READERS[name](stack.enter_context(tempfile.TemporaryDirectory()))
            return made[name]

        yield reader


@pytest.mark.parametrize("name", READERS)
def test_valid_inputs_are_accepted(name, opened):
    outcomes = [opened(name).outcome(content) for content in opened(name).seeds()]
    assert outcomes.count("accepted") > len(outcomes) / 2
    assert "no input" not in outcomes


@pytest.mark.parametrize("name", READERS)
def test_the_corpus_has_its_recorded_outcomes(name, opened):
    """Findings are fixed; refused inputs are refused, and accepted ones accepted."""
    assert corpus(name), f"no corpus of {name}: python -m fuzz --distil --reader {name}"
    wrong = []
    with limited_memory():
        for path in corpus(name):
            try:
                outcome = opened(name).outcome(path.read_bytes())
            except Finding as finding:
                wrong.append(f"{path}: {finding}")
                continue
            known = path.name.partition("-")[0]
            if known in ("accepted", "refused") and known != outcome:
                wrong.append(f"{path}: was {known}, is {outcome}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", READERS)
def test_mutations_raise_documented_errors_or_work(name, opened):
    count = max(40, round(MUTATIONS * READERS[name].weight))
    outcomes, problems = [], []
    with limited_memory():
        for number, content in enumerate(mutations(opened(name), name, count)):
            try:
                outcomes.append(opened(name).outcome(content))
            except Finding as finding:
                problems.append(f"number {number}: {finding}")
    assert not problems, "\n".join(problems)
    assert len(outcomes) - outcomes.count("no input") > count / 4
    assert "accepted" in outcomes
    assert "refused" in outcomes or not READERS[name].refused


def test_each_folder_of_the_corpus_has_a_reader():
    from fuzz.readers import CORPUS

    assert {path.name for path in CORPUS.iterdir()} == set(READERS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 1 << 20


# -- broken readers are found


class Broken(Reader):
    """Has the fault that its input names."""

    refused = (ValueError,)
    suffix = ".txt"

    def read(self, given):
        what = given.read_text()
        if what == "lookup":
            return {}["x"]
        if what == "loop":
            while True:
                pass
        if what == "memory":
            return bytes(1 << 40)
        if what == "hidden memory":
            try:
                return bytes(1 << 40)
            except MemoryError:
                raise ValueError(f"{given}: too large for this machine") from None
        if what == "nameless":
            raise ValueError("damaged")
        if what in ("long", "control"):
            raise ValueError(f"{given}: " + {"long": "x" * 3000, "control": "\x1b[2J"}[what])
        if what == "refused":
            raise ValueError(f"{given}: damaged")
        return what

    def use(self, found):
        if found == "useless":
            raise ValueError("of no use")


@pytest.mark.skipif(PROCESSOR is None, reason="no limits here")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("lookup", "KeyError while reading"),
        ("loop", f"more than {SECONDS} seconds"),
        ("memory", "MemoryError while reading"),
        ("hidden memory", "too much memory"),
        ("nameless", "does not name the file"),
        ("long", "a message of"),
        ("control", "control characters"),
        ("useless", "accepted, but then ValueError: of no use"),
    ],
)
def test_broken_readers_are_findings(fault, words, tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.readers.SECONDS", 0.2 if fault == "loop" else SECONDS)
    reader = Broken(tmp_path)
    assert [reader.outcome(content) for content in (b"good", b"refused")] == ["accepted", "refused"]
    with limited_memory(), pytest.raises(Finding, match=words if fault != "loop" else "more than"):
        reader.outcome(fault.encode())


def test_limits_are_removed_afterwards(tmp_path):
    resource = pytest.importorskip("resource")

    def limits():
        return resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGPROF), signal.getitimer(PROCESSOR)

    before = limits()
    with limited_memory():
        Broken(tmp_path).outcome(b"good")
    assert before == limits()
    assert os.listdir(tmp_path) == ["input.txt"]
