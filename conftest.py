"""Examples of what needs a package that is not installed are not run."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["fastdrop/torch/*", "fastdrop/bench/training_steps.py"]
if not find_spec("dask"):
    collect_ignore_glob.append("fastdrop/bench/dask_array.py")
