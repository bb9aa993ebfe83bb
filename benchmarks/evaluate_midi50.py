"""Clip-level scores of a preset on the artist-disjoint test part of the MIDI set, beside two baselines.

    python benchmarks/evaluate_midi50.py weights/samplecnn_8k.midi50 --data runs/midi50 --record

Prints macro ROC-AUC and PR-AUC with a bootstrap interval over artists, for all tags and for instruments and
genres apart; a control with shuffled labels; and MFCC statistics + logistic regression on the same split. The
preset is scored through `Tagger` on the files; `samplecnn evaluate` does the same on prepared shards.
Needs librosa: pip install 'samplecnn_zoo[benchmarks]'.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from mfcc import mfcc_row
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from samplecnn_zoo import Preset, Tagger, preset_info
from samplecnn_zoo.datasets import midi
from samplecnn_zoo.datasets.midi_tags import INSTRUMENTS, PERCUSSION
from samplecnn_zoo.training import metrics
from samplecnn_zoo.training.evaluate import with_scores
from samplecnn_zoo.training.results import Evaluation, Figures, Rules, Subject, measure
from samplecnn_zoo.zoo import save_record

SHUFFLES = 20


def main() -> None:
    """Score the preset and its baselines and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", help="a preset's name or directory")
    parser.add_argument("--data", type=Path, required=True, help="rendered clips (examples/render_midi.py)")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--record", action="store_true", help="put the scores into the preset (a directory)")
    options = parser.parse_args()

    preset = preset_info(options.preset)
    clips, tags = midi.read_clips(options.data), midi.read_tags(options.data)
    test = [clip for clip in clips if clip.split == "test"]
    truth = midi.label_matrix(test, tags) > 0
    # Clips of one artist are alike, so whole artists are drawn for the intervals, not clips.
    rules = Rules(tag_groups=groups_of(tags), clip_groups=[clip.group for clip in test])
    scores = preset_scores(options.preset, [midi.audio_path(options.data, clip) for clip in test], tags)
    measured = measure(truth, scores, tags, rules)
    baseline = measure(truth, mfcc_baseline(options.data, clips, tags), tags, rules)
    figures: dict[str, Any] = by_group(measured)
    figures["shuffled labels"] = shuffled_control(truth, scores)
    figures["MFCC + logistic regression"] = by_group(baseline)
    figures["clips"] = {"test": len(test), "train": sum(clip.split == "train" for clip in clips)}
    figures["by tag"] = {item.tag: round(item.roc_auc.value, 4) for item in measured.by_tag}
    text = json.dumps(figures, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    if options.record:
        subject = Subject(options.preset, "midi50", "test", segments_a_clip=0, engine="")
        keys = tuple(clip.file for clip in test)
        record(Path(options.preset), preset, Evaluation(subject, measured, tuple(tags), keys, truth, scores))


def record(directory: Path, preset: Preset, evaluation: Evaluation) -> None:
    """Put ROC-AUC and PR-AUC of every group of tags into the preset and its card."""
    if not (directory / "preset.json").is_file():
        raise SystemExit(f"{directory}: --record wants the directory of a preset")
    save_record(directory, with_scores(preset, evaluation))


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


def by_group(figures: Figures) -> dict[str, Any]:
    """ROC-AUC and PR-AUC for all tags and for each group, each with its 95 % interval."""
    return {
        group.name: {
            "tags": len(group.tags),
            "roc_auc": rounded(group.roc_auc),
            "pr_auc": rounded(group.pr_auc),
        }
        for group in figures.groups
    }


def rounded(estimate: metrics.Estimate) -> dict[str, float]:
    """An estimate with four digits."""
    return {name: round(value, 4) for name, value in asdict(estimate).items()}


def groups_of(tags: list[str]) -> dict[str, list[str]]:
    """Name of a group -> its tags."""
    instruments = {*INSTRUMENTS, *PERCUSSION, "drums"}
    return {
        "instruments": [tag for tag in tags if tag in instruments],
        "genres": [tag for tag in tags if tag in midi.GENRES],
        "other": [tag for tag in tags if tag not in instruments and tag not in midi.GENRES],
    }


def shuffled_control(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """ROC-AUC when the labels belong to other clips: 0.5 unless the evaluation leaks."""
    rng = np.random.default_rng(0)
    shuffles = [truth[rng.permutation(len(truth))] for _ in range(SHUFFLES)]
    values = [metrics.macro(metrics.roc_auc(shuffled, scores))[0] for shuffled in shuffles]
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


def mfcc_baseline(data: Path, clips: list[midi.Clip], tags: list[str]) -> np.ndarray:
    """(test clips, tags): MFCC statistics of the training clips, one logistic regression a tag."""
    train = [clip for clip in clips if clip.split == "train"]
    test = [clip for clip in clips if clip.split == "test"]
    features = [mfcc_features(data, part) for part in (train, test)]
    model = make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.1, max_iter=2000), n_jobs=1)
    )
    model.fit(features[0], midi.label_matrix(train, tags))
    scores: np.ndarray = model.predict_proba(features[1])
    return scores


if __name__ == "__main__":
    main()
