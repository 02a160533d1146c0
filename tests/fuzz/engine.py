"""Runs one reader under atheris, in this process: `python -m fuzz.engine READER INPUTS SEED WORK`.

libFuzzer keeps inputs with new coverage in WORK, and writes a finding into the committed corpus. The readers' mutations
keep the structure; libFuzzer's are used for the rest.
"""

import os
import random
import sys
import tempfile
from pathlib import Path

import atheris

INSTRUMENTED = ["fastdrop", "fastdrop_gui"]
NOT_INSTRUMENTED = ["fastdrop.nn", "fastdrop.reference", "fastdrop.functional", "fastdrop.experiments.trainer"]
"""The training code: its branches do not depend on inputs, and tracing is slow."""
LONGEST = 1 << 17
"""Bytes of an input."""
OWN = 0.85
"""Fraction of the mutations that keep the structure."""
HANG = 300
"""Seconds of wall time; the limit `readers.SECONDS` of CPU time comes first, except in C code."""
RSS = 3000
"""Megabytes of memory that the limit of address space did not stop."""


def main(name, inputs, seed, work):
    """Run the reader on this number of inputs; the exit status is libFuzzer's."""
    with atheris.instrument_imports(include=INSTRUMENTED, exclude=NOT_INSTRUMENTED):
        from fuzz.readers import CORPUS, limited_memory, readers

        kind = readers()[name]

    committed = CORPUS / name
    for folder in (committed, Path(work)):
        folder.mkdir(parents=True, exist_ok=True)
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="fastdrop-fuzz-") as folder:
        reader = kind(folder)
        for number, content in enumerate(reader.seeds()):
            Path(work, f"seed-{number}").write_bytes(content)

        def mutate(content, longest, number):
            rng = random.Random(number)
            if rng.random() > OWN:
                return atheris.Mutate(content, longest)
            mutated = reader.mutated(rng, content)
            return mutated if len(mutated) <= longest else content

        options = {
            "runs": inputs, "seed": seed, "max_len": LONGEST, "len_control": 0, "timeout": HANG,
            "report_slow_units": HANG, "rss_limit_mb": RSS, "artifact_prefix": f"{committed}/", "print_final_stats": 1,
        }  # fmt: skip
        atheris.Setup(
            ["fuzz", *(f"-{key}={value}" for key, value in options.items()), work, str(committed)],
            reader.outcome,
            custom_mutator=mutate,
        )
        with limited_memory():
            atheris.Fuzz()  # this ends the process


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
