"""The paper's experiments on transfer: Table 4, several scales together, and Table 6, one level or three."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from samplecnn_zoo.engines import Level
from samplecnn_zoo.training.metrics import Estimate
from samplecnn_zoo.transfer.classifier import Classifier
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.held_out import fit, main_figure, score
from samplecnn_zoo.transfer.labelled import Labelled
from samplecnn_zoo.transfer.scales import Scale

EXPERIMENTS = ("table4", "table6")
LEVELS: tuple[Level, ...] = (-1, -2, -3)

PAPER_TABLE4: Mapping[int, tuple[str, float]] = {
    1: ("3^9", 0.9046),
    2: ("3^8, 3^9", 0.9061),
    4: ("2^13, 2^14, 3^8, 3^9", 0.9061),
    8: ("2^13, 2^14, 3^8, 3^9, 4^6, 4^7, 5^5, 5^6", 0.9064),
}
"""Number of networks → which, and ROC-AUC on MagnaTagATune, where they were trained, too."""

PAPER_TABLE6: Mapping[str, Mapping[str, float]] = {
    "-3": {"gtzan": 0.778, "magnatagatune": 0.8988, "tagtraum": 0.760, "msd": 0.8831},
    "-2": {"gtzan": 0.811, "magnatagatune": 0.8998, "tagtraum": 0.768, "msd": 0.8838},
    "-1": {"gtzan": 0.821, "magnatagatune": 0.8976, "tagtraum": 0.768, "msd": 0.8842},
    "last three": {"gtzan": 0.805, "magnatagatune": 0.9018, "tagtraum": 0.768, "msd": 0.8842},
}
"""Features of a network trained on MSD → set → accuracy (gtzan, tagtraum) or ROC-AUC."""

Rows = Iterable["Row"]
Progress = Callable[[Rows, int], Rows]


@dataclass(frozen=True)
class Row:
    """One line of a table: features, our figure with its 95 % interval, and the paper's by its sets."""

    features: str
    value: float
    low: float
    high: float
    paper: Mapping[str, float]


@dataclass(frozen=True)
class Experiment:
    """A table, ready for JSON.

    Attributes:
        name: `table4` or `table6`.
        dataset: What ours was measured on.
        metric: "accuracy" or "ROC-AUC".
        clips: Number of clips tested on.
        head: The kind of classifier.
        presets: The networks.
        rows: The lines.
        note: What the paper's figures are of.
    """

    name: str
    dataset: str
    metric: str
    clips: int
    head: str
    presets: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str

    def to_json(self) -> str:
        """Return it as a JSON object."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    def header(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return ("features", self.metric, "low", "high", *(f"paper: {name}" for name in self._sets()))

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the lines as texts; empty where the paper has nothing."""
        for row in self.rows:
            ours = (f"{value:.4f}" for value in (row.value, row.low, row.high))
            paper = (f"{row.paper[name]:.4f}" if name in row.paper else "" for name in self._sets())
            yield (row.features, *ours, *paper)

    def to_csv(self) -> str:
        """Return it as comma-separated values."""
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([self.header(), *self.cells()])
        return stream.getvalue()

    def _sets(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.paper))


def run(
    name: str,
    labelled: Labelled,
    scales: Sequence[Scale],
    classifier: Classifier,
    *,
    progress: Progress = lambda rows, _: rows,
) -> Experiment:
    """Train a head for each line of a table on the parts train and valid, and score it on test.

    Args:
        name: One of EXPERIMENTS.
        labelled: Features of the scales, side by side.
        scales: The networks. Table 4 adds one after the other; Table 6 takes their levels -1, -2 and -3.
        classifier: How heads are trained.
        progress: Wraps the lines (iterable, total) for a progress bar.

    Raises:
        TransferError: There is no such experiment, or the scales lack the levels of Table 6.
        EvaluationError: No tag can be scored.
    """
    if name not in EXPERIMENTS:
        raise TransferError(f"an experiment is one of {', '.join(EXPERIMENTS)}, got {name!r}")
    table = (_table4 if name == "table4" else _table6)(labelled, scales)
    metrics: list[str] = []

    def lines() -> Iterator[Row]:
        for features, columns, paper in table:
            own = labelled.but(labelled.table.values[:, columns])
            metric, found = main_figure(score(own, fit(own, classifier)))
            metrics.append(metric)
            yield _row(features, found, paper)

    rows = tuple(progress(lines(), len(table)))
    clips = int((labelled.splits == "test").sum())
    presets = tuple(scale.name for scale in scales)
    return Experiment(name, labelled.name, metrics[0], clips, classifier.kind, presets, rows, _note(name))


def _row(features: str, found: Estimate, paper: Mapping[str, float]) -> Row:
    value, low, high = (round(number, 5) for number in (found.value, found.low, found.high))
    return Row(features, value, low, high, paper)


def _note(name: str) -> str:
    if name == "table6":
        return "paper: a 3^9 network trained on MSD, Table 6 (accuracy on gtzan, tagtraum; ROC-AUC else)"
    which = "; ".join(f"{count}: {networks}" for count, (networks, _) in PAPER_TABLE4.items())
    return f"paper: ROC-AUC on MagnaTagATune by number of networks, Table 4 ({which})"


Line = tuple[str, "np.ndarray", Mapping[str, float]]


def _table4(labelled: Labelled, scales: Sequence[Scale]) -> list[Line]:
    ends = np.cumsum([scale.width for scale in scales])
    lines: list[Line] = []
    for count, end in enumerate(ends, start=1):
        paper = {"magnatagatune": PAPER_TABLE4[count][1]} if count in PAPER_TABLE4 else {}
        name = scales[0].name if count == 1 else f"+ {scales[count - 1].name}"
        lines.append((name, np.arange(end), paper))
    return lines


def _table6(labelled: Labelled, scales: Sequence[Scale]) -> list[Line]:
    for scale in scales:
        if not set(LEVELS) <= set(scale.levels):
            raise TransferError(f"Table 6 wants the levels -1, -2 and -3, {scale.name} gives {scale.levels}")
    lines: list[Line] = []
    for name, levels in (("-3", (-3,)), ("-2", (-2,)), ("-1", (-1,)), ("last three", LEVELS)):
        paper = PAPER_TABLE6[name]
        own = {labelled.name: paper[labelled.name]} if labelled.name in paper else paper
        lines.append((name, labelled.table.columns(levels=levels), own))
    return lines
