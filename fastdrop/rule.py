"""The constants of the mask rule, and the one place where p becomes a threshold and a scale.

`docs/mask-rule.md` states the rule in words, `src_kernels/shared/mask_rule.h` in C.
"""

import math
from functools import lru_cache

RULE_VERSION = 1
"""Part of every saved state: another rule would draw other masks from the same numbers."""

PLANES = 8
TAIL_BITS = 32
THRESHOLD_BITS = PLANES + TAIL_BITS
KEEP_ALL = 1 << THRESHOLD_BITS
TILE = 2048
TILE_COUNTERS = 16

DOMAIN_TAIL = 0xFF
DOMAIN_SPAWN = 0xFE
DOMAIN_NORMAL = 0xFD
NORMAL_GROUP = 64
"""Elements that TILE_COUNTERS Philox counters give a normal number each."""


def check_probability(p: float, name: str = "p") -> float:
    """p as a float, if it is a probability."""
    if type(p) is float and 0.0 <= p <= 1.0:
        return p
    try:
        if not _is_real(p):
            raise TypeError
        value = float(p)
    except OverflowError:
        raise ValueError(f"{name} is the probability of dropping, from 0 to 1; got {p!r:.40}") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} is the probability of dropping, a number from 0 to 1; got {p!r:.200}") from None
    if not 0.0 <= value <= 1.0:  # also False for NaN
        raise ValueError(f"{name} is the probability of dropping, from 0 to 1; got {value!r:.200}")
    return value


def _is_real(number: object) -> bool:
    """Whether float() of it means something: no truth value, text, duration, complex number or array with axes."""
    if isinstance(number, (bool, complex, str, bytes, bytearray)) or getattr(number, "shape", ()) != ():
        return False
    dtype = getattr(number, "dtype", None)
    kind = getattr(dtype, "kind", "c" if any(word in str(dtype) for word in ("bool", "complex")) else "f")  # torch's
    return kind in "iufV"  # V: bfloat16


def check_scaling(scaling: str) -> str:
    """The scaling, if it is one."""
    if not isinstance(scaling, str) or scaling not in ("inverted", "classic"):
        raise ValueError(f'scaling is "inverted" or "classic"; got {scaling!r:.200}')
    return scaling


def threshold_of(p: float) -> int:
    """round((1 - p) * 2**40), half to even.

    >>> threshold_of(0.5) == 2**39
    True
    """
    return round(math.ldexp(1.0 - check_probability(p), THRESHOLD_BITS))


def keep_probability(threshold: int) -> float:
    """The probability that this threshold keeps an element: 1 - p to within 2**-41."""
    return math.ldexp(threshold, -THRESHOLD_BITS)


def evaluation_scale(p: float) -> float:
    """1 - p, by which evaluation multiplies where training does not scale; 0.0 or 1.0 if training keeps none or all."""
    threshold = threshold_of(p)
    return float(threshold > 0) if threshold in (0, KEEP_ALL) else 1.0 - p


def inverted_scale(p: float) -> float:
    """1 / (1 - p), so that the expectation is preserved; 0.0 where nothing is kept, 1.0 where everything is."""
    kept = evaluation_scale(p)
    return 1.0 / kept if kept else 0.0


SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
ALPHA_DROPPED = -SELU_SCALE * SELU_ALPHA
"""Where SELU saturates: what alpha dropout sets dropped elements to (Klambauer et al. 2017, equation 14)."""


def alpha_scale(p: float) -> float:
    """What keeps the variance 1 with dropped elements at `ALPHA_DROPPED`; 0.0 where none is kept, 1.0 where all are."""
    threshold, kept = threshold_of(p), 1.0 - p
    if threshold in (0, KEEP_ALL):
        return float(threshold > 0)
    return (kept * (1.0 + p * ALPHA_DROPPED**2)) ** -0.5


@lru_cache(maxsize=256)
def threshold_and_scale(p: float, scaling: str) -> tuple[int, float]:
    """What a mask of this probability compares with and multiplies by; remembered, since training repeats its p."""
    return threshold_of(p), inverted_scale(p) if check_scaling(scaling) == "inverted" else 1.0


def check_version(state: dict[str, object]) -> None:
    """Refuse what is no saved state, or one that another version of the rule wrote."""
    if not isinstance(state, dict):
        raise TypeError(f"a saved state is the dict that was read before; got {state!r:.200}")
    version = state.get("rule_version")
    if version != RULE_VERSION:
        raise ValueError(
            f"this state was saved under mask rule version {version!r:.200}; "
            f"this fastdrop draws by version {RULE_VERSION}"
        )
