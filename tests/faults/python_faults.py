"""Faults of the Python side: each replaces one attribute of a module by a faulty version.

`plant.py` plants them. A change gets the attribute from its owner's namespace and returns the replacement. They are
in two modules: these helpers and the package without its experiments; python_more.py has the others.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

Change = Callable[[Any], Any]


class Fault(NamedTuple):
    module: str
    attribute: str
    breaks: str
    areas: str
    """Areas of areas.py, comma-separated: each must catch it."""
    change: Change


FAULTS: dict[str, Fault] = {}


def fault(name: str, place: str, breaks: str, areas: str, change: Change) -> None:
    """Add one to the table; `place` is module:attribute."""
    module, _, attribute = place.partition(":")
    FAULTS[name] = Fault(module, attribute, breaks, areas, change)


def instead(result: Callable[..., Any]) -> Change:
    """Replace a function or method by one that returns `result(right, *arguments)`."""

    def change(right: Any) -> Any:
        function = right.__func__ if isinstance(right, staticmethod) else right

        @functools.wraps(function)
        def wrong(*arguments: Any, **keywords: Any) -> Any:
            return result(function, *arguments, **keywords)

        return staticmethod(wrong) if isinstance(right, staticmethod) else wrong

    return change


def returning(value: Any) -> Change:
    """Replace a function or method by one that does nothing and returns this."""
    return instead(lambda right, *arguments, **keywords: value)


def getting(result: Callable[[Any], Any]) -> Change:
    """Of a property: `result(self)` is its value."""
    return lambda right: property(result)


# ---- the mask rule, arguments, masks and streams

fault(
    "threshold_cut_off",
    "fastdrop.rule:threshold_of",
    "the threshold is not rounded",
    "rule",
    instead(lambda right, p: int((1.0 - p) * 2**40)),
)
fault(
    "scale_of_threshold",
    "fastdrop.rule:inverted_scale",
    "the scale is that of the rounded threshold",
    "users",
    instead(lambda right, p: 2**40 / round((1.0 - p) * 2**40) if p < 1 else 0.0),
)
fault(
    "alpha_without_variance",
    "fastdrop.rule:alpha_scale",
    "alpha dropout's scale leaves out what dropped elements add",
    "family",
    instead(lambda right, p: (1.0 - p) ** -0.5 if p < 1 else 0.0),
)
fault(
    "nan_is_a_probability",
    "fastdrop.rule:check_probability",
    "NaN passes as a probability",
    "refusals",
    instead(lambda right, p, name="p": 0.5 if p != p else right(p, name)),
)
fault("any_version", "fastdrop.rule:check_version", "states of other versions are accepted", "dropout", returning(None))
fault(
    "nothing_left_at_p_one",
    "fastdrop.rule:evaluation_scale",
    "evaluation at p = 1 is not zero",
    "dropout",
    instead(lambda right, p: right(p) or 1.0),
)
fault(
    "axes_from_behind",
    "fastdrop.arguments:normalize_axis",
    "negative axes stay negative",
    "dropout",
    instead(lambda right, axis, ndim, name: axis),
)
fault(
    "axis_named_twice",
    "fastdrop.arguments:normalize_axes",
    "an axis may be named twice",
    "refusals",
    instead(lambda right, axes, *more: right(tuple(set(axes)) if isinstance(axes, tuple) else axes, *more)),
)
fault(
    "draws_without_end",
    "fastdrop.arguments:check_draws",
    "masks may have more draws than are numbered",
    "refusals",
    returning(None),
)
fault(
    "true_is_an_int",
    "fastdrop.arguments:check_int",
    "True passes as a number",
    "refusals",
    instead(lambda right, number, *more, **keywords: right(1 if number is True else number, *more, **keywords)),
)
fault(
    "product_forgets",
    "fastdrop.multiplicative_noise:MultiplicativeNoise.__mul__",
    "a product with a mask is the array",
    "users",
    instead(lambda right, mask, other: other),
)
fault(
    "equal_whatever_call",
    "fastdrop.mask:Mask._identity",
    "masks of different calls are equal",
    "dropout",
    getting(lambda mask: (mask.shape, mask.p)),
)
fault(
    "saved_scale_lost",
    "fastdrop.mask:Mask.__setstate__",
    "an unpickled mask has scale 1",
    "masks",
    instead(lambda right, mask, state: right(mask, {**state, "scale": 1.0})),
)
fault(
    "noise_shape_is_shape",
    "fastdrop.mask:Mask.noise_shape",
    "a mask as an array has a keep bit for each element, shared or not",
    "dropout",
    getting(lambda mask: mask.shape),
)
fault(
    "call_after_failure",
    "fastdrop.stream:Drawing.__exit__",
    "a failed call uses up a call number",
    "refusals",
    returning(None),
)
fault(
    "generator_after_failure",
    "fastdrop.stream:_undo",
    "a failed call advances NumPy's generator",
    "refusals",
    returning(None),
)
fault(
    "large_seeds_cut",
    "fastdrop.stream:_key_of",
    "the key of a large seed is its lower word",
    "users",
    instead(lambda right, seed: seed % 2**64 if type(seed) is int and seed >= 2**64 else right(seed)),
)
fault(
    "children_draw_alike",
    "fastdrop.stream:DOMAIN_SPAWN",
    "keys of children come from another domain",
    "streams",
    lambda right: right - 1,
)
fault(
    "restored_stream_begins",
    "fastdrop.stream:_restore",
    "an unpickled stream starts again",
    "streams",
    instead(lambda right, kind, state, attributes: right(kind, {**state, "calls": 0}, attributes)),
)

# ---- slices of masks

fault(
    "shared_axes_numbered",
    "fastdrop.bit_layout:whole",
    "slices give shared keep bits separate numbers",
    "slices",
    instead(lambda right, shape, shared_axes: right(shape, ())),
)
fault(
    "steps_forgotten",
    "fastdrop.bit_layout:_normal",
    "slices with steps advance by 1",
    "slices",
    instead(lambda right, shape, first, strides: right(shape, first, [max(-1, min(s, 1)) for s in strides])),
)
fault(
    "saved_slices_unchecked",
    "fastdrop.bit_layout:checked_layout",
    "a saved slice may have any number of axes",
    "calls",
    instead(lambda right, numbers, ndim: right(numbers, len(numbers[1]))),
)

# ---- the CPU's adapter


def _as_native(array: Any) -> Any:
    return array.view(array.dtype.newbyteorder("=")) if hasattr(array, "view") else array


fault(
    "bytes_in_any_order",
    "fastdrop.backends.cpu:as_input",
    "arrays of the other byte order are read without swapping",
    "layouts",
    instead(lambda right, array, name: right(_as_native(array), name)),
)
fault(
    "overlap_not_copied",
    "fastdrop.backends.cpu:_is_apart",
    "inputs that overlap the result are not copied",
    "layouts",
    returning(True),
)
fault(
    "zero_times_infinity",
    "fastdrop.backends.cpu:multiply",
    "evaluation multiplies dropped infinities by 0",
    "evaluation",
    instead(lambda right, x, out, factor: right(x * factor if factor == 0 else x, out, factor or 1.0)),
)
fault(
    "bits_behind_the_last",
    "fastdrop.backends.cpu:keep_bits",
    "unused bits of packed masks are not 0",
    "dropout",
    instead(lambda right, draw, threshold, count, like: right(draw, threshold, -(-count // 8) * 8, like)),
)
fault(
    "subclasses_pass",
    "fastdrop.backends.cpu:check_class",
    "masked arrays lose their masks",
    "exchange",
    returning(None),
)
fault(
    "weights_not_scaled",
    "fastdrop.backends.cpu:masked_weight",
    "one mask per batch does not scale its weights",
    "dropconnect",
    instead(lambda right, weight, mask, out: right(weight, mask._with(scale=1.0), out)),
)
fault(
    "sums_in_half_precision",
    "fastdrop.backends.cpu:compute_dtype",
    "a bias' gradient is added up in halves",
    "fused",
    instead(lambda right, dtype: dtype),
)

# ---- other adapters: CUDA, Dask, DLPack, PyTorch

fault(
    "round_keys_of_one_word",
    "fastdrop.backends.cuda.structs:round_keys",
    "rounds on a GPU get the lower key word twice",
    "adapter",
    instead(lambda right, key: right(key % 2**32 * (2**32 + 1))),
)
fault(
    "shift_not_packed",
    "fastdrop.backends.cuda.structs:pack",
    "alpha dropout's shift does not reach a GPU",
    "adapter",
    instead(lambda right, kind, bits, **fields: right(kind, bits._replace(shift=0.0), **fields)),
)
fault(
    "width_of_any_address",
    "fastdrop.backends.cuda.geometry:_width",
    "wide accesses are used at any address",
    "adapter",
    instead(lambda right, operands, itemsize, axes=(): 16 // itemsize),
)
fault(
    "broadcast_axes_walked",
    "fastdrop.backends.cuda.geometry:_stride",
    "an operand of one row is walked beyond it",
    "emulated",
    instead(lambda right, operand, axis: operand.strides[axis] if len(operand.shape) >= -axis else 0),
)
fault(
    "last_warp_missing",
    "fastdrop.backends.cuda.geometry:in_warps",
    "the last warp is not launched",
    "adapter",
    instead(lambda right, count, each: max(1, count // each) * 32),
)
fault(
    "captured_memory_freed",
    "fastdrop.backends.cuda.capture:keep",
    "memory that a graph uses is freed",
    "graphs",
    returning(None),
)
fault(
    "replays_not_counted",
    "fastdrop.graph:GraphStream.end_replay",
    "every replay draws the same masks",
    "graphs",
    returning(None),
)
fault(
    "chunk_from_the_begin",
    "fastdrop.chunks:_apply_to_chunk",
    "all chunks of a Dask array have the keep bits of the first",
    "dask",
    instead(lambda right, chunk, place, mask: right(chunk, [slice(each.stop - each.start) for each in place], mask)),
)
fault(
    "unknown_chunks",
    "fastdrop.chunks:as_input",
    "chunks of unknown sizes are accepted",
    "dask",
    instead(lambda right, array, name: array),
)
fault(
    "bfloat16_by_integers",
    "fastdrop.backends.exchange:bfloat16",
    "bfloat16 of other packages becomes integers",
    "exchange",
    returning("uint16"),
)
fault(
    "torch_gradient_unmasked",
    "fastdrop.torch.autograd:Masked.backward",
    "autograd's gradient is not masked",
    "torch",
    instead(lambda right, ctx, *dy: (dy[0], None, None, None)),
)
fault(
    "torch_softmax_gradient",
    "fastdrop.torch.autograd:SoftmaxDropout.backward",
    "the gradient of attention's weights is halved",
    "torch",
    instead(lambda right, ctx, *dy: (right(ctx, *dy)[0] * 0.5, None, None)),
)
fault(
    "checkpoint_draws_anew",
    "fastdrop.torch.randomness:_again",
    "a checkpoint's second forward draws another mask",
    "checkpoints",
    returning(None),
)
fault(
    "torch_channels",
    "fastdrop.torch.functional:_positions",
    "a batch's channels are treated as positions",
    "torch",
    instead(lambda right, x, batched: right(x, False)),
)
fault(
    "torch_state_lost",
    "fastdrop.torch.modules:OwnMasks.set_extra_state",
    "a loaded module starts its masks again",
    "torch",
    returning(None),
)

import python_more  # noqa: E402, F401 # adds to FAULTS
