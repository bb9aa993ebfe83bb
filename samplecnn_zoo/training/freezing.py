"""Stages that stand still while others learn: weights, and the statistics of BatchNormalization."""

from typing import TYPE_CHECKING

from samplecnn_zoo.models.names import stage_layers
from samplecnn_zoo.training.recipe import TrainingError

if TYPE_CHECKING:
    import keras

HEAD = "head"


def freeze(model: "keras.Model", *, below: str) -> list[str]:
    """Let everything below the stage `below` stand still, and return the names of its layers.

    Their weights take no steps, their BatchNormalization uses and keeps its moving statistics (a frozen one
    runs in inference mode in Keras 3), and their Dropout drops nothing. Stages above are trained. Compile the
    model afterwards, as after every change of `trainable`.

    Args:
        model: A model of `samplecnn_zoo.models`.
        below: `stage2`, …, `top`, or `head`, below which all stages are.

    Raises:
        TrainingError: The model has no stage of that name.
        ValueError: No layer of the model is named after a stage.
    """
    names = [layer.name for layer in model.layers]
    stages = list(stage_layers(names))
    if below not in (*stages, HEAD):
        raise TrainingError(f"freeze below one of {', '.join(stages)}, {HEAD}; {model.name} has no {below!r}")
    kept = stages if below == HEAD else stages[: stages.index(below)]
    layers = [layer for layer in model.layers if layer.name.partition("_")[0] in kept]
    for layer in layers:
        layer.trainable = False
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    return [layer.name for layer in layers]
