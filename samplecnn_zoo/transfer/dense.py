"""The paper's classifier in Keras: two fully connected layers of 4096 and the output (section 5.5)."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from samplecnn_zoo.transfer.head import Array

Truth = npt.NDArray[np.bool_]

DROPOUT = 0.5
BATCH_SIZE = 32


def train(
    part: tuple[Array, Truth],
    valid: tuple[Array, Truth] | None,
    *,
    single_label: bool,
    hidden: int,
    weights: Array | None,
    seed: int,
    epochs: int,
    patience: int,
    learning_rate: float,
) -> tuple[tuple[Array, Array], ...]:
    """Train it on standardized features, and return weights and biases of its three layers, float32.

    Sets Keras' random seed.

    Args:
        part: (clips, columns) features and (clips, tags) labels.
        valid: The same, to end by: the epoch of the lowest loss on it is kept. None trains all epochs.
        single_label: Softmax or sigmoids.
        hidden: Units of the two layers.
        weights: (clips,), or (clips, tags) of several labels: what each counts for. None is 1.
        seed: Of weights, dropout and order.
        epochs: At most.
        patience: Epochs without a lower validation loss.
        learning_rate: Of Adam.
    """
    keras.utils.set_random_seed(seed)
    x, truth = part
    model = build(x.shape[1], truth.shape[1], hidden, single_label)
    loss = keras.losses.CategoricalCrossentropy() if single_label else keras.losses.BinaryCrossentropy()
    model.compile(keras.optimizers.Adam(learning_rate), loss, jit_compile=False)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    model.fit(
        x.astype(np.float32),
        _target(truth, single_label),
        sample_weight=weights,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        validation_data=None
        if valid is None
        else (valid[0].astype(np.float32), _target(valid[1], single_label)),
        callbacks=[] if valid is None else [stop],
        verbose=0,
    )
    return tuple(_arrays(model.get_layer(name)) for name in ("dense_1", "dense_2", "tags"))


def build(columns: int, tags: int, hidden: int, single_label: bool) -> keras.Model:
    """Return the network; of several labels its output is (batch, tags, 1), so that each has its weight."""
    x = inputs = keras.Input((columns,), name="features")
    for name in ("dense_1", "dense_2"):
        x = layers.Dense(hidden, activation="relu", kernel_initializer="he_uniform", name=name)(x)
        x = layers.Dropout(DROPOUT)(x)
    x = layers.Dense(tags, activation="softmax" if single_label else "sigmoid", name="tags")(x)
    return keras.Model(inputs, x if single_label else layers.Reshape((tags, 1))(x))


def _target(truth: Truth, single_label: bool) -> Array:
    target: Array = truth.astype(np.float32)
    return target if single_label else target[:, :, np.newaxis]


def _arrays(layer: Any) -> tuple[Array, Array]:
    weights, biases = layer.get_weights()
    return np.asarray(weights, np.float32), np.asarray(biases, np.float32)
