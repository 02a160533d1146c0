"""What runs on a machine with a GPU, as far as that can be tried without one."""

import ast
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
specification = importlib.util.spec_from_file_location("gpu_run", TESTS / "gpu/run.py")
run = importlib.util.module_from_spec(specification)
specification.loader.exec_module(run)


def has_a_gpu_side(path):
    """Whether a test or fixture of this file asks for the fixture `gpu`, or something is marked so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and "gpu" in [argument.arg for argument in node.args.args]:
            return True
        if isinstance(node, ast.Attribute) and node.attr == "gpu" and ast.unparse(node) == "pytest.mark.gpu":
            return True
    return False


def test_all_files_with_a_gpu_side_are_in_the_run():
    assert {str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py") if has_a_gpu_side(path)} <= set(run.TESTS)
    assert all((TESTS / file).exists() for file in run.TESTS)
    tested = {Path(file).name for file in run.TESTS}
    for name in (
        "cuda_dropout",
        "cuda_fused",
        "cuda_family",
        "cuda_recurrent",
        "cuda_graphs",
        "slices",
        "exchange",
        "torch_cuda",
    ):
        assert f"test_{name}.py" in tested


def test_it_ends_within_six_minutes():
    assert run.TOTAL + 2 * run.GRACE <= 360
    assert all(limit < run.TOTAL for limit in run.LIMITS.values())


def pytest_as_there(*arguments, **environment):
    """pytest as the run starts it, without this repository's own settings."""
    command = [sys.executable, "-m", "pytest", "-c", str(TESTS / "gpu/pytest.ini"), "--confcutdir", str(TESTS)]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS / "gpu"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_tests_are_found_with_their_fixtures():
    """They are skipped where there is no GPU, and no error."""
    found = pytest_as_there("-m", "gpu", "-q", "-rs", str(TESTS / "cuda/test_cuda_recurrent.py"))
    assert found.returncode == 0, found.stdout
    counts = run.tested([found.stdout])
    assert set(counts) <= {"passed", "skipped"}
    assert sum(counts.values()) == 2
    if counts.get("skipped"):
        assert list(run.skipped([found.stdout])) == ["2 tests of test_cuda_recurrent.py"]


def test_the_shares_are_all_tests_once(tmp_path):
    file = tmp_path / "test_many.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(11))\n@pytest.mark.gpu\ndef test_there(n): pass\n"
        "@pytest.mark.parametrize('n', range(5))\ndef test_here(n): pass\n"
    )
    outputs = [
        pytest_as_there("-p", "shard", "-m", "gpu", "-v", str(file), GPU_SHARD=f"{number}/4").stdout
        for number in range(4)
    ]
    ran = [line.partition("::")[2].split()[0] for output in outputs for line in output.splitlines() if "PASSED" in line]
    assert sorted(ran) == sorted(f"test_there[{n}]" for n in range(11))
    assert run.tested(outputs) == {"passed": 11}


def test_what_was_tested_and_skipped_is_read_from_what_pytest_prints():
    more = "SKIPPED [1] ../tests/test_a.py:9: needs two GPUs\n"
    failed = "1 failed, 2 passed, 1 skipped, 1 error in 99.99s (0:01:39)\n"
    outputs = [
        "..s.\nSKIPPED [2] tests/test_a.py:7: needs two GPUs\n3 passed, 2 skipped, 9 deselected in 1.20s\n",
        f"F\nFAILED tests/test_b.py::test_c - 4 failed in\nSKIPPED [1] ../x.py:1: no dask\n{more}{failed}",
    ]
    assert run.tested(outputs) == {"passed": 5, "skipped": 3, "failed": 1, "error": 1}
    assert run.skipped(outputs) == {"3 tests of test_a.py": "needs two GPUs", "1 tests of x.py": "no dask"}


def test_a_step_that_takes_too_long_is_stopped(tmp_path, capsys, monkeypatch):
    sleeps = [sys.executable, "-c", "print('begun', flush=True); import time; time.sleep(60)"]
    text = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    )
    deaf = [sys.executable, "-c", text]
    monkeypatch.setattr(run, "GRACE", 2)
    begin = time.perf_counter()
    found = run.step("tests", [sleeps, [sys.executable, "-c", "print('done')"], deaf, deaf], str(tmp_path), 2.0)
    assert time.perf_counter() - begin < 40  # not their 60
    assert found["status"] != 0
    assert "begun" in found["output"][0]
    assert found["output"][1] == "done\n"
    assert "stopped by SIGINT" in capsys.readouterr().out


@pytest.mark.parametrize("lacks", [[], ["torch"], ["sklearn", "dask"]])
def test_what_is_left_out_is_named(monkeypatch, tmp_path, lacks):
    monkeypatch.setattr(run, "missing", lambda packages: ", ".join(name for name in packages if name in lacks))
    ran, left_out = {}, {}

    def step(name, commands, folder, limit):
        ran[name] = commands
        return {"status": 0, "seconds": 1.0, "output": [""]}

    monkeypatch.setattr(run, "step", step)
    checks = run.steps(str(tmp_path), tmp_path / "bench.json", True, left_out)
    assert set(left_out) == {
        *(file for file, packages in run.TESTS.items() if set(packages) & set(lacks)),
        *(["bench"] if "sklearn" in lacks else []),
    }
    assert set(checks) == {"build", "kernels", "tests", "bench"} - set(left_out)
    assert len(ran["tests"]) == run.SHARDS
    for file in run.TESTS:
        assert (str(TESTS / file) in ran["tests"][0]) == (file not in left_out)


def test_kernels_are_compiled_by_all_cores(tmp_path):
    """All of them would take a minute here: one file's."""
    if importlib.util.find_spec("cupy") is None or importlib.util.find_spec("nvidia") is None:
        pytest.skip("needs CuPy and NVRTC (pip install --group native)")
    script = TESTS / "gpu/kernels.py"
    text = script.read_text().replace("source.instances().values()", "[source.instances()['gaussian.cu']]")
    copy = tmp_path / "some_kernels.py"
    copy.write_text(text)
    environment = {**os.environ, "CUPY_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(copy), "90"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("4 kernels as cubin for sm_90")
    assert len(list((tmp_path / "fastdrop").glob("*.cubin"))) == 4
