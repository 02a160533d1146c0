"""Two builds measured in alternation: processes, messages, verdicts and saved figures. No test asserts a time."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fastdrop as fd
import fastdrop._kernels
from fastdrop.bench import builds, plan
from fastdrop.bench.builds import Build, Pairing
from fastdrop.bench.noise import Noise
from fastdrop.cli import main as cli

pytestmark = pytest.mark.slow

HERE = Path(fd.__file__).parents[1]
TINY = (
    plan.Row(("dropout",), ((1 << 10,),), (0.5, 0.3), plan.COPIES, seconds=0, one_thread=True),
    plan.Row(("zoneout",), ((1 << 10,),), (0.5,), plan.COPIES, seconds=0, one_thread=True),
    plan.Row((plan.DASK,), ((1 << 10,),), (0.5,), ("copy",), seconds=0, one_thread=True),
)
CASE = plan.Case("dropout", (64,), "float32", 0.5, 1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(plan, "QUICK", TINY)


@pytest.fixture
def checkout(tmp_path):
    """A copy of this package as a checkout, with extra lines at the end of its `__init__.py`."""

    def make(lines="", name="other"):
        folder = tmp_path / name
        ignore = shutil.ignore_patterns("__pycache__", "_kernels", "*.c", "*.h", "*.cu")
        shutil.copytree(Path(fd.__file__).parent, folder / "fastdrop", ignore=ignore)
        shutil.copytree(Path(fastdrop._kernels.__file__).parent, folder / "src_kernels", ignore=ignore)
        with open(folder / "fastdrop" / "__init__.py", "a") as file:
            file.write(f"\n{lines}\n")
        return folder

    return make


def changed(body):
    """Lines that add code to dropout."""
    return f"_dropout = dropout\n\n\ndef dropout(*given, **named):\n    {body}\n    return _dropout(*given, **named)\n"


def compare(*paths, more=("--quick",)):
    return cli.main(["bench", "compare", "--builds", *map(str, paths), *more])


def test_the_same_build_twice(checkout, tmp_path, capsys):
    """On a busy machine verdicts vary, but both builds compute the same results, in pairs."""
    path = tmp_path / "pairs.json"
    assert compare(checkout(), checkout(name="another"), more=["--quick", "--save", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"A: {tmp_path / 'other'} (fastdrop {fd.__version__}, python " in printed
    assert "3/3  zoneout, 2^10 float32, p = 0.5, 1 thread: x " in printed
    assert "B is slower in " in printed
    document = json.loads(path.read_text())
    assert document["complete"]
    assert [build["name"] for build in document["builds"]] == ["other", "another"]
    assert [found["operation"] for found in document["results"]] == ["dropout", "dropout", "zoneout"]
    for found in document["results"]:
        assert found["same_results"]
        assert len(found["ratio"]["pairs"]) == 2 * builds.FEWEST_ROUNDS
        assert found["ratio"]["worst"] == min(found["ratio"]["pairs"])
        assert found["verdict"] in ("faster", "slower", "no difference beyond noise")
        assert "others" in found["noise"]
    assert str(tmp_path) not in path.read_text()


def test_a_slower_build_is_found(checkout, capsys):
    slow = checkout(changed("__import__('time').sleep(0.002)"), "slow")
    fast = checkout(name="fast")
    assert compare(fast, slow, more=["--quick", "--only", "dropout"]) == 0
    assert "B is slower in 2 of 2 cases" in capsys.readouterr().out
    assert compare(slow, fast, more=["--quick", "--only", "dropout"]) == 0
    assert "B is faster in 2 of 2 cases" in capsys.readouterr().out


def test_a_python_with_its_own_fastdrop(checkout, capsys):
    assert compare(sys.executable, checkout(), more=["--quick", "--only", "dropout"]) == 0
    assert f"A: {sys.executable} (fastdrop {fd.__version__}" in capsys.readouterr().out


def test_the_first_in_the_path_is_not_taken_for_another(checkout, monkeypatch):
    """The environment and the working directory do not decide which build is measured."""
    monkeypatch.setenv("PYTHONPATH", str(checkout("__version__ = 'wrong'", "wrong")))
    monkeypatch.chdir(os.environ["PYTHONPATH"])
    right = Build(checkout("__version__ = 'right'", "right"))
    own = Build(Path(sys.executable))
    versions = [build.about["fastdrop"] for build in (right, own)]
    for build in (right, own):
        build.close()
    assert versions == ["right", fd.__version__]


def test_the_table_of_operations_imports_nothing_of_fastdrop():
    """Otherwise the worker would import this build in addition to the one that it measures."""
    assert "import fastdrop" not in Path(plan.__file__).with_name("operations.py").read_text()
    assert "from fastdrop" not in Path(plan.__file__).with_name("operations.py").read_text()


def test_every_operation_runs(checkout):
    assert set(plan.operations(plan.FULL)) - set(builds.OPERATIONS) == {plan.DASK, *plan.STEPS}
    build = Build(checkout())
    shapes = dict.fromkeys(("dropout", *plan.CONNECT, *plan.CONNECT_BACKWARD, plan.LOCKED), (3, 5, 7))
    shapes |= dict.fromkeys((plan.FIRST, plan.LAST, plan.DROPBLOCK), (2, 8, 9, 10))
    try:
        for operation in builds.OPERATIONS:
            for dtype in ("float32",) if operation.startswith("DropConnect") else ("float32", "float16"):
                shape = shapes.get(operation, (3, 40))
                request = {"operation": operation, "shape": shape, "dtype": dtype, "p": 0.5, "threads": 1}
                found = [build.ask("trying", do="prepare", turn=turn, **request) for turn in (0, 1, 1)]
                assert len({each["digest"] for each in found}) == 1  # at any alignment of the arrays
                assert build.ask("trying", do="time", loops=2, untimed=1)["seconds"] > 0
    finally:
        build.close()


def test_what_a_build_prints_disturbs_nothing(checkout, capsys):
    loud = checkout(changed("print('{', flush=True)"))
    assert compare(loud, loud, more=["--quick", "--only", "dropout"]) == 0
    assert "2/2" in capsys.readouterr().out


@pytest.mark.parametrize("order", [1, -1])
def test_a_build_without_a_function_has_no_figures_there(checkout, order, capsys):
    old = checkout("del zoneout", "old")
    assert compare(*[old, checkout(name="new")][::order]) == 0
    printed = capsys.readouterr().out
    assert "1/3  dropout, 2^10 float32, p = 0.5, 1 thread: x " in printed
    assert f"zoneout, 2^10 float32, p = 0.5, 1 thread: {old}: AttributeError: " in printed


def test_other_results_are_reported(checkout, capsys):
    other = checkout("_dropout = dropout\n\n\ndef dropout(x, p, **named):\n    return _dropout(x, p / 2, **named)\n")
    assert compare(checkout(name="right"), other, more=["--quick", "--only", "dropout"]) == 0
    assert capsys.readouterr().out.count("; the results differ") >= 2


# --- what is not a build


def write(path, text, executable=False):
    path.write_text(text)
    path.chmod(0o755 if executable else 0o644)
    return path


def empty(folder):
    folder.mkdir()
    return folder


WRONG = [
    (lambda tmp, _: tmp / "nowhere", "name a folder with the package fastdrop in it"),
    (lambda tmp, _: empty(tmp / "empty"), "name a folder with the package fastdrop in it"),
    (lambda tmp, _: write(tmp / "text", "hello"), "name a folder with the package fastdrop in it"),
    (lambda tmp, _: write(tmp / "junk", "\x00\x01", True), "cannot be run: "),
    (lambda tmp, _: write(tmp / "quits", "#!/bin/sh\necho broken >&2\nexit 3\n", True),
     "its process ended while starting (exit status 3): broken"),
    (lambda tmp, _: write(tmp / "talks", "#!/bin/sh\necho hello\nexec cat\n", True),
     "this is no Python that measures fastdrop"),
    (lambda tmp, _: write(tmp / "counts", "#!/bin/sh\necho 17\nexec cat\n", True),
     "this is no Python that measures fastdrop"),
    (lambda tmp, _: write(tmp / "bytes", "#!/bin/sh\nprintf '\\377\\n'\nexec cat\n", True),
     "this is no Python that measures fastdrop"),
    (lambda tmp, make: make("raise OSError('no such luck')"), "no fastdrop that can be imported: OSError: no such"),
    (lambda tmp, make: make("import os\nos._exit(5)"), "its process ended while starting (exit status 5)"),
]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="shell scripts")
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("make", "words"), WRONG)
def test_what_is_not_a_build_is_an_error_of_one_line(make, words, place, checkout, tmp_path, capsys):
    paths = [checkout(name="right"), checkout(name="right too")]
    paths[place] = wrong = make(tmp_path, checkout)
    assert compare(*paths) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fastdrop: {wrong}")
    assert words in error
    assert error.count("\n") == 1


def test_a_checkout_that_is_not_compiled_is_not_another_ones(checkout, capsys):
    """Otherwise the worker would import the kernels of the calling build."""
    folder = checkout()
    for file in (folder / "src_kernels").glob("cpu*.so"):
        file.unlink()
    assert compare(folder, folder) == 2
    assert "fastdrop" in capsys.readouterr().err
    shutil.rmtree(folder / "src_kernels")
    assert compare(folder, folder) == 2
    assert "its kernels are not compiled for Python" in capsys.readouterr().err


# --- interrupted runs


def test_a_build_that_dies_keeps_what_was_measured(checkout, tmp_path, capsys):
    dies = checkout(
        "def zoneout(*_, **__):\n    import os, sys\n    print('Bus error', file=sys.stderr)\n    os._exit(7)\n"
    )
    path = tmp_path / "pairs.json"
    assert compare(checkout(name="right"), dies, more=["--quick", "--save", str(path)]) == 2
    printed = capsys.readouterr()
    assert f"{dies}: its process ended while preparing zoneout, 2^10 float32" in printed.err
    assert "(exit status 7): Bus error" in printed.err
    assert "B is slower in" in printed.out
    document = json.loads(path.read_text())
    assert (len(document["results"]), document["complete"]) == (2, False)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_ignores_ctrl_c(checkout):
    build = Build(checkout())
    try:
        os.kill(build.pid, signal.SIGINT)
        request = {"operation": "dropout", "shape": (64,), "dtype": "float32", "p": 0.5, "threads": 1, "turn": 0}
        assert "digest" in build.ask("trying", do="prepare", **request)
    finally:
        build.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_both_and_keeps_what_was_measured(checkout, tmp_path, start_group):
    """The signal reaches every process, as in a terminal."""
    endless = (plan.Row(("dropout",), ((1 << 10,), (1 << 12,)), (0.5,), (), seconds=1e5, one_thread=True),)
    code = (
        "import sys\nfrom fastdrop.bench import builds, plan\nfrom fastdrop.cli import main\n"
        f"plan.QUICK = tuple(plan.Row(*row) for row in {[tuple(row) for row in endless]!r})\n"
        "builds.MOST_ROUNDS = 10**9\n"
        "plan.QUICK = (plan.QUICK[0]._replace(shapes=((8,),), seconds=0), plan.QUICK[0])\n"
        "sys.exit(main.main(sys.argv[1:]))\n"
    )
    path = tmp_path / "pairs.json"
    words = ["bench", "compare", "--builds", str(checkout()), str(checkout(name="b")), "--quick", "--save", str(path)]
    run = start_group([sys.executable, "-c", code, *words], stdout=subprocess.PIPE)
    assert any(line.startswith("1/3 ") for line in run.stdout)
    os.killpg(run.pid, signal.SIGINT)
    printed = run.communicate(timeout=60)[0]
    assert run.returncode == 130
    assert "stopped; this is what was measured:" in printed
    assert len(json.loads(path.read_text())["results"]) == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)  # no process is left


# --- verdicts


def pairing(ratios, same=True, noise=None, error=""):
    return Pairing(CASE, (1.0, 1.0), ratios, same, noise, error)


CALM = Noise(0.0, 0.0, 0.02)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.1] * 8, "faster"),
        ([0.9] * 8, "slower"),
        ([1.1] * 7, "no difference beyond noise"),  # too few pairs for a verdict
        ([1.005] * 100, "no difference beyond noise"),
        ([1.1] * 40 + [0.9] * 10, "faster"),
        ([1.1] * 30 + [0.9] * 20, "no difference beyond noise"),
        ([0.5, 2.0] * 50, "no difference beyond noise"),
    ],
)
def test_verdicts(ratios, verdict):
    assert pairing(ratios).verdict == pairing(ratios, noise=CALM).verdict == verdict
    assert pairing(ratios, same=False).verdict == f"{verdict}; the results differ"
    opposite = {"faster": "slower", "slower": "faster"}.get(verdict, verdict)
    assert pairing([1 / ratio for ratio in ratios]).verdict == opposite


@pytest.mark.parametrize("noise", [CALM._replace(others=0.4), CALM._replace(stolen=0.4), CALM._replace(spread=0.9)])
def test_a_disturbed_case_needs_all_pairs(noise):
    mostly = [1.1] * 40 + [0.9] * 2
    assert pairing(mostly).verdict == "faster"
    assert pairing(mostly, noise=noise).verdict == "no difference beyond noise"
    assert pairing([1.1, 1.9] * 10, noise=noise).verdict == "faster"


def test_the_interval_has_the_confidence_that_it_claims():
    """The coverage of the interval of the median, computed from the binomial distribution."""
    for count in range(8, 200):
        low, high = pairing([float(number) for number in range(count)]).interval
        assert low == count - 1 - high
        outside = int(low)
        tail = sum(math.comb(count, number) for number in range(outside + 1)) / 2**count
        more = sum(math.comb(count, number) for number in range(outside + 2)) / 2**count
        assert 2 * tail <= 1 - builds.CONFIDENCE < 2 * more


def test_turns_are_a_b_b_a(monkeypatch):
    asked = []

    class Fake:
        path = Path("fake")

        def __init__(self, name):
            self.name = name

        def ask(self, what, do, **request):
            asked.append((do, self.name))
            return {"digest": 1, "seconds": 1e-3}

    found = builds._measure((Fake("A"), Fake("B")), CASE._replace(seconds=0))
    assert asked[:6] == [("prepare", "A"), ("prepare", "B"), *(("time", name) for name in "ABBA")]
    assert len(found.ratios) == 2 * builds.FEWEST_ROUNDS


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a.json", "b.json", "--builds", "a", "b"], "a.json: --builds measures; it takes no saved runs"),
        ([], "name two saved runs (A.json B.json), or two builds (--builds A B)"),
        (["a.json"], "name two saved runs"),
        (["a.json", "b.json", "--quick"], "--quick, --only and --save are for --builds"),
        (["a.json", "b.json", "--save", "c.json"], "--quick, --only and --save are for --builds"),
        (["--builds", "a", "b", "--only", "nothing"], "--only names one of: "),
        (["--builds", "a", "b", "--quick", "--only", "mc-dropout,-mlp"], "MC dropout, MLP: not part of this run"),
        (["--builds", "a", "b", "--save", "c.txt"], ".json"),
    ],
)
def test_wrong_options_are_reported_at_once(words, error, capsys):
    assert cli.main(["bench", "compare", *words]) == 2
    assert error in capsys.readouterr().err


def test_options_before_the_word_compare_count():
    parse = cli.parse
    before = parse(["bench", "--only", "dropout", "--quick", "compare", "--builds", "a", "b"])
    after = parse(["bench", "compare", "--builds", "a", "b", "--quick", "--only", "dropout"])
    assert (
        (before.quick, before.only, before.save) == (after.quick, after.only, after.save) == (True, ["dropout"], None)
    )
