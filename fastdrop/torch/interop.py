"""Tensors as arrays that share their memory: NumPy's on the CPU, CuPy's on CUDA."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from fastdrop.backends.cuda import device
from fastdrop.backends.exchange import bfloat16

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_tensor(x: torch.Tensor) -> None:
    """Raise where there are no kernels for a tensor: of its dtype, on its device, in its layout."""
    if x.dtype not in DTYPES:
        raise TypeError(
            f"dropout of a tensor of {x.dtype}: there are kernels for float16, bfloat16, float32 and float64; "
            "convert it first: tensor.float()"
        )
    if x.layout is not torch.strided:
        raise TypeError(f"dropout of a tensor of layout {x.layout}: convert it first: tensor.to_dense()")
    if not (x.is_cpu or x.is_cuda or x.is_meta):
        raise TypeError(f"fastdrop computes on cpu and cuda; this tensor is on {x.device.type}")


def array_of(x: torch.Tensor) -> Any:
    """The tensor's memory as an array: of NumPy for CPU tensors, of CuPy for CUDA tensors; nothing is copied.

    Raises
    ------
    BackendUnavailable
        If CuPy or ml_dtypes (bfloat16) is missing.
    """
    x = x.detach()
    if x.is_neg():  # a view of a conjugate's imaginary part; its memory holds the other sign
        x = x.resolve_neg()
    make = torch.Tensor.numpy if x.is_cpu else device.require().from_dlpack
    if x.dtype is torch.bfloat16:  # NumPy and readers of DLPack do not know it
        if x.is_cuda:
            device.check_bfloat16()
        return make(x.view(torch.int16)).view(bfloat16())
    return make(x)


def on_stream_of(x: torch.Tensor) -> AbstractContextManager[Any]:
    """Where kernels on this tensor run: torch's current stream of its GPU."""
    if not x.is_cuda:
        return nullcontext()
    stream = torch.cuda.current_stream(x.device)
    return _OnStream(device.require(), x.device.index, stream.cuda_stream)


class _OnStream:
    """CuPy's current device and stream, for a while."""

    def __init__(self, cupy: Any, index: int, pointer: int) -> None:
        self._device = cupy.cuda.Device(index)
        self._stream: Callable[[], Any]
        if hasattr(cupy.cuda.Stream, "from_external"):
            self._stream = lambda: cupy.cuda.Stream.from_external(_Pointer(pointer))
        else:  # CuPy before 14
            self._stream = lambda: cupy.cuda.ExternalStream(pointer, index)

    def __enter__(self) -> None:
        self._device.__enter__()
        self._entered = self._stream()
        self._entered.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)
        self._device.__exit__(*error)


class _Pointer:
    """A stream by CUDA's stream protocol, which torch's own speak in new versions only."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._pointer
