"""`fastdrop bench --scaling`: topologies as Linux writes them, what stops scaling, and a real run at tiny sizes."""

import json
import os

import numpy as np
import pytest

from fastdrop.bench import scaling, scaling_report, topology
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


class TestTopology:
    @pytest.mark.parametrize(
        ("text", "cpus"),
        [("0-1\n", [0, 1]), ("5\n", [5]), ("\n", []), ("0-3,8-9,16\n", [0, 1, 2, 3, 8, 9, 16]), ("7,3", [7, 3])],
    )
    def test_lists_of_cpus(self, text, cpus):
        assert topology.cpu_list(text) == cpus

    @pytest.mark.parametrize("text", ["a", "1-", "0-x", "1,,2"])
    def test_other_text_is_refused(self, text):
        with pytest.raises(ValueError, match="invalid literal"):
            topology.cpu_list(text)

    def test_one_node_is_no_choice(self, tmp_path):
        system = _write(tmp_path, {"node/node0/cpulist": "0-3\n", "node/possible": "0\n"})
        assert topology.groups(system, [0, 1, 2, 3]) == {"all cores": [0, 1, 2, 3]}

    def test_nodes_and_all_of_them(self, tmp_path):
        nodes = {"node/node0/cpulist": "0-1,4-5\n", "node/node10/cpulist": "8\n", "node/node2/cpulist": "2-3,6-7\n"}
        found = topology.groups(_write(tmp_path, nodes), list(range(9)))
        assert found == {
            "node 0": [0, 1, 4, 5],
            "node 2": [2, 3, 6, 7],
            "node 10": [8],
            "all nodes": list(range(9)),
        }
        assert list(found) == ["node 0", "node 2", "node 10", "all nodes"]

    def test_only_what_this_process_may_use(self, tmp_path):
        system = _write(tmp_path, {"node/node0/cpulist": "0-3\n", "node/node1/cpulist": "4-7\n"})
        assert topology.groups(system, [2, 3]) == {"all cores": [2, 3]}
        assert topology.groups(system, [1, 6]) == {"node 0": [1], "node 1": [6], "all nodes": [1, 6]}

    def test_nodes_without_cores_and_damaged_ones(self, tmp_path):
        files = {"node/node0/cpulist": "0-1\n", "node/node1/cpulist": "\n", "node/node2/cpulist": "?\n"}
        assert topology.groups(_write(tmp_path, files), [0, 1]) == {"all cores": [0, 1]}

    def test_no_system_to_ask(self, tmp_path):
        assert topology.groups(tmp_path / "none", [0, 1, 2]) == {"all cores": [0, 1, 2]}

    @pytest.mark.parametrize("pairs", ["neighbours", "halves"])
    def test_second_hardware_threads_come_last(self, tmp_path, pairs):
        same = {cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" if pairs == "neighbours" else f"{cpu % 4},{cpu % 4 + 4}"
                for cpu in range(8)}  # fmt: skip
        system = _write(tmp_path, {f"cpu/cpu{cpu}/topology/thread_siblings_list": text for cpu, text in same.items()})
        wanted = [0, 2, 4, 6, 1, 3, 5, 7] if pairs == "neighbours" else list(range(8))
        assert topology.groups(system, list(range(8))) == {"all cores": wanted}

    @pytest.mark.parametrize(
        ("cores", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])]
    )
    def test_numbers_of_threads(self, cores, counts):
        assert topology.counts(cores) == counts

    @pytest.mark.parametrize(
        ("room", "sizes"), [(None, [21, 26]), (1 << 40, [21, 26]), (1 << 30, [21, 25]), (1 << 20, [15]), (0, [10])]
    )
    def test_sizes_fit_into_memory(self, monkeypatch, room, sizes):
        monkeypatch.setattr(topology, "available_memory", lambda: room)
        assert scaling.sizes() == [1 << size for size in sizes]

    def test_this_machine(self):
        groups = topology.groups()
        assert sorted({cpu for cpus in groups.values() for cpu in cpus}) == topology.allowed_cpus()
        assert topology.available_memory() is None or topology.available_memory() > 0

    def test_jobs_begin_on_one_thread_in_each_group(self):
        work = scaling.jobs({"node 0": [4, 5, 6], "node 1": [0]}, [1024])
        assert [(job.group, job.cpus) for job in work] == [
            ("node 0", [4]), ("node 0", [4, 5]), ("node 0", [4, 5, 6]), ("node 1", [0]),
        ]  # fmt: skip


def _series(*rows, group="all cores"):
    """Points from (threads, seconds, copy) and what else differs."""
    found = []
    for threads, seconds, copy, *others in rows:
        what = {"used": threads, "team": 0.0, "asleep": 0.0, "imbalance": 1.0, **(others[0] if others else {})}
        found.append(
            scaling.Point(group, "dropout", 1 << 20, 0.5, threads, what["used"], seconds, copy, copy / seconds,
                          what["team"], what["asleep"], what["imbalance"])
        )  # fmt: skip
    return found


class TestVerdict:
    def test_one_core(self):
        found = scaling_report.verdict(_series((1, 1.0, 1.0)))
        assert (found.scales_to, found.reason, found.text) == (1, "", "one core: nothing to scale to")

    def test_it_scales_to_all(self):
        found = scaling_report.verdict(_series((1, 8.0, 8.0), (2, 4.1, 4.0), (4, 2.1, 2.0), (8, 1.2, 1.0)))
        assert (found.scales_to, found.threads, found.reason) == (8, 8, "")

    def test_the_memory(self):
        found = scaling_report.verdict(_series((1, 8.0, 6.0), (2, 4.1, 3.1), (4, 3.9, 3.8)))
        assert (found.scales_to, found.threads, found.reason) == (2, 4, "memory")
        assert found.causes["memory"] == pytest.approx(1.8 / 1.9)
        assert "the copy takes as long" in found.text

    def test_unequal_cores(self):
        """The copy is as slow by them; what it does not take beyond is not the memory's."""
        found = scaling_report.verdict(_series((1, 8.0, 8.0), (4, 4.0, 4.0, {"imbalance": 2.0})))
        assert found.reason == "imbalance"
        assert found.causes["memory"] == 0
        assert found.causes["imbalance"] == pytest.approx(1.0)
        assert "2.00 times the mean" in found.text

    def test_the_team(self):
        found = scaling_report.verdict(_series((1, 80e-6, 70e-6), (8, 40e-6, 38e-6, {"team": 29e-6})))
        assert found.reason == "wake-up"
        assert found.causes["wake-up"] == pytest.approx(29 / 30)
        assert "29 us" in found.text

    def test_a_call_that_gets_fewer_threads(self):
        found = scaling_report.verdict(_series((1, 8.0, 8.0), (2, 4.0, 4.0), (8, 4.0, 4.0, {"used": 2})))
        assert (found.scales_to, found.reason) == (2, "size")
        assert found.causes["memory"] == 0
        assert found.causes["size"] == pytest.approx(1.0)

    def test_what_nothing_explains_is_said(self):
        found = scaling_report.verdict(_series((1, 8.0, 8.0), (2, 8.0, 4.0)))
        assert (found.scales_to, found.reason) == (1, "")
        assert "nothing that was measured" in found.text

    def test_series_that_lack_their_first_point_are_left_out(self):
        assert scaling_report.series(_series((2, 4.0, 4.0))) == []


def test_medians_over_the_sweeps():
    first, second, third = ([_series((2, seconds, 1.0))[0]] for seconds in (1.0, 3.0, 8.0))
    (point,) = scaling.combined([first, second, third])
    assert point.seconds == 3.0
    assert point[:6] == first[0][:6]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(scaling, "sizes", lambda: [4096, 40_000])
    monkeypatch.setattr(scaling, "SECONDS", 0)
    monkeypatch.setattr(scaling, "SWEEPS", 1)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_real_run(tiny, cores, tmp_path, monkeypatch, capsys):
    cpus = topology.allowed_cpus()[:cores]
    if len(cpus) < cores:
        pytest.skip("one core")
    monkeypatch.setattr(topology, "allowed_cpus", lambda: cpus)
    before = topology.allowed_cpus(), os.environ.get("PYTHONPATH")
    figures, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    assert cli.main(["bench", "--scaling", "--save", str(figures), "--plot", str(picture)]) == 0
    assert (topology.allowed_cpus(), os.environ.get("PYTHONPATH")) == before
    printed = capsys.readouterr().out
    assert "efficiency" in printed
    assert ("nothing to scale to" in printed) == (cores == 1)
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(figures.read_text())
    assert (document["format"], document["version"], document["complete"]) == ("fastdrop bench scaling", 1, True)
    assert document["groups"] == {"all cores": cpus}
    points = document["points"]
    assert len(points) == 8 * cores
    assert {point["threads"] for point in points} == set(range(1, cores + 1))
    assert all(point["seconds"] > 0 and point["copy"] > 0 and point["imbalance"] >= 1 for point in points)
    assert all(point["efficiency"] == 1 for point in points if point["threads"] == 1)
    assert len(document["verdicts"]) == 8


def test_several_nodes_are_drawn_and_printed(tiny, tmp_path, monkeypatch, capsys):
    cpu = topology.allowed_cpus()[:1]
    monkeypatch.setattr(topology, "groups", lambda: {"node 0": cpu, "node 1": cpu, "all nodes": cpu})
    picture = tmp_path / "scaling.png"
    assert cli.main(["bench", "--scaling", "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert [name for name in ("node 0", "node 1", "all nodes") if printed.count(name) >= 2] == [
        "node 0", "node 1", "all nodes",
    ]  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_process_that_fails_is_told(tiny, monkeypatch, capsys):
    monkeypatch.setattr(topology, "groups", lambda: {"all cores": [99_999]})
    assert cli.main(["bench", "--scaling"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastdrop: measuring with 1 threads ended with status 1: ")
    assert error.count("\n") == 1


def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch, capsys):
    def stops(work):
        yield _series((1, 2.0, 1.0))
        raise KeyboardInterrupt

    monkeypatch.setattr(scaling, "run", stops)
    path = tmp_path / "scaling.json"
    assert cli.main(["bench", "--scaling", "--save", str(path), "--plot", str(tmp_path / "scaling.png")]) == 130
    assert "stopped" in capsys.readouterr().out
    document = json.loads(path.read_text())
    assert (len(document["points"]), document["complete"]) == (1, False)


@pytest.mark.parametrize("options", [["--quick"], ["--threads", "1"], ["--only", "dropout"], ["--device", "cuda"]])
def test_other_plans_are_refused(options, capsys):
    assert cli.main(["bench", "--scaling", *options]) == 2
    assert "--scaling has its own plan" in capsys.readouterr().err


def test_arrays_are_filled_as_asked():
    x, out = scaling._touched(10_000, 1)
    assert np.array_equal(x, out)
    assert abs(float(x.std()) - 1) < 0.1
