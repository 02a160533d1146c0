"""Instruction sets, caches and threads: detection, settings and limits."""

import os
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastdrop as fd
from fastdrop import processor, threads
from fastdrop._kernels import cpu


def run(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "FASTDROP_ISA")}
    return subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", cpu.available_isas())
def test_the_environment_forces_an_instruction_set(name):
    code = "from fastdrop._kernels import cpu; import fastdrop; print(cpu.current_isa())"
    assert run(code, FASTDROP_ISA=name).stdout.split() == [name]


def test_an_instruction_set_that_is_not_there_is_named():
    result = run("import fastdrop", FASTDROP_ISA="quantum")
    assert result.returncode != 0
    assert "FASTDROP_ISA=quantum" in result.stderr
    assert "portable" in result.stderr


def test_the_best_instruction_set_runs_unless_told_otherwise():
    assert run("import fastdrop; fastdrop.show_config()").stdout.count(cpu.available_isas()[0]) >= 2


def test_cache_sizes_are_read(tmp_path, monkeypatch):
    for index, size in enumerate(("48K", "1024K", "32M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size + "\n")
    monkeypatch.setattr(processor, "_CACHES", tmp_path)
    assert processor.last_level_cache() == 32 << 20
    (tmp_path / "index0" / "size").write_text("")
    assert processor.last_level_cache() == processor.USUAL_CACHE
    monkeypatch.setattr(processor, "_CACHES", tmp_path / "nowhere")
    assert processor.last_level_cache() == processor.USUAL_CACHE


def test_the_constants_in_force_are_the_tables():
    vendor, family, _ = cpu.processor()
    tuning = processor.tuning_for(vendor, family)
    above = min(processor.last_level_cache(), tuning.cache)
    assert cpu.large_arrays() == (tuning.hint, tuning.ahead, above)
    shown = run("import fastdrop; fastdrop.show_config()").stdout
    assert f"{tuning.hint}, {tuning.ahead} bytes ahead" in shown
    assert tuning.family in shown
    assert f"{above / 2**20:g} MB" in shown


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo") or not cpu.processor()[0], reason="no CPUID, or not Linux")
def test_the_processor_is_the_one_that_the_system_names():
    with open("/proc/cpuinfo") as lines:
        named = dict(line.replace("\t", "").strip().split(":", 1) for line in lines if ":" in line)
    wanted = (named["vendor_id"].strip(), int(named["cpu family"]), int(named["model"]))
    assert cpu.processor() == wanted


def test_each_family_gets_the_constants_that_were_measured_on_it():
    assert processor.tuning_for("AuthenticAMD", 26).hint == "non-temporal"
    assert processor.tuning_for("AuthenticAMD", 25).hint == "non-temporal"
    assert processor.tuning_for("GenuineIntel", 6).hint == "second level"
    assert processor.tuning_for("AuthenticAMD", 27)[1:] == processor.tuning_for("AuthenticAMD", 26)[1:]
    assert processor.tuning_for("AuthenticAMD", 27).family == "as AMD Zen 5"
    assert processor.tuning_for("GenuineIntel", 19)[1:] == processor.tuning_for("GenuineIntel", 6)[1:]
    assert processor.tuning_for("", 0) == processor.tuning_for("CentaurHauls", 7) == processor.OTHERS
    for tuning in (*processor.TUNINGS.values(), processor.OTHERS):
        assert tuning.hint in cpu.HINTS
        assert 0 <= tuning.ahead <= 1 << 16


class Kernels:
    """A stand-in for the compiled module on another processor."""

    def __init__(self, vendor, family):
        self.processor = lambda: (vendor, family, 0)
        self.use_isa = None

    def set_large_arrays(self, *constants):
        self.large_arrays = constants


@pytest.mark.parametrize(
    ("vendor", "family", "nominal", "constants"),
    [
        ("GenuineIntel", 6, "300M", ("second level", 8192, 48 << 20)),
        ("GenuineIntel", 6, "8192K", ("second level", 8192, 8 << 20)),
        ("AuthenticAMD", 26, "32M", ("non-temporal", 8192, 32 << 20)),
        ("AuthenticAMD", 25, "32768K", ("non-temporal", 2048, 24 << 20)),
        ("", 0, "64M", ("first level", 2048, 32 << 20)),
    ],
)
def test_a_processor_is_set_up_by_its_family_and_its_cache(vendor, family, nominal, constants, tmp_path, monkeypatch):
    monkeypatch.delenv("FASTDROP_ISA", raising=False)
    (tmp_path / "index3").mkdir()
    (tmp_path / "index3" / "size").write_text(nominal)
    monkeypatch.setattr(processor, "_CACHES", tmp_path)
    kernels = Kernels(vendor, family)
    processor.configure(kernels)
    assert kernels.large_arrays == constants


def test_an_unknown_hint_is_refused():
    before = cpu.large_arrays()
    with pytest.raises(ValueError, match="prayer"):
        cpu.set_large_arrays("prayer", 0, 0)
    assert cpu.large_arrays() == before


def test_omp_num_threads_is_respected():
    assert run("import fastdrop; print(fastdrop.get_num_threads())", OMP_NUM_THREADS="3").stdout.split() == ["3"]


@pytest.mark.skipif(not cpu.has_openmp(), reason="built without OpenMP")
def test_threadpoolctl_is_respected():
    code = """
import fastdrop as fd
from threadpoolctl import threadpool_limits
print(fd.get_num_threads())
with threadpool_limits(1, user_api="openmp"):
    print(fd.get_num_threads())
    fd.set_num_threads(3)
    print(fd.get_num_threads())
print(fd.get_num_threads())
"""
    assert run(code, OMP_NUM_THREADS="2").stdout.split() == ["2", "1", "1", "3"]


@pytest.mark.parametrize(
    ("threads", "calls", "cores", "own"),
    [(8, 1, 8, 8), (8, 2, 8, 4), (8, 3, 8, 2), (8, 8, 8, 1), (8, 20, 8, 1), (2, 3, 8, 2), (1, 5, 8, 1), (12, 1, 8, 12)],
)
def test_calls_at_the_same_time_share_the_cores(threads, calls, cores, own):
    assert cpu.team_size(threads, calls, cores) == own


@pytest.mark.skipif(not cpu.has_openmp(), reason="built without OpenMP")
def test_calls_at_the_same_time_are_counted(monkeypatch):
    """Only calls that ask for several threads count, and the count returns to 0; results are the same."""
    monkeypatch.setattr(threads, "_limit", 2)
    x = np.ones(1 << 23, np.float32)
    wanted = fd.dropout(x, 0.3, rng=5)[0]
    together, seen, found = threading.Barrier(3), [], []

    def work():
        together.wait(60)
        found.extend(fd.dropout(x, 0.3, rng=5)[0] for _ in range(3))

    def watch():
        together.wait(60)
        while len(found) < 6:
            seen.append(cpu.concurrent_calls())

    with ThreadPoolExecutor(3) as pool:
        for task in [pool.submit(work), pool.submit(work), pool.submit(watch)]:
            task.result(120)
    assert max(seen) in (1, 2)
    assert cpu.concurrent_calls() == 0
    assert all(np.array_equal(y, wanted) for y in found)
    fd.dropout(x[:100], 0.3, rng=5)
    assert cpu.concurrent_calls() == 0


def test_small_calls_stay_on_their_thread():
    assert threads.threads_for(2 * threads.SMALLEST_SHARE - 1) == 1
    before = fd.get_num_threads()
    try:
        fd.set_num_threads(2)
        assert threads.threads_for(2 * threads.SMALLEST_SHARE) == 2
        with threadpool_limits(1, user_api="openmp"):
            y, mask = fd.dropout(np.ones(1 << 18, np.float32), 0.5, rng=1)
            np.testing.assert_array_equal(y != 0, np.asarray(mask))
    finally:
        fd.set_num_threads(before)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has its global lock")
def test_importing_keeps_the_gil_disabled():
    code = "import fastdrop, sys; print(sys._is_gil_enabled())"
    assert run(code).stdout.split() == ["False"]
