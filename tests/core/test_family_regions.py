"""DropBlock, Cutout, shared axes and zoneout: which elements share a keep bit."""

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.regions import block_start_probability

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.7, 0.95])
@pytest.mark.parametrize(("size", "block"), [((20,), 5), ((12, 9), 3), ((6, 7, 8), 3), ((4, 9), 7), ((8, 8), 1)])
def test_dropblock_drops_the_fraction_p(p, size, block):
    """The mean over each position: fewer blocks cover positions near a border, and the mean compensates."""
    shape = (200, 200 // len(size) ** 2, *size)
    mask = fd.dropblock(np.ones(shape, np.float32), p, block, rng=8)[1]
    kept = np.asarray(mask)
    error = np.sqrt(block ** len(size) * p * (1 - p) / kept.size)
    assert (~kept).mean() == pytest.approx(p, abs=5 * error)
    if block == 1:
        assert mask.seeds.p == pytest.approx(p)


def test_dropblock_block_start_probability():
    """To first order in p, the probability is the paper's equation 1; overlaps make it larger."""
    paper = 0.001 / 7**2 * 14**2 / 8**2
    assert block_start_probability(0.001, (14, 14), (7, 7)) == pytest.approx(paper, rel=0.02)
    assert block_start_probability(0.5, (14, 14), (7, 7)) > 500 * paper
    assert block_start_probability(0.3, (8,), (8,)) == pytest.approx(0.3)  # the whole map is dropped or kept


def test_dropblock_drops_blocks():
    """Every dropped element lies in a completely dropped block within the map; blocks are nested in p."""
    kept = np.asarray(fd.dropblock(np.ones((30, 4, 10, 11)), 0.2, 3, rng=1)[1])
    for example, channel, row, column in np.argwhere(~kept):
        corners = [
            kept[example, channel, r : r + 3, c : c + 3]
            for r in range(max(0, row - 2), min(row, 7) + 1)
            for c in range(max(0, column - 2), min(column, 8) + 1)
        ]
        assert any(not corner.any() for corner in corners)
    fewer = np.asarray(fd.dropblock(np.ones((30, 4, 10, 11)), 0.4, 3, rng=1)[1])
    assert not (fewer & ~kept).any()
    assert (kept[:, 0] != kept[:, 1]).any()


def test_dropblock_of_a_block_larger_than_the_map_is_spatial_dropout():
    y, _ = fd.dropblock(np.ones((40, 30, 4, 5)), 0.5, 9, rng=1)
    whole = (y == 0).all(axis=(2, 3))
    assert np.array_equal(whole, (y == 0).any(axis=(2, 3)))
    assert whole.mean() == pytest.approx(0.5, abs=0.06)


def test_cutout_squares():
    y, mask = fd.cutout(np.ones((3000, 2, 9, 7)), 3, rng=1)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    centres = mask.centres()
    for place, size in ((0, 9), (1, 7)):
        counts = np.bincount(centres[:, place], minlength=size)
        assert len(counts) == size
        assert ((counts - 3000 / size) ** 2 / (3000 / size)).sum() < 35  # chi-squared, 6 and 8 degrees: 1e-5
    assert abs(np.corrcoef(centres.T)[0, 1]) < 0.08
    row, column = centres[0]
    wanted = np.ones((9, 7))
    wanted[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = 0
    np.testing.assert_array_equal(y[0, 0], wanted)
    assert fd.cutout(np.ones((1, 1, 5)), 0, rng=1)[0].all()
    assert not fd.cutout(np.ones((1, 1, 5)), 11, rng=1)[0].any()


def test_which_elements_share_a_keep_bit():
    x = np.ones((60, 7, 5))
    path = fd.drop_path(x, 0.5, rng=1)[0]
    assert {tuple(set(example.ravel().tolist())) for example in path} == {(0.0,), (2.0,)}
    locked = fd.locked_dropout(x, 0.5, rng=1)[0]
    assert (locked == locked[:, :1]).all()
    assert (locked[:, 0] != locked[0, 0]).any()
    time_first = fd.locked_dropout(np.ones((7, 60, 5)), 0.5, time_axis=0, rng=1)[0]
    assert (time_first == time_first[:1]).all()
    table = fd.embedding_dropout(np.ones((60, 5)), 0.5, rng=1)[0]
    assert (table == table[:, :1]).all()
    assert 10 < (table[:, 0] == 0).sum() < 50


def test_zoneout_selects_new_or_previous_elements():
    new, previous = RNG.standard_normal((2, 40, 50)).astype(np.float32)
    previous[0, 0], new[0, 1] = np.inf, np.nan
    state, mask = fd.zoneout(new, previous, 0.25, rng=3)
    kept = np.asarray(mask)
    np.testing.assert_array_equal(state, np.where(kept, new, previous))
    assert kept.mean() == pytest.approx(0.75, abs=0.05)
    dy = RNG.standard_normal(new.shape).astype(np.float32)
    dy[1, :2] = np.inf
    dnew, dprevious = fd.zoneout_backward(dy, mask)
    np.testing.assert_array_equal(dnew, np.where(kept, dy, 0))
    np.testing.assert_array_equal(dprevious, np.where(kept, 0, dy))
    expected, none = fd.zoneout(new[2:], previous[2:], 0.25, training=False)
    assert none is None
    np.testing.assert_allclose(expected, 0.75 * new[2:] + 0.25 * previous[2:], rtol=1e-6)
    for gradient, share in zip(fd.zoneout_backward(dy[2:], None, p=0.25), (0.75, 0.25), strict=True):
        np.testing.assert_allclose(gradient, share * dy[2:])
    for target in (new, previous):
        copy = target.copy()
        arrays = (copy, previous) if target is new else (new, copy)
        np.testing.assert_array_equal(fd.zoneout(*arrays, 0.25, rng=3, out=copy)[0], state)


def test_zoneout_refuses():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3,\)"):
        fd.zoneout(x, np.ones(3))
    with pytest.raises(ValueError, match="float32"):
        fd.zoneout(x, np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="rate p"):
        fd.zoneout_backward(x, None)
