"""SampleCNN and its successors in Keras 3: tags and embeddings of music from raw audio.

The public names load on first use: importing this package imports neither Keras nor TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplecnn_zoo.audio import AudioError
    from samplecnn_zoo.models import FrameLevelMel, FrameLevelRaw, SampleCNN
    from samplecnn_zoo.tagger import ClipEmbedding, ClipTags, Tagger, Taggram, TagScore
    from samplecnn_zoo.zoo import (
        Preset,
        PresetError,
        PresetInfo,
        list_presets,
        load_pretrained,
        preset_info,
        push_to_hub,
        save_pretrained,
    )

__version__ = "0.1.0"

DEFAULT_PRESET = "samplecnn_3x9.musicnn"
"""What listens where nothing else is named: the bundled preset that knows real recordings best."""

__all__ = [
    "DEFAULT_PRESET",
    "AudioError",
    "ClipEmbedding",
    "ClipTags",
    "FrameLevelMel",
    "FrameLevelRaw",
    "Preset",
    "PresetError",
    "PresetInfo",
    "SampleCNN",
    "TagScore",
    "Tagger",
    "Taggram",
    "__version__",
    "list_presets",
    "load_pretrained",
    "preset_info",
    "push_to_hub",
    "save_pretrained",
]

_NAMES = {
    "audio": ("AudioError",),
    "models": ("FrameLevelMel", "FrameLevelRaw", "SampleCNN"),
    "tagger": ("ClipEmbedding", "ClipTags", "TagScore", "Tagger", "Taggram"),
    "zoo": (
        "Preset",
        "PresetError",
        "PresetInfo",
        "list_presets",
        "load_pretrained",
        "preset_info",
        "push_to_hub",
        "save_pretrained",
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next access finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
