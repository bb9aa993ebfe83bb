"""One take of a piece: an excerpt, varied or as it stands, rendered to a file, with its tags.

Takes are rendered in processes of their own, each with its soundfonts loaded, which takes seconds.
"""

import hashlib
import json
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from samplecnn_zoo.datasets.midi_score import ScoreError, note_hash, phrases, read_score
from samplecnn_zoo.datasets.midi_tags import loudness_tags, score_tags
from samplecnn_zoo.files import replacing, write_whole

if TYPE_CHECKING:
    from samplecnn_zoo.datasets.effects import Samples
    from samplecnn_zoo.datasets.midi_render import Renderer
    from samplecnn_zoo.datasets.midi_score import Score
    from samplecnn_zoo.datasets.midi_vary import Variation

EXCERPT_S = 29.1  # the paper's clip length
SAMPLE_RATE = 22050
MIN_SOUND_DB = -55.0  # an excerpt below this RMS is rendered silence


@dataclass(frozen=True)
class Take:
    """What to render.

    Attributes:
        midi: The piece's file.
        genre: Its first tag.
        file: Name of what comes out, without suffix.
        key: Seeds every draw: the place of the excerpt, and what is varied.
        soundfonts: One of them is drawn.
        variation: How far from the file it may be; None plays the file.
        compared: Whether the piece's phrases are kept, to find other files of the same work.
    """

    midi: Path
    genre: str
    file: str
    key: str
    soundfonts: tuple[Path, ...]
    variation: "Variation | None" = None
    compared: bool = False

    def rng(self, what: str) -> np.random.Generator:
        """A generator for one purpose, so that what one draws doesn't change what another does."""
        return np.random.default_rng(int.from_bytes(_digest(f"{self.key}/{what}"), "big"))


def render_all(takes: Sequence[Take], audio: Path, workers: int | None) -> Iterator[None]:
    """Render takes into the folder `audio`, in their order; yields after each that is on disk."""
    workers = min(workers or os.cpu_count() or 1, 61)  # Windows has no more
    # Fresh processes: a forked copy of one that has imported TensorFlow may hang.
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, fresh, initializer=_end_with, initargs=(os.getpid(),))
    try:
        for job in [pool.submit(render_take, take, audio) for take in takes]:
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def is_done(take: Take, audio: Path) -> bool:
    """Whether the take is there, or was found unusable and its piece has not been written to since."""
    record = audio / f"{take.file}.json"
    if not record.exists():
        return False
    if "left_out" not in json.loads(record.read_text(encoding="utf-8")):
        return (audio / f"{take.file}.flac").exists()
    return not take.midi.exists() or take.midi.stat().st_mtime <= record.stat().st_mtime


def render_take(take: Take, audio: Path) -> None:
    """Write `<file>.flac` and then `<file>.json`, which says that the take is done, or why there is none.

    Raises:
        FileNotFoundError: The piece or a soundfont is missing.
        SoundfontError: The soundfont lacks an instrument.
    """
    record = audio / f"{take.file}.json"
    try:
        score = read_score(take.midi)
        if score.duration_s < EXCERPT_S:
            raise ScoreError(f"{take.file}: {score.duration_s:.1f} s of music, {EXCERPT_S} s are needed")
        played = _varied(score, take)
        start_s = _excerpt_start(played, take)
        excerpt = played.excerpt(start_s, EXCERPT_S)
        rendered = _rendered(excerpt, take)
        if (rms_db := _rms_db(rendered)) < MIN_SOUND_DB:
            raise ScoreError(f"{take.file}: silent when rendered ({rms_db:.0f} dB)")
    except ScoreError as error:
        write_whole(record, json.dumps({"left_out": str(error)}).encode())
        return
    sound = _changed(rendered, take)
    rms_db = _rms_db(sound)
    with replacing(audio / f"{take.file}.flac") as file:
        soundfile.write(file, np.clip(sound, -1.0, 1.0), SAMPLE_RATE, "PCM_16", format="FLAC")
    tags = {take.genre} | score_tags(excerpt, EXCERPT_S) | loudness_tags(rms_db)
    found = {
        "tags": sorted(tags),
        "start_s": round(start_s, 3),
        "rms_db": round(rms_db, 2),
        "notes": f"{note_hash(score):016x}",
        "phrases": phrases(score) if take.compared else [],
    }
    write_whole(record, json.dumps(found).encode())


def fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(_digest(text), "big") / 2**64


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:8]


def _varied(score: "Score", take: Take) -> "Score":
    if take.variation is None:
        return score
    from samplecnn_zoo.datasets.midi_vary import vary

    return vary(score, take.variation, take.rng("score"), least_s=EXCERPT_S)


def _excerpt_start(score: "Score", take: Take) -> float:
    """A start at or after the first note; music shorter than EXCERPT_S from there on ends in silence."""
    if not score.notes:
        raise ScoreError(f"{take.file}: no note is left in this key")
    first_s = score.notes[0].start_s
    room_s = max(0.0, score.duration_s - EXCERPT_S - first_s)
    return first_s + room_s * fraction(take.key)


def _rendered(excerpt: "Score", take: Take) -> "Samples":
    """(n,) float32 at SAMPLE_RATE, by the soundfont that is drawn."""
    from samplecnn_zoo.datasets.midi_render import SYNTH_RATE

    soundfont = take.soundfonts[int(take.rng("soundfont").integers(len(take.soundfonts)))]
    audio: Samples = soxr.resample(_renderer(soundfont).render(excerpt, EXCERPT_S), SYNTH_RATE, SAMPLE_RATE)
    return audio


def _changed(audio: "Samples", take: Take) -> "Samples":
    if take.variation is None or take.variation.effects is None:
        return audio
    return take.variation.effects.apply(audio, SAMPLE_RATE, take.rng("effects"))


def _rms_db(audio: "Samples") -> float:
    """In dB below full scale."""
    return 10.0 * math.log10(float(np.mean(np.square(audio, dtype=np.float64))) + 1e-12)


@cache  # once a process and soundfont: loading takes seconds
def _renderer(soundfont: Path) -> "Renderer":
    from samplecnn_zoo.datasets.midi_render import Renderer

    return Renderer(soundfont)


def _end_with(parent: int) -> None:
    """End this process when its parent has been killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
