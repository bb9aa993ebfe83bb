"""The MIDI set: a folder of MIDI files by genre, rendered into labelled audio excerpts.

`root/index.tsv` has the columns genre, file and name (the original file name, which tells the artist or
the work), and `root/<genre>/<file>.mid` the pieces. `prepare` renders one excerpt a piece into
`out/audio/<file>.flac` and writes `out/index.csv`, one row a clip: file, genre, group, split, tags.

Clips of one artist (classical: of one title) share a group, and a group lies in one split. Since a classical
title does not always tell the work, a test clip that shares phrases with a piece outside of the test part is
left out.
"""

import csv
import hashlib
import json
import math
import multiprocessing
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.midi_render import Renderer
    from samplecnn_zoo.datasets.midi_score import Score

EXCERPT_S = 29.1  # the paper's clip length
SAMPLE_RATE = 22050
NUM_TAGS = 50
SPLITS = {"train": 0.87, "valid": 0.03, "test": 0.10}
GENRES = ("classical", "country", "jazz", "pop", "rock")
TITLED = ("classical",)  # genres whose names are titles, not artists
SAME_WORK = 0.25  # share of a clip's phrases found in another piece, from which on they are one work
RULES = 1  # version of what decides excerpts, tags and audio; data of another one is not gone on with
MIN_SOUND_DB = -55.0  # an excerpt below this RMS is rendered silence

_renderer: "Renderer | None" = None  # one a worker process: a soundfont takes seconds to load


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
    """
    with open(root / "index.tsv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Piece(row["genre"], row["file"], row["name"]) for row in rows]


def split_of(group: str, seed: int = 0) -> str:
    """The split of all clips of a group: a function of its name and the seed alone."""
    draw = _fraction(f"{seed}/split/{group}")
    for split, share in SPLITS.items():
        if draw < share:
            return split
        draw -= share
    return "test"


def prepare(
    root: Path,
    out: Path,
    soundfont: Path,
    *,
    seed: int = 0,
    workers: int | None = None,
    limit: int | None = None,
    progress: Callable[[Iterable[None], int], Iterable[None]] = lambda steps, _: steps,
) -> list[str]:
    """Render every piece of `root` that `out` does not have yet, then write `out/index.csv` and `tags.txt`.

    Each clip is written whole or not at all, so a killed run goes on where it stopped; a second run on
    finished data renders nothing. The same seed gives the same excerpts, splits and tags on any machine.

    Args:
        root: The folder with index.tsv.
        out: The folder to fill.
        soundfont: A General MIDI soundfont (.sf2).
        seed: Chooses the excerpts and the split.
        workers: Processes, default one a core.
        limit: Render only the first pieces, evenly over the index.
        progress: Wraps the steps (iterable, total) for a progress bar.

    Returns:
        One line for each piece left out: unreadable, too short, silent, a duplicate, or a test clip of a
        work that is trained on.

    Raises:
        FileNotFoundError: The index, a piece that it lists or the soundfont is missing.
        SoundfontError: The soundfont lacks an instrument.
        ValueError: `out` was made with another seed, soundfont or version of the rules.
    """
    pieces = read_index(root)
    if limit is not None:
        pieces = pieces[:: max(1, len(pieces) // limit)][:limit]
    (out / "audio").mkdir(parents=True, exist_ok=True)
    _check_made(out, soundfont, seed)
    todo = [piece for piece in pieces if not (out / "audio" / f"{piece.file}.json").exists()]
    for _ in progress(_render_all(todo, root, out, soundfont, seed, workers), len(todo)):
        pass
    clips, runs, left_out = _collect(pieces, out, seed)
    kept, leaked = _without_known_works(clips, runs)
    _write_index(kept, _top_tags(clips), out)
    return left_out + leaked


def _check_made(out: Path, soundfont: Path, seed: int) -> None:
    """Write down what `out` is made with, or refuse to go on with something else."""
    with open(soundfont, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = {"rules": RULES, "seed": seed, "soundfont_sha256": sha256}
    made = out / "made.json"
    if not made.exists():
        _write_whole(made, json.dumps(wanted))
    elif (found := json.loads(made.read_text(encoding="utf-8"))) != wanted:
        raise ValueError(f"{out} was made with {found}, not {wanted}; prepare into another folder")


def read_clips(out: Path) -> list[Clip]:
    """The rows of `out/index.csv`; their tags are those of `out/tags.txt` alone.

    Raises:
        FileNotFoundError: `out` has not been prepared.
    """
    with open(out / "index.csv", newline="", encoding="utf-8") as file:
        return [_clip_of_row(row) for row in csv.DictReader(file)]


def read_tags(out: Path) -> list[str]:
    """The tags, most frequent first."""
    return (out / "tags.txt").read_text(encoding="utf-8").splitlines()


def audio_path(out: Path, clip: Clip) -> Path:
    """The rendered file of a clip."""
    return out / "audio" / f"{clip.file}.flac"


def label_matrix(clips: list[Clip], tags: list[str]) -> np.ndarray:
    """(clips, tags) float32 of 0 and 1."""
    return np.array([[tag in clip.tags for tag in tags] for clip in clips], np.float32)


def _render_all(
    todo: list[Piece], root: Path, out: Path, soundfont: Path, seed: int, workers: int | None
) -> Iterator[None]:
    workers = min(workers or os.cpu_count() or 1, 61)  # Windows has no more
    # Fresh processes: a forked copy of one that has imported TensorFlow may hang.
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, fresh, initializer=_load, initargs=(soundfont, os.getpid()))
    try:
        for job in [pool.submit(_render_piece, piece, root, out, seed) for piece in todo]:
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load(soundfont: Path, parent: int) -> None:
    """Make this process ready to render, and end it when its parent has been killed."""
    from samplecnn_zoo.datasets.midi_render import Renderer

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    global _renderer
    _renderer = Renderer(soundfont)


def _render_piece(piece: Piece, root: Path, out: Path, seed: int) -> None:
    """Write a piece's .flac and then its .json: the .json says that the piece is done."""
    from samplecnn_zoo.datasets.midi_score import ScoreError, note_hash, phrases, read_score
    from samplecnn_zoo.datasets.midi_tags import loudness_tags, score_tags

    record = out / "audio" / f"{piece.file}.json"
    try:
        score = read_score(root / piece.genre / f"{piece.file}.mid")
        if score.duration_s < EXCERPT_S:
            raise ScoreError(f"{piece.file}: {score.duration_s:.1f} s of music, {EXCERPT_S} s are needed")
        start_s = _excerpt_start(score, piece, seed)
        excerpt = score.excerpt(start_s, EXCERPT_S)
        rms_db = _write_audio(excerpt, out / "audio" / f"{piece.file}.flac")
        if rms_db < MIN_SOUND_DB:
            raise ScoreError(f"{piece.file}: silent when rendered ({rms_db:.0f} dB)")
    except ScoreError as error:
        _write_whole(record, json.dumps({"left_out": str(error)}))
        return
    tags = {piece.genre} | score_tags(excerpt, EXCERPT_S) | loudness_tags(rms_db)
    found = {
        "tags": sorted(tags),
        "start_s": round(start_s, 3),
        "rms_db": round(rms_db, 2),
        "notes": f"{note_hash(score):016x}",
        "phrases": phrases(score) if piece.genre in TITLED else [],
    }
    _write_whole(record, json.dumps(found))


def _excerpt_start(score: "Score", piece: Piece, seed: int) -> float:
    """A start at or after the first note; music shorter than EXCERPT_S from there on ends in silence."""
    first_s = score.notes[0].start_s
    room_s = max(0.0, score.duration_s - EXCERPT_S - first_s)
    return first_s + room_s * _fraction(f"{seed}/excerpt/{piece.file}")


def _write_audio(excerpt: "Score", path: Path) -> float:
    """Render to 16-bit mono FLAC; returns the RMS level in dB below full scale."""
    from samplecnn_zoo.datasets.midi_render import SYNTH_RATE

    if _renderer is None:
        raise RuntimeError("no soundfont is loaded in this process; call prepare()")
    audio = soxr.resample(_renderer.render(excerpt, EXCERPT_S), SYNTH_RATE, SAMPLE_RATE)
    partial = path.with_suffix(".partial")
    soundfile.write(partial, np.clip(audio, -1.0, 1.0), SAMPLE_RATE, "PCM_16", format="FLAC")
    os.replace(partial, path)
    return 10.0 * math.log10(float(np.mean(np.square(audio, dtype=np.float64))) + 1e-12)


def _top_tags(clips: list[Clip]) -> list[str]:
    counts = Counter(tag for clip in clips for tag in clip.tags)
    return [tag for tag, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:NUM_TAGS]]


def _write_index(clips: list[Clip], top: list[str], out: Path) -> None:
    _write_whole(out / "tags.txt", "".join(f"{tag}\n" for tag in top))
    fields = list(Clip.__dataclass_fields__)
    partial = out / "index.csv.partial"
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for clip in clips:
            kept = "|".join(tag for tag in clip.tags if tag in top)
            writer.writerow({**asdict(clip), "tags": kept})
    os.replace(partial, out / "index.csv")


def _collect(pieces: list[Piece], out: Path, seed: int) -> tuple[list[Clip], dict[str, set[int]], list[str]]:
    """The clips, each set of notes once; the phrases of each; and a line for each piece left out."""
    clips: dict[str, Clip] = {}
    runs: dict[str, set[int]] = {}
    left_out = []
    for piece in pieces:
        record = json.loads((out / "audio" / f"{piece.file}.json").read_text(encoding="utf-8"))
        if "left_out" in record:
            left_out.append(record["left_out"])
        elif record["notes"] in clips:
            left_out.append(f"{piece.file}: the same notes as {clips[record['notes']].file}")
        else:
            tags = tuple(record.pop("tags"))
            runs[piece.file] = set(record.pop("phrases"))
            split = split_of(piece.group, seed)
            clips[record["notes"]] = Clip(piece.file, piece.genre, piece.group, split, tags, **record)
    return list(clips.values()), runs, left_out


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


def _fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
