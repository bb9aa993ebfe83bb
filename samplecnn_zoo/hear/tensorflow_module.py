"""A preset as a tf.Module."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from samplecnn_zoo.hear.embedder import Embedder


class TensorFlowModule(tf.Module):  # type: ignore[misc]
    """What HEAR asks of a model in TensorFlow: a keras.Model alone is no tf.Module."""

    def __init__(self, network: keras.Model, embedder: Embedder) -> None:
        super().__init__()
        self.network = network
        self.weights = [variable.value for variable in network.variables]  # so that tf.Module counts them
        self.embedder = embedder
        self.sample_rate = embedder.sample_rate
        self.scene_embedding_size = self.timestamp_embedding_size = embedder.size

    def scene_embeddings(self, audio: Any) -> tf.Tensor:
        """Return (n_sounds, scene_embedding_size)."""
        return tf.convert_to_tensor(self.embedder.scenes(np.asarray(audio)))

    def timestamp_embeddings(self, audio: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (n_sounds, n_timestamps, timestamp_embedding_size) and (n_sounds, n_timestamps)."""
        embeddings, timestamps = self.embedder.timestamps(np.asarray(audio))
        return tf.convert_to_tensor(embeddings), tf.convert_to_tensor(timestamps)
