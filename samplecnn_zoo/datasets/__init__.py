"""Data sets: what exists, how it is split, which tags it has. No audio is downloaded from here.

The names load on first use: importing this package imports neither TensorFlow nor Keras.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.collection import Collection, DataSet, DataSetError, Finding, Recording
    from samplecnn_zoo.datasets.registry import DATASETS, get

__all__ = ["DATASETS", "Collection", "DataSet", "DataSetError", "Finding", "Recording", "get"]

_HOME = {"DATASETS": "registry", "get": "registry"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'collection')}"), name)


def __dir__() -> list[str]:
    return __all__
