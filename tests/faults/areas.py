"""Which tests catch which faults: the test files of each area, the quickest first.

core/rule is tests/core/test_rule.py.
"""

HOSTILE = (
    "core/hostile_masks core/hostile_arguments core/failed_calls core/shared_memory core/evaluation core/extreme_sizes "
    "core/reentrant_calls"
)
FAMILY = "core/family core/family_regions core/family_published"
CUDA = (
    "cuda/cuda_dropout cuda/cuda_fused cuda/cuda_gaussian cuda/cuda_dropconnect cuda/cuda_devices cuda/cuda_captures "
    "cuda/cuda_layers cuda/cuda_geometry"
)

AREAS = {
    # the mask rule and the CPU's kernels
    "philox": "core/philox",
    "rule": "core/rule",
    "dropout": "core/dropout",
    "masks": "core/usual_calls core/dropout core/slices",
    "slices": "core/slices",
    "layouts": "core/dropout core/noise core/fused",
    "fused": "core/fused",
    "noise": "core/noise",
    "family": FAMILY,
    "dropconnect": "core/dropconnect",
    "evaluation": f"{FAMILY} core/noise core/dropout core/fused",
    "calls": f"core/usual_calls {HOSTILE}",
    "refusals": f"{FAMILY} {HOSTILE}",
    "streams": f"core/rule core/dropout core/errors {HOSTILE}",
    "users": "core/numpy_users core/mask_products",
    "threads": "core/processor core/dropout core/fused core/dask",
    "pool": "core/pool_reuse core/pool_limits core/pool_arrays core/pool_processes",
    # the other adapters
    "adapter": "cuda/cuda_adapter",
    "emulated": CUDA,
    "shared memory": "cuda/cuda_shared",
    "graphs": f"cuda/cuda_graphs {CUDA}",
    "dask": "core/dask",
    "exchange": "core/exchange",
    "torch": "pytorch/torch",
    "checkpoints": "pytorch/torch_transforms",
    # layers, experiments, the benchmark
    "layers": "nn/nn nn/nn_gradients nn/nn_definitions nn/nn_models nn/nn_torch",
    "monte carlo": "nn/monte_carlo",
    "trainer": "experiments/experiment_files",
    "archives": "experiments/hostile_files",
    "tables": "tables/table_cases tables/table_target experiments/experiments experiments/hostile_files",
    "states": "experiments/hostile_states",
    "files": "experiments/experiments experiments/files_writing experiments/files_locks",
    "configuration texts": "experiments/experiment_files experiments/hostile_texts experiments/experiments",
    "sweeps": "sweeps/sweep",
    "sweep table": "sweeps/sweep_table_rows sweeps/sweep_table_damage sweeps/sweep_table_writers",
    "bench": "bench/bench bench/bench_targets",
}
