"""Stages and levels found by the names of layers alone, so that any engine can (no Keras here).

Every layer of a stage is named `<stage>_<role>`, and the last one in the model's order is what
leaves the stage: `stage4_conv`, `stage4_bn`, `stage4_relu`, `stage4_pool` → `stage4_pool`.
Stages are `stage1` (the strided first convolution), `stage2`, … and `top` (the 1x1 convolution).
"""

import re
from collections.abc import Iterable, Sequence

_INPUT = re.compile(r"waveform_(\d+)hz")
_STAGE = re.compile(r"(stage\d+|top)_\w+")


def input_name(sr: int) -> str:
    """Name the input so that it states the sample rate in Hz: a saved model keeps it."""
    return f"waveform_{sr}hz"


def stated_rate(layer_names: Iterable[str]) -> int | None:
    """Read the sample rate in Hz that a model states in its input's name; None if it states none.

    >>> stated_rate(["waveform_22050hz", "stage1_conv"])
    22050
    """
    rates = (int(match[1]) for name in layer_names if (match := _INPUT.fullmatch(name)))
    return next(rates, None)


def stage_layers(layer_names: Sequence[str]) -> dict[str, str]:
    """Map each stage, bottom to top, to the layer whose output leaves it.

    Args:
        layer_names: names in the model's order, inputs first, as in `model.layers` or `config.json`.

    Raises:
        ValueError: no name belongs to a stage.

    >>> stage_layers(["waveform", "stage1_conv", "stage1_relu", "stage2_conv", "stage2_pool", "tags"])
    {'stage1': 'stage1_relu', 'stage2': 'stage2_pool'}
    """
    last = {match[1]: name for name in layer_names if (match := _STAGE.fullmatch(name))}
    if not last:
        raise ValueError(
            f"no layer is named after a stage (stage1_conv, …, top_relu); got {', '.join(layer_names)}: "
            f"give a model from samplecnn_zoo.models"
        )
    return dict(sorted(last.items(), key=lambda item: _height(item[0])))


def _height(stage: str) -> float:
    return float("inf") if stage == "top" else int(stage.removeprefix("stage"))


def levels(stages: Iterable[str]) -> dict[int, str]:
    """Number stages, given bottom to top, from the highest down: −1 is the last hidden one.

    With a 1x1 convolution −1 is its ReLU before dropout, without one the last module (paper, section
    4.1: the last three hidden layers are levels −1, −2, −3).

    >>> levels(["stage1", "stage2", "top"])
    {-1: 'top', -2: 'stage2', -3: 'stage1'}
    """
    return {-row: stage for row, stage in enumerate(reversed(list(stages)), start=1)}


def level_layers(layer_names: Sequence[str]) -> dict[int, str]:
    """Map levels, as `levels` numbers them, to the layers whose outputs they are.

    Raises:
        ValueError: no name belongs to a stage.
    """
    layers = stage_layers(layer_names)
    return {level: layers[stage] for level, stage in levels(layers).items()}
