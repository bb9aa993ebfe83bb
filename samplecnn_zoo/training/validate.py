"""How a network does on the validation part: the loss over segments, and scores over clips."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.training.feed import Feed, Floats

_LEAST = 1e-7  # what Keras clips probabilities to in its losses


@dataclass(frozen=True)
class Validation:
    """Figures of the validation part.

    Attributes:
        loss: Cross-entropy, the mean over all segments; what repeats a short clip is none.
        roc_auc: Of the clips' mean scores, the mean over the tags that some clips have and some have not;
            None where there is no such tag.
        accuracy: Of the clips' highest scores in a single-label set, else None.
    """

    loss: float
    roc_auc: float | None
    accuracy: float | None


def validate(score: Callable[[Floats], Floats], feed: Feed) -> Validation:
    """Score consecutive segments of every clip; a clip's scores are the mean over its segments (section 5.1).

    Args:
        score: Segments (b, segment, 1) to scores (b, tags) in 0..1.
        feed: Gives the validation part.
    """
    labels = feed.valid_labels
    sums = np.zeros(labels.shape, np.float64)
    counts = np.zeros(len(labels), np.int64)
    losses = 0.0
    single = feed.prepared.single_label
    for segments, clips in feed.valid_segments():
        real = clips >= 0
        scores, clips = score(segments)[real].astype(np.float64), clips[real]
        losses += _cross_entropy(scores, labels[clips], single)
        np.add.at(sums, clips, scores)
        np.add.at(counts, clips, 1)
    means = sums / counts[:, np.newaxis]
    accuracy = float(np.mean(means.argmax(1) == labels.argmax(1))) if single else None
    return Validation(losses / int(counts.sum()), macro_roc_auc(labels, means), accuracy)


def _cross_entropy(scores: npt.NDArray[np.float64], labels: Floats, single: bool) -> float:
    """Sum over segments; of tags the mean, as Keras takes it, of classes the sum."""
    p = np.clip(scores, _LEAST, 1 - _LEAST)
    if single:
        return float(-(labels * np.log(p)).sum())
    return float(-(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean(axis=1).sum())


def macro_roc_auc(labels: Floats, scores: npt.NDArray[np.float64]) -> float | None:
    """Mean over the tags that have clips of both kinds; None when no tag has.

    >>> macro_roc_auc(np.array([[1, 1], [0, 1]], np.float32), np.array([[0.9, 0.2], [0.3, 0.4]]))
    1.0
    """
    from sklearn.metrics import roc_auc_score

    both = (labels.min(axis=0) < labels.max(axis=0)) if len(labels) else np.zeros(labels.shape[1], bool)
    if not both.any() or not np.isfinite(scores).all():
        return None
    return float(roc_auc_score(labels[:, both], scores[:, both], average="macro"))
