"""Scores and features on a CPU through OpenVINO, without Keras or TensorFlow in the process."""

import queue
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samplecnn_zoo.engines.base import Features, Level, Segments, level_outputs
from samplecnn_zoo.engines.openvino_graph import write_graph
from samplecnn_zoo.engines.openvino_runtime import ov
from samplecnn_zoo.zoo.network import Network
from samplecnn_zoo.zoo.weights import Arrays

_SETTINGS: dict[str, Any] = {
    # Some CPUs would compute in bfloat16 or float16 by themselves, and give other scores.
    "INFERENCE_PRECISION_HINT": "f32",
    "EXECUTION_MODE_HINT": "ACCURACY",
    # One batch at a time over all cores; more callers take turns.
    "PERFORMANCE_HINT": "LATENCY",
    # Two processes that both pin their threads share one core and leave the other idle.
    "ENABLE_CPU_PINNING": False,
}


class OpenVINOEngine:
    """A network compiled for this machine's CPU; it may be called from several threads.

    Args:
        network: what to run.
        weights: the arrays of each layer that has any; they are copied.
        segment_samples: length of a segment.
        levels: which levels or stages to give beside the scores.
        pooling: of the levels over time, "max" or "mean".

    Raises:
        UnsupportedLayerError: if the graph cannot hold a layer.
        PresetError: if a layer's arrays do not fit its configuration.
        ValueError: if the network has no such level.
    """

    name = "openvino"

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, Arrays],
        segment_samples: int,
        levels: Sequence[Level] = (),
        *,
        pooling: str = "max",
    ) -> None:
        self.levels = tuple(levels)
        names = [layer.name for layer in network.layers]
        outputs = level_outputs(names, self.levels)
        graph = write_graph(network, weights, segment_samples, outputs, pooling=pooling)
        self._compiled = ov.Core().compile_model(graph, "CPU", _SETTINGS)
        self._outputs = ["scores", *(f"level_{level}" for level in self.levels)]
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the scores, None where any length goes."""
        shape = self._compiled.output("scores").get_partial_shape()
        return tuple(None if axis.is_dynamic else axis.get_length() for axis in shape)

    def __call__(self, batch: Segments) -> Features:
        """Return the scores, and the levels' features, of segments (batch, segment_samples, 1)."""
        request = self._request()
        try:
            # One channel: (batch, samples, 1) and (batch, 1, samples) are the same bytes.
            request.infer([batch.reshape(len(batch), 1, -1)], share_inputs=True)
            # Copies: the request's own memory is overwritten by the next call.
            return {name: np.array(request.get_tensor(name).data) for name in self._outputs}
        finally:
            self._idle.put(request)

    def _request(self) -> Any:
        """Take an idle request; as many come into being as threads call at once."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._compiled.create_infer_request()
