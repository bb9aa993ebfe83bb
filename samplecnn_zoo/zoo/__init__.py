"""Presets: found by name or directory, checked, loaded as Keras models with their record, and saved."""

from samplecnn_zoo.zoo.find import PresetInfo, list_presets, preset_info, resolve, weights_dir
from samplecnn_zoo.zoo.hub import push_to_hub
from samplecnn_zoo.zoo.preset import (
    Normalization,
    Preset,
    PresetError,
    Score,
    SegmentRule,
    Source,
    Training,
)
from samplecnn_zoo.zoo.save import save_pretrained, save_record
from samplecnn_zoo.zoo.store import load_pretrained

__all__ = [
    "Normalization",
    "Preset",
    "PresetError",
    "PresetInfo",
    "Score",
    "SegmentRule",
    "Source",
    "Training",
    "list_presets",
    "load_pretrained",
    "preset_info",
    "push_to_hub",
    "resolve",
    "save_pretrained",
    "save_record",
    "weights_dir",
]
