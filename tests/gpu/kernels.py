"""Compiles every CUDA kernel for this machine's GPU, in as many processes as there are cores, into the cache.

python3 tests/gpu/kernels.py [COMPUTE CAPABILITY, such as 90]
"""

import concurrent.futures
import functools
import multiprocessing
import os
import sys

from fastdrop.backends.cuda import compiler, device, source


def size(expression: str, capability: str) -> int:
    """Compile a kernel into the cache; returns its size in bytes."""
    return len(compiler.compiled(expression, capability)[0])


def main() -> None:
    capability = sys.argv[1] if len(sys.argv) > 1 else device.require().cuda.Device().compute_capability
    names = [name for names in source.instances().values() for name in names]
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        sizes = list(pool.map(functools.partial(size, capability=capability), names, chunksize=2))
    target, kind = compiler.target_for(capability)
    print(f"{len(sizes)} kernels as {kind} for {target}, {sum(sizes) / 1e6:.1f} MB, in {compiler._folder()}")


if __name__ == "__main__":
    main()
