"""Examples of what needs a package that is not installed are not run."""

from importlib.util import find_spec

collect_ignore_glob = (
    [] if find_spec("torch") else ["fastdrop/torch/*", "fastdrop/bench/torch_steps.py", "fastdrop/cli/bench_torch.py"]
)
