"""Published weight files → preset directories: local files only, and nothing in them is executed."""

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.zoo.cache import git_blob
from samplecnn_zoo.zoo.converters import clmr, lee, won
from samplecnn_zoo.zoo.converters.checkpoint import Checkpoint, assign
from samplecnn_zoo.zoo.converters.keras1 import try_apart
from samplecnn_zoo.zoo.preset import Preset, PresetError
from samplecnn_zoo.zoo.published import PUBLISHED, Published, numbered
from samplecnn_zoo.zoo.save import save_pretrained

if TYPE_CHECKING:
    import keras

_READERS: Mapping[str, Callable[[Path], Checkpoint]] = {
    "clmr": clmr.read,
    "lee": lee.read,
    "won": won.read,
}


def convert(file: Path, name: str, out: Path, *, tags: Sequence[str] | None = None) -> Path:
    """Write the published checkpoint in `file` as a preset directory, and return the directory.

    A file that is not byte for byte the published one is converted too, but what was measured with the
    published one is left out, and the description says so.

    Args:
        file: the original file, as its authors published it.
        name: of the preset, one of `PUBLISHED`.
        out: a directory that is not there yet or empty.
        tags: names for outputs that nobody named.

    Raises:
        PresetError: if there is no such name, the file is another published one, damaged or of another
            architecture, holds anything but arrays and plain containers, or `tags` do not fit.
        FileExistsError: if `out` holds something.
    """
    return convert_record(Path(file), _published(name), Path(out), tags=tags)


def convert_record(file: Path, record: Published, out: Path, *, tags: Sequence[str] | None = None) -> Path:
    """Write the checkpoint in `file`, which is what `record` says, as `convert` does; errors as there."""
    with _naming(file):
        original = _is_original(file, record)
        checkpoint = _read(file, record, trusted=original)
        record = _with_head(record, checkpoint)
        preset = record.preset(tags=tags, **({} if original else _unverified(record)))
        model = _filled(preset, checkpoint, record.name)
    save_pretrained(model, out, preset=preset)
    return out


def convert_like(
    file: Path, like: str, out: Path, *, tags: Sequence[str] | None = None, license: str = "unknown"
) -> Path:
    """Write a checkpoint of the same code as `like`, with other sizes, widths or outputs, as a preset.

    These are read off its arrays; rate, padding and segment rule are those of `like`. The preset is called
    as its directory, claims nothing of training and scores, and its outputs are numbered without `tags`.

    Raises:
        PresetError: as `convert`, and if the arrays do not make a network of this code.
        FileExistsError: if `out` holds something.
    """
    file, out, record = Path(file), Path(out), _published(like)
    with _naming(file):
        checkpoint = _read(file, record, trusted=_is_original(file, record))
        record = _with_head(_resized(record, checkpoint.arguments), checkpoint)
        claims = {
            "name": out.resolve().name,
            "license": license,
            "training_data": "unknown",
            "description": f"Converted from {file.name}, a checkpoint of the same code as {like}",
            "source": None,
            "scores": (),
        }
        preset = record.preset(tags=tags, **claims)
        model = _filled(preset, checkpoint, like)
    save_pretrained(model, out, preset=preset)
    return out


@contextlib.contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Put the file in front of what is wrong with it."""
    try:
        yield
    except PresetError as error:
        raise PresetError(f"{file}: {error}") from error


def _published(name: str) -> Published:
    if name in PUBLISHED:
        return PUBLISHED[name]
    close = difflib.get_close_matches(name, PUBLISHED, n=1)
    way_out = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(PUBLISHED)}"
    raise PresetError(f"no published preset is called {name!r}; {way_out}")


def _is_original(file: Path, record: Published) -> bool:
    """Tell whether `file` is the published one byte for byte; another record's file is refused."""
    try:
        blob = git_blob(file)
    except OSError as error:
        raise PresetError(f"it cannot be read ({error.strerror}); check the path") from error
    for other in PUBLISHED.values():
        if blob == other.source.blob != record.source.blob:
            raise PresetError(f"this is the file of {other.name}, not of {record.name}")
    return blob == record.source.blob


def _read(file: Path, record: Published, *, trusted: bool) -> Checkpoint:
    if record.format != "keras1_hdf5" or trusted:
        return _READERS[record.family](file)
    try_apart(file)
    checkpoint = lee.read(file)
    lee.check_order(checkpoint)
    return checkpoint


def _unverified(record: Published) -> dict[str, Any]:
    """Return what the preset of a file that may be another one states instead."""
    why = "has no published hash" if record.source.blob is None else "is not byte for byte the published one"
    return {
        "source": None,
        "scores": (),
        "description": f"{record.description}. Converted from a file that {why}: what is said of its "
        "training holds if it is what it was called",
    }


def _resized(record: Published, found: Mapping[str, Any]) -> Published:
    """Return the record of a network of the sizes that were found, its outputs numbered."""
    kept = {key: value for key, value in record.arguments.items() if key not in ("n", "block")}
    encoder = record.arguments.get("include_top") is False
    outputs = numbered(found["widths"][-1], "feature") if encoder else numbered(found["num_tags"], "tag")
    return replace(
        record,
        arguments={**kept, **found},
        segment_samples=prod(found["m"]),
        tags=outputs,
        numbered=True,
    )


def _with_head(record: Published, checkpoint: Checkpoint) -> Published:
    """Return the record of an encoder whose file brings a classifier, with as many numbered tags."""
    if record.arguments.get("include_top", True) or not checkpoint.outputs:
        return record
    arguments = {name: value for name, value in record.arguments.items() if name != "include_top"}
    count = checkpoint.outputs
    description = record.description.replace(": features, no tags", " with a classifier on it")
    return replace(
        record,
        arguments=arguments | {"num_tags": count},
        tags=numbered(count, "tag"),
        description=description,
    )


def _filled(preset: Preset, checkpoint: Checkpoint, name: str) -> "keras.Model":
    """Return the network of `preset` with the arrays of the checkpoint in it."""
    from samplecnn_zoo import models

    try:
        model: keras.Model = getattr(models, preset.builder)(**preset.arguments)
    except ValueError as error:
        raise PresetError(f"its arrays make no network of this code: {error}") from error
    assign(model, checkpoint, name)
    return model
