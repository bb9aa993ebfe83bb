"""What a model hears inside: outputs of stages by name or level, never by index into `model.layers`.

Works on any model that `samplecnn_zoo.models` built, also after saving and loading it.
"""

from collections.abc import Sequence

import keras

from samplecnn_zoo.models.blocks import Tensor
from samplecnn_zoo.models.names import levels as number
from samplecnn_zoo.models.names import stage_layers


def stage_outputs(model: keras.Model) -> dict[str, Tensor]:
    """Map stages, bottom to top, to their outputs, each (batch, time, channels).

    Raises:
        ValueError: no layer of the model is named after a stage.
    """
    found = stage_layers([layer.name for layer in model.layers])
    return {stage: model.get_layer(layer).output for stage, layer in found.items()}


def level_stages(model: keras.Model) -> dict[int, str]:
    """Map levels to stages, the highest first: −1 is the last hidden stage (paper, section 4.1).

    Raises:
        ValueError: no layer of the model is named after a stage.
    """
    return number(stage_outputs(model))


def feature_model(
    model: keras.Model, levels: Sequence[int | str] = (-1, -2, -3), include_scores: bool = False
) -> keras.Model:
    """Build a model of the same layers and weights whose outputs are those of stages.

    Args:
        model: a model that `samplecnn_zoo.models` built.
        levels: levels (−1 is the highest) or names of stages (`"stage4"`, `"top"`).
        include_scores: end with the model's own output.

    Returns:
        A model from the same input to a list: (batch, time, channels) a level, in the order asked, and
        the scores (batch, num_tags) last. (Keras gives the only output of a model without the list.)

    Raises:
        ValueError: no level asked for, one that the model doesn't have, or no stages in the model.
    """
    outputs = stage_outputs(model)
    by_level = number(outputs)
    chosen = [by_level.get(level, level) if isinstance(level, int) else level for level in levels]
    for stage in chosen:
        if stage not in outputs:
            raise ValueError(
                f"no level or stage {stage!r} in {model.name}: it has levels {min(by_level)} to −1 "
                f"and stages {', '.join(outputs)}"
            )
    if not chosen:
        raise ValueError("levels is empty: ask for one or more, such as (-1, -2, -3)")
    scores = list(model.outputs) if include_scores else []
    return keras.Model(
        model.input, [outputs[str(stage)] for stage in chosen] + scores, name=f"{model.name}_features"
    )
