"""The data sets by name."""

from collections.abc import Mapping
from types import MappingProxyType

from samplecnn_zoo.datasets.collection import DataSet, DataSetError
from samplecnn_zoo.datasets.folder import FOLDER
from samplecnn_zoo.datasets.gtzan import GTZAN
from samplecnn_zoo.datasets.jamendo import JAMENDO
from samplecnn_zoo.datasets.magnatagatune import MAGNATAGATUNE
from samplecnn_zoo.datasets.midi_set import MIDI
from samplecnn_zoo.datasets.msd import MSD
from samplecnn_zoo.datasets.table import TABLE
from samplecnn_zoo.datasets.tagtraum import TAGTRAUM

DATASETS: Mapping[str, DataSet] = MappingProxyType(
    {item.name: item for item in (MAGNATAGATUNE, MSD, GTZAN, TAGTRAUM, JAMENDO, FOLDER, TABLE, MIDI)}
)


def get(name: str) -> DataSet:
    """The set that `samplecnn prepare` calls `name`.

    Raises:
        DataSetError: There is none of that name.
    """
    if name not in DATASETS:
        raise DataSetError(f"there is no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]
