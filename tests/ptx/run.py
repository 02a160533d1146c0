"""Checks the CUDA kernels as NVRTC compiles them, without a GPU: runs their PTX in all of CUDA's tests, and reads their
machine code.

python tests/ptx/run.py [--seed 1]

PTX for sm_75 and sm_90 is executed by an interpreter (machine.cpp) that knows which memory a launch may use: each
access is inside of it and aligned, no two threads race, no thread reads unwritten shared memory, and threads and
blocks run forwards, backwards and at random. An instruction that the interpreter does not know ends the run:
instructions.h says which are left out on purpose. Every kernel must be launched in every order. Machine code for sm_75
and sm_90 is read by nvdisasm: no stack, no spills, and on sm_90 no more instructions than recorded (sass.py).

Compiled files are kept in build/ptx, so a second run compiles nothing. Another seed gives other orders.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "emulation")]
PROCESSES = 2


def compile_all() -> None:
    """Compile everything that the tests need, in parallel."""
    from ptx import machine, sass

    machine.library()
    pairs = [(name, architecture) for architecture in machine.ARCHITECTURES for name in sass.names()]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(PROCESSES, context) as pool:
        list(pool.map(compile_one, *zip(*pairs, strict=True), chunksize=8))


def compile_one(name: str, architecture: str) -> None:
    from ptx import machine, sass

    machine.ptx_of(name, architecture)
    sass.disassembled(name, architecture)


def not_launched(folder: str) -> list[str]:
    """Kernels that no test launched, or not in every order; and how much of each PTX was executed."""
    import emulator
    from ptx import machine, sass

    orders: dict[tuple[str, str], set[str]] = {}
    executed: dict[tuple[str, str], list[int]] = {}
    for path in Path(folder).glob("*.json"):
        for architecture, name, seen, bits in json.loads(path.read_text()):
            key = architecture, name
            orders.setdefault(key, set()).update(seen)
            executed[key] = [a | b for a, b in zip(executed.get(key, bits), bits, strict=True)]
    total = sum(map(len, executed.values()))
    print(f"{len(orders)} kernels were launched, and {sum(map(sum, executed.values()))} of their {total} instructions")
    lines = []
    for architecture in machine.ARCHITECTURES:
        for name in sass.names():
            missing = set(emulator.ORDERS) - orders.get((architecture, name), set())
            if missing:
                lines.append(f"sm_{architecture}: no test launches {name} in this order: {', '.join(sorted(missing))}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the orders in which threads and blocks run (default 0)")
    seed = parser.parse_args().seed
    begin = time.perf_counter()
    compile_all()
    print(f"compiled and disassembled in {time.perf_counter() - begin:.0f} s; seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FASTDROP_PTX_SEED": str(seed), "FASTDROP_PTX_REPORTS": folder}
        environment |= {"QT_QPA_PLATFORM": "offscreen", "OPENBLAS_NUM_THREADS": "1", "FASTDROP_REQUIRE_NATIVE": "1"}
        command = [sys.executable, "-m", "pytest", "-n", str(PROCESSES), "-q", "-m", "ptx", "-p", "ptx.reports", "-rsP"]
        files = [
            str(path)
            for path in sorted(TESTS.rglob("test_*.py"))
            if re.search(r"\(gpu\b|, gpu\b|\bptx\b", path.read_text())
        ]
        status = subprocess.run([*command, *files], cwd=TESTS.parent, env=environment, check=False).returncode
        missing = not_launched(folder) if status == 0 else []
    print(*missing, sep="\n")
    print(f"{time.perf_counter() - begin:.0f} s")
    return status or bool(missing)


if __name__ == "__main__":
    sys.exit(main())
