"""Arrays: NPZ and NPY files, IDX files, folders of pictures; labels in every shape."""

import gzip
import struct

import numpy as np
import pytest

from fastdrop.experiments import DataError, ExperimentConfig, Trainer, load_dataset, load_table

X = np.arange(24.0).reshape(8, 3)
Y = np.array([0, 1, 1, 0, 2, 2, 1, 0])
IMAGES = (np.arange(8 * 4 * 5) % 251).astype(np.uint8).reshape(8, 4, 5)


def labels_of(table):
    return [table.class_names[label] for label in table.labels]


@pytest.mark.parametrize(
    ("x", "y"),
    [("x", "y"), ("X", "y"), ("data", "target"), ("features", "labels"), ("images", "labels"), ("Data", "Label"),
     ("x_train", "y_train"), ("X_train", "Y_train"), ("train_images", "train_labels"), ("arr_0", "arr_1")],
)  # fmt: skip
def test_names_of_arrays(x, y, tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, **{x: X, y: Y})
    table = load_table(path)
    np.testing.assert_array_equal(table.features, X)
    assert labels_of(table) == list("01102210")


def test_other_names_are_told(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, a=X, b=Y)
    with pytest.raises(DataError, match=r"t\.npz: holds a, b; it must hold x \(rows, columns\) and y"):
        load_table(path)
    np.savez(path, x=X, y=Y, weights=Y)
    assert "not used: array weights" in load_table(path).notes


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (Y[:, None], list("01102210")),
        (np.eye(3)[Y], list("01102210")),
        (np.eye(3, dtype=bool)[Y], list("01102210")),
        (Y == 1, ["False", "True", "True", "False", "False", "False", "True", "False"]),
        (Y.astype(float), list("01102210")),
        (np.array(list("baabccab")), list("baabccab")),
        (np.array([b"b", b"a", b"a", b"b", b"c", b"c", b"a", b"b"]), list("baabccab")),
        (
            np.array(["yes", "Yes", "no", " no", "yes", "no ", "yes", "no"]),
            ["yes", "yes", "no", "no", "yes", "no", "yes", "no"],
        ),
        (np.array([5, 70, 70, 5, 99, 99, 70, 5]), ["5", "70", "70", "5", "99", "99", "70", "5"]),
    ],
)
def test_labels(y, expected, tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=X, y=y)
    assert labels_of(load_table(path)) == expected
    assert labels_of(load_table((X, y))) == expected


def test_rows_without_a_label(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=X, y=np.array([0, 1, np.nan, 0, 1, 1, np.inf, 0]))
    table = load_table(path)
    assert labels_of(table) == list("010110")
    assert table.place_of(2) == "row 4"
    assert "2 rows without a label left out" in table.notes


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, Y[:7], r"y has shape \(7,\) for 8 examples"),
        (X, np.eye(3)[Y] + np.eye(3)[(Y + 1) % 3], r"row 1 of y: \[1\.0, 1\.0, 0\.0\] is not one-hot"),
        (X, np.zeros((8, 2, 2)), r"y has shape \(8, 2, 2\)"),
        (np.zeros((0, 3)), Y[:0], "no values"),
        (np.zeros((8, 2, 2, 2, 2)), Y, r"x has shape \(8, 2, 2, 2, 2\)"),
        (np.zeros((8, 5, 5, 7)), Y, "images must have 1, 3 or 4 channels"),
        (np.array([["a"]] * 8), Y, "x has dtype <U1; it must hold numbers"),
        (X, np.zeros(8, int), r"one class only \(0\)"),
        (X, np.arange(8) / 7, None),
    ],
)
def test_arrays_that_do_not_fit(x, y, words, tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=x, y=y)
    if words is None:
        assert load_table(path).is_regression
        return
    with pytest.raises(DataError, match=rf"t\.npz.*{words}"):
        load_table(path)


def test_objects_are_never_read(tmp_path):
    np.savez(tmp_path / "t.npz", x=X, y=np.array([{}] * 8, object))
    np.save(tmp_path / "x.npy", np.array([{}] * 8, object))
    for name in ("t.npz", "x.npy"):
        with pytest.raises(DataError, match=rf"{name}: .*objects"):
            load_table(tmp_path / name)


def test_names_in_the_archive(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, data=X, target=Y, feature_names=["a", "b", "c"], target_names=["p", "q", "r"])
    table = load_table(path)
    assert [column.name for column in table.used] == ["a", "b", "c"]
    assert labels_of(table) == list("pqqprrqp")


def test_a_given_split_is_kept(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=IMAGES[:6], y_train=Y[:6], x_test=IMAGES[6:], y_test=Y[6:])
    dataset = load_dataset("file", data_file=str(path), train_fraction=0.1, seed=9)
    assert (len(dataset.x_train), dataset.y_test.tolist(), dataset.image_shape) == (6, [1, 0], (4, 5))
    assert dataset.fixed_test
    expected = IMAGES[:6].reshape(6, 20).astype(float)
    np.testing.assert_allclose(dataset.center, expected.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(dataset.scale, np.sqrt(expected.var(axis=0).mean()), rtol=1e-6)
    with pytest.raises(DataError, match="has its own test set"):
        load_table(path, test_data=path)


def test_pairs_of_npy(tmp_path):
    for x, y in (("x.npy", "y.npy"), ("X_small.npy", "y_small.npy"), ("x_train.npy", "y_train.npy")):
        np.save(tmp_path / x, X)
        np.save(tmp_path / y, Y)
        assert labels_of(load_table(tmp_path / x)) == list("01102210")
    np.save(tmp_path / "x_test.npy", X[:2])
    np.save(tmp_path / "y_test.npy", Y[:2])
    assert load_table(tmp_path / "x_train.npy").train_rows == 8
    np.save(tmp_path / "alone.npy", np.column_stack([X, Y]))
    assert labels_of(load_table(tmp_path / "alone.npy")) == list("01102210")


def idx(array):
    kinds = {"uint8": 8, "int16": 0x0B, "float32": 0x0D}
    head = bytes([0, 0, kinds[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx(pack, tmp_path):
    suffix = ".gz" if pack is gzip.compress else ""
    parts = {"train-images-idx3": IMAGES[:6], "train-labels-idx1": Y[:6].astype("u1")}
    for name, array in parts.items():
        (tmp_path / f"{name}-ubyte{suffix}").write_bytes(pack(idx(array)))
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    table = load_table(path)
    assert (table.image_shape, table.train_rows, labels_of(table)) == ((4, 5), 0, list("011022"))
    np.testing.assert_array_equal(table.features, IMAGES[:6].reshape(6, 20))
    for name, array in {"t10k-images-idx3": IMAGES[6:], "t10k-labels-idx1": Y[6:].astype("u1")}.items():
        (tmp_path / f"{name}-ubyte{suffix}").write_bytes(pack(idx(array)))
    assert (load_table(path).train_rows, labels_of(load_table(path))) == (6, list("01102210"))
    with pytest.raises(DataError, match="these are the labels; choose the file with the images"):
        load_table(tmp_path / f"train-labels-idx1-ubyte{suffix}")
    (tmp_path / f"train-labels-idx1-ubyte{suffix}").unlink()
    with pytest.raises(DataError, match="its labels are missing: 'train-labels-idx1-ubyte"):
        load_table(path)


@pytest.mark.parametrize("shape", [(8, 6, 6), (8, 6, 6, 1), (8, 6, 6, 3), (8, 6, 6, 4), (8, 3, 6, 6)])
@pytest.mark.parametrize("network", ["mlp", "cnn", "lstm"])
def test_images_train(shape, network):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, shape).astype(np.uint8)
    hidden = {"mlp": (8,), "cnn": (4, 8), "lstm": (4,)}[network]
    config = ExperimentConfig(
        dataset="file", data_file=(x, np.arange(8) % 2), network=network, hidden=hidden, epochs=1, train_fraction=0.5
    )
    dataset = config.load_dataset()
    assert dataset.image_shape == (6, 6)
    assert dataset.channels == (1 if len(shape) == 3 or 1 in shape[1:] else 3)
    if network == "lstm" and dataset.channels > 1:
        with pytest.raises(ValueError, match="network lstm needs grey images"):
            Trainer(config)
        return
    trainer = Trainer(config)
    trainer.step()
    assert np.isfinite(trainer.history[-1].test_loss)
    if shape == (8, 6, 6, 3):  # one channel behind another, as Conv2d reads them
        np.testing.assert_array_equal(dataset.table.features[0].reshape(3, 6, 6), x[0].transpose(2, 0, 1))


def pictures(folder, sizes, mode="L"):
    image = pytest.importorskip("PIL.Image")
    for number, (name, size) in enumerate(sizes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        pixels = np.full((*size, 3) if mode == "RGB" else size, 10 * number, np.uint8)
        image.fromarray(pixels).save(folder / name / f"{number}.png")


def test_a_folder_of_pictures(tmp_path):
    pictures(tmp_path, [("cat", (6, 5)), ("dog", (6, 5)), ("cat", (6, 5)), ("dog", (12, 10))])
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    table = load_table(tmp_path)
    assert (table.image_shape, table.channels, labels_of(table)) == ((6, 5), 1, ["cat", "cat", "dog", "dog"])
    assert table.features[:, 0].tolist() == [0, 20, 10, 30]
    assert "1 picture of 4 resized to 5 x 6 pixels" in table.notes


def test_pictures_in_colour_and_in_two_parts(tmp_path):
    for part in ("train", "test"):
        pictures(tmp_path / part, [("a", (4, 4)), ("b", (4, 4)), ("a", (4, 4)), ("b", (4, 4))], "RGB")
    table = load_table(tmp_path)
    assert (table.channels, table.train_rows, len(table.labels)) == (3, 4, 8)


def test_folders_without_pictures(tmp_path):
    with pytest.raises(DataError, match="a folder must have one folder of pictures for each class; it has 0 folders"):
        load_table(tmp_path)
    pictures(tmp_path, [("a", (4, 4)), ("b", (4, 4))])
    (tmp_path / "a" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a/bad\.png: damaged, or not a picture"):
        load_table(tmp_path)
    with pytest.raises(DataError, match="are for columns"):
        load_table((X, Y), target="a")
