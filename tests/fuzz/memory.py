"""Readers of data from other packages and earlier processes: DLPack capsules, compiled kernels in the cache."""

import ctypes
import hashlib
import json
import os
import re
import shutil
import sys
import types
from unittest import mock

import numpy as np

import fastdrop as fd
from fastdrop.backends.cuda import compiler, source
from fastdrop.errors import BackendUnavailable
from fuzz.mutations import as_text, change_json, of_bytes
from fuzz.readers import Finding, NoInput, Reader


class _Tensor(ctypes.Structure):
    """DLTensor of DLPack 1.0."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Tensor),
    ]  # fmt: skip


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
NUMBERS = [-1, 0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 14, 16, 32, 64, 128, 255, 1 << 16, 1 << 31, 1 << 62]
MEMORY = np.arange(4096, dtype=np.uint8)


class Exporter:
    """Another package's array: all its metadata come from a dict."""

    def __init__(self, found):
        self.device = found["device"]
        shape, strides = found["shape"], found["strides"]
        if len(shape) > 70 or (strides is not None and len(strides) != len(shape)):
            raise ValueError
        self.name = found["name"].encode()
        managed = self.managed = _Versioned() if found["versioned"] else _Managed()
        if found["versioned"]:
            managed.major, managed.minor, managed.flags = *found["version"], found["flags"]
        tensor = managed.tensor
        tensor.data, tensor.byte_offset = MEMORY.ctypes.data, found["offset"]
        tensor.device_type, tensor.device_id = found["where"]
        tensor.code, tensor.bits, tensor.lanes = found["type"]
        tensor.ndim = len(shape)
        self.keep = (ctypes.c_int64 * len(shape))(*shape), strides and (ctypes.c_int64 * len(shape))(*strides)
        tensor.shape = ctypes.cast(self.keep[0], ctypes.POINTER(ctypes.c_int64))
        if strides:
            tensor.strides = ctypes.cast(self.keep[1], ctypes.POINTER(ctypes.c_int64))

    def __dlpack_device__(self):
        return tuple(self.device)

    def __dlpack__(self, **options):
        return _new_capsule(ctypes.addressof(self.managed), self.name, None)


class Capsule(Reader):
    """The metadata of a DLPack capsule; its memory is always valid."""

    refused = (TypeError, BackendUnavailable)

    def mutate(self, rng, content):
        found = json.loads(content)
        name = rng.choice(list(found))
        if name == "name":
            found[name] = rng.choice(["dltensor", "dltensor_versioned", "used_dltensor", "x", ""])
            found["versioned"] = "versioned" in found[name]
        elif isinstance(found[name], list) and found[name] and rng.random() < 0.8:
            found[name][rng.randrange(len(found[name]))] = rng.choice(NUMBERS)
        elif name in ("shape", "strides"):
            found["shape"] = [rng.choice([0, 1, 2, 3]) for _ in range(rng.choice([0, 1, 2, 33, 65]))]
            found["strides"] = rng.choice([None, [rng.choice([-1, 0, 1, 2]) for _ in found["shape"]]])
        else:
            return as_text(change_json)(rng, content)
        return json.dumps(found).encode()

    def seeds(self):
        plain = {"device": [1, 0], "where": [1, 0], "type": [2, 32, 1], "shape": [3, 2], "strides": [2, 1], "offset": 0,
                 "name": "dltensor", "versioned": False, "version": [1, 0], "flags": 0}  # fmt: skip
        found = [plain, {**plain, "name": "dltensor_versioned", "versioned": True},
                 {**plain, "type": [4, 16, 1], "strides": None}, {**plain, "device": [2, 0]},
                 {**plain, "type": [0, 8, 1], "shape": [], "strides": []}]  # fmt: skip
        return [json.dumps(each).encode() for each in found]

    def read(self, given):
        try:
            exporter = Exporter(json.loads(given))
            if (exporter.name == b"dltensor_versioned") != (type(exporter.managed) is _Versioned):
                raise NoInput  # the name decides which structure is read from memory
            where = tuple(exporter.__dlpack_device__())
            if not where or not all(type(number) is int and abs(number) < 1 << 31 for number in where):
                raise NoInput
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ctypes.ArgumentError):
            raise NoInput from None
        return fd.from_dlpack(exporter), exporter

    def use(self, found):
        array, exporter = found
        tensor = exporter.managed.tensor
        assert array.shape == tuple(exporter.keep[0])
        assert array.itemsize * 8 == tensor.bits
        assert tensor.lanes == 1
        reach = [(side - 1) * stride for side, stride in zip(array.shape, array.strides, strict=True)]
        low = array.ctypes.data + sum(step for step in reach if step < 0)
        high = array.ctypes.data + sum(step for step in reach if step > 0) + array.itemsize
        begin = MEMORY.ctypes.data
        if array.size and array.nbytes < 1 << 28 and begin <= low and high <= begin + len(MEMORY):
            array.copy()


class Nvrtc:
    """The part of CuPy's bindings that fills the cache."""

    NVRTCError = RuntimeError

    def __getattr__(self, name):
        answers = {"getVersion": (12, 4), "getSupportedArchs": (75, 80), "createProgram": {},
                   "getLoweredName": "_Z7kernel", "getPTX": b"// ptx of the kernel"}  # fmt: skip
        return lambda *_: answers.get(name)


class KernelCache(Reader):
    """A file of the cache: its name, a newline, its content. START and DIGEST are replaced by the valid ones."""

    weight = 0.3

    def prepare(self):
        self.cache = self.folder / "cache"
        self.made = self._compiled()
        (self.whole,) = self._files()
        self.start = self.whole.name.split(".")[0]

    def _compiled(self):
        cupy = types.ModuleType("cupy")
        cupy.cuda = types.SimpleNamespace(nvrtc=Nvrtc())
        with mock.patch.dict(sys.modules, cupy=cupy), mock.patch.dict(os.environ, CUPY_CACHE_DIR=str(self.cache)):
            return compiler.compiled(source.gaussian("float32"), "90")

    def _files(self):
        return [path for path in self.cache.rglob("*") if path.is_file()]

    def seeds(self):
        return [b"START._Z7kernel.DIGEST.ptx\n// ptx of the kernel", b"START._Z1a.0.ptx\n", b"tmpabc\n"]

    def mutate(self, rng, content):
        name, _, text = content.partition(b"\n")
        if rng.random() < 0.5:
            return of_bytes(rng, name).replace(b"\n", b"") + b"\n" + text
        return name + b"\n" + of_bytes(rng, text)

    def read(self, given):
        name, _, content = given.partition(b"\n")
        digest = hashlib.sha256(content).hexdigest()[:32]
        name = name.replace(b"START", self.start.encode()).replace(b"DIGEST", digest.encode())
        folder = self.whole.parent
        shutil.rmtree(folder)
        folder.mkdir()
        try:
            if b"/" in name:
                raise NoInput
            (folder / os.fsdecode(name)).write_bytes(content)
        except (OSError, ValueError):
            raise NoInput from None
        found = self._compiled()
        if found != self.made:
            parts = re.fullmatch(rf"{self.start}\.([^.]*)\.{digest}\.ptx", os.fsdecode(name), re.DOTALL)
            if not parts or found != (content, parts[1]):
                raise Finding(f"the cache returns what it did not store: {found!r:.300}")
        return found

    def use(self, found):
        assert self._compiled() == found


READERS = {"dlpack": Capsule, "kernel-cache": KernelCache}
