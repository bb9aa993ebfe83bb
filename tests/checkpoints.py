"""Stand-ins for published weight files, and what their networks give, computed slowly by the definition."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
State = dict[str, Array]


# Lee et al.: Keras 1 on Theano.


def lee_state(sizes: Sequence[int], widths: Sequence[int], tags: int, seed: int = 0) -> State:
    """Return arrays named as in the file; `widths` has one number a stage."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 1
    for row, (size, width) in enumerate(zip([*sizes, 1], [*widths, widths[-1]], strict=True), start=1):
        shapes[f"convolution1d_{row}_W"] = (size, 1, channels, width)
        shapes[f"convolution1d_{row}_b"] = (width,)
        for role in ("gamma", "beta", "running_mean", "running_std"):
            shapes[f"batchnormalization_{row}_{role}"] = (width,)
        channels = width
    shapes["dense_1_W"] = (channels, tags)
    shapes["dense_1_b"] = (tags,)
    rng = np.random.default_rng(seed)
    return {name: _drawn(rng, name, shape).astype(np.float32) for name, shape in shapes.items()}


def _drawn(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    if name.endswith(("gamma", "running_std")):  # which is a variance
        return np.asarray(rng.uniform(0.5, 1.7, shape))
    return np.asarray(rng.normal(0, 0.2 if len(shape) == 1 else 1.4 / np.sqrt(np.prod(shape[:-1])), shape))


def write_lee(
    file: Path, state: Mapping[str, Array], *, whole_model: bool = False, old: bool = False
) -> Path:
    """Write `save_weights` of Keras 1, or `save`; `old` kernels are (out, in, length, 1)."""
    with h5py.File(file, "w") as opened:
        root = opened.create_group("model_weights") if whole_model else opened
        if whole_model:
            opened.attrs["keras_version"] = b"1.1.0"
            steps = opened.create_group("optimizer_weights")
            steps.attrs["weight_names"] = np.array([b"param_0"])
            steps["param_0"] = np.float32(7)
        layers = ["input_1", *dict.fromkeys("_".join(name.split("_")[:2]) for name in state), "flatten_1"]
        root.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
        for layer in layers:
            names = [name for name in state if name.startswith(f"{layer}_")]
            group = root.create_group(layer)
            group.attrs["weight_names"] = (
                np.array([name.encode() for name in names]) if names else np.empty(0)
            )
            for name in names:
                array = state[name]
                group[name] = array.transpose(3, 2, 0, 1) if old and array.ndim == 4 else array
    return file


def run_lee(state: Mapping[str, Array], x: Array) -> tuple[Array, list[Array]]:
    """Return sigmoids (tags,) and what leaves each stage (time, channels), of a waveform (samples,)."""
    x, outputs = x[:, None].astype(np.float64), []
    rows = sum(name.startswith("convolution1d") for name in state) // 2
    for row in range(1, rows + 1):
        kernel = state[f"convolution1d_{row}_W"][:, 0].astype(np.float64)
        size = len(kernel)
        pad = (0, 0) if row in (1, rows) else (size // 2, size - 1 - size // 2)  # Theano's border of k // 2
        x = convolve(x, kernel, state[f"convolution1d_{row}_b"], stride=size if row == 1 else 1, pad=pad)
        norm = [state[f"batchnormalization_{row}_{role}"] for role in ("gamma", "beta")]
        norm += [state[f"batchnormalization_{row}_{role}"] for role in ("running_mean", "running_std")]
        x = np.maximum(batch_norm(x, *norm), 0)
        x = max_pool(x, 1 if row in (1, rows) else size)
        outputs.append(x)
    return sigmoid(x[0] @ state["dense_1_W"] + state["dense_1_b"]), outputs


def convolve(x: Array, kernel: Array, bias: Array, *, stride: int, pad: tuple[int, int]) -> Array:
    """Convolve, with the kernel turned around, as the word means: tap j meets the sample j before."""
    size = len(kernel)
    return correlate(x, np.stack([kernel[size - 1 - tap] for tap in range(size)]), bias, stride, pad)


def correlate(x: Array, kernel: Array, bias: Array, stride: int, pad: tuple[int, int]) -> Array:
    """Slide a (length, in, out) kernel over (time, in): tap j meets the sample j after."""
    x = np.pad(x, (pad, (0, 0)))
    steps = (len(x) - len(kernel)) // stride + 1
    total = np.tile(bias.astype(np.float64), (steps, 1))
    for tap, weights in enumerate(kernel):
        total += x[tap : tap + (steps - 1) * stride + 1 : stride] @ weights.astype(np.float64)
    return total


def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
    return np.asarray(gamma * (x - mean) / np.sqrt(variance.astype(np.float64) + 1e-5) + beta)


def max_pool(x: Array, size: int) -> Array:
    steps = len(x) // size
    return np.asarray(np.stack([x[step : steps * size : size] for step in range(size)]).max(axis=0))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


# PyTorch.


def conv_shapes(name: str, out: int, channels: int, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, channels, size), f"{name}.bias": (out,)}


def linear_shapes(name: str, out: int, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, channels), f"{name}.bias": (out,)}


def norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{role}": (channels,) for role in ("weight", "bias", "running_mean", "running_var")}


def torch_state(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> State:
    """Return random arrays of these shapes, and a count of batches for every BatchNorm."""
    rng = np.random.default_rng(seed)
    state: State = {}
    for name, shape in shapes.items():
        norm = f"{name.rpartition('.')[0]}.running_var" in shapes
        if norm and name.endswith((".weight", ".running_var")):
            state[name] = rng.uniform(0.5, 1.7, shape)
        elif len(shape) == 1:
            state[name] = rng.normal(0, 0.2, shape)
        else:
            state[name] = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)
        state[name] = state[name].astype(np.float32)
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = np.array(1234, np.int64)
    return state


def won_state(widths: Sequence[int], tags: int, *, se: bool = False, seed: int = 0) -> State:
    """Return a state_dict of Won's nets of size 3; `widths` has one number a stage."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 1
    for row, width in enumerate([*widths, widths[-1]], start=1):
        size, name = (1 if row == len(widths) + 1 else 3), f"layer{row}."
        if se:
            shapes |= conv_shapes(f"{name}conv_1", width, channels, size) | norm_shapes(f"{name}bn_1", width)
            shapes |= conv_shapes(f"{name}conv_2", width, width, size) | norm_shapes(f"{name}bn_2", width)
            shapes |= linear_shapes(f"{name}dense1", width, width)
            shapes |= linear_shapes(f"{name}dense2", width, width)
            if row == 1 or width != channels:
                shapes |= conv_shapes(f"{name}conv_3", width, channels, size)
                shapes |= norm_shapes(f"{name}bn_3", width)
        else:
            shapes |= conv_shapes(f"{name}conv", width, channels, size) | norm_shapes(f"{name}bn", width)
        channels = width
    if se:
        shapes |= linear_shapes("dense1", channels, channels) | norm_shapes("bn", channels)
    return torch_state(shapes | linear_shapes("dense2" if se else "dense", tags, channels), seed)


def clmr_state(widths: Sequence[int], *, seed: int = 0) -> State:
    """Return the encoder of CLMR, its names without a prefix."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 1
    for row, width in enumerate([*widths, widths[-1]]):
        shapes |= conv_shapes(f"sequential.{row}.0", width, channels, 3)
        shapes |= norm_shapes(f"sequential.{row}.1", width)
        channels = width
    return torch_state(shapes, seed)


def torch_conv(state: State, name: str, x: Array, *, stride: int = 1, pad: int | None = None) -> Array:
    kernel = np.moveaxis(state[f"{name}.weight"], 2, 0).transpose(0, 2, 1)  # (length, in, out)
    pad = len(kernel) // 2 if pad is None else pad
    return correlate(x, kernel, state[f"{name}.bias"], stride, (pad, pad))


def torch_norm(state: State, name: str, x: Array) -> Array:
    return batch_norm(
        x, *(state[f"{name}.{role}"] for role in ("weight", "bias", "running_mean", "running_var"))
    )


def torch_linear(state: State, name: str, x: Array) -> Array:
    return np.asarray(state[f"{name}.weight"].astype(np.float64) @ x + state[f"{name}.bias"])


def run_won(state: State, x: Array) -> tuple[Array, list[Array]]:
    """Return sigmoids (tags,) and what leaves each layer (time, channels), of a waveform (samples,)."""
    x, outputs = x[:, None].astype(np.float64), []
    rows = max(int(name[5:].partition(".")[0]) for name in state if name.startswith("layer"))
    for row in range(1, rows + 1):
        x = won_layer(state, f"layer{row}.", x, stride=3 if row == 1 else 1)
        x = max_pool(x, 1 if row in (1, rows) else 3)
        outputs.append(x)
    y = x[0]
    if "bn.weight" in state:
        y = np.maximum(torch_norm(state, "bn", torch_linear(state, "dense1", y)), 0)
        return sigmoid(torch_linear(state, "dense2", y)), outputs
    return sigmoid(torch_linear(state, "dense", y)), outputs


def won_layer(state: State, name: str, x: Array, *, stride: int) -> Array:
    if f"{name}conv.weight" in state:
        return np.maximum(
            torch_norm(state, f"{name}bn", torch_conv(state, f"{name}conv", x, stride=stride)), 0
        )
    y = torch_norm(state, f"{name}bn_1", torch_conv(state, f"{name}conv_1", x, stride=stride))
    y = torch_norm(state, f"{name}bn_2", torch_conv(state, f"{name}conv_2", np.maximum(y, 0)))
    gate = np.maximum(torch_linear(state, f"{name}dense1", y.mean(axis=0)), 0)
    y = y * sigmoid(torch_linear(state, f"{name}dense2", gate))
    if f"{name}conv_3.weight" in state:
        x = torch_norm(state, f"{name}bn_3", torch_conv(state, f"{name}conv_3", x, stride=stride))
    return np.asarray(np.maximum(x + y, 0))


def run_clmr(state: State, x: Array) -> Array:
    """Return the features (channels,) of a waveform (samples,); the last convolution has three taps."""
    x = x[:, None].astype(np.float64)
    rows = sum(name.endswith(".0.weight") and name.startswith("sequential") for name in state)
    for row in range(rows):
        stride, pad = (3, 0) if row == 0 else (1, 1)
        x = torch_conv(state, f"sequential.{row}.0", x, stride=stride, pad=pad)
        x = np.maximum(torch_norm(state, f"sequential.{row}.1", x), 0)
        x = max_pool(x, 1 if row in (0, rows - 1) else 3)
    return np.asarray(x[0])


# What the published networks hear.


def waveform(samples: int, seed: int = 0, rate: int = 22050) -> Array:
    """Return a falling chirp in noise, (samples,) float32: no two moments are alike."""
    time = np.arange(samples) / rate
    noise = np.random.default_rng(seed).normal(0, 0.1, samples)
    end = samples / rate
    chirp = np.sin(2 * np.pi * (200 * time + 3000 * time**2 / (2 * end)))
    return np.asarray(noise + 0.4 * (1 - time / end) * chirp, np.float32).clip(-1, 1)


def oracle_input(seed: int, samples: int, rate: int, count: int = 3) -> Array:
    """Return the (count, samples, 1) float32 input that the original software was given for tests/data."""
    random = np.random.RandomState(seed)
    x = 0.1 * random.randn(count, samples)
    time = np.arange(samples, dtype=np.float64) / rate
    end = samples / rate
    tones = [(110.0, 3520.0, 0.3), (55.0, 7040.0, 0.5), (1760.0, 220.0, 0.15)]
    envelopes: list[Any] = [1.0, 1.0 - time / end, time / end]
    for row, ((low, high, peak), envelope) in enumerate(zip(tones, envelopes, strict=True)):
        phase = low * time + (high - low) * time * time / (2 * end)
        x[row] += peak * envelope * np.sin(2 * np.pi * phase)
    grid = np.clip(np.round(x * 32768.0), -32768, 32767) / 32768.0
    return grid.astype(np.float32)[:, :, None]
