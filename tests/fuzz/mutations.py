"""Mutations with a seed: each takes a random.Random and an input, and returns a damaged input."""

import copy
import io
import json
import math
import struct
import warnings
import zipfile

import numpy as np

MOST_BYTES = 1 << 18
"""The most that is unpacked to be mutated."""
VALUES = [
    None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e-320, 1e308, math.inf, -math.inf, math.nan, 2**31, 2**63, -(2**63),
    2**64, 10**400, "", "0", "nan", "\x00", "\ud800", "a\x1bb", "x" * 5000, "../x", "moons", "file", "cnn", [], {},
    [[]], [1], [0.5, 0.5], ["standard"], {"a": 1}, {"error": 3}, json.loads("[" * 200 + "]" * 200),
]  # fmt: skip
"""Replacements of a value in JSON or in a state."""
LITERALS = [
    "-1", "1e999", "nan", "inf", "-inf", "true", "0x" + "f" * 5000, "1" * 400, "1" * 5000, '""', '"\\u0000"',
    "'" + "x" * 5000 + "'", "[]", "[" * 2000, "[[1]]", "{}", "{a = 1}", "{" + "a.b.c.d.e.f." * 50 + "g = 1}",
    "1979-05-27", "1_0", "0o7", "[1, 'a']", "[0.5]", '["standard"]', '"""', "9223372036854775808", "\x00", "\ud800",
]  # fmt: skip
QUOTED = [
    "%00", "%", "%zz", "%ED%A0%80", "%FF", "1_0", "\u0661\u0662", "+5", " 5", "1e5", "%31",
]  # fmt: skip
"""Replacements of a value in a share code."""
CELLS = [
    "", " ", "nan", "inf", "-1e999", "1_0", "\u0661", "0x10", "1e308", "1e-320", '"', '""', '"a', "'", "a", "x" * 1001,
    "\x00", "\ufeff", "1;2", "True", "1,", "9" * 400,
]  # fmt: skip
"""Replacements of a cell in a table of text."""
HEADERS = [
    "{(", "{", "", "{}", "None", "[" * 200 + "]" * 200, "-" * 900 + "1", "(" * 900, "'\\", '"""', "{'descr'",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3, -2), }",
    "{'descr': '<f8', 'fortran_order': 1, 'shape': (3,), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1000000000000000000000), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,), }",
    "{'descr': ('<f8', (1000000,)), 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '>f8', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<c16', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<f16', 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<U1', 'fortran_order': False, 'shape': " + "(1," * 40 + ")" * 40 + ", }",
    "{'descr': '<U1', 'fortran_order': False, 'shape': (" + "1, " * 70 + "), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (500000000, 2), }",
]  # fmt: skip


def of_bytes(rng, content):
    """Flip, cut, splice, repeat, overwrite."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if not content:
            break
        place, size = rng.randrange(len(content)), rng.choice([1, 2, 4, 8, 64])
        match rng.randrange(7):
            case 0:
                content[place] ^= 1 << rng.randrange(8)
            case 1:
                del content[place:]
            case 2:
                del content[place : place + size]
            case 3:
                content[place:place] = rng.randbytes(size)
            case 4:
                other = rng.randrange(len(content))
                content[place : place + size] = content[other : other + size]
            case 5:
                content[place : place + size] = rng.choice([b"\xff", b"\x00", b"\x80", b"\x7f"]) * size
            case _:
                content[place : place + 4] = struct.pack("<I", rng.choice([0, 1, 2**31, 2**32 - 1, len(content)]))
    return bytes(content)


def of_text(rng, text):
    """Swap, cut, repeat, or insert anything that a text can have."""
    for _ in range(rng.choice([1, 1, 2, 8])):
        place, size = rng.randrange(len(text) + 1), rng.choice([1, 2, 8, 40])
        match rng.randrange(5):
            case 0:
                text = text[:place] + text[place + size :]
            case 1:
                text = text[:place] + text[place : place + size] * 2 + text[place + size :]
            case 2:
                text = (
                    text[:place] + rng.choice("\"'[]{}.=#\\\n,&%?+-_eE0\x00\x1b\u0664\ud800\U0010ffff") + text[place:]
                )
            case 3:
                text = text[:place] + rng.choice(LITERALS) + text[place:]
            case _:
                other = rng.randrange(len(text) + 1)
                text = text[:place] + text[other : other + size] + text[place:]
    return text


def of_json(rng, document):
    """Replace a value, remove a key, lengthen or shorten a list."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 2])):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], (dict, list)) and rng.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place[key], str) and "\n[" in place[key] and rng.random() < 0.8:  # TOML in a text
                place[key] = of_toml(rng, place[key])
                break
            match rng.randrange(5):
                case 0:
                    del place[key]
                case 1 if isinstance(place, list):
                    place.append(copy.deepcopy(place[key]))
                case 2 if isinstance(place[key], (int, float)) and abs(place[key]) < 1e300:
                    place[key] = place[key] * rng.choice([-1, 2, 0.5, 10**30]) + rng.choice([0, 1])
                case _:
                    place[key] = rng.choice(VALUES)
            break
    return document


def json_text(rng, document):
    text = json.dumps(of_json(rng, document))
    return of_text(rng, text) if rng.random() < 0.2 else text


def of_toml(rng, text):
    """Replace a value by a literal, remove or repeat a line, or change the text."""
    lines = text.splitlines() or [""]
    place = rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, rng.choice(lines))
        case 2 | 3:
            return of_text(rng, text)
        case _ if "=" in lines[place]:
            lines[place] = f"{lines[place].partition('=')[0]}= {rng.choice(LITERALS)}"
        case _:
            lines[place] += rng.choice(LITERALS)
    return "\n".join(lines)


def of_line(rng, text):
    """In name?field=value&field=value, replace a value, remove or repeat a field, or change the text."""
    head, _, rest = text.partition("?")
    parts = rest.split("&")
    place = rng.randrange(len(parts))
    match rng.randrange(8):
        case 0:
            del parts[place]
        case 1:
            parts.insert(place, rng.choice(parts))
        case 2 | 3 | 4:
            return of_text(rng, text)
        case _:
            parts[place] = f"{parts[place].partition('=')[0]}={rng.choice([*LITERALS, *QUOTED])}"
    return f"{head}?{'&'.join(parts)}"


def of_cells(rng, text):
    """In comma-separated lines, replace a cell, remove or repeat a line, or change the text."""
    lines = text.splitlines() or [""]
    place = rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, rng.choice(lines))
        case 2 | 3 | 4:
            return of_text(rng, text)
        case _:
            cells = lines[place].split(",")
            cells[rng.randrange(len(cells))] = rng.choice(CELLS)
            lines[place] = ",".join(cells)
    return "\n".join(lines)


def encoded(text):
    """The text as bytes; lone surrogates make invalid UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def as_text(change):
    """Turn a change of text into one of bytes; one in ten, and bytes that are no text, are mutated as bytes."""

    def changed(rng, content):
        if rng.random() < 0.1:
            return of_bytes(rng, content)
        try:
            text = content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return of_bytes(rng, content)
        return encoded(change(rng, text))

    return changed


def change_json(rng, text):
    """Change JSON; other text is changed as text."""
    try:
        document = json.loads(text)
        mutated = json_text(rng, document)
    except (ValueError, RecursionError):
        return of_text(rng, text)
    return mutated if isinstance(document, (dict, list)) else of_text(rng, text)


def npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def with_header(header, values=b"", version=1, size=None):
    """An array's file with any text as its header; `size` is the length that it declares for the text."""
    text = header.encode("latin1")
    declared = struct.pack("<H" if version == 1 else "<I", len(text) if size is None else size)
    return b"\x93NUMPY" + bytes([version, 0]) + declared + text + values


def of_array(rng, array):
    """Change values, dtype, order or shape."""
    match rng.randrange(12):
        case 0 if array.dtype.kind == "f" and array.size:
            array = array.copy()
            array.flat[rng.randrange(array.size)] = rng.choice([math.nan, math.inf, -1.0, 1e30, 0.5])
        case 1 if array.dtype.kind == "i" and array.size:
            array = array.copy()
            array.flat[rng.randrange(array.size)] = rng.choice([-1, 2**31, 2**62, 0])
        case 2:
            array = array.astype(array.dtype.newbyteorder(">"))
        case 3:
            array = np.asfortranarray(array)
        case 4:
            array = array[..., None]
        case 5:
            array = array[:0] if array.ndim else array.reshape(1)
        case 6:
            array = array.T
        case 7 if array.dtype.kind in "if":
            array = array.astype(rng.choice(["f8", "f4", "i4", "u1", "c16", "?", "U8", "S8"]))
        case 8 if array.dtype.kind in "US" and array.size:
            array = np.ascontiguousarray(array)
            array.view("u4").reshape(-1)[rng.randrange(array.nbytes // 4)] = rng.choice(
                [0, 0xD800, 0x110000, 2**32 - 1]
            )
        case 9:
            array = np.array([None, {}], object)
        case 10:
            array = np.zeros(3, [("a", "f4")])
        case _:
            array = np.concatenate([array, array]) if array.ndim else array.reshape(1)
    return array


def plain_array(content):
    """The array of a member; None if it is no array, or a large one."""
    if len(content) > MOST_BYTES:
        return None
    try:
        with io.BytesIO(content) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that an old Python may have written
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                return None
            shape, _, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=2000)
            # Also if a side or an element has size 0: NumPy iterates over all other sides to copy it.
            if dtype.hasobject or math.prod(max(side, 1) for side in (*shape, dtype.itemsize)) > MOST_BYTES:
                return None
            return np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:
        return None


def members_of(content):
    """The members of an archive by name; empty if it is no archive, or a large one."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            if sum(member.file_size for member in file.infolist()) > MOST_BYTES:
                return {}
            return {name: file.read(name) for name in file.namelist()}
    except Exception:
        return {}


def of_member(rng, content):
    """A member of an archive: its array changed, its header replaced, or its bytes mutated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match rng.randrange(4):
            case 0 if (array := plain_array(content)) is not None:
                return npy(of_array(rng, array))
            case 1:
                return with_header(rng.choice(HEADERS), content[128:], rng.choice([1, 1, 2, 3, 9]))
            case 2 if len(content) > 10:
                size = struct.unpack("<H", content[8:10])[0]
                header = of_text(rng, content[10 : 10 + size].decode("latin1")).encode("latin1", "replace")[:60000]
                return content[:8] + struct.pack("<H", len(header)) + header + content[10 + size :]
            case _:
                return of_bytes(rng, content)


def _has_json(content):
    array = plain_array(content)
    return array is not None and array.shape == () and array.dtype.kind == "U" and str(array)[:1] in ("{", "[")


def archive(members):
    """An NPZ archive of (name, content, method)."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")  # duplicate names
        for name, content, method in members:
            file.writestr(name, content, method)
    return buffer.getvalue()


def of_archive(rng, content):
    """An archive with a damaged member and correct checksums, or with a damaged directory."""
    members = list(members_of(content).items())
    if not members:
        return of_bytes(rng, content)
    place = rng.randrange(len(members))
    name, content = members[place]
    texts = [number for number, (_, member) in enumerate(members) if _has_json(member)]
    if texts and rng.random() < 0.4:
        place = rng.choice(texts)
        name, content = members[place]
        mutated = change_json(rng, str(plain_array(content))).replace("\ud800", "?")
        members[place] = (name, npy(np.array(mutated)))
    else:
        match rng.randrange(10):
            case 0:
                del members[place]
            case 1:
                members.append((name, content))
            case 2:
                new = ["../x.npy", "x", "main/.npy", "main/x.npy", "other/x.npy", "a" * 3000 + ".npy", "\u0664.npy"]
                members[place] = (rng.choice(new), content)
            case 3:
                members[place] = (name, rng.choice(members)[1])
            case _:
                members[place] = (name, of_member(rng, content))
    usual = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]
    methods = usual if rng.random() < 0.95 else [*usual, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]
    whole = archive([(name, content, rng.choice(methods)) for name, content in members])
    if rng.random() < 0.2:  # a field of one of the headers, or of the directory's end
        marks = {b"PK\x01\x02": [6, 8, 10, 16, 20, 24, 28, 30, 42], b"PK\x03\x04": [4, 6, 8, 18, 22, 26, 28],
                 b"PK\x05\x06": [8, 10, 12, 16, 20]}  # fmt: skip
        mark = rng.choice(list(marks))
        found = [at for at in range(len(whole) - 4) if whole[at : at + 4] == mark]
        at = rng.choice(found) + rng.choice(marks[mark])
        value = rng.choice(
            [b"\x01\x00", b"\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\xff", b"\x63\x00", b"\x41\x00"]
        )
        whole = whole[:at] + value + whole[at + len(value) :]
    return of_bytes(rng, whole) if rng.random() < 0.05 else whole
