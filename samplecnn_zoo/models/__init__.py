"""Stage tables → functional Keras models. Names load lazily: importing this package imports no Keras."""

from importlib import import_module
from typing import TYPE_CHECKING

from samplecnn_zoo.models.design import SUCCESSORS
from samplecnn_zoo.models.names import level_layers, levels, stage_layers, stated_rate
from samplecnn_zoo.models.plans import (
    FRAME_LEVEL_MEL_PLANS,
    FRAME_LEVEL_RAW_PLANS,
    MULTI_SCALE_PLANS,
    SAMPLING_RATE_PLANS,
    frame_plan,
    sample_plan,
)

if TYPE_CHECKING:
    from samplecnn_zoo.models.features import feature_model, level_stages, stage_outputs
    from samplecnn_zoo.models.frame_level import FrameLevelMel, FrameLevelRaw
    from samplecnn_zoo.models.samplecnn import SampleCNN

__all__ = [
    "FRAME_LEVEL_MEL_PLANS",
    "FRAME_LEVEL_RAW_PLANS",
    "MULTI_SCALE_PLANS",
    "SAMPLING_RATE_PLANS",
    "SUCCESSORS",
    "FrameLevelMel",
    "FrameLevelRaw",
    "SampleCNN",
    "feature_model",
    "frame_plan",
    "level_layers",
    "level_stages",
    "levels",
    "sample_plan",
    "stage_layers",
    "stage_outputs",
    "stated_rate",
]

_HOME = {
    "FrameLevelMel": "frame_level",
    "FrameLevelRaw": "frame_level",
    "SampleCNN": "samplecnn",
    "feature_model": "features",
    "level_stages": "features",
    "stage_outputs": "features",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
