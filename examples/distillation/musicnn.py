"""The teachers: MusicNN (Pons and Serra 2019, ISC licence) as functions of JAX, to be run beside a student.

    pip download --no-deps musicnn && unzip musicnn-*.whl 'musicnn/M*_musicnn/*' -d teachers
    python examples/distillation/musicnn.py teachers/musicnn --out teachers/musicnn.npz

reads the TensorFlow 1 checkpoints that the PyPI package ships into one file of arrays, without running
the package.
"""

import argparse
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Weights = Mapping[str, Any]  # names as in the checkpoint to arrays

RATE = 16_000  # Hz
FFT, HOP, MELS, FRAMES = 512, 256, 96, 187  # a patch is 3 s
SAMPLES = 48_000
NAMES = ("MTT_musicnn", "MSD_musicnn")
MTT_TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano",
    "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals",
    "no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft",
    "sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal",
    "beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip
MSD_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul",
    "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies",
    "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop",
    "70s", "party", "country", "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal",
    "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip
TAGS = (*MTT_TAGS, *(tag for tag in MSD_TAGS if tag not in MTT_TAGS))
"""What both know: MagnaTagATune's tags, then those that only the Million Song Dataset has."""


def united(mtt: Any, msd: Any) -> Any:
    """Scores of both teachers (batch, 50) each -> (batch, 92); a tag that both know gets their mean."""
    import jax.numpy as jnp

    columns = []
    for tag in TAGS:
        known = [
            scores[:, names.index(tag)]
            for scores, names in ((mtt, MTT_TAGS), (msd, MSD_TAGS))
            if tag in names
        ]
        columns.append(sum(known) / len(known))
    return jnp.stack(columns, axis=1)


def log_mel(samples: Any) -> Any:
    """Waveforms (batch, 48,000) at 16 kHz -> (batch, 187, 96), as librosa and MusicNN have them."""
    import jax.numpy as jnp

    padded = jnp.pad(samples, ((0, 0), (FFT // 2, FFT // 2)))
    at = HOP * np.arange(FRAMES)[:, None] + np.arange(FFT)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    power = jnp.abs(jnp.fft.rfft(padded[:, at] * window.astype("float32"))) ** 2
    return jnp.log10(10_000 * (power @ mel_bank().T) + 1)


def mel_bank() -> np.ndarray:
    """Slaney's filters (96, 257), each of area one."""
    low, step, split = 0.0, 200 / 3, 1000.0
    log_step = np.log(6.4) / 27

    def to_mel(hz: float) -> float:
        return (hz - low) / step if hz < split else split / step + np.log(hz / split) / log_step

    def to_hz(mel: np.ndarray) -> np.ndarray:
        bend = split / step
        return np.where(mel < bend, step * mel, split * np.exp(log_step * (mel - bend)))

    edges = to_hz(np.linspace(to_mel(0.0), to_mel(RATE / 2), MELS + 2))
    bins = np.linspace(0, RATE / 2, FFT // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2 / (edges[2:] - edges[:-2])
    bank: np.ndarray = (np.maximum(0, np.minimum(rise, fall)) * area[:, None]).astype("float32")
    return bank


def teach(weights: Weights, mels: Any) -> tuple[Any, Any, Any]:
    """Log-mel patches (batch, 187, 96) -> scores (batch, 50), penultimate layer (batch, 200), what it pools.

    The last is (batch, 1506): highest and mean over time, side by side, of 753 channels.
    """
    import jax
    import jax.numpy as jnp

    x = norm(weights, 0, mels)
    front = [timbral(weights, number, x) for number in (0, 1)]
    front += [temporal(weights, number, x) for number in (2, 3, 4)]
    levels = [jnp.concatenate(front, axis=2)]  # (batch, 187, 561)
    for number in (5, 6, 7):
        y = norm(weights, number + 1, jax.nn.relu(convolve(weights, number, levels[-1])))
        levels.append(y if number == 5 else y + levels[-1])
    x = jnp.concatenate(levels, axis=2)  # (batch, 187, 753)
    # MusicNN flattens (channels, 2): a channel's highest and mean stand beside each other.
    pooled = jnp.stack([x.max(axis=1), x.mean(axis=1)], axis=2).reshape(len(x), -1)
    hidden = jax.nn.relu(norm(weights, 9, pooled) @ weights["dense/kernel"] + weights["dense/bias"])
    hidden = norm(weights, 10, hidden)
    return jax.nn.sigmoid(hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"]), hidden, pooled


def layer(kind: str, number: int) -> str:
    """The name that TensorFlow 1 gave: the first of a kind has no number."""
    return f"{kind}_{number}" if number else kind


def norm(weights: Weights, number: int, x: Any) -> Any:
    """BatchNorm in inference."""
    name = layer("batch_normalization", number)
    scale = weights[f"{name}/gamma"] * (weights[f"{name}/moving_variance"] + 1e-3) ** -0.5
    return x * scale + (weights[f"{name}/beta"] - weights[f"{name}/moving_mean"] * scale)


def convolve(weights: Weights, number: int, x: Any) -> Any:
    """Filters over time that see all channels: (batch, time, channels) -> (batch, time, filters)."""
    import jax

    name = layer("conv2d", number)
    kernel = weights[f"{name}/kernel"][:, :, 0]  # (time, channels, filters)
    y = jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    return y + weights[f"{name}/bias"]


def timbral(weights: Weights, number: int, x: Any) -> Any:
    """Filters over time and part of the bands, at every height: the highest answer counts.

    As one convolution over time: the filter's copies at all heights are channels of their own.
    """
    import jax
    import jax.numpy as jnp

    name = layer("conv2d", number)
    kernel = weights[f"{name}/kernel"][:, :, 0]  # (7, bands, filters)
    _, bands, filters = kernel.shape
    heights = MELS - bands + 1
    copies = [jnp.pad(kernel, ((0, 0), (at, heights - 1 - at), (0, 0))) for at in range(heights)]
    tall = jnp.concatenate(copies, axis=2)  # (7, 96, heights * filters)
    y = jax.lax.conv_general_dilated(x, tall, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    y = y.reshape(*y.shape[:2], heights, filters) + weights[f"{name}/bias"]
    return norm(weights, number + 1, jax.nn.relu(y)).max(axis=2)


def temporal(weights: Weights, number: int, x: Any) -> Any:
    """Filters over time alone, on every band: the highest answer counts."""
    import jax
    import jax.numpy as jnp

    kernel = weights[f"conv2d_{number}/kernel"][:, 0]  # (time, 1, filters)
    batch, frames, bands = x.shape
    rows = jnp.swapaxes(x, 1, 2).reshape(batch * bands, frames, 1)
    y = jax.lax.conv_general_dilated(rows, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    y = jax.nn.relu(y + weights[f"conv2d_{number}/bias"])
    return norm(weights, number + 1, y).reshape(batch, bands, frames, -1).max(axis=1)


def clip_features(teacher: Weights, samples: np.ndarray) -> np.ndarray:
    """Features of a clip (samples,) at 16 kHz: penultimate and pooled layers, the mean over its patches."""
    length = SAMPLES * max(1, len(samples) // SAMPLES)  # whole patches; a shorter clip is repeated
    patches = np.resize(samples, length).astype("float32").reshape(-1, 1, SAMPLES)
    return np.mean([_features()(teacher, patch)[0] for patch in patches], axis=0)


@cache
def _features() -> Any:
    import jax
    import jax.numpy as jnp

    return jax.jit(lambda teacher, x: jnp.concatenate(teach(teacher, log_mel(x))[1:], axis=1))


def read_teachers(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by teacher and name, from the file that `main` wrote."""
    teachers: dict[str, dict[str, np.ndarray]] = {name: {} for name in NAMES}
    with np.load(path) as arrays:
        for key in arrays.files:
            teacher, name = key.split("/", 1)
            teachers[teacher][name] = arrays[key]
    return teachers


def main() -> None:
    """Convert the checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("package", type=Path, help="the unpacked folder musicnn/ of the wheel")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    import tensorflow as tf

    arrays = {}
    for teacher in NAMES:
        reader = tf.compat.v1.train.NewCheckpointReader(f"{options.package / teacher}/")
        for name in reader.get_variable_to_shape_map():
            if "Adam" not in name and "power" not in name:
                arrays[f"{teacher}/{name}"] = reader.get_tensor(name)
    np.savez(options.out, **arrays)
    print(f"{options.out}: {len(arrays)} arrays of {len(NAMES)} teachers")


if __name__ == "__main__":
    main()
