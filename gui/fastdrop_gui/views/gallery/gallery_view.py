"""The page of presets: a card for every experiment of the library, a search line, and a choice of its network."""

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.model.presets import Preset, describe, presets
from fastdrop_gui.views.gallery.preset_cards import PRESET, PresetCards
from fastdrop_gui.views.widgets.layouts import labelled
from fastdrop_gui.views.widgets.view import Table, View


class GalleryView(View):
    """Every experiment of the library; opening one emits its configuration."""

    title = "Presets"
    description = "The experiments of the library, with a picture and a sentence each, to open one"
    chosen = Signal(object, str)
    """The configuration that was opened, and its name."""

    def __init__(self) -> None:
        super().__init__()
        self.presets = presets()
        self.search = QLineEdit()
        self.search.setPlaceholderText("for example: moons, zoneout, batch …")
        self.search.setClearButtonEnabled(True)
        self.found = QLabel()
        self.cards = PresetCards(self.presets)
        self.cards.setAccessibleName("Experiments")
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.network = QComboBox()
        self.network.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.open_button = QPushButton("&Open")
        self.open_button.setAccessibleName("Open the experiment")
        self._lay_out()
        self.search.textChanged.connect(self._filter)
        self.search.returnPressed.connect(self._open)
        self.cards.currentItemChanged.connect(lambda: self._show_preset())
        self.cards.doubleClicked.connect(lambda: self._open())
        self.cards.entered_key.connect(self._open)
        self.network.currentIndexChanged.connect(self._show_config)
        self.open_button.clicked.connect(self._open)
        self.cards.setCurrentRow(0)
        self._filter("")

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(labelled("&Search", self.search))
        top.addWidget(self.search, 1)
        top.addWidget(self.found)
        self._network_label = labelled("&Network", self.network)
        bottom = QHBoxLayout()
        bottom.addWidget(self._network_label)
        bottom.addWidget(self.network)
        bottom.addStretch(1)
        bottom.addWidget(self.open_button)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self.cards, 1)
        layout.addWidget(self.about)
        layout.addLayout(bottom)
        # The order of Tab: from top to bottom.
        for one, two in ((self.search, self.cards), (self.cards, self.network), (self.network, self.open_button)):
            QWidget.setTabOrder(one, two)

    @property
    def preset(self) -> Preset | None:
        """The selected preset, if its card is shown."""
        item = self.cards.currentItem()
        return None if item is None or item.isHidden() else item.data(PRESET)

    @property
    def config(self) -> ExperimentConfig | None:
        """The configuration that Open opens."""
        return None if self.preset is None else list(self.preset.choices.values())[self.network.currentIndex()]

    def table(self) -> Table:
        rows = [
            (preset.title, preset.sentence, name, describe(config), config.to_share_code())
            for preset in self._shown()
            for name, config in preset.choices.items()
        ]
        return Table(["experiment", "sentence", "network", "description", "share code"], rows)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Down goes from the search line to the cards."""
        if event.key() == Qt.Key.Key_Down and self.search.hasFocus():
            self.cards.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            super().keyPressEvent(event)

    def _shown(self) -> list[Preset]:
        items = (self.cards.item(row) for row in range(self.cards.count()))
        return [item.data(PRESET) for item in items if not item.isHidden()]

    def _filter(self, words: str) -> None:
        """Show the cards that match all words; the selected card stays selected if it is shown."""
        first = None
        for row, preset in enumerate(self.presets):
            hidden = not preset.matches(words)
            self.cards.item(row).setHidden(hidden)
            first = row if first is None and not hidden else first
        if self.preset is None and first is not None:
            self.cards.setCurrentRow(first)
        count, every = len(self._shown()), len(self.presets)
        self.found.setText(f"{count} of {every}" if count < every else f"{every} experiments")
        self._show_preset()
        self.cards.scrollToItem(self.cards.currentItem())

    def _show_preset(self) -> None:
        """The networks of the chosen card."""
        preset = self.preset
        with QSignalBlocker(self.network):
            self.network.clear()
            self.network.addItems(list(preset.choices) if preset else [])
        several = preset is not None and len(preset.choices) > 1
        self.network.setVisible(several)
        self._network_label.setVisible(several)
        self.open_button.setEnabled(preset is not None)
        self._show_config()

    def _show_config(self) -> None:
        preset, config = self.preset, self.config
        if preset is None or config is None:
            self.about.setText("No experiment matches all of these words.")
        else:
            self.about.setText(f"<b>{preset.title}</b> · {describe(config)}")

    def _open(self) -> None:
        preset, config = self.preset, self.config
        if preset is not None and config is not None:
            choice = self.network.currentText()
            self.chosen.emit(config, f"{preset.title}: {choice}" if choice else preset.title)
