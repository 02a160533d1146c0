"""A small configuration of every network, for the tests of experiments and studies."""

from fastdrop.experiments import ExperimentConfig

SIZES = {"mlp": (16, 8), "cnn": (4, 6, 8), "lstm": (8, 6), "attention": (8, 16, 16), "text": (8, 16)}


def config(network="mlp", kind="standard", **changes):
    dataset = "reviews" if network == "text" else "digits"
    fields = {"dataset": dataset, "network": network, "hidden": SIZES[network], "dropout": kind, "train_fraction": 0.1}
    return ExperimentConfig(**(fields | {"rate": 0.3, "epochs": 2} | changes))
