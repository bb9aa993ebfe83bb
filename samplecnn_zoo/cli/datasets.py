"""`samplecnn datasets`: which sets there are, what each wants, and what is missing or odd in a local copy."""

import json
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samplecnn_zoo.cli.console import INTERRUPTED, fail
from samplecnn_zoo.cli.options import FactsOption, ListFormat
from samplecnn_zoo.cli.prepare import OptionOption, parse_options, reporting

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.collection import DataSet, Finding

INDENT = 16
NameArgument = Annotated[
    str | None, typer.Argument(help="A data set's name; without one all are listed.", metavar="SET")
]
RootOption = Annotated[
    Path | None, typer.Option("--root", help="Check the copy in this folder.", show_default=False)
]
HeadersOption = Annotated[
    bool, typer.Option("--headers/--no-headers", help="Open every file of the copy, or only look for it.")
]


def datasets(
    name: NameArgument = None,
    root: RootOption = None,
    option: OptionOption = None,
    headers: HeadersOption = True,
    form: FactsOption = ListFormat.table,
) -> None:
    """List the data sets, show what one wants, or check your copy of it.

    With --root it says exactly what is missing, odd or unreadable there.
    Exit code: 0 all is as expected, 1 something is not, 2 wrong use.
    """
    from samplecnn_zoo.datasets.registry import DATASETS

    if name is None:
        if root is not None or option:
            fail("--root and --option want a set: give its name first")
        _show([_facts(dataset) for dataset in DATASETS.values()], form, _listed(list(DATASETS.values())))
        return
    dataset = _dataset(name, option or [])
    if root is None:
        _show(_facts(dataset), form, _described(dataset))
        return
    findings = _findings(dataset, root, parse_options(option or []), headers)
    plain = [{"level": finding.level, "what": finding.what} for finding in findings]
    _show(plain, form, _said(root, findings))
    if any(finding.level != "note" for finding in findings):
        raise typer.Exit(1)


def _dataset(name: str, option: list[str]) -> "DataSet":
    from samplecnn_zoo.datasets.collection import DataSetError
    from samplecnn_zoo.datasets.registry import get

    try:
        dataset = get(name)
        dataset.check_options(parse_options(option))
    except DataSetError as error:
        fail(str(error))
    return dataset


def _findings(dataset: "DataSet", root: Path, options: dict[str, str], headers: bool) -> "list[Finding]":
    try:
        return dataset.validate(root, headers=headers, progress=reporting("files"), **options)
    except OSError as error:
        fail(f"{error.filename or root}: {error.strerror or error}")
    except KeyboardInterrupt:
        fail("stopped", INTERRUPTED)


def _facts(dataset: "DataSet") -> dict[str, Any]:
    names = ("name", "title", "license", "citation", "url", "layout")
    facts = {name: getattr(dataset, name) for name in names}
    return {**facts, "expected": dict(dataset.expected), "options": dict(dataset.options)}


def _listed(datasets: "list[DataSet]") -> list[str]:
    lines = []
    for dataset in datasets:
        lines.append(_row(dataset.name, dataset.title))
        lines.append(_row("", "; ".join(filter(None, (_counts(dataset), dataset.license)))))
    return lines


def _described(dataset: "DataSet") -> list[str]:
    rows = [
        ("set", dataset.name),
        ("title", dataset.title),
        ("clips", _counts(dataset)),
        ("license", dataset.license),
        ("url", dataset.url),
        ("root holds", dataset.layout),
        *((f"  {option}=", what) for option, what in dataset.options.items()),
    ]
    facts = [_row(name, value) for name, value in rows if value]
    return [*facts, *(["citation", dataset.citation] if dataset.citation else [])]


def _counts(dataset: "DataSet") -> str:
    return ", ".join(f"{count:,} {split}" for split, count in dataset.expected.items())


def _row(name: str, value: str) -> str:
    """A name and its value, folded to the width of the terminal."""
    width = max(2 * INDENT, shutil.get_terminal_size().columns)
    return textwrap.fill(
        f"{name:<{INDENT}}{value}", width, subsequent_indent=" " * INDENT, break_on_hyphens=False
    )


def _said(root: Path, findings: "list[Finding]") -> list[str]:
    if not findings:
        return [f"{root}: all is as expected"]
    return [f"{finding.level}: {finding.what}" for finding in findings]


def _show(plain: Any, form: ListFormat, lines: list[str]) -> None:
    # The bytes of names that are no UTF-8 go out as they came in; JSON holds their escapes.
    if form == ListFormat.json:
        typer.echo(json.dumps(plain, indent=1, ensure_ascii=False).encode(errors="backslashreplace"))
        return
    for line in lines:
        typer.echo(line.encode(errors="surrogateescape"))
