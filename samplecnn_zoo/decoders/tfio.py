"""The decoder for those whose data pipeline runs on tensorflow-io (extra `tfio`)."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo.decoders.base import DecodeFailure, Samples, UnknownFormat, block_frames
from samplecnn_zoo.decoders.hush import hushed
from samplecnn_zoo.decoders.libsndfile import SoundFileDecoder

# What tensorflow-io 0.37.1 reads right. It takes any 32 bits of a wav for a float and any 8 for PCM.
_READABLE = {
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT")),
    *(("WAVEX", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT")),
    *(("FLAC", subtype) for subtype in ("PCM_16", "PCM_24")),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
}


class TfioDecoder:
    """tensorflow-io's AudioIOTensor for wav, flac, ogg and mp3; the protocol is `Decoder`.

    libsndfile reads the header, and so tells what tensorflow-io would silently read wrong: such files are
    refused, as are mp3 files without a Xing header, of which it reads as much as it guesses.
    """

    name = "tfio"

    def __init__(self, path: Path) -> None:
        with closing(SoundFileDecoder(path)) as header:
            self.sample_rate = header.sample_rate
            self.channels = header.channels
            self.frames = header.frames
            self.slack = header.slack
            coding = header.coding
        if self.frames is None or coding not in _READABLE:
            what = f"tensorflow-io would read this {' '.join(coding)} file wrong"
            raise UnknownFormat("no_decoder", what, "decode it with soundfile")
        self._tensor: Any = _audio_tensor(path)

    def blocks(self, block_s: float) -> Iterator[Samples]:
        """Yield (frames, channels) blocks of about `block_s` seconds, full scale ±1 (see `Decoder`)."""
        step = block_frames(block_s, self.sample_rate, self.channels)
        length = int(self._tensor.shape[0])
        for start in range(0, length, step):
            try:
                with hushed():
                    block = self._tensor[start : min(start + step, length)].numpy()
            except (
                Exception
            ) as error:  # TensorFlow has its own errors, and importing it for their names is dear
                raise DecodeFailure("corrupt", f"decoding stops: {_reason(error)}") from error
            yield _scaled(block)

    def close(self) -> None:
        """Let go of the file."""
        self._tensor = None


def _audio_tensor(path: Path) -> Any:
    """Open a file; that calls an op, which alone tells whether tensorflow-io fits this TensorFlow."""
    remedy = "pip install 'samplecnn_zoo[tfio]', or decode with soundfile"
    try:
        with warnings.catch_warnings(), hushed():
            warnings.simplefilter("ignore")
            tfio = importlib.import_module("tensorflow_io")
            return tfio.audio.AudioIOTensor(str(path))
    except ImportError as error:
        raise DecodeFailure("no_decoder", "tensorflow-io is not installed", remedy) from error
    except NotImplementedError as error:
        what = "the installed tensorflow-io was not built for the installed TensorFlow"
        raise DecodeFailure("no_decoder", what, remedy) from error
    except Exception as error:
        raise DecodeFailure("corrupt", f"not audio that can be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    # TensorFlow wraps its reasons: "{{function_node …}} unable to read at: 12288 [Op:IO>AudioReadableRead]".
    line = " ".join(str(getattr(error, "message", error)).split())
    return line.rpartition("}} ")[2].partition(" [Op:")[0]


def _scaled(block: np.ndarray[Any, Any]) -> Samples:
    """Return the values as float32 with full scale ±1; integers of any width fill their type."""
    if block.dtype == np.uint8:
        return (block.astype(np.float32) - 128.0) / 128.0
    if block.dtype.kind == "i":
        return block.astype(np.float32) / np.float32(-float(np.iinfo(block.dtype).min))
    return block.astype(np.float32)
