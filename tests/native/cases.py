"""Writes the cases that replay.c runs, with the results that fastdrop/reference.py expects.

python tests/native/cases.py FOLDER
"""

import math
import sys
from functools import partial

import expected
import numpy as np
from casefile import (
    ABSENT,
    FILLED,
    OPERATIONS,
    SAME_AS_FIRST,
    CaseFile,
    MaskNumbers,
    Operand,
)
from expected import DTYPES, ONE_INPUT, SHIFT, mask_of, nan_rule, scale_of, values
from strided_cases import far, layouts, shared, slices, strided

from fastdrop import reference, rule

TILE = rule.TILE
# Every size up to two registers of the widest kind and a unit of 32, then around words, register rows and tiles.
SMALL = list(range(1, 105))
AROUND = [-33, -32, -31, -17, -16, -15, -9, -8, -7, -4, -3, -2, -1, 0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33]
STEPS = [-33, -17, -1, 0, 1, 15, 33]
MIDDLE = [127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025]
LARGE = [n * TILE + d for n in (1, 2, 3) for d in AROUND] + [n * TILE + d for n in (4, 5, 7) for d in STEPS]
PS = [0.5, 0.25, 0.3, 0.1, 0.0, 1.0]


def contiguous(file):
    """Runs of every size, all alignments. They share one array of inputs and one of results; each uses the start."""
    most = max(LARGE) + 1
    for name, dtype in DTYPES.items():
        for operation in (name for name in OPERATIONS if not name.endswith("backward")):
            inputs = [values(most, dtype, 1 + k) for k in range(1 if operation in ONE_INPUT else 2)]
            places = [file.put(x) for x in inputs]
            for p in PS if operation == "dropout" else [0.5, 0.3]:
                for classic in [False, True] if operation == "dropout" and p in (0.5, 0.3) else [False]:
                    mask = mask_of(p)
                    scale = 1.0 if classic else scale_of(mask)
                    y = expected.elementwise(operation, inputs, expected.keep(mask, (most,), (1,)), scale)
                    sizes(file, f"{operation}-{name}-p{p}{'-classic' * classic}", operation, mask, scale, y, places)


def sizes(file, label, operation, mask, scale, y, places):
    place, item = file.put(y), y.itemsize
    thorough = operation == "dropout" and mask.threshold not in (0, rule.KEEP_ALL)
    for n in SMALL + MIDDLE + LARGE:
        if not thorough and n > 40 and n % 3:
            continue
        operands = [Operand(y.dtype.name, FILLED, n * item, 0, place, (item,))]
        operands += [Operand(y.dtype.name, at, n * item, 0, -1, (item,)) for at in places]
        around = n in (33, 100, 300, 4 * TILE + 33)
        add = partial(
            file.add,
            mask=mask,
            scale=scale,
            shift=SHIFT,
            bit_strides=[1],
            operation=OPERATIONS.index(operation),
            threads=3 if n > TILE else 1,
            nan=nan_rule(operation),
        )
        sweep = 2 if thorough and around else int(n % 8 == 1)
        add(f"{label}-{n}", "elementwise", operands, [n], stores=2, sweep=sweep)
        if n % 16 == 1:  # in place: the first input is overwritten
            same = [operands[0]._replace(data=places[0]), operands[1]._replace(data=SAME_AS_FIRST), *operands[2:]]
            add(f"{label}-{n}-in-place", "elementwise", same, [n])


def backward(file):
    """Gradients and the sums of their rows, in several blocks."""
    mask = mask_of(0.3, key=5, call=3)
    shapes = [
        (1, 1),
        (3, 1),
        (1, 7),
        (9, 31),
        (9, 32),
        (9, 33),
        (40, 130),
        (5, 2049),
        (2, 6200),
        (70, 2100),
        (3, 70_000),
    ]
    for name, dtype in DTYPES.items():
        for activation in ("relu", "gelu"):
            for rows, columns in shapes:
                if rows * columns > 100_000 and (name == "float64" or activation == "gelu"):
                    continue
                for p in (0.3, 0.5):
                    mask = mask._replace(threshold=rule.threshold_of(p))
                    one_backward(file, name, dtype, activation, rows, columns, mask)


def one_backward(file, name, dtype, activation, rows, columns, mask):
    wide, scale, item = reference.compute_dtype(np.dtype(dtype)), scale_of(mask), np.dtype(dtype).itemsize
    special = rows == 9
    dy, x = (values(rows * columns, dtype, 60 + k, special).reshape(rows, columns) for k in range(2))
    bias = values(columns, dtype, 62, special)
    kept = expected.keep(mask, (rows, columns), (columns, 1))
    start = values(-(-rows // max(1, 2**16 // columns)) * columns, wide, 63, False).reshape(-1, columns)
    dx = expected.elementwise(f"bias_{activation}_backward", [dy, x, bias], kept, scale)
    sums = expected.group_sums([dy, x, bias], activation, kept, scale, start)
    row, own = (columns * item, item), (0, sums.itemsize)
    operands = [file.written(dx), *(file.read(a) for a in (dy, x, bias)), file.written(sums, file.put(start))]
    steps = [row, row, row, (0, item), own]
    operands = [operand._replace(strides=step) for operand, step in zip(operands, steps, strict=True)]
    label = f"bias_{activation}_backward-{name}-{rows}x{columns}-{mask.threshold}"
    more = {"mask": mask, "scale": scale, "bit_strides": [columns, 1], "threads": 3}
    more["large"] = rows * columns > 100_000 and name != "float16"
    more["operation"] = OPERATIONS.index(f"bias_{activation}_backward")
    file.add(label, "elementwise", operands, [rows, columns], stores=2, sweep=1, **more)
    for k in (1, 2):  # in place of dy or of x
        same = [operands[0]._replace(data=operands[k].data), *operands[1:]]
        same[k] = same[k]._replace(data=SAME_AS_FIRST)
        file.add(f"{label}-in-place-{k}", "elementwise", same, [rows, columns], **more)


def softmax(file):
    """Rows of every length around the blocks of 32 and the range of keep bits."""
    shapes = [(3, n) for n in range(1, 70)] + [(200, 1), (50, 127), (20, 2047), (9, 4097), (70, 513)]
    shapes += [(2, 127 * TILE - 1), (1, 127 * TILE + 33)]
    for name, dtype in DTYPES.items():
        for rows, columns in shapes:
            if columns > 100_000 and name != ("float32" if rows == 1 else "bfloat16"):
                continue
            for p in (0.3, 0.5) if columns > 60 else (0.1,):
                mask = mask_of(p, key=17, call=columns)
                scale = scale_of(mask)
                x, dy = (values(rows * columns, dtype, 70 + k, False).reshape(rows, columns) for k in range(2))
                if columns == 33:
                    x[0], x[1, 7], x[2, 5:9] = -np.inf, np.nan, -np.inf
                kept = expected.keep(mask, (rows, columns), (columns, 1))
                with np.errstate(all="ignore"):
                    y = reference.softmax_dropout(x, kept, scale)
                    dx = reference.softmax_dropout_backward(dy, x, kept, scale)
                inputs, nothing = [file.read(x), file.read(dy)], Operand(name, ABSENT, 0)
                for what, result, third in (("softmax", y, nothing), ("softmax_backward", dx, inputs[1])):
                    operands = [o._replace(strides=()) for o in (file.written(result), inputs[0], third)]
                    more = {"mask": mask, "scale": scale, "threads": 3}
                    label = f"{what}-{name}-{rows}x{columns}-p{p}"
                    file.add(label, "softmax", operands, [rows, columns], sweep=int(columns % 16 == 1), **more)
                    same = [operands[0]._replace(data=inputs[0].data), operands[1]._replace(data=SAME_AS_FIRST), third]
                    file.add(f"{label}-in-place", "softmax", same, [rows, columns], **more)


def gaussian(file):
    """Noise on runs of every size, at small and large element numbers; sigma takes the place of the scale."""
    most, sigma, mask = 2 * TILE + 33, 0.65, mask_of(0.5)
    sizes = [*range(1, 70), 127, 128, 129, TILE - 1, TILE, TILE + 1, most]
    for name, dtype in DTYPES.items():
        x = values(most, dtype, 90)
        for group in (0, 2**26 - 1, 2**28 - 1, 2**50 - 1):
            y = expected.gaussian(x, mask, sigma, group)
            places, item = (file.put(y), file.put(x)), x.itemsize
            for n in sizes if group == 0 else sizes[::9]:
                written = Operand(name, FILLED, n * item, 0, places[0])
                operands = [written, Operand(name, places[1], n * item)]
                more = {"mask": mask, "scale": sigma, "first_tile": group, "threads": 3 if n > TILE else 1}
                file.add(f"gaussian-{name}-{group}-{n}", "gaussian", operands, [n], sweep=int(n % 16 == 1), **more)
                same = [written._replace(data=places[1]), operands[1]._replace(data=SAME_AS_FIRST)]
                file.add(f"gaussian-{name}-{group}-{n}-in-place", "gaussian", same, [n], **more)


def dropconnect(file):
    """One mask per example; every remainder of examples, rows, columns and terms."""
    shapes = [(b, o, i) for b in (1, 2, 3, 4, 5, 9) for o in (1, 3, 4, 7) for i in (1, 2, 5, 31, 32, 33, 45, 64, 70)]
    shapes += [(5, 6, 2049), (3, 530, 11), (600, 2, 9), (2, 3, 32769), (5, 37, 513)]
    for name in ("float32", "float64"):
        for batch, outputs, inputs in shapes:
            one_dropconnect(file, name, batch, outputs, inputs)


def one_dropconnect(file, name, batch, outputs, inputs):
    mask = mask_of(0.3 if inputs % 2 else 0.5, key=23, call=outputs)
    scale, dtype, shape = scale_of(mask), DTYPES[name], (batch, outputs, inputs)
    x, weight, bias, dy = (
        values(math.prod(size), dtype, 80 + k, special=inputs == 45).reshape(size)
        for k, size in enumerate([(batch, inputs), (outputs, inputs), (outputs,), (batch, outputs)])
    )
    kept = reference.keep(*mask, shape)
    read = {id(a): file.read(a)._replace(strides=()) for a in (x, weight, bias, dy)}
    nothing = Operand(name, ABSENT, 0)
    results = [
        ("forward", expected.connect_forward(x, weight, bias, kept, scale), [read[id(a)] for a in (x, weight, bias)]),
        ("dx", expected.connect_dx(dy, weight, kept, scale), [read[id(a)] for a in (dy, weight)]),
        ("dweight", expected.connect_dweight(dy, x, kept, scale), [read[id(a)] for a in (dy, x)]),
    ]
    if inputs % 2:
        without = expected.connect_forward(x, weight, None, kept, scale)
        results.append(("forward", without, [read[id(a)] for a in (x, weight)] + [nothing]))
    for what, result, operands in results:
        operands = [file.written(result)._replace(strides=()), *operands]
        label = f"dropconnect_{what}-{name}-{batch}x{outputs}x{inputs}" + "-no-bias" * (nothing in operands)
        file.add(
            label,
            f"dropconnect_{what}",
            operands,
            shape,
            mask=mask,
            scale=scale,
            threads=3,
            sweep=int(shape == (5, 7, 33)),
        )


def bits(file):
    """Keep bits alone: thresholds of every kind, far tiles, and enough tiles for the rare ones with many ties."""
    masks = [mask_of(p) for p in (*PS, 1 / 256, 255 / 256, 0.4999, 0.999)]
    odd = [1, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**39 - 1, 2**39 + 1, 2**39 + 2**31, 2**40 - 1, 0x5555555555]
    masks += [MaskNumbers(k * 0x9E3779B97F4A7C15 % 2**64, k, threshold) for k, threshold in enumerate(odd)]
    starts = [0, 2**21 - 1, 2**28 - 1, 2**45 - 4]
    for mask in masks:
        for start in starts:
            number = np.arange(4 * TILE, dtype=np.uint64) + np.uint64(start * TILE)
            kept = reference.uniform40(mask.key, mask.call, number) < np.uint64(mask.threshold)
            place = file.put(np.packbits(kept, bitorder="little"))
            for count in (1, 2, 17, 63, 64, 65, 127, 128, 129, 191, 192, 193, 256):
                operand = Operand("uint32", FILLED, 4 * count, 0, place)
                file.add(
                    f"bits-{mask.threshold}-{start}-{count}",
                    "keep_bits",
                    [operand],
                    [count],
                    mask=mask,
                    first_tile=start,
                    threads=3,
                    sweep=int(count == 65),
                )
    many_ties(file)


def many_ties(file):
    """Tiles with more ties than a vector takes, and with three in one word: rare, so a search found the call."""
    mask, tiles = mask_of(0.3, call=51), 40
    drawn = expected.uniform(mask.key, mask.call, tiles * TILE)
    ties = (drawn >> np.uint64(32) == mask.threshold >> 32).reshape(tiles, -1, 32).sum(axis=-1)
    assert ((ties.sum(axis=1) > 16) & (ties.max(axis=1) < 3)).any()
    assert ((ties.sum(axis=1) <= 16) & (ties.max(axis=1) > 2)).any()
    place = file.put(np.packbits(drawn < np.uint64(mask.threshold), bitorder="little"))
    operand = Operand("uint32", FILLED, tiles * 256, 0, place)
    file.add("bits-many-ties", "keep_bits", [operand], [tiles * 64], mask=mask, threads=3)
    shape = (tiles * TILE,)
    strided(file, "dropout-many-ties", "dropout", mask, 2.0, shape, ["C", "C"], np.float32, [1], large=False)


def copies(file):
    place = file.put(np.random.default_rng(5).bytes(3 * 4096 + 100))
    for count in [*range(1, 70), 127, 128, 129, 255, 257, 4095, 4096, 4097, 8192, 12289]:
        operands = [Operand("uint8", FILLED, count, 0, place), Operand("uint8", place, count)]
        file.add(f"copy-{count}", "copy", operands, [count], threads=3, stores=3, sweep=2 if count in (129, 257) else 1)


def main(folder):
    file = CaseFile()
    for part in (contiguous, layouts, shared, slices, far, backward, softmax, gaussian, dropconnect, bits, copies):
        before = len(file.lines)
        part(file)
        print(f"{part.__name__}: {len(file.lines) - before} cases")
    file.save(folder)
    print(f"{file.size / 1e6:.0f} MB of bytes, the largest operand {file.largest}")


if __name__ == "__main__":
    main(sys.argv[1])
