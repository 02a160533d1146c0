"""The family in the benchmark: alpha and Gaussian dropout, zoneout, DropBlock, DropPath and locked dropout."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import reference
from fastdrop.bench import checks, peers
from fastdrop.bench.measure import Candidate
from fastdrop.bench.plan import ALPHA, DROP_PATH, GAUSSIAN, LOCKED, ZONEOUT, Case
from fastdrop.rule import ALPHA_DROPPED

Array = NDArray[Any]
Made = tuple[Callable[[], Any], Callable[[Any], None]]


def work(case: Case, arrays: peers.Arrays) -> Made:
    """fastdrop's call, and the check of its result."""
    x, out, other, p, stream = arrays.x, arrays.out, arrays.other, case.p, fd.Stream(0)
    if case.operation == ALPHA:
        return lambda: fd.alpha_dropout(x, p, rng=stream, out=out), partial(_check, x, _alpha)
    if case.operation == GAUSSIAN:
        return lambda: fd.gaussian_dropout(x, p, rng=stream, out=out), partial(_check, x, _gaussian)
    if case.operation == ZONEOUT:
        return lambda: fd.zoneout(x, other, p, rng=stream, out=out), partial(_check, x, partial(_zoneout, other))
    if case.operation == DROP_PATH:
        return lambda: fd.drop_path(x, p, rng=stream, out=out), partial(_shared, x)
    if case.operation == LOCKED:
        return lambda: fd.locked_dropout(x, p, rng=stream, out=out), partial(_shared, x)
    return lambda: fd.dropblock(x, p, 7, rng=stream, out=out), partial(_dropblock, x)


def _check(x: Array, wanted: Callable[[Any, slice, Array], Array], result: Any) -> None:
    """Compare pieces of y with what the recipe says."""
    y, recipe = result
    for part in checks.pieces(x.size):
        checks.close(y.reshape(-1)[part], wanted(recipe, part, x.reshape(-1)[part]))


def _alpha(mask: fd.Mask, part: slice, x: Array) -> Array:
    kept = checks.decisions(mask, np.arange(part.start, part.stop))
    shift = -mask.scale * (1 - mask.keep_prob) * ALPHA_DROPPED
    return (np.where(kept, x.astype(np.float64), ALPHA_DROPPED) * mask.scale + shift).astype(x.dtype)


def _gaussian(noise: fd.GaussianNoise, part: slice, x: Array) -> Array:
    z = reference.normals(noise.recipe.key, noise.recipe.call, np.arange(part.start, part.stop))
    return (x * (1 + noise.sigma * z.astype(np.float64))).astype(x.dtype)


def _zoneout(previous: Array, mask: fd.Mask, part: slice, x: Array) -> Array:
    return np.where(checks.decisions(mask, np.arange(part.start, part.stop)), x, previous.reshape(-1)[part])


def _shared(x: Array, result: Any) -> None:
    y, mask = result
    checks.spatial(y, x, mask)


def _dropblock(x: Array, result: Any) -> None:
    """The first examples: kept or zero, and scaled by what the mask counts."""
    y, mask = result
    kept = np.asarray(mask)
    few = slice(0, 2)
    checks.close(y[few], np.where(kept[few], x[few] * x.dtype.type(kept.size / kept.sum()), x.dtype.type(0)))


def others(case: Case, arrays: peers.Arrays) -> dict[str, Callable[[], Candidate]]:
    """NumPy, written as well as it can be, and torch where it has the operation."""
    moved = 2 * arrays.x.nbytes
    found: dict[str, Callable[[], Candidate]] = {}
    if case.operation in (ALPHA, GAUSSIAN):
        found["NumPy at its best"] = lambda: Candidate(_numpy(case, arrays), partial(_plausible, case, arrays.x), moved)
    if case.operation == ALPHA and "torch" not in peers.missing():
        found["torch"] = lambda: Candidate(_torch_alpha(case, arrays), partial(_plausible, case, arrays.x), moved)
    return found


def _plausible(case: Case, x: Array, result: Any) -> None:
    """Draws of another's: kept and dropped values are right, and as many of each, or the noise's variance is."""
    y, x, p = np.asarray(result).reshape(-1)[: checks.HEAD], x.reshape(-1)[: checks.HEAD], case.p
    if case.operation == GAUSSIAN:
        np.testing.assert_allclose(np.std(y / x, dtype=np.float64), np.sqrt(p / (1 - p)), rtol=0.1)
        return
    scale = ((1 - p) * (1 + p * ALPHA_DROPPED**2)) ** -0.5
    shift = -scale * p * ALPHA_DROPPED
    dropped = np.isclose(y, ALPHA_DROPPED * scale + shift, rtol=1e-3)
    np.testing.assert_allclose(y[~dropped], x[~dropped] * scale + shift, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(dropped.mean(), p, atol=0.05 if x.size > 1000 else 0.5)


def _numpy(case: Case, arrays: peers.Arrays) -> Callable[[], Array]:
    rng, x, out, p = np.random.default_rng(0), arrays.x, arrays.out, case.p
    drawn = np.empty(x.shape, np.float32)
    scale = ((1 - p) * (1 + p * ALPHA_DROPPED**2)) ** -0.5

    def alpha() -> Array:
        rng.random(out=drawn, dtype=np.float32)
        np.multiply(x, np.float32(scale), out=out)
        np.copyto(out, np.float32(ALPHA_DROPPED * scale), where=drawn < p)
        return np.add(out, np.float32(-scale * p * ALPHA_DROPPED), out=out)

    def gaussian() -> Array:
        rng.standard_normal(out=drawn, dtype=np.float32)
        np.multiply(drawn, np.float32(np.sqrt(p / (1 - p))), out=drawn)
        np.add(drawn, np.float32(1), out=drawn)
        return np.multiply(x, drawn, out=out)

    return alpha if case.operation == ALPHA else gaussian


def _torch_alpha(case: Case, arrays: peers.Arrays) -> Callable[[], Any]:
    torch: Any = importlib.import_module("torch")
    x = torch.from_numpy(arrays.x)
    return lambda: torch.nn.functional.alpha_dropout(x, case.p, training=True)
