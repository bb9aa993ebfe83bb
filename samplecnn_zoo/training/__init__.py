"""Training: recipes as records, runs that survive a kill, and the pieces for anybody's own `model.fit`.

Names load lazily: importing this package imports neither Keras nor TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from samplecnn_zoo.training.recipe import Cosine, LossError, Optimizer, Plateau, Recipe, TrainingError
from samplecnn_zoo.training.recipes import RECIPES, get_recipe

if TYPE_CHECKING:
    from samplecnn_zoo.training.callbacks import EveryMinutes, RestartFromBest, StopOnNaN
    from samplecnn_zoo.training.finetuning import tuning
    from samplecnn_zoo.training.fit import BatchDone, EpochDone, train
    from samplecnn_zoo.training.freezing import freeze
    from samplecnn_zoo.training.outcome import About

__all__ = [
    "RECIPES",
    "About",
    "BatchDone",
    "Cosine",
    "EpochDone",
    "EveryMinutes",
    "LossError",
    "Optimizer",
    "Plateau",
    "Recipe",
    "RestartFromBest",
    "StopOnNaN",
    "TrainingError",
    "freeze",
    "get_recipe",
    "train",
    "tuning",
]

_HOME = {
    "About": "outcome",
    "BatchDone": "fit",
    "EpochDone": "fit",
    "EveryMinutes": "callbacks",
    "RestartFromBest": "callbacks",
    "StopOnNaN": "callbacks",
    "freeze": "freezing",
    "train": "fit",
    "tuning": "finetuning",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next access finds it without coming here
    return value


def __dir__() -> list[str]:
    return __all__
