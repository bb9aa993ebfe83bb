"""The MIDI set: a folder of MIDI files by genre, rendered into labelled audio excerpts.

`root/index.tsv` has the columns genre, file and name (the original file name, which tells the artist or
the work), and `root/<genre>/<file>.mid` the pieces. `prepare` renders one excerpt a piece, or several of
those that are trained on, into `out/audio/<file>.flac` and writes `out/index.csv`, one row a clip: file,
genre, group, split, tags.

Clips of one artist (classical: of one title) share a group, and a group lies in one split. Since a classical
title does not always tell the work, a test clip that shares phrases with a piece outside of the test part is
left out.
"""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samplecnn_zoo.datasets.midi_render import check_soundfont
from samplecnn_zoo.datasets.midi_tags import NAMES
from samplecnn_zoo.datasets.midi_takes import EXCERPT_S, SAMPLE_RATE, Take, fraction, is_done, render_all
from samplecnn_zoo.files import write_whole

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.midi_vary import Variation

__all__ = [
    "EXCERPT_S", "GENRES", "NUM_TAGS", "SAMPLE_RATE", "SPLITS", "Clip", "Piece", "audio_path", "label_matrix",
    "prepare", "read_clips", "read_index", "read_tags", "split_of",
]  # fmt: skip

NUM_TAGS = 50
SPLITS = {"train": 0.87, "valid": 0.03, "test": 0.10}
GENRES = ("classical", "country", "jazz", "pop", "rock")
TITLED = ("classical",)  # genres whose names are titles, not artists
SAME_WORK = 0.25  # share of a clip's phrases found in another piece, from which on they are one work
RULES = 1  # version of what decides excerpts, tags and audio; data of another one is not gone on with


@dataclass(frozen=True)
class Piece:
    """A row of `index.tsv`."""

    genre: str
    file: str
    name: str

    @property
    def group(self) -> str:
        """The artist, or for a title without one the title's words without opus, number and movement."""
        stem = self.name.rsplit(".", 1)[0].lower()
        artist, dash, _ = stem.partition(" - ")
        if dash and self.genre not in TITLED:
            return re.sub(r"^the(?=.)|[^a-z0-9]", "", re.sub(r"[^a-z0-9]", "", artist)) or artist
        return _title_words(stem)


@dataclass(frozen=True)
class Clip:
    """A rendered excerpt: its piece, split, all tags that hold, level and the hash of the piece's notes."""

    file: str
    genre: str
    group: str
    split: str
    tags: tuple[str, ...]
    start_s: float
    rms_db: float
    notes: str


def read_index(root: Path) -> list[Piece]:
    """The pieces that `root/index.tsv` lists.

    Raises:
        FileNotFoundError: There is no index.tsv in `root`.
        ValueError: It lacks a column, a row lacks a value, or two rows have the same file.
    """
    with open(root / "index.tsv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := {"genre", "file", "name"} - set(rows.fieldnames or ()):
            raise ValueError(f"{root / 'index.tsv'}: no column {min(missing)!r}; columns are split by tabs")
        pieces: dict[str, Piece] = {}
        for row in rows:
            where = f"{root / 'index.tsv'}, line {rows.line_num}"
            genre, file_name, name = row["genre"], row["file"], row["name"]
            if not (genre and file_name and name):
                raise ValueError(f"{where}: genre, file or name is missing")
            if file_name in pieces:
                raise ValueError(f"{where}: {file_name!r} again; files of all genres need names of their own")
            pieces[file_name] = Piece(genre, file_name, name)
    if taken := [name for name in pieces if re.sub(r"\.[1-9]\d*$", "", name) in pieces.keys() - {name}]:
        raise ValueError(
            f"{root / 'index.tsv'}: {taken[0]!r} is what a later take would be called; rename it"
        )
    return list(pieces.values())


def split_of(group: str, seed: int = 0) -> str:
    """The split of all clips of a group: a function of its name and the seed alone."""
    draw = fraction(f"{seed}/split/{group}")
    for split, share in SPLITS.items():
        if draw < share:
            return split
        draw -= share
    return "test"


def prepare(
    root: Path,
    out: Path,
    soundfont: Path | Sequence[Path],
    *,
    seed: int = 0,
    variation: "Variation | None" = None,
    takes: int = 1,
    tags: Sequence[str] | None = None,
    workers: int | None = None,
    limit: int | None = None,
    progress: Callable[[Iterable[None], int], Iterable[None]] = lambda steps, _: steps,
) -> list[str]:
    """Render every piece of `root` that `out` does not have yet, then write `out/index.csv` and `tags.txt`.

    Each clip is written whole or not at all, so a killed run goes on where it stopped; a second run on
    finished data renders nothing, but for pieces that were unusable (unreadable, too short, silent) and have
    been written to since. The same seed gives the same excerpts, splits and tags on any machine. The index
    lists what this call asks for: with a smaller limit or fewer takes it becomes shorter, the audio stays.

    Pieces of the train part alone are varied, played by any of the soundfonts and taken several times, so
    that the sound of valid and test stays the same whatever is tried; with `tags`, their labels do, too.

    Args:
        root: The folder with index.tsv.
        out: The folder to fill.
        soundfont: A General MIDI soundfont (.sf2), or several; the first one plays valid and test.
        seed: Chooses the excerpts, the split and all that is drawn.
        variation: How far from its file a piece may be; None plays it as it stands.
        takes: Excerpts of a piece, each at a place of its own and varied anew. More may be added later.
        tags: The tags to keep, as of another rendering to compare with; default the 50 most frequent.
        workers: Processes, default one a core.
        limit: Render at most so many pieces: every n-th of the index, n as large as leaves enough of them.
        progress: Wraps the steps (iterable, total) for a progress bar.

    Returns:
        One line for each take left out: unreadable, too short, silent, a duplicate, or a test clip of a
        work that is trained on.

    Raises:
        FileNotFoundError: The index, a piece that it lists or a soundfont is missing.
        SoundfontError: A soundfont lacks an instrument.
        ValueError: `out` was made with another seed, soundfont, variation or version of the rules; a number
            is less than 1; a file is no soundfont, or there is none; there is no such tag, or no clip has
            it; or the index is wrong (`read_index`).
    """
    for name, value in {"takes": takes, "workers": workers, "limit": limit}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    soundfonts = (soundfont,) if isinstance(soundfont, Path) else tuple(map(Path, soundfont))
    if not soundfonts:
        raise ValueError("soundfont is empty; give at least one")
    pieces = read_index(root)
    if tags is not None:
        _check_tags(tags, {piece.genre for piece in pieces})
    if limit is not None:
        pieces = pieces[:: max(1, len(pieces) // limit)][:limit]
    _check_made(out, soundfonts, seed, variation)
    (out / "audio").mkdir(exist_ok=True)
    sessions = [
        (piece, take)
        for number in range(takes)
        for piece in pieces
        if (take := _take(piece, number, root, soundfonts, seed, variation))
    ]
    todo = [take for _, take in sessions if not is_done(take, out / "audio")]
    for _ in progress(render_all(todo, out / "audio", workers), len(todo)):
        pass
    clips, runs, left_out = _collect(sessions, out, seed)
    kept, leaked = _without_known_works(clips, runs)
    _write_index(kept, _top_tags(clips) if tags is None else _known(tags, kept), out)
    return left_out + leaked


def _take(
    piece: Piece,
    number: int,
    root: Path,
    soundfonts: tuple[Path, ...],
    seed: int,
    variation: "Variation | None",
) -> Take | None:
    """A take of a piece; None if the piece is not trained on and has one already."""
    trained_on = split_of(piece.group, seed) == "train"
    if number and not trained_on:
        return None
    return Take(
        midi=root / piece.genre / f"{piece.file}.mid",
        genre=piece.genre,
        file=f"{piece.file}.{number}" if number else piece.file,
        key=f"{seed}/excerpt/{piece.file}" + (f"/{number}" if number else ""),
        soundfonts=soundfonts if trained_on else soundfonts[:1],
        variation=variation if trained_on else None,
        compared=piece.genre in TITLED,
    )


def _check_made(out: Path, soundfonts: tuple[Path, ...], seed: int, variation: "Variation | None") -> None:
    """Write down what `out` is made with, or refuse to go on with something else."""
    for path in soundfonts:
        check_soundfont(path)
    first, *others = (_sha256(path) for path in soundfonts)
    wanted: dict[str, Any] = {"rules": RULES, "seed": seed, "soundfont_sha256": first}
    if others:
        wanted["more_soundfonts_sha256"] = others
    if variation is not None:
        wanted["variation"] = json.loads(json.dumps(asdict(variation)))  # as it will read back
    out.mkdir(parents=True, exist_ok=True)
    made = out / "made.json"
    if not made.exists():
        write_whole(made, json.dumps(wanted).encode())
    elif (found := json.loads(made.read_text(encoding="utf-8"))) != wanted:
        raise ValueError(f"{out} was made with {found}, not {wanted}; prepare into another folder")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_clips(out: Path) -> list[Clip]:
    """The rows of `out/index.csv`; their tags are those of `out/tags.txt` alone.

    Raises:
        FileNotFoundError: `out` has not been prepared.
    """
    with open(out / "index.csv", newline="", encoding="utf-8") as file:
        return [_clip_of_row(row) for row in csv.DictReader(file)]


def read_tags(out: Path) -> list[str]:
    """The tags, most frequent first, or in the order in which they were asked for."""
    return (out / "tags.txt").read_text(encoding="utf-8").splitlines()


def audio_path(out: Path, clip: Clip) -> Path:
    """The rendered file of a clip."""
    return out / "audio" / f"{clip.file}.flac"


def label_matrix(clips: list[Clip], tags: list[str]) -> np.ndarray:
    """(clips, tags) float32 of 0 and 1."""
    rows = [[tag in clip.tags for tag in tags] for clip in clips]
    return np.array(rows, np.float32).reshape(len(clips), len(tags))


def _top_tags(clips: list[Clip]) -> list[str]:
    counts = Counter(tag for clip in clips for tag in clip.tags)
    return [tag for tag, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NUM_TAGS]]


def _check_tags(tags: Sequence[str], genres: set[str]) -> None:
    if not tags:
        raise ValueError("tags is empty; give at least one, or None for the most frequent")
    if unknown := sorted(set(tags) - NAMES - genres):
        raise ValueError(f"there is no tag {unknown[0]!r}; tags are genres and what midi_tags.py names")


def _known(tags: Sequence[str], clips: list[Clip]) -> list[str]:
    there = {tag for clip in clips for tag in clip.tags}
    if missing := [tag for tag in tags if tag not in there]:
        raise ValueError(f"no clip has the tag {missing[0]!r}; give tags of this collection")
    return list(dict.fromkeys(tags))


def _write_index(clips: list[Clip], top: list[str], out: Path) -> None:
    write_whole(out / "tags.txt", "".join(f"{tag}\n" for tag in top).encode())
    rows = io.StringIO(newline="")
    writer = csv.DictWriter(rows, list(Clip.__dataclass_fields__))
    writer.writeheader()
    for clip in clips:
        writer.writerow({**asdict(clip), "tags": "|".join(tag for tag in clip.tags if tag in top)})
    write_whole(out / "index.csv", rows.getvalue().encode())


def _collect(
    sessions: list[tuple[Piece, Take]], out: Path, seed: int
) -> tuple[list[Clip], dict[str, set[int]], list[str]]:
    """The clips of the first piece with its notes; the phrases of each; and a line for each take left out."""
    clips: list[Clip] = []
    owners: dict[str, Piece] = {}  # by notes; first takes come first, those of valid and test among them
    runs: dict[str, set[int]] = {}
    left_out = []
    for piece, take in sessions:
        record = json.loads((out / "audio" / f"{take.file}.json").read_text(encoding="utf-8"))
        if "left_out" in record:
            left_out.append(record["left_out"])
        elif (owner := owners.setdefault(record["notes"], piece)) != piece:
            left_out.append(f"{take.file}: the same notes as {owner.file}")
        else:
            tags = tuple(record.pop("tags"))
            runs[take.file] = set(record.pop("phrases"))
            split = split_of(piece.group, seed)
            clips.append(Clip(take.file, piece.genre, piece.group, split, tags, **record))
    return clips, runs, left_out


def _without_known_works(clips: list[Clip], runs: dict[str, set[int]]) -> tuple[list[Clip], list[str]]:
    """The clips less those of the test part whose work is in another part, and a line for each of them."""
    others = [clip for clip in clips if clip.split != "test" and runs[clip.file]]
    kept, leaked = [], []
    for clip in clips:
        own = runs[clip.file] if clip.split == "test" else set()
        known = [o for o in others if own and len(own & runs[o.file]) >= max(1.0, SAME_WORK * len(own))]
        if known:
            leaked.append(f"{clip.file}: a test clip of the same work as {known[0].file}")
        else:
            kept.append(clip)
    return kept, leaked


def _clip_of_row(row: dict[str, str]) -> Clip:
    tags = tuple(row["tags"].split("|")) if row["tags"] else ()
    return Clip(
        row["file"], row["genre"], row["group"], row["split"],
        tags, float(row["start_s"]), float(row["rms_db"]), row["notes"],
    )  # fmt: skip


def _title_words(stem: str) -> str:
    """Words of a title that name the work: `Etude op10 n03` and `Etude op25 n1` are both `etude`."""
    words = re.findall(r"[a-z]+", re.sub(r"\b(op|no|n|k|kv|bwv|d|mov|format)[\s._]*\d+\w*", " ", stem))
    noise = {"op", "opus", "no", "n", "mov", "movement", "format", "in", "of", "the", "for", "major", "minor"}
    romans = {"i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"}
    return " ".join(word for word in words if word not in noise | romans) or stem
