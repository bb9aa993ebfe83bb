"""What an evaluation says: figures with intervals, by tag and over tags, as a record and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.training import metrics
from samplecnn_zoo.training.metrics import Array, Estimate, Truth

Floats = npt.NDArray[np.floating]
Matrix = npt.NDArray[np.int64]

FORMAT_VERSION = 1
DRAWS = 1000
FEWEST = 5  # clips that have a tag, or lack it: drawing from fewer says nothing, the interval is 0 to 1
ALL_TAGS = "all tags"


class EvaluationError(ValueError):
    """What can't be evaluated: one line with the rule, what was found and the way out."""


@dataclass(frozen=True)
class Subject:
    """What was evaluated on what.

    Attributes:
        preset: Its name.
        dataset: The name of the set.
        split: Which part of it.
        segments_a_clip: Most segments that a clip's score is the mean of.
        engine: What ran the network.
        weights_sha256: Of the preset's weights; None for a model in memory.
    """

    preset: str
    dataset: str
    split: str
    segments_a_clip: int
    engine: str
    weights_sha256: str | None = None


@dataclass(frozen=True)
class TagFigures:
    """One tag: how many clips have it, and how well they are told from the others.

    The intervals are 0 to 1 where fewer than `FEWEST` clips have it or lack it.
    """

    tag: str
    clips: int
    roc_auc: Estimate
    pr_auc: Estimate


@dataclass(frozen=True)
class GroupFigures:
    """Macro means over some tags: those of the named `tags` that could be scored."""

    name: str
    tags: tuple[str, ...]
    roc_auc: Estimate
    pr_auc: Estimate


@dataclass(frozen=True)
class Rules:
    """How figures are made of scores.

    Attributes:
        single_label: Each clip has one tag: accuracy and a confusion matrix are given, too.
        tag_groups: Name → tags, beside all tags, to average over.
        clip_groups: (clips,) names; for the intervals, clips of one group are drawn together. None draws
            single clips.
        draws: For the intervals.
        seed: Of the draws.
    """

    single_label: bool = False
    tag_groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clip_groups: Sequence[str] | None = None
    draws: int = DRAWS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Figures:
    """What scores are worth.

    Attributes:
        clips: How many were scored.
        by_tag: The tags that some clips have and others lack, in the order of the outputs.
        groups: Macro means: over all of `by_tag` first.
        left_out: Tag → why it has no figures and is in no mean.
        accuracy: Of single-label sets, else None.
        confusion: (tags, tags) clips of the row's tag that were taken for the column's; None as `accuracy`.
        interval: How the intervals were made, in words.
    """

    clips: int
    by_tag: tuple[TagFigures, ...]
    groups: tuple[GroupFigures, ...]
    left_out: Mapping[str, str]
    accuracy: Estimate | None
    confusion: Matrix | None
    interval: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A preset on a split of a set.

    Attributes:
        subject: What was evaluated on what.
        figures: How well it did.
        tags: In the order of the set's.
        keys: (clips,) what names a clip in its set.
        truth: (clips, tags) whether a clip has a tag.
        scores: (clips, tags) in 0 to 1, means over segments.
    """

    subject: Subject
    figures: Figures
    tags: tuple[str, ...]
    keys: tuple[str, ...]
    truth: Truth
    scores: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return the record of `report.json`: all but the scores of single clips, plain values only."""
        return {"format_version": FORMAT_VERSION, **asdict(self.subject), "tags": list(self.tags)} | _plain(
            self.figures
        )

    def to_json(self) -> str:
        """Return the text of `report.json`."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def measure(truth: Truth, scores: Floats, tags: Sequence[str], rules: Rules | None = None) -> Figures:
    """Return the figures of clip scores.

    Args:
        truth: (clips, tags), whether a clip has a tag.
        scores: (clips, tags), finite; higher is surer.
        tags: Names of the columns.
        rules: How; by default for tags that may hold together.

    Raises:
        EvaluationError: There are no clips, no tag can be scored, scores or shapes don't fit, a group names
            no tag that could be scored or an unknown one, or single-label clips don't have one tag each.
    """
    rules = rules or Rules()
    truth = np.asarray(truth, bool)
    _check(truth, scores, tags, rules)
    drawn = {name: _drawn(metric, truth, scores, rules) for name, metric in METRICS.items()}
    usable = np.flatnonzero(metrics.scorable(truth)).tolist()
    named = {ALL_TAGS: [tags[column] for column in usable]} | dict(rules.tag_groups)
    single = rules.single_label
    return Figures(
        clips=len(truth),
        by_tag=tuple(
            _tag_figures(tags[i], truth[:, i], {name: values[:, i] for name, values in drawn.items()})
            for i in usable
        ),
        groups=tuple(_group(name, members, tags, usable, drawn) for name, members in named.items()),
        left_out={
            tag: "every clip has it" if truth[:, i].any() else "no clip has it"
            for i, tag in enumerate(tags)
            if i not in usable
        },
        accuracy=metrics.estimate(_drawn(metrics.accuracy, truth, scores, rules)[:, 0]) if single else None,
        confusion=metrics.confusion(truth, scores) if single else None,
        interval=_interval(rules),
    )


METRICS: Mapping[str, metrics.Metric] = {"roc_auc": metrics.roc_auc, "pr_auc": metrics.average_precision}


def _check(truth: Truth, scores: Floats, tags: Sequence[str], rules: Rules) -> None:
    if not len(truth):
        raise EvaluationError("there are no clips to evaluate; choose another split")
    if scores.shape != truth.shape or truth.shape[1] != len(tags):
        raise EvaluationError(
            f"scores, labels and tags must fit: {scores.shape}, {truth.shape} and {len(tags)} don't"
        )
    if not np.isfinite(scores).all():
        raise EvaluationError("scores must be finite numbers; some are NaN or infinite: check the network")
    if rules.clip_groups is not None and len(rules.clip_groups) != len(truth):
        raise EvaluationError(
            f"every clip needs a group: {len(rules.clip_groups)} are given for {len(truth)} clips"
        )
    if rules.single_label and not (truth.sum(axis=1) == 1).all():
        raise EvaluationError("a clip of a single-label set has one tag; some have none or several")
    if not metrics.scorable(truth).any():
        raise EvaluationError(
            f"no tag can be scored: in {len(truth)} clips each is had by all or by none; take more clips"
        )
    for name, members in rules.tag_groups.items():
        if unknown := sorted(set(members) - set(tags)):
            raise EvaluationError(f"tag group {name!r} names unknown tags: {', '.join(unknown)}")


def _drawn(metric: metrics.Metric, truth: Truth, scores: Floats, rules: Rules) -> Array:
    groups = None
    if rules.clip_groups is not None:
        numbers = {name: number for number, name in enumerate(dict.fromkeys(rules.clip_groups))}
        groups = np.array([numbers[name] for name in rules.clip_groups])
    return metrics.bootstrap(metric, truth, scores, groups=groups, draws=rules.draws, seed=rules.seed)


def _tag_figures(tag: str, truth: Truth, drawn: Mapping[str, Array]) -> TagFigures:
    clips = int(truth.sum())
    values = drawn if min(clips, len(truth) - clips) >= FEWEST else {n: v[:1] for n, v in drawn.items()}
    return TagFigures(tag, clips, **{name: metrics.estimate(found) for name, found in values.items()})


def _group(
    name: str,
    members: Sequence[str],
    tags: Sequence[str],
    usable: Sequence[int],
    drawn: Mapping[str, Array],
) -> GroupFigures:
    columns = [column for column in usable if tags[column] in members]
    if not columns:
        raise EvaluationError(f"tag group {name!r}: none of its tags can be scored on these clips")
    means = {metric: metrics.estimate(metrics.macro(values[:, columns])) for metric, values in drawn.items()}
    return GroupFigures(name, tuple(tags[column] for column in columns), **means)


def _interval(rules: Rules) -> str:
    what = "clips" if rules.clip_groups is None else f"{len(set(rules.clip_groups))} groups of clips"
    return (
        f"95 %: the value ± {metrics.REACH} standard errors from {rules.draws} bootstrap draws of {what} "
        f"(seed {rules.seed})"
    )


def _plain(figures: Figures) -> dict[str, Any]:
    def rounded(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: rounded(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [rounded(part) for part in value]
        return round(value, 5) if isinstance(value, float) else value

    matrix = None if figures.confusion is None else figures.confusion.tolist()
    plain: dict[str, Any] = rounded({**asdict(figures), "confusion": matrix})
    return plain
