"""Whether a benchmark notices that others use the cores. Nothing asserts how long something takes."""

import json
import os
import re
import subprocess
import sys
import time
import types

import pytest

from fastdrop.bench import plan, quiet, report, results
from fastdrop.bench.measure import Timing
from fastdrop.bench.quiet import Noise, Reading
from fastdrop.cli import main as cli

STAT = """\
cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0
cpu0 {user} 10 20 {idle} 5 3 2 {steal} 7 7
cpu1 1 1 1 1 1 1 1 1 0 0
cpu10 9000 0 0 0 0 0 0 0 0 0
intr 123 0 0
ctxt 99
procs_running {running}
procs_blocked 0
"""
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
CALM = Noise(0.0, 0.0, None, 0.03, 0.0)


def stat(user=100, idle=900, steal=0, running=1):
    return STAT.format(user=user, idle=idle, steal=steal, running=running)


def reading(busy=0.0, idle=0.0, steal=0.0, own=0.0, running=1, pressure=None, at=0.0):
    return Reading(busy, idle, steal, running, pressure, own, at)


# --- what Linux says


def test_only_the_cores_of_this_process_count():
    assert quiet.parse_stat(stat(steal=40, running=3), [0]) == (135 / TICKS, 905 / TICKS, 40 / TICKS, 3)
    assert quiet.parse_stat(stat(), [0, 1])[:3] == (140 / TICKS, 907 / TICKS, 1 / TICKS)
    assert quiet.parse_stat(stat(), [10])[0] == 9000 / TICKS  # cpu1 is another one


def test_kernels_of_other_times_have_other_columns():
    assert quiet.parse_stat("cpu0 5 0 1 9\n", [0]) == (6 / TICKS, 9 / TICKS, 0, 0)
    with pytest.raises(ValueError, match="invalid literal"):
        quiet.parse_stat("cpu0 a b c d\n", [0])
    with pytest.raises(ValueError, match="values to unpack"):
        quiet.parse_stat("procs_running\n", [0])


def test_pressure_and_processes():
    text = "some avg10=52.70 avg60=65.96 avg300=46.60 total=2736969942\nfull avg10=0.00 avg60=0 avg300=0 total=7\n"
    assert quiet.parse_pressure(text) == 2736.969942
    line = "17 (a (b) 9 9) S " + " ".join(str(number) for number in range(4, 53))
    assert quiet.parse_process(line) == (14 + 15) / TICKS


def fake_proc(folder, text, pressure=None, processes=()):
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(text)
    if pressure is not None:
        (folder / "pressure").mkdir(exist_ok=True)
        (folder / "pressure" / "cpu").write_text(pressure)
    for pid, ticks in processes:
        (folder / str(pid)).mkdir(exist_ok=True)
        (folder / str(pid) / "stat").write_text(f"{pid} (python) S {'0 ' * 10}{ticks} 0 " + "0 " * 30)
    return folder


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells which cores a process may use")
def test_a_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(time, "process_time", lambda: 2.0)
    found = quiet.read(proc=fake_proc(tmp_path / "proc", stat(steal=40, running=3)))
    assert found[:6] == (135 / TICKS, 905 / TICKS, 40 / TICKS, 3, None, 2.0)
    pressure = "some avg10=0 avg60=0 avg300=0 total=1500000\n"
    found = quiet.read([7, 8], fake_proc(tmp_path / "proc", stat(), pressure, [(7, 3 * TICKS), (8, TICKS)]))
    assert (found.pressure, found.own) == (1.5, 6.0)
    assert quiet.read([99], tmp_path / "proc") is None  # that process has ended


@pytest.mark.parametrize("text", [None, "", "cpu0 x\n", "garbage"])
def test_what_is_not_told_is_not_known(tmp_path, text):
    folder = tmp_path / "proc"
    if text is not None:
        fake_proc(folder, text)
    noise = quiet.between(quiet.read(proc=folder), quiet.read(proc=folder), 0.01)
    assert noise == Noise(None, None, None, 0.01, 0.0)
    assert noise.reasons == []
    assert "not known here" in quiet.remark([noise])


# --- what is made of it


def test_what_others_used():
    before = reading(busy=10.0, idle=50.0, own=8.0, pressure=1.0, at=100.0)
    after = reading(busy=11.2, idle=50.6, steal=0.2, own=8.9, pressure=1.5, at=101.0)
    noise = quiet.between(before, after, 0.02, 3.0)
    assert noise == Noise(*map(pytest.approx, (0.15, 0.1, 0.5)), 0.02, 3.0)
    assert noise.reasons == ["others used 15% of the cores' time", "the host of this virtual machine took 10%"]


def test_what_counts_as_nothing():
    """Own work, roundings of the counters, and a spread as it always is."""
    own = quiet.between(reading(), reading(busy=2.0, own=1.98), 0.2)
    assert (own.foreign, own.reasons) == (0.0, [])
    rounded = quiet.between(reading(), reading(busy=0.12, idle=0.1, own=0.1), 0.2)
    assert (rounded.foreign, rounded.reasons) == (0.0, [])
    more = quiet.between(reading(own=1.0), reading(busy=1.0, own=2.5), 0.2)  # the two clocks differ
    assert (more.foreign, more.reasons) == (0.0, [])


def test_repetitions_that_differ_are_a_reason_anywhere():
    noise = Noise(None, None, None, 0.6, 0.0)
    assert noise.reasons == ["repetitions differed by 60%"]
    remark = quiet.remark([CALM._replace(foreign=None), noise])
    assert "1 of 2 cases were disturbed (marked !): repetitions differed by up to 60%." in remark
    assert "not known here, since only Linux tells it" in remark


def test_the_remark_has_the_largest_of_each():
    assert quiet.remark([]) == quiet.remark([CALM]) == ""
    loud = [CALM, Noise(0.38, 0.0, None, 0.1, 0.0), Noise(0.1, 0.07, None, None, 1.0)]
    assert quiet.remark(loud).startswith(
        "2 of 3 cases were disturbed (marked !): others used up to 38% of the cores' time, the host of this virtual "
        "machine took up to 7%. "
    )
    assert quiet.summary(loud) == {
        "cases": 3, "disturbed": 2, "largest foreign share": 0.38, "largest steal share": 0.07, "largest spread": 0.1,
        "waited seconds": 1.0,
    }  # fmt: skip


# --- waiting


@pytest.fixture
def machine(monkeypatch):
    """A machine of one core, its clock, and others on it that are busy until some time."""
    found = types.SimpleNamespace(now=0.0, busy_until=0.0, told=[], waiting=1)

    def read(pids=()):
        used = min(found.now, found.busy_until)
        return reading(
            busy=used, idle=found.now - used, running=1 + found.waiting * (found.now < found.busy_until), at=found.now
        )

    def sleep(seconds):
        found.now += seconds

    monkeypatch.setattr(quiet, "read", read)
    monkeypatch.setattr(quiet, "time", types.SimpleNamespace(perf_counter=lambda: found.now, sleep=sleep))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    return found


def test_a_quiet_machine_is_looked_at_once(machine):
    watch = quiet.Watch(tell=machine.told.append)
    for _ in range(5):
        watch.begin()
        assert watch.end(0.01).waited == 0.0
    assert (machine.now, machine.told) == (quiet.SAMPLE, [])


def test_waits_until_the_cores_are_free(machine):
    machine.busy_until = 3.1
    watch = quiet.Watch(tell=machine.told.append)
    watch.begin()
    assert machine.busy_until < machine.now < 4.0
    assert machine.told[0] == "waiting for free cores: others use 1.0 of 1"
    assert len(machine.told) in (4, 5)
    assert machine.told[-1] == ""
    noise = watch.end(0.01)
    assert (noise.waited, noise.reasons) == (machine.now, [])


def test_waits_for_a_while_only(machine):
    machine.busy_until = 1e9
    watch = quiet.Watch(tell=machine.told.append)
    for _ in range(20):
        before = machine.now
        watch.begin()
        began = machine.now
        assert began - before <= quiet.CASE_PATIENCE + quiet.SAMPLE
        machine.now += 1.0
        assert watch.end(0.01).foreign == 1.0
        assert machine.now == began + 1.0
    assert quiet.PATIENCE <= machine.now - 20 < quiet.PATIENCE + 1
    assert quiet.CASE_PATIENCE == 10.0


def test_waits_after_a_disturbed_case(machine):
    """Also where nobody wants a core in the moment after it."""
    machine.waiting = 0
    watch = quiet.Watch()
    watch.begin()
    machine.busy_until = machine.now + 2.0
    machine.now += 1.0
    assert watch.end(0.01).reasons
    watch.begin()
    assert watch.end(0.01).waited > 1.0


def test_waits_after_a_disturbed_case_and_when_something_runs(machine):
    watch = quiet.Watch()
    watch.begin()
    machine.busy_until = machine.now + 2.0  # begins during the case
    machine.now += 1.0
    assert watch.end(0.01).reasons
    watch.begin()
    assert watch.end(0.01).waited > 1.0
    machine.now += 5.0
    machine.busy_until, before = machine.now + 1.0, machine.now  # begins between cases
    watch._suspicious = False
    watch.begin()
    assert machine.now > before + 1.0 - quiet.SAMPLE


def test_a_machine_that_tells_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(quiet, "read", lambda pids=(): None)
    watch = quiet.Watch(tell=pytest.fail)
    watch.begin()
    assert watch.end(0.01) == Noise(None, None, None, 0.01, 0.0)


def test_waiting_is_a_part_of_the_run(monkeypatch):
    """A run of a second does not wait for a minute."""
    patience = []

    class Watch(quiet.Watch):
        def __init__(self, seconds, tell):
            patience.append(seconds)
            super().__init__(0.0, tell)

    monkeypatch.setattr(quiet, "Watch", Watch)
    cases = [plan.Case("dropout", (64,), "float32", p, 1, (), 0.5) for p in (0.5, 0.3)]
    assert len(list(results.run(cases))) == 2
    assert patience == [sum(case.cost for case in cases) / 2]


def test_a_quick_runs_limit_does_not_count_waiting():
    case = plan.Case("dropout", (64,), "float32", 0.5, 1)
    clock = results.Clock([case])
    clock.finish(results.Result(case, {}, CALM._replace(waited=1000.0)))
    assert clock.seconds < 0


# --- the real thing


@pytest.mark.skipif(quiet.read() is None, reason="this machine does not tell what others use")
def test_a_busy_process_is_noticed():
    cores = len(os.sched_getaffinity(0))
    code = "print(flush=True)\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(cores)]
    try:
        for other in others:
            other.stdout.read(1)
        told = []
        watch = quiet.Watch(0.5, told.append)
        watch.begin()
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            pass
        noise = watch.end(0.01)
        assert noise.foreign > quiet.LIMIT
        assert "others used" in noise.reasons[0]
        assert noise.waited > 0
        assert told[0].startswith("waiting for free cores: others use ")
        pids = [other.pid for other in others]  # as if they worked for this one
        before = quiet.read(pids), quiet.read()
        time.sleep(0.5)
        with_them, without = (
            quiet.between(*pair) for pair in zip(before, (quiet.read(pids), quiet.read()), strict=True)
        )
        assert with_them.foreign < without.foreign
    finally:
        for other in others:
            other.kill()
            other.wait()
            other.stdout.close()


# --- where it is shown


@pytest.fixture
def loud(monkeypatch):
    """Every second reading is after a second in which others used half of the core."""
    count = iter(range(10**6))

    def read(pids=()):
        number = next(count)
        return reading(busy=number * 0.5, idle=number * 0.5, at=float(number))

    monkeypatch.setattr(quiet, "read", read)
    monkeypatch.setattr(quiet, "CASE_PATIENCE", 0.0)


def test_terminal_and_json_say_it(loud, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(plan, "FULL", (plan.Row(("dropout",), ((1 << 10,),), (0.5, 0.3), ("memcpy",), seconds=0),))
    path = tmp_path / "bench.json"
    assert cli.main(["bench", "--threads", "1", "--save", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "!: others used the cores meanwhile" in printed
    assert len(re.findall("│ +! ", printed)) == 2
    assert "GB/s; others used 50% of the cores' time" in printed
    assert "2 of 2 cases were disturbed (marked !): others used up to 50% of the cores' time" in printed
    assert printed.index("promises") < printed.index("2 of 2 cases were disturbed")
    document = json.loads(path.read_text())
    assert document["machine"]["quiet"]["disturbed"] == 2
    assert document["results"][0]["quiet"]["foreign_share"] == 0.5
    assert "others used 50% of the cores' time" in document["results"][0]["quiet"]["disturbed"]
    assert [results.record(result) for result in report.load(path).results] == document["results"]
    assert cli.main(["bench", "compare", str(path), str(path)]) == 0
    assert capsys.readouterr().out.count(f"{path.name}: 2 of 2 cases were disturbed") == 2


def test_waiting_is_told_in_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr(plan, "FULL", (plan.Row(("dropout",), ((1 << 10,),), (0.5,), (), seconds=0),))
    true = results.run

    def run(cases, tell):
        tell("waiting for free cores: others use 1.0 of 2")
        tell("")
        yield from true(cases, tell)

    monkeypatch.setattr(results, "run", run)
    assert cli.main(["bench", "--threads", "1"]) == 0
    assert capsys.readouterr().out.count("waiting for free cores: others use 1.0 of 2\n") == 1


def test_a_promise_says_that_its_worst_case_was_disturbed():
    from fastdrop.bench import promises

    def outcome(*noises):
        timing = Timing(1.0, 1.0, 1.0, 9, 1.0, 1.0, 1.0, 8)
        cases = [plan.Case("dropout", (1 << 16,), "float32", p, 1) for p in (0.5, 0.25)]
        speeds = (0.5, 0.9)
        found = [
            results.Result(case, {"fastdrop": timing, "memcpy": timing._replace(relative=speed)}, noise)
            for case, speed, noise in zip(cases, speeds, noises, strict=True)
        ]
        known = promises.evaluate(found, {"cores": 2})
        return next(each.verdict for each in known if each.promise.what == "dropout, 2^16, p = 0.5 or 0.25")

    assert outcome(CALM, CALM._replace(foreign=0.5)) == outcome(None, None) == "short by 47.4%"
    assert outcome(CALM._replace(foreign=0.5), CALM) == "short by 47.4% in a disturbed case"


def test_figures_before_this_was_noted_load():
    case = plan.Case("dropout", (64,), "float32", 0.5, 1)
    record = results.record(results.Result(case, {"fastdrop": "none"}))
    assert "quiet" not in record
    assert results.from_record(record).noise is None
