"""How good a head is on clips that it has not heard."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from samplecnn_zoo.datasets.stratify import draw, parse_rule
from samplecnn_zoo.training.metrics import Estimate
from samplecnn_zoo.training.results import Figures, Rules, measure
from samplecnn_zoo.transfer.classifier import Classifier
from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.head import Head
from samplecnn_zoo.transfer.labelled import Labelled


def fit(labelled: Labelled, classifier: Classifier) -> Head:
    """Train a head on the parts train and valid of a set.

    Raises:
        TransferError: There is nothing to learn from.
    """
    valid = labelled.part("valid")
    x, labels = labelled.part("train")
    facts: dict[str, Any] = {"tags": labelled.tags, "single_label": labelled.single_label}
    return classifier.fit(x, labels, valid=valid if len(valid[0]) else None, **facts)


def score(labelled: Labelled, head: Head, split: str = "test") -> Figures:
    """Return what a head's scores on a part are worth: accuracy of classes, ROC-AUC and PR-AUC of tags.

    Raises:
        TransferError: The part has no clips.
        EvaluationError: No tag can be scored on them.
    """
    x, labels = labelled.part(split)
    if not len(x):
        raise TransferError(f"{labelled.name} has no clips to test on; choose another split")
    return measure(labels, head.scores(x), labelled.tags, Rules(single_label=labelled.single_label))


def main_figure(figures: Figures) -> tuple[str, Estimate]:
    """Return the figure that the paper gives: accuracy of classes, else the mean ROC-AUC over tags."""
    if figures.accuracy is not None:
        return "accuracy", figures.accuracy
    return "ROC-AUC", figures.groups[0].roc_auc


def with_splits(labelled: Labelled, splits: dict[str, str]) -> Labelled:
    """Return the clips under another split: key → train, valid or test, as `datasets.stratify` draws."""
    return replace(labelled, splits=np.array([splits[key] for key in labelled.table.keys]))


def folds(labelled: Labelled, count: int, seed: int) -> Iterator[Labelled]:
    """Yield clips of one tag each under every fold of a stratified draw; the next fold is the valid part.

    Args:
        labelled: Features and labels; their own splits are not looked at.
        count: Folds, at least three.
        seed: Of the draw.

    Raises:
        DataSetError: There are fewer than three folds.
    """
    tags = np.array(labelled.tags)[labelled.labels.argmax(axis=1)]
    by_key = dict(zip(labelled.table.keys, tags, strict=True))
    for fold in range(1, count + 1):
        yield with_splits(labelled, draw(by_key, parse_rule(f"fold:{fold}/{count}:{seed}")))
