"""Presets: every experiment of the library, with a picture, a sentence and its networks."""

import functools
from dataclasses import dataclass
from pathlib import Path

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.model.wording import display_name

PICTURES = Path(__file__).parents[1] / "pictures"
"""Made by tests/app/pictures.py, 320 x 200 pixels each."""

_SENTENCES = {
    "overfitting": "A network without dropout memorises 100 points, wrong labels included.",
    "with-and-without": "The same network with and without dropout: watch the gap between train and test accuracy.",
    "rates": "How much to drop? Change the dropout rate from 0 to nearly 1.",
    "scaling": "Why kept units are scaled up: so that the next layer sees the same mean.",
    "sub-networks": "Every batch trains another sub-network: watch the crosses move.",
    "spatial": "In images, neighbouring pixels reveal a dropped one: drop blocks or whole maps instead.",
    "dropconnect": "Drop single weights instead of units: compared with dropout, and with none.",
    "forgetting-eval": "With dropout left on after training, predictions change from call to call.",
    "batch-norm": "Dropout before batch normalisation changes the variance between training and evaluation.",
    "weights": "What dropout does to the weights of the first layer: they stay a little smaller.",
    "monte-carlo": "Predict many times with dropout on: where sub-networks disagree, the network is uncertain.",
    "sequences": "Kinds of dropout for attention, for recurrent layers and for words.",
    "ensemble": "One pass with all units approximates the average of many sub-networks.",
}
"""What to look at. A study without a sentence is described by its claim."""

_CHOICES = {
    "with": "with dropout",
    "without": "without dropout",
    "p-0.0": "p = 0",
    "p-0.5": "p = 0.5",
    "moons": "two moons",
    "digits": "digits",
    "none": "no dropout",
    "standard": "standard: single units",
    "spatial": "spatial: whole maps",
    "dropblock": "DropBlock: blocks of 3 x 3",
    "dropout": "dropout",
    "dropconnect": "DropConnect",
    "no-dropout": "no dropout",
    "one-before": "one dropout, before two batch normalisations",
    "one-after": "one dropout, after all batch normalisations",
    "all-three": "dropout behind all three layers",
    "first-plain": "one dropout, first layer, no batch normalisation",
    "last-plain": "one dropout, last layer, no batch normalisation",
    "droppath": "DropPath: whole branches",
    "locked": "locked: the same units at all steps",
    "zoneout": "zoneout: units keep their last value",
}
_TASKS = {"attention": "attention", "lstm": "LSTM", "text": "text"}
_NETWORKS = {
    "mlp": "MLP",
    "cnn": "CNN",
    "lstm": "LSTM",
    "attention": "transformer",
    "text": "text classifier",
}


@dataclass(frozen=True)
class Preset:
    """A preset, as a card shows it.

    Attributes
    ----------
    name, title, sentence : str
        The study's name and title, and what to look at.
    choices : dict of ExperimentConfig
        Its networks by display name; a single one has the name "".
    picture : Path
    """

    name: str
    title: str
    sentence: str
    choices: dict[str, ExperimentConfig]
    picture: Path

    def matches(self, search: str) -> bool:
        """Whether every word of `search` is in the texts of the card and its networks."""
        texts = [self.name, self.title, self.sentence, *self.choices, *map(describe, self.choices.values())]
        text = " ".join(texts).casefold()
        return all(word in text for word in search.casefold().split())


@functools.lru_cache(maxsize=1)
def presets() -> tuple[Preset, ...]:
    """All experiments of the library, in the library's order."""
    # Imported here, so that the app starts without the studies.
    from fastdrop.experiments.studies import STUDIES

    return tuple(
        Preset(
            study.name,
            study.title,
            _SENTENCES.get(study.name, study.claim),
            {display_name_of(name): config for name, config in study.configs.items()},
            PICTURES / f"{study.name}.png",
        )
        for study in STUDIES.values()
    )


def display_name_of(name: str) -> str:
    """The display name of a study's network."""
    task, _, rest = name.partition("-")
    if task in _TASKS and rest in _CHOICES:
        return f"{_TASKS[task]}, {_CHOICES[rest]}"
    return _CHOICES.get(name, name.replace("-", " "))


def describe(config: ExperimentConfig) -> str:
    """Describe a configuration in a line.

    Examples
    --------
    >>> describe(ExperimentConfig(dataset="moons", hidden=(16, 8), rate=0.2, epochs=9))
    'moons · MLP 16, 8 · standard dropout, p = 0.2 · 9 epochs'
    """
    dropping = [number for number, kind in enumerate(config.kinds) if kind != "none"]
    dropout = "no dropout"
    if dropping:
        kinds = dict.fromkeys(config.kinds[number] for number in dropping)
        name = " and ".join(display_name(kind) if "drop" in kind or kind == "path" else kind for kind in kinds)
        dropout = name if "Drop" in name or name == "zoneout" else f"{name} dropout"
        if config.layer_dropout or config.dropout_layers != "all":
            dropout += (
                f" in layer{'s' if len(dropping) > 1 else ''} {', '.join(str(number + 1) for number in dropping)}"
            )
        low, high = (choose(config.rates[number] for number in dropping) for choose in (min, max))
        dropout += f", p = {low:g}" if low == high else f", p = {low:g} to {high:g}"
    network = f"{_NETWORKS[config.network]} {', '.join(map(str, config.hidden))}"
    norm = ["batch normalisation"] if config.batch_norm else []
    return " · ".join([config.dataset, network, *norm, dropout, f"{config.epochs} epochs"])
