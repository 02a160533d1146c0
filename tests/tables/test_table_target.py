"""Which column is the target, whether it is a regression's, and which columns are row labels."""

import numpy as np
import pytest
from tabletexts import lines, read, roles

from fastdrop.experiments import DataError, load_dataset


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("a,b,class", "class"), ("class,a,b", "class"), ("a,Target,b", "Target"), ("species,a,b", "species"),
        ("a,survived,b", "survived"), ("a,b,c", "c"), ("y,a,b", "y"), ("x,y,c", "c"), ("wine_class,a,b", "wine_class"),
        ("a,Outcome,b", "Outcome"), ("label,a,target", "target"), ("a,isFraud,b", "isFraud"),
        ("a,Class_Type,b", "Class_Type"),
    ],
)  # fmt: skip
def test_the_target_is_found_by_its_name(header, target, tmp_path):
    table = read(tmp_path, header + lines("/1,0,1/2,1,0/1,1,0/2,0,1/1,0,1/1,1,0"))
    assert table.target == target


def test_another_candidate_is_named(tmp_path):
    rows = "".join(f"{'pq'[row % 2]},{row * 1.5},{row / 7}\n" for row in range(40))
    table = read(tmp_path, "species,a,b\n" + rows, target="b")
    assert table.is_regression
    assert not any("could also be" in note for note in table.notes)
    table = read(tmp_path, rows)
    assert table.target == "column 3"
    assert any("could also be column 1 (p, q): --target 1" in note for note in table.notes)


@pytest.mark.parametrize(
    ("values", "is_regression"),
    [
        ([row / 7 for row in range(60)], True),
        (list(range(60)), True),
        ([row % 31 for row in range(620)], True),
        ([row % 30 for row in range(600)], False),
        ([row % 2 for row in range(60)], False),
        ([0.5 * (row % 5) for row in range(60)], False),
        ([0.5 * (row % 11) for row in range(110)], True),
        ([1, 2, 3, 4], True),
    ],
)
def test_many_different_numbers_are_a_regression(values, is_regression, tmp_path):
    table = read(tmp_path, "a,t\n" + "".join(f"{row % 3},{value}\n" for row, value in enumerate(values)), target="t")
    assert table.is_regression == is_regression
    if is_regression:
        np.testing.assert_allclose(table.labels, values)
        with pytest.raises(DataError, match=r"t\.csv, column 't': .* different numbers .* a regression .*--target"):
            load_dataset("file", data_file=str(tmp_path / "t.csv"), target="t")


def test_measurements_are_no_row_labels(tmp_path):
    """Whole numbers that differ in every row can be populations: only where something else says so are they labels."""
    rng = np.random.default_rng(0)
    population = rng.choice(np.arange(900, 2_000_000), 60, replace=False)
    account = rng.choice(np.arange(10_000, 99_999), 60, replace=False)
    rows = "".join(f"{row % 3},{people},{number},{row % 2}\n" for row, (people, number) in enumerate(
        zip(population, account, strict=True)))  # fmt: skip
    found = roles(read(tmp_path, "a,population,account,class\n" + rows))
    assert found == {"a": "number", "population": "number", "account": "ignored", "class": "target"}
    assert roles(read(tmp_path, "a,population,account,class\n" + rows, numeric=["account"]))["account"] == "number"


def test_texts_of_many_values(tmp_path):
    rows = "".join(f"{row % 5},name {row % 55},{row % 2}\n" for row in range(220))
    table = read(tmp_path, "a,b,class\n" + rows)
    assert (roles(table)["b"], table.columns[1].reason) == (
        "ignored", "55 different texts; more than 50 are not encoded unless chosen",
    )  # fmt: skip
    assert len(read(tmp_path, "a,b,class\n" + rows, categorical=["b"]).columns[1].categories) == 55


def test_lines_that_begin_with_a_hash(tmp_path):
    """Comments are left out and counted; in a column of colours they are rows."""
    rows = "".join(f"{row},{row % 3},{'xy'[row % 2]}\n" for row in range(20))
    table = read(tmp_path, "a,b,class\n" + rows + "#20,1,x\n# the end\n")
    assert len(table.labels) == 20
    assert "2 lines that begin with # left out as comments" in table.notes
    colors = "".join(f"#{row % 4}f0000,{row % 3},{'xy'[row % 2]}\n" for row in range(20))
    table = read(tmp_path, "color,b,class\n" + colors)
    assert (len(table.labels), table.columns[0].categories[0]) == (20, "#0f0000")


def test_only_python_writes_underscores_in_numbers(tmp_path):
    table = read(
        tmp_path, "a,b,class\n" + "".join(f"{row % 3},{row % 4},{('1_0', '10')[row % 2]}\n" for row in range(8))
    )
    assert table.class_counts == (("10", 4), ("1_0", 4))
