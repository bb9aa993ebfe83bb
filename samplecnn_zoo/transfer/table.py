"""Features of many clips: a matrix, what its columns are, and the file it is kept in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.engines import Level
from samplecnn_zoo.files import replacing
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.scales import Floats, Part

FORMAT = 1


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """A row a clip.

    Attributes:
        keys: (clips,) what names a clip: its path, or its key in a prepared set.
        values: (clips, columns) float32.
        parts: What the columns are, in their order.
        identity: What the numbers depend on, a record a scale; empty of models in memory.
        failed: The clips that gave no row, with the reason.
    """

    keys: tuple[str, ...]
    values: Floats
    parts: tuple[Part, ...]
    identity: Sequence[Mapping[str, Any]] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def select(
        self, *, levels: Sequence[Level] | None = None, presets: Sequence[str] | None = None
    ) -> Floats:
        """Return the columns of these levels and presets, (clips, fewer columns); None takes all.

        Raises:
            TransferError: There is no such column.
        """
        return self.values[:, self.columns(levels=levels, presets=presets)]

    def columns(
        self, *, levels: Sequence[Level] | None = None, presets: Sequence[str] | None = None
    ) -> npt.NDArray[np.intp]:
        """Return where the columns of these levels and presets stand; None takes all.

        Raises:
            TransferError: There is no such column.
        """
        kept = [
            (levels is None or part.level in levels) and (presets is None or part.preset in presets)
            for part in self.parts
        ]
        if not any(kept):
            raise TransferError(
                f"no feature is of levels {levels} and presets {presets}; there are "
                + ", ".join(sorted({f"{part.preset} {part.level}" for part in self.parts}))
            )
        return np.flatnonzero(np.repeat(kept, [part.width for part in self.parts]))

    def save(self, path: str | Path) -> None:
        """Write it whole as .parquet (columns `clip` and a list of numbers a part) or .npz.

        Raises:
            TransferError: The name ends in something else.
            OSError: It can't be written.
        """
        path = Path(path)
        about = {"format": FORMAT, "parts": [asdict(part) for part in self.parts]}
        text = json.dumps({**about, "identity": list(self.identity), "failed": dict(self.failed)})
        if path.suffix not in (".npz", ".parquet"):
            raise TransferError(f"{path}: features are written as .npz or .parquet")
        with replacing(path) as file:
            if path.suffix == ".npz":
                np.savez(file, values=self.values, keys=np.array(self.keys, str), about=np.array(text))
            else:
                _write_parquet(file, self, text)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            TransferError: It is no such file, or of a newer format.
            OSError: It can't be read.
        """
        try:
            read = _read_npz if Path(path).suffix == ".npz" else _read_parquet
            keys, values, about = read(Path(path))
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, this version reads {FORMAT}")
            parts = tuple(Part(**part) for part in about["parts"])
            return cls(tuple(keys), values, parts, about["identity"], about["failed"])
        except (ValueError, KeyError, TypeError) as error:
            raise TransferError(f"{path}: no table of features ({error}); extract them again") from error


def _write_parquet(file: Any, table: FeatureTable, about: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    columns: dict[str, Any] = {"clip": pa.array(table.keys, pa.string())}
    ends = np.cumsum([part.width for part in table.parts])[:-1]
    for part, values in zip(table.parts, np.split(table.values, ends, axis=1), strict=True):
        flat = pa.array(np.ascontiguousarray(values).ravel(), pa.float32())
        columns[f"{part.preset} {part.level} {part.statistic}"] = pa.FixedSizeListArray.from_arrays(
            flat, part.width
        )
    found = pa.table(columns).replace_schema_metadata({"samplecnn_zoo": about})
    pyarrow.parquet.write_table(found, file)


def _read_parquet(path: Path) -> tuple[list[str], Floats, dict[str, Any]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    about = json.loads((table.schema.metadata or {})[b"samplecnn_zoo"])
    keys, *columns = table.combine_chunks().columns
    parts = [np.stack(column.to_numpy()) for column in columns] if len(table) else []
    width = sum(part["width"] for part in about["parts"])
    values = np.concatenate(parts, axis=1) if parts else np.empty((0, width))
    return keys.to_pylist(), values.astype(np.float32), about


def _read_npz(path: Path) -> tuple[list[str], Floats, dict[str, Any]]:
    with np.load(path, allow_pickle=False) as found:
        return found["keys"].tolist(), found["values"].astype(np.float32), json.loads(str(found["about"]))
