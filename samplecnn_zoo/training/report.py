"""An evaluation as files: report.json for programs, report.md and pictures for people, the clips' scores."""

import contextlib
import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo.files import replacing, write_whole
from samplecnn_zoo.training import metrics
from samplecnn_zoo.training.metrics import Estimate
from samplecnn_zoo.training.results import Evaluation, EvaluationError, Figures, TagFigures

REPORT, PAGE, SCORES = "report.json", "report.md", "scores.parquet"
CAPTIONS = {
    "tags.png": "How well each tag is told from the others; lines are 95 % intervals",
    "roc.png": "ROC curves of the tags",
    "confusion.png": "What clips of each tag were taken for",
    "training.png": "How training went",
}
Log = Mapping[str, Sequence[float]]


def write_report(evaluation: Evaluation, directory: Path, *, log: Path | None = None) -> list[Path]:
    """Write report.json, report.md, scores.parquet and, where matplotlib is installed, the pictures.

    Each file takes its place whole; what an earlier report left there is replaced.

    Args:
        evaluation: what to report.
        directory: is made if it isn't there.
        log: the log.csv of the run that trained the network, for a picture of it.

    Returns:
        The pictures; none without matplotlib.

    Raises:
        EvaluationError: `log` is no log of a run.
        OSError: The directory can't be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in CAPTIONS:  # those of an earlier evaluation would lie beside this one's figures
        (directory / name).unlink(missing_ok=True)
    epochs = read_log(log) if log else {}
    pictures = _draw(evaluation, directory, epochs)
    _write_scores(evaluation, directory / SCORES)
    write_whole(directory / PAGE, to_markdown(evaluation, [picture.name for picture in pictures]).encode())
    write_whole(directory / REPORT, evaluation.to_json().encode())  # last: where it stands, all else does
    return pictures


def to_markdown(evaluation: Evaluation, pictures: Sequence[str] = ()) -> str:
    """Return the text of report.md, with links to the pictures that lie beside it."""
    subject, figures = evaluation.subject, evaluation.figures
    macro = [(group.name, len(group.tags), str(group.roc_auc), str(group.pr_auc)) for group in figures.groups]
    tags = [(item.tag, item.clips, str(item.roc_auc), str(item.pr_auc)) for item in ranked(figures)]
    parts = [
        f"# {subject.preset} on {subject.dataset}, {subject.split}",
        f"{figures.clips:,} clips. A clip's score is the mean over its segments, at most "
        f"{subject.segments_a_clip}, run by {subject.engine}. Intervals are {figures.interval}.",
        *_accuracy(evaluation),
        _table(("macro over", "tags", "ROC-AUC", "PR-AUC"), macro),
        *left_out_lines(figures),
        *(f"![{CAPTIONS[name]}]({name})" for name in pictures),
        "## By tag",
        _table(("tag", "clips", "ROC-AUC", "PR-AUC"), tags),
    ]
    return "\n\n".join(parts) + "\n"


def ranked(figures: Figures) -> list[TagFigures]:
    """Return the tags, the best ROC-AUC first."""
    return sorted(figures.by_tag, key=lambda item: -item.roc_auc.value)


def left_out_lines(figures: Figures) -> list[str]:
    """Return a line for each reason why tags are in no mean."""
    reasons = dict.fromkeys(figures.left_out.values())
    return [
        f"Not scored, since {reason}: " + ", ".join(t for t, why in figures.left_out.items() if why == reason)
        for reason in reasons
    ]


def most_frequent_share(evaluation: Evaluation) -> float:
    """Return the accuracy of naming the same, most frequent tag for every clip."""
    return float(evaluation.truth.mean(axis=0).max())


def _accuracy(evaluation: Evaluation) -> list[str]:
    if evaluation.figures.accuracy is None:
        return []
    return [
        f"Accuracy: **{evaluation.figures.accuracy}**; naming the most frequent tag every time would give "
        f"{most_frequent_share(evaluation):.3f}."
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def read_log(path: Path) -> dict[str, list[float]]:
    """Return the columns of a run's log.csv that hold numbers; an empty cell is NaN.

    Raises:
        EvaluationError: It has no column `epoch`, or no row.
        OSError: It can't be read.
    """
    rows = list(csv.DictReader(StringIO(path.read_text(encoding="utf-8"))))
    columns = {}
    for name in rows[0] if rows else ():
        with contextlib.suppress(ValueError):  # words
            values = [float(row[name] or "nan") for row in rows]
            if any(map(isfinite, values)):
                columns[name] = values
    if "epoch" not in columns:
        raise EvaluationError(f"{path}: no log of a run: it wants a column epoch and a line for each")
    return columns


def _draw(evaluation: Evaluation, directory: Path, log: Log) -> list[Path]:
    from samplecnn_zoo.visualize import report, style

    if not style.can_draw():
        return []
    figures = evaluation.figures
    by_tag = figures.by_tag
    names = [item.tag for item in by_tag]
    chance = {"roc_auc": np.full(len(by_tag), 0.5)}
    chance["pr_auc"] = np.array([item.clips / figures.clips for item in by_tag])
    bars = [
        report.Bars(title, **_columns([getattr(item, name) for item in by_tag]), chance=chance[name])
        for name, title in (("roc_auc", "ROC-AUC"), ("pr_auc", "PR-AUC"))
    ]
    pictures = [
        report.tag_bars(directory / "tags.png", names, [item.clips for item in by_tag], bars),
        report.roc_curves(directory / "roc.png", _curves(evaluation), figures.groups[0].roc_auc.value),
    ]
    if figures.confusion is not None:
        pictures.append(
            report.confusion_matrix(directory / "confusion.png", evaluation.tags, figures.confusion)
        )
    if log:
        pictures.append(report.training_curves(directory / "training.png", log, report.PANELS))
    return pictures


def _columns(estimates: Sequence[Estimate]) -> dict[str, metrics.Array]:
    return {name: np.array([getattr(item, name) for item in estimates]) for name in ("value", "low", "high")}


def _curves(evaluation: Evaluation) -> list[Any]:
    from samplecnn_zoo.visualize.report import Curve

    column = {tag: index for index, tag in enumerate(evaluation.tags)}
    return [
        Curve(
            item.tag,
            *metrics.roc_curve(evaluation.truth[:, column[item.tag]], evaluation.scores[:, column[item.tag]]),
            item.roc_auc.value,
        )
        for item in evaluation.figures.by_tag
    ]


def _write_scores(evaluation: Evaluation, path: Path) -> None:
    """A row a clip: its key, and for each tag whether it has it and its score."""
    import pyarrow as pa
    import pyarrow.parquet

    has = [
        [tag for tag, holds in zip(evaluation.tags, row, strict=True) if holds] for row in evaluation.truth
    ]
    columns: dict[str, Any] = {"key": list(evaluation.keys), "tags": has}
    columns |= {f"score: {tag}": evaluation.scores[:, index] for index, tag in enumerate(evaluation.tags)}
    table = pa.table(columns)
    with replacing(path) as file:
        pyarrow.parquet.write_table(table, file)
