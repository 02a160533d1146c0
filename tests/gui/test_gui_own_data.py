"""The user's own data in the window: what was found in them, misclassified rows, names of features and classes."""

import numpy as np
import pytest

from fastdrop.experiments import ExperimentConfig, Trainer, diagnostics, load_experiment
from fastdrop.experiments.misclassified import MOST_ROWS
from fastdrop.experiments.tables.roles import Choices

pytest.importorskip("PySide6")
from guitools import WAIT, ready
from PySide6.QtCore import QPoint, Qt

from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.model.messages import Start
from fastdrop_gui.model.trainer_pair import DatasetCache, TrainerPair
from fastdrop_gui.views.files.import_dialog import ImportDialog
from fastdrop_gui.views.notice_bar import NoticeBar
from fastdrop_gui.views.training.decision_boundary import DecisionBoundaryView
from fastdrop_gui.views.training.misclassified import MisclassifiedView
from fastdrop_gui.views.training.network import NetworkView
from fastdrop_gui.views.training.unit_inspector import UnitInspectorView

pytestmark = pytest.mark.gui


@pytest.fixture
def animals(tmp_path):
    """Two numbers and a category, with a class that they do not decide; some rows twice."""
    rng = np.random.default_rng(0)
    rows = [
        f"{150 + 10 * rng.normal():.1f},{'' if row % 10 == 0 else f'{60 + 10 * rng.normal():.1f}'},"
        f"{'brown' if rng.random() < 0.5 else 'white'},{'goat' if rng.random() < 0.5 else 'sheep'}\n"
        for row in range(150)
    ]
    path = tmp_path / "animals.csv"
    path.write_text("height,weight,colour,kind\n" + "".join(rows + rows[:40]))
    return path


def config_of(path, **more):
    return ExperimentConfig(dataset="file", data_file=str(path), hidden=(8,), epochs=1, **more)


def cells(view, column):
    model = view.rows.model()
    return [model.index(row, column).data() for row in range(model.rowCount())]


def test_misclassified_rows_have_their_places_and_original_values(qtbot, animals):
    trainer = Trainer(config_of(animals))
    found = diagnostics.misclassified(trainer)
    assert found.rows is not None
    assert len(found.rows.places) == found.count > 5
    lines = animals.read_text().splitlines()
    for row, place in enumerate(found.rows.places):
        line = lines[int(place.removeprefix("line ")) - 1].split(",")
        shown = [cell.replace("missing", "") for cell in found.rows.cells[row]]
        assert [float(cell or "nan") for cell in shown[:2]] == pytest.approx(
            [float(cell or "nan") for cell in line[:2]], nan_ok=True
        )
        assert (shown[2], found.class_names[found.labels[row]]) == (line[2], line[3])
        assert found.guesses[row] != found.labels[row]
    view = MisclassifiedView()
    qtbot.addWidget(view)
    view.resize(900, 400)
    view.show()
    view.show_all(found)
    assert f"{found.count} of {found.tested} test rows" in view.caption.text()
    assert cells(view, 0) == list(found.rows.places)
    assert view.table().headings[:5] == ["Place", "True class", "Predicted", "Probability", "Deviation"]
    assert len(view.table().rows) == found.count


def test_a_click_on_a_heading_sorts_numbers_as_numbers(qtbot, animals):
    view = MisclassifiedView()
    qtbot.addWidget(view)
    view.resize(1200, 400)
    view.show()
    view.show_all(diagnostics.misclassified(Trainer(config_of(animals))))
    header = view.rows.horizontalHeader()
    for column in (0, 3, 5, 6):
        x = header.sectionViewportPosition(column) + 5
        for reverse in (False, True):
            before = header.sortIndicatorSection() == column
            if not (before and not reverse):
                qtbot.mouseClick(
                    header.viewport(),
                    Qt.MouseButton.LeftButton,
                    pos=QPoint(x, 5),
                )
            texts = [text.removeprefix("line ").rstrip("%") for text in cells(view, column)]
            numbers = [float(text) for text in texts if text != "missing"]
            descending = header.sortIndicatorOrder() is Qt.SortOrder.DescendingOrder
            assert numbers == sorted(numbers, reverse=descending), column


def test_only_the_first_of_very_many_rows_are_listed(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "noise.csv"
    path.write_text("a,class\n" + "".join(f"{rng.normal():.3f},{rng.integers(4)}\n" for _ in range(3000)))
    found = diagnostics.misclassified(Trainer(config_of(path)))
    assert len(found.rows.places) == MOST_ROWS < found.count
    lines = [int(place.removeprefix("line ")) for place in found.rows.places]
    assert lines == sorted(lines)


@pytest.mark.parametrize(("dataset", "network"), [("wine", "mlp"), ("reviews", "text")])
def test_built_in_data_without_images_have_rows(dataset, network):
    hidden = (8, 8) if network == "text" else (8,)
    found = diagnostics.misclassified(Trainer(ExperimentConfig(dataset=dataset, network=network, hidden=hidden)))
    assert found.rows is not None
    assert len(found.rows.cells) == len(found.rows.places) > 0
    assert len(found.rows.cells[0]) == (1 if network == "text" else 13)
    assert found.rows.places[0].startswith("test row ")


def test_the_boundary_is_in_the_units_of_the_file(qtbot, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "plane.csv"
    rows = "".join(
        f"{1500 + 100 * rng.normal():.1f},{5 + rng.normal():.3f} %,{['goat', 'sheep'][row % 2]}\n" for row in range(80)
    )
    path.write_text("height in mm,fat,kind\n" + rows)
    found = diagnostics.boundary(Trainer(config_of(path)))
    x, y, width, height = found.extent
    assert 1000 < x < 1400 < 1600 < x + width < 2000
    assert -2 < y < 4 < 6 < y + height < 12
    assert found.points[:, 0].min() > 1000
    assert found.feature_names == ("height in mm", "fat (%)")
    assert found.class_names == ("goat", "sheep")
    view = DecisionBoundaryView()
    qtbot.addWidget(view)
    view.show()
    view.show_boundary(found)
    assert view.decision.getAxis("bottom").labelText == "height in mm"
    assert view.decision.getAxis("left").labelText == "fat (%)"
    legend = view.decision.getPlotItem().legend
    assert [label.text for _, label in legend.items] == ["goat", "sheep"]
    assert view.table().headings[:4] == ["height in mm", "fat (%)", "probability goat", "probability sheep"]


def test_output_units_and_inputs_are_named(qtbot, animals):
    trainer = Trainer(config_of(animals))
    layers = trainer.snapshot().layers
    network, inspector = NetworkView(), UnitInspectorView()
    for view in (network, inspector):
        qtbot.addWidget(view)
        view.class_names = trainer.dataset.class_names
        view.show()
    network.show_layers(layers)
    assert [label.toPlainText() for label in network.labels] == ["goat", "sheep"]
    inspector.feature_names = trainer.dataset.feature_names
    inspector.show_layers(layers)
    inspector.show_unit(diagnostics.unit(trainer, layers, 0, 0), ([], []))
    strongest = inspector.caption.text().partition("strongest: ")[2]
    assert any(name in strongest for name in ("height", "weight", "colour = white"))
    inspector.choose("output probabilities", 1)
    inspector.show_layers(layers)
    assert inspector.caption.text().startswith("class sheep: ")


# -- notes


def test_notes_are_seen_with_the_weighty_first_and_stay_closed(qtbot):
    bar = NoticeBar()
    qtbot.addWidget(bar)
    bar.show_notes(())
    assert not bar.isVisibleTo(None)
    notes = ("3 rows without a target left out", "9 test rows of 40 are also in the training part: --ignore x")
    bar.show_notes(notes)
    assert bar.text.text().startswith("About the data: 9 test rows of 40 are also")
    assert "(and 1 more)" in bar.text.text()
    qtbot.mouseClick(bar.details, Qt.MouseButton.LeftButton)
    assert "3 rows without a target" in bar.all.text()
    assert not bar.all.isHidden()
    qtbot.mouseClick(bar.close_button, Qt.MouseButton.LeftButton)
    bar.show_notes(notes)
    assert bar.isHidden()
    bar.show_notes(("another",))
    assert not bar.isHidden()


def opened(path):
    """What the training process makes of an experiment file."""
    experiment = load_experiment(path)
    start = Start(experiment.config, file=str(path), was_saved=True)
    return TrainerPair.from_start(start, DatasetCache().load(experiment.config))


def test_the_window_tells_that_data_have_changed_since_they_were_saved(qtbot, open_window, animals, tmp_path):
    window = open_window(config_of(animals))
    assert window.notices.isVisible()
    assert "also in the training part" in window.notices.text.text()
    window.session.step()
    qtbot.waitUntil(lambda: window.session.model.steps_done == 1, timeout=WAIT)
    path = tmp_path / "run.fastdrop"
    window.files.save_to(str(path))
    qtbot.waitUntil(path.exists, timeout=WAIT)
    saved = load_experiment(path).config
    assert saved.data_hash == saved.hash_of_data() != ""
    assert not any("have changed" in note for note in opened(path).trainer.dataset.notes)
    lines = animals.read_text().splitlines()
    animals.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert window.files.open(str(path))
    qtbot.waitUntil(lambda: "have changed since" in window.notices.text.text(), timeout=WAIT)
    assert window.session.model.status is Status.PAUSED
    assert opened(path).data_hash == saved.data_hash  # the network was trained on the old data
    window.session.reset()
    ready(qtbot, window)
    assert "have changed" not in window.notices.all.text()
    assert "also in the training part" in window.notices.text.text()


def test_a_changed_file_is_read_again_and_a_saved_hash_is_compared(animals):
    datasets, config = DatasetCache(), config_of(animals)
    first = datasets.load(config)
    assert first.data_hash == config.hash_of_data()
    assert datasets.load(config.replace(data_hash=first.data_hash)) is first
    assert "have changed" in datasets.load(config.replace(data_hash="0" * 64)).notes[0]
    assert datasets.load(config) is first


def test_a_dropped_file_of_any_name_is_imported(qtbot, window, tmp_path, animals):
    path = tmp_path / "no suffix"
    path.write_bytes(animals.read_bytes())
    window.open_dropped([str(path)])
    dialog = window.findChild(ImportDialog)
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    dialog.model.setData(dialog.model.index(0, 1), "ignored")
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    dialog.accept()
    ready(qtbot, window)
    config = window.session.config
    assert (config.data_file, config.target, config.ignore) == (str(path), "", ("height",))
    assert window.session.model.about.features == 3
    assert window.session.model.about.class_names == ("goat", "sheep")
    assert window.training.settings.dataset.currentText() == "no suffix"
    qtbot.mouseClick(window.training.settings.roles, Qt.MouseButton.LeftButton)
    again = next(each for each in window.findChildren(ImportDialog) if each is not dialog)
    qtbot.waitUntil(again.ok.isEnabled, timeout=WAIT)
    assert again.imported.choices == Choices(ignore=("height",))
    again.reject()


def test_a_folder_of_pictures_trains_convolutions(qtbot, window, tmp_path):
    PIL = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 255, (9, 8, 3), np.uint8)
            PIL.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    window.open_path(str(tmp_path / "pictures"))
    dialog = window.findChild(ImportDialog)
    qtbot.waitUntil(dialog.ok.isEnabled, timeout=WAIT)
    assert "images of 9 × 8 pixels in colour, 2 classes: cat (12), dog (12)" in dialog.facts.text()
    dialog.accept()
    ready(qtbot, window)
    window._edit_field("network", "cnn")
    ready(qtbot, window)
    assert window.session.model.config.network == "cnn"
    window.session.step()
    qtbot.waitUntil(lambda: window.session.model.steps_done == 1, timeout=WAIT)
    window.training.raise_view(window.training.misclassified)
    qtbot.waitUntil(lambda: window.session.model.misclassified is not None, timeout=WAIT)
    assert window.session.model.misclassified.images.shape[1:] == (9, 8)


def test_choices_that_do_not_fit_fail_at_the_data_set(qtbot, window, animals):
    window.table_import.use(str(animals), Choices("no such column"))
    qtbot.waitUntil(lambda: window.session.model.status is Status.FAILED, timeout=WAIT)
    assert "no such column" in window.training.settings.problem("dataset")
