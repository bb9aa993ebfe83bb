"""Transfer learning: activations of one or several networks → one vector a clip → a head for other labels.

Names load lazily: importing this package imports neither Keras nor scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samplecnn_zoo.transfer.classifier import Classifier
    from samplecnn_zoo.transfer.errors import TransferError
    from samplecnn_zoo.transfer.extraction import extract, extract_prepared
    from samplecnn_zoo.transfer.head import KINDS, Head
    from samplecnn_zoo.transfer.labelled import Labelled, label
    from samplecnn_zoo.transfer.listener import HeadTagger
    from samplecnn_zoo.transfer.saved import StoredHead, is_head, read_head, save_head
    from samplecnn_zoo.transfer.scales import Part, Scale
    from samplecnn_zoo.transfer.table import FeatureTable

__all__ = [
    "KINDS",
    "Classifier",
    "FeatureTable",
    "Head",
    "HeadTagger",
    "Labelled",
    "Part",
    "Scale",
    "StoredHead",
    "TransferError",
    "extract",
    "extract_prepared",
    "is_head",
    "label",
    "read_head",
    "save_head",
]

_NAMES = {
    "classifier": ("Classifier",),
    "errors": ("TransferError",),
    "extraction": ("extract", "extract_prepared"),
    "head": ("KINDS", "Head"),
    "labelled": ("Labelled", "label"),
    "listener": ("HeadTagger",),
    "saved": ("StoredHead", "is_head", "read_head", "save_head"),
    "scales": ("Part", "Scale"),
    "table": ("FeatureTable",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
