"""A model's lower stages on an input of another length, with the same weights.

Models are made for one segment, 59,049 samples in the paper; their filters are looked at in a few hundred.
"""

from collections.abc import Iterable
from math import log
from typing import Any

import keras
from keras import ops

from samplecnn_zoo.models import stage_layers
from samplecnn_zoo.models.blocks import Tensor

PAPER_SAMPLES = 729
"""Input of the paper's pictures of filters, 3^6 samples, "close to a typical frame size" (section 7.1)."""


def stage_strides(model: keras.Model) -> dict[str, int]:
    """Map stages, bottom to top, to the samples from frame to frame of what leaves them.

    Raises:
        ValueError: no layer of the model is named after a stage.
    """
    strides, total = {}, 1
    for stage in stage_layers([layer.name for layer in model.layers]):
        for layer in _own(model, stage):
            total *= _stride(layer)
        strides[stage] = total
    return strides


def _own(model: keras.Model, stage: str) -> list[keras.Layer]:
    """The layers on the way through a stage, without those of its shortcut, which go beside it."""
    own, beside = f"{stage}_", f"{stage}_shortcut_"
    return [layer for layer in model.layers if layer.name.startswith(own) and beside not in layer.name]


def _stride(layer: keras.Layer) -> int:
    if isinstance(layer, keras.layers.Conv1D | keras.layers.MaxPooling1D):
        return int(layer.strides[0])
    return 1


def lowest_stages(model: keras.Model, count: int = 6) -> list[str]:
    """Return the lowest stages, at most `count`, whose frames are no longer than the one nearest to 729.

    Six for stages of size 3, whose sixth frame spans 3^6 samples; five for size 4 and four for size 5, whose
    nearest are 4^5 and 5^4.
    """
    spans = stage_strides(model)
    longest = min(spans.values(), key=lambda span: abs(log(span / PAPER_SAMPLES)))
    fit = [stage for stage, span in spans.items() if span <= longest and stage != "top"]
    return fit[:count]


def frame_samples(model: keras.Model, stages: Iterable[str]) -> int:
    """Return how long an input shows these stages: as many whole frames of the highest as are nearest to 729.

    That is 729 for six stages of size 3, 704 for size 2, and one frame where a frame is longer. The filters
    of that stage then see more than the input, as the sixth stage's do in the paper: what they see beyond
    its ends is silence.

    Raises:
        ValueError: the model has no such stage.
    """
    strides = stage_strides(model)
    highest = max(strides[known_stage(model, stage)] for stage in stages)
    return highest * max(1, round(PAPER_SAMPLES / highest))


def known_stage(model: keras.Model, stage: str) -> str:
    """Return the name of a stage that the model has.

    Raises:
        ValueError: it has no such stage.
    """
    stages = stage_layers([layer.name for layer in model.layers])
    if stage not in stages:
        raise ValueError(f"no stage {stage!r} in {model.name}: its stages are {', '.join(stages)}")
    return stage


def shortened(model: keras.Model, stage: str, samples: int) -> keras.Model:
    """Rebuild the model up to the last non-linearity of a stage for inputs of `samples`, with equal weights.

    Args:
        model: a model that `samplecnn_zoo.models` built.
        stage: `stage1`, …, `top`.
        samples: of the input; what is left after the last whole frame is not heard.

    Returns:
        A model from (batch, samples, 1) to what the non-linearity is fed: (batch, frames, filters).

    Raises:
        ValueError: no such stage, one without learned filters, or an input of less than one frame.
    """
    before = _before_rectifying(model, stage)
    least = stage_strides(model)[stage] // _pool(model, stage)
    if samples < least:
        raise ValueError(
            f"a frame of {stage} of {model.name} spans {least} samples; got an input of {samples}: "
            f"take {least} or more, or a lower stage"
        )
    whole = keras.Model(model.inputs[0], before)
    name = model.inputs[0].name
    waveform = keras.Input((samples, 1), name=name)
    short = keras.models.clone_model(whole, input_tensors=waveform, clone_function=_again)
    short.set_weights(whole.get_weights())
    return short


class _LargestOfBlocks(keras.layers.Layer):  # type: ignore[misc]  # Keras publishes no types
    """Max-pooling without overlap, as a maximum over an axis: its gradient is faster on a CPU."""

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, x: Tensor) -> Tensor:
        """(batch, time, channels) -> (batch, time // size, channels)."""
        frames = x.shape[1] // self.size
        blocks = ops.reshape(x[:, : frames * self.size], (-1, frames, self.size, x.shape[2]))
        return ops.max(blocks, axis=2)


def _again(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, keras.layers.MaxPooling1D):  # those of `models` neither overlap nor pad
        return _LargestOfBlocks(layer.pool_size[0], name=layer.name, dtype=layer.dtype_policy)
    return layer.__class__.from_config(layer.get_config())


def _before_rectifying(model: keras.Model, stage: str) -> Tensor:
    rectifiers = _rectifiers(model, known_stage(model, stage))
    if not rectifiers or not _rectifiers(model, "stage1"):
        raise ValueError(
            f"{model.name} does not hear the waveform through learned filters: its first stage is fixed, as "
            f"the mel-spectrogram of FrameLevelMel; take a SampleCNN or FrameLevelRaw model"
        )
    return rectifiers[-1].input


def _rectifiers(model: keras.Model, stage: str) -> list[keras.Layer]:
    return [layer for layer in _own(model, stage) if isinstance(layer, keras.layers.ReLU)]


def _pool(model: keras.Model, stage: str) -> int:
    pools = [layer for layer in _own(model, stage) if isinstance(layer, keras.layers.MaxPooling1D)]
    return _stride(pools[-1]) if pools else 1
