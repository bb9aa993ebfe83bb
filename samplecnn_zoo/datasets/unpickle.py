"""Reads pickles of lists, dictionaries, texts, numbers and NumPy arrays alone; no code in them runs.

A pickle is a program that may call any function by name. Here a name stands for a stand-in or for an error:
the few names that arrays need give inert objects, which hold what the file says and check it. No function of
any module is called with arguments from the file, but `numpy.frombuffer` on checked ones.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.datasets.local import DataSetError

LARGEST_BYTES = 2**30
KINDS = frozenset(["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])


def read_pickle(path: Path, way_out: str) -> Any:
    """The lists, dictionaries, texts and arrays in a file, written by Python 2 or 3; bytes of 2 become texts.

    Raises:
        DataSetError: It is not there, can't be read, is larger than 1 GiB or no pickle, or it names anything
            but arrays; `way_out` ends the line.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise DataSetError(f"{path}: a pickle of at most {LARGEST_BYTES:,} bytes is read; {way_out}")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataSetError(f"{path}: there is no such file; {way_out}") from error
    except OSError as error:
        raise DataSetError(f"{path}: can't be read ({error.strerror}); {way_out}") from error
    try:
        return unpickle(data)
    except pickle.UnpicklingError as error:
        raise DataSetError(f"{path}: {error}; {way_out}") from error


def unpickle(data: bytes) -> Any:
    """The plain values that a pickle holds, NumPy arrays among them.

    Raises:
        pickle.UnpicklingError: It is damaged, or names anything but what arrays are made of.
    """
    try:
        return _plain(_Reader(io.BytesIO(data), encoding="latin1").load())
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its wrong opcodes run into
        raise pickle.UnpicklingError(f"a damaged pickle ({type(error).__name__}: {error})") from error


class _Name:
    """What a pickle gets for a name that it may use: it can be called, and nothing can be set on it."""

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it sets attributes of a function: this is no data")


class _DType:
    """An array's type as the file says it: "b1", "f4", …, and later its byte order."""

    __slots__ = ("kind", "order")

    def __init__(self, kind: object, *_: object) -> None:
        if kind not in KINDS:
            raise pickle.UnpicklingError(f"it holds an array of type {kind!r}; only numbers are read")
        self.kind, self.order = str(kind), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"it holds an array of byte order {state[1]!r}")
        self.order = state[1]

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.kind if self.order != "|" else self.kind)


class _Array:
    """An array to be, filled once the file gives its shape, type and bytes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: npt.NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        self.value = _filled(shape, dtype, data, order="F" if fortran is True else "C")


def _filled(shape: object, dtype: object, data: object, *, order: Any) -> npt.NDArray[Any]:
    raw = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(dtype, _DType) or not isinstance(raw, bytes) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("it holds an array whose parts are of other kinds")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise pickle.UnpicklingError(f"it holds an array of shape {shape!r}")
    wanted = math.prod(shape) * dtype.dtype().itemsize
    if wanted != len(raw):
        raise pickle.UnpicklingError(f"it holds an array of {len(raw)} bytes, {shape} needs {wanted}")
    return np.frombuffer(raw, dtype.dtype()).reshape(shape, order=order)


def _reconstruct(kind: object, *_: object) -> _Array:
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("it makes something else out of an array")
    return _Array()


def _frombuffer(data: object, dtype: object, shape: object, order: object) -> npt.NDArray[Any]:
    """An array as protocol 5 writes it."""
    raw = bytes(data) if isinstance(data, bytearray) else data
    return _filled(shape, dtype, raw, order="F" if order == "F" else "C")


def _scalar(dtype: object, data: object) -> Any:
    return _filled((), dtype, data, order="C").item()


def _encode(text: object, encoding: object) -> bytes:
    """Bytes as Python 3 writes them in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes {type(text).__name__} as {encoding!r}")
    return text.encode("latin1")


def _refuse(*_: object) -> None:
    raise pickle.UnpicklingError("it makes an array in an unknown way")


_NDARRAY = _Name(_refuse)
_NAMES = {
    "ndarray": _NDARRAY,
    "dtype": _Name(_DType),
    "_reconstruct": _Name(_reconstruct),
    "_frombuffer": _Name(_frombuffer),
    "scalar": _Name(_scalar),
}
_PLACES = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
}
_ENCODE = _Name(_encode)


class _Reader(pickle.Unpickler):
    """Gives a stand-in for each name that arrays need."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _ENCODE
        if name not in _PLACES.get(module, ()):
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which data has no need of: it was not run"
            )
        return _NAMES[name]


def _plain(value: Any) -> Any:
    """The value with arrays in the place of what stood in for them."""
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("it holds an array without its data")
        return value.value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (np.ndarray, bool, int, float, str, bytes)):
        return value
    raise pickle.UnpicklingError(
        f"it holds a {type(value).__name__}; only lists, texts, numbers and arrays are read"
    )
