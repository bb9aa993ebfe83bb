"""The data sets by name."""

from collections.abc import Mapping
from types import MappingProxyType

from samplecnn_zoo.datasets.collection import DataSet, DataSetError
from samplecnn_zoo.datasets.midi_set import MIDI

DATASETS: Mapping[str, DataSet] = MappingProxyType({item.name: item for item in (MIDI,)})


def get(name: str) -> DataSet:
    """The set that `samplecnn prepare` calls `name`.

    Raises:
        DataSetError: There is none of that name.
    """
    if name not in DATASETS:
        raise DataSetError(f"there is no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]
