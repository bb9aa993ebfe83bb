"""A prepared set with clips of several lengths, and presets that hear it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow.parquet as pq

from samplecnn_zoo.datasets.prepared import CLIPS, RECORD, Prepared
from samplecnn_zoo.zoo import save_pretrained
from tests.presets import preset_for, tiny_model
from tests.training_sets import CLIP_SAMPLES, RATE, TAGS, make

SEGMENT = 729  # three and 723 samples in a clip
LENGTHS = (CLIP_SAMPLES, 3 * SEGMENT, 2 * SEGMENT + 700, 100)
SEGMENTS = (3, 3, 2, 1)  # of clips of these lengths


def prepared(folder: Path, *, clips: int = 14, single_label: bool = False) -> Prepared:
    """Write a set with `clips` of test; their real lengths go round `LENGTHS`."""
    made = make(folder, single_label=single_label, counts={"train": 2, "valid": 0, "test": clips})
    rows = pq.read_table(folder / CLIPS).to_pylist()
    for row in rows:
        row["samples"] = LENGTHS[row["position"] % len(LENGTHS)]
    pq.write_table(pq.read_table(folder / CLIPS).from_pylist(rows), folder / CLIPS)
    return Prepared.open(made.directory)


def describe(made: Prepared, **changes: Any) -> Prepared:
    """Change what the set says of itself."""
    text = replace(made.description, **changes).to_json()
    (made.directory / RECORD).write_text(text, encoding="utf-8")
    return Prepared.open(made.directory)


def preset(folder: Path, tags: tuple[str, ...] = TAGS, *, head: Any = None, **design: Any) -> keras.Model:
    """Write a preset with random weights for the set's rate; `head` are the weights of its last layer."""
    model = tiny_model(num_tags=len(tags), sr=RATE, **design)
    if head is not None:
        model.layers[-1].set_weights(head)
    save_pretrained(model, folder, preset=preset_for(model, name="tiny.tones", tags=tags))
    return model


def permuted(model: keras.Model, order: list[int]) -> list[np.ndarray]:
    """The weights of a model's last layer for its tags in another order."""
    kernel, bias = model.layers[-1].get_weights()
    return [kernel[:, order], bias[order]]
