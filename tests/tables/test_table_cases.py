"""Small files of the kinds that people have, each with the answer worked out by hand."""

import numpy as np
import pytest
from tabletexts import lines, read, roles

from fastdrop.experiments import DataError

nan = np.nan


# (text, roles by column, the used cells, the classes of the rows)
CASES = {
    "wrong target": (
        "class,a,b/1,5,0/1,4,1/1,5,0/2,9,1/2,8,0/2,9,1",
        {"class": "target", "a": "number", "b": "number"},
        [[5, 0], [4, 1], [5, 0], [9, 1], [8, 0], [9, 1]],
        ["1", "1", "1", "2", "2", "2"],
    ),
    "text of two values": (
        "sex,b,class/m,2,x/f,2,y/m,3,x/f,1,y",
        {"sex": "category", "b": "number", "class": "target"},
        [[1, 2], [0, 2], [1, 3], [0, 1]],
        list("xyxy"),
    ),
    "booleans": (
        "a,b,class/True,2,x/False,2,y/True,1,x/False,3,y",
        {"a": "category", "b": "number", "class": "target"},
        [[1, 2], [0, 2], [1, 1], [0, 3]],
        list("xyxy"),
    ),
    "empty cells": ("a,b,class/1,2,x/,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], list("xyxy")),
    "?": ("a,b,class/1,2,x/?,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], list("xyxy")),
    "NA": ("a,b,class/1,2,x/NA,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], list("xyxy")),
    "N/A": ("a,b,class|1,2,x|N/A,2,y|3,2.5,x|4,1,y".replace("|", "\n"), {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], None),
    "-": ("a,b,class/1,2,x/-,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], list("xyxy")),
    "null with spaces": ("a,b,class/1,2,x/ null ,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], None),
    "a blank": ("a,b,class/1,2,x/ ,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], None),
    "unknown among numbers": (
        "a,b,class/1,2,x/unknown,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], None,
    ),
    "decimal comma": (
        "a;b;class/1,5;2;x/2,5;2;y/3,5;1;x/4,0;2;y",
        {"a": "number", "b": "number"},
        [[1.5, 2], [2.5, 2], [3.5, 1], [4, 2]],
        list("xyxy"),
    ),
    "decimal comma and points between thousands": (
        "a;b;class/1.234,5;2;x/2,5;2;y/13.500,25;1;x/4,0;2;y", {}, [[1234.5, 2], [2.5, 2], [13500.25, 1], [4, 2]], None,
    ),
    "quoted decimal commas": (
        'a,b,class/"1,5",2,x/"2,25",2,y/"3,5",1,x/"0,125",2,y', {}, [[1.5, 2], [2.25, 2], [3.5, 1], [0.125, 2]], None,
    ),
    "quoted thousands": (
        'a,b,class/"1,234",2,x/"12,345",2,y/999,1,x/"1,234,567.5",2,y',
        {"a": "number"},
        [[1234, 2], [12345, 2], [999, 1], [1234567.5, 2]],
        list("xyxy"),
    ),
    "percent": (
        "a,b,class/12 %,2,x/7%,2,y/8.5 %,1,x/9 %,2,y", {"a": "number"},
        [[12, 2], [7, 2], [8.5, 1], [9, 2]], None,
    ),
    "currency": (
        'a,b,class/"$1,200.50",2,x/$7,2,y/$8.50,1,x/$9,2,y', {"a": "number"},
        [[1200.5, 2], [7, 2], [8.5, 1], [9, 2]], None,
    ),
    "tabs in .csv": ("a\tb\tclass/1\t2\tx/2\t2\ty/5\t1\tx/4\t2\ty", {}, [[1, 2], [2, 2], [5, 1], [4, 2]], list("xyxy")),
    "bars": ("a|b|class/1|2|x/2|2|y/5|1|x/4|2|y", {}, [[1, 2], [2, 2], [5, 1], [4, 2]], list("xyxy")),
    "spaces": ("a b class/  1  2 x/ 2 2   y/5 1 x/4 2 y  ", {}, [[1, 2], [2, 2], [5, 1], [4, 2]], list("xyxy")),
    "spaces and quotes": (
        'a name class/1 "a b" x/2 "c d" y/5 "a b" x/4 "c d" y',
        {"name": "category"},
        [[1, 0], [2, 1], [5, 0], [4, 1]],
        list("xyxy"),
    ),
    "no header": (
        "1,2,x/2,2,y/5,1,x/4,2,y",
        {"column 1": "number", "column 2": "number", "column 3": "target"},
        [[1, 2], [2, 2], [5, 1], [4, 2]],
        list("xyxy"),
    ),
    "no header, letters alone": (
        "p,k,e/p,k,f/e,k,e/e,n,f/p,n,e/e,k,f",
        {"column 1": "category", "column 2": "category", "column 3": "target"},
        [[1, 0], [1, 0], [0, 0], [0, 1], [1, 1], [0, 0]],
        list("efefef"),
    ),
    "comments": (
        "# made by hand/# twice/a,b,class/1,2,x/2,2,y/# no more/5,1,x/4,2,y", {},
        [[1, 2], [2, 2], [5, 1], [4, 2]], None,
    ),
    "names in a comment": (
        "# a b class/1 2 0/2 2 1/5 1 0/4 2 1", {"a": "number", "class": "target"},
        [[1, 2], [2, 2], [5, 1], [4, 2]], None,
    ),
    "sep=;": ("sep=;/a;b;class/1;2;x/2;2;y/5;1;x/4;2;y", {}, [[1, 2], [2, 2], [5, 1], [4, 2]], list("xyxy")),
    "trailing delimiters": (
        "a,b,class,/1,2,x,/2,1,y,",
        {"a": "number", "b": "number", "class": "target", "column 4": "ignored"},
        [[1, 2], [2, 1]],
        ["x", "y"],
    ),
    "trailing delimiters in the rows alone": (
        "a,b,class/1,2,x,/2,1,y,/3,3,x,,", {"class": "target"}, [[1, 2], [2, 1], [3, 3]], ["x", "y", "x"],
    ),
    "row numbers without a name": (
        ",a,class/0,5,x/1,4,x/2,5,x/3,6,y/4,5,y/5,4,y",
        {"column 1": "ignored", "a": "number"},
        [[5], [4], [5], [6], [5], [4]],
        list("xxxyyy"),
    ),
    "row numbers called Id": (
        "Id,a,class/1,5,x/2,4,x/3,5,x/4,6,y/5,5,y/6,4,y", {"Id": "ignored"},
        [[5], [4], [5], [6], [5], [4]], list("xxxyyy"),
    ),
    "names of the rows, as R writes them": (
        '"a" "class"/"r1" 5 "x"/"r2" 4 "x"/"r3" 6 "y"/"r4" 5 "y"/"r5" 5 "y"',
        {"column 1": "ignored", "a": "number"},
        [[5], [4], [6], [5], [5]],
        list("xxyyy"),
    ),
    "labels written in two ways": (
        "a,b,class/1,2,1/2,3,1.0/3,1,0/4,5,0.0/5,2,NA/6,2,NA/7,1,1/8,2,1.0/9,3,0/8,3,0.0",
        {"class": "target"},
        None,
        list("11001100"),
    ),
    "yes and Yes": (
        "a,b,class/5,2,yes/3,3,Yes/3,1,no/4,5,No /1,2, yes/6,2,no", {}, None, ["yes", "yes", "no", "no", "yes", "no"],
    ),
    "? as a label": (
        "a,b,class/5,2,x/3,3,?/3,1,y/4,5,y/1,2,x/6,2,?", {},
        [[5, 2], [3, 1], [4, 5], [1, 2]], list("xyyx"),
    ),
    "constant": ("a,b,class/7,2,x/7,3,y/7,1,x/7,3,y", {"a": "ignored"}, [[2], [3], [1], [3]], list("xyxy")),
    "dates": (
        "day,b,class/2020-01-01,2,x/2020-01-03,3,y/2020-02-01,1,x/2021-01-01,3,y",
        {"day": "date"},
        [[18262, 2], [18264, 3], [18293, 1], [18628, 3]],
        list("xyxy"),
    ),
    "German dates": ("day,b,class/01.02.2020,2,x/28.02.2020,3,y/13.03.2020,1,x/01.01.2021,3,y", {"day": "date"},
                     [[18293, 2], [18320, 3], [18334, 1], [18628, 3]], None),
    "American dates": ("day,b,class|02/01/2020,2,x|02/28/2020,3,y|03/13/2020,1,x|01/01/2021,3,y".replace("|", "\n"),
                       {"day": "date"}, [[18293, 2], [18320, 3], [18334, 1], [18628, 3]], None),
    "times": ("at,b,class/06:00,2,x/12:00,3,y/18:00,1,x/06:00,3,y", {"at": "date"},
              [[0.25, 2], [0.5, 3], [0.75, 1], [0.25, 3]], None),
    "a cell with a delimiter and a line end": (
        'a,name,class\n1,"p, q\nr",x\n2,s,y\n5,"p, q\nr",x\n4,s,y', {"name": "category"},
        [[1, 0], [2, 1], [5, 0], [4, 1]], None,
    ),
    "single quotes": (
        "'30-39','premeno',x\n'40-49','ge40',y\n'30-39','ge40',x\n'40-49','premeno',y",
        {"column 1": "category"},
        [[0, 1], [1, 0], [0, 0], [1, 1]],
        list("xyxy"),
    ),
    "one name twice": ("y,x,y/1,2,a/3,4,b/5,6,a/8,8,b", {}, None, None),
    "row without a feature": (
        "a,b,class/1,2,x/,,y/3,2,x/4,1,y", {},
        [[1, 2], [nan, nan], [3, 2], [4, 1]], list("xyxy"),
    ),
    "numbers above 2020": (
        "2019,2020,class/1,2,x/2,2,y/5,1,x/4,2,y", {"2019": "number"},
        [[1, 2], [2, 2], [5, 1], [4, 2]], None,
    ),
    "columns that pandas has numbered": ("0,1,2/1.5,2.5,0/2.5,2,1/5,1,0/4,2,1", {"2": "target"}, None, list("0101")),
    "infinity": ("a,b,class/1,2,x/inf,2,y/3,2.5,x/4,1,y", {}, [[1, 2], [nan, 2], [3, 2.5], [4, 1]], list("xyxy")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_small_file_is_read_as_its_owner_meant_it(name, end, tmp_path):
    text, expected_roles, features, classes = CASES[name]
    if "\n" not in text:
        text = lines(text)
    table = read(tmp_path, text.replace("\n", end))
    found = roles(table)
    assert {column: found[column] for column in expected_roles} == expected_roles
    if features is not None:
        np.testing.assert_allclose(table.features, features)
    if classes is not None:
        assert [table.class_names[label] for label in table.labels] == classes


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_utf8(mark, tmp_path):
    table = read(tmp_path, mark + "größe,b,class\n1,2,é\n2,2,y\n5,1,é\n4,2,y\n".encode())
    assert [column.name for column in table.columns] == ["größe", "b", "class"]
    assert table.class_names == ("y", "é")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings(encoding, tmp_path):
    text = "größe,b,class\n1,2,été\n2,2,hiver\n5,1,été\n4,2,hiver\n"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    table = read(tmp_path, mark + text.encode(encoding))
    assert [column.name for column in table.columns] == ["größe", "b", "class"]
    assert table.class_names == ("hiver", "été")
    said = [note for note in table.notes if "read as" in note]
    assert len(said) == (encoding in ("latin-1", "cp1252"))


def test_cyrillic(tmp_path):
    rows = "Иванов;да;3\nПетров;нет;4\nСидоров;да;5\n" * 4
    table = read(tmp_path, ("имя;класс;год\n" + rows).encode("cp1251"), target="класс")
    assert table.class_names == ("да", "нет")


@pytest.mark.parametrize("end", ["\r", "", "\n", "\r\n"])
def test_mac_line_ends(end, tmp_path):
    assert read(tmp_path, f"a,b,class\r1,2,x\r2,2,y\r5,1,x\r4,2,y{end}").features.shape == (4, 2)


@pytest.mark.parametrize("suffix", [".data", ".txt", ".tsv", ".tab", ".dat", ".CSV", ""])
def test_any_suffix(suffix, tmp_path):
    assert read(tmp_path, lines("a,b,class/1,2,x/2,2,y/5,1,x/4,2,y"), f"t{suffix}").features.shape == (4, 2)


# -- what is said, and what is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n\n", "no rows"),
        ("a,b,kind\n", "no rows below the header"),
        (lines("a,b,kind/1,2,x/3,4,y/5,x/7,8,y"), r"line 4: 2 cells where the other lines have 3; correct or delete"),
        (lines("a,b,kind/1,2,x/3,4,y/5,6,7,x/7,8,y"), r"line 4: 4 cells where the other lines have 3"),
        (lines('a,b,kind/1,"2",x/"3\n3",4,y/5,x/7,8,y'), r"line 5: 2 cells where the other lines have 3"),
        (lines("a,b,kind/1,2,x,9/3,4,y/5,6,x/7,8,y"), r"line 2: 4 cells where the other lines have 3"),
        (lines('a,b,kind/1,"2",x,9/3,4,y/5,6,x/7,8,y'), r"line 2: 4 cells where the other lines have 3"),
        (lines('a,b,kind/1,"2",x,9,9/3,4,y,9,9/5,6,x,9,9'), r"line 2: 5 cells where the other lines have 3"),
        (lines("# c//a,b,kind/1,2,x/3,4,y/5,x/7,8,y"), r"line 6: 2 cells"),
        (lines("a b kind/1 2 x/3 4 y/5 x/7 8 y"), r"line 4: 2 cells"),
        (lines("a,b,kind/1,2,x/3,4,x/5,6,x"), r"column 'kind'.*one class only \(x\)"),
        (lines("kind/x/y"), "one column only"),
        (lines("kind,class/x,a/x,b/x,a/x,b"), r"no feature is left; ignored: kind \(constant: every cell is 'x'\)"),
        (lines("a,b,class/1,2,/3,4,/5,6,"), "column 'class': empty|all columns|one class only|no target"),
        (b"a,b,class\n1,\x002,x\n3,4,y\n", "NUL"),
        (b"\x80\x04\x95pickled", "a pickle, which is never read"),
        (b"\x89HDF\r\n", "HDF5"),
        ("x" * 100, "one column only"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_place_and_the_way_out(text, words, tmp_path):
    with pytest.raises(DataError, match=rf"t\.csv.*({words})") as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_every_case_has_its_reasons_in_words(tmp_path):
    table = read(tmp_path, lines("Id,day,c,d,e,f,class/" + "/".join(
        f"{row},2020-01-{row:02},k,{'uv'[row % 2]},,text {row % 11},{'xy'[row % 2]}" for row in range(1, 29)
    )))  # fmt: skip
    reasons = {column.name: column.reason for column in table.columns}
    assert reasons["Id"] == "row labels: a different whole number in every row"
    assert reasons["c"] == "constant: every cell is 'k'"
    assert reasons["e"] == "empty"
    assert reasons["f"] == "11 different texts"
    assert reasons["class"] == "its name is 'class'"
    assert any("d says the same as the target" in note and "--ignore d" in note for note in table.notes)


def test_what_is_merged_and_left_out_is_said(tmp_path):
    table = read(tmp_path, lines("a,b,class/5,2,yes/3,3,Yes/3,1,no/4,5,no/1,2,/6,2,?/6,2,yes"))
    assert "class: 'Yes', 'yes' are one: 'yes'" in table.notes
    assert "2 rows without a target left out" in table.notes
    assert [table.place_of(row) for row in range(5)] == ["line 2", "line 3", "line 4", "line 5", "line 8"]


def test_lines_are_those_of_an_editor(tmp_path):
    table = read(tmp_path, '# c\n\na,b,class\n1,"2",x\n\n"3\n",4,y\n# d\n5,6,x\n7,8,y\n')
    assert [table.place_of(row) for row in range(4)] == ["line 4", "line 6", "line 9", "line 10"]


# -- choices


ROWS = lines("a,b,c,kind/1,2,u,x/3,4,v,y/5,6,u,x/9,9,w,y/2,5,v,x/2,4,u,y")


def test_choices(tmp_path):
    table = read(tmp_path, ROWS, target="c", ignore=["b"], categorical=["a"])
    assert roles(table) == {"a": "category", "b": "ignored", "c": "target", "kind": "category"}
    assert [column.categories for column in table.used] == [("1", "2", "3", "5", "9"), ("x", "y")]
    assert [column.reason for column in table.columns][:3] == ["chosen", "chosen", "chosen"]
    assert roles(read(tmp_path, ROWS, target="3"))["c"] == "target"
    assert roles(read(tmp_path, ROWS, target=" KIND "))["kind"] == "target"


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"target": "kid"}, "no column 'kid'; did you mean 'kind'.; the columns are a, b, c, kind"),
        ({"target": "5"}, "no column '5'"),
        ({"ignore": ["a", "q"]}, "no column 'q'"),
        ({"ignore": ["a"], "numeric": ["1"]}, "column 'a' is both --ignore and --numeric"),
        ({"target": "a", "ignore": ["a"]}, "column 'a' is both --target and --ignore"),
        ({"numeric": ["c"]}, "column 'c': no cell is a number; the first text is 'u'"),
        ({"ignore": ["a", "b", "c"]}, "no feature is left"),
        ({"sheet": "one"}, "--sheet is for spreadsheets"),
    ],
)
def test_bad_choices(choices, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read(tmp_path, ROWS, **choices)


@pytest.mark.parametrize("wanted", ["²", "9" * 5000, "١٢", "1_0", "\0", "x" * 5000])
def test_unknown_columns(wanted, tmp_path):
    with pytest.raises(DataError, match="no column"):
        read(tmp_path, ROWS, target=wanted)


def test_numbers_in_spite_of_texts(tmp_path):
    table = read(tmp_path, lines("a,b,class/5+,2,x/3,3,y/4,1,y/5+,5,x/low,1,x"), numeric=["a"])
    np.testing.assert_allclose(table.features[:, 0], [nan, 3, 4, nan, nan])
    assert "a: 3 cells count as missing: '5+', 'low'" in table.notes
    assert roles(read(tmp_path, lines("a,b,class/5+,2,x/3,3,y/4,1,y/5+,5,x")))["a"] == "category"
