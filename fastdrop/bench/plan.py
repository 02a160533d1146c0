"""What is measured: tables of rows, and the cases that they make."""

import importlib.util
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

COPY_KINDS = {"memcpy": "memcpy", "plain copy": "vectors", "non-temporal copy": "non-temporal"}
"""Copies on the threads and in the slices that a call gets, and the kernels' names for them."""
BEST_COPY = "best copy"
"""The fastest of them in a case."""
COPIES = (*COPY_KINDS, "np.copyto")
NUMPY = ("plain NumPy", "best NumPy")
AUTOGRAD = ("torch", "torch.compile", "jax")
"""Baselines that compute gradients themselves."""
COMPETITORS = (*AUTOGRAD, "numba")
ALL = (*COPIES, *NUMPY, *COMPETITORS)
FAST_START = tuple(name for name in ALL if name != "torch.compile")
"""The first compilation by torch.compile takes ten seconds."""
PLAIN = (*COPIES, "plain NumPy", *AUTOGRAD)
MULTIPLY, WITH_OUT, ALONE, PRODUCT = "np.multiply", "with out=", "dropout alone", "product"
FLOAT32 = "fastdrop float32"
ISAS = ("fastdrop avx2", "fastdrop portable")
"""fastdrop with an instruction set that is forced."""

# Operations that other modules name; all of them are in operations.py, but for those of the last two lines.
BOTH = ("dropout", "dropout backward")
NEW_RESULT, OVERHEAD = "dropout, new result", "call overhead"
FIRST, LAST = "spatial dropout, channels first", "spatial dropout, channels last"
BIAS_RELU, BIAS_GELU, ADD, SOFTMAX = (
    "bias + ReLU + dropout",
    "bias + GELU + dropout",
    "dropout + add",
    "softmax + dropout",
)
FUSED = (BIAS_RELU, BIAS_GELU, ADD, SOFTMAX)
FUSED_BACKWARD = (f"{BIAS_RELU} backward", f"{BIAS_GELU} backward", f"{SOFTMAX} backward")
CONNECT = ("DropConnect per batch", "DropConnect per example")
CONNECT_BACKWARD = ("DropConnect per batch backward", "DropConnect per example backward")
ALPHA, GAUSSIAN, ZONEOUT = "alpha dropout", "Gaussian dropout", "zoneout"
DROPBLOCK, DROP_PATH, LOCKED = "DropBlock", "drop path", "locked dropout"
DASK, DEVICE_OR_HOST = "dropout of a Dask array", "CPU or GPU"
STEPS = TRANSFORMER_STEP, MLP_STEP, MLP_PASSES = "training step, transformer", "training step, MLP", "MC dropout, MLP"

IMAGES, IMAGES_LAST = (32, 64, 56, 56), (32, 56, 56, 64)
LAYER = (128, 1024, 1024)
"""DropConnect: batch, outputs, inputs."""
ROWS = (2048, 1024)
"""2^21 elements in rows, for a bias or a softmax."""
TOKENS, SEQUENCES = (64, 197, 768), (64, 128, 512)
"""Batch, steps, features: of a vision transformer, for drop path; and for locked dropout."""
DEVICE_IMAGES, DEVICE_IMAGES_LAST = (512, 128, 64, 64), (512, 64, 64, 128)
DEVICE_LAYER, DEVICE_ROWS = (128, 4096, 4096), (1 << 15, 1 << 12)
"""For a GPU: arrays that its L2 cache does not hold."""
OTHER_DTYPES, FLOATS = ("float16", "bfloat16", "float64"), ("float32", "float16", "bfloat16")
ANY_P, TWO_P = (0.5, 0.25, 0.3, 0.1), (0.5, 0.3)
ON_DEVICE = (0,)
"""The "threads" of a case on a GPU."""
PLAIN_CUPY, STORED_MASKS = "plain CuPy", "stored masks"
ON_GPU = ("copy", PLAIN_CUPY, "torch")
"""Baselines on a GPU."""
FROM_CPU = ("with transfer", "on the CPU")
QUICK_LIMIT = 45.0
"""Seconds after which a quick run starts no further case, so that it ends within a minute on slow machines too."""


def powers(*exponents: int) -> tuple[tuple[int, ...], ...]:
    """Shapes with one axis of 2^exponent elements."""
    return tuple((1 << exponent,) for exponent in exponents)


class Row(NamedTuple):
    """Operations x shapes x p x dtypes, each on one thread and on all, against these baselines."""

    operations: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    ps: tuple[float, ...]
    baselines: tuple[str, ...]
    seconds: float = 0.8
    """For the rounds of one case."""
    dtypes: tuple[str, ...] = ("float32",)
    one_thread: bool = False
    all_threads: bool = False
    needs: str = ""
    """A package without which there is nothing to measure."""


# fmt: off
FULL = (
    Row(BOTH[:1],             powers(10, 13, 16, 18, 21, 24, 26), TWO_P, ALL),
    Row(BOTH[:1],             powers(21, 26),          TWO_P, ISAS),
    Row(BOTH[:1],             powers(16),              (0.3,), ISAS[:1]),
    Row(BOTH,                 powers(16, 21, 24),      ANY_P, COPIES),
    Row(BOTH,                 powers(26),              ANY_P, COPIES, 2.0),
    Row(BOTH[1:],             powers(16, 21),          (0.5,), (*NUMPY, *COMPETITORS)),
    Row((NEW_RESULT,),        powers(23, 24, 25, 26),  TWO_P, (WITH_OUT, *COPIES), 1.0),
    Row(BOTH[:1],             powers(21),              ANY_P, (*COPIES, FLOAT32), 0.5, OTHER_DTYPES),
    Row(BOTH[:1],             powers(26),              ANY_P, (*COPIES, FLOAT32), 1.5, OTHER_DTYPES),
    Row((FIRST,),             (IMAGES,),               TWO_P, (*COPIES, *NUMPY, *AUTOGRAD)),
    Row((LAST,),              (IMAGES_LAST,),          TWO_P, (*COPIES, *NUMPY, *AUTOGRAD)),
    Row(FUSED,                (ROWS,),                 TWO_P, (*PLAIN, ALONE)),
    Row(FUSED_BACKWARD,       (ROWS,),                 (0.5,), (*COPIES, *AUTOGRAD, ALONE)),
    Row((ALPHA, GAUSSIAN),    powers(21, 26),          TWO_P, (*COPIES, "best NumPy", "torch")),
    Row((ZONEOUT,),           powers(21, 26),          TWO_P, COPIES),
    Row((DROPBLOCK,),         (IMAGES,),               (0.1,), COPIES),
    Row((DROP_PATH,),         (TOKENS,),               (0.5, 0.3, 0.1), COPIES),
    Row((LOCKED,),            (SEQUENCES,),            (0.5, 0.3, 0.1), COPIES),
    Row((OVERHEAD,),          ((64,),),                TWO_P, (MULTIPLY, "plain NumPy", *COMPETITORS), one_thread=True),
    Row(CONNECT,              (LAYER,),                ANY_P, (PRODUCT,), 2.0),
    Row(CONNECT_BACKWARD,     (LAYER,),                TWO_P, (PRODUCT,), 2.0),
    Row((DASK,),              powers(31),              (0.5,), ("copy",), 10.0, all_threads=True, needs="dask"),
    Row((TRANSFORMER_STEP,),  ((16, 128, 512),),       (0.1,), ("no dropout", "torch"), 12.0, all_threads=True,
        needs="torch"),
    Row((MLP_STEP, MLP_PASSES), ((256, 784),),         (0.5,), ("no dropout", "torch"), 12.0, all_threads=True,
        needs="torch"),
)

QUICK = (
    Row((OVERHEAD,),          ((64,),),                (0.5,), (MULTIPLY, "plain NumPy", "torch"), 0.2,
        one_thread=True),
    Row(BOTH[:1],             powers(26),              TWO_P, COPIES, 0.2),
    Row(BOTH,                 powers(24),              TWO_P, COPIES, 0.2),
    Row(BOTH[1:],             powers(16, 21),          TWO_P, COPIES, 0.2),
    Row((NEW_RESULT,),        powers(24),              (0.5,), (WITH_OUT, *COPIES), 0.2),
    Row(BOTH[:1],             powers(16),              TWO_P, (*FAST_START, "fastdrop avx2"), 0.2),
    Row(BOTH[:1],             powers(13, 21),          TWO_P, FAST_START, 0.2),
    Row((FIRST,),             (IMAGES,),               (0.5,), COPIES, 0.2),
    Row((LAST,),              (IMAGES_LAST,),          (0.5,), COPIES, 0.2),
    Row(FUSED,                (ROWS,),                 (0.5,), (*COPIES, ALONE), 0.2),
    Row(CONNECT,              (LAYER,),                (0.5,), (PRODUCT,), 0.3),
    Row((ZONEOUT,),           powers(21),              (0.5,), COPIES, 0.2),
    Row((DROP_PATH,),         (TOKENS,),               (0.5,), COPIES, 0.2),
    Row((LOCKED,),            (SEQUENCES,),            (0.5,), COPIES, 0.2),
    Row(BOTH[:1],             powers(21),              (0.5,), (*COPIES, FLOAT32), 0.2, OTHER_DTYPES),
    Row(BOTH[:1],             powers(21),              (0.5,), ("torch.compile",), 0.2),
)

SCALING = (Row(BOTH,          powers(21, 26),          TWO_P, COPIES, 0.4),)

DEVICE = (
    Row(BOTH,                 powers(28),              ANY_P, ("copy",), 0.4, FLOATS),
    Row(BOTH,                 powers(28),              TWO_P, ("torch",), 0.6, FLOATS),
    Row(BOTH[:1],             powers(28),              (0.5,), ON_GPU, 0.6, FLOATS),
    Row(BOTH[:1],             powers(16, 18, 20, 22, 24, 26), TWO_P, ON_GPU, 0.4),
    Row(BOTH[:1],             powers(27),              TWO_P, ("copy",), 0.4, ("float64",)),
    Row((FIRST,),             (DEVICE_IMAGES,),        TWO_P, ON_GPU, 0.6),
    Row((LAST,),              (DEVICE_IMAGES_LAST,),   TWO_P, ON_GPU, 0.6),
    Row((*FUSED, *FUSED_BACKWARD), (DEVICE_ROWS,),     TWO_P, ("copy", ALONE), 0.4),
    Row(CONNECT,              (DEVICE_LAYER,),         TWO_P, (PRODUCT,), 0.6),
    Row(CONNECT[1:],          (DEVICE_LAYER,),         (0.5,), (STORED_MASKS,), 0.6),
    Row(CONNECT_BACKWARD,     (DEVICE_LAYER,),         TWO_P, (PRODUCT,), 0.6),
    Row((OVERHEAD,),          ((64,),),                (0.5,), (PLAIN_CUPY, "torch"), 0.3),
    Row((DEVICE_OR_HOST,),    powers(10, 12, 14, 16, 18, 20, 22, 24, 26), (0.5,), FROM_CPU, 0.3),
)

DEVICE_QUICK = (
    Row(BOTH,                 powers(20, 28),          TWO_P, ON_GPU, 0.2),
    Row((FIRST,),             (DEVICE_IMAGES,),        (0.5,), ("copy",), 0.2),
    Row((DEVICE_OR_HOST,),    powers(12, 16, 20, 24),  (0.5,), FROM_CPU, 0.2),
)
# fmt: on


class Case(NamedTuple):
    """One operation on one size, against its baselines."""

    operation: str
    shape: tuple[int, ...]
    dtype: str
    p: float
    threads: int
    baselines: tuple[str, ...] = ()
    seconds: float = 0.8

    @property
    def key(self) -> tuple[str, tuple[int, ...], str, float, int]:
        """What makes two cases the same, whatever they are compared with."""
        return self[:5]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> str:
        """The shape as text: 2^21, or the lengths of its axes."""
        n = self.elements
        if len(self.shape) == 1:
            return f"2^{n.bit_length() - 1}" if n & (n - 1) == 0 else f"{n:,}"
        return "x".join(map(str, self.shape))

    @property
    def place(self) -> str:
        """What it runs on."""
        return {0: "GPU", 1: "1 thread"}.get(self.threads, f"{self.threads} threads")

    @property
    def cost(self) -> float:
        """Seconds that it will take, roughly: compiling, the rounds, and four calls of each slow baseline."""
        slow = 4e-9 * self.elements * sum(_NANOSECONDS.get(name, 1.0) for name in self.baselines)
        return self.seconds + 0.1 + slow + sum(_COMPILING.get(name, 0.0) for name in self.baselines)

    def __str__(self) -> str:
        return f"{self.operation}, {self.size} {self.dtype}, p = {self.p:g}, {self.place}"


_NANOSECONDS = {
    "plain NumPy": 15.0,
    "best NumPy": 10.0,
    "torch": 20.0,
    "torch.compile": 15.0,
    "jax": 20.0,
    "numba": 7.0,
    PRODUCT: 0.1,
}
"""Per element, as seen on one machine: only for the time that is left."""
_COMPILING = {"torch.compile": 1.5, "jax": 0.3}
"""Seconds for each case."""


def operations(rows: Iterable[Row]) -> tuple[str, ...]:
    """The operations that the rows measure."""
    return tuple(dict.fromkeys(operation for row in rows for operation in row.operations))


def cases(rows: Iterable[Row], threads: Sequence[int], only: Sequence[str] = ()) -> list[Case]:
    """The rows' cases, in order; where rows meet in a case, it gets the baselines of both."""
    found: dict[tuple[object, ...], Case] = {}
    for row in rows:
        counts = (1,) if row.one_thread else (max(threads),) if row.all_threads else threads
        if row.needs and importlib.util.find_spec(row.needs) is None:
            continue
        for dtype in row.dtypes:
            for shape in row.shapes:
                for operation in row.operations:
                    for p in row.ps if not only or operation in only else ():
                        for count in counts:
                            case = Case(operation, shape, dtype, p, count, row.baselines, row.seconds)
                            known = found.get(case.key, case)
                            baselines = tuple(dict.fromkeys(known.baselines + case.baselines))
                            seconds = max(known.seconds, case.seconds)
                            found[case.key] = case._replace(baselines=baselines, seconds=seconds)
    return list(found.values())


def cpu_cases(quick: bool, threads: Sequence[int], only: Sequence[str] = ()) -> list[Case]:
    """The cases on the CPU, on these numbers of threads."""
    return cases(QUICK if quick else FULL, threads, only)


def device_cases(quick: bool, only: Sequence[str] = ()) -> list[Case]:
    """The cases on a GPU."""
    return cases(DEVICE_QUICK if quick else DEVICE, ON_DEVICE, only)
