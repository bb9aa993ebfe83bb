"""The command `samplecnn evaluate`: how well a preset does on a prepared set."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, Reporter, fail, say
from samplecnn_zoo.cli.options import Engine, EngineOption, FactsOption, ListFormat
from samplecnn_zoo.formats import printable

if TYPE_CHECKING:
    from rich.table import Table

    from samplecnn_zoo.datasets.prepared import Prepared
    from samplecnn_zoo.tagger import Tagger
    from samplecnn_zoo.training.results import Evaluation, Rules
    from samplecnn_zoo.zoo import Preset

REPORT = "report.json"
KEPT = "scores.partial"  # beside the report, until that is written


def evaluate(
    preset: Annotated[str, typer.Argument(help="A preset's name or its folder.", metavar="PRESET")],
    folder: Annotated[
        Path, typer.Option("--set", help="The folder that `samplecnn prepare` made.", metavar="DIR")
    ],
    split: Annotated[str, typer.Option(help="Which part: train, valid or test.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR",
            help="Write report.json, report.md, its pictures and the clips' scores to this folder.",
        ),
    ] = None,
    tag_groups: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='JSON, {"name": ["tag", ...]}: groups to average over, too.'),
    ] = None,
    clip_groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV, the clips' keys in its first column, with a column `group`: clips of one group, as an "
            "artist's, are drawn together for the intervals.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Take N clips, for a quick look.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A run's log.csv, to draw; by default the one beside the preset."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Put the scores into the preset (a folder) and on its card.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report that is there.")] = False,
    engine: EngineOption = Engine.auto,
    form: FactsOption = ListFormat.table,
) -> None:  # fmt: skip
    """Say how well a preset does on a prepared set, clip by clip, and how sure that is.

    A clip's score is the mean over its segments. ROC-AUC and PR-AUC by tag and
    their means over tags, accuracy where clips have one label each, with 95 %
    intervals. Tags that no clip has, or every clip, are named and in no mean.

    With -o, an evaluation that was killed goes on when the same command is
    given again. Exit code: 0 all went well, 1 reading or writing failed, 2
    wrong use.
    """
    _check_use(preset, output, record, overwrite)
    try:
        tagger, prepared = _open(preset, folder, engine)
        rules = _rules(tag_groups, clip_groups, prepared, split)
        _make(output)
        evaluation = _run(tagger, prepared, split, rules=rules, limit=limit, keep=output and output / KEPT)
        _show(evaluation, form)
        if output is not None:
            _write(evaluation, output, log or _log_beside(preset))
        if record:
            _record(Path(preset), tagger.preset, evaluation)
    except KeyboardInterrupt:
        fail("stopped" + ("; the same command goes on" if output else ""), INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename or output or folder}: {error.strerror or error}", 1)
    except (ImportError, ValueError) as error:
        fail(str(error))


def _check_use(preset: str, output: Path | None, record: bool, overwrite: bool) -> None:
    if output is not None and (output / REPORT).exists() and not overwrite:
        fail(f"{output}: a report is there; --overwrite replaces it")
    if record and not (Path(preset) / "preset.json").is_file():
        fail(f"--record wants the folder of a preset, {preset} is none")


def _make(output: Path | None) -> None:
    """Make the folder of the report, before there is work that could be lost."""
    try:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{output}: {error.strerror}; choose an output that can be written")


def _open(preset: str, folder: Path, engine: str) -> tuple["Tagger", "Prepared"]:
    from samplecnn_zoo.datasets.prepared import Prepared
    from samplecnn_zoo.decoders.hush import hushed
    from samplecnn_zoo.tagger import Tagger
    from samplecnn_zoo.training.evaluate import BATCH_SIZE

    prepared = Prepared.open(folder)
    with hushed():  # TensorFlow, where Keras brings it, greets from C
        return Tagger(preset, engine=engine, batch_size=BATCH_SIZE), prepared


def _run(tagger: "Tagger", prepared: "Prepared", split: str, **options: Any) -> "Evaluation":
    from samplecnn_zoo.training.evaluate import evaluate

    return evaluate(tagger, prepared, split, progress=_bar, **options)


def _bar(rows: Iterable[Any], total: int) -> Iterator[Any]:
    with Reporter("evaluate", total, "clips") as reporter:
        for row in rows:
            yield row
            reporter.advance()


def _rules(tag_groups: Path | None, clip_groups: Path | None, prepared: "Prepared", split: str) -> "Rules":
    from samplecnn_zoo.training.results import Rules

    return Rules(
        tag_groups=_read_tag_groups(tag_groups) if tag_groups else {},
        clip_groups=_read_clip_groups(clip_groups, prepared, split) if clip_groups else None,
    )


def _read_tag_groups(path: Path) -> dict[str, list[str]]:
    groups = json.loads(path.read_text(encoding="utf-8"))
    lists = isinstance(groups, dict) and all(isinstance(tags, list) for tags in groups.values())
    if not lists or not all(isinstance(tag, str) for tags in groups.values() for tag in tags):
        raise ValueError(f'{path}: groups of tags are an object {{"name": ["tag", ...]}}')
    return dict(groups)


def _read_clip_groups(path: Path, prepared: "Prepared", split: str) -> list[str]:
    """The group of each clip of a split."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        key = (rows.fieldnames or [""])[0]
        if "group" not in (rows.fieldnames or []):
            raise ValueError(f"{path}: it has no column `group`: its first line is {rows.fieldnames}")
        groups = {row[key]: row["group"] for row in rows}
    clips = prepared.clips(split)
    missing = [clip.key for clip in clips if not groups.get(clip.key)]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(clips)} clips have no group, such as {missing[0]!r}"
        )
    return [groups[clip.key] for clip in clips]


def _log_beside(preset: str) -> Path | None:
    """The log of the run that left a preset: `samplecnn train -o RUN` makes RUN/preset and RUN/log.csv."""
    path = Path(preset).resolve().parent / "log.csv"
    return path if Path(preset).is_dir() and path.is_file() else None


def _show(evaluation: "Evaluation", form: ListFormat) -> None:
    if form == ListFormat.json:
        typer.echo(evaluation.to_json(), nl=False)
        return
    from rich.console import Console

    from samplecnn_zoo.training.report import left_out_lines, most_frequent_share, ranked

    subject, figures = evaluation.subject, evaluation.figures
    console = Console(highlight=False, markup=False)
    console.print(f"{subject.preset} on {subject.dataset}, {subject.split}: {figures.clips:,} clips")
    if figures.accuracy is not None:
        guess = f"always the most frequent tag: {most_frequent_share(evaluation):.3f}"
        console.print(f"accuracy {figures.accuracy}; {guess}")
    console.print(_table("macro over", [(group.name, len(group.tags), group) for group in figures.groups]))
    console.print(_table("tag", [(item.tag, item.clips, item) for item in ranked(figures)]))
    for line in left_out_lines(figures):
        console.print(line)


def _table(what: str, rows: Sequence[tuple[str, int, Any]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in (what, "tags" if what == "macro over" else "clips", "ROC-AUC", "PR-AUC"):
        table.add_column(name, justify="left" if name == what else "right", overflow="fold")
    for name, count, figures in rows:
        table.add_row(Text(printable(name)), f"{count:,}", str(figures.roc_auc), str(figures.pr_auc))
    return table


def _write(evaluation: "Evaluation", output: Path, log: Path | None) -> None:
    from samplecnn_zoo.training.report import write_report
    from samplecnn_zoo.visualize import style

    pictures = write_report(evaluation, output, log=log)
    (output / KEPT).unlink(missing_ok=True)
    say(f"report in {output}" + ("" if pictures else f", without pictures: {style.INSTALL} brings them"))


def _record(directory: Path, evaluated: "Preset", evaluation: "Evaluation") -> None:
    from samplecnn_zoo.training.evaluate import with_scores
    from samplecnn_zoo.zoo import save_record

    record = with_scores(evaluated, evaluation)
    save_record(directory, record)
    say(f"{len(record.scores)} scores in {directory}")
