"""Cases of arrays with strides: layouts of every kind, shared axes, slices of masks, keep bits far out."""

import math

import expected
import numpy as np
from casefile import (
    OPERATIONS,
    UNSET,
    bit_strides_of,
    walk,
)
from expected import DTYPES, SHIFT, mask_of, nan_rule, scale_of, values


def lay(kind, shape, dtype, contents):
    """An array of this shape in memory of that kind; contents(count) gives all of the memory's elements."""

    def memory(*size):
        return contents(math.prod(size)).astype(dtype, copy=False).reshape(size)

    if kind == "C":
        return memory(*shape)
    if kind == "F":
        return memory(*shape[::-1]).T
    if kind == "rotated":  # the first axis is last in memory
        return np.moveaxis(memory(*shape[1:], shape[0]), -1, 0)
    if kind == "F-backwards":
        return memory(*shape[::-1]).T[::-1]
    if kind == "backwards":
        return memory(*shape)[tuple(slice(None, None, -1) for _ in shape)]
    if kind == "rows-backwards":
        return memory(*shape)[::-1]
    if kind == "thirds":
        return memory(*shape[:-1], 3 * shape[-1])[..., 1::3]
    if kind == "padded":
        return memory(*shape[:-1], shape[-1] + 5)[..., 2:-3]
    if kind == "F-padded":
        return memory(*shape[:0:-1], shape[0] + 5)[..., 2:-3].T
    if kind == "every-other-row":
        return memory(2 * shape[0], *shape[1:])[::2]
    if kind == "one-row":
        return np.broadcast_to(memory(*shape[1:]), shape)
    if kind == "one-column":
        return np.broadcast_to(memory(*shape[:-1], 1), shape)
    raise ValueError(kind)


WRITABLE = ["C", "F", "rotated", "F-backwards", "backwards", "rows-backwards", "thirds", "padded", "F-padded"]
WRITABLE += ["every-other-row"]
PAIRS = [(kind, kind) for kind in WRITABLE] + [("C", kind) for kind in [*WRITABLE[1:], "one-row", "one-column"]]
PAIRS += [(kind, "C") for kind in WRITABLE[1:]] + [("F", "F-padded"), ("F-padded", "F"), ("F", "F-backwards")]


def strided(file, label, operation, mask, scale, shape, kinds, dtype, bit_strides, merge=True, first=0, **more):
    """One case of arrays in memory of these kinds, the written one's first."""
    inputs = [lay(kind, shape, dtype, lambda n, k=k: values(n, dtype, 40 + k)) for k, kind in enumerate(kinds[1:])]
    kept = expected.keep(mask, shape, bit_strides, first)
    y = lay(kinds[0], shape, dtype, lambda n: np.full(n * np.dtype(dtype).itemsize, UNSET, np.uint8).view(dtype))
    y[...] = expected.elementwise(operation, inputs, kept, scale)
    arrays = [y, *inputs]
    strides = [a.strides for a in arrays]
    axes = walk(shape, strides, bit_strides) if merge else (list(shape), list(bit_strides), strides)
    if not axes[0]:
        axes = ([1], [0], [[a.itemsize] for a in arrays])
    operands = [file.written(y), *(file.read(x) for x in inputs)]
    operands = [operand._replace(strides=tuple(steps)) for operand, steps in zip(operands, axes[2], strict=True)]
    file.add(
        label,
        "elementwise",
        operands,
        axes[0],
        mask=mask,
        scale=scale,
        shift=SHIFT,
        bit_strides=axes[1],
        operation=OPERATIONS.index(operation),
        stores=2,
        nan=nan_rule(operation),
        first_tile=first,
        **more,
    )


def layouts(file):
    """Strides of every kind, a keep bit for each element."""
    mask = mask_of(0.3, key=2**63 + 5, call=7)
    for name, dtype in DTYPES.items():
        for shape in [(5, 7), (33, 65), (3, 41, 130), (2, 3, 4, 9), (131, 300), (300, 131)]:
            for y, x in PAIRS:
                label = f"{name}-{'x'.join(map(str, shape))}-{y}-from-{x}"
                steps = bit_strides_of(shape)
                strided(file, label, "dropout", mask, scale_of(mask), shape, [y, x], dtype, steps, threads=3)
                if name == "float32" and len(shape) > 2:
                    strided(file, f"{label}-unmerged", "dropout", mask, 1.0, shape, [y, x], dtype, steps, merge=False)
                if len(shape) == 3 or shape[0] == 5:
                    third = "one-row" if y == "C" else "F"
                    kinds = [y, x, third]
                    strided(file, f"add-{label}", "dropout_add", mask, 1.0, shape, kinds, dtype, steps, threads=3)
                    strided(file, f"blend-{label}", "blend", mask, 1.0, shape, kinds, dtype, steps, threads=3)
        for shape in [
            (4200, 3),
            (3, 4200),
            (257 if name == "float16" else 140, 4100),
        ]:  # more than a block of the transposed kernel
            strided(
                file,
                f"{name}-F-{shape[0]}x{shape[1]}",
                "dropout",
                mask,
                2.0,
                shape,
                ["F", "F"],
                dtype,
                bit_strides_of(shape),
                threads=3,
            )
        bias_layouts(file, name, dtype, mask)


def bias_layouts(file, name, dtype, mask):
    """A bias along the last axis, as layers have it."""
    shapes = [(1, 1), (1, 50), (70, 1), (9, 31), (9, 32), (9, 33), (40, 130), (3, 2049), (2, 6000)]
    # runs over many rows, drawn while they are applied, with a bias that ends anywhere in a unit of 32
    widths = [1, 2, 5, 31, 32, 33, 45, 63, 64, 65, 100, 1000, 2047, 2048]
    shapes += [(9100 // columns + 1, columns) for columns in widths]
    for rows, columns in shapes:
        for operation in ("bias_relu", "bias_gelu"):
            kinds = ["C", "C", "one-row"]
            strided(
                file,
                f"{operation}-{name}-{rows}x{columns}",
                operation,
                mask,
                scale_of(mask),
                (rows, columns),
                kinds,
                dtype,
                bit_strides_of((rows, columns)),
                threads=3,
                sweep=int(rows * columns > 9000),
            )


def shared(file):
    """Keep bits shared along axes: feature maps, channels first and last, and any others."""
    mask = mask_of(0.4, key=99, call=2**40 + 1)
    some = [((6, 5, 40), (2,)), ((6, 40, 5), (1,)), ((3, 5, 7, 9), (2, 3)), ((3, 7, 9, 5), (1, 2)), ((4, 30, 33), (1,))]
    some += [((4, 9, 1030), (1,)), ((3, 3, 2100), (1,)), ((5, 4200), (1,)), ((3, 5, 2, 70), (0, 3)), ((50,), (0,))]
    some += [((3, 5, 7, 9), (0, 1, 2, 3)), ((6, 300, 3), (1,)), ((2, 100, 31), (1,)), ((40, 64), (0,))]
    repeated = [((2, n, m), (1,)) for n in (2, 3, 34, 70) for m in (1, 2, 3, 31, 32, 33, 64, 65)]
    repeated += [((2, n, m), (1,)) for n in (2, 3) for m in (1023, 1024, 1025)]
    for name, dtype in DTYPES.items():
        for shape, axes in some + repeated:
            steps = bit_strides_of(shape, axes)
            label = f"shared-{name}-{'x'.join(map(str, shape))}-along-{'-'.join(map(str, axes))}"
            several = len(shape) > 1 and (shape, axes) not in repeated
            for y, x in [("C", "C")] + [("F", "F"), ("padded", "thirds"), ("C", "F")] * several:
                for scale in (1.0, scale_of(mask)):
                    strided(file, f"{label}-{y}-{x}", "dropout", mask, scale, shape, [y, x], dtype, steps, threads=3)
            strided(file, f"{label}-add", "dropout_add", mask, 1.5, shape, ["C"] * 3, dtype, steps, threads=3)
            strided(file, f"{label}-blend", "blend", mask, 1.5, shape, ["C"] * 3, dtype, steps, threads=3)
            strided(file, f"{label}-alpha", "alpha", mask, 1.5, shape, ["C", "C"], dtype, steps, threads=3)


def slices(file):
    """Slices of masks: any first keep bit, rows that do not follow each other, steps of any size and sign."""
    mask = mask_of(0.3, key=77, call=5)
    geometries = [
        ((4300,), 5, (1,)),
        ((4300,), 9000, (-1,)),
        ((4300,), 3, (2,)),
        ((1,), 4099, (0,)),
        ((300,), 7, (5000,)),
    ]
    geometries += [((9, 700), 1234, (1000, 1)), ((9, 700), 12_345, (-1000, 1)), ((9, 700), 15_000, (-1000, -3))]
    geometries += [((130, 33), 2047, (1, 150)), ((130, 33), 2**40 + 9, (3, 1)), ((40, 64), 2040, (0, 1))]
    geometries += [((40, 64), 2040, (0, -1)), ((40, 64), 2040, (-7, 0)), ((3, 5000), 2**33 - 4000, (-4, 1))]
    geometries += [
        ((3, 41, 90), 60_000, (-9000, 200, 2)),
        ((3, 41, 90), 77, (9000, 0, 1)),
        ((3, 41, 90), 7, (1, 0, -5)),
    ]
    for name, dtype in DTYPES.items():
        for shape, first, steps in geometries:
            pairs = [("C", "C"), ("C", "thirds"), ("backwards", "C")]
            pairs += [("F", "F"), ("F", "C"), ("padded", "padded")] * (len(shape) > 1)
            for y, x in pairs:
                label = f"slice-{name}-{'x'.join(map(str, shape))}-{first}-{'_'.join(map(str, steps))}-{y}-{x}"
                strided(file, label, "dropout", mask, 2.0, shape, [y, x], dtype, steps, first=first, threads=3)
            more = {"first": first, "threads": 3}
            strided(file, f"{label}-add", "dropout_add", mask, 1.5, shape, ["C"] * 3, dtype, steps, **more)
        more = {"first": 12_345, "threads": 3}
        kinds, shape = ["C", "C", "one-row"], (90, 100)
        # a run over many rows, from any keep bit on
        strided(file, f"slice-bias_relu-{name}", "bias_relu", mask, 1.5, shape, kinds, dtype, (100, 1), **more)


def far(file):
    """Keep bits with numbers beyond 32 bits, where counters and elements carry into the counter's next word."""
    mask = mask_of(0.3, key=2**64 - 1, call=2**64 - 1)
    for name in ("float32", "bfloat16"):
        for start in (2**32 - 3000, 2**39 - 2048 * 3, 2**55 + 77):
            strided(
                file,
                f"far-{name}-{start}",
                "dropout",
                mask,
                scale_of(mask),
                (2, 9000),
                ["C", "C"],
                DTYPES[name],
                [start, 1],
                threads=3,
            )
