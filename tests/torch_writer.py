"""Checkpoints of PyTorch as torch.save writes them, without PyTorch: pickles by hand, then the numbers."""

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}


@dataclass(frozen=True)
class Global:
    """A class or function by module and name, never imported."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """What a pickle would do: call `function` with the arguments."""

    function: Global
    arguments: tuple[Any, ...]


def pickled(value: Any, *, legacy: bool = True) -> bytes:
    """Return a pickle of protocol 2 of plain values, `Global`, `Call` and arrays, as torch writes them."""
    return b"\x80\x02" + _opcodes(value, legacy) + b"."


def _opcodes(value: Any, legacy: bool) -> bytes:
    match value:
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            return _opcodes(value.function, legacy) + _opcodes(value.arguments, legacy) + b"R"
        case tuple():
            return b"(" + b"".join(_opcodes(part, legacy) for part in value) + b"t"
        case list():
            return b"](" + b"".join(_opcodes(part, legacy) for part in value) + b"e"
        case dict():
            pairs = b"".join(_opcodes(k, legacy) + _opcodes(v, legacy) for k, v in value.items())
            return b"}(" + pairs + b"u"
        case np.ndarray():
            return _tensor(value, legacy)
    raise TypeError(f"not written: {value!r}")


def _tensor(array: npt.NDArray[Any], legacy: bool) -> bytes:
    kind = Global("torch", KINDS[array.dtype.str[1:]])
    reference = ("storage", kind, str(id(array)), "cuda:0", array.size) + ((None,) if legacy else ())
    strides = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
    hooks = Call(Global("collections", "OrderedDict"), ())
    before = _opcodes(Global("torch._utils", "_rebuild_tensor_v2"), legacy) + b"("
    rest = [0, tuple(array.shape), strides, False, hooks]
    arguments = b"".join(_opcodes(part, legacy) for part in rest)
    return before + _opcodes(reference, legacy) + b"Q" + arguments + b"tR"


def arrays_in(value: Any) -> dict[str, npt.NDArray[Any]]:
    """Return every array in nested containers by the key of its storage; one that is there twice is one."""
    if isinstance(value, np.ndarray):
        return {str(id(value)): value}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    found: dict[str, npt.NDArray[Any]] = {}
    for part in parts:
        found |= arrays_in(part)
    return found


def write_legacy(file: Path, content: Any) -> Path:
    """Write the format before PyTorch 1.6."""
    stored = arrays_in(content)
    with file.open("wb") as stream:
        for part in (MAGIC, 1001, SYSTEM, content, list(stored)):
            stream.write(pickled(part))
        for array in stored.values():
            stream.write(struct.pack("<q", array.size) + array.tobytes())
    return file


def write_zip(file: Path, content: Any, *, folder: str = "archive") -> Path:
    """Write the format since PyTorch 1.6."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", pickled(content, legacy=False))
        archive.writestr(f"{folder}/byteorder", "little")
        for key, array in arrays_in(content).items():
            archive.writestr(f"{folder}/data/{key}", array.tobytes())
        archive.writestr(f"{folder}/version", "3\n")
    return file


def lightning(state: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Return what PyTorch Lightning 1.4 wraps around a state_dict: a class is a key, options are values."""
    checkpoint = Global("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    return {
        "epoch": 10000,
        "global_step": 1,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": dict(state),
        "callbacks": {checkpoint: {"monitor": "Valid/loss", "best_model_score": np.zeros((), np.float32)}},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.0003, "params": [0, 1]}]}],
        "lr_schedulers": [],
        "hyper_parameters": {"batch_size": 48, "temperature": 0.5, "supervised": False, "gpus": None},
    }


def in_archive(file: Path, *members: Path) -> Path:
    """Write a plain zip archive around files, as releases are published."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.write(member, member.name)
    return file
