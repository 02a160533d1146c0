"""dieharder (R. G. Brown) over the pipe of `fastdrop bits`: its p-values by test."""

import os
import subprocess
import sys

# Numbers of tests, with options: those that need at most 250 MB (others want gigabytes, which takes long in the
# slow orders), and all. dieharder itself advises against number 14 and calls 5 to 7 suspect.
QUICK = ["0", "3", "4", "8", "10", "11", "15", "100", "101"]
ALL = [*QUICK, "1", "2", "9", "12", "13", "16", "17", "102", "200 -n 4", "200 -n 8", "201 -n 3", "202 -n 5", "203 -n 7"]
ALL += ["203 -n 31", "204", "205", "206", "207", "208", "209"]
STREAMS = [
    ("elements", 0.5),
    ("elements", 0.3),
    ("calls", 0.5),
    ("calls", 0.3),
    ("seeds", 0.5),
    ("seeds", 0.3),
    ("children", 0.5),
    ("children", 0.3),
    ("remainders", 0.5),
    ("planes", 0.5),
    ("gaussian", 0.5),
]


def command(order, p, seed):
    """The arguments of `fastdrop` that write this stream."""
    rate = [] if p == 0.5 else ["--rate", repr(p)]
    return ["bits", "--order", order, *rate, "--seed", str(seed)]


def p_values(order, p, seed, test, factor=1):
    """The p-values of one test, with `factor` times its default number of samples."""
    samples = ["-p", str(100 * factor)] if factor > 1 else []
    battery = ["dieharder", "-g", "200", "-d", *test.split(), *samples, "-c", ","]
    shown = [word for name in ("test_name", "ntuple", "pvalues") for word in ("-D", name)]
    environment = {**os.environ, "LC_ALL": "C"}
    fastdrop = [sys.executable, "-m", "fastdrop.cli.main", *command(order, p, seed)]
    with subprocess.Popen(fastdrop, stdout=subprocess.PIPE) as bits:
        ran = subprocess.run([*battery, *shown], stdin=bits.stdout, env=environment, capture_output=True, text=True)
        bits.stdout.close()
    found = {}
    for line in ran.stdout.splitlines():
        name, _, rest = line.strip().partition(",")
        if rest.count(",") == 1:
            ntuple, value = rest.split(",")
            name = f"{name} {ntuple.strip()}" if int(ntuple) else name
            found[name if name not in found else f"{name} (2)"] = float(value)
    if ran.returncode or bits.returncode or not found:
        raise RuntimeError(
            f"{' '.join(battery)} ended with {ran.returncode}, fastdrop with {bits.returncode}: {ran.stderr}"
        )
    return found


def version():
    """As dieharder says it."""
    said = subprocess.run(["dieharder", "-l"], capture_output=True, text=True, check=True).stdout
    return said.split("dieharder version ")[1].split()[0]
