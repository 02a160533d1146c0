"""The benchmark on a GPU: what is called there, how it is timed, and against whom.

Times are the device's own, between two events on its stream. Small arrays are taken in turns, so many that they exceed
the L2 cache, and a launch that the host is late with counts: it is what a call costs.
"""

import functools
import importlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastdrop as fd
from fastdrop.backends.cuda import device
from fastdrop.bench import checks
from fastdrop.bench.measure import SUBJECT, Candidate
from fastdrop.bench.operations import Buffers, dtype_of, there
from fastdrop.bench.peers import decision_shape
from fastdrop.bench.plan import (
    CONNECT,
    CONNECT_BACKWARD,
    DEVICE_OR_HOST,
    FUSED,
    FUSED_BACKWARD,
    OVERHEAD,
    Case,
    arrays_moved,
)

Array = Any
Makers = dict[str, Callable[[], Candidate]]

RECIPE = "cupy recipe"
MATERIALISED = "materialised mask"
MOST_TURNS = 512


class Timer:
    """Seconds of a candidate's calls by the device's clock."""

    shortest = 2e-3

    def time(self, candidate: Candidate, loops: int) -> tuple[Any, float]:
        """The last result, and seconds per call."""
        event = device.cupy().cuda.Event
        begin, end = event(), event()
        run, result = candidate.run, None
        begin.record()
        for _ in range(loops):
            result = run()
        end.record()
        end.synchronize()
        return result, float(device.cupy().cuda.get_elapsed_time(begin, end)) * 1e-3 / loops


class DeviceBuffers:
    """Arrays by role on the device, each with copies of itself that are taken in turns."""

    def __init__(self) -> None:
        self._hosts = Buffers()
        self._arrays: dict[str, Array] = {}
        self._cache = l2_bytes()

    def turns(self, size: int) -> int:
        """How many arrays of so many bytes exceed the L2 cache twice; one where a single one does."""
        return max(1, min(MOST_TURNS, -(-2 * self._cache // max(1, size))))

    def get(self, role: str, shape: tuple[int, ...], dtype: str, turn: int = 0, turns: int = 1) -> Array:
        """Array number `turn` of so many, with random numbers."""
        count, kind = math.prod(shape), dtype_of(dtype)
        spaced = -(-count * kind.itemsize // 512) * 512 // kind.itemsize  # each begins as CuPy's own arrays do
        known = self._arrays.get(role)
        if known is None or known.dtype != kind or known.size < spaced * turns:
            self._arrays.pop(role, None)
            known = device.cupy().empty(spaced * turns, kind)
            block = device.cupy().asarray(self._hosts.get("block", (min(1 << 22, known.size),), dtype))
            for start in range(0, known.size, block.size):
                known[start : start + block.size] = block[: known.size - start]
            self._arrays[role] = known
        return known[turn * spaced : turn * spaced + count].reshape(shape)


def l2_bytes() -> int:
    """The size of the current device's L2 cache."""
    return int(device.cupy().cuda.Device().attributes["L2CacheSize"])


def makers(case: Case, buffers: DeviceBuffers) -> Makers:
    """Everyone who takes part in this case, fastdrop first."""
    if case.operation == DEVICE_OR_HOST:
        return _device_or_host(case, buffers)
    if case.operation in (*CONNECT, *CONNECT_BACKWARD):
        return _connect(case, buffers)
    copied = 2 * case.elements * dtype_of(case.dtype).itemsize
    moved = copied // 2 * arrays_moved(case.operation)
    turns = buffers.turns(copied)
    roles = ["x", "out", *(["other"] if case.operation in (*FUSED, *FUSED_BACKWARD) else [])]
    sets = [{role: buffers.get(role, case.shape, case.dtype, turn, turns) for role in roles} for turn in range(turns)]
    bias = buffers.get("bias", case.shape[-1:], case.dtype)
    found: Makers = {SUBJECT: lambda: _subject(case, sets, bias, moved)}
    peers: dict[str, Callable[[], Candidate]] = {
        "copy": lambda: _in_turns([functools.partial(_copy, each["x"], each["out"]) for each in sets], None, copied),
        RECIPE: lambda: _recipe(case, sets, moved),
        "torch": lambda: _torch(case, sets, moved),
        "dropout alone": lambda: _subject(case._replace(operation="dropout"), sets, bias, copied),
    }
    return {**found, **{name: peers[name] for name in case.peers if name in peers}}


def _in_turns(runs: Sequence[Callable[[], Any]], check: Callable[[Any], None] | None, moved: int) -> Candidate:
    """A candidate whose calls go round; the first call's result, which is the first run's, is checked."""
    turn = itertools.cycle(runs)
    return Candidate(lambda: next(turn)(), check or (lambda _: None), moved)


def _copy(x: Array, out: Array) -> None:
    """What the device's copy engine or copy kernel makes of it."""
    runtime = device.cupy().cuda.runtime
    stream = device.cupy().cuda.get_current_stream().ptr
    runtime.memcpyAsync(out.data.ptr, x.data.ptr, x.nbytes, runtime.memcpyDeviceToDevice, stream)


def _subject(case: Case, sets: Sequence[dict[str, Array]], bias: Array, moved: int) -> Candidate:
    """fastdrop's own functions, as users call them."""
    name, p, stream = case.operation, case.p, fd.Stream(0)
    first = sets[0]
    x = first["x"]

    def calls(function: Callable[[dict[str, Array]], Any]) -> list[Callable[[], Any]]:
        return [functools.partial(function, each) for each in sets]

    if name == "dropout backward":
        mask = there(fd.dropout(x, p, rng=stream, out=first["out"])[1])
        runs = calls(lambda each: fd.dropout_backward(each["x"], mask, out=each["out"]))
        return _in_turns(runs, lambda dx: checks.dropout(dx, x, mask), moved)
    if name.startswith("spatial"):
        axis = -1 if name.endswith("last") else 1
        runs = calls(lambda each: fd.spatial_dropout(each["x"], p, channel_axis=axis, rng=stream, out=each["out"]))
        return _in_turns(runs, lambda result: checks.spatial(result[0], x, result[1]), moved)
    if name in FUSED or name in FUSED_BACKWARD:
        return _fused(case, calls, first, bias, moved)
    if name == OVERHEAD:  # what users write: the result is a new array
        runs = calls(lambda each: fd.dropout(each["x"], p, rng=stream))
    else:
        runs = calls(lambda each: fd.dropout(each["x"], p, rng=stream, out=each["out"]))
    return _in_turns(runs, lambda result: checks.dropout(result[0], x, there(result[1])), moved)


def _fused(case: Case, calls: Callable[..., Any], first: dict[str, Array], bias: Array, moved: int) -> Candidate:
    name, p, stream = case.operation, case.p, fd.Stream(0)
    activation: Any = "relu" if "ReLU" in name else "gelu"

    def forward(each: dict[str, Array]) -> Any:
        if name.startswith("bias"):
            return fd.bias_activation_dropout(each["x"], bias, p, activation=activation, rng=stream, out=each["out"])
        if name == "dropout + add":
            return fd.dropout_add(each["x"], each["other"], p, rng=stream, out=each["out"])
        return fd.softmax_dropout(each["x"], p, rng=stream, out=each["out"])

    if name in FUSED:
        return _in_turns(
            calls(forward),
            lambda result: checks.fused(name, result[0], first["x"], bias, first["other"], result[1]),
            moved,
        )
    mask = there(forward(first)[1])

    def backward(each: dict[str, Array]) -> Any:
        if name.startswith("bias"):
            return fd.bias_activation_dropout_backward(each["other"], each["x"], bias, mask, activation=activation)
        return fd.softmax_dropout_backward(each["other"], each["x"], mask, out=each["out"])

    return _in_turns(
        calls(backward),
        lambda result: checks.fused_backward(name, result, first["other"], first["x"], bias, mask),
        moved,
    )


def _recipe(case: Case, sets: Sequence[dict[str, Array]], moved: int) -> Candidate:
    """Dropout as CuPy's users write it: float32 draws, a comparison, two multiplications."""
    package, p, scale = device.cupy(), case.p, 1 / (1 - case.p)
    shape = decision_shape(case)

    def run(each: dict[str, Array]) -> Array:
        kept = package.random.random(shape, dtype=np.float32) >= p
        return each["x"] * kept * each["x"].dtype.type(scale)

    runs = [functools.partial(run, each) for each in sets]
    return _in_turns(runs, _looks_dropped(case, sets[0]["x"]), moved)


def _torch(case: Case, sets: Sequence[dict[str, Array]], moved: int) -> Candidate:
    """`torch.nn.functional` on tensors that share the arrays' memory; training as it is, so the mask is stored."""
    library: Any = importlib.import_module("torch")
    if not library.cuda.is_available():
        raise RuntimeError("this torch has no CUDA")
    p = case.p
    if case.dtype == "bfloat16":  # as integers of its size, which every version exchanges
        tensors = [library.from_dlpack(each["x"].view(np.int16)).view(library.bfloat16) for each in sets]
    else:
        tensors = [library.from_dlpack(each["x"]) for each in sets]
    pointer = device.cupy().cuda.get_current_stream().ptr
    stream = library.cuda.ExternalStream(pointer) if pointer else library.cuda.default_stream()

    def on_our_stream(function: Callable[[Any], Any], tensor: Any) -> Any:
        with library.cuda.stream(stream):
            return function(tensor)

    function: Callable[[Any], Any]
    if case.operation == "dropout backward":
        _, stored = library.native_dropout(tensors[0], p, True)
        function = lambda x: library.ops.aten.native_dropout_backward(x, stored, 1 / (1 - p))  # noqa: E731
    elif case.operation.startswith("spatial"):
        channels_last = case.operation.endswith("last")
        function = lambda x: library.nn.functional.dropout2d(x.permute(0, 3, 1, 2) if channels_last else x, p, True)  # noqa: E731
    elif case.operation == "softmax + dropout":
        function = lambda x: library.native_dropout(library.softmax(x, -1), p, True)[0]  # noqa: E731
    else:
        function = lambda x: library.native_dropout(x, p, True)[0]  # noqa: E731
    runs = [functools.partial(on_our_stream, function, tensor) for tensor in tensors]
    return _in_turns(runs, None, moved)


def _looks_dropped(case: Case, x: Array) -> Callable[[Any], None]:
    shared = case.operation.startswith("spatial")

    def check(y: Any) -> None:
        before = checks.here(x.reshape(-1)[: checks.HEAD]).astype(np.float64)
        found = checks.here(y.reshape(-1)[: checks.HEAD]).astype(np.float64)
        tolerance = checks.RELATIVE[case.dtype]
        checks.looks_dropped(found, before, case.p, tolerance=max(1e-4, tolerance), shared=shared)

    return check


def _connect(case: Case, buffers: DeviceBuffers) -> Makers:
    batch, outputs, inputs = case.shape
    sizes = {"connect x": (batch, inputs), "connect weight": (outputs, inputs), "connect bias": (outputs,)}
    x, weight, bias = (buffers.get(role, shape, case.dtype) for role, shape in sizes.items())
    dy = buffers.get("connect dy", (batch, outputs), case.dtype)
    per_example, p, stream = "example" in case.operation, case.p, fd.Stream(0)
    forward = functools.partial(fd.dropconnect, x, weight, bias, p, per_example=per_example, rng=stream)

    def subject() -> Candidate:
        if case.operation in CONNECT:
            check = lambda result: checks.connect(result[0], x, weight, bias, result[1], per_example)  # noqa: E731
            return Candidate(forward, check, 0)
        mask = there(forward()[1])
        return Candidate(
            lambda: fd.dropconnect_backward(dy, x, weight, mask),
            lambda result: checks.connect_backward(result, dy, x, weight, mask, per_example),
            0,
        )

    def product() -> Candidate:
        if case.operation in CONNECT:
            return Candidate(lambda: x @ weight.T, lambda _: None, 0)
        return Candidate(lambda: (dy @ weight, dy.T @ x), lambda _: None, 0)

    peers = {"product": product, MATERIALISED: lambda: _materialised(case, x, weight, bias)}
    return {SUBJECT: subject, **{name: peers[name] for name in case.peers}}


def _materialised(case: Case, x: Array, weight: Array, bias: Array) -> Candidate:
    """One mask per example as a whole array, in pieces of the batch that fit: drawn, applied, multiplied."""
    package, p = device.cupy(), case.p
    batch, outputs, inputs = case.shape
    piece = max(1, min(batch, (1 << 32) // (outputs * inputs * 8)))
    scale = weight.dtype.type(1 / (1 - p))

    def run() -> Array:
        y = package.empty((batch, outputs), x.dtype)
        for begin in range(0, batch, piece):
            part = x[begin : begin + piece]
            kept = package.random.random((len(part), outputs, inputs), dtype=np.float32) >= p
            y[begin : begin + piece] = package.matmul(weight * kept * scale, part[:, :, None])[:, :, 0]
        return y + bias

    return Candidate(run, lambda _: None, 0)


def _device_or_host(case: Case, buffers: DeviceBuffers) -> Makers:
    """The same call where the data is: on the GPU, on the GPU with the way there and back, on the CPU."""
    x = buffers.get("x", case.shape, case.dtype)
    host = checks.here(x).copy()
    out, stream, p = np.empty_like(host), fd.Stream(0), case.p
    wait = device.cupy().cuda.get_current_stream().synchronize

    def on_device() -> Any:
        result = fd.dropout(x, p, rng=stream)
        wait()
        return result

    def both_ways() -> Any:
        y, mask = fd.dropout(device.cupy().asarray(host), p, rng=stream)
        return checks.here(y), mask

    def check(result: Any) -> None:
        checks.dropout(result[0], host, there(result[1]))

    moved = 2 * host.nbytes
    return {
        SUBJECT: lambda: Candidate(on_device, check, moved),
        "with transfer": lambda: Candidate(both_ways, check, moved),
        "on the CPU": lambda: Candidate(lambda: fd.dropout(host, p, rng=stream, out=out), check, moved),
    }


def description() -> dict[str, Any]:
    """The device and what drives it."""
    package = device.require()
    number = package.cuda.Device().id
    properties = package.cuda.runtime.getDeviceProperties(number)
    name = properties["name"]
    return {
        "device": name.decode() if isinstance(name, bytes) else str(name),
        "compute capability": package.cuda.Device().compute_capability,
        "device memory gigabytes": round(properties["totalGlobalMem"] / 1e9, 1),
        "multiprocessors": int(properties["multiProcessorCount"]),
        "L2 bytes": l2_bytes(),
        "cuda runtime": package.cuda.runtime.runtimeGetVersion(),
        "cuda driver": package.cuda.runtime.driverGetVersion(),
        "cupy": package.__version__,
    }


def break_even(found: Sequence[tuple[int, dict[str, float]]]) -> dict[str, int | None]:
    """From how many elements on the GPU is faster: without and with the transfer, each None where it never is.

    `found` has, for each size, the seconds of `_device_or_host`'s candidates.
    """
    answer: dict[str, int | None] = {}
    for name, label in ((SUBJECT, "data on the GPU"), ("with transfer", "data moved both ways")):
        begin = None
        for elements, seconds in sorted(found, key=lambda pair: -pair[0]):
            if name not in seconds or "on the CPU" not in seconds or seconds[name] > seconds["on the CPU"]:
                break
            begin = elements
        answer[label] = begin
    return answer
