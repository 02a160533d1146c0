"""The mask explorer: every kind of dropout applied to an array, and the page that shows the result."""

import subprocess
import sys

import numpy as np
import pytest

import fastdrop as fd
from fastdrop_gui.model import mask_exploration
from fastdrop_gui.model.mask_exploration import KINDS, SOURCES, ExplorerSettings, outcomes, tiled


def seen(settings):
    return outcomes(SOURCES[settings.source].make(), settings)


def run(code):
    """Run a program; returns its names, and y, mask and mean (if it averages) of each call."""
    names, made = {}, []
    for line in code.split("\ny, mask = ")[1:]:
        made.append("y, mask = " + line)
    exec(code.partition("\ny, mask = ")[0], names)
    results = []
    for part in made:
        exec(part, names)
        results.append((names["y"], names["mask"], names.get("mean")))
    return names, results


def test_needs_no_qt():
    code = "import sys; sys.modules['PySide6'] = None; import fastdrop_gui.model.mask_exploration"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"draw": 2, "seed": 7}, {"masks": 5, "p": 0.25}, {"training": False, "scaling": "classic", "p": 0.3}],
    ids=["plain", "later draw", "mean", "evaluation"],
)
def test_the_copied_program_makes_what_is_shown(source, changes):
    settings = ExplorerSettings(source, **changes)
    names, results = run(mask_exploration.program(settings))
    np.testing.assert_array_equal(names["x"][0], SOURCES[source].make()[0])
    for outcome, (y, mask, mean) in zip(seen(settings), results, strict=True):
        after = y[0] if mean is None else mean
        np.testing.assert_array_equal(outcome.after, after if after.ndim == 1 else tiled(after))
        if mask is None:
            assert outcome.kept is None
            continue
        kept = np.asarray(mask)[0]
        np.testing.assert_array_equal(outcome.kept, kept if kept.ndim == 2 else tiled(kept))
        assert outcome.fraction_kept == pytest.approx(np.asarray(mask).mean())


@pytest.mark.parametrize("source", SOURCES)
def test_masks_are_nested(source):
    before = seen(ExplorerSettings(source, 0.0))
    assert all(outcome.kept.all() for outcome in before)
    for p in np.linspace(0.05, 1.0, 20):
        after = seen(ExplorerSettings(source, float(p)))
        dropped, back = mask_exploration.changes(before, after)
        assert back == 0
        assert mask_exploration.changes(after, before) == (0, dropped)
        before = after
    assert not any(outcome.kept.any() for outcome in before)


def test_the_shown_mask_stays_when_others_are_averaged_over():
    for one, many in zip(seen(ExplorerSettings()), seen(ExplorerSettings(masks=100)), strict=True):
        np.testing.assert_array_equal(one.kept, many.kept)
        assert many.count == 100 * one.count


def test_draws_differ_and_kinds_draw_masks_of_their_own():
    first, second = seen(ExplorerSettings("gradient", seed=3)), seen(ExplorerSettings("gradient", seed=3, draw=1))
    assert (first[0].kept != second[0].kept).any()
    assert (first[0].kept != first[2].kept).any()
    x = SOURCES["gradient"].make()
    stream = fd.Stream(3)
    for _ in range(mask_exploration.CALLS):
        fd.dropout(x, rng=stream)
    np.testing.assert_array_equal(second[0].kept, np.asarray(fd.dropout(x, rng=stream)[1])[0, 0])


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_means_go_to_their_targets(scaling):
    one, many = (ExplorerSettings("random numbers", 0.3, masks=masks, scaling=scaling) for masks in (1, 1000))
    for few, mean in zip(seen(one), seen(many), strict=True):
        np.testing.assert_allclose(mean.target(many), (0.7 if scaling == "classic" else 1.0) * mean.before, rtol=1e-6)
        assert mean.largest_error(many) < 0.5
        assert mean.largest_error(many) < few.largest_error(one) / 5


def test_scales():
    assert [outcome.scale for outcome in seen(ExplorerSettings(p=0.75))] == [4.0] * 3
    assert [outcome.scale for outcome in seen(ExplorerSettings(p=0.75, scaling="classic"))] == [1.0] * 3
    for scaling, scale in (("inverted", 1.0), ("classic", 0.25)):
        for outcome in seen(ExplorerSettings(p=0.75, scaling=scaling, training=False)):
            assert outcome.scale == scale
            np.testing.assert_allclose(outcome.after, scale * outcome.before, rtol=1e-6)


def test_kept_fractions_are_those_of_the_masks_shown():
    settings = ExplorerSettings("digit image", seed=5, draw=1)
    fractions = mask_exploration.kept_fractions(SOURCES[settings.source].make(), settings, np.array([0.0, 0.3, 1.0]))
    for outcome in seen(ExplorerSettings("digit image", 0.3, seed=5, draw=1)):
        assert fractions[outcome.kind].tolist() == [1.0, outcome.fraction_kept, 0.0]


Qt = pytest.importorskip("PySide6.QtCore").Qt
CROSS = 254
"""The index of crosses in a picture's lookup table."""


@pytest.fixture
def view(qtbot):
    from fastdrop_gui.views.mask_explorer.mask_explorer_view import MaskExplorerView

    view = MaskExplorerView()
    qtbot.addWidget(view)
    view.resize(1000, 650)
    view.show()
    qtbot.waitExposed(view)
    return view


def crossed(picture):
    return int((picture.pixels == CROSS).sum())


@pytest.mark.gui
def test_the_slider_moves_by_keys_and_tells_what_it_did(qtbot, view):
    assert view.settings == ExplorerSettings()
    before = {kind: crossed(view.masks[kind]) for kind in KINDS}
    qtbot.keyClick(view.controls.rate.focusProxy(), Qt.Key.Key_Right)
    assert view.settings.p == 0.51
    assert "p 0.50 → 0.51:" in view.controls.nested.text()
    assert "0 came back" in view.controls.nested.text()
    for _ in range(4):
        qtbot.keyClick(view.controls.rate.focusProxy(), Qt.Key.Key_PageUp)
    assert view.settings.p == 0.91
    assert all(crossed(view.masks[kind]) > before[kind] for kind in KINDS)
    assert view.here.value() == pytest.approx(0.91)
    qtbot.keyClick(view.controls.rate.focusProxy(), Qt.Key.Key_Home)
    assert view.settings.p == 0.0
    assert "0 more dropped" in view.controls.nested.text()
    for kind in KINDS:
        assert crossed(view.masks[kind]) == 0
        assert "(100.0%)" in view.mask_texts[kind].text()


@pytest.mark.gui
def test_captions_tell_counts_scale_and_means(view):
    standard, _, connect = outcomes(SOURCES["feature maps"].make(), ExplorerSettings())
    assert f"kept {standard.kept.sum()} of 256 elements" in view.mask_texts["standard"].text()
    assert "of 4 maps" in view.mask_texts["spatial"].text()
    assert f"mean {standard.before.mean():.3g} → {standard.after.mean():.3g}" in view.output_texts["standard"].text()
    assert "scale 2," in view.output_texts["standard"].text()
    bars = view.outputs["DropConnect"]
    np.testing.assert_array_equal(bars.bars.opts["width"], connect.after)
    np.testing.assert_array_equal(bars.rings.getData()[0], connect.before)
    assert [curve.getData()[1][50] for curve in view.curves.values()] == [
        outcome.fraction_kept for outcome in outcomes(SOURCES["feature maps"].make(), ExplorerSettings())
    ]


@pytest.mark.gui
def test_next_mask_and_back(qtbot, view):
    pixels, curve = view.masks["standard"].pixels, view.curves["standard"].getData()[1]
    assert not view.controls.first.isEnabled()
    qtbot.mouseClick(view.controls.next, Qt.MouseButton.LeftButton)
    assert "Call numbers 3 to 5" in view.controls.calls.text()
    assert not np.array_equal(view.masks["standard"].pixels, pixels)
    assert not np.array_equal(view.curves["standard"].getData()[1], curve)
    qtbot.mouseClick(view.controls.first, Qt.MouseButton.LeftButton)
    assert "Call numbers 0 to 2" in view.controls.calls.text()
    np.testing.assert_array_equal(view.masks["standard"].pixels, pixels)
    qtbot.keyClick(view.controls.seed, Qt.Key.Key_Up)
    assert view.settings.seed == 1
    assert not np.array_equal(view.masks["standard"].pixels, pixels)


@pytest.mark.gui
def test_evaluation_mode_and_scaling(qtbot, view):
    assert crossed(view.outputs["standard"]) > 0
    view.controls.evaluation.setFocus()
    qtbot.keyClick(view.controls.evaluation, Qt.Key.Key_Space)
    assert not view.settings.training
    for kind in KINDS:
        assert crossed(view.masks[kind]) == 0
        assert "No mask" in view.mask_texts[kind].text()
        assert "scale 1," in view.output_texts[kind].text()
    np.testing.assert_array_equal(view.outputs["spatial"].pixels, view.array.pixels)
    qtbot.keyClick(view.controls.scaling, Qt.Key.Key_Down)
    assert view.settings.scaling == "classic"
    assert "scale 0.5," in view.output_texts["DropConnect"].text()
    assert 'training=False, scaling="classic"' in view.code.toPlainText()


@pytest.mark.gui
def test_averaging_shows_the_array_again(qtbot, view):
    view.controls.average.selectAll()
    qtbot.keyClicks(view.controls.average.lineEdit(), "1000")
    assert view.settings.masks == 1000
    assert crossed(view.outputs["standard"]) == 0
    assert crossed(view.masks["standard"]) > 0
    assert "Mean of 1000" in view.output_texts["standard"].text()
    assert "from x" in view.output_texts["standard"].text()
    shades = view.outputs["standard"].pixels.astype(int) - view.array.pixels
    assert np.abs(shades).max() < 20
    view.controls.scaling.setCurrentIndex(1)
    assert "from (1 − p)x" in view.output_texts["spatial"].text()
    assert "from (1 − p)○" in view.output_texts["DropConnect"].text()


@pytest.mark.gui
@pytest.mark.parametrize("source", SOURCES)
def test_every_array_is_drawn_at_every_p(view, source):
    view.controls.source.setCurrentText(source)
    _, maps, height, width = SOURCES[source].make().shape
    assert f"{height} × {width}" in view.array_text.text()
    for p in (0.0, 0.37, 1.0):
        view.controls.rate.setValue(p)
        assert view.array.image.mapRectToParent(view.array.image.boundingRect()).width() == width * maps**0.5
    assert "scale 0," in view.output_texts["standard"].text()  # nothing is kept


@pytest.mark.gui
def test_copies_a_program(qtbot, view):
    qtbot.mouseClick(view.controls.next, Qt.MouseButton.LeftButton)
    view.controls.rate.setValue(0.25)
    qtbot.mouseClick(view.copy, Qt.MouseButton.LeftButton)
    code = pytest.importorskip("PySide6.QtGui").QGuiApplication.clipboard().text()
    assert view.code.toPlainText().splitlines() == [line for line in code.splitlines() if line.startswith("y, mask")]
    _, results = run(code)
    assert [
        f"{np.asarray(mask).mean():.1%}" in view.mask_texts[kind].text()
        for kind, (_, mask, _) in zip(KINDS, results, strict=True)
    ] == [True] * 3


@pytest.mark.gui
def test_tells_all_cells(view):
    table = view.table()
    assert len(table.rows) == 3 * 256 + 16
    assert all(len(row) == len(table.headings) for row in table.rows)
    standard = [row for row in table.rows if row[0] == "standard"]
    assert all(row[5] == (2 * row[3] if row[4] else 0) for row in standard)
    view.controls.evaluation.setChecked(True)
    assert view.table().rows[0][4] == ""


@pytest.mark.gui
def test_small_windows_scroll_and_cut_nothing_off(qtbot, view):
    view.resize(560, 300)
    qtbot.wait(20)
    for label in (*view.mask_texts.values(), *view.output_texts.values(), view.array_text):
        assert label.height() >= label.heightForWidth(label.width())
