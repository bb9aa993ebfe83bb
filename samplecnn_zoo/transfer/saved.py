"""A head as a directory: `head.json`, which names the presets it was trained on, and `classifier.npz`.

Both are plain data. The arrays' hash stands in head.json and is compared before they are read, and so are the
presets': a head on features of other weights would give numbers without a meaning.
"""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo import __version__
from samplecnn_zoo.files import write_whole
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.head import Head
from samplecnn_zoo.transfer.scales import Scale, reference
from samplecnn_zoo.zoo import PresetError, resolve
from samplecnn_zoo.zoo.stored import read_preset

FORMAT = 1
HEAD_FILE, CLASSIFIER_FILE = "head.json", "classifier.npz"
_SCALE = ("source", "preset", "levels", "pooling", "statistics")


@dataclass(frozen=True, eq=False)
class StoredHead:
    """What a head's directory says: the head, the scales it listens with, and how it came about.

    Attributes:
        directory: Where it is.
        head: The classifier.
        scales: A record a network: preset, source, levels, pooling, statistics.
        about: Data, split, scores, seed.
        sha256: Of head.json, in which all other hashes stand.
    """

    directory: Path
    head: Head
    scales: Sequence[Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.directory.resolve().name

    def open(self, **options: Any) -> list[Scale]:
        """Return the networks, ready to listen; `options` are those of `Tagger`.

        Raises:
            TransferError: A preset is not there, or is not the one that the head was trained on.
            ValueError: An option is out of its range.
        """
        scales = [self._scale(facts, options) for facts in self.scales]
        found = sum(scale.width for scale in scales)
        if found != self.head.width:
            raise TransferError(f"{self.directory}: {found} features for a head of {self.head.width}")
        return scales

    def _scale(self, facts: Mapping[str, Any], options: Mapping[str, Any]) -> Scale:
        source = _located(facts["source"], self.directory)
        wanted = facts["preset"]
        try:
            preset = read_preset(resolve(source))
        except PresetError as error:
            raise TransferError(
                f"{self.directory}: the head was trained on {wanted['name']}, which is not there: {error}"
            ) from error
        now = json.loads(json.dumps(reference(preset)))
        for name in sorted(wanted.keys() - {"name"}):
            if now.get(name) != wanted[name]:
                raise TransferError(
                    f"{self.directory}: the head was trained on {wanted['name']} with {name} "
                    f"{_short(wanted[name])}, the preset has changed to {_short(now.get(name))}; "
                    "bring the old one back, or train the head again"
                )
        kept = {name: facts[name] for name in ("levels", "pooling", "statistics")}
        return Scale.of(source, **kept, **options)


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def is_head(directory: str | Path) -> bool:
    """Whether a directory holds a head."""
    return bool(str(directory)) and (Path(directory) / HEAD_FILE).is_file()


def save_head(
    directory: str | Path,
    head: Head,
    scales: Sequence[Scale],
    *,
    about: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a head as a directory, head.json last: without it there is none.

    Args:
        directory: Is made if it isn't there; other files in it stay.
        head: The classifier.
        scales: The networks whose features it was trained on, presets by name or directory.
        about: Plain JSON values about data, split and scores.
        overwrite: Replace a head that is there.

    Raises:
        TransferError: A head is there and `overwrite` is False, a network is a model in memory, or the
            features are not as wide as the head.
        OSError: It can't be written.
    """
    directory = Path(directory)
    if is_head(directory) and not overwrite:
        raise TransferError(f"{directory}: a head is there; pass overwrite=True to replace it")
    if sum(scale.width for scale in scales) != head.width:
        raise TransferError(f"the scales give {sum(s.width for s in scales)} features, not {head.width}")
    stream = io.BytesIO()
    np.savez(stream, **head.arrays())  # type: ignore[arg-type]  # its keywords are arrays and one flag
    facts = {
        "format": FORMAT,
        "kind": head.kind,
        "tags": list(head.tags),
        "single_label": head.single_label,
        "scales": [{"source": _source(scale, directory), **scale.facts()} for scale in scales],
        "classifier_sha256": sha256(stream.getvalue()).hexdigest(),
        "about": dict(about or {}),
        "version": __version__,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / HEAD_FILE).unlink(missing_ok=True)
    write_whole(directory / CLASSIFIER_FILE, stream.getvalue())
    write_whole(directory / HEAD_FILE, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())


def _source(scale: Scale, directory: Path) -> str:
    """A name as it is; a directory by its way from the head's, so that both can be moved together."""
    if scale.source is None:
        raise TransferError(f"{scale.name} is a model in memory: save it with save_pretrained, and use that")
    path = Path(scale.source).expanduser()
    return os.path.relpath(path.resolve(), directory.resolve()) if path.is_dir() else scale.source


def _located(source: str, directory: Path) -> str:
    path = directory.resolve() / source
    return str(path) if path.is_dir() else source


def read_head(directory: str | Path) -> StoredHead:
    """Read a head and check its arrays; its presets are looked at when they are opened.

    Raises:
        TransferError: There is none, a file is damaged, or it is of a newer format.
    """
    directory = Path(directory)
    try:
        text = (directory / HEAD_FILE).read_bytes()
        facts = json.loads(text)
        if facts["format"] > FORMAT:
            raise TransferError(
                f"{directory}: format {facts['format']} is newer than this samplecnn_zoo reads ({FORMAT})"
            )
        content = (directory / CLASSIFIER_FILE).read_bytes()
        found = sha256(content).hexdigest()
        if found != facts["classifier_sha256"]:
            raise TransferError(
                f"{directory / CLASSIFIER_FILE}: its sha256 is {found}, {HEAD_FILE} states "
                f"{facts['classifier_sha256']}: it is damaged or of another head; train it again"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            kinds = {name: facts[name] for name in ("kind", "tags", "single_label")}
            head = Head.from_arrays({name: arrays[name] for name in arrays.files}, **kinds)
        scales = [{name: scale[name] for name in _SCALE} for scale in facts["scales"]]
        return StoredHead(directory, head, scales, facts["about"], sha256(text).hexdigest())
    except OSError as error:
        raise TransferError(
            f"{error.filename or directory}: {error.strerror}; it is no whole head"
        ) from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, TransferError):
            raise
        raise TransferError(f"{directory}: {HEAD_FILE} is no head's ({error}); train it again") from error
