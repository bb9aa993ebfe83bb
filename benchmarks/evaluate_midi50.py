"""Clip-level scores of a preset on the artist-disjoint test part of the MIDI set.

    python benchmarks/evaluate_midi50.py weights/samplecnn_8k.midi50 --data runs/midi50 --record

Prints macro ROC-AUC and PR-AUC with a bootstrap interval over clips, for all tags and for instruments and
genres apart; a control with shuffled labels; and MFCC statistics + logistic regression on the same split.
Needs librosa: pip install 'samplecnn_zoo[benchmarks]'.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mfcc import mfcc_row
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from samplecnn_zoo import Tagger, load_pretrained, save_pretrained
from samplecnn_zoo.datasets import midi
from samplecnn_zoo.datasets.midi_tags import INSTRUMENTS, PERCUSSION
from samplecnn_zoo.zoo.preset import Score

BOOTSTRAPS = 1000
SHUFFLES = 20

Metric = Callable[[np.ndarray, np.ndarray], float]


def main() -> None:
    """Score the preset and its baselines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", help="a preset's name or directory")
    parser.add_argument("--data", type=Path, required=True, help="rendered clips (examples/train_midi50.py)")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--record", action="store_true", help="put the scores into the preset (a directory)")
    options = parser.parse_args()

    clips, tags = midi.read_clips(options.data), midi.read_tags(options.data)
    test = [clip for clip in clips if clip.split == "test"]
    truth = midi.label_matrix(test, tags)
    scores = preset_scores(options.preset, [midi.audio_path(options.data, clip) for clip in test], tags)
    figures: dict[str, Any] = score_groups(test, scores, tags)
    figures["shuffled labels"] = shuffled_control(truth, scores)
    figures["MFCC + logistic regression"] = mfcc_baseline(options.data, clips, tags)
    figures["clips"] = {"test": len(test), "train": sum(clip.split == "train" for clip in clips)}
    tag_values = by_tag(roc_auc_score, truth, scores)
    figures["by tag"] = {tag: round(float(value), 4) for tag, value in zip(tags, tag_values, strict=True)}
    text = json.dumps(figures, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    if options.record:
        record(Path(options.preset), figures, len(test))


def record(directory: Path, figures: dict[str, Any], clips: int) -> None:
    """Put ROC-AUC and PR-AUC of every group of tags into the preset and its card."""
    if not (directory / "preset.json").is_file():
        raise SystemExit(f"{directory}: --record wants the directory of a preset")
    model = load_pretrained(directory)
    scores = tuple(
        Score(metric=metric, **figures[group][metric], dataset="midi50", split=f"test, {clips} clips",
              note=f"macro over {figures[group]['tags']} tags: {group}")
        for group in ("all tags", "instruments", "genres")
        for metric in ("roc_auc", "pr_auc")
    )  # fmt: skip
    save_pretrained(model, directory, preset=replace(model.preset, scores=scores), overwrite=True)


def preset_scores(preset: str, paths: list[Path], tags: list[str]) -> np.ndarray:
    """(clips, tags): what `Tagger.tag` returns, in the order of `tags`."""
    tagger = Tagger(preset)
    if list(tagger.preset.tags) != tags:
        raise SystemExit("the preset's tags are not those of the data: was it trained on another rendering?")
    rows = []
    for path in track(paths, "tagging"):
        by_tag = {item.tag: item.score for item in tagger.tag_file(path).tags}
        rows.append([by_tag[tag] for tag in tags])
    return np.array(rows)


def score_groups(clips: list[midi.Clip], scores: np.ndarray, tags: list[str]) -> dict[str, Any]:
    """ROC-AUC and PR-AUC for all tags, instruments and genres, each with its 95 % interval."""
    roc, pr = (
        bootstrapped(metric, clips, scores, tags) for metric in (roc_auc_score, average_precision_score)
    )
    return {
        name: {"tags": len(columns), "roc_auc": summary(roc[:, columns]), "pr_auc": summary(pr[:, columns])}
        for name, columns in groups_of(tags).items()
    }


def groups_of(tags: list[str]) -> dict[str, list[int]]:
    """Name of a group -> columns of its tags."""
    instruments = {*INSTRUMENTS, *PERCUSSION, "drums"}
    return {
        "all tags": list(range(len(tags))),
        "instruments": [i for i, tag in enumerate(tags) if tag in instruments],
        "genres": [i for i, tag in enumerate(tags) if tag in midi.GENRES],
        "other": [i for i, tag in enumerate(tags) if tag not in instruments and tag not in midi.GENRES],
    }


def bootstrapped(metric: Metric, clips: list[midi.Clip], scores: np.ndarray, tags: list[str]) -> np.ndarray:
    """(1 + BOOTSTRAPS, tags): a metric on all clips, then on artists drawn with replacement (seed 0).

    Clips of one artist are alike, so whole artists (groups of clips) are drawn, not clips.
    """
    truth = midi.label_matrix(clips, tags)
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero([clip.group == name for clip in clips]) for name in {c.group: 0 for c in clips}]
    samples = [np.arange(len(clips))]
    for _ in range(BOOTSTRAPS):
        samples.append(np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]))
    return np.stack([by_tag(metric, truth[rows], scores[rows]) for rows in samples])


def by_tag(metric: Metric, truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(tags,): a metric for each tag; NaN where the clips all have it or all lack it."""
    usable = (truth.sum(axis=0) > 0) & (truth.sum(axis=0) < len(truth))
    values = [metric(truth[:, i], scores[:, i]) if usable[i] else np.nan for i in range(truth.shape[1])]
    return np.array(values)


def summary(values: np.ndarray) -> dict[str, float]:
    """The macro mean over tags (columns) on all clips; 95 % intervals are 1.96 standard errors each way.

    Percentiles of the draws would be off: repeated clips push a bootstrapped PR-AUC up.
    """
    means = np.nanmean(values, axis=1)
    value, reach = float(means[0]), 1.96 * float(means[1:].std())
    return {"value": round(value, 4), "low": round(value - reach, 4), "high": round(value + reach, 4)}


def shuffled_control(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """ROC-AUC when the labels belong to other clips: 0.5 unless the evaluation leaks."""
    rng = np.random.default_rng(0)
    shuffles = [truth[rng.permutation(len(truth))] for _ in range(SHUFFLES)]
    values = [np.nanmean(by_tag(roc_auc_score, shuffled, scores)) for shuffled in shuffles]
    return {"roc_auc": round(float(np.mean(values)), 4), "std": round(float(np.std(values)), 4)}


def mfcc_features(data: Path, clips: list[midi.Clip]) -> np.ndarray:
    """(clips, 120): MFCC statistics, kept in `data/mfcc` under the clip's file, unique in a set."""
    cache = data / "mfcc"
    cache.mkdir(exist_ok=True)
    rows = []
    for clip in track(clips, "MFCC"):
        kept = cache / f"{clip.file}.npy"
        if not kept.exists():
            partial = cache / f"{clip.file}.partial.npy"
            np.save(partial, mfcc_row(midi.audio_path(data, clip)))
            partial.replace(kept)
        rows.append(np.load(kept))
    return np.stack(rows)


def mfcc_baseline(data: Path, clips: list[midi.Clip], tags: list[str]) -> dict[str, Any]:
    """MFCC statistics of the training clips, one logistic regression a tag, scored on the test clips."""
    train = [clip for clip in clips if clip.split == "train"]
    test = [clip for clip in clips if clip.split == "test"]
    features = [mfcc_features(data, part) for part in (train, test)]
    model = make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.1, max_iter=2000), n_jobs=1)
    )
    model.fit(features[0], midi.label_matrix(train, tags))
    return score_groups(test, model.predict_proba(features[1]), tags)


if __name__ == "__main__":
    main()
