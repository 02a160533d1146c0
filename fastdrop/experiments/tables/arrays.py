"""Examples and labels as arrays: NPZ, NPY and IDX files, and a folder with a folder of pictures for each class."""

import math
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.experiments.formats.npz import LARGEST, Archive, Header
from fastdrop.experiments.formats.reading import LONGEST_NAME, Damaged, gigabytes, shown, size_of
from fastdrop.experiments.tables.compression import decompressed
from fastdrop.experiments.tables.contents import LONG_CLASS, Arrays, TableProblem, check_columns, listed, plural

_NAMES_OF_X = ("x", "data", "features", "images", "inputs", "x_data")
_NAMES_OF_Y = ("y", "target", "targets", "label", "labels", "class", "classes", "y_data")
_NAMES_OF_NAMES = {
    "columns": "feature_names",
    "feature_names": "feature_names",
    "target_names": "class_names",
    "class_names": "class_names",
}
_PARTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_data", "train_labels", "test_data", "test_labels"),
)
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp", ".tif", ".tiff")
_LARGEST_SIDE = 64
"""Pixels of a picture's side; larger ones are made smaller, since every pixel is an input of the network."""
_MOST_PICTURES = 200_000
_LARGEST_PICTURE = 64 << 20
"""Pixels of a picture that is opened."""


def read_npz(path: Path) -> Arrays:
    """The arrays of an NPZ file: x and y, X and y, data and target, x_train and so on; or x alone."""
    with Archive(path) as archive:
        found = arrays_by_name({name: archive.read(name) for name in _wanted(archive.headers)})
        return found._replace(notes=_unused(archive.headers))


def _wanted(headers: Mapping[str, Header]) -> list[str]:
    """The names that matter; an error where x and y are not among them, or too large, before anything is read."""
    by_role = roles_of_arrays(list(headers))
    for role, name in by_role.items():
        header = headers[name]
        if role.startswith("x"):
            check_columns(math.prod(header.shape[1:]))
        elif header.dtype.kind in "SU" and header.dtype.itemsize > LONGEST_NAME * (
            4 if header.dtype.kind == "U" else 1
        ):
            raise TableProblem(f"{LONG_CLASS} (its dtype is {header.dtype})", f"array {shown(name)}")
    size = sum(
        math.prod(headers[name].shape) * (8 if role.startswith("x") else headers[name].dtype.itemsize)
        for role, name in by_role.items()
    )
    if size > LARGEST:
        raise TableProblem(
            f"too large: in double precision it takes {gigabytes(size)}; the limit is {gigabytes(LARGEST)}"
        )
    return [*by_role.values()]


def roles_of_arrays(names: list[str]) -> dict[str, str]:
    """Which of an archive's arrays are x, y, x_test, y_test, feature_names and class_names."""
    lower = {name.lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for parts in _PARTS:
        if parts[0] in lower and parts[1] in lower:
            found = {"x": lower[parts[0]], "y": lower[parts[1]]}
            if parts[2] in lower and parts[3] in lower:
                found |= {"x_test": lower[parts[2]], "y_test": lower[parts[3]]}
            break
    else:
        x = next((lower[name] for name in _NAMES_OF_X if name in lower), "")
        y = next((lower[name] for name in _NAMES_OF_Y if name in lower and lower[name] != x), "")
        if not (x and y) and names == ["arr_0", "arr_1"]:  # numpy.savez(file, x, y)
            x, y = names
        if not x and len(names) == 1:
            x = names[0]
        found = {role: name for role, name in (("x", x), ("y", y)) if x and name}
    if not found:
        raise TableProblem(_expected(names))
    for other, role in _NAMES_OF_NAMES.items():
        if other in lower:
            found[role] = lower[other]
    return found


def _expected(names: list[str]) -> str:
    return (
        f"holds {listed(names) or 'nothing'}; it must hold x (rows, columns) and y (rows,), or data and target, or "
        "x_train, y_train, x_test and y_test"
    )


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Values in memory as an array; masked ones are missing."""
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        return np.ma.filled(values.astype(np.float64), np.nan)
    try:
        return np.asarray(values)
    except ValueError:
        raise TableProblem(f"{shown(name)} is no array: its rows have different lengths") from None


def arrays_by_name(arrays: Mapping[str, Any]) -> Arrays:
    """The same of arrays in memory."""
    given = {str(name): as_array(array, str(name)) for name, array in arrays.items()}
    by_role = roles_of_arrays(list(given))
    feature_names, class_names = (
        tuple(str(name) for name in given[by_role[role]].reshape(-1)) if role in by_role else ()
        for role in ("feature_names", "class_names")
    )
    x, y, x_test, y_test = (given.get(by_role.get(role, "")) for role in ("x", "y", "x_test", "y_test"))
    assert x is not None
    problem = _expected(list(given)) if y is None else ""
    return Arrays(x, y, x_test, y_test, feature_names, class_names, _unused(given), problem)


def _unused(names: Iterable[str]) -> tuple[str, ...]:
    """What should be said about arrays that have no role."""
    unused = sorted(set(names) - set(roles_of_arrays(list(names)).values()))
    return (f"not used: {'array' if len(unused) == 1 else 'arrays'} {listed(unused)}",) if unused else ()


def read_npy(path: Path) -> Arrays | NDArray[Any]:
    """An NPY file with the labels in another one beside it; alone, an array whose last column is the target."""
    x = _npy(path)
    other = _partner(path, ((_NAMES_OF_X[:4], _NAMES_OF_Y), (("x_train",), ("y_train",)), (("train",), ("labels",))))
    if other is None:
        problem = f"an array of shape {x.shape} without labels; put y.npy beside x.npy"
        return x if x.ndim == 2 else Arrays(x, None, problem=problem)
    y, notes = _npy(other), (f"the labels are from {other.name}",)
    test = path.with_name(_renamed(path.name, "train", "test")), other.with_name(_renamed(other.name, "train", "test"))
    if test[0] != path and test[1] != other and all(each.is_file() for each in test):
        return Arrays(x, y, _npy(test[0]), _npy(test[1]), notes=(*notes, f"the test set is {test[0].name}"))
    return Arrays(x, y, notes=notes)


def _npy(path: Path) -> NDArray[Any]:
    size_of(path)
    try:
        array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except MemoryError:
        raise
    except Exception:
        raise Damaged("no array of plain numbers or text, or damaged; Python objects are never read") from None
    if array.dtype.kind not in "biufSU":
        raise TableProblem(f"dtype {array.dtype} is no number, boolean or text")
    return array


def _partner(path: Path, pairs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]) -> Path | None:
    """The file with the labels, by its name."""
    stem, suffix = path.stem, path.suffix
    for names, others in pairs:
        for name in names:
            if not re.search(rf"(?:^|[_-]){name}(?:$|[_-])", stem, re.IGNORECASE):
                continue
            for other in others:
                for renamed in (other, other.upper(), other.capitalize()):
                    candidate = path.with_name(re.sub(name, renamed, stem, count=1, flags=re.IGNORECASE) + suffix)
                    if candidate != path and candidate.is_file():
                        return candidate
    return None


def _renamed(name: str, old: str, new: str) -> str:
    return re.sub(old, new, name, count=1, flags=re.IGNORECASE)


# -- IDX


def read_idx(path: Path, content: bytes) -> Arrays:
    """IDX images, as MNIST has them, with the labels and perhaps the test set in files beside them."""
    x = idx_array(content)
    labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if x.ndim == 1 and "labels" in path.name:
        raise TableProblem("these are the labels; choose the file with the images")
    if labels == path or not labels.is_file():
        return Arrays(x, None, problem=f"its labels are missing: {shown(labels.name)} must be in the same folder")
    notes = (f"the labels are from {labels.name}",)
    test = [each.with_name(each.name.replace("train", "t10k", 1)) for each in (path, labels)]
    if test[0] == path or not all(each.is_file() for each in test):
        return Arrays(x, _idx_file(labels), notes=notes)
    x_test, y_test = map(_idx_file, test)
    return Arrays(x, _idx_file(labels), x_test, y_test, notes=(*notes, f"the test set is {test[0].name}"))


def _idx_file(path: Path) -> NDArray[Any]:
    size_of(path)
    content = path.read_bytes()
    return idx_array(decompressed(content, LARGEST) if content[:2] == b"\x1f\x8b" else content)


def idx_array(content: bytes) -> NDArray[Any]:
    """The array of an IDX file: two zeros, the dtype, the number of axes, their lengths, the values."""
    axes = content[3]
    start = 4 + 4 * axes
    if content[:2] != b"\0\0" or content[2] not in _IDX_DTYPES or not 1 <= axes <= 4 or len(content) < start:
        raise TableProblem("damaged, or not an IDX file")
    shape = struct.unpack(f">{axes}I", content[4:start])
    dtype = np.dtype(_IDX_DTYPES[content[2]])
    if start + math.prod(shape) * dtype.itemsize != len(content):
        raise TableProblem(f"damaged: its shape {shape} does not fit its {len(content):,} bytes")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


# -- pictures


def read_folder(path: Path) -> Arrays:
    """Pictures in one folder for each class; folders train and test above them are the two sets."""
    parts = {name: path / name for name in ("train", "test") if (path / name).is_dir()}
    if len(parts) == 2 and not any(_pictures(folder) for folder in parts.values()):
        classes = sorted({folder.name for part in parts.values() for folder in _folders(part)})
        (x, y, size, notes), (x_test, y_test, _, more) = (
            _read_pictures(part, classes, None) for part in parts.values()
        )
        if x.shape[1:] != x_test.shape[1:]:
            x_test, y_test, _, more = _read_pictures(parts["test"], classes, size)
        return Arrays(x, y, x_test, y_test, class_names=tuple(classes), notes=(*notes, *more))
    classes = [folder.name for folder in _folders(path)]
    if len(classes) < 2:
        raise TableProblem(
            "a folder must have one folder of pictures for each class; "
            f"it has {plural(len(classes), 'folder')} with pictures"
        )
    x, y, _, notes = _read_pictures(path, classes, None)
    return Arrays(x, y, class_names=tuple(classes), notes=notes)


def read_pictures(path: Path, shape: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """The pictures of a folder, of whatever size, in the size of those that a model was trained on."""
    return _array_of(files_with_pictures(path), (*shape, "L" if channels == 1 else "RGB"))


def files_with_pictures(path: Path) -> list[Path]:
    """The pictures of a folder, and of the folders in it."""
    found = _pictures(path) + [file for folder in _folders(path) for file in _pictures(folder)]
    if not found:
        raise TableProblem("no pictures in this folder")
    return found


def _folders(path: Path) -> list[Path]:
    return sorted(
        each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".") and _pictures(each)
    )


def _pictures(folder: Path) -> list[Path]:
    found = (each for each in folder.iterdir() if each.suffix.lower() in _PICTURES and each.is_file())
    return sorted(each for each in found if not each.name.startswith("."))


Size = tuple[int, int, str]


def _read_pictures(
    path: Path, classes: list[str], size: Size | None
) -> tuple[NDArray[np.uint8], NDArray[np.intp], Size, tuple[str, ...]]:
    """The pictures as one array (pictures, height, width[, 3]), their classes, and their common size and mode."""
    named = [
        (place, file) for place, name in enumerate(classes) for file in _pictures(path / name) if (path / name).is_dir()
    ]
    files, note = [file for _, file in named], ""
    _check_number(files)
    if size is None:
        size, note = _common_size(files)
    labels = np.array([place for place, _ in named], np.intp)
    return _array_of(files, size), labels, size, (note,) if note else ()


def _check_number(files: list[Path]) -> None:
    if len(files) > _MOST_PICTURES:
        raise TableProblem(f"{len(files):,} pictures; at most {_MOST_PICTURES:,} are possible")


def _array_of(files: list[Path], size: Size) -> NDArray[np.uint8]:
    """The pictures in this size and mode."""
    height, width, mode = size
    _check_number(files)
    found = np.empty((len(files), height, width, *(() if mode == "L" else (3,))), np.uint8)
    for place, file in enumerate(files):
        with _opened(file) as picture:
            fitting = picture.convert(mode)
            if fitting.size != (width, height):
                fitting = fitting.resize((width, height), resample=2)  # bilinear
            found[place] = np.asarray(fitting)
    return found


def _common_size(files: list[Path]) -> tuple[Size, str]:
    """The size that all pictures get, and what should be said about it."""
    sizes, grey = [], True
    for file in files:
        with _opened(file) as picture:
            sizes.append((picture.height, picture.width))
            grey = grey and picture.mode in ("1", "L", "LA", "I;16", "I")
    common = max(sorted(set(sizes)), key=sizes.count)
    shrink = max(1.0, max(common) / _LARGEST_SIDE)
    height, width = (max(1, round(side / shrink)) for side in common)
    changed = sum(size != (height, width) for size in sizes)
    note = f"{plural(changed, 'picture')} of {len(sizes):,} resized to {width} x {height} pixels" if changed else ""
    return (height, width, "L" if grey else "RGB"), note


def _opened(file: Path) -> Any:
    import warnings

    try:
        import PIL.Image
    except ImportError:
        raise missing_package("pillow", "tables", "opening pictures") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = PIL.Image.open(file, formats=("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "TIFF"))
            if picture.width * picture.height > _LARGEST_PICTURE:
                raise TableProblem(f"{picture.width} x {picture.height} pixels are too many", file.name)
            picture.load()
            return picture
    except TableProblem:
        raise
    except MemoryError:
        raise
    except Exception:
        raise TableProblem("damaged, or not a picture", f"{file.parent.name}/{file.name}") from None
