"""What the features of a preset are worth on real recordings: genre accuracy in 5-fold cross-validation.

    python benchmarks/gtzan_features.py weights/samplecnn_8k.midi50 --data genres/

`genres/` holds a folder a genre. Clip features of each level, and of the last three together, go into a
logistic regression; the same network with random weights and MFCC statistics + SVM stand beside it under
the same folds. One file is one track, so folds by file are folds by track. Five seeds draw the folds (and
the random weights). Needs librosa: pip install 'samplecnn_zoo[benchmarks]'.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from mfcc import mfcc_statistics
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from samplecnn_zoo import Tagger, load_pretrained
from samplecnn_zoo.audio import find_audio

LEVELS = (-1, -2, -3)
SEEDS = range(5)
FOLDS = 5


def main() -> None:
    """Print the mean accuracy and its spread over seeds for every kind of feature."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", help="a preset's name or directory")
    parser.add_argument("--data", type=Path, required=True, help="a folder with a folder a genre")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()

    paths = find_audio([options.data])
    genres = np.array([path.parent.name for path in paths])
    trained = level_features(Tagger(options.preset), paths)
    untrained = [level_features(untrained_tagger(options.preset, seed), paths) for seed in SEEDS]
    mfcc = mfcc_statistics(paths)

    figures: dict[str, object] = {"tracks": len(paths), "genres": len(set(genres))}
    for name, features in trained.items():
        figures[f"trained, level {name}"] = accuracy([features] * len(SEEDS), genres, logistic)
    for name in trained:
        figures[f"random weights, level {name}"] = accuracy(
            [features[name] for features in untrained], genres, logistic
        )
    figures["MFCC statistics + SVM"] = accuracy([mfcc] * len(SEEDS), genres, svm)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def untrained_tagger(preset: str, seed: int) -> Tagger:
    """The same architecture with fresh random weights."""
    trained = load_pretrained(preset)
    keras.utils.set_random_seed(seed)
    fresh = keras.Model.from_config(trained.get_config())
    return Tagger(fresh, preset=trained.preset, engine="keras")


def level_features(tagger: Tagger, paths: list[Path]) -> dict[str, np.ndarray]:
    """Level -> (clips, channels), and `last three` -> all levels side by side."""
    clips = [tagger.embed_file(path, levels=LEVELS) for path in track(paths, "features")]
    features = {str(level): np.stack([clip.levels[level] for clip in clips]) for level in LEVELS}
    return {**features, "last three": np.concatenate(list(features.values()), axis=1)}


def logistic() -> Pipeline:
    """Standardized features into a regularized logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000))


def svm() -> Pipeline:
    """Standardized features into a support vector machine with a Gaussian kernel."""
    return make_pipeline(StandardScaler(), SVC(C=10.0))


def accuracy(
    features: Sequence[np.ndarray], genres: np.ndarray, classifier: Callable[[], Pipeline]
) -> dict[str, float]:
    """Mean accuracy over folds, then mean and standard deviation over seeds, which have a matrix each."""
    values = []
    for seed, matrix in zip(SEEDS, features, strict=True):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        values.append(cross_val_score(classifier(), matrix, genres, cv=folds).mean())
    return {"mean": round(float(np.mean(values)), 4), "std": round(float(np.std(values)), 4)}


if __name__ == "__main__":
    main()
