"""Counts the machine instructions of every kernel for sm_90, and compares them with the recorded budgets: a test of the
kernels' speed that needs no GPU.

python tests/ptx/sass.py --record    rewrites budgets.json, after a change whose cost is intended

A budget is the instructions of the whole kernel, and those of the shortest way through its main loop for each 16 bytes
that are stored there. Budgets belong to one version of NVRTC, which pyproject.toml pins.
"""

import functools
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # the folders that pytest adds to the path
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "emulation")]

import cupy
from ptx import machine

from fastdrop.backends.cuda import compiler, source

BUDGETS = Path(__file__).with_name("budgets.json")
ARCHITECTURE = "90"
INSTRUCTION_BYTES = 16
WIDTHS = {"128": 16, "64": 8, "U16": 2, "U8": 1}
"""Bytes that a store writes by its suffix; 4 without one."""


@functools.cache
def nvdisasm() -> str | None:
    """NVIDIA's disassembler: PyPI's, or the toolkit's."""
    packages = importlib.util.find_spec("nvidia")
    for place in packages.submodule_search_locations if packages else ():
        for path in Path(place).glob("*/bin/nvdisasm"):
            return str(path)
    return shutil.which("nvdisasm")


def cubin_of(expression: str, architecture: str) -> tuple[bytes, str]:
    """The cubin that the product gives to the driver, and the function's name in it."""
    with machine.compiling():
        return compiler.compiled(expression, architecture)


def disassembled(expression: str, architecture: str) -> list[dict]:
    """The kernel's instructions, as nvdisasm reads them from the cubin that users run."""
    image, function = cubin_of(expression, architecture)
    folder = machine.BUILD / "sass"
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / f"{hashlib.sha256(function.encode() + image).hexdigest()[:32]}.json"
    if not listing.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:  # other processes may write the same file
            path, part = Path(own, "kernel.cubin"), Path(own, "listing.json")
            path.write_bytes(image)
            result = subprocess.run([nvdisasm(), "-json", str(path)], capture_output=True, text=True, check=False)
            if result.returncode:
                raise RuntimeError(f"nvdisasm refuses {expression} for sm_{architecture}: {result.stderr}")
            found = {each["function-name"]: each["sass-instructions"] for each in json.loads(result.stdout)[1]}
            part.write_text(json.dumps(found[function]))
            part.replace(listing)
    return json.loads(listing.read_text())


def local_memory(instructions: list[dict]) -> list[str]:
    """The instructions that use a stack or spill registers."""
    return [each["opcode"] for each in instructions if each["opcode"].startswith(("LDL", "STL"))]


def stored(instruction: dict) -> int:
    """The bytes that an instruction stores to global memory."""
    kind, *suffixes = instruction["opcode"].split(".")
    return 0 if kind != "STG" else next((WIDTHS[suffix] for suffix in suffixes if suffix in WIDTHS), 4)


def jump(instruction: dict) -> int | None:
    """The number of the instruction that a branch goes to."""
    if instruction["opcode"].partition(".")[0] != "BRA":
        return None
    return int(instruction["operands"].rpartition(",")[2], 16) // INSTRUCTION_BYTES


def shortest(instructions: list[dict], begin: int, end: int) -> list[dict]:
    """The instructions of a range without those that a branch can skip and that store nothing: drawing, slow cases."""
    path, at = [], begin
    while at <= end:
        each = instructions[at]
        path.append(each)
        target = jump(each) or 0
        forward = at < target <= end
        left_out = forward and ("predicate" not in each or not any(map(stored, instructions[at:target])))
        at = target if left_out else at + 1
    return path


def counts(instructions: list[dict]) -> dict[str, float]:
    """A kernel's figures. The main loop is the innermost loop that stores most; without loops, the whole kernel."""
    jumps = [(jump(each), number) for number, each in enumerate(instructions)]
    loops = [(a, b) for a, b in jumps if a is not None and a <= b and any(map(stored, instructions[a : b + 1]))]
    inner = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    paths = [shortest(instructions, a, b) for a, b in inner or [(0, len(instructions) - 1)]]
    main = max(paths, key=lambda path: sum(map(stored, path)))
    written = sum(map(stored, main))
    return {"instructions": work(instructions), "per_16_bytes": round(16 * work(main) / written, 1)}


def work(instructions: list[dict]) -> int:
    return sum(each["opcode"] != "NOP" for each in instructions)


def exceeded(found: dict[str, dict], budgets: dict[str, dict]) -> list[str]:
    """Kernels over their budget, kernels without a budget, and budgets without a kernel."""
    lines = [f"{name} has no budget" for name in sorted(found.keys() - budgets.keys())]
    lines += [f"{name} has a budget, and is no kernel" for name in sorted(budgets.keys() - found.keys())]
    for name in sorted(found.keys() & budgets.keys()):
        for figure, value in found[name].items():
            if value > budgets[name][figure]:
                lines.append(f"{name}: {figure} {value}, budget {budgets[name][figure]}")
    return lines


def lower(found: dict[str, dict], budgets: dict[str, dict]) -> list[str]:
    """Kernels under their budget."""
    return [
        f"{name}: {figure} {value}, budget {budgets[name][figure]}"
        for name in sorted(found.keys() & budgets.keys())
        for figure, value in found[name].items()
        if value < budgets[name][figure]
    ]


def version() -> str:
    """NVRTC's version, as its binding reports it."""
    return ".".join(map(str, cupy.cuda.nvrtc.getVersion()))


def names() -> list[str]:
    return [name for part in source.instances().values() for name in part]


def measured() -> dict[str, dict]:
    return {name: counts(disassembled(name, ARCHITECTURE)) for name in names()}


def recorded() -> dict:
    return json.loads(BUDGETS.read_text())


def record() -> None:
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(figures)}" for name, figures in measured().items())
    head = f'{{\n  "nvrtc": "{version()}",\n  "architecture": "sm_{ARCHITECTURE}",\n  "kernels": {{\n'
    BUDGETS.write_text(f"{head}{lines}\n  }}\n}}\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--record"]:
        sys.exit(__doc__)
    record()
