"""A table of clips: CSV or TSV with the columns path and tags, and if wanted split and group."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from samplecnn_zoo.datasets.collection import DataSet, Finding, Recording, Survey, summary
from samplecnn_zoo.datasets.local import DataSetError, choice, read_text, table_rows
from samplecnn_zoo.datasets.stratify import RULES, SPLIT_NAMES, draw, hold_out, parse_rule

SEPARATORS = "|;"  # between the tags of a cell
NEEDED = ("path", "tags")
KNOWN = ("path", "tags", "split", "group")


@dataclass(frozen=True)
class Row:
    """A line of the table; `split` and `group` are empty where it has no such column or cell."""

    line: int
    path: str
    tags: tuple[str, ...]
    split: str
    group: str


def read_rows(table: Path) -> list[Row]:
    """The rows of the table, the tags of each once and in their order.

    Raises:
        DataSetError: It is no table with the columns path and tags, or a cell breaks its column's rule.
    """
    way_out = f"give a table with the columns {', '.join(NEEDED)} and if wanted split, group"
    text = read_text(table, way_out)
    first, _, _ = text.partition("\n")
    rows = table_rows(table, text, next((mark for mark in "\t,;" if mark in first), ","))
    names = [name.strip().lower() for name in next(rows, (0, []))[1]]
    if missing := [name for name in NEEDED if name not in names]:
        raise DataSetError(f"{table}: there is no column {missing[0]!r}; {way_out}")
    return [_row(table, line, dict(zip(names, row, strict=False))) for line, row in rows]


def _row(table: Path, line: int, cells: dict[str, str]) -> Row:
    cells = {name: cells.get(name, "").strip() for name in KNOWN}
    where = f"{table}, line {line}"
    if not cells["path"]:
        raise DataSetError(f"{where}: the path is empty; name the audio file")
    split = cells["split"].lower()
    if split and split not in SPLIT_NAMES:
        raise DataSetError(f"{where}: the split is train, valid or test, not {split!r}")
    return Row(line, cells["path"], _tags(cells["tags"]), SPLIT_NAMES.get(split, ""), cells["group"])


def _tags(cell: str) -> tuple[str, ...]:
    for mark in SEPARATORS[1:]:
        cell = cell.replace(mark, SEPARATORS[0])
    return tuple(dict.fromkeys(tag.strip() for tag in cell.split(SEPARATORS[0]) if tag.strip()))


def survey(root: Path, table: str = "", split: str = "", labels: str = "auto") -> Survey:
    """Take the clips from the table, whose paths are absolute or start at its own folder.

    Raises:
        DataSetError: There is no table or several, it is none, it has no tag, or its splits are incomplete.
    """
    place = _table(root, table)
    rows = read_rows(place)
    tags = tuple(sorted({tag for row in rows for tag in row.tags}))
    if not tags:
        raise DataSetError(f"{place}: no row has a tag; separate them with | or ;")
    single = _is_single(place, rows, choice("labels", labels, ("auto", "single", "multi")))
    splits, notes = _splits(place, rows, split, single)
    files = {row.path: place.parent / row.path for row in rows}
    missing = [name for name, path in files.items() if not path.is_file()]
    gone = set(missing)
    recordings = [
        Recording(row.path, files[row.path], row.tags, splits[row.path])
        for row in rows
        if row.path not in gone
    ]
    findings = [*notes, *summary("warning", "missing files of the table", missing)]
    return Survey(tags, tuple(recordings), single, tuple(findings))


def _table(root: Path, name: str) -> Path:
    if name:
        return root / name
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:3]) or "none"
        raise DataSetError(f"{root}: one .csv or .tsv is needed, found {names}; name it: table=NAME")
    return found[0]


def _is_single(table: Path, rows: list[Row], labels: str) -> bool:
    other = next((row for row in rows if len(row.tags) != 1), None)
    if labels == "single" and other is not None:
        raise DataSetError(f"{table}, line {other.line}: labels=single needs one tag, not {len(other.tags)}")
    return labels == "single" or (labels == "auto" and other is None)


def _splits(table: Path, rows: list[Row], split: str, single: bool) -> tuple[dict[str, str], list[Finding]]:
    times = Counter(row.path for row in rows)
    if twice := next((path for path, count in times.items() if count > 1), None):
        raise DataSetError(f"{table}: {twice} stands in {times[twice]} lines; put its tags into one")
    classes = {row.path: row.tags[0] if single else "" for row in rows}
    groups = {row.path: row.group or row.path for row in rows}
    given = {row.path: row.split for row in rows if row.split}
    if split or not given:
        return draw(classes, parse_rule(split or "stratified"), groups), []
    if bare := next((row for row in rows if not row.split), None):
        raise DataSetError(f"{table}, line {bare.line}: it has no split, others have; give all or none one")
    if "valid" in given.values():
        return given, _shared_groups(groups, given)
    trained = {path: classes[path] for path, part in given.items() if part == "train"}
    lent = hold_out(trained, {path: groups[path] for path in trained})
    note = Finding("note", f"no row is valid: {len(lent)} clips of train are the valid part")
    return given | dict.fromkeys(lent, "valid"), [note, *_shared_groups(groups, given)]


def _shared_groups(groups: dict[str, str], splits: dict[str, str]) -> list[Finding]:
    parts: dict[str, set[str]] = {}
    for path, group in groups.items():
        parts.setdefault(group, set()).add(splits[path])
    shared = sorted(group for group, found in parts.items() if len(found) > 1)
    return summary("warning", "groups in several splits", shared)


TABLE = DataSet(
    name="table",
    title="A table of clips and tags",
    license="yours to know",
    citation="",
    url="",
    layout="a .csv or .tsv with the columns path, tags (separated by | or ;) and if wanted split, group",
    expected={},
    survey=survey,
    options={
        "table": "the table's name, where the folder holds several",
        "split": f"drawn, whatever the table says; groups stay together: {RULES}",
        "labels": "single (one tag a clip, softmax), multi, or auto (default): single if every clip has one",
    },
)
