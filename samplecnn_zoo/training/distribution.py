"""One batch over several devices of a machine, by the backend's own means: each gets its part."""

import contextlib
from collections.abc import Iterator
from typing import Any

from samplecnn_zoo.training.recipe import TrainingError


@contextlib.contextmanager
def data_parallel(devices: int, batch_size: int) -> Iterator[None]:
    """Build, compile and fit inside it: `keras.distribution` on JAX, a MirroredStrategy on TensorFlow.

    One device changes nothing. GPUs are taken where there are any, else CPU devices.

    Raises:
        TrainingError: There are fewer devices, the batch can't be split evenly, or the backend is torch, for
            which Keras spreads nothing over devices.
    """
    import keras

    if devices == 1:
        yield
        return
    if devices < 1 or batch_size % devices:
        raise TrainingError(f"a batch of {batch_size} segments can't be split evenly over {devices} devices")
    backend = keras.backend.backend()
    if backend == "jax":
        scope = _jax(devices)
    elif backend == "tensorflow":
        scope = _tensorflow(devices)
    else:
        raise TrainingError(f"Keras on {backend} uses one device; choose the backend jax or tensorflow")
    with scope:
        yield


@contextlib.contextmanager
def _jax(devices: int) -> Iterator[None]:
    import keras

    found = keras.distribution.list_devices()
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=_first(found, devices)))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _tensorflow(devices: int) -> Any:
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy(_first([device.name for device in found], devices)).scope()


def _first(found: list[str], devices: int) -> list[str]:
    if len(found) < devices:
        raise TrainingError(f"{devices} devices are wanted, there are {len(found)}: {', '.join(found)}")
    return found[:devices]


def normalizes_apart(devices: int) -> bool:
    """Whether each device would normalize its own part of a batch unless BatchNormalization is synchronized.

    A MirroredStrategy does; on JAX the batch is one anyway.
    """
    import keras

    return devices > 1 and bool(keras.backend.backend() == "tensorflow")
