"""How kernels get from NVRTC to the driver: whole, from a cache that trusts no file, for any GPU.

NVRTC is a stand-in here; tests/cuda/test_cuda_native.py has the real one.
"""

import concurrent.futures
import os
import threading
import time
import types

import pytest
from fake_nvrtc import Module, Nvrtc, NVRTCError, elf

import fastdrop as fd
from fastdrop.backends.cuda import compiler, device, source

NAME = source.gaussian("float32")
OTHER = source.gaussian("float64")


@pytest.fixture
def nvrtc(monkeypatch, tmp_path):
    found = Nvrtc()
    place = types.SimpleNamespace(compute_capability="90")
    cuda = types.SimpleNamespace(nvrtc=found, Module=Module, Device=lambda number: place)
    monkeypatch.setattr(compiler, "cupy", lambda: types.SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(compiler, "_kernels", {})
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    found.device = place
    return found


def files(pattern="*"):
    return sorted(compiler._folder().glob(pattern))


def test_the_last_byte_that_the_binding_cuts_off_is_put_back(nvrtc):
    whole = elf(code=NAME.encode())
    assert compiler.compiled(NAME, "90") == (whole, f"_Z{len(NAME)}")
    (path,) = files()
    assert path.read_bytes() == whole
    nvrtc.cuts = False  # a CuPy that returns all of it
    assert compiler.compiled(OTHER, "90")[0] == elf(code=OTHER.encode())


@pytest.mark.parametrize(
    "image", [b"", b"\x7fELF", elf()[:-2], elf()[:100], b"text " * 40, elf().replace(b"ELF\2", b"ELF\1")]
)
def test_what_is_no_whole_machine_code_is_refused(image):
    with pytest.raises(RuntimeError, match="machine code"):
        compiler.whole_cubin(image)


def test_a_kernel_is_compiled_once_and_then_comes_from_the_disk(nvrtc):
    first = compiler.compiled(NAME, "90")
    assert compiler.compiled(NAME, "90") == first
    assert nvrtc.compiled == [NAME]
    compiler.compiled(NAME, "80")
    assert nvrtc.compiled == [NAME] * 2


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "a bit": lambda content: content[:20] + bytes([content[20] ^ 1]) + content[21:],
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("capability", ["90", "100"])
def test_a_damaged_file_is_compiled_anew_and_replaced(nvrtc, damage, capability):
    wanted = compiler.compiled(NAME, capability)
    (path,) = files()
    path.write_bytes(DAMAGES[damage](wanted[0]))
    assert compiler.compiled(NAME, capability) == wanted
    assert nvrtc.compiled == [NAME] * 2
    assert [each.read_bytes() for each in files()] == [wanted[0]]
    compiler.compiled(NAME, capability)
    assert nvrtc.compiled == [NAME] * 2


def test_a_file_of_another_name_is_not_what_it_says(nvrtc):
    image, function = compiler.compiled(NAME, "90")
    (path,) = files()
    path.rename(path.with_name(path.name.replace(function, "_Zother")))
    path.with_name(path.name.replace(function, "short").replace(".cubin", "")).write_bytes(image)
    compiler.compiled(OTHER, "90")
    name = next(each for each in files() if "_Zother" in each.name)
    assert compiler.compiled(NAME, "90")[1] in ("_Zother", function)  # the content is right
    assert name.exists()


def test_what_cannot_be_read_is_compiled_without_the_cache(nvrtc, monkeypatch):
    wanted = compiler.compiled(NAME, "90")
    (path,) = files()
    path.unlink()
    path.mkdir()  # cannot be read, nor replaced: for root, too
    assert compiler.compiled(NAME, "90") == wanted
    assert nvrtc.compiled == [NAME] * 2
    assert files("tmp*") == []


def test_another_users_file_is_not_run(nvrtc, monkeypatch):
    wanted = compiler.compiled(NAME, "90")
    fstat = os.fstat

    def foreign(number):
        found = list(fstat(number))
        found[4] = os.getuid() + 1
        return os.stat_result(found)

    monkeypatch.setattr(compiler.os, "fstat", foreign)
    assert compiler.compiled(NAME, "90") == wanted
    assert nvrtc.compiled == [NAME] * 2


@pytest.mark.parametrize("place", ["a file", "nothing", "below a file"])
def test_where_there_can_be_no_cache_kernels_are_compiled_all_the_same(nvrtc, monkeypatch, tmp_path, place):
    (tmp_path / "file").write_text("")
    folder = {"a file": tmp_path / "file", "nothing": "/proc/no/such/folder", "below a file": tmp_path / "file/below"}
    monkeypatch.setenv("CUPY_CACHE_DIR", str(folder[place]))
    assert compiler.compiled(NAME, "90")[0] == elf(code=NAME.encode())
    assert compiler.kernel(NAME, 0) == (f"_Z{len(NAME)}", elf(code=NAME.encode()))


def test_a_full_disk_leaves_nothing_behind(nvrtc, monkeypatch):
    def full(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiler.os, "replace", full)
    assert compiler.compiled(NAME, "90")[0] == elf(code=NAME.encode())
    assert files() == []


def test_an_interrupt_leaves_nothing_behind(nvrtc, monkeypatch):
    def interrupted(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr(compiler.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compiler.compiled(NAME, "90")
    assert files() == []


def test_temporary_files_of_killed_processes_go(nvrtc):
    folder = compiler._folder()
    folder.mkdir(parents=True)
    old, new = folder / "tmpold", folder / "tmpnew"
    old.write_text("half a kernel")
    new.write_text("half a kernel that is being written")
    (folder / "tmpfolder").mkdir()
    for path in (old, folder / "tmpfolder"):
        os.utime(path, (time.time() - 2 * compiler.LEFT_BEHIND,) * 2)
    compiler.compiled(NAME, "90")
    assert (old.exists(), new.exists()) == (False, True)
    assert len(files("*.cubin")) == 1


def test_a_cache_that_is_removed_meanwhile_comes_back(nvrtc):
    compiler.compiled(NAME, "90")
    for path in files():
        path.unlink()
    compiler._folder().rmdir()
    compiler.compiled(OTHER, "90")
    assert len(files()) == 1


@pytest.mark.parametrize(
    ("capability", "known", "target"),
    [
        ("90", (75, 80, 90), ("sm_90", "cubin")),
        ("75", (75, 80, 90), ("sm_75", "cubin")),
        ("100", (50, 75, 80, 90), ("compute_90", "ptx")),
        ("121", (75, 90, 100, 120), ("compute_120", "ptx")),
        ("103", (75, 90, 100, 120), ("compute_100", "ptx")),
        ("89", (90, 80, 75), ("compute_80", "ptx")),
    ],
)
def test_a_gpu_that_nvrtc_does_not_know_gets_ptx(nvrtc, capability, known, target):
    nvrtc.architectures = known
    assert compiler.target_for(capability) == target
    image, function = compiler.compiled(NAME, capability)
    assert nvrtc.options == [f"--gpu-architecture={target[0]}"]
    assert image.startswith(b"// ptx of") == (target[1] == "ptx")
    assert compiler.compiled(NAME, capability) == (image, function)
    assert len(nvrtc.compiled) == len(files(f"*.{target[1]}")) == 1
    nvrtc.device.compute_capability = capability
    assert compiler.kernel(NAME, 0) == (function, image)


def test_a_gpu_that_is_too_old_is_named(nvrtc):
    with pytest.raises(fd.BackendUnavailable, match=r"NVRTC 12\.4 .*7\.0.*oldest that it knows is 7\.5.*cuda12"):
        compiler.compiled(NAME, "70")


def test_a_missing_nvrtc_is_told(nvrtc, monkeypatch):
    def fail():
        raise RuntimeError('Failure finding "libnvrtc.so"')

    monkeypatch.setattr(nvrtc, "getSupportedArchs", fail)
    with pytest.raises(fd.BackendUnavailable, match=r"libnvrtc\.so.*pip install 'fastdrop-kernels\[cuda13\]'"):
        compiler.kernel(NAME, 0)


def test_threads_that_want_one_kernel_compile_it_once(nvrtc, monkeypatch):
    begun, compile_program = threading.Barrier(8), nvrtc.compileProgram

    def slowly(program, options):
        time.sleep(0.05)
        compile_program(program, options)

    def ask(number):
        begun.wait(timeout=20)
        return compiler.kernel((NAME, OTHER)[number % 2], 0)

    monkeypatch.setattr(nvrtc, "compileProgram", slowly)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert sorted(nvrtc.compiled) == sorted([NAME, OTHER])
    assert len(set(map(id, found))) == 2


def test_a_thread_that_comes_back_while_it_compiles_does_not_wait_for_itself(nvrtc, monkeypatch):
    compile_program = nvrtc.compileProgram

    def again(program, options):  # as a finalizer that runs in between does
        monkeypatch.setattr(nvrtc, "compileProgram", compile_program)
        compiler.kernel(NAME, 0)
        compile_program(program, options)

    monkeypatch.setattr(nvrtc, "compileProgram", again)
    assert compiler.kernel(NAME, 0)[0] == f"_Z{len(NAME)}"


def test_a_failure_is_not_remembered(nvrtc, monkeypatch):
    def fail(program, options):
        raise NVRTCError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(nvrtc, "compileProgram", fail)
        patch.setattr(nvrtc, "getProgramLog", lambda program: "the log", raising=False)
        with pytest.raises(RuntimeError, match=r"(?s)fd_gaussian_kernel.*sm_90 failed: out of memory.*the log"):
            compiler.kernel(NAME, 0)
    assert compiler.kernel(NAME, 0)[0] == f"_Z{len(NAME)}"


def driver():
    package = types.ModuleType("cupy")
    package.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=lambda: 1))
    return package


def test_a_fork_of_a_process_that_used_the_gpu_says_so(monkeypatch):
    monkeypatch.setattr(device, "_found_by", 0)
    package = driver()
    monkeypatch.setattr(device, "cupy", lambda: package)
    assert device.require() is package
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # no test ends in here
        try:
            device.require()
            message = "nothing was raised"
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        os.write(writing, message.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        message = answer.read()
    os.waitpid(child, 0)
    assert message.startswith(f"BackendUnavailable: this process was forked from process {os.getpid()}")
    assert 'get_context("spawn")' in message
    assert device.require() is package


def test_a_fork_before_the_gpu_is_used_may_use_it(monkeypatch):
    package, process = driver(), [os.getpid()]
    monkeypatch.setattr(device, "cupy", lambda: package)
    monkeypatch.setattr(device, "_found_by", 0)
    monkeypatch.setattr(device.os, "getpid", lambda: process[0] + 1)
    assert device.require() is package


@pytest.mark.parametrize(("version", "works"), [("2.0.2", False), ("2.1.1", False), ("2.1.2", True), ("2.10.0", True)])
def test_bfloat16_on_cuda_names_the_numpy_that_it_needs(monkeypatch, version, works):
    monkeypatch.setattr(device.np, "__version__", version)
    if works:
        device.check_bfloat16()
        return
    with pytest.raises(fd.BackendUnavailable, match=rf"NumPy 2\.1\.2 or newer, and this is {version}.*numpy>=2\.1\.2"):
        device.check_bfloat16()
