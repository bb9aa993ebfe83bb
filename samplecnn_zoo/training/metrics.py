"""ROC-AUC, PR-AUC, accuracy and how sure they are: NumPy only, so that it runs wherever scores are.

Every figure is computed for many draws of clips at once. A draw says how often each clip counts; the plain
figure is the draw in which each counts once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]
Metric = Callable[[Truth, npt.NDArray[np.floating], Counts | None], Array]
"""(clips, tags) truth and scores, (draws, clips) counts → (draws, tags) values, NaN where there are none."""

REACH = 1.96  # standard errors to each side of a 95 % interval
_CELLS = 1_000_000  # counts held at a time: 4 MB, and what is computed from them


@dataclass(frozen=True)
class Estimate:
    """A figure in 0 to 1 with its 95 % interval; one that no draw could tell spans from 0 to 1."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def scorable(truth: Truth) -> Truth:
    """Return (tags,): whether some of the clips have the tag and some lack it; no curve exists otherwise.

    >>> scorable(np.array([[True, False, True], [False, False, True]])).tolist()
    [True, False, False]
    """
    positives = truth.sum(axis=0)
    usable: Truth = (positives > 0) & (positives < len(truth))
    return usable


def roc_auc(truth: Truth, scores: npt.NDArray[np.floating], counts: Counts | None = None) -> Array:
    """Return (draws, tags): the share of pairs with and without a tag that the scores put in order.

    A pair of equal scores counts half. NaN where the clips drawn don't hold both kinds.

    >>> roc_auc(np.array([[True], [False], [True]]), np.array([[0.9], [0.4], [0.4]])).tolist()
    [[0.75]]

    Args:
        truth: (clips, tags), whether a clip has a tag.
        scores: (clips, tags), higher is surer.
        counts: (draws, clips), how often a draw takes each clip; None is one draw that takes each once.
    """
    return _by_tag(_roc, truth, scores, counts)


def average_precision(truth: Truth, scores: npt.NDArray[np.floating], counts: Counts | None = None) -> Array:
    """Return (draws, tags): the area under precision over recall, in steps and not interpolated.

    >>> average_precision(np.array([[True], [False], [True]]), np.array([[0.9], [0.5], [0.4]]))
    array([[0.83333333]])

    Arguments and NaN as in `roc_auc`.
    """
    return _by_tag(_precision, truth, scores, counts)


def accuracy(truth: Truth, scores: npt.NDArray[np.floating], counts: Counts | None = None) -> Array:
    """Return (draws, 1): the share of clips whose highest score is at their one tag.

    Arguments as in `roc_auc`.

    >>> accuracy(np.eye(2, dtype=bool), np.array([[0.6, 0.4], [0.7, 0.3]])).tolist()
    [[0.5]]
    """
    counts = _once(truth) if counts is None else counts
    right = truth[np.arange(len(truth)), scores.argmax(axis=1)]
    share: Array = (counts @ right / counts.sum(axis=1))[:, np.newaxis]
    return share


def confusion(truth: Truth, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return (tags, tags): how many clips of the row's tag got the column's as their highest score.

    >>> confusion(np.eye(2, dtype=bool), np.array([[0.6, 0.4], [0.7, 0.3]])).tolist()
    [[1, 0], [1, 0]]
    """
    tags = truth.shape[1]
    cells = truth.argmax(axis=1) * tags + scores.argmax(axis=1)
    return np.bincount(cells, minlength=tags * tags).reshape(tags, tags).astype(np.int64)


def bootstrap(
    metric: Metric,
    truth: Truth,
    scores: npt.NDArray[np.floating],
    *,
    groups: npt.NDArray[np.int64] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Array:
    """Return (1 + draws, tags): a metric of all clips, then of clips drawn with replacement.

    Memory is bounded whatever the number of draws. The same seed draws the same clips for every metric.

    Args:
        metric: one of this module's.
        truth: (clips, tags), whether a clip has a tag.
        scores: (clips, tags).
        groups: (clips,), numbers from 0: clips of one group are drawn together, as those of one artist should
            be, which are alike. None draws single clips.
        draws: how many.
        seed: of the draws.
    """
    members = np.arange(len(truth)) if groups is None else groups
    drawn = (metric(truth, scores, counts) for counts in _draws(members, draws, seed))
    return np.concatenate([metric(truth, scores, _once(truth)), *drawn])


def estimate(values: Array) -> Estimate:
    """Return the first of (1 + draws,) values, ± 1.96 standard deviations of the others, cut at 0 and 1.

    Percentiles of the draws would be off: repeated clips push a bootstrapped PR-AUC up. Draws that are NaN
    are passed over.
    """
    value, drawn = float(values[0]), values[1:][np.isfinite(values[1:])]
    reach = REACH * float(drawn.std()) if len(drawn) > 1 else 1.0
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def macro(values: Array) -> Array:
    """Return (draws,): the mean over the tags that have a value; NaN where none has."""
    known = np.isfinite(values)
    total, number = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    mean: Array = np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)
    return mean


def roc_curve(truth: Truth, scores: npt.NDArray[np.floating]) -> tuple[Array, Array]:
    """Return the corners of one tag's curve: false and true positive rate, both from 0 to 1.

    Args:
        truth: (clips,), with clips of both kinds.
        scores: (clips,).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.append(0, np.cumsum(truth[order])[ends])
    false = np.append(0, ends + 1) - hits
    return false / false[-1], hits / hits[-1]


def _once(truth: Truth) -> Counts:
    return np.ones((1, len(truth)), np.int32)


def _draws(groups: npt.NDArray[np.int64], draws: int, seed: int) -> Iterator[Counts]:
    """Yield blocks of (draws, clips) counts: as many groups as there are, with replacement."""
    rng = np.random.default_rng(seed)
    number = int(groups.max()) + 1
    block = max(1, _CELLS // len(groups))
    for done in range(0, draws, block):
        drawn = [rng.integers(0, number, number) for _ in range(min(block, draws - done))]
        yield np.stack([np.bincount(row, minlength=number)[groups] for row in drawn]).astype(np.int32)


def _by_tag(
    one: Callable[[Truth, npt.NDArray[np.floating], Counts], Array],
    truth: Truth,
    scores: npt.NDArray[np.floating],
    counts: Counts | None,
) -> Array:
    counts = _once(truth) if counts is None else counts
    values = np.full((len(counts), truth.shape[1]), np.nan)
    for tag in np.flatnonzero(scorable(truth)):
        values[:, tag] = one(truth[:, tag], scores[:, tag], counts)
    return values


def _roc(truth: Truth, scores: npt.NDArray[np.floating], counts: Counts) -> Array:
    order = np.argsort(scores, kind="stable")
    ranked, held, hits = scores[order], counts[:, order], np.flatnonzero(truth[order])
    below = np.zeros((len(counts), len(order) + 1), np.int32)  # clips without the tag in the first i ranks
    np.cumsum(held * ~truth[order], axis=1, out=below[:, 1:])
    first = np.searchsorted(ranked, ranked[hits], "left")
    last = np.searchsorted(ranked, ranked[hits], "right")
    positives = held[:, hits]
    won = (positives * (below[:, first] + below[:, last])).sum(axis=1) / 2
    pairs = positives.sum(axis=1, dtype=np.int64) * below[:, -1]
    return _divide(won, pairs)


def _precision(truth: Truth, scores: npt.NDArray[np.floating], counts: Counts) -> Array:
    order = np.argsort(-scores, kind="stable")
    ranked, held, hits = -scores[order], counts[:, order], np.flatnonzero(truth[order])
    last = np.searchsorted(ranked, ranked[hits], "right") - 1  # all clips of a score are found at once
    positives = held[:, hits]
    found = np.cumsum(positives, axis=1, dtype=np.int32)[:, np.searchsorted(hits, last, "right") - 1]
    heard = np.cumsum(held, axis=1, dtype=np.int32)
    total = np.where(heard[:, -1] > positives.sum(axis=1), positives.sum(axis=1), 0)  # all have it: no figure
    return _divide((positives * _divide(found, heard[:, last], 0.0)).sum(axis=1), total)


def _divide(above: npt.NDArray[Any], below: npt.NDArray[Any], empty: float = np.nan) -> Array:
    result: Array = np.divide(above, below, out=np.full(above.shape, empty), where=below > 0)
    return result
