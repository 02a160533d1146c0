"""What is measured: the table of `fastdrop bench`, in rows, and the cases that they stand for."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# Yardsticks and peers, by the names under which they stand in tables and JSON.
COPY_KINDS = {"memcpy": "memcpy", "plain copy": "plain", "streaming copy": "stream"}
"""Copies on the threads and in the pieces that a call gets, and how the kernels name them."""
BEST_COPY = "best copy"
"""The fastest of them in a case: what the machine can do there."""
COPIES = (*COPY_KINDS, "np.copyto")
NUMPY = ("plain NumPy", "NumPy at its best")
OTHERS = ("torch", "torch.compile", "jax", "numba", "onednn")
MULTIPLY = "np.multiply"
"""One ufunc with a new result: the least that a call costs in NumPy."""
PLAIN = (*COPIES, "plain NumPy", "torch", "torch.compile", "jax")
ISAS = ("fastdrop avx2", "fastdrop portable")
ALL = (*COPIES, *NUMPY, *OTHERS)
AUTOGRAD = ("torch", "torch.compile", "jax")
"""Those that differentiate by themselves."""
SOONER = tuple(name for name in ALL if name != "torch.compile")
"""Those that are ready within a moment: the first compilation by inductor takes ten seconds."""

IMAGES = (32, 64, 56, 56)
IMAGES_LAST = (32, 56, 56, 64)
LAYER = (128, 1024, 1024)
"""DropConnect: batch x outputs x inputs."""
ROWS = (2048, 1024)
"""2^21 elements in rows, for what has a bias or a softmax."""
TOKENS = (64, 197, 768)
"""A vision transformer's batch, for DropPath."""
SEQUENCES = (64, 128, 512)
"""Batch x steps x features, for locked dropout."""


def powers(*exponents: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of one axis with 2^exponent elements."""
    return tuple((1 << exponent,) for exponent in exponents)


class Row(NamedTuple):
    """Operations x shapes x p x dtypes, each with one thread and with all, against these peers."""

    operations: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    ps: tuple[float, ...]
    peers: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float32",)
    seconds: float = 0.8
    """For the rounds of one case."""
    one_thread_only: bool = False


BOTH = ("dropout", "dropout backward")
SOFTMAX = "softmax + dropout"
FUSED = ("bias + ReLU + dropout", "bias + GELU + dropout", "dropout + add", SOFTMAX)
FUSED_BACKWARD = ("bias + ReLU + dropout backward", "bias + GELU + dropout backward", "softmax + dropout backward")
CONNECT = ("DropConnect per batch", "DropConnect per example")
CONNECT_BACKWARD = ("DropConnect per batch backward", "DropConnect per example backward")
FIRST, LAST = "spatial dropout, channels first", "spatial dropout, channels last"
ALPHA, GAUSSIAN, ZONEOUT, DROPBLOCK, DROP_PATH, LOCKED = FAMILY = (
    "alpha dropout", "Gaussian dropout", "zoneout", "DropBlock", "drop path", "locked dropout",
)  # fmt: skip
NEW_RESULT, WITH_OUT = "dropout, new result", "with out="
"""What users write first: the result is a new array; beside it the same call with an array to write to."""
OVERHEAD = "call overhead"
DEVICE_OR_HOST = "CPU or GPU"
OPERATIONS = (*BOTH, NEW_RESULT, FIRST, LAST, *FUSED, *FUSED_BACKWARD, *CONNECT, *CONNECT_BACKWARD, *FAMILY, OVERHEAD)
DEVICE_OPERATIONS = (*(name for name in OPERATIONS if name not in (*FAMILY, NEW_RESULT)), DEVICE_OR_HOST)
HALVES = ("float16", "bfloat16", "float64")
"""The dtypes beside float32."""


def arrays_moved(operation: str) -> int:
    """How many arrays of x's size a call reads and writes: what GB/s count."""
    return 3 if operation in (*FUSED_BACKWARD, "dropout + add", ZONEOUT) else 2


# fmt: off
FULL = (
    Row((OVERHEAD,),          ((64,),),                (0.5, 0.3),            (MULTIPLY, "plain NumPy", *OTHERS),
        one_thread_only=True),
    Row(("dropout",),         powers(10, 13, 16, 18, 21, 24, 26), (0.5, 0.3), ALL),
    Row(("dropout",),         powers(21, 26),          (0.5, 0.3),            ISAS),
    Row(("dropout",),         powers(16),              (0.3,),                ISAS[:1]),
    Row(BOTH,                 powers(16, 21, 24),      (0.5, 0.25, 0.3, 0.1), COPIES),
    Row(BOTH,                 powers(26),              (0.5, 0.25, 0.3, 0.1), COPIES, seconds=2.0),
    Row(("dropout backward",), powers(16, 21),         (0.5,),                (*NUMPY, *AUTOGRAD, "numba")),
    Row((NEW_RESULT,),        powers(23, 24, 25, 26),  (0.5, 0.3),            (WITH_OUT, *COPIES), seconds=1.0),
    Row(("dropout",),         powers(21),              (0.5, 0.25, 0.3, 0.1), (*COPIES, "fastdrop float32"),
        HALVES, 0.5),
    Row(("dropout",),         powers(26),              (0.5, 0.25, 0.3, 0.1), (*COPIES, "fastdrop float32"),
        HALVES, 1.5),
    Row((FIRST,),             (IMAGES,),               (0.5, 0.3),            (*COPIES, *NUMPY, *AUTOGRAD)),
    Row((LAST,),              (IMAGES_LAST,),          (0.5, 0.3),            (*COPIES, *NUMPY, *AUTOGRAD)),
    Row(FUSED,                (ROWS,),                 (0.5, 0.3),            (*PLAIN, "dropout alone")),
    Row((SOFTMAX,),           (ROWS,),                 (0.5, 0.3),            ("onednn",)),
    Row(FUSED_BACKWARD,       (ROWS,),                 (0.5,),                (*COPIES, *AUTOGRAD, "dropout alone")),
    Row(FAMILY[:3],           powers(21, 26),          (0.5, 0.3),            (*COPIES, "NumPy at its best", "torch")),
    Row((DROPBLOCK,),         (IMAGES,),               (0.1,),                COPIES),
    Row((DROP_PATH,),         (TOKENS,),               (0.5, 0.3, 0.1),       COPIES),
    Row((LOCKED,),            (SEQUENCES,),            (0.5, 0.3, 0.1),       COPIES),
    Row(CONNECT,              (LAYER,),                (0.5, 0.25, 0.3, 0.1), ("product",), seconds=2.0),
    Row(CONNECT,              (LAYER,),                (0.5,),                ("NumPy at its best",), seconds=2.0),
    Row(CONNECT_BACKWARD,     (LAYER,),                (0.5, 0.3),            ("product",), seconds=2.0),
)

QUICK = (
    Row((OVERHEAD,),          ((64,),),                (0.5,),                (MULTIPLY, "plain NumPy", "torch"),
        seconds=0.2, one_thread_only=True),
    Row(("dropout",),         powers(26),              (0.5, 0.3),            COPIES, seconds=0.2),
    Row(BOTH,                 powers(24),              (0.5, 0.3),            COPIES, seconds=0.2),
    Row(("dropout backward",), powers(16, 21),         (0.5, 0.3),            COPIES, seconds=0.2),
    Row((NEW_RESULT,),        powers(24),              (0.5,),                (WITH_OUT, *COPIES), seconds=0.2),
    Row(("dropout",),         powers(16),              (0.5, 0.3),            (*SOONER, "fastdrop avx2"), seconds=0.2),
    Row(("dropout",),         powers(13, 21),          (0.5, 0.3),            SOONER, seconds=0.2),
    Row((FIRST,),             (IMAGES,),               (0.5,),                COPIES, seconds=0.2),
    Row((LAST,),              (IMAGES_LAST,),          (0.5,),                COPIES, seconds=0.2),
    Row(FUSED,                (ROWS,),                 (0.5,),                (*COPIES, "dropout alone"), seconds=0.2),
    Row((SOFTMAX,),           (ROWS,),                 (0.5,),                ("onednn",), seconds=0.2),
    Row(CONNECT,              (LAYER,),                (0.5,),                ("product",), seconds=0.3),
    Row((ZONEOUT,),           powers(21),              (0.5,),                COPIES, seconds=0.2),
    Row((DROP_PATH,),         (TOKENS,),               (0.5,),                COPIES, seconds=0.2),
    Row((LOCKED,),            (SEQUENCES,),            (0.5,),                COPIES, seconds=0.2),
    Row(("dropout",),         powers(21),              (0.5,),                (*COPIES, "fastdrop float32"),
        HALVES, 0.2),
    Row(("dropout",),         powers(21),              (0.5,),                ("torch.compile",), seconds=0.2),
)
# fmt: on

# On a GPU: arrays that its L2 cache does not hold, and the question whether to go there.
ON_DEVICE = (0,)
"""The "threads" of a case that runs on a GPU."""
DEVICE_IMAGES = (512, 128, 64, 64)
DEVICE_IMAGES_LAST = (512, 64, 64, 128)
DEVICE_LAYER = (128, 4096, 4096)
DEVICE_ROWS = (1 << 15, 1 << 12)
FLOATS = ("float32", "float16", "bfloat16")
DEVICE_PEERS = ("copy", "cupy recipe", "torch")

# fmt: off
DEVICE = (
    Row(BOTH,                 powers(28),              (0.5, 0.25, 0.3, 0.1), ("copy",), FLOATS, 0.4),
    Row(BOTH,                 powers(28),              (0.5, 0.3),            ("torch",), FLOATS, 0.6),
    Row(("dropout",),         powers(28),              (0.5,),                DEVICE_PEERS, FLOATS, 0.6),
    Row(("dropout",),         powers(16, 18, 20, 22, 24, 26), (0.5, 0.3),     DEVICE_PEERS, seconds=0.4),
    Row(("dropout",),         powers(27),              (0.5, 0.3),            ("copy",), ("float64",), 0.4),
    Row((FIRST,),             (DEVICE_IMAGES,),        (0.5, 0.3),            DEVICE_PEERS, seconds=0.6),
    Row((LAST,),              (DEVICE_IMAGES_LAST,),   (0.5, 0.3),            DEVICE_PEERS, seconds=0.6),
    Row((*FUSED, *FUSED_BACKWARD), (DEVICE_ROWS,),     (0.5, 0.3),            ("copy", "dropout alone"), seconds=0.4),
    Row(CONNECT,              (DEVICE_LAYER,),         (0.5, 0.3),            ("product",), seconds=0.6),
    Row(CONNECT[1:],          (DEVICE_LAYER,),         (0.5,),                ("materialised mask",), seconds=0.6),
    Row(CONNECT_BACKWARD,     (DEVICE_LAYER,),         (0.5, 0.3),            ("product",), seconds=0.6),
    Row((OVERHEAD,),          ((64,),),                (0.5,),                ("cupy recipe", "torch"), seconds=0.3),
    Row((DEVICE_OR_HOST,),    powers(10, 12, 14, 16, 18, 20, 22, 24, 26), (0.5,), ("with transfer", "on the CPU"),
        seconds=0.3),
)

DEVICE_QUICK = (
    Row(BOTH,                 powers(20, 28),          (0.5, 0.3),            DEVICE_PEERS, seconds=0.2),
    Row((FIRST,),             (DEVICE_IMAGES,),        (0.5,),                ("copy",), seconds=0.2),
    Row((DEVICE_OR_HOST,),    powers(12, 16, 20, 24),  (0.5,), ("with transfer", "on the CPU"), seconds=0.2),
)
# fmt: on

QUICK_LIMIT = 45.0
"""Seconds after which a quick run starts no further case, so that it ends within a minute on slow machines too."""


class Case(NamedTuple):
    """One operation on one size, against its peers."""

    operation: str
    shape: tuple[int, ...]
    dtype: str
    p: float
    threads: int
    peers: tuple[str, ...] = ()
    seconds: float = 0.8

    @property
    def key(self) -> tuple[str, tuple[int, ...], str, float, int]:
        """What makes two cases the same, whoever takes part."""
        return self[:5]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> str:
        """The shape for people: 2^21, or its sides."""
        n = self.elements
        if len(self.shape) == 1:
            return f"2^{n.bit_length() - 1}" if n & (n - 1) == 0 else f"{n:,}"
        return "x".join(map(str, self.shape))

    @property
    def cost(self) -> float:
        """Seconds that it will take, roughly: compiling, the rounds, and four calls of each slow peer."""
        calls = 4e-9 * self.elements * sum(_NANOSECONDS.get(peer, 1.0) for peer in self.peers)
        return self.seconds + 0.1 + calls + sum(_READY.get(peer, 0.0) for peer in self.peers)

    def __str__(self) -> str:
        threads = {0: "on the GPU", 1: "1 thread"}.get(self.threads, f"{self.threads} threads")
        return f"{self.operation}, {self.size} {self.dtype}, p = {self.p:g}, {threads}"


_NANOSECONDS = {
    "plain NumPy": 15.0,
    "NumPy at its best": 10.0,
    "torch": 20.0,
    "torch.compile": 15.0,
    "jax": 20.0,
    "numba": 7.0,
    "onednn": 35.0,
    "product": 0.1,
}
"""Per element, as seen on one machine: for the time left alone."""
_READY = {"torch.compile": 1.5, "jax": 0.3}
"""Seconds that they compile for each case."""


def cases(rows: Iterable[Row], threads: Sequence[int], only: Sequence[str] = ()) -> list[Case]:
    """The rows' cases, in order; where rows meet in a case, it gets the peers of both."""
    found: dict[tuple[object, ...], Case] = {}
    for row in rows:
        for dtype in row.dtypes:  # outermost: the arrays are filled anew when the dtype changes
            for shape in row.shapes:
                for operation in row.operations:
                    for p in row.ps:
                        for count in (1,) if row.one_thread_only else threads:
                            case = Case(operation, shape, dtype, p, count, row.peers, row.seconds)
                            if only and operation not in only:
                                continue
                            known = found.get(case.key)
                            if known:
                                peers = tuple(dict.fromkeys(known.peers + case.peers))
                                case = known._replace(peers=peers, seconds=max(known.seconds, case.seconds))
                            found[case.key] = case
    return list(found.values())
