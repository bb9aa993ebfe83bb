"""Which samples of a waveform drove a tag: gradient × input, and integrated gradients from silence.

What is explained is the log-odds of the tag's score, log(s / (1 - s)), not the score. Where a network is
sure, s lies within rounding of 0 or 1, its slope is all but 0, and the surest moments of a clip would look as
if nothing had driven them. Log-odds are not squeezed, and contributions to them add up: of a sigmoid they are
the number before it, of a softmax that number less those of the other tags (their log-sum-exp).

Networks are asked as they are when they listen: batch normalization with its settled statistics, no dropout.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from samplecnn_zoo import audio
from samplecnn_zoo.visualize.gradients import compiled, gradient
from samplecnn_zoo.visualize.outline import Columns, outline

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Tensor = Any  # of the backend

METHODS = ("integrated", "gradient")
STEPS = 32
BATCH_SIZE = 8  # gradients keep all activations: a segment of 59,049 samples takes some 100 MB
CONTRIBUTION_COLUMNS = 150


def log_odds(model: keras.Model, tag: int) -> Callable[[Tensor], Tensor]:
    """Return the log-odds (batch,) of a tag as a function of the input (batch, samples, 1), in inference.

    Raises:
        ValueError: The model does not end in a Dense layer of sigmoids, a softmax or bare logits.
    """
    last = model.layers[-1]
    kind = keras.activations.serialize(last.activation) if isinstance(last, keras.layers.Dense) else None
    if kind not in ("sigmoid", "softmax", "linear"):
        raise ValueError(
            f"saliency wants a network that ends in a Dense layer with sigmoid, softmax or no activation; "
            f"{model.name} ends in {last.name!r}, {type(last).__name__} {kind or ''}".rstrip()
        )
    body = keras.Model(model.inputs[0], last.input)

    def function(x: Tensor) -> Tensor:
        hidden = ops.cast(body(x, training=False), "float32")
        logits = ops.matmul(hidden, last.kernel) + (0.0 if last.bias is None else last.bias)
        if kind != "softmax":
            return logits[:, tag]
        others = ops.concatenate([logits[:, :tag], logits[:, tag + 1 :]], axis=1)
        return logits[:, tag] - ops.logsumexp(others, axis=1)

    return function


class Explainer:
    """Tells what each sample of a segment contributed to a tag.

    Integrated gradients (Sundararajan, Taly, Yan 2017) go from silence to the segment, and their sum is the
    tag's log-odds less those of silence, the better the more steps. Steps crowd near silence, where a network
    without a compressing front end changes most: at u², u evenly in 0 to 1. Gradient × input is one step at
    the end of the way: fast, and the sum is anything.

    Args:
        model: Segments (batch, samples, 1) → scores (batch, tags).
        tag: Which output.
        method: One of METHODS.
        steps: On the way from silence to the segment.
        mean: Taken from the audio before the network hears it,
        std: and then divided by.
        batch_size: Segments, or steps of one, that run at once.

    Raises:
        ValueError: An option is out of its range, or the model ends in something else than tags.
    """

    def __init__(
        self,
        model: keras.Model,
        tag: int,
        *,
        method: str = METHODS[0],
        steps: int = STEPS,
        mean: float = 0.0,
        std: float = 1.0,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method is one of {', '.join(METHODS)}, got {method!r}")
        if min(steps, batch_size) < 1:
            raise ValueError(f"steps and batch_size must be 1 or more, got {steps} and {batch_size}")
        odds = log_odds(model, tag)

        def both(x: Tensor) -> tuple[Tensor, Tensor]:
            found = odds(x)
            return found, found

        self._slopes = compiled(lambda x: gradient(both, x))
        along = (np.arange(steps) + 0.5) / steps
        # Beginning and end are asked for their log-odds; their slopes have no weight.
        self._places = np.array([0.0, *along**2, 1.0])
        self._weights = np.array([0.0, *(2 * along / steps), 0.0])
        if method == "gradient":
            self._places, self._weights = np.array([0.0, 1.0]), np.array([0.0, 1.0])
        self._mean, self._std = mean, std
        self._batch_size = min(batch_size, len(self._places))

    def __call__(self, segment: Floats) -> tuple[Doubles, float, float]:
        """Return what each of the (samples,) of raw audio contributed, the log-odds, and those of silence."""
        total = np.zeros(len(segment))
        odds: list[float] = []
        for at in range(0, len(self._places), self._batch_size):
            own = slice(at, at + self._batch_size)
            slopes, found = self._run(self._places[own, np.newaxis] * segment)
            total += self._weights[own] @ slopes
            odds += found.tolist()
        return total * segment / self._std, odds[-1], odds[0]

    def _run(self, rows: Doubles) -> tuple[Doubles, Doubles]:
        """Slopes (n, samples) and log-odds (n,); batches are filled up, as another n is compiled anew."""
        batch = np.zeros((self._batch_size, rows.shape[1], 1), np.float32)
        batch[: len(rows), :, 0] = (rows - self._mean) / self._std
        slopes, odds = (ops.convert_to_numpy(found) for found in self._slopes(ops.convert_to_tensor(batch)))
        return slopes[: len(rows), :, 0].astype(np.float64), odds[: len(rows)].astype(np.float64)


@dataclass(frozen=True)
class SegmentOdds:
    """A segment: where it starts, the tag's log-odds in it, and what its samples' contributions add up to."""

    start_s: float
    log_odds: float
    total: float


@dataclass(frozen=True, eq=False)
class Saliency:
    """What drove a tag over a clip.

    Attributes:
        wave: The waveform's outline.
        net: Columns of the sums of contributions, in log-odds.
        segments: In their order.
        silence: The log-odds of a silent segment.
        segment_s: Length of one.
    """

    wave: Columns
    net: Columns
    segments: tuple[SegmentOdds, ...]
    silence: float
    segment_s: float

    @property
    def gap(self) -> float:
        """The largest distance between a segment's contributions and what they should add up to."""
        return max(abs(one.total - (one.log_odds - self.silence)) for one in self.segments)


def over_clip(
    explain: Callable[[Floats], tuple[Doubles, float, float]],
    blocks: Iterable[Floats],
    sample_rate: int,
    segment_samples: int,
    *,
    hop_samples: int | None = None,
    each: Callable[[Doubles], object] = lambda _: None,
) -> Saliency:
    """Explain a clip segment by segment; memory does not grow with its length, but for a record a segment.

    Args:
        explain: An `Explainer`.
        blocks: (n,) mono audio at the network's rate, in order.
        sample_rate: In Hz.
        segment_samples: Of the network.
        hop_samples: From segment to segment; by default half of one.
        each: Gets the contributions of all samples in order, (n,) at a time.

    Raises:
        AudioError: The blocks' own.
        ValueError: There is no sample, or `hop_samples` leaves gaps.
    """
    hop_samples = hop_samples or max(1, segment_samples // 2)
    if hop_samples > segment_samples:
        raise ValueError(f"a hop of {hop_samples} samples leaves gaps between segments of {segment_samples}")
    wave, net = outline(sample_rate), Columns(sample_rate, (np.add,), CONTRIBUTION_COLUMNS)
    found: list[SegmentOdds] = []
    silences: list[float] = []

    def parts() -> Iterator[tuple[int, Doubles]]:
        for segment in audio.cut(wave.watch(blocks), sample_rate, segment_samples, hop_samples):
            values, odds, silence = explain(segment.samples)
            found.append(SegmentOdds(segment.start_s, odds, float(values.sum())))
            silences[:] = [silence]
            yield round(segment.start_s * sample_rate), values

    for values in joined(parts(), lambda: wave.samples):
        net.add(values)
        each(values)
    return Saliency(wave, net, tuple(found), silences[0], segment_samples / sample_rate)


def joined(parts: Iterable[tuple[int, Doubles]], heard: Callable[[], int]) -> Iterator[Doubles]:
    """Yield the contributions of all samples of a clip in order, (n,) at a time.

    Of a sample that several segments hold, they are the mean over these. In a clip shorter than a segment,
    which is repeated to fill one, they are the sum over its repeats: there a sample is heard so many times.

    Args:
        parts: Where a segment starts, in samples, and its contributions; starts rise.
        heard: How many samples of the clip were read up to now.
    """
    first, total, times = 0, np.zeros(0), np.zeros(0)
    for start, part in parts:
        own = _folded(part, heard()) if heard() < len(part) else part
        if start > first:
            yield total[: start - first] / times[: start - first]
        total, times = total[start - first :], times[start - first :]
        more = np.zeros(len(own) - len(total))
        total, times = np.concatenate([total, more]) + own, np.concatenate([times, more]) + 1
        first = start
    yield total / times


def _folded(values: Doubles, samples: int) -> Doubles:
    repeats = -(-len(values) // samples)
    folded: Doubles = (
        np.pad(values, (0, repeats * samples - len(values))).reshape(repeats, samples).sum(axis=0)
    )
    return folded
