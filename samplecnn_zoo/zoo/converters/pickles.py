"""Pickles of tensors and plain containers, read by a machine that can call nothing.

Python's own unpickler runs whatever a pickle names. This one knows the operations that plain containers need;
a name in the pickle is kept as the text that it is, and the few "calls" that it knows are written out here.
Any other call is refused, so that a checkpoint which would run a command is an error and nothing runs.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any, BinaryIO, TypeGuard, cast

from samplecnn_zoo.zoo.preset import PresetError

_MARK = object()


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names: never imported, good as a dictionary key and no more."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A run of numbers that stands elsewhere in the file."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, all in numbers of elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(stream: BinaryIO) -> Any:
    """Return what the next pickle in `stream` holds, and leave the stream behind it.

    Raises:
        PresetError: if it is cut off or no pickle, or would call or build anything but tensors and plain
            containers.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(cast("BinaryIO", _Bounded(stream))):
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, PresetError):
            raise
        raise PresetError(f"this is no whole pickle ({error}); fetch the file again") from error
    return machine.result


class _Bounded:
    """A stream of which no more is asked than it has: a damaged length would ask for all the memory."""

    def __init__(self, stream: BinaryIO) -> None:
        at = stream.tell()
        self._stream, self._end = stream, stream.seek(0, io.SEEK_END)
        stream.seek(at)
        self.tell, self.readline = stream.tell, stream.readline

    def read(self, count: int) -> bytes:
        """Return at most `count` bytes."""
        return self._stream.read(min(count, self._end - self._stream.tell()))


class _Machine:
    """The stack, the marks and the memory of one pickle."""

    def __init__(self) -> None:
        self.result: Any = None
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Do one operation."""
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _FRESH:
            stack.append(_FRESH[name]())
        elif name in _PUTS:
            self._memory[len(self._memory) if argument is None else argument] = stack[-1]
        elif name in _GETS:
            stack.append(self._memory[argument])
        elif name not in _IGNORED:
            operation = _OPERATIONS.get(name)
            if operation is None:
                raise PresetError(f"its pickle uses {name}, which tensors and plain containers don't need")
            operation(self, argument)

    def pop(self) -> Any:
        """Take the top of the stack."""
        if self._stack[-1] is _MARK:
            raise ValueError("a mark where a value belongs")
        return self._stack.pop()

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop_marked(self) -> list[Any]:
        """Take everything down to the last mark, and the mark."""
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1  # below 0 it wraps once around and then raises IndexError
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    _extend(machine, [value])


def _appends(machine: _Machine, _: Any) -> None:
    _extend(machine, machine.pop_marked())


def _extend(machine: _Machine, values: list[Any]) -> None:
    target = machine.pop()
    if not isinstance(target, list):
        raise TypeError("values appended to what is no list")
    target.extend(values)
    machine.push(target)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _update(machine, [key, value])


def _set_items(machine: _Machine, _: Any) -> None:
    _update(machine, machine.pop_marked())


def _update(machine: _Machine, values: list[Any]) -> None:
    target = machine.pop()
    if not isinstance(target, dict):
        raise TypeError("items set in what is no dictionary")
    target.update(_pairs(values))
    machine.push(target)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(_plain(values[0::2]), values[1::2], strict=True))


def _plain(keys: list[Any]) -> list[Any]:
    """Refuse keys of a dictionary or set that hold others: hashing a deep tuple takes the process down."""
    if not all(isinstance(key, (str, int, float, bytes, Global, NoneType)) for key in keys):
        raise TypeError("a key is no plain value")
    return keys


def _add_items(machine: _Machine, _: Any) -> None:
    values, target = machine.pop_marked(), machine.pop()
    if not isinstance(target, set):
        raise TypeError("items added to what is no set")
    target.update(_plain(values))
    machine.push(target)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: Any) -> None:
        machine.push(tuple(reversed([machine.pop() for _ in range(count)])))

    return make


def _marked(make: Callable[[list[Any]], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(make(machine.pop_marked()))


def _global(machine: _Machine, argument: Any) -> None:
    if argument is None:
        name, module = machine.pop(), machine.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a name that is no text")
        argument = f"{module} {name}"
    machine.push(Global(argument.replace(" ", ".")))


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.push(_call(function, arguments))


def _new_object(machine: _Machine, _: Any) -> None:
    arguments, kind = machine.pop(), machine.pop()
    if not isinstance(kind, Global) or kind.name not in _RECORDS or arguments:
        raise _refused(kind)
    machine.push({})


def _build(machine: _Machine, _: Any) -> None:
    """Take an object's attributes: those of a dictionary (torch puts `_metadata` there) are let go."""
    machine.pop()
    target = machine.pop()
    if not isinstance(target, dict):
        raise PresetError("its pickle builds an object, where tensors and plain containers are wanted")
    machine.push(target)


def _stop(machine: _Machine, _: Any) -> None:
    machine.result = machine.pop()


def _persistent(machine: _Machine, _: Any) -> None:
    match machine.pop():
        case ("storage", Global(name=kind), str(key), str(), int(count)):
            pass
        case ("storage", Global(name=kind), str(key), str(), int(count), None):
            pass
        case other:
            raise PresetError(f"its pickle refers to {other!r:.80}, which is no storage of tensors")
    if not _are_counts((count,)):
        raise PresetError("its pickle holds a storage whose size is no count")
    machine.push(Storage(key, kind, count))


def _call(function: object, arguments: object) -> Any:
    name = function.name if isinstance(function, Global) else ""
    match name, arguments:
        case "torch._utils._rebuild_tensor_v2", (Storage() as storage, offset, shape, strides, *_):
            return _tensor(storage, offset, shape, strides)
        case "torch._utils._rebuild_tensor", (Storage() as storage, offset, shape, strides):
            return _tensor(storage, offset, shape, strides)
        case "torch._utils._rebuild_parameter", (Tensor() as tensor, *_):
            return tensor
        case "collections.OrderedDict", ():
            return {}
        case "collections.OrderedDict", (list(pairs),):
            return _pairs([part for pair in pairs for part in _pair(pair)])
        case "collections.defaultdict", (Global() | None,):
            return {}
        case "torch.Size", (tuple(sizes),):
            return sizes
        case "builtins.set" | "__builtin__.set", (list(values),):
            return set(_plain(values))
        case "torch.device", (str(device), *_):
            return device
        case "pathlib.PosixPath" | "pathlib.WindowsPath", tuple(parts) if _are_texts(parts):
            return "/".join(parts)
        case "_codecs.encode", (str(text), "latin1"):
            return text.encode("latin1")
    raise _refused(function)


def _pair(value: object) -> tuple[object, object]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError("an item of a dictionary is no pair")
    return value[0], value[1]


def _tensor(storage: Storage, offset: object, shape: object, strides: object) -> Tensor:
    if not (_are_counts((offset,)) and _are_counts(shape) and _are_counts(strides)):
        raise PresetError("its pickle holds a tensor whose offset, shape or strides are no counts")
    return Tensor(storage, offset, shape, strides)  # type: ignore[arg-type]


def _are_counts(values: object) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _are_texts(values: tuple[object, ...]) -> TypeGuard[tuple[str, ...]]:
    return all(isinstance(value, str) for value in values)


def _refused(function: object) -> PresetError:
    what = function.name if isinstance(function, Global) else type(function).__name__
    return PresetError(
        f"its pickle would call {what!r:.80}, which a checkpoint of tensors and plain containers doesn't; "
        "nothing was run. Get the file from its authors"
    )


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_FRESH: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_IGNORED = {"PROTO", "FRAME"}
# Records of options: what they hold is not needed.
_RECORDS = {
    "argparse.Namespace",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
}
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "ADDITEMS": _add_items,
    "APPEND": _append,
    "APPENDS": _appends,
    "BINPERSID": _persistent,
    "BUILD": _build,
    "DICT": _marked(_pairs),
    "FROZENSET": _marked(lambda values: frozenset(_plain(values))),
    "GLOBAL": _global,
    "LIST": _marked(list),
    "NEWOBJ": _new_object,
    "REDUCE": _reduce,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "STACK_GLOBAL": _global,
    "STOP": _stop,
    "TUPLE": _marked(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
}
