"""The recipes: a record each, with its command, hardware, and hours and score where they were measured."""

from collections.abc import Mapping
from types import MappingProxyType

from samplecnn_zoo.models.plans import SAMPLING_RATE_PLANS
from samplecnn_zoo.training.recipe import Cosine, Optimizer, Plateau, Recipe, TrainingError

_PAPER_SGD = Optimizer(kind="sgd", learning_rate=0.01, momentum=0.9, nesterov=True)
_ADAMW = Optimizer(kind="adamw", learning_rate=1e-3, weight_decay=1e-4)

_ALL = (
    Recipe(
        name="paper_mtat",
        command="samplecnn train paper_mtat --set PREPARED/magnatagatune -o RUN",
        hardware="one GPU; 152,440 segments an epoch",
        expected="ROC-AUC 0.9055 on MagnaTagATune's test part (paper, Table 2, 3^9); not yet trained here",
        # Section 5.2 and the authors' code: five rates, each from the best weights before it.
        arguments={"m": 3, "n": 9, "sr": 22050},
        batch_size=23,
        epochs=None,
        order="consecutive",
        optimizer=_PAPER_SGD,
        schedule=Plateau(factor=5.0, rates=5, patience=3),
    ),
    Recipe(
        name="paper_msd",
        command="samplecnn train paper_msd --set PREPARED/msd -o RUN",
        hardware="one GPU; 2,016,800 segments an epoch",
        expected="ROC-AUC 0.8812 on MSD's test part (paper, Table 6, SampleCNN 3^9); not yet trained here",
        arguments={"m": 3, "n": 9, "sr": 22050},
        batch_size=50,
        epochs=None,
        order="consecutive",
        optimizer=_PAPER_SGD,
        schedule=Plateau(factor=5.0, rates=5, patience=3),
    ),
    Recipe(
        name="modern",
        command="samplecnn train modern --set PREPARED -o RUN",
        hardware="one GPU with bfloat16 (Ampere or later); --precision float32 elsewhere",
        arguments={"m": 3, "n": 9},
        batch_size=64,
        epochs=30,
        optimizer=_ADAMW,
        schedule=Cosine(warmup=0.05, floor=1e-3),
        precision="mixed_bfloat16",
    ),
    Recipe(
        name="modern_sgd",
        command="samplecnn train modern_sgd --set PREPARED -o RUN",
        hardware="one GPU with float16 (Volta or later)",
        arguments={"m": 3, "n": 9},
        batch_size=64,
        epochs=30,
        optimizer=Optimizer(kind="sgd", learning_rate=0.02, momentum=0.9, nesterov=True),
        schedule=Cosine(warmup=0.05, floor=1e-3),
        precision="mixed_float16",
    ),
    Recipe(
        name="small_set",
        command="samplecnn train small_set --set PREPARED -o RUN",
        hardware="a laptop's CPU: a few hundred clips of your own",
        arguments={"m": SAMPLING_RATE_PLANS[8000], "sr": 8000},
        batch_size=16,
        epochs=16,
        per_clip=2,
        optimizer=_ADAMW,
        schedule=Cosine(warmup=0.05, floor=1e-3),
    ),
    Recipe(
        name="midi_8k",
        command="samplecnn train midi_8k --set PREPARED/midi -o RUN",
        hardware="2 CPU cores that did other work, too; Keras on JAX",
        hours=1.48,
        expected="ROC-AUC 0.816 (0.789 to 0.843) and PR-AUC 0.523 on the 373 test clips of docs/midi50.md",
        arguments={"m": SAMPLING_RATE_PLANS[8000], "sr": 8000},
        batch_size=16,
        epochs=20,
        per_clip=1,
        optimizer=_ADAMW,
        schedule=Cosine(warmup=0.05, floor=1e-3),
        keep="last",
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL})
"""Name → recipe."""


def get_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        TrainingError: There is none; the message names those that exist.
    """
    if name not in RECIPES:
        raise TrainingError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
