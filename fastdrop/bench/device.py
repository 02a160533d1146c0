"""The benchmark on a GPU: what is called there, how it is timed, and the baselines.

Times are the device's own, between two events. Small arrays are used in turns, as many as exceed the L2 cache. A launch
that the CPU issues too late counts: it is what a call costs.
"""

import functools
import importlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastdrop as fd
from fastdrop.bench import checks
from fastdrop.bench.baselines import draw_shape
from fastdrop.bench.candidates import product
from fastdrop.bench.internals import cupy, require, to_host
from fastdrop.bench.measure import SUBJECT, Candidate, Maker
from fastdrop.bench.operations import OPERATIONS, Buffers, Get, dtype_of
from fastdrop.bench.plan import ALONE, DEVICE_OR_HOST, FROM_CPU, PLAIN_CUPY, PRODUCT, STORED_MASKS, Case

SHORTEST = 2e-3
"""Seconds that one timing takes at least."""
MOST_TURNS = 512


def timer(candidate: Candidate, loops: int) -> tuple[Any, float]:
    """The last result, and seconds per call by the device's clock."""
    begin, end = cupy().cuda.Event(), cupy().cuda.Event()
    run, result = candidate.run, None
    begin.record()
    for _ in range(loops):
        result = run()
    end.record()
    end.synchronize()
    return result, float(cupy().cuda.get_elapsed_time(begin, end)) * 1e-3 / loops


def l2_bytes() -> int:
    """The size of the current device's L2 cache."""
    return int(cupy().cuda.Device().attributes["L2CacheSize"])


def turns(size: int) -> int:
    """How many arrays of `size` bytes exceed the L2 cache twice; one where a single one does."""
    return max(1, min(MOST_TURNS, -(-2 * l2_bytes() // max(1, size))))


def getters(case: Case, buffers: Buffers) -> list[Get]:
    """The case's arrays by role, for each turn. Parameters of a layer are the same in all turns."""
    size = case.elements * dtype_of(case.dtype).itemsize
    spaced = -(-size // 512) * 512  # each begins at a multiple of 512 bytes, as CuPy's own arrays do
    count = 1 if case.operation.startswith("DropConnect") else turns(2 * size)

    def getter(turn: int) -> Get:
        def get(role: str) -> Any:
            offset = turn * spaced if role in ("x", "out", "other") else 0
            return buffers.get(role, case.shape, case.dtype, offset, (count - 1) * spaced)

        return functools.cache(get)

    return [getter(turn) for turn in range(count)]


def makers(case: Case, buffers: Buffers) -> dict[str, Maker]:
    """The candidates by name, fastdrop first."""
    if case.operation == DEVICE_OR_HOST:
        return _device_or_host(case, buffers)
    gets = getters(case, buffers)
    size = case.elements * dtype_of(case.dtype).itemsize
    moved = OPERATIONS[case.operation].arrays * size
    known: dict[str, Maker] = {
        "copy": lambda: _in_turns([functools.partial(_copy, get("x"), get("out")) for get in gets], None, 2 * size),
        PLAIN_CUPY: lambda: _plain_cupy(case, gets, moved),
        "torch": lambda: _torch(case, gets, moved),
        ALONE: lambda: _subject("dropout", case.p, gets, 2 * size),
        PRODUCT: lambda: product(case, gets[0])._replace(spins=False),
        STORED_MASKS: lambda: _stored_masks(case, gets[0]),
    }
    found: dict[str, Maker] = {SUBJECT: lambda: _subject(case.operation, case.p, gets, moved)}
    return found | {name: known[name] for name in case.baselines}


def _in_turns(runs: Sequence[Callable[[], Any]], check: checks.Check | None, moved: int) -> Candidate:
    """A candidate whose calls go round; the first call's result, which is the first run's, is checked."""
    turn = itertools.cycle(runs)
    return Candidate(lambda: next(turn)(), check or (lambda _: None), moved)


def _subject(operation: str, p: float, gets: Sequence[Get], moved: int) -> Candidate:
    calls = [OPERATIONS[operation].make(fd, get, p) for get in gets]
    check = functools.partial(_check, operation, calls[0].mask, gets[0])
    return _in_turns([call.run for call in calls], check, moved)


def _check(operation: str, mask: Any, get: Get, result: Any) -> None:
    checks.fastdrop_result(operation, result, mask, get)


def _copy(x: Any, out: Any) -> None:
    """From device memory to device memory, by the runtime."""
    runtime, stream = cupy().cuda.runtime, cupy().cuda.get_current_stream().ptr
    runtime.memcpyAsync(out.data.ptr, x.data.ptr, x.nbytes, runtime.memcpyDeviceToDevice, stream)


def _plain_cupy(case: Case, gets: Sequence[Get], moved: int) -> Candidate:
    """Dropout as CuPy's users write it: float32 draws, a comparison, two multiplications."""
    random, shape, scale = cupy().random.random, draw_shape(case), 1 / (1 - case.p)
    tolerance = max(1e-4, checks.TOLERANCE[case.dtype])

    def run(x: Any) -> Any:
        return x * (random(shape, dtype=np.float32) >= case.p) * x.dtype.type(scale)

    def check(y: Any) -> None:
        before, after = (to_host(a.reshape(-1)[: checks.HEAD]).astype(np.float64) for a in (gets[0]("x"), y))
        checks.looks_dropped(after, before, case.p, tolerance=tolerance, shared=case.operation.startswith("spatial"))

    return _in_turns([functools.partial(run, get("x")) for get in gets], check, moved)


def _torch(case: Case, gets: Sequence[Get], moved: int) -> Candidate:
    """torch's kernels on tensors that share the arrays' memory. The mask is stored, as for training."""
    library: Any = importlib.import_module("torch")
    if not library.cuda.is_available():
        raise RuntimeError("this torch has no CUDA")
    p, arrays = case.p, [get("x") for get in gets]
    if case.dtype == "bfloat16":  # as integers of its size, which every version exchanges
        tensors = [library.from_dlpack(x.view(np.int16)).view(library.bfloat16) for x in arrays]
    else:
        tensors = [library.from_dlpack(x) for x in arrays]
    pointer = cupy().cuda.get_current_stream().ptr
    cuda_stream = library.cuda.ExternalStream(pointer) if pointer else library.cuda.default_stream()
    function: Callable[[Any], Any]
    match case.operation:
        case "dropout backward":
            stored = library.native_dropout(tensors[0], p, True)[1]
            function = lambda x: library.ops.aten.native_dropout_backward(x, stored, 1 / (1 - p))  # noqa: E731
        case "spatial dropout, channels first":
            function = lambda x: library.nn.functional.dropout2d(x, p, True)  # noqa: E731
        case "spatial dropout, channels last":
            function = lambda x: library.nn.functional.dropout2d(x.permute(0, 3, 1, 2), p, True)  # noqa: E731
        case _:
            function = lambda x: library.native_dropout(x, p, True)[0]  # noqa: E731

    def run(tensor: Any) -> Any:
        with library.cuda.stream(cuda_stream):
            return function(tensor)

    return _in_turns([functools.partial(run, tensor) for tensor in tensors], None, moved)


def _stored_masks(case: Case, get: Get) -> Candidate:
    """DropConnect with one stored mask per example, in slices of the batch that fit into memory."""
    package, x, weight, bias = cupy(), get("inputs"), get("weight"), get("weight bias")
    batch, outputs, inputs = case.shape
    step = max(1, min(batch, (1 << 32) // (outputs * inputs * 8)))
    scale = weight.dtype.type(1 / (1 - case.p))

    def run() -> Any:
        y = package.empty((batch, outputs), x.dtype)
        for begin in range(0, batch, step):
            part = x[begin : begin + step]
            kept = package.random.random((len(part), outputs, inputs), dtype=np.float32) >= case.p
            y[begin : begin + step] = package.matmul(weight * kept * scale, part[:, :, None])[:, :, 0]
        return y + bias

    return Candidate(run, lambda _: None)


def _device_or_host(case: Case, buffers: Buffers) -> dict[str, Maker]:
    """The same call where the data is: on the GPU, on the GPU with both transfers, on the CPU."""
    x = buffers.get("x", case.shape, case.dtype)
    host = to_host(x).copy()
    out, stream, p = np.empty_like(host), fd.Stream(0), case.p
    synchronize = cupy().cuda.get_current_stream().synchronize

    def on_device() -> Any:
        result = fd.dropout(x, p, rng=stream)
        synchronize()
        return result

    def both_ways() -> Any:
        y, mask = fd.dropout(cupy().asarray(host), p, rng=stream)
        return to_host(y), mask

    def on_cpu() -> Any:
        return fd.dropout(host, p, rng=stream, out=out)

    check = functools.partial(_check, "dropout", None, lambda role: host)
    calls = dict(zip((SUBJECT, *FROM_CPU), (on_device, both_ways, on_cpu), strict=True))
    return {name: functools.partial(Candidate, call, check, 2 * host.nbytes) for name, call in calls.items()}


def description() -> dict[str, Any]:
    """The GPU and its software."""
    package = require()
    device = package.cuda.Device()
    properties = package.cuda.runtime.getDeviceProperties(device.id)
    name = properties["name"]
    return {
        "device": name.decode() if isinstance(name, bytes) else str(name),
        "compute capability": device.compute_capability,
        "device memory gigabytes": round(properties["totalGlobalMem"] / 1e9, 1),
        "multiprocessors": int(properties["multiProcessorCount"]),
        "L2 bytes": l2_bytes(),
        "cuda runtime": package.cuda.runtime.runtimeGetVersion(),
        "cuda driver": package.cuda.runtime.driverGetVersion(),
        "cupy": package.__version__,
    }


def break_even(found: Sequence[tuple[int, dict[str, float]]]) -> dict[str, int | None]:
    """From how many elements on the GPU is faster, without and with transfers; None where it never is.

    `found` has, for each number of elements, the seconds of the candidates of the operation "CPU or GPU".
    """
    answer: dict[str, int | None] = {}
    for name, label in ((SUBJECT, "data on the GPU"), (FROM_CPU[0], "data moved both ways")):
        begin = None
        for elements, seconds in sorted(found, key=lambda pair: -pair[0]):
            if seconds.get(name, math.inf) > seconds.get(FROM_CPU[1], -math.inf):
                break
            begin = elements
        answer[label] = begin
    return answer
