"""A preset as a torch.nn.Module."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import torch

from samplecnn_zoo.hear.embedder import Embedder


class TorchModule(torch.nn.Module):
    """What HEAR asks of a model in PyTorch; it runs on the device that it was moved to."""

    def __init__(self, network: keras.Model, embedder: Embedder) -> None:
        super().__init__()
        self.network = network  # a torch.nn.Module itself where Keras runs on torch
        self.embedder = embedder
        self.sample_rate = embedder.sample_rate
        self.scene_embedding_size = self.timestamp_embedding_size = embedder.size

    def scene_embeddings(self, audio: Any) -> torch.Tensor:
        """Return (n_sounds, scene_embedding_size) on the module's device."""
        device = self._device()
        with keras.device(str(device)):
            embeddings = self.embedder.scenes(_to_numpy(audio))
        return torch.from_numpy(embeddings).to(device)

    def timestamp_embeddings(self, audio: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (n_sounds, n_timestamps, timestamp_embedding_size) and (n_sounds, n_timestamps)."""
        device = self._device()
        with keras.device(str(device)):
            embeddings, timestamps = self.embedder.timestamps(_to_numpy(audio))
        return torch.from_numpy(embeddings).to(device), torch.from_numpy(timestamps).to(device)

    def _device(self) -> torch.device:
        """Return where the weights are; Keras would feed them from its default device."""
        device: torch.device = next(self.network.parameters()).device
        return device


def _to_numpy(audio: Any) -> npt.NDArray[np.generic]:
    array: npt.NDArray[np.generic] = torch.as_tensor(audio).detach().cpu().numpy()
    return array
