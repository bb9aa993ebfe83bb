"""Genre accuracy on a copy of GTZAN from a preset's last levels, as examples/finetune_gtzan.py has it."""

from pathlib import Path

import numpy as np

from samplecnn_zoo.datasets import get
from samplecnn_zoo.transfer import Classifier, Labelled, Scale, label
from samplecnn_zoo.transfer.held_out import fit, folds, main_figure, score

FOLDS, SEEDS = 5, 5


def accuracy(preset: Path, folder: Path, cache: Path) -> tuple[float, float]:
    """Accuracy of logistic regression on the last three levels, mean and deviation over seeds."""
    heard = label([Scale.of(str(preset))], get("gtzan").collect(folder, split="stratified"), cache=cache)
    return over_seeds(heard)


def over_seeds(labelled: Labelled) -> tuple[float, float]:
    """Mean and standard deviation over seeds of the mean accuracy over folds; a clip is a track here."""
    means = []
    for seed in range(SEEDS):
        found = []
        for fold in folds(labelled, FOLDS, seed):
            _, accuracy = main_figure(score(fold, fit(fold, Classifier(kind="logreg", seed=seed))))
            found.append(accuracy.value)
        means.append(np.mean(found))
    return float(np.mean(means)), float(np.std(means))
