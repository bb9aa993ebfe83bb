"""Further training of a preset on other labels: which stages learn, and how fast each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplecnn_zoo.models.names import levels, stage_layers
from samplecnn_zoo.training.freezing import HEAD
from samplecnn_zoo.training.recipe import Optimizer, Plateau, Recipe, TrainingError
from samplecnn_zoo.zoo.store import read_stored

if TYPE_CHECKING:
    import keras

TRAINED = ("none", "last", "all")
_LAST = -3  # the lowest of the levels that `last` trains: those that the paper takes features from
_RATES = {"none": 1e-3, "last": 5e-4, "all": 3e-4}
STAGE_DECAY = 0.7


def tuning(preset: str | Path, *, train: str = "last", epochs: int = 30) -> Recipe:
    """Return a recipe for `train(recipe, …, start_from=preset)`: few clips, an early end, slow lower stages.

    Training ends when the validation loss has not fallen for five epochs, twice, the second time from the
    best weights with a fifth of the rate; the best epoch is kept. Change what you like with `recipe.but(…)`.

    Args:
        preset: Whose network is trained; its rate is the recipe's argument `sr`.
        train: "none" (the new head alone), "last" (the last three levels, too), "all", or the name of a
            stage, from which on stages learn. What is below stands still, its BatchNormalization too.
        epochs: At most.

    Raises:
        TrainingError: The network has no such stage.
        PresetError: There is no such preset, or it is damaged.
        ValueError: No layer of the network is named after a stage.
    """
    stored = read_stored(preset)
    stages = list(stage_layers([layer.name for layer in stored.network.layers]))
    if train not in (*TRAINED, *stages):
        raise TrainingError(f"train is one of {', '.join((*TRAINED, *stages))}, got {train!r}")
    below = {"none": HEAD, "last": stages[max(_LAST, -len(stages))], "all": None}.get(train, train)
    rate = _RATES.get(train, _RATES["last"])
    return Recipe(
        name=f"tune_{train}",
        arguments={**stored.preset.arguments, "sr": stored.preset.sample_rate},
        epochs=epochs,
        batch_size=8,
        per_clip=4,
        optimizer=Optimizer(kind="adamw", learning_rate=rate, weight_decay=1e-4),
        schedule=Plateau(factor=5.0, rates=2, patience=5),
        freeze_below=below,
        stage_decay=STAGE_DECAY,
        command=f"samplecnn finetune DATA -o DIR --train {train}",
        hardware="a laptop's CPU: a few hundred clips of your own",
    )


def stage_factors(model: "keras.Model", decay: float) -> list[float]:
    """Return what each of `model.trainable_variables` learns at, of the learning rate: less the lower it is.

    The head learns at 1, the highest stage at `decay`, the one below at `decay`², …

    Raises:
        ValueError: No layer of the model is named after a stage.
    """
    stages = levels(stage_layers([layer.name for layer in model.layers]))
    factor = {stage: decay**-level for level, stage in stages.items()}
    by_variable = {
        id(variable): factor.get(layer.name.partition("_")[0], 1.0)
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    return [by_variable[id(variable)] for variable in model.trainable_variables]


def by_stage(
    optimizer: "keras.optimizers.Optimizer", variables: Sequence[Any], factors: Sequence[float]
) -> "keras.optimizers.Optimizer":
    """Return the optimizer with a share of its step for each variable: its learning rate times the factor.

    Each variable goes that part of the way that the whole step would take it. Moments do not depend on the
    rate, so this is the same as a rate of its own, with every optimizer and on every backend, weight decay
    included.

    Args:
        optimizer: Not yet built.
        variables: What it will train, in order.
        factors: One each, 0 to 1.
    """
    import keras

    kind: Any = type(optimizer)

    class ByStage(kind):  # type: ignore[misc]  # Keras publishes no types
        """The optimizer, held back."""

        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            before = [keras.ops.copy(variable) for variable in variables]
            super().apply(grads, trainable_variables)
            for variable, old, factor in zip(variables, before, factors, strict=True):
                if factor != 1.0:
                    variable.assign(old + factor * (variable - old))

    found: keras.optimizers.Optimizer = ByStage.from_config(optimizer.get_config())
    return found
