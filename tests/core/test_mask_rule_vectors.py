"""The kernels, the reference and the Python code of docs/mask-rule.md reproduce docs/mask-rule-vectors.json."""

import json
import re

import make_vectors
import numpy as np
import pytest

import fastdrop as fd
from fastdrop import reference
from fastdrop._kernels import cpu
from fastdrop.regions import BlockMask, CutoutMask
from fastdrop.rule import inverted_scale, threshold_of

VECTORS = json.loads(make_vectors.TARGET.read_text(encoding="utf-8"))
PAGE = make_vectors.TARGET.with_name("mask-rule.md").read_text(encoding="utf-8")


def cases(name):
    return pytest.mark.parametrize("case", VECTORS[name])


def number(text):
    return int(text, 16)


def draw_of(case):
    return fd.stream.Draw(number(case["key"]), number(case["call"]))


def mask_of(case):
    return fd.Mask(tuple(case["shape"]), case["p"], draw_of(case), tuple(case["shared_axes"]))


def floats(words):
    return np.array([number(word) for word in words], np.uint32).view(np.float32)


@pytest.fixture(scope="module")
def page():
    """The names that the page's Python code defines."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace = {}
    exec(compile(block, "mask-rule.md", "exec"), namespace)
    return namespace


def test_the_reference_makes_the_file_again():
    assert make_vectors.as_text(make_vectors.vectors()) == make_vectors.TARGET.read_text(encoding="utf-8")
    assert make_vectors.TARGET.stat().st_size < 100_000


def test_the_edges_are_among_the_cases():
    masks = VECTORS["masks"]
    assert {0.0, 1.0} <= {case["p"] for case in masks}
    assert any(number(case["key"]) == number(case["call"]) == 2**64 - 1 for case in masks)
    assert any(case["bits"] > 2048 and threshold_of(case["p"]) % 2**32 for case in masks)  # ties in several tiles
    assert any(case["shared_axes"] for case in masks)


@cases("philox")
def test_philox(case, page):
    counter, key, words = ([number(word) for word in case[name]] for name in ("counter", "key", "words"))
    assert list(cpu.philox(counter, key)) == list(page["philox"](counter, key)) == words


@cases("words")
def test_words(case, page):
    key, call, index = (number(case[name]) for name in ("key", "call", "index"))
    assert list(page["words"](key, call, case["domain"], index)) == [number(word) for word in case["words"]]


@cases("thresholds")
def test_thresholds(case):
    p = case["p"]
    assert p == float.fromhex(case["p_hex"])
    assert (threshold_of(p), inverted_scale(p)) == (number(case["threshold"]), float.fromhex(case["scale_hex"]))
    mask = fd.Mask(8, p, 0)
    assert (mask.threshold, mask.scale) == (number(case["threshold"]), float.fromhex(case["scale_hex"]))


@cases("uniforms")
def test_uniforms(case):
    """U of the kernels, found by thresholds at U and next to it."""
    draw, element, u = draw_of(case), number(case["element"]), number(case["u"])
    assert int(reference.uniform40(draw.key, draw.call, element)) == u
    for threshold, kept in ((u, 0.0), (u + 1, 1.0)):
        layout = fd.bit_layout.BitLayout(element, (0,))
        mask = cpu.make_mask((1,), 0.5, draw, threshold, 1.0, (), "dropout", layout)
        assert mask(np.ones(1, np.float32))[0] == kept


@cases("masks")
def test_masks(case, page, isa):
    mask = mask_of(case)
    assert mask.packed().tobytes().hex() == case["packed"]
    kept = np.unpackbits(mask.packed(), count=case["bits"], bitorder="little").astype(bool)
    assert kept.sum() == case["kept"]
    shape, shared_axes = tuple(case["shape"]), tuple(case["shared_axes"])
    whole = np.broadcast_to(kept.reshape(mask.noise_shape), shape)
    y, drawn = fd.dropout(np.ones(shape), case["p"], rng=draw_of(case), shared_axes=shared_axes)
    assert drawn == mask
    np.testing.assert_array_equal(y, whole * mask.scale)
    if isa == cpu.available_isas()[0]:  # a sample of long masks, since the page's Python is slow
        count = case["bits"]
        some = [*range(0, count, 1 + count // 300), *range(max(0, count - 5), count)]
        key, call = draw_of(case).key, draw_of(case).call
        assert [page["is_kept"](key, call, case["p"], i) for i in some] == kept[some].tolist()


@cases("slices")
def test_slices(case, isa):
    whole = mask_of(case)
    part = whole[tuple(slice(*each) for each in case["slices"])]
    assert list(part.shape) == case["sliced_shape"]
    kept = np.packbits(part.booleans().reshape(-1), bitorder="little")
    assert kept.tobytes().hex() == case["booleans"]
    np.testing.assert_array_equal(part(np.ones(part.shape, np.float32)) != 0, part.booleans())


@cases("spawned")
def test_spawned(case, page):
    stream, child = fd.Stream(number(case["key"])), case["child"]
    stream.state = {**stream.state, "spawned": child}
    low, high, *_ = page["words"](stream.key, 0, 254, child)
    assert stream.spawn(1)[0].key == number(case["child_key"]) == low | high << 32


@cases("normals")
def test_normals(case, isa):
    draw, first, z = draw_of(case), number(case["first"]), floats(case["float32"])
    skipped = first % 64
    noise, ones = (np.empty(skipped + len(z), np.float32), np.ones(skipped + len(z), np.float32))
    cpu.gaussian(noise, ones, draw, 1.0, 1, first // 64)
    np.testing.assert_array_equal(noise[skipped:], np.float32(1) + z)
    found = reference.normals(draw.key, draw.call, np.arange(first, first + len(z), dtype=np.uint64))
    np.testing.assert_array_equal(found.view(np.uint32), z.view(np.uint32))
    np.testing.assert_allclose(z, case["about"], rtol=1e-5)


@cases("gaussian")
def test_gaussian(case, isa):
    y, _ = fd.gaussian_dropout(floats(case["x"]), case["p"], rng=draw_of(case))
    np.testing.assert_array_equal(y.view(np.uint32), floats(case["y"]).view(np.uint32))


@cases("dropblock")
def test_dropblock(case):
    shape = tuple(case["shape"])
    mask = BlockMask(shape, case["p"], case["block"], range(2, len(shape)), draw_of(case))
    assert mask.seeds.p == float.fromhex(case["seed_p_hex"])
    assert mask.seeds.packed().tobytes().hex() == case["seeds"]
    assert np.packbits(mask.booleans().reshape(-1), bitorder="little").tobytes().hex() == case["packed"]
    x = np.ones(shape)
    y, _ = fd.dropblock(x, case["p"], case["block"], rng=draw_of(case))
    np.testing.assert_array_equal(y, mask.booleans() * (x.size / case["kept"]))


@cases("cutout")
def test_cutout(case):
    shape = tuple(case["shape"])
    mask = CutoutMask(shape, case["size"], range(2, len(shape)), draw_of(case))
    assert mask.centres().tolist() == case["centres"]
    assert np.packbits(mask.booleans().reshape(-1), bitorder="little").tobytes().hex() == case["packed"]
    y, _ = fd.cutout(np.ones(shape), case["size"], rng=draw_of(case))
    np.testing.assert_array_equal(y, mask.booleans())
