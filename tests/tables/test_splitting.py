"""The split, what is learned from the training part alone, and what is said about both."""

import json

import numpy as np
import pandas as pd
import pytest

from fastdrop.experiments import DataError, load_table
from fastdrop.experiments.splitting import split_table, stratified_split
from fastdrop.experiments.tables import Column
from fastdrop.experiments.tables.preparation import Preparation

nan = np.nan


def table_of(**columns):
    return load_table(pd.DataFrame(columns))


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("counts", [(7, 2), (2, 2), (50, 2, 3, 2), (2,) * 30, (1000, 2), (5, 1, 4), (1, 1, 2)])
def test_every_class_with_two_rows_is_in_both_parts(counts, fraction):
    labels = np.repeat(np.arange(len(counts)), counts)
    for seed in range(20):
        train, test = stratified_split(labels, fraction, seed)
        assert sorted([*train, *test]) == list(range(len(labels)))
        for label, count in enumerate(counts):
            assert (labels[train] == label).any()
            assert (labels[test] == label).any() == (count > 1)
        again = stratified_split(labels, fraction, seed)
        np.testing.assert_array_equal(np.concatenate(again), np.concatenate([train, test]))


def test_the_split_is_scikit_learns_where_it_can_be():
    from sklearn.model_selection import train_test_split

    rng, compared = np.random.default_rng(3), 0
    for seed in range(300):
        alike = np.full(rng.integers(2, 8), rng.integers(2, 20))  # whose shares are drawn
        counts = alike if seed % 2 else rng.integers(2, 40, rng.integers(2, 8))
        labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        fraction = rng.choice([0.5, 0.7, 0.8, rng.uniform(0.3, 0.9)])
        try:
            expected = train_test_split(np.arange(len(labels)), train_size=fraction, random_state=seed, stratify=labels)
        except ValueError:  # too few rows
            continue
        if any(len(np.unique(labels[part])) < len(counts) for part in expected):
            continue
        compared += 1
        for found, given in zip(stratified_split(labels, fraction, seed), expected, strict=True):
            np.testing.assert_array_equal(found, given)

    assert compared > 150


def test_a_class_with_one_row_is_named():
    table = table_of(a=[1.5, 2, 3, 4, 5, 6, 7, 8, 9], kind=list("xxxxyyyyz"))
    dataset = split_table(table, 0.5, 0)
    assert "not tested, since it has one row only: z" in dataset.notes
    assert 2 in dataset.y_train
    assert 2 not in dataset.y_test


def test_too_few_rows():
    with pytest.raises(DataError, match=r"too few rows to train on some and test on others: x \(1 row\), y \(1 row\)"):
        split_table(table_of(a=[1.5, 2], kind=list("xy")), 0.5, 0)


def test_equal_rows_in_both_parts_are_counted():
    rng = np.random.default_rng(0)
    a = rng.normal(size=100)
    table = table_of(a=np.r_[a, a], b=["u", "v"] * 100, kind=["x", "y"] * 100)
    dataset = split_table(table, 0.5, 0)
    train = {(table.features[row].tobytes(), table.labels[row]) for row in dataset.train_rows}
    count = sum((table.features[row].tobytes(), table.labels[row]) in train for row in dataset.test_rows)
    assert count > 10
    assert any(f"{count} test rows of 100 are also in the training part" in note for note in dataset.notes)
    assert not any("also in" in note for note in split_table(table_of(a=a, kind=["x", "y"] * 50), 0.5, 0).notes)


def test_everything_is_learned_from_the_training_part():
    """With other test rows, the training inputs are the same, bit for bit."""
    rng = np.random.default_rng(1)
    columns = {
        "a": np.where(rng.random(60) < 0.2, nan, rng.normal(size=60)),
        "b": rng.choice(["u", "v", "w"], 60).astype(object),
        "kind": ["x", "y"] * 30,
    }
    before = split_table(table_of(**columns), 0.5, 0)
    changed = {name: np.array(column, dtype=object) for name, column in columns.items()}
    changed["a"][before.test_rows] = 1e9
    changed["b"][before.test_rows] = "q"
    after = split_table(table_of(c=1.5, **changed), 0.5, 0)
    np.testing.assert_array_equal(after.x_train, before.x_train)
    assert after.feature_names == before.feature_names == ("a", "a missing", "b = u", "b = v", "b = w")
    assert (after.x_test[:, 2:] == 0).all()  # a category that the training part lacks
    median = np.nanmedian(columns["a"][before.train_rows])
    filled = np.where(np.isnan(columns["a"]), median, columns["a"])[before.train_rows]
    np.testing.assert_allclose(before.x_train[:, 0], (filled - filled.mean()) / filled.std(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(before.x_train[:, 1], np.isnan(columns["a"][before.train_rows]))
    np.testing.assert_allclose(before.unscaled(before.x_train)[:, 0], filled, rtol=1e-5, atol=1e-6)


COLUMNS = (
    Column("n", "number", ""),
    Column("c", "category", "", ("p", "q", "r")),
    Column("two", "category", "", ("no", "yes")),
    Column("d", "date", ""),
    Column("some", "category", "", ("s", "t")),
)
ROWS = np.array(
    [[1, 0, 0, 10, 0], [nan, 1, 1, 11, nan], [3, 2, 1, 12, 1], [9, 0, 0, 13, 0], [5, 1, 1, 14, 1]]
)  # fmt: skip


def test_columns_become_inputs():
    preparation = Preparation(COLUMNS, ROWS)
    assert preparation.feature_names == (
        "n", "d", "n missing", "c = p", "c = q", "c = r", "two = yes", "some = s", "some = t", "some = missing",
    )  # fmt: skip
    x = preparation.transform(ROWS)
    assert x.dtype == np.float32
    filled = np.array([1, 4, 3, 9, 5.0])
    np.testing.assert_allclose(x[:, 0], (filled - filled.mean()) / filled.std(), rtol=1e-6)
    expected = [
        [0, 1, 0, 0, 0, 1, 0, 0],
        [1, 0, 1, 0, 1, 0, 0, 1],
        [0, 0, 0, 1, 1, 0, 1, 0],
        [0, 1, 0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 1, 0, 1, 0],
    ]
    np.testing.assert_array_equal(x[:, 2:], expected)
    new = preparation.transform(np.array([[nan, nan, nan, nan, 1], [1e300, 0, 0, 10, nan]]))
    np.testing.assert_allclose(new[0], [(4 - 4.4) / filled.std(), 0, 1, 0, 0, 0, 0, 0, 1, 0], rtol=1e-5, atol=1e-6)
    assert new[1, 0] == 1e6


def _by_scikit_learn(columns, learned, rows):
    """The inputs of `rows` from transformers that have learned from `learned`."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [place for place, column in enumerate(columns) if column.role != "category"]
    categories = [place for place, column in enumerate(columns) if column.role == "category"]
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    encoder = OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False)
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(filled, StandardScaler()), numbers),
            ("marks", MissingIndicator(error_on_new=False), numbers),
            ("categories", encoder, categories),
        ]
    )
    return transformer.fit(learned).transform(rows)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_inputs_are_scikit_learns(seed, order):
    rng = np.random.default_rng(seed)
    counts = [1, 2, 2, 3, 9, 40]
    columns = (
        *(Column(f"number {place}", "number", "") for place in range(4)),
        *(Column(f"c{count}", "category", "", tuple(map(str, range(count)))) for count in counts),
        Column("date", "date", ""),
    )
    rows = np.asarray(
        np.column_stack(
            [
                rng.normal(size=300), rng.normal(1e6, 1e3, 300), rng.integers(0, 5, 300), np.full(300, 0.1),
                *(rng.integers(0, count, 300) for count in counts), rng.integers(18000, 20000, 300),
            ]
        ),
        order=order,
    )  # fmt: skip
    gaps = rng.random(rows.shape) < rng.choice([0, 0.02, 0.3], rows.shape[1])
    rows[gaps] = nan
    train = rng.choice(300, rng.choice([30, 31, 200]), replace=False)
    preparation = Preparation(columns, rows, train)
    expected = _by_scikit_learn(columns, rows[train], rows)
    assert expected.shape == (300, len(preparation.feature_names))
    np.testing.assert_allclose(preparation.transform(rows), expected, rtol=1e-6, atol=1e-7)
    others = rng.permutation(300)[:50]
    np.testing.assert_array_equal(preparation.transform(rows, others), preparation.transform(rows)[others])


def test_many_rows_are_prepared_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=999), *(rng.integers(0, count, 999) for count in (3, 2)),
                            rng.normal(size=999), rng.integers(0, 2, 999)])  # fmt: skip
    rows[rng.random(rows.shape) < 0.1] = nan
    whole = Preparation(COLUMNS, rows)
    monkeypatch.setattr("fastdrop.experiments.tables.preparation._AT_ONCE", 1000)
    parts = Preparation(COLUMNS, rows)
    assert parts.learned() == whole.learned()
    np.testing.assert_array_equal(parts.transform(rows), whole.transform(rows))
    some = rng.permutation(999)[:700]
    np.testing.assert_array_equal(parts.transform(rows, some), whole.transform(rows)[some])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 11, 5000, 5001])
def test_missing_numbers_are_the_median(count):
    for seed in range(50):
        values = np.random.default_rng(seed).normal(size=count)
        learned = Preparation(COLUMNS[:1], np.r_[values, nan][:, None]).learned()
        assert learned["fills"] == [np.median(values)]
        assert learned["marked"] == [0]


def test_the_rows_of_both_parts_are_in_the_files_order():
    dataset = split_table(table_of(a=np.arange(60) + 0.5, kind=["x", "y", "z"] * 20), 0.7, 3)
    for rows in (dataset.train_rows, dataset.test_rows):
        assert (np.diff(rows) > 0).all()
    np.testing.assert_allclose(dataset.unscaled(dataset.x_test)[:, 0], dataset.test_rows + 0.5, rtol=1e-5)


def test_a_restored_preparation_is_the_same():
    preparation = Preparation(COLUMNS, ROWS)
    learned = json.loads(json.dumps(preparation.learned()))
    again = Preparation.restored(COLUMNS, learned)
    assert again.feature_names == preparation.feature_names
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=50), rng.integers(0, 3, 50), rng.integers(0, 2, 50), rng.normal(size=50),
                            rng.integers(0, 2, 50)])  # fmt: skip
    rows[rng.random(rows.shape) < 0.2] = nan
    np.testing.assert_array_equal(again.transform(rows), preparation.transform(rows))
    np.testing.assert_array_equal(again.center, preparation.center)


@pytest.mark.parametrize("kept", [[0, 3], [1, 2, 4], [0], [2]])
def test_columns_of_one_kind_alone(kept):
    columns = tuple(COLUMNS[place] for place in kept)
    preparation = Preparation(columns, ROWS[:, kept])
    again = Preparation.restored(columns, preparation.learned())
    np.testing.assert_array_equal(again.transform(ROWS[:, kept]), preparation.transform(ROWS[:, kept]))


def test_a_column_without_training_values():
    rows = ROWS.copy()
    rows[:, 0] = nan
    x = Preparation(COLUMNS, rows).transform(ROWS)
    assert np.isfinite(x).all()


def test_values_beyond_float32():
    with pytest.raises(DataError, match="column 'a': the values are too large; rescale them"):
        split_table(table_of(a=np.arange(8) * 1e300, kind=["x", "y"] * 4), 0.5, 0)
    assert np.isfinite(split_table(table_of(a=np.arange(8) * 1e-320, kind=["x", "y"] * 4), 0.5, 0).x_train).all()
