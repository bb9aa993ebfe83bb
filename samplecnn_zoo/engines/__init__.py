"""Engines: what runs a network. Keras is the judge; OpenVINO is the default on a CPU."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from samplecnn_zoo.engines.base import (
    Engine,
    Features,
    Level,
    Segments,
    UnsupportedLayerError,
    available_levels,
)
from samplecnn_zoo.zoo.preset import Preset
from samplecnn_zoo.zoo.save import stored_from_model
from samplecnn_zoo.zoo.store import StoredPreset, build_model, check_output

if TYPE_CHECKING:
    import keras

__all__ = [
    "ENGINES",
    "POOLINGS",
    "Engine",
    "Features",
    "Level",
    "Segments",
    "UnsupportedLayerError",
    "available_levels",
    "engine_for_model",
    "engine_for_preset",
]

ENGINES = ("auto", "keras", "openvino")
POOLINGS = ("max", "mean")

_log = logging.getLogger(__name__)


def engine_for_preset(
    stored: StoredPreset,
    levels: Sequence[Level] = (),
    *,
    engine: str = "auto",
    batch_size: int = 4,
    pooling: str = "max",
) -> Engine:
    """Return what runs a checked preset: OpenVINO, unless `engine` says keras.

    `levels` are pooled over the time of a segment, by their "max" (paper, section 4.1) or "mean".

    With "auto", a network that OpenVINO cannot hold, or an installation without it, runs on Keras, and the
    log says so.

    Raises:
        ValueError: if `engine` is none of ENGINES, `pooling` none of POOLINGS, or the network lacks a level.
        UnsupportedLayerError: if `engine` is "openvino" and the network holds a layer that it does not write.
        ImportError: if `engine` is "openvino" and it is not installed.
    """
    _check(engine, pooling)
    if engine != "keras":
        try:
            return _openvino(stored, levels, pooling)
        except (ImportError, UnsupportedLayerError) as error:
            if engine == "openvino":
                raise
            _log.warning("%s runs on Keras: %s", stored.preset.name, error)
    return _keras(build_model(stored), levels, batch_size, pooling)


def engine_for_model(
    model: "keras.Model",
    preset: Preset,
    levels: Sequence[Level] = (),
    *,
    engine: str = "auto",
    batch_size: int = 4,
    pooling: str = "max",
) -> Engine:
    """Return what runs a model in memory: Keras, so that later training of it is heard.

    "openvino" takes the weights as they are now.

    Raises:
        ValueError: if `engine` is none of ENGINES, `pooling` none of POOLINGS, or the model lacks a level.
        PresetError: if `engine` is "openvino" and the model is no flat functional one of stock layers.
        UnsupportedLayerError: if `engine` is "openvino" and the model holds a layer that it does not write.
        ImportError: if `engine` is "openvino" and it is not installed.
    """
    _check(engine, pooling)
    if engine == "openvino":
        return _openvino(stored_from_model(model, preset), levels, pooling)
    return _keras(model, levels, batch_size, pooling)


def _check(engine: str, pooling: str) -> None:
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")


def _openvino(stored: StoredPreset, levels: Sequence[Level], pooling: str) -> Engine:
    from samplecnn_zoo.engines.openvino_engine import OpenVINOEngine

    samples = stored.preset.segment_samples
    engine = OpenVINOEngine(stored.network, stored.weights, samples, levels, pooling=pooling)
    check_output(stored.preset, engine.output_shape)
    return engine


def _keras(model: "keras.Model", levels: Sequence[Level], batch_size: int, pooling: str) -> Engine:
    from samplecnn_zoo.engines.keras_engine import KerasEngine

    return KerasEngine(model, levels, batch_size=batch_size, pooling=pooling)
