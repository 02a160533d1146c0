"""Tables in other files than text, and in memory: each has the same answer as the table that it was made from."""

import bz2
import gzip
import lzma
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import DataError, ExperimentConfig, Trainer, load_dataset, load_table

FRAME = pd.DataFrame(
    {
        "size": [1.5, np.nan, 3.0, 4.25, 2.0, 1.0],
        "color": ["red", "blue", "red", None, "blue", "red"],
        "flag": [True, False, True, True, False, False],
        "day": pd.to_datetime(["2020-01-01", "2020-01-03", "2020-02-01", "2021-01-01", "2020-01-01", "2020-01-05"]),
        "kind": ["x", "y", "x", "y", "x", "y"],
    }
)
FEATURES = [
    [1.5, 1, 1, 18262],
    [np.nan, 0, 0, 18264],
    [3, 1, 1, 18293],
    [4.25, np.nan, 1, 18628],
    [2, 0, 0, 18262],
    [1, 1, 0, 18266],
]
ROLES = {"size": "number", "color": "category", "flag": "category", "day": "date", "kind": "target"}
TEXT = FRAME.to_csv(index=False).encode()


def check(table):
    assert {column.name: column.role for column in table.columns} == ROLES
    np.testing.assert_allclose(table.features, FEATURES)
    assert table.class_counts == (("x", 3), ("y", 3))
    assert table.used[1].categories == ("blue", "red")
    assert table.used[2].categories == ("False", "True")


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)


def write_ods(path):
    """As small as a spreadsheet of LibreOffice gets."""
    cells = [list(FRAME.columns), *FRAME.astype(object).where(FRAME.notna(), None).values.tolist()]

    def cell(value):
        if value is None:
            return "<table:table-cell/>"
        if isinstance(value, bool):
            return f'<table:table-cell office:value-type="boolean" office:boolean-value="{str(value).lower()}"/>'
        if isinstance(value, float):
            return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
        if isinstance(value, pd.Timestamp):
            return f'<table:table-cell office:value-type="date" office:date-value="{value:%Y-%m-%d}"/>'
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    rows = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in cells)
    spaces = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    body = f'<table:table table:name="data">{rows}</table:table>'
    content = f"<office:document-content{spaces}><office:body><office:spreadsheet>{body}</office:spreadsheet>"
    content += "</office:body></office:document-content>"
    kind, space = "application/vnd.oasis.opendocument.spreadsheet", "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    entry = f'<m:file-entry m:full-path="/" m:media-type="{kind}"/>'
    manifest = f'<m:manifest xmlns:m="{space}">{entry}</m:manifest>'
    zipped(path, {"mimetype": kind, "META-INF/manifest.xml": manifest, "content.xml": content})


WRITERS = {
    "t.csv.gz": lambda path: path.write_bytes(gzip.compress(TEXT)),
    "t.tsv.bz2": lambda path: path.write_bytes(bz2.compress(FRAME.to_csv(index=False, sep="\t").encode())),
    "t.data.xz": lambda path: path.write_bytes(lzma.compress(TEXT)),
    "t.zip": lambda path: zipped(path, {"folder/t.csv": TEXT}),
    "mac.zip": lambda path: zipped(path, {"t.csv": TEXT, "__MACOSX/._t.csv": b"\0\1", "README": b"a table"}),
    "gz.zip": lambda path: zipped(path, {"t.csv.gz": gzip.compress(TEXT)}),
    "t.xlsx": lambda path: FRAME.to_excel(path, index=False),
    "xlsx.zip": lambda path: (FRAME.to_excel(path.with_suffix(".xlsx"), index=False), zipped(path, {
        "t.xlsx": path.with_suffix(".xlsx").read_bytes()})),
    "t.ods": write_ods,
    "t.parquet": FRAME.to_parquet,
    "t.feather": FRAME.to_feather,
    "wrong suffix.csv": FRAME.to_parquet,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_table(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    check(load_table(path))


def test_arff(tmp_path):
    path = tmp_path / "t.arff"
    path.write_text(
        "% made by hand\n@RELATION t\n@ATTRIBUTE size NUMERIC\n@ATTRIBUTE color {blue,red}\n"
        "@ATTRIBUTE flag {False,True}\n"
        "@ATTRIBUTE day DATE 'yyyy-MM-dd'\n@ATTRIBUTE kind {x,y}\n@DATA\n1.5,red,True,'2020-01-01',x\n"
        "?,blue,False,'2020-01-03',y\n3,red,True,'2020-02-01',x\n4.25,?,True,'2021-01-01',y\n2,blue,False,'2020-01-01',x\n"
        "1,red,False,'2020-01-05',y\n"
    )
    check(load_table(path))
    path.write_text(
        "@relation t\n@attribute 'the name' string\n@attribute kind {x, y}\n\n"
        "@data\n% two\n'a b',x\n\n'c, d',y\n'a b',y\n"
    )
    table = load_table(path)  # text attributes, which scipy does not read
    assert [(column.name, column.role) for column in table.columns] == [("the name", "category"), ("kind", "target")]
    assert table.columns[0].categories == ("a b", "c, d")
    assert table.features.tolist() == [[0], [1], [0]]
    assert [table.place_of(row) for row in range(3)] == ["line 7", "line 9", "line 10"]
    path.write_text("@relation t\n@attribute a string\n@attribute kind {x, y}\n@data\n{0 b, 1 y}\n")
    with pytest.raises(DataError, match=r"t\.arff: scipy cannot read it: .*save it as CSV"):
        load_table(path)


def test_sheets(tmp_path):
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
        FRAME.drop(columns="day").to_excel(book, sheet_name="first", index=False)
        FRAME.to_excel(book, sheet_name="second", index=False, startrow=3, startcol=2)
    assert load_table(path).features.shape == (6, 3)
    assert any(
        "sheet first of 3: empty, first, second; --sheet chooses another" in note for note in load_table(path).notes
    )
    table = load_table(path, sheet="second")
    check(table)
    assert table.place_of(0) == "row 5"
    with pytest.raises(DataError, match=r"no sheet 'third'; the sheets are empty, first, second"):
        load_table(path, sheet="third")
    with pytest.raises(DataError, match="sheet 'empty' is empty"):
        load_table(path, sheet="empty")


@pytest.mark.parametrize("content", [b"PK\3\4rubbish", b"PAR1rubbishPAR1", b"ARROW1", b"\x1f\x8brubbish", b"BZhrubbish",
                                     b"\xfd7zXZ\0rubbish", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 rubbish", b"\x93NUMPY",
                                     b"@relation t\n@data\n", b"\0\0\x08\x03rubbish"])  # fmt: skip
def test_damaged_files_are_one_clear_error(content, tmp_path):
    path = tmp_path / "t.any"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.any.*: ") as error:
        load_table(path)
    assert "\n" not in str(error.value)


def test_a_zip_of_two_tables(tmp_path):
    path = tmp_path / "two.zip"
    zipped(path, {"a.csv": TEXT, "b.csv": TEXT})
    with pytest.raises(
        DataError, match=r"must hold one table; this one holds a\.csv, b\.csv; unpack it and choose one"
    ):
        load_table(path)
    zipped(path, {"a.zip": b"PK\3\4"})
    with pytest.raises(DataError, match="damaged, or not a ZIP archive"):
        load_table(path)


@pytest.mark.parametrize(
    ("module", "name", "package"),
    [("python_calamine", "t.xlsx", "python-calamine"), ("pyarrow.parquet", "t.parquet", "pyarrow"),
     ("scipy.io.arff", "t.arff", "scipy"), ("pandas", "t.csv.gz", "pandas")],
)  # fmt: skip
def test_a_missing_package_is_named_with_its_install_line(module, name, package, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path) if name in WRITERS else path.write_text("@relation t\n@data\n")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable, match=rf"{package}, .*pip install 'fastdrop-kernels\[tables\]'"):
        load_table(path)


# -- in memory


def test_frames_of_pandas():
    check(load_table(FRAME))
    check(load_table(FRAME.astype({"color": "category", "flag": "boolean", "size": "Float64"})))
    check(load_table((FRAME.drop(columns="kind"), FRAME["kind"])))


def test_an_index_is_row_labels():
    named = FRAME.set_index(pd.Index([f"row {number}" for number in range(6)]))
    table = load_table(named)
    assert (table.columns[0].role, table.columns[0].name) == ("ignored", "column 1")
    np.testing.assert_allclose(table.features, FEATURES)


def test_frames_of_polars_and_arrow():
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    check(load_table(polars.from_pandas(FRAME)))
    check(load_table(pyarrow.Table.from_pandas(FRAME)))


def test_a_configuration_takes_data_in_memory():
    config = ExperimentConfig(dataset="file", data_file=FRAME, hidden=(4,), epochs=1, train_fraction=0.5)
    assert config.replace(epochs=2).data_file is config.data_file
    assert config == config.replace()
    trainer = Trainer(config)
    trainer.step()
    assert trainer.dataset.class_names == ("x", "y")
    for text in (config.to_toml, config.to_share_code):
        with pytest.raises(ValueError, match="data in memory cannot be part of a file: save the table"):
            text()


@pytest.mark.parametrize("data", [3, [1, 2], np.arange(3), object()])
def test_data_of_other_types(data):
    with pytest.raises(DataError, match="must be a path, a DataFrame"):
        load_table(data)


# -- test data


def test_test_data_are_never_trained_on(tmp_path):
    rows = "".join(f"{row % 7},{'uvw'[row % 3]},{'xy'[row % 2]}\n" for row in range(40))
    (tmp_path / "train.csv").write_text("a,b,class\n" + rows)
    (tmp_path / "test.csv").write_text("class,b,a\n" + "y,u,1000\nx,q,\nY,w,3\nz,w,3\n,w,3\n")
    dataset = load_dataset(
        "file", data_file=str(tmp_path / "train.csv"), test_data=str(tmp_path / "test.csv"), categorical=["b"]
    )
    assert dataset.fixed_test
    assert len(dataset.x_train) == 40
    assert dataset.y_test.tolist() == [1, 0, 1]
    alone = load_dataset("file", data_file=str(tmp_path / "train.csv"), categorical=["b"], train_fraction=0.5)
    assert dataset.feature_names == alone.feature_names == ("a", "b = u", "b = v", "b = w")
    mean, std = np.mean([row % 7 for row in range(40)]), np.std([row % 7 for row in range(40)])
    assert dataset.center[0] == pytest.approx(mean)
    expected = [(1000 - mean) / std, 0.0 - (mean - 3) / std, (3 - mean) / std]  # a missing one is the median, 3
    np.testing.assert_allclose(dataset.x_test[:, 0], expected, rtol=1e-6, atol=1e-6)
    assert dataset.x_test[1, 1:].tolist() == [0, 0, 0]  # an unknown category
    assert "test data: b: unknown categories count as missing: q" in dataset.notes
    assert "test data: 2 rows without a known class left out" in dataset.notes
    assert dataset.table.place_of(40) == "test line 2"


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,class\n1,x\n", "column 'b' is missing"), ("a,b\n1,u\n", "the target 'class' is missing"),
     ("a,b,class\n1,u,z\n", "no row has one of the classes x, y"), ("1,2\n3,4\n", "the target 'class' is missing"),
     ("9,2,3,4\n3,4,5,6\n", "4 columns without names")],
)  # fmt: skip
def test_test_data_that_do_not_fit(text, words, tmp_path):
    train = pd.DataFrame({"a": range(8), "b": list("uvuvuvuu"), "class": list("xyxyxyxy")})
    (tmp_path / "test.csv").write_text(text)
    with pytest.raises(DataError, match=rf"test\.csv.*{words}"):
        load_table(train, numeric=["a"], categorical=["b"], test_data=tmp_path / "test.csv")
