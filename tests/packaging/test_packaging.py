"""The sdist has all sources of the wheel; the wheel works outside the repository."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist of a clean copy of the tracked sources, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source")
    copy_checkout(source)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    result = subprocess.run(build, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.mark.timeout(900)  # every instruction set is compiled, which takes more than two minutes on a busy machine
@pytest.mark.packaging
def test_sdist_and_wheel(built, tmp_path):
    sdist, wheel = built
    assert sdist.name.startswith("fastdrop_kernels-")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kernels = {"shared/philox.h", "cpu/cpu.pyx", "cpu/draws.pxi", "cpu/isa_avx512.cpp", "cpu/simd/avx512.h"}
    assert {f"src_kernels/{name}" for name in kernels} <= names
    assert {"LICENSE", "setup.py"} <= names
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path)
    assert {
        "fastdrop/py.typed",
        "fastdrop/_kernels/cpu.pyi",
        "fastdrop/_kernels/sources/shared/philox.h",
        "fastdrop/_kernels/sources/cuda/flat.cu",
        "fastdrop_gui/app.py",
    } <= names
    assert not any(name.startswith(("tests", "gui/", "src_kernels/")) for name in names)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import fastdrop as fd, fastdrop.reference, fastdrop.cli.main, numpy as np\n"
        "import fastdrop_gui.model.experiment_model\n"
        f"assert fd.__file__.startswith({str(tmp_path)!r}) and fd._kernels.cpu.__file__.startswith({str(tmp_path)!r})\n"
        "y, mask = fd.dropout(np.ones(1000, np.float32), 0.5, rng=1)\n"
        "assert np.array_equal(np.asarray(mask), fd.reference.keep(mask.draw.key, 0, mask.threshold, (1000,)))\n"
        "print(int((y > 0).sum()))"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", site_packages() + code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert 400 < int(result.stdout) < 600


def site_packages():
    """Dependencies without the editable install's finder: -S ignores .pth files, and this adds the folder itself."""
    import numpy

    return f"import sys; sys.path.append({str(Path(numpy.__file__).parent.parent)!r})\n"


@pytest.mark.timeout(900)
@pytest.mark.packaging
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="NumPy 1 has no wheels for this Python")
def test_the_wheel_works_with_numpy_1(built, tmp_path):
    """The wheel is compiled with NumPy 2, and some environments still have 1.26."""
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    packages = ["numpy==1.26.*", "ml_dtypes", "pytest", "pytest-timeout", str(built[1])]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    settings = tmp_path / "pytest.ini"
    paths = " ".join(str(ROOT / folder) for folder in ("tests", "tests/helpers", "tests/emulation"))
    settings.write_text(
        f"[pytest]\naddopts = --import-mode=importlib\nfilterwarnings = error\ntimeout = 120\npythonpath = {paths}\n"
        "markers =\n    gui: x\n    packaging: x\n    native: x\n    ptx: x\n    gpu: x\n    slow: x\n"
    )
    names = ["dropout", "errors", "rule", "fused", "dropconnect", "numpy_users", "mask_products", "shared_memory"]
    names += ["failed_calls", "extreme_sizes", "reentrant_calls", "evaluation", "hostile_arguments", "hostile_masks"]
    names += ["family", "family_regions", "family_published"]
    names += ["pool_reuse", "pool_limits", "pool_arrays", "pool_processes"]
    files = [str(ROOT / "tests" / "core" / f"test_{name}.py") for name in names]
    files.append(str(ROOT / "tests" / "nn" / "test_nn.py"))
    command = [python, "-m", "pytest", "-q", "-c", settings, "--rootdir", tmp_path, "-p", "no:cacheprovider", *files]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
    seen = subprocess.run([python, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True)
    assert seen.stdout.startswith("1.26")
