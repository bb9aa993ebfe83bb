"""Frame-level baselines (paper, Table 2): the upper modules of 3^9 on one long front end.

The front end is a strided convolution over the waveform (section 3.2) or a mel-spectrogram (3.1).
"""

from collections.abc import Sequence
from functools import partial
from math import isfinite
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from samplecnn_zoo.models.blocks import Tensor
from samplecnn_zoo.models.design import Design
from samplecnn_zoo.models.mel import hz_to_mel, mel_to_hz
from samplecnn_zoo.models.plans import Stage, frame_plan
from samplecnn_zoo.models.samplecnn import build

FFT_SIZE = 729
"""Points of the Fourier transform whatever the window (paper, section 5.3)."""

COMPRESSION = 10.0
"""C of the magnitude compression log(1 + C·A) (paper, section 5.3)."""

# Zeros at the start: a front end whose weights were never loaded must be silent, not plausible.
_FROZEN: dict[str, Any] = {
    "use_bias": False,
    "trainable": False,
    "kernel_initializer": "zeros",
    "dtype": "float32",
}


def FrameLevelRaw(
    window: int,
    hop: int,
    n: int,
    sr: int = 22050,
    num_tags: int = 50,
    *,
    widths: str | Sequence[int] = "paper",
    name: str | None = None,
    **design: Any,
) -> keras.Model:
    """Build a frame-level net on raw waveforms: waveform (hop·3^n, 1) in −1..1 -> scores (num_tags,).

    Args:
        window: filter size of the first convolution in samples.
        hop: its stride in samples.
        n: modules of size 3 above it.
        sr: sample rate in Hz that the model states.
        num_tags: scores.
        widths: `"paper"` or `"released"` (the last n widths of that 3^9), or numbers: one a module, or one
            a stage.
        name: of the model; None makes one of the sizes.
        **design: `block`, `multi_level`, `head`, `se_ratio`, `include_top`, `classifier_activation`,
            `dropout`, `bn_epsilon`, `flexible`, as in `SampleCNN`.

    Raises:
        ValueError: an argument out of its range, unknown, or in contradiction to another.
        TypeError: any other keyword.

    >>> FrameLevelRaw(729, 243, 5).name
    'framelevel_raw_729-243-5'
    """
    plan = frame_plan(window, hop, n, widths)
    return build(plan, Design(sr=sr, num_tags=num_tags, **design), name or f"framelevel_raw_{plan.label}")


def FrameLevelMel(
    window: int,
    hop: int,
    n: int,
    sr: int = 22050,
    num_tags: int = 50,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    widths: str | Sequence[int] = "paper",
    name: str | None = None,
    **design: Any,
) -> keras.Model:
    """Build a frame-level net on 128 mel bands: waveform (hop·3^n, 1) in −1..1 -> scores (num_tags,).

    The mel-spectrogram is inside, as frozen weights: a model made from a configuration alone hears
    nothing until its weights are loaded, and `model.trainable = True` would train them.

    Args:
        window: samples of a frame, at most 729; the Fourier transform always has 729 points.
        hop: samples from frame to frame.
        n: modules of size 3 above the front end.
        sr: sample rate in Hz, on which the mel bands depend.
        num_tags: scores.
        mean: of all log-mel values of the training set, subtracted from them.
        std: their standard deviation, by which they are divided.
        widths: as in `FrameLevelRaw`; the first of one a stage is the number of mel bands (else 128).
        name: of the model; None makes one of the sizes.
        **design: as in `FrameLevelRaw`.

    Raises:
        ValueError: a window over 729, a mean or std that isn't finite, an std of 0 or less, and as
            `FrameLevelRaw`.
        TypeError: any other keyword.
    """
    plan = frame_plan(window, hop, n, widths)
    if window > FFT_SIZE:
        raise ValueError(
            f"window must be at most the FFT size, {FFT_SIZE}; got {window}: take 729, 243 or 81"
        )
    if not (isfinite(mean) and isfinite(std) and std > 0):
        raise ValueError(f"mean and std must be finite and std more than 0; got mean {mean} and std {std}")
    front = partial(mel_front, sr=sr, mean=mean, std=std)
    options = Design(sr=sr, num_tags=num_tags, **design)
    return build(plan, options, name or f"framelevel_mel_{plan.label}", front)


def mel_front(x: Tensor, row: Stage, *, sr: int, mean: float, std: float) -> Tensor:
    """Turn (samples, 1) into normalized log-mel bands (samples / hop, bands) (paper, section 5.3)."""
    if any(row.pad):
        x = layers.ZeroPadding1D(row.pad, name="stage1_pad")(x)  # (samples + window - hop, 1)
    fourier = partial(layers.Conv1D, FFT_SIZE // 2 + 1, row.kernel, strides=row.stride, **_FROZEN)
    cosines, sines = dft_kernels(row.kernel)
    real = _call(fourier(name="stage1_cos"), x, cosines[:, None, :])  # (samples / hop, 365)
    imaginary = _call(fourier(name="stage1_sin"), x, sines[:, None, :])
    power = ops.square(real) + ops.square(imaginary)
    # The floor keeps the gradient finite in digital silence; it is 1e-7 in magnitude.
    magnitude = ops.sqrt(ops.maximum(power, 1e-14))
    mel = layers.Dense(row.width, name="stage1_mel", **_FROZEN)
    x = ops.log1p(COMPRESSION * _call(mel, magnitude, mel_filters(row.width, sr)))  # (samples / hop, bands)
    return layers.Normalization(axis=None, mean=mean, variance=std**2, dtype="float32", name="stage1_norm")(x)


def _call(layer: Any, x: Tensor, kernel: NDArray[np.float32]) -> Tensor:
    y = layer(x)
    layer.set_weights([kernel])
    return y


def dft_kernels(window: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the Hann-windowed cosines and sines of the DFT of a zero-padded frame, each (window, 365)."""
    time = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / window)
    phase = 2 * np.pi * np.outer(time, np.arange(FFT_SIZE // 2 + 1)) / FFT_SIZE
    cosines, sines = hann[:, None] * np.cos(phase), hann[:, None] * np.sin(phase)
    return cosines.astype(np.float32), sines.astype(np.float32)


def mel_filters(bands: int, sr: int) -> NDArray[np.float32]:
    """Return triangles of unit area, evenly spaced in mel from 0 to sr / 2: (365, bands).

    The paper names no mel scale: this is Slaney's, linear below 1 kHz and logarithmic above, with
    filters divided by their widths in Hz, as librosa does by default.
    """
    hz = np.arange(FFT_SIZE // 2 + 1)[:, None] * sr / FFT_SIZE
    edges = mel_to_hz(np.linspace(0, hz_to_mel(sr / 2), bands + 2))
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((hz - low) / (center - low), (high - hz) / (high - center)).clip(min=0)
    filters: NDArray[np.float32] = (triangles * 2 / (high - low)).astype(np.float32)
    return filters
