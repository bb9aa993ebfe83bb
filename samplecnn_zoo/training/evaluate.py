"""A network on a split of a prepared set: segments through the tagger, their means, what those are worth.

The segments of a clip touch, and are as many as its real length holds: ten of 3^9 in 29.1 s (paper, section
5.2). A clip shorter than one is repeated until it fills one. A clip's score is the mean over its segments.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samplecnn_zoo.datasets.prepared import Prepared, PreparedClip, own_segments
from samplecnn_zoo.datasets.records import FULL_SCALE, Pcm
from samplecnn_zoo.tagger import Tagger
from samplecnn_zoo.training.results import Evaluation, EvaluationError, Rules, Subject, measure
from samplecnn_zoo.training.score_file import ScoreFile, Scores
from samplecnn_zoo.zoo.preset import Preset, Score

if TYPE_CHECKING:
    import keras

Rows = Iterable[Scores]
Progress = Callable[[Rows, int], Rows]

BATCH_SIZE = 16
_CLIPS_AT_ONCE = 8  # a block's segments fill batches, and none holds many seconds of work


def evaluate(
    network: "Tagger | str | Path | keras.Model",
    prepared: Prepared,
    split: str = "test",
    *,
    rules: Rules | None = None,
    limit: int | None = None,
    keep: Path | None = None,
    progress: Progress = lambda rows, _: rows,
) -> Evaluation:
    """Score the clips of a split and return what the scores are worth.

    Neither the network nor the set is changed, and TensorFlow isn't needed for a preset that OpenVINO runs.

    Args:
        network: a preset's name or directory, a model that carries its `.preset`, or a `Tagger` with options
            of its own.
        prepared: what `samplecnn prepare` made.
        split: "train", "valid" or "test".
        rules: groups of tags to average over, how intervals are drawn; whether clips have one label is the
            set's to say.
        limit: take only so many clips, for a quick look. Their order in a prepared set is a random one.
        keep: a file that holds the scores while they are made: a killed evaluation of the same preset on the
            same set goes on from it. Delete it when done.
        progress: wraps the rows (iterable, total) for a progress bar.

    Raises:
        EvaluationError: The split is empty, the preset's tags or rate are not the set's, a segment is longer
            than a clip, no tag can be scored, or `keep` is wanted for a model in memory.
        PresetError: The preset can't be used.
        PreparedError: There is no such split.
        OSError: `keep` or a shard can't be used.
    """
    tagger = network if isinstance(network, Tagger) else Tagger(network, batch_size=BATCH_SIZE)
    clips = prepared.clips(split)[:limit]
    rules = _rules(rules, prepared, len(clips))
    check(tagger.preset, prepared, split)
    columns = [tagger.preset.tags.index(tag) for tag in prepared.tags]
    scores = score_clips(tagger, prepared, split, limit=limit, keep=keep, progress=progress)[:, columns]
    truth = prepared.labels(split)[:limit] > 0
    segment = tagger.preset.segment_samples
    return Evaluation(
        subject=Subject(
            preset=tagger.preset.name,
            dataset=prepared.name,
            split=split,
            segments_a_clip=max(own_segments(clip, segment) for clip in clips),
            engine=tagger.engine,
            weights_sha256=tagger.preset.weights_sha256,
        ),
        figures=measure(truth, scores, prepared.tags, rules),
        tags=prepared.tags,
        keys=tuple(clip.key for clip in clips),
        truth=truth,
        scores=scores,
    )


def check(preset: Preset, prepared: Prepared, split: str) -> None:
    """Say whether a preset can be evaluated on a split.

    Raises:
        EvaluationError: The split is empty, tags or rate differ, or a segment is longer than a clip.
    """
    if not prepared.counts.get(split, 0):
        there = ", ".join(f"{name} {count}" for name, count in prepared.counts.items())
        raise EvaluationError(
            f"{prepared.name} has no clips in {split!r}; it has {there}: choose another split"
        )
    if preset.sample_rate != prepared.sample_rate:
        raise EvaluationError(
            f"{preset.name} hears {preset.sample_rate} Hz, {prepared.directory} holds {prepared.sample_rate} "
            f"Hz: prepare the set with --rate {preset.sample_rate}"
        )
    if preset.segment_samples > prepared.clip_samples:
        raise EvaluationError(
            f"{preset.name} hears {preset.segment_samples} samples at a time, "
            f"a clip of {prepared.directory} has {prepared.clip_samples}"
        )
    _check_tags(preset, prepared)


def _check_tags(preset: Preset, prepared: Prepared) -> None:
    ours, theirs = set(preset.tags), set(prepared.tags)
    if ours == theirs:
        return
    parts = [
        f"only the {whose} has {_some(sorted(tags))}"
        for whose, tags in (("preset", ours - theirs), ("set", theirs - ours))
        if tags
    ]
    raise EvaluationError(
        f"the tags of {preset.name} are not those of {prepared.name}: {'; '.join(parts)}. "
        "Evaluate a preset that was trained on this set"
    )


def _some(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - 5} more" if len(tags) > 5 else ""
    return ", ".join(map(repr, tags[:5])) + more


def _rules(rules: Rules | None, prepared: Prepared, clips: int) -> Rules:
    rules = replace(rules or Rules(), single_label=prepared.single_label)
    if rules.clip_groups is None:
        return rules
    return replace(rules, clip_groups=tuple(rules.clip_groups)[:clips])


def score_clips(
    tagger: Tagger,
    prepared: Prepared,
    split: str = "test",
    *,
    limit: int | None = None,
    keep: Path | None = None,
    progress: Progress = lambda rows, _: rows,
) -> Scores:
    """Return (clips, tags) in 0 to 1, the tags in the preset's order: the mean over each clip's segments.

    Arguments and errors as in `evaluate`.
    """
    clips, pcm = prepared.clips(split)[:limit], prepared.pcm(split)
    if keep is None:
        return np.stack([*progress(_score(tagger, clips, pcm, 0), len(clips))])
    header = _header(tagger, prepared, split)
    with ScoreFile(keep, header, len(tagger.preset.tags)) as file:
        rest = len(clips) - len(file)
        for row in progress(_score(tagger, clips, pcm, len(file)), max(0, rest)):
            file.append(row[np.newaxis])
        return file.read()[: len(clips)]


def _header(tagger: Tagger, prepared: Prepared, split: str) -> dict[str, str]:
    """What the scores of a clip depend on."""
    preset = tagger.preset
    if preset.weights_sha256 is None:
        raise EvaluationError(
            f"{preset.name} is a model in memory, whose scores can't be kept: they may be of other weights "
            "than later ones; leave out keep, or save it with save_pretrained"
        )
    return {
        "preset": sha256(preset.to_json().encode()).hexdigest(),
        "set": sha256(prepared.description.to_json().encode()).hexdigest(),
        "split": split,
        "engine": tagger.engine,
    }


def _score(tagger: Tagger, clips: Sequence[PreparedClip], pcm: Sequence[Pcm], start: int) -> Iterator[Scores]:
    segment = tagger.preset.segment_samples
    for at in range(start, len(clips), _CLIPS_AT_ONCE):
        block = range(at, min(at + _CLIPS_AT_ONCE, len(clips)))
        counts = [own_segments(clips[index], segment) for index in block]
        cut = [
            pcm[index][: count * segment].reshape(count, segment, 1)
            for index, count in zip(block, counts, strict=True)
        ]
        scores = tagger.predict_segments(np.concatenate(cut).astype(np.float32) / np.float32(FULL_SCALE))
        for rows in np.split(scores, np.cumsum(counts)[:-1]):
            yield rows.mean(axis=0, dtype=np.float64).astype(np.float32)


def with_scores(preset: Preset, evaluation: Evaluation) -> Preset:
    """Return the preset with an evaluation's macro figures, which replace earlier ones on the same split."""
    subject, figures = evaluation.subject, evaluation.figures
    split = f"{subject.split}, {figures.clips} clips"
    rows = [
        ("accuracy", figures.accuracy, "highest score"),
        *(
            (metric, getattr(group, metric), f"macro over {len(group.tags)} tags: {group.name}")
            for group in figures.groups
            for metric in ("roc_auc", "pr_auc")
        ),
    ]
    new = [
        Score(
            metric=metric, value=round(found.value, 4), low=min(round(found.low, 4), round(found.value, 4)),
            high=max(round(found.high, 4), round(found.value, 4)),
            dataset=subject.dataset, split=split, note=note,
        )
        for metric, found, note in rows
        if found is not None
    ]  # fmt: skip
    kept = [
        score
        for score in preset.scores
        if (score.dataset, score.split.partition(",")[0]) != (subject.dataset, subject.split)
    ]
    return replace(preset, scores=(*new, *kept))
