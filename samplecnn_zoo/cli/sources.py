"""What a command can listen with: a preset, or a head on presets."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from samplecnn_zoo.cli.console import fail

if TYPE_CHECKING:
    import keras

    from samplecnn_zoo.tagger import Tagger
    from samplecnn_zoo.transfer import HeadTagger
    from samplecnn_zoo.zoo import Preset


Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Source:
    """Something with tags.

    Attributes:
        given: What the command line names.
        name: Its own.
        tags: In the order of its scores.
        sha256: Of all that it says of itself, hashes of its weights among it.
        is_head: A head on presets, or a preset.
    """

    given: str
    name: str
    tags: tuple[str, ...]
    sha256: str
    is_head: bool = False

    def open(self, **options: Any) -> "Tagger | HeadTagger":
        """Load what listens; end the command when that can't be."""
        if not self.is_head:
            return open_preset(self.given, **options)
        from samplecnn_zoo.transfer import HeadTagger

        return loaded(lambda: HeadTagger(self.given, **options))


def open_preset(name: str, **options: Any) -> "Tagger":
    """Load a preset; end the command when that can't be."""
    from samplecnn_zoo.tagger import Tagger

    return loaded(lambda: Tagger(name, **options))


def open_model(name: str) -> "keras.Model":
    """Load a preset's network into Keras; end the command when that can't be."""

    def load() -> "keras.Model":
        from samplecnn_zoo.zoo import load_pretrained  # inside: what Keras says as it comes is hushed

        return load_pretrained(name)

    return loaded(load)


def loaded(load: Callable[[], Loaded]) -> Loaded:
    """Return what `load` gives; end the command when an extra is missing or something does not fit."""
    from samplecnn_zoo.decoders.hush import hushed

    try:
        with hushed():  # TensorFlow, where Keras brings it, greets from C
            return load()
    except (ImportError, ValueError) as error:
        fail(str(error))


def find_source(given: str) -> Source:
    """Return what a name or folder stands for; end the command when it has no tags or is not there."""
    from samplecnn_zoo.transfer.saved import is_head

    return _head(given) if is_head(given) else _preset(given)


def _head(given: str) -> Source:
    from samplecnn_zoo.transfer.errors import TransferError
    from samplecnn_zoo.transfer.saved import read_head

    try:
        stored = read_head(given)
    except TransferError as error:
        fail(str(error))
    return Source(given, stored.name, stored.head.tags, stored.sha256, is_head=True)


def _preset(given: str) -> Source:
    preset = fetched(given)
    if preset.is_encoder:
        fail(f"{given} is an encoder without tags: samplecnn embed gives its features")
    return Source(given, preset.name, preset.tags, digest(preset))


def fetched(name: str) -> "Preset":
    """The record of a preset that is here, or comes now: what a journal says of it must not change later."""
    from samplecnn_zoo.transfer.saved import is_head
    from samplecnn_zoo.zoo import PresetError, resolve
    from samplecnn_zoo.zoo.stored import read_preset

    if is_head(name):
        fail(f"{name} is a head: samplecnn tag gives its scores; name the preset that it is on")
    try:
        return read_preset(resolve(name))
    except PresetError as error:
        fail(str(error))


def digest(preset: "Preset") -> str:
    """A hash of all that a preset says, the hashes of its weights and config among it."""
    return sha256(preset.to_json().encode()).hexdigest()
