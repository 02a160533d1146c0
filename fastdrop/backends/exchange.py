"""Arrays of other packages, taken as they lie: the DLPack protocol."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.backends.cuda import device
from fastdrop.errors import missing_package

# Numbers of DLPack's DLDeviceType: memory that the CPU reads (its own, and CUDA's pinned), and CUDA's (also managed).
_HOST, _CUDA = (1, 3), (2, 13)


def from_dlpack(array: Any) -> Any:
    """The array of another package as one of NumPy's or CuPy's, by the DLPack protocol: the same memory, not a copy.

    Parameters
    ----------
    array : object with ``__dlpack__`` and ``__dlpack_device__``
        Of PyTorch, JAX, TensorFlow or any other package, in the CPU's or a CUDA GPU's memory.

    Returns
    -------
    numpy.ndarray or cupy.ndarray
        What lies in the CPU's memory is NumPy's (maybe read-only, which is enough for an input), what lies in a GPU's
        is CuPy's. NumPy's and CuPy's own arrays are returned as they are.

    Raises
    ------
    TypeError
        If the object does not support DLPack, lies elsewhere, is tracked by autograd, or has a dtype that the protocol
        or NumPy does not know.
    BackendUnavailable
        If it lies on a GPU and there is no CuPy that can use it.

    References
    ----------
    DLPack, the array API standard's protocol for exchanging data: https://dmlc.github.io/dlpack/latest/python_spec.html

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> class Exporting:  # such as a torch.Tensor
    ...     data = np.ones(4, np.float32)
    ...     def __dlpack__(self, **options):
    ...         return self.data.__dlpack__(**options)
    ...     def __dlpack_device__(self):
    ...         return self.data.__dlpack_device__()
    >>> y, mask = fd.dropout(fd.from_dlpack(Exporting()), p=0.5, rng=0)
    >>> type(y).__name__, y.dtype.name
    ('ndarray', 'float32')
    """
    if isinstance(array, np.ndarray) or device.is_array(array):
        return array
    if not supports_dlpack(array):
        raise TypeError(f"a {type(array).__name__} does not support DLPack: it has no __dlpack__ and __dlpack_device__")
    kind = int(array.__dlpack_device__()[0])
    if kind not in _HOST + _CUDA:
        raise TypeError(
            f"a {type(array).__name__} on DLPack's device type {kind}: only the CPU's and CUDA's can be read"
        )
    if getattr(type(array), "is_neg", None) and array.is_neg():  # torch's: DLPack has no word for it
        raise TypeError(
            "a tensor whose memory holds its values with the other sign cannot be read by DLPack; "
            "give tensor.resolve_neg()"
        )
    package = np if kind in _HOST else device.require()
    if kind in _CUDA and "bfloat16" in str(getattr(array, "dtype", "")):
        device.check_bfloat16()
    try:
        return _numpy_array(array) if package is np else package.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"a {type(array).__name__} cannot be read by DLPack: {error}") from error


def _numpy_array(array: Any) -> NDArray[Any]:
    """By NumPy's reader, which does not know bfloat16: that is read as integers of 16 bits, and named again."""
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError):
        try:
            capsule = array.__dlpack__(max_version=(1, 0))
        except TypeError:  # of before there were versions
            capsule = array.__dlpack__()
        if not kernels.dlpack_bfloat16_as_uint16(capsule):
            raise
        return np.from_dlpack(_Capsule(capsule, array.__dlpack_device__())).view(bfloat16())


class _Capsule:
    """An array that has been exported already."""

    def __init__(self, capsule: Any, where: tuple[int, int]) -> None:
        self._capsule, self._where = capsule, where

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._where


def bfloat16() -> Any:
    """The dtype, which is another package's."""
    try:
        return importlib.import_module("ml_dtypes").bfloat16
    except ImportError:
        raise missing_package("ml_dtypes", "torch", "bfloat16") from None


def supports_dlpack(array: Any) -> bool:
    """Whether its class offers the protocol. An object may pass on that of another, as pint's quantities do."""
    kind = type(array)
    return hasattr(kind, "__dlpack__") and hasattr(kind, "__dlpack_device__")


def on_host(array: Any, name: str) -> Any:
    """What supports DLPack, as NumPy's; an error that says what to do for a GPU's."""
    if int(array.__dlpack_device__()[0]) in _CUDA:
        raise TypeError(f"{name} is a {type(array).__name__} on a GPU; give fastdrop.from_dlpack({name})")
    return from_dlpack(array)
