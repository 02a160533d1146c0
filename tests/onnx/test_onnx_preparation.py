"""Exported networks take the raw columns of a table: missing numbers, categories, centring and scaling."""

import json

import numpy as np
import pytest
from onnxtools import TOLERANCE, expected, own_network, predicted, prepared, session, trained
from studytools import config

from fastdrop import nn
from fastdrop.experiments.network import Network
from fastdrop.experiments.onnx import Input, export, input_names


def text_column(values):
    return np.array(values, object).reshape(-1, 1)


def test_raw_columns_of_a_table():
    """Missing numbers, unknown categories, two categories in one column; columns of the network in another order."""
    inputs = [
        Input("year of birth", "number", fill=1980.25, indicator=True, columns=(5, 0)),
        Input("colour", "category", categories=("rouge", "vert", "bleu"), columns=(3, 1, 6)),
        Input("weight", "number", columns=(4,)),
        Input("smoker", "category", categories=("no", "yes"), columns=(-1, 2)),
        Input("ID", "number", fill=1e7, columns=(7,)),
    ]
    center = np.array([0.1, 0.3, 0.5, 0.3, 70.1, 1970.7, 0.2, 1e7 + 0.3])
    scale = np.array([0.3, 0.5, 0.5, 0.4, 12.3, 17.9, 0.4, 0.7])  # float32 would keep one digit of the last column
    nan = np.nan
    year = np.array([1950, nan, 2001, 1999, nan, 1970], np.float32)
    colour = ["rouge", "vert", "bleu", "gelb", "", "vert"]
    weight = np.array([50, 60.5, 1e30, np.inf, -np.inf, 71], np.float32)
    smoker = ["no", "yes", "perhaps", "yes", "no", "yes"]
    number = np.array([1e7, 1e7 + 1, 1e7 - 1, nan, nan, 1e7 + 2], np.float32)
    matrix = np.zeros((6, 8))
    matrix[:, 5], matrix[:, 0] = np.where(np.isnan(year), 1980.25, year), np.isnan(year)
    matrix[:, 4], matrix[:, 7] = weight, np.where(np.isnan(number), 1e7, number)
    matrix[[0], 3] = matrix[[1, 5], 1] = matrix[[2], 6] = 1
    matrix[[1, 3, 5], 2] = 1
    network = own_network(8)
    model = export(network, inputs, center, scale, ("ä", "b c", ""), 8)
    found, classes = predicted(
        model,
        year_of_birth=year[:, None],
        colour=text_column(colour),
        weight=weight[:, None],
        smoker=text_column(smoker),
        ID=number[:, None],
    )
    wanted = expected(network, prepared(matrix, center, scale))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert classes.tolist() == [("ä", "b c", "")[number] for number in wanted.argmax(axis=1)]


def random_inputs(rng):
    """Inputs of all kinds, and the number of their columns."""
    plans = []
    for _ in range(rng.integers(1, 7)):
        if rng.random() < 0.5:
            fill = float(rng.normal()) if rng.random() < 0.7 else None
            plans.append({"kind": "number", "fill": fill, "indicator": fill is not None and bool(rng.random() < 0.5)})
        else:
            count = int(rng.integers(0, 5))
            plans.append({"kind": "category", "categories": tuple(f"c{number}" for number in range(count))})
    plans.append({"kind": "number", "fill": 0.5})
    sizes = [1 + plan.get("indicator", 0) if plan["kind"] == "number" else len(plan["categories"]) for plan in plans]
    left_out = [plan["kind"] == "category" and rng.random(size) < 0.3 for plan, size in zip(plans, sizes, strict=True)]
    total = int(sum(size - np.sum(out) for size, out in zip(sizes, left_out, strict=True)))
    places, inputs = iter(rng.permutation(total).tolist()), []
    for plan, size, out in zip(plans, sizes, left_out, strict=True):
        columns = tuple(-1 if out is not False and out[number] else next(places) for number in range(size))
        inputs.append(Input("näme", columns=columns, **plan))
    return inputs, total


@pytest.mark.parametrize("seed", range(12))
def test_any_columns(seed):
    rng = np.random.default_rng(seed)
    inputs, features = random_inputs(rng)
    rows, feeds, matrix = 25, {}, np.zeros((25, features))
    for name, given in zip(input_names(inputs), inputs, strict=True):
        if given.kind == "number":
            values = rng.normal(size=rows).astype(np.float32)
            if given.fill is not None:
                values[rng.random(rows) < 0.3] = np.nan
            feeds[name] = values[:, None]
            matrix[:, given.columns[0]] = np.where(np.isnan(values), given.fill or 0.0, values)
            if given.indicator:
                matrix[:, given.columns[1]] = np.isnan(values)
        else:
            texts = rng.choice([*given.categories, "C0", "another"], rows).tolist()
            feeds[name] = text_column(texts)
            for row, text in enumerate(texts):
                for category, place in zip(given.categories, given.columns, strict=True):
                    if text == category and place >= 0:
                        matrix[row, place] = 1
    center, scale = rng.normal(size=features), rng.uniform(0.1, 2, features)
    network = own_network(features)
    for scaling in ((center, scale), (None, None)):
        model = export(network, inputs, *scaling, "abc", features)
        x = matrix.astype(np.float32) if scaling[0] is None else prepared(matrix, center, scale)
        np.testing.assert_allclose(predicted(model, **feeds)[0], expected(network, x), rtol=0, atol=TOLERANCE)


def test_a_missing_number_without_fill_gives_nan_in_its_row_alone():
    inputs = [Input("a", "number", columns=(0,)), Input("b", "number", fill=1.0, columns=(1,))]
    model = export(own_network(2), inputs, [0, 0], [1, 1], "abc", 2)
    b = np.array([[np.nan], [np.nan], [2]], np.float32)
    found, _ = predicted(model, a=np.array([[1], [np.nan], [3]], np.float32), b=b)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]
    assert not np.isnan(found[[0, 2]]).any()


def test_prepared_columns_are_clipped():
    head = nn.Linear(1, 2, rng=0)
    head.weight.value[:] = [[0], [1e-6]]
    network = Network([], head)
    x = np.array([[np.inf], [-np.inf], [3e30], [5e5], [-2e6]], np.float32)
    found, _ = predicted(export(network, None, [0.5], [1e-1], "ab", 1), features=x)
    wanted = 1 / (1 + np.exp([-1, 1, -1, -1, 1]))
    np.testing.assert_allclose(found[:, 1], wanted, rtol=0, atol=TOLERANCE)


def test_words_as_columns_of_a_table():
    trainer = trained(config("text"))
    data = trainer.dataset
    inputs = [Input(name, "number", columns=(number,)) for number, name in enumerate(data.feature_names)]
    x = data.x_test[:20]
    found, _ = predicted(
        export(trainer.network, inputs, data.center, data.scale, data.class_names, data.features),
        **{name: x[:, [number]] for number, name in enumerate(input_names(inputs))},
    )
    np.testing.assert_allclose(found, expected(trainer.network, x), rtol=0, atol=TOLERANCE)


def test_names_are_valid_and_unique():
    given = ["a b", "a-b", "a_b_2", "Größe", "", "  ", "体重", "probabilities", "class", "2x", "é\ud800", "a/b\0"]
    inputs = [Input(name, "number", columns=(number,)) for number, name in enumerate(given)]
    names = input_names(inputs)
    assert names == [
        "a_b",
        "a_b_2",
        "a_b_2_2",
        "Grosse",
        "input_5",
        "input_6",
        "input_7",
        "probabilities_2",
        "class_2",
        "_2x",
        "e",
        "a_b_3",
    ]
    model = export(own_network(12), inputs, None, None, "abc", 12)
    assert [found.name for found in session(model).get_inputs()] == names
    assert json.loads(session(model).get_modelmeta().custom_metadata_map["inputs"]) == dict(
        zip(names, given, strict=True)
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "text"},
        {"kind": "number", "columns": (0, 1)},
        {"kind": "number", "columns": (-1,)},
        {"kind": "number", "columns": (0, 1), "indicator": True},
        {"kind": "number", "columns": (0,), "fill": np.nan},
        {"kind": "number", "columns": (0,), "categories": ("a",)},
        {"kind": "category", "columns": (0,), "categories": ("a",), "fill": 0.0},
        {"kind": "category", "columns": (0, 1), "categories": ("a", "a")},
        {"kind": "category", "columns": (0, -2), "categories": ("a", "b")},
    ],
)
def test_contradictions_in_a_column_are_refused(arguments):
    with pytest.raises(ValueError, match=r"^kind is|^input 'x'"):
        Input("x", **arguments)
