"""A generated text data set: short reviews, in which "not" negates a word's meaning."""

import numpy as np
from numpy.typing import NDArray

LENGTH = 20
"""Words of a review; shorter reviews are padded with the first word."""

SUBJECTS = [
    "film",
    "story",
    "acting",
    "music",
    "ending",
    "meal",
    "soup",
    "service",
    "room",
    "view",
    "bed",
    "book",
    "plot",
    "writing",
    "hotel",
    "breakfast",
]
ADVERBS = ["very", "quite", "really", "rather", "truly", "almost", "simply"]
GOOD = [
    "good",
    "great",
    "lovely",
    "brilliant",
    "charming",
    "superb",
    "warm",
    "fresh",
    "clever",
    "moving",
    "funny",
    "gentle",
    "bright",
    "rich",
    "smooth",
    "honest",
    "splendid",
    "crisp",
    "elegant",
    "lively",
]
BAD = [
    "bad",
    "dull",
    "awful",
    "boring",
    "cold",
    "stale",
    "clumsy",
    "flat",
    "noisy",
    "dirty",
    "slow",
    "weak",
    "bitter",
    "bland",
    "tired",
    "empty",
    "harsh",
    "messy",
    "shallow",
    "grim",
]
WORDS = ("–", "the", "was", "and", "not", *SUBJECTS, *ADVERBS, *GOOD, *BAD)
_NUMBER = {word: number for number, word in enumerate(WORDS)}


def reviews(count: int, noise: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Word numbers (count, 20) and classes (count,): 1 where most statements are positive.

    `noise` is the fraction of reviews with the wrong class.
    """
    rng = np.random.default_rng(seed)
    words = np.zeros((count, LENGTH), np.intp)
    labels = np.empty(count, np.intp)
    for row in range(count):
        text, balance = _review(rng)
        words[row, : len(text)] = [_NUMBER[word] for word in text]
        labels[row] = balance > 0
    turned = rng.random(count) < noise
    labels[turned] = 1 - labels[turned]
    return words, labels


def _review(rng: np.random.Generator) -> tuple[list[str], int]:
    """One or three statements, so that there is a majority, and how many more of them are positive than negative."""
    text: list[str] = []
    balance = 0
    for statement in range(int(rng.choice([1, 3, 3]))):
        is_positive, negated = rng.random() < 0.5, rng.random() < 0.15
        text += ["and"] if statement else []
        text += ["the", str(rng.choice(SUBJECTS)), "was"]
        text += ["not"] if negated else [str(rng.choice(ADVERBS))] if rng.random() < 0.5 else []
        text += [str(rng.choice(GOOD if is_positive else BAD))]
        balance += 1 if is_positive != negated else -1
    return text, balance
