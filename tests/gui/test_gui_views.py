"""The app's views with hand-made snapshots."""

import numpy as np
import pytest

pytest.importorskip("PySide6")
from PySide6.QtCore import QPointF

from fastdrop.experiments import Boundary, EpochRecord, LayerView, Mistakes, Run, UnitView
from fastdrop.experiments.diagnostics import QUANTILES
from fastdrop_gui.model.downsampled import DownsampledSeries
from fastdrop_gui.views.training.curves import MOST_POINTS, CurvesView, stepped
from fastdrop_gui.views.training.decision_boundary import DecisionBoundaryView
from fastdrop_gui.views.training.distributions import DistributionsView, densities
from fastdrop_gui.views.training.feature_maps import FeatureMapsView
from fastdrop_gui.views.training.heat_map import CELL, HeatMapView
from fastdrop_gui.views.training.misclassified import MisclassifiedView
from fastdrop_gui.views.training.network import NetworkView
from fastdrop_gui.views.training.unit_inspector import UnitInspectorView

pytestmark = pytest.mark.gui


@pytest.fixture
def shown(qtbot):
    """A function that makes and shows a view."""

    def make(kind, width=900, height=400):
        view = kind()
        qtbot.addWidget(view)
        view.resize(width, height)
        view.show()
        qtbot.waitExposed(view)
        return view

    return make


def layer(values, kept=None, name="layer", **more):
    values = np.asarray(values, np.float32)
    return LayerView(name, values, kept, shape=more.pop("shape", values.shape[:1]), **more)


def test_dropped_and_zero_differ_in_shape_not_only_in_colour(shown):
    heatmap = shown(HeatMapView)
    heatmap.show_layers((layer([[0.0], [0.0], [5.0]], np.array([[True], [False], [True]])),))
    zero, dropped, bright = (heatmap.pixels[:, i * CELL : (i + 1) * CELL] for i in range(3))
    assert len(np.unique(zero)) == len(np.unique(bright)) == 1
    assert len(np.unique(dropped)) == 2
    middle = CELL // 2
    assert dropped[middle, middle] != dropped[0, middle]
    assert zero[0, 0] != bright[0, 0]


def test_many_units_are_scrolled_and_pointed_at(shown):
    heatmap = shown(HeatMapView)
    values = np.arange(4000, dtype=np.float32).reshape(100, 40)
    heatmap.show_layers((layer(values),))
    assert heatmap.pixels.shape == (32 * CELL, 64 * CELL)
    heatmap.scroll_bar.setValue(36)
    assert "37 to 100 of 100" in heatmap.plot.getPlotItem().getAxis("bottom").labelText
    heatmap._point_at(heatmap.plot.getPlotItem().vb.mapViewToScene(QPointF(38.2, 2.7)))
    assert heatmap.readout.text() == "unit 38, sample 3: 1.48e+03"


def test_units_are_sorted_and_keep_their_numbers(shown, qtbot):
    heatmap = shown(HeatMapView)
    values = np.array([[1.0, 1.0], [9.0, 9.0], [0.0, 6.0], [4.0, 4.0]])
    kept = np.array([[True, True], [True, True], [True, False], [False, False]])
    heatmap.show_layers((layer(values, kept),))
    chosen = []
    heatmap.unit_chosen.connect(lambda name, unit: chosen.append((name, unit)))
    for order, first, second in (
        ("Most active first", 1, 3),
        ("Highest variance first", 2, 0),
        ("Most dropped first", 3, 2),
        ("Original order", 0, 1),
    ):
        heatmap.order.setCurrentText(order)
        for place, unit in enumerate((first, second), start=1):
            point = heatmap.plot.getPlotItem().vb.mapViewToScene(QPointF(place, 1))
            heatmap._point_at(point)
            assert f"unit {unit + 1}, sample 1" in heatmap.readout.text(), order
            heatmap._click(point)
            assert chosen[-1] == ("layer", unit)


def test_values_that_are_not_finite_do_not_break_the_views(shown):
    views = (
        layer([[np.nan, np.inf, -np.inf, 1.0]]),
        layer([[np.nan] * 4], name="next", weights=np.full((1, 1), np.nan)),
    )
    with np.errstate(all="ignore"):
        heatmap = shown(HeatMapView)
        heatmap.show_layers(views)
        assert heatmap.pixels.shape == (4 * CELL, CELL)
        network = shown(NetworkView)
        network.show_layers(views)
        assert len(network.units.points()) == 2


def test_the_network_crosses_out_dropped_units_and_draws_no_line_to_them(shown):
    network = shown(NetworkView)
    kept = np.array([[True], [False], [True]])
    weights = np.array([[3.0, 0.5, -4.0], [0.1, 0.5, 0.2]], np.float32)
    first = layer([[1.0], [2.0], [0.5]], kept, name="hidden 1")
    last = layer([[0.3], [0.7]], name="output probabilities", weights=weights)
    network.show_layers((first, last))
    assert len(network.units.points()) == 5
    crosses = [(point.pos().x(), point.pos().y()) for point in network.crosses.points()]
    assert crosses == [(0.0, float(network._places(0)[1]))]
    places = {round(float(y), 6) for item in (network.positive, network.negative) for y in item.getData()[1][0::2]}
    assert round(float(network._places(0)[1]), 6) not in places
    assert len(network.positive.getData()[0]) == 2  # 3.0; the weaker ones are not drawn
    assert len(network.negative.getData()[0]) == 2  # -4.0
    assert "dropped: 1 of 5" in network.caption.text()


def test_symbols_of_the_network_are_made_once(shown):
    """pyqtgraph redraws a symbol for every new pen or brush object."""
    network = shown(NetworkView)
    values = np.linspace(0, 1, 40, dtype=np.float32).reshape(10, 4)
    views = [LayerView("hidden 1", np.roll(values, turn), values > 0.1, shape=(10,)) for turn in range(30)]
    for view in views:
        network.show_layers((view,))
    pens = {id(pen) for pen in network.units.data["pen"]} | {id(network.units.opts["pen"])}
    network.show_layers((views[0],))
    assert {id(pen) for pen in network.units.data["pen"]} | {id(network.units.opts["pen"])} == pens


def test_connections_that_dropconnect_drops_are_not_drawn(shown):
    network = shown(NetworkView)
    weights = np.ones((2, 2), np.float32)
    dropped = layer(weights, np.array([[True, False], [False, True]]), name="hidden 2 weights", columns="input")
    hidden = layer([[1.0], [1.0]], name="hidden 2", weights=weights)
    network.show_layers((layer([[1.0], [1.0]], name="hidden 1"), dropped, hidden))
    assert len(network.positive.getData()[0]) == 4  # two lines
    assert len(network.units.points()) == 4


def test_another_examples_sub_network(shown):
    network = shown(NetworkView)
    kept = np.array([[True, False], [True, True]])
    network.show_layers((layer(np.ones((2, 2)), kept),))
    assert len(network.crosses.points()) == 0
    network.example.setValue(2)
    assert len(network.crosses.points()) == 1


def test_maps_that_are_dropped_whole_are_reported(shown):
    maps = shown(FeatureMapsView)
    kept = np.ones((3, 2, 2), bool)
    kept[1] = False
    kept[2, 0, 0] = False
    maps.show_layers((layer(np.ones((12, 1)), kept.reshape(12, 1), name="convolution 1", shape=(3, 2, 2)),))
    assert "3 maps, 2 × 2" in maps.caption.text()
    assert "dropped: 42%, whole: 1" in maps.caption.text()
    grey = (maps.pixels == 96).all(axis=2)
    assert grey.any()
    assert not grey[:14, :14].any()


def records(count, shift=0.0):
    return [EpochRecord(epoch, 1 / (1 + epoch), 1.5 / (1 + epoch), 0.9 + shift, 0.8 + shift) for epoch in range(count)]


def test_curves_shade_the_gap_and_overlay_baseline_and_runs(shown):
    from fastdrop.experiments import ExperimentConfig

    curves = shown(CurvesView)
    run = Run("before", ExperimentConfig(), tuple(records(5, 0.05)))
    curves.show_history(records(10), records(7, -0.1), (run,))
    assert curves.gaps["accuracy"].path().boundingRect().height() == pytest.approx(0.1, abs=0.01)
    assert curves.curves["baseline test_accuracy"].getData()[1][0] == pytest.approx(0.7)
    assert list(curves.run_curves["loss"][0].getData()[1]) == [record.test_loss for record in run.history]
    names = [label.text for _, label in curves.plots["accuracy"].getPlotItem().legend.items]
    assert names == ["train", "test", "baseline: train", "baseline: test", "pinned 1: test"]
    table = curves.table()
    assert {row[0] for row in table.rows} == {"this run", "baseline (no dropout)", "before"}
    assert len(table.rows) == 22


def test_long_histories_are_drawn_with_few_points_and_their_last(shown):
    curves = shown(CurvesView)
    history = records(20_000)
    curves.show_history(history)
    x, _ = curves.curves["test_loss"].getData()
    assert len(x) <= MOST_POINTS + 2
    assert x[-1] == 19_999


def test_densities_are_those_of_the_values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=100_000)
    edges = np.linspace(-4, 4, 41)
    shares = densities(np.quantile(values, QUANTILES), edges)
    true = np.histogram(values, edges)[0] / len(values)
    assert np.abs(np.cumsum(shares) - np.cumsum(true)).max() < 0.01
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    zeros = densities(np.zeros(len(QUANTILES)), np.linspace(-1, 1, 4))
    assert zeros.tolist() == pytest.approx([0, 1, 0])


def test_distributions_over_time(shown):
    view = shown(DistributionsView)
    series = DownsampledSeries()
    for epoch in range(10):
        series.add(float(epoch), (QUANTILES * (1 + epoch)).astype(np.float32))
    view.show_distributions({("weights", "hidden 1"): series, ("activations", "hidden 1"): DownsampledSeries()})
    assert view.picture.shape[0] == 60
    assert (view.picture[-1] > 0).sum() < (view.picture[0] > 0).sum()  # the value range grows
    assert "0 to 10, median 5 (epoch 9.0)" in view.caption.text()
    view.kind.setCurrentIndex(1)
    assert "Appears as" in view.caption.text()


def test_the_boundary_shows_sure_sides_and_doubt_between(shown):
    view = shown(DecisionBoundaryView)
    side = 48
    first = np.repeat(np.linspace(0, 1, side, dtype=np.float32)[None], side, axis=0)
    doubt = (0.25 - (first - 0.5) ** 2).astype(np.float32)
    points = np.array([[0.1, 0.5], [0.9, 0.5]], np.float32)
    found = Boundary(
        (0.0, 0.0, 1.0, 1.0),
        np.stack([first, 1 - first], axis=2),
        doubt,
        points,
        np.array([1, 0]),
        np.array([False, True]),
    )
    view.show_boundary(found)
    pixels = view.images["decision"].image
    assert pixels[0, 0].tolist() != pixels[0, -1].tolist()
    assert pixels[0, side // 2].min() > pixels[0, 0].min()  # paler in between
    assert view.images["uncertainty"].image.argmax(axis=1)[0] in (side // 2 - 1, side // 2)
    assert len(view.points["decision", 0].points()) == len(view.points["uncertainty", 1].points()) == 1
    assert view.points["decision", 0].points()[0].symbol() != view.points["decision", 1].points()[0].symbol()
    view.show_boundary(None)
    assert "two features" in view.caption.text()
    assert not view.points


def test_misclassified_examples_show_class_prediction_and_spread(shown):
    view = shown(MisclassifiedView)
    names = tuple("0123456789")
    mean = np.full((2, 10), 0.05, np.float32)
    mean[:, 3] = 0.55
    found = Mistakes(2, 100, np.zeros((2, 8, 8), np.float32), np.array([8, 5]), np.array([3, 3]), mean, mean / 2, names)
    view.show_mistakes(found)
    assert [tile.text for tile in view.tiles] == ["8, predicted 3", "5, predicted 3"]
    assert "3: 55% ± 28%" in view.tiles[0].toolTip()
    assert "2 of 100" in view.caption.text()
    bars = view.tiles[0].grab().toImage()
    assert bars.width() > 0
    assert view.table().rows[0][:2] == ["8", "3"]
    view.show_mistakes(None)
    assert not view.tiles[0].isVisible()


def test_the_inspector_shows_a_unit_and_asks_for_another(shown):
    view = shown(UnitInspectorView)
    requested = []
    view.unit_requested.connect(lambda: requested.append(view.place))
    kept = np.ones((4, 2), bool)
    kept[2] = [True, False]
    view.show_layers((layer(np.ones((4, 2)), kept, name="hidden 1"),))
    view.choose("hidden 1 weights", 2)
    assert requested[-1] == (0, 2)
    image = np.arange(64, dtype=np.float32).reshape(8, 8) - 10
    view.show_unit(UnitView(0, 2, image), ([0.0, 1.0], [0.5, 0.7]))
    np.testing.assert_array_equal(view.image.image, image)
    assert "dropped for 50%" in view.caption.text()
    assert view.curve.getData()[1].tolist() == [0.5, 0.7]
    view.show_unit(UnitView(0, 1, image), ([], []))  # a late message about another unit
    assert view.image.image is None


def test_axes_grow_in_steps(shown):
    """Every change of a range redraws an axis, which takes longer than the curve."""
    assert [stepped(value) for value in (0, 0.3, 0.31, 1, 1.01, 99, 137, 8.1e6)] == [
        *(1.0, pytest.approx(0.3), pytest.approx(0.4), 1.0, 1.2, 100.0, 150.0, 1e7)
    ]
    curves = shown(CurvesView)
    ranges = set()
    for count in range(82, 100):
        curves.show_history(records(count))
        curves.grab()
        ranges.add(tuple(map(tuple, curves.plots["loss"].getPlotItem().vb.viewRange())))
    assert len(ranges) == 1
    (x, y) = ranges.pop()
    assert x[0] <= 0
    assert 99 < x[1] < 120
    assert 1.5 < y[1] < 1.8


def test_distributions_are_drawn_only_where_there_is_more(shown, monkeypatch):
    view = shown(DistributionsView)
    series = DownsampledSeries()
    series.add(0.0, np.linspace(-1, 1, len(QUANTILES), dtype=np.float32))
    view.show_distributions({("weights", "hidden 1"): series})
    drawn = []
    monkeypatch.setattr(view.image, "setImage", lambda *_args, **_more: drawn.append(1))
    view.show_distributions({("weights", "hidden 1"): series})
    assert not drawn
    series.add(1.0, np.linspace(-2, 1, len(QUANTILES), dtype=np.float32))
    view.show_distributions({("weights", "hidden 1"): series})
    assert drawn
