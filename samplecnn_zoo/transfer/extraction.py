"""Features of many clips, kept on the disk while they are made: a killed run loses and mixes nothing.

The cache is a folder with a file for each network, levels, pooling, engine and version: what differs in any
of them is another file. Files go through a journal (`samplecnn_zoo.bulk`), which knows their size and time.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from samplecnn_zoo.bulk import Journal, process
from samplecnn_zoo.datasets.prepared import Prepared, PreparedClip
from samplecnn_zoo.datasets.records import FULL_SCALE
from samplecnn_zoo.training.score_file import ScoreFile
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.scales import Floats, Scale, all_parts, digest
from samplecnn_zoo.transfer.table import FeatureTable

Steps = Iterable[str | None]
Progress = Callable[[Steps, int], Steps]
"""Wraps the steps (iterable, total) for a progress bar; a step that is a text is a bad file's line."""


def no_progress(steps: Steps, total: int) -> Steps:
    """Return the steps as they are."""
    return steps


def extract(
    scales: Sequence[Scale],
    files: Sequence[str | Path],
    *,
    cache: str | Path | None = None,
    progress: Progress = no_progress,
) -> FeatureTable:
    """Return a row for each file that all networks can hear, in the order of the files.

    A file that cannot be heard is told to `progress`, stands in `failed`, and the rest goes on.

    Args:
        scales: The networks; their columns stand side by side.
        files: Audio files; one that is named twice is heard once.
        cache: A folder that keeps what is done, made if it isn't there. None keeps nothing.
        progress: Wraps the steps, one a file and scale.

    Raises:
        TransferError: There is nothing to do, or a model in memory is to be cached.
        JournalError: Another process works on the same features.
        OSError: The cache can't be written; what it holds stays good.
    """
    named = {Path(file).absolute(): str(file) for file in files}  # in a cache, names outlive this folder
    if not named or not scales:
        raise TransferError("features want one or more networks and files")
    failed: dict[Path, str] = {}
    columns: list[dict[Path, Floats]] = []
    steps = _heard(scales, list(named), cache, columns, failed)
    for _ in progress(steps, len(scales) * len(named)):
        pass
    kept = [path for path in named if path not in failed]
    rows = [np.concatenate([rows[path] for rows in columns]) for path in kept]
    reasons = {named[path]: reason for path, reason in failed.items()}
    return _table(scales, [named[path] for path in kept], rows, reasons)


def _table(
    scales: Sequence[Scale], keys: Sequence[str], rows: Sequence[Floats], failed: dict[str, str]
) -> FeatureTable:
    width = sum(scale.width for scale in scales)
    values = np.stack(rows) if rows else np.empty((0, width), np.float32)
    stored = all(scale.tagger.preset.weights_sha256 is not None for scale in scales)
    identity = [scale.identity() for scale in scales] if stored else []
    return FeatureTable(tuple(keys), values, tuple(all_parts(scales)), identity, failed)


def _heard(
    scales: Sequence[Scale],
    paths: Sequence[Path],
    cache: str | Path | None,
    columns: list[dict[Path, Floats]],
    failed: dict[Path, str],
) -> Iterator[str | None]:
    """Fill `columns` and `failed`, a scale after the other; what one can't hear the next doesn't try."""
    for scale in scales:
        rows: dict[Path, Floats] = {}
        columns.append(rows)
        with ExitStack() as stack:
            journal = None if cache is None else stack.enter_context(_journal(scale, Path(cache)))
            left = [path for path in paths if path not in failed]
            yield from [None] * (len(paths) - len(left))
            for outcome in process(left, _record_of(scale), journal=journal):
                if outcome.error is not None:
                    failed[outcome.path] = outcome.error
                elif outcome.record is not None:
                    rows[outcome.path] = _row(outcome.record)
                yield outcome.error
            missing = [path for path in left if path not in rows and path not in failed]
            if journal is not None:
                rows |= zip(missing, map(_row, journal.records(missing)), strict=True)


def _journal(scale: Scale, cache: Path) -> Journal:
    cache.mkdir(parents=True, exist_ok=True)
    identity = scale.identity()
    return Journal(cache / f"{scale.name}.{digest(identity)}.journal", identity, resume=True)


def _record_of(scale: Scale) -> Callable[[Path], dict[str, Any]]:
    def record(path: Path) -> dict[str, Any]:
        clip = scale.clip(path)
        if not np.isfinite(clip.values).all():
            raise ValueError(f"{scale.name} gave features that are not finite: report this file")
        text = base64.b64encode(clip.values.astype("<f4").tobytes()).decode()
        return {"path": str(path), "duration_s": clip.duration_s, "features": text}

    return record


def _row(record: Any) -> Floats:
    return np.frombuffer(base64.b64decode(record["features"]), "<f4").astype(np.float32)


def extract_prepared(
    scales: Sequence[Scale],
    prepared: Prepared,
    split: str,
    *,
    cache: str | Path | None = None,
    limit: int | None = None,
    progress: Progress = no_progress,
) -> FeatureTable:
    """Return a row for each clip of a split of a prepared set, resampled where a network has a lower rate.

    Args:
        scales: The networks; their columns stand side by side.
        prepared: What `samplecnn prepare` made.
        split: "train", "valid" or "test".
        cache: A folder that keeps what is done, made if it isn't there. None keeps nothing.
        limit: Take only so many clips.
        progress: Wraps the steps, one a clip and scale.

    Raises:
        TransferError: A network has a higher rate than the set, or a model in memory is to be cached.
        PreparedError: There is no such split.
        OSError: The cache or a shard can't be used.
    """
    clips = prepared.clips(split)[:limit]
    for scale in scales:
        _check_rate(scale, prepared)
    columns: list[Floats] = []
    steps = _read(scales, prepared, split, clips, cache, columns)
    for _ in progress(steps, len(scales) * len(clips)):
        pass
    rows = list(np.concatenate(columns, axis=1)) if columns else []
    return _table(scales, [clip.key for clip in clips], rows, {})


def _read(
    scales: Sequence[Scale],
    prepared: Prepared,
    split: str,
    clips: Sequence[PreparedClip],
    cache: str | Path | None,
    columns: list[Floats],
) -> Iterator[None]:
    pcm = prepared.pcm(split)

    def row(scale: Scale, index: int) -> Floats:
        audio = pcm[index][: clips[index].samples].astype(np.float32) / np.float32(FULL_SCALE)
        return scale.clip(_at_rate(audio, prepared.sample_rate, scale)).values

    for scale in scales:
        if cache is None:
            rows = []
            for index in range(len(clips)):
                rows.append(row(scale, index))
                yield None
            columns.append(np.stack(rows) if rows else np.empty((0, scale.width), np.float32))
            continue
        header = {**scale.identity(), "set": _set_digest(prepared), "split": split}
        with ScoreFile(Path(cache) / f"{scale.name}.{digest(header)}.rows", header, scale.width) as file:
            yield from [None] * min(len(file), len(clips))
            for index in range(len(file), len(clips)):
                file.append(row(scale, index)[np.newaxis])
                yield None
            columns.append(file.read()[: len(clips)])


def _check_rate(scale: Scale, prepared: Prepared) -> None:
    rate = scale.tagger.preset.sample_rate
    if rate > prepared.sample_rate:
        raise TransferError(
            f"{scale.name} hears {rate} Hz, {prepared.directory} holds {prepared.sample_rate} Hz: "
            f"prepare the set with --rate {rate} or more"
        )


def _at_rate(audio: Floats, rate: int, scale: Scale) -> Floats:
    wanted = scale.tagger.preset.sample_rate
    if rate == wanted:
        return audio
    resampled: Floats = np.clip(soxr.resample(audio, rate, wanted, quality="HQ"), -1.0, 1.0)
    return resampled


def _set_digest(prepared: Prepared) -> str:
    return sha256(prepared.description.to_json().encode()).hexdigest()
