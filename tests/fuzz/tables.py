"""Readers of tables: the preview, the whole table, and its data set."""

import csv

import numpy as np

from fastdrop.experiments import DataError, load_dataset
from fastdrop.experiments.tables import preview_table, read_table
from fuzz.mutations import archive, as_text, npy, of_archive, of_cells
from fuzz.readers import Finding, Reader


def _load(path):
    return load_dataset("file", data_file=str(path), train_fraction=0.5)


class Table(Reader):
    refused = (DataError,)

    def read(self, given):
        """Run every reader of the file, also after one refuses it; then raise the last error."""
        found, refusals = {}, []
        for use in (preview_table, read_table, _load):
            try:
                found[use] = use(given)
            except DataError as error:
                self._check_message(error)
                refusals.append(error)
        if preview_table in found:
            self._check_preview(found[preview_table])
        if read_table in found:  # whether or not a data set can be made of it
            self._check_table(found[read_table])
        if refusals:
            if _load in found:
                raise Finding("a data set is made from a file that another reader refuses")
            raise refusals[-1]
        return found.values()

    @staticmethod
    def _check_preview(preview):
        assert len(preview.rows) <= 20
        assert all(isinstance(cell, str) for row in preview.rows for cell in row)
        assert preview.row_count is None or preview.row_count >= 0

    @staticmethod
    def _check_table(table):
        rows, columns = table.features.shape
        assert table.features.dtype == np.float64
        assert np.isfinite(table.features).all()
        assert table.labels.shape == (rows,)
        assert np.bincount(table.labels, minlength=len(table.class_names)).min() >= 2
        assert len(table.class_names) == table.labels.max() + 1 >= 2
        assert len(table.feature_names) == columns >= 1

    def use(self, found):
        preview, table, dataset = found
        rows, columns = table.features.shape
        assert preview.row_count in (None, rows)
        assert len(dataset.x_train) + len(dataset.x_test) == rows
        assert np.isfinite(dataset.x_train).all()
        assert dataset.x_train.shape[1] == columns


class NpzTable(Table):
    suffix = ".npz"
    weight = 0.4
    mutate = staticmethod(of_archive)

    def seeds(self):
        rng = np.random.default_rng(0)
        x, text = rng.random((12, 3)), np.array(["a", "bc"] * 6)
        tables = [
            {"x": x, "y": text, "z": np.arange(3)},
            {"x": x.reshape(12, 1, 3).astype("f4"), "y": np.arange(12) % 2},
            {"x": np.arange(36, dtype="i2").reshape(12, 3), "y": np.arange(12) % 2 == 0},
        ]
        return [archive([(f"{name}.npy", npy(array), 8) for name, array in table.items()]) for table in tables]


class CsvTable(Table):
    suffix = ".csv"
    weight = 0.7
    mutate = staticmethod(as_text(of_cells))

    def seeds(self):
        rows = "".join(f"{row},{row / 7},{'xy'[row % 2]}\n" for row in range(8))
        return [f"a,b,kind\n{rows}".encode(), b"\xef\xbb\xbf" + rows.encode(), f'"a b",",",c\r\n{rows}\n\n'.encode()]

    def use(self, found):
        super().use(found)
        preview, table, _ = found
        path = self.folder / "again.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*(f"name {name}" for name in range(len(table.feature_names))), "class"])
            for row, label in zip(table.features.tolist(), table.labels, strict=True):
                writer.writerow([*map(repr, row), table.class_names[label]])
        again = read_table(path)
        np.testing.assert_array_equal(again.features, table.features)
        np.testing.assert_array_equal(again.labels, table.labels)
        assert again.class_names == table.class_names
        for label in (preview.columns[0], "1"):
            try:
                read_table(self.path, label)
            except DataError as error:
                self._check_message(error)


READERS = {"npz": NpzTable, "csv": CsvTable}
