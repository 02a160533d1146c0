"""The tests as on other machines: once under each change of fonts, locale, time zone, home folder, cores, order ...

`make elsewhere`, or `python tests/elsewhere.py [CHANGE ...] [--tests PATH ...] [--seed N]`. Without names, all changes,
those together that do not touch each other (`MACHINES`), so that few runs see them all; each that is named has a run
alone, which is how to find out which one a failure comes from. Without paths, the unit tests. The exit status is 1 if a
run failed. The seed decides the order of the tests and is printed.

No font and no locale of the machine is used: the fonts are made from the one that matplotlib brings, the locales by
`localedef` from the sources in /usr/share/i18n (Debian's package locales). Nothing needs root.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

from checkout import ROOT, copy_checkout

WORK = ROOT / "build" / "elsewhere"
UNITS = "not native and not gpu and not slow and not packaging"
ODD = "Größe π, two words"
"""A folder's name that needs quotes and an encoding."""
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>{folder}</dir>
<cachedir>{folder}/cache</cachedir>
</fontconfig>
"""


MACHINES = (
    ("font-wide", "german", "kiritimati", "home-odd", "hash-1", "order"),
    ("font-narrow", "turkish", "st-johns", "tmpdir-odd", "seven-threads", "hash-2"),
    ("font-high", "latin-1", "no-home", "private", "one-core"),
    ("scale", "ascii", "home-unwritable"),
    ("dpi", "checkout-odd"),
    ("optimized",),  # alone, since no test asserts anything there: the product must not stumble
)


class Change(NamedTuple):
    """What differs from this machine; a variable that is None is unset."""

    variables: dict[str, str | None]
    command: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    folder: Path = ROOT

    def __or__(self, other: "Change") -> "Change":
        return Change(
            self.variables | other.variables,
            self.command + other.command,
            self.options + other.options,
            self.folder if other.folder == ROOT else other.folder,
        )


def font(width: float = 1.0, height: float = 1.0) -> Change:
    """The only font of the machine is DejaVu Sans, its letters this much wider and its lines this much higher."""
    import matplotlib
    from fontTools.ttLib import TTFont
    from fontTools.ttLib.scaleUpem import scale_upem

    folder = WORK / f"font-{width}-{height}"
    folder.mkdir(parents=True, exist_ok=True)
    found = TTFont(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    units = found["head"].unitsPerEm
    if width != 1.0:  # larger letters in an em that still has its old size; lines stay as high as they were
        lines = [getattr(found["hhea"], name) for name in ("ascent", "descent")]
        scale_upem(found, round(units * width))
        found["head"].unitsPerEm = units
        found["hhea"].ascent, found["hhea"].descent = lines
    for name in ("ascent", "descent"):
        setattr(found["hhea"], name, round(getattr(found["hhea"], name) * height))
    found["OS/2"].usWinAscent = found["OS/2"].sTypoAscender = found["hhea"].ascent
    found["OS/2"].usWinDescent, found["OS/2"].sTypoDescender = -found["hhea"].descent, found["hhea"].descent
    found.save(folder / "font.ttf")
    (folder / "fonts.conf").write_text(_FONTS.format(folder=folder))
    return Change({"FONTCONFIG_FILE": str(folder / "fonts.conf")})


def locale(name: str, charset: str = "UTF-8") -> Change:
    """A locale of our own making."""
    folder = WORK / "locales"
    folder.mkdir(parents=True, exist_ok=True)
    made = f"{name}.{charset}"
    if not (folder / made).exists():
        # its exit status is 1 for a mere warning
        subprocess.run(["localedef", "-i", name, "-f", charset, folder / made], check=False, capture_output=True)
    if not (folder / made / "LC_NUMERIC").exists():
        raise SystemExit(f"localedef cannot make {made}; install the sources of locales (Debian: apt install locales)")
    return Change({"LOCPATH": str(folder), "LC_ALL": made, "LANG": made, "LANGUAGE": None})


def home(path: str | None) -> Change:
    """Another home folder, and none of the folders that the desktop would name."""
    names = ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "CUPY_CACHE_DIR")
    return Change({"HOME": path} | dict.fromkeys(names))


def unwritable_home() -> Change:
    """Not even for root; CuPy, and Dask beside it, cannot be imported without a folder for CuPy's cache."""
    return home("/dev/null/home") | Change({"CUPY_CACHE_DIR": str(WORK / "cupy")})


def odd_folder(variable: str) -> Change:
    folder = WORK / variable.lower() / ODD
    folder.mkdir(parents=True, exist_ok=True)
    return home(str(folder)) if variable == "HOME" else Change({variable: str(folder)})


def checkout() -> Change:
    """A copy of this checkout in a folder with an odd name, with the layout that the packages have when installed."""
    copy = WORK / "checkout" / ODD
    copy_checkout(copy)
    kernels = copy / "fastdrop" / "_kernels"
    for path in ROOT.glob("fastdrop/_kernels/*.so"):
        shutil.copy2(path, kernels)
    shutil.copytree(copy / "src_kernels", kernels / "sources")
    return Change({"PYTHONPATH": os.pathsep.join((str(copy), str(copy / "gui")))}, folder=copy)


def order(seed: int) -> Change:
    return Change({}, options=("--random-order", f"--random-order-seed={seed}"))


def hash_seed(seed: int) -> Change:
    return Change({"PYTHONHASHSEED": str(seed)})


def changes(seed: int) -> dict[str, Callable[[], Change]]:
    """All of them, each made when it is wanted."""
    return {
        "font-wide": lambda: font(width=1.25),
        "font-narrow": lambda: font(width=0.8),
        "font-high": lambda: font(height=1.3),
        "scale": lambda: Change({"QT_SCALE_FACTOR": "1.5"}),
        "dpi": lambda: Change({"QT_FONT_DPI": "144", "QT_ENABLE_HIGHDPI_SCALING": "0"}),  # larger letters alone
        "german": lambda: locale("de_DE"),
        "turkish": lambda: locale("tr_TR"),
        "latin-1": lambda: locale("de_DE", "ISO-8859-1"),
        "ascii": lambda: Change({"LC_ALL": "C", "LANG": "C"}),
        "kiritimati": lambda: Change({"TZ": "Pacific/Kiritimati"}),  # UTC+14
        "st-johns": lambda: Change({"TZ": "America/St_Johns"}),  # UTC-3:30, with summer time
        "no-home": lambda: home(None),
        "home-unwritable": unwritable_home,
        "home-odd": lambda: odd_folder("HOME"),
        "tmpdir-odd": lambda: odd_folder("TMPDIR"),
        "checkout-odd": checkout,
        "private": lambda: Change({}, command=("sh", "-c", 'umask 077; exec "$@"', "sh")),
        "one-core": lambda: Change({}, command=("taskset", "-c", str(min(os.sched_getaffinity(0))))),
        "seven-threads": lambda: Change({"OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "7"}),
        "hash-1": lambda: hash_seed(seed + 1),
        "hash-2": lambda: hash_seed(seed + 2),
        "optimized": lambda: Change({"PYTHONOPTIMIZE": "1"}, options=("-W", "ignore::pytest.PytestConfigWarning")),
        "order": lambda: order(seed),
    }


def run(change: Change, tests: list[str]) -> int:
    """pytest's exit status."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "OPENBLAS_NUM_THREADS": "1"}
    for name, value in change.variables.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    command = [*change.command, sys.executable, "-m", "pytest", "-n", "2", "-q", "-m", UNITS, "-p", "no:cacheprovider"]
    return subprocess.run([*command, *change.options, *tests], env=environment, cwd=change.folder).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", metavar="CHANGE", help=f"of {', '.join(changes(0))} (default: all)")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="part of the unit tests")
    parser.add_argument("--seed", type=int, default=0, help="decides the order of the tests, and the hash seeds")
    options = parser.parse_args()
    known = changes(options.seed)
    assert sorted(known) == sorted(name for machine in MACHINES for name in machine)
    if unknown := set(options.changes) - known.keys():
        parser.error(f"no such change: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    failed = []
    for names in [(name,) for name in options.changes] or MACHINES:
        name = " + ".join(names)
        print(f"--- {name} (seed {options.seed})", flush=True)
        begin = time.monotonic()
        status = run(reduce(or_, (known[each]() for each in names)), options.tests)
        print(f"--- {name}: {'failed' if status else 'passed'}, {time.monotonic() - begin:.0f} s", flush=True)
        failed += [name] * bool(status)
    print(f"failed under: {'; '.join(failed)}" if failed else "passed under every change")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
