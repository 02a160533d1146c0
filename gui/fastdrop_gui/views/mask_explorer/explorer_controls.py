"""The controls of the mask explorer."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fastdrop_gui.model.mask_exploration import CALLS, MOST_MASKS, SOURCES, ExplorerSettings
from fastdrop_gui.views.widgets.layouts import labelled
from fastdrop_gui.views.widgets.sliders import RateSlider


class ExplorerControls(QWidget):
    """Array, seed, scaling, mode, averaging, and p. `changed` says that `settings` are others."""

    changed = Signal()

    def __init__(self, settings: ExplorerSettings) -> None:
        super().__init__()
        self._draw = settings.draw
        self._make_fields()
        self.rate.setValue(settings.p)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._grid())
        layout.addLayout(self._slider_row())
        for signal in (
            self.source.currentIndexChanged,
            self.scaling.currentIndexChanged,
            self.seed.valueChanged,
            self.average.valueChanged,
            self.rate.valueChanged,
            self.evaluation.toggled,
        ):
            signal.connect(lambda *_: self._change())
        self.next.clicked.connect(lambda: self._choose_draw(self._draw + 1))
        self.first.clicked.connect(lambda: self._choose_draw(0))
        self._show_calls()

    def _make_fields(self) -> None:
        self.source = QComboBox()
        for name, source in SOURCES.items():
            self.source.addItem(name)
            self.source.setItemData(self.source.count() - 1, source.text, Qt.ItemDataRole.ToolTipRole)
        self.seed = QSpinBox(maximum=2**31 - 1)
        self.next = QPushButton("&Next mask")
        self.next.setToolTip("The next call numbers of the same stream: other masks")
        self.first = QPushButton("First m&ask")
        self.first.setToolTip("Call numbers from 0 on: the masks of a new stream with this seed")
        self.scaling = QComboBox()
        self.scaling.addItem("Inverted (scale in training)", "inverted")
        self.scaling.addItem("Standard (scale at test time)", "classic")
        tip = "Inverted: kept units × 1/(1 − p) in training. Standard: all units × (1 − p) at test time"
        self.scaling.setToolTip(tip)
        self.evaluation = QCheckBox("Evaluation &mode")
        self.evaluation.setToolTip("training=False: nothing is dropped")
        self.evaluation.setAccessibleName("Evaluation mode")
        self.average = QSpinBox(minimum=1, maximum=MOST_MASKS, suffix=" mask")
        self.average.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
        self.average.setToolTip("Show the mean of this many outputs, each with another mask")
        self.calls = QLabel()
        self.rate = RateSlider()
        self.rate.setToolTip("Arrow keys: one hundredth; Page Up and Page Down: a tenth")
        self.nested = QLabel("Raising p only drops more: no dropped cell comes back.", wordWrap=True)
        self.nested.setAccessibleName("Effect of the last change of p")

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        pairs: tuple[tuple[str, QWidget], ...] = (
            ("&Array", self.source),
            ("&Seed", self.seed),
            ("Sca&ling", self.scaling),
            ("Avera&ge over", self.average),
        )
        for place, (text, widget) in enumerate(pairs):
            row, column = divmod(place, 2)
            grid.addWidget(labelled(text, widget), row, 2 * column)
            grid.addWidget(widget, row, 2 * column + 1)
        grid.addWidget(self.next, 0, 4)
        grid.addWidget(self.first, 0, 5)
        grid.addWidget(self.evaluation, 1, 4)
        grid.addWidget(self.calls, 1, 5)
        grid.setColumnStretch(6, 1)
        return grid

    def _slider_row(self) -> QHBoxLayout:
        layout = QHBoxLayout()
        layout.addWidget(labelled("Dropout rate &p", self.rate))
        layout.addWidget(self.rate, 1)
        layout.addWidget(self.nested, 1)
        return layout

    @property
    def settings(self) -> ExplorerSettings:
        """What is chosen."""
        return ExplorerSettings(
            self.source.currentText(),
            round(self.rate.value(), 2),
            self.seed.value(),
            self._draw,
            self.average.value(),
            not self.evaluation.isChecked(),
            self.scaling.currentData(),
        )

    def _choose_draw(self, draw: int) -> None:
        self._draw = draw
        self._change()

    def _change(self) -> None:
        self._show_calls()
        self.changed.emit()

    def _show_calls(self) -> None:
        settings = self.settings
        self.calls.setText(f"Call numbers {settings.first_call} to {settings.first_call + CALLS - 1}")
        self.first.setEnabled(settings.draw > 0)
        self.average.setSuffix(" mask" if settings.masks == 1 else " masks")
