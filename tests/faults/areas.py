"""Which tests are to catch which faults: for each area the test files, the quickest first: core/rule is
tests/core/test_rule.py."""

AREAS = {
    # the rule and the CPU's kernels
    "philox": "core/philox",
    "rule": "core/rule",
    "dropout": "core/dropout",
    "masks": "core/usual_calls core/dropout core/slices",
    "slices": "core/slices",
    "layouts": "core/dropout core/noise core/fused",
    "fused": "core/fused",
    "noise": "core/noise",
    "family": "core/family",
    "dropconnect": "core/dropconnect",
    "evaluation": "core/family core/noise core/dropout core/fused",
    "calls": "core/usual_calls core/hostile_calls",
    "refusals": "core/family core/hostile_calls",
    "streams": "core/rule core/dropout core/errors core/hostile_calls",
    "users": "core/numpy_users",
    "threads": "core/processor core/dropout core/fused core/dask",
    "pool": "core/pool",
    # the other adapters
    "adapter": "cuda/cuda_adapter",
    "emulated": "cuda/cuda",
    "shared memory": "cuda/cuda_shared",
    "graphs": "cuda/cuda_graphs cuda/cuda",
    "dask": "core/dask",
    "exchange": "core/exchange",
    "torch": "pytorch/torch",
    "checkpoints": "pytorch/torch_transforms",
    # layers, experiments, the benchmark
    "layers": "nn/nn nn/nn_layers",
    "monte carlo": "nn/monte_carlo",
    "trainer": "experiments/experiment_files",
    "archives": "experiments/hostile_files",
    "tables": "experiments/tables_preview experiments/experiments experiments/hostile_files",
    "states": "experiments/hostile_states",
    "files": "experiments/experiments experiments/files",
    "configuration texts": "experiments/experiment_files experiments/hostile_texts experiments/experiments",
    "sweeps": "sweeps/sweep",
    "sweep table": "sweeps/sweep_table",
    "bench": "bench/bench bench/bench_targets",
}
