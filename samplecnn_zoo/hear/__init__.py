"""The HEAR 2021 interface: any preset as an embedding of audio, for hear-validator and heareval.

The model is a tf.Module where Keras runs on TensorFlow and a torch.nn.Module where it runs on PyTorch. Audio
comes at the model's `sample_rate`, one of those that HEAR has; a preset of another rate resamples inside.
See https://hearbenchmark.com/hear-api.html, and docs/hear.md for windows, edges and cost.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.hear.embedder import BATCH_SIZE, LEVELS, Embedder
from samplecnn_zoo.zoo import load_pretrained

if TYPE_CHECKING:
    from samplecnn_zoo.hear.tensorflow_module import TensorFlowModule
    from samplecnn_zoo.hear.torch_module import TorchModule

    Module = TensorFlowModule | TorchModule

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "",
    *,
    levels: Sequence[int] = LEVELS,
    hop_ms: float | None = None,
    batch_size: int = BATCH_SIZE,
) -> "Module":
    """Return a preset as a module with `sample_rate`, `scene_embedding_size` and `timestamp_embedding_size`.

    Args:
        model_file_path: what `load_pretrained` takes, a name or a directory; empty for the bundled preset.
        levels: whose features stand one after the other in an embedding, -1 the highest (paper, section 4.1).
        hop_ms: milliseconds from one timestamp to the next, rounded down to samples of the preset; None for
            the hop of the preset's segments. HEAR suggests at most 50, which costs a forward pass each.
        batch_size: windows that run at once: what bounds memory.

    Raises:
        PresetError: as `load_pretrained`.
        ValueError: the network lacks a level, a level is named twice or none is, the hop is no length from a
            sample to a segment, or the batch holds nothing.
        RuntimeError: Keras runs on another backend, such as JAX, for which HEAR knows no kind of module.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in ("tensorflow", "torch"):
        raise RuntimeError(
            f"HEAR takes a tf.Module or a torch.nn.Module, and Keras runs on {backend}: set "
            "KERAS_BACKEND=tensorflow or KERAS_BACKEND=torch before Python starts"
        )
    network = load_pretrained(model_file_path or DEFAULT_PRESET)
    embedder = Embedder(network, levels=levels, hop_ms=hop_ms, batch_size=batch_size)
    if backend == "torch":
        from samplecnn_zoo.hear.torch_module import TorchModule

        return TorchModule(network, embedder)
    from samplecnn_zoo.hear.tensorflow_module import TensorFlowModule

    return TensorFlowModule(network, embedder)


def get_scene_embeddings(audio: Any, model: "Module") -> Any:
    """Return a float32 tensor (n_sounds, scene_embedding_size), what `Tagger.embed` gives for each clip.

    That is the maximum over time in a segment, and the mean over the segments of the preset's rule.

    Args:
        audio: (n_sounds, n_samples) floating-point tensor in ±1 at `model.sample_rate`.
        model: from `load_model`.

    Raises:
        TypeError: the model is another one.
        ValueError: the audio has another shape or type, is shorter than 0.1 s, or holds NaN, infinity or
            samples beyond ±16.
    """
    _check(model)
    return model.scene_embeddings(audio)


def get_timestamp_embeddings(audio: Any, model: "Module") -> tuple[Any, Any]:
    """Return an embedding a hop, (n_sounds, n_timestamps, timestamp_embedding_size), and when each one is.

    Each is that of one segment around its timestamp. The timestamps, (n_sounds, n_timestamps) milliseconds,
    are the centres of segments, a hop apart, the fewest that leave no sample farther than half a hop, and
    lie evenly in the clip. Both tensors are float32.

    Args:
        audio: (n_sounds, n_samples) floating-point tensor in ±1 at `model.sample_rate`.
        model: from `load_model`.

    Raises:
        TypeError: the model is another one.
        ValueError: as `get_scene_embeddings`.
    """
    _check(model)
    return model.timestamp_embeddings(audio)


def _check(model: object) -> None:
    if not isinstance(getattr(model, "embedder", None), Embedder):
        raise TypeError(f"model must come from samplecnn_zoo.hear.load_model, got {type(model).__name__}")
