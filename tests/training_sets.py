"""Prepared sets of a few short clips, as `samplecnn prepare` writes them, and recipes that fit them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from samplecnn_zoo.datasets.prepared import CLIPS, RECORD, Description, Prepared, Shard
from samplecnn_zoo.datasets.records import encode_record, to_pcm
from samplecnn_zoo.training import Recipe

RATE = 100
CLIP_SAMPLES = 2910
TAGS = ("low", "high", "loud", "never")
NET: dict[str, Any] = {"m": [27, 9], "widths": [4]}  # segments of 243 samples
COUNTS = {"train": 24, "valid": 8, "test": 4}


def make(
    folder: Path,
    *,
    single_label: bool = False,
    counts: dict[str, int] | None = None,
    shard_clips: int = 100,
) -> Prepared:
    """Write a set in which a clip's pitch and level are its tags, so that a net can learn them."""
    folder.mkdir(parents=True)
    counts = COUNTS if counts is None else counts
    tags = TAGS[:2] if single_label else TAGS
    rng = np.random.default_rng(3)
    shards: list[Shard] = []
    rows: list[dict[str, Any]] = []
    for split, clips in counts.items():
        for number, first in enumerate(range(0, clips, shard_clips)):
            file = f"{split}-{number:05d}.tfrecord"
            data = b""
            for place in range(first, min(first + shard_clips, clips)):
                held = [tags[place % 2]] + ["loud"] * (place % 3 == 0 and not single_label)
                data += encode_record(len(rows), to_pcm(_sound(held, rng)))
                rows.append(_row(len(rows), split, held, file, place - first))
            (folder / file).write_bytes(data)
            shards.append(Shard(file, split, place + 1 - first, hashlib.sha256(data).hexdigest()))
    pq.write_table(pa.Table.from_pylist(rows), folder / CLIPS)
    fields: dict[str, Any] = {"counts": counts, "failed": 0, "shards": tuple(shards), "notes": ()}
    description = Description(
        name="tones", sample_rate=RATE, clip_samples=CLIP_SAMPLES, tags=tags, single_label=single_label,
        package_version="0", **fields,
    )  # fmt: skip
    (folder / RECORD).write_text(description.to_json(), encoding="utf-8")
    return Prepared.open(folder)


def _sound(tags: list[str], rng: np.random.Generator) -> Any:
    hertz = rng.uniform(1, 8) if "low" in tags else rng.uniform(20, 40)
    wave = np.sin(2 * np.pi * hertz * np.arange(CLIP_SAMPLES) / RATE + rng.uniform(0, 6))
    wave = wave * (0.8 if "loud" in tags else 0.2) + rng.normal(0, 0.02, CLIP_SAMPLES)
    return wave.astype(np.float32)


def _row(row: int, split: str, tags: list[str], shard: str, position: int) -> dict[str, Any]:
    source = {"source_size": 1, "source_mtime_ns": 1, "source_sha1": "0" * 40}
    place = {"split": split, "shard": shard, "position": position, "samples": CLIP_SAMPLES}
    return {"row": row, "key": f"clip{row}", "path": f"clip{row}.wav", "tags": tags, **place, **source}


def recipe(**changes: Any) -> Recipe:
    """A recipe of three epochs of three batches, that learns the tones quickly."""
    plain: dict[str, Any] = {"name": "tiny", "arguments": NET, "epochs": 3, "batch_size": 8, "per_clip": 1}
    return Recipe(**plain).but(**{"learning_rate": 0.01, **changes})
