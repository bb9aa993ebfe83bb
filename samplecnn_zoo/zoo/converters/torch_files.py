"""Checkpoints of PyTorch, old (one stream) and new (a zip archive), read without PyTorch and never run."""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.zoo.converters.pickles import Storage, Tensor, read_pickle
from samplecnn_zoo.zoo.preset import PresetError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGEST_AXES = 8

_DTYPES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "<u1",
}

# What zipfile raises for archives that are cut off, flipped, locked or packed in a way that it doesn't know.
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, OverflowError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
_LARGEST_RATIO = 100

Array = npt.NDArray[Any]
ReadBytes = Callable[[Storage, int], bytes]


def read_state_dict(file: Path) -> dict[str, Array]:
    """Return the arrays of a checkpoint by their names: the state_dict, or the one that Lightning wraps.

    A zip archive around one checkpoint, as some are published, is looked into.

    Raises:
        PresetError: if it is no whole checkpoint of PyTorch, would call something, holds no state_dict, or a
            tensor reaches beyond the numbers that are stored.
    """
    try:
        with file.open("rb") as stream:
            return _read(stream)
    except PresetError:
        raise
    except _DAMAGED as error:
        raise PresetError(f"this is no whole checkpoint of PyTorch ({error}); fetch it again") from error


def _read(stream: BinaryIO, *, in_archive: bool = False) -> dict[str, Array]:
    if not zipfile.is_zipfile(stream):
        stream.seek(0)
        return _read_legacy(stream)
    with zipfile.ZipFile(stream) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) == 1:
            return _read_archive(archive, pickles[0].removesuffix("data.pkl"))
        if in_archive:  # an archive may even hold itself
            raise PresetError("this archive holds an archive that is no checkpoint; unpack it and name one")
        return _read(io.BytesIO(_member(archive, _only_checkpoint(archive))), in_archive=True)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member of an archive, unless a few packed bytes ask for all the memory."""
    info = archive.getinfo(name)
    if info.file_size > 1000 + _LARGEST_RATIO * info.compress_size:
        raise PresetError(f"{name} in this archive is packed {_LARGEST_RATIO} to 1, which no checkpoint is")
    return archive.read(info)


def _only_checkpoint(archive: zipfile.ZipFile) -> str:
    """Return the one checkpoint in an archive of files; an optimizer's lies beside some."""
    endings = (".pt", ".pth", ".ckpt")
    names = [name for name in archive.namelist() if name.endswith(endings) and "_optim" not in name]
    names = [name for name in names if not name.startswith("__MACOSX")]
    if len(names) != 1:
        found = ", ".join(names or archive.namelist())[:200] or "nothing"
        raise PresetError(
            f"this archive should hold one checkpoint, it holds {found}; unpack it and name one"
        )
    return names[0]


def _read_legacy(stream: BinaryIO) -> dict[str, Array]:
    """Read the format before PyTorch 1.6: five pickles, then each storage behind its count."""
    if stream.read(1) != b"\x80":
        raise PresetError("this is no checkpoint of PyTorch: it is neither a pickle nor a zip archive")
    stream.seek(0)
    magic, protocol, system, content, keys = (read_pickle(stream) for _ in range(5))
    if magic != _MAGIC or protocol != _PROTOCOL:
        raise PresetError("this pickle was not written by torch.save: it begins with another number")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PresetError("this checkpoint was written on a big-endian machine, which is not read")
    places = _places(stream, keys, _storages(content))

    def read(storage: Storage, size: int) -> bytes:
        stream.seek(places[storage.key])
        return stream.read(size)

    return _state_dict(content, read)


def _places(stream: BinaryIO, keys: object, storages: Mapping[str, Storage]) -> dict[str, int]:
    """Return where the numbers of each storage begin; the file ends where the last ones do."""
    # Texts alone: to hash what is nested deeply would take the interpreter down.
    texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not isinstance(keys, list) or not texts or sorted(keys) != sorted(storages):
        raise PresetError("the storages in this checkpoint are not those of its tensors: it is damaged")
    end = stream.seek(0, io.SEEK_CUR)
    size = stream.seek(0, io.SEEK_END)
    places = {}
    for key in keys:
        storage = storages[key]
        stream.seek(end)
        (count,) = struct.unpack("<q", stream.read(8))
        if count != storage.count:
            raise PresetError(f"a storage of {storage.count} numbers holds {count}: the file is damaged")
        places[key] = end + 8
        end += 8 + count * _dtype(storage).itemsize
    if end != size:
        raise PresetError(f"the file has {size} bytes where its tensors need {end}: it is cut off or damaged")
    return places


def _storages(content: object) -> dict[str, Storage]:
    """Return every storage that the tensors anywhere in nested containers view, by its key."""
    found: dict[str, Storage] = {}
    waiting: list[object] = [content]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            if found.setdefault(value.storage.key, value.storage) != value.storage:
                raise PresetError("two tensors disagree on the storage that they share: the file is damaged")
        elif isinstance(value, (dict, list, tuple, set, frozenset)) and id(value) not in seen:
            seen.add(id(value))  # a pickle may hold a list that holds itself
            waiting += value.values() if isinstance(value, dict) else value
    return found


def _read_archive(archive: zipfile.ZipFile, folder: str) -> dict[str, Array]:
    """Read the format since PyTorch 1.6: the pickle and each storage are members of a zip archive."""
    members = set(archive.namelist())
    if f"{folder}byteorder" in members and _member(archive, f"{folder}byteorder").strip() != b"little":
        raise PresetError("this checkpoint was written on a big-endian machine, which is not read")

    def read(storage: Storage, size: int) -> bytes:
        name = f"{folder}data/{storage.key}"
        if name not in members or archive.getinfo(name).file_size != size:
            raise PresetError(f"storage {storage.key} should have {size} bytes: it is missing or damaged")
        return _member(archive, name)

    return _state_dict(read_pickle(io.BytesIO(_member(archive, f"{folder}data.pkl"))), read)


def _state_dict(content: object, read: ReadBytes) -> dict[str, Array]:
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(isinstance(name, str) for name in state):
        raise PresetError(f"this checkpoint holds {type(state).__name__}, no state_dict: names and tensors")
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    strangers = [name for name in state if name not in tensors]
    if strangers:
        raise PresetError(f"{strangers[0]!r} in this checkpoint is no tensor, so it is no state_dict")
    numbers = {key: _numbers(storage, read) for key, storage in _storages(tensors).items()}
    return {name: _view(name, tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _numbers(storage: Storage, read: ReadBytes) -> Array:
    dtype = _dtype(storage)
    content = read(storage, storage.count * dtype.itemsize)
    if len(content) != storage.count * dtype.itemsize:
        raise PresetError(f"storage {storage.key} is cut off: the file is incomplete; fetch it again")
    numbers: Array = np.frombuffer(content, dtype)
    if storage.kind == "torch.BFloat16Storage":  # the upper half of a float32
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return numbers


def _dtype(storage: Storage) -> np.dtype[Any]:
    if storage.kind not in _DTYPES:
        raise PresetError(f"its tensors are of the kind {storage.kind}, which no network here has")
    return np.dtype(_DTYPES[storage.kind])


def _view(name: str, tensor: Tensor, numbers: Array) -> Array:
    """Return the array that a tensor is, copied; every number of it lies in the storage."""
    shape, strides = tensor.shape, tensor.strides
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=False))
    inside = last < len(numbers) if prod(shape) else tensor.offset <= len(numbers)
    # A stride of 0 could make terabytes of one number.
    fits = len(shape) == len(strides) and len(shape) <= _LARGEST_AXES
    fits = fits and prod(shape) <= len(numbers) and max(shape, default=0) < 2**31
    if not inside or not fits:
        raise PresetError(
            f"tensor {name!r} of the shape {shape} with strides {strides} from {tensor.offset} on "
            f"reaches beyond its {len(numbers)} numbers: the file is damaged"
        )
    steps = [stride * numbers.itemsize for stride in strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], shape, steps, writeable=False)
    return view.copy()
