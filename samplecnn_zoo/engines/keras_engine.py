"""Scores and features through Keras, on whatever backend and device it runs: the judge of other engines."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from samplecnn_zoo.engines.base import Features, Level, Segments, level_outputs

if TYPE_CHECKING:
    import keras


class KerasEngine:
    """A Keras model as it is: later training of it is seen. Callers of several threads take turns.

    Args:
        model: segments (batch, segment_samples, 1) → scores (batch, tags).
        levels: which levels or stages to give beside the scores.
        batch_size: shorter batches are filled up, since a backend compiles anew for every batch size.
        pooling: of the levels over time, "max" or "mean".

    Raises:
        ValueError: if the model has no such level.
    """

    name = "keras"

    def __init__(
        self, model: "keras.Model", levels: Sequence[Level] = (), *, batch_size: int = 4, pooling: str = "max"
    ) -> None:
        import keras
        from keras import layers

        self.levels = tuple(levels)
        wanted = level_outputs([layer.name for layer in model.layers], self.levels)
        outputs = {"scores": model.outputs[0]}
        pool = layers.GlobalMaxPooling1D if pooling == "max" else layers.GlobalAveragePooling1D
        for name, layer in wanted.items():
            outputs[name] = pool(name=f"{name}_{pooling}")(model.get_layer(layer).output)
        self._model = keras.Model(model.inputs[0], outputs)
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def __call__(self, batch: Segments) -> Features:
        """Return the scores, and the levels' features, of segments (batch, segment_samples, 1)."""
        parts = [
            self._run(batch[at : at + self._batch_size]) for at in range(0, len(batch), self._batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, batch: Segments) -> Features:
        missing = self._batch_size - len(batch)
        filled = np.pad(batch, ((0, missing), (0, 0), (0, 0))) if missing else batch
        with self._lock:
            outputs = self._model.predict_on_batch(filled)
        return {name: np.asarray(value, np.float32)[: len(batch)] for name, value in outputs.items()}
