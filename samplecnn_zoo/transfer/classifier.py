"""Training of heads: three kinds by scikit-learn, and the paper's two layers of 4096 by Keras."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.head import KINDS, Array, Head
from samplecnn_zoo.transfer.scales import Floats

Truth = npt.NDArray[np.bool_]
Layers = tuple[tuple[Array, Array], ...]
Part = tuple[Floats, Truth]
"""Features (clips, columns) and labels (clips, tags)."""

_CONSTANT = 1e-6  # of the mean: a feature that varies less is one number and float32's noise
_NEVER = -30.0  # the bias of a tag that no training clip has: a score of 0
_MOST = 20.0  # times that a rare tag's clip counts for one in the multi-label network
_COSTS = {"logreg": 0.01, "svm": 10.0}
_HIDDEN = {"mlp4096": 4096, "mlp": 256}
_EPOCHS = {"mlp4096": 60, "mlp": 400}


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """How a head is trained; `fit` trains one.

    Attributes:
        kind: `mlp4096`, the paper's two fully connected layers of 4096 (section 5.5), trained by Keras; or
            scikit-learn's `logreg` (logistic regression), `svm` (Gaussian kernel, a tag against the rest) or
            `mlp` (one hidden layer).
        balanced: Clips of rare classes and tags count for more.
        seed: Of weights, dropout and order; the same one gives the same head.
        cost: C of `logreg` and `svm`: what an error costs against large weights. None takes 0.01 and 10.
        hidden: Units of the hidden layers; None takes 4096 and, for `mlp`, 256.
        epochs: At most, of the two networks; None takes 60 and, for `mlp`, 400.
        patience: Epochs without a lower validation loss after which `mlp4096` ends.
        learning_rate: Of `mlp4096`.

    Raises:
        TransferError: The kind is unknown or a number is not positive.
    """

    kind: str = "logreg"
    balanced: bool = True
    seed: int = 0
    cost: float | None = None
    hidden: int | None = None
    epochs: int | None = None
    patience: int = 8
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TransferError(f"a head is one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("cost", "hidden", "epochs", "patience", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TransferError(f"{name} must be more than 0, got {value}")

    def fit(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        tags: tuple[str, ...],
        single_label: bool,
        valid: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> Head:
        """Train on (clips, columns) features and (clips, tags) labels of 0 and 1.

        `mlp4096` sets Keras' random seed.

        Args:
            features: Finite numbers; they are standardized, as part of the head.
            labels: One tag a clip if `single_label`, any number else.
            tags: Names of the tags.
            single_label: Softmax over classes, or a sigmoid a tag.
            valid: Clips to end the training of `mlp4096` by; the others learn from them, too.

        Raises:
            TransferError: Shapes do not fit, a number is not finite, a clip of single-label data has not one
                tag, or fewer than two classes (or no tag) have clips.
        """
        x, truth = _checked(features, labels, tags, single_label)
        ends = None if valid is None else _checked(*valid, tags, single_label)
        if ends is not None and self.kind != "mlp4096":
            x, truth = np.concatenate([x, ends[0]]), np.concatenate([truth, ends[1]])
        _check_known(truth, single_label)
        mean = x.mean(axis=0, dtype=np.float64)
        std = x.std(axis=0, dtype=np.float64)
        std = np.where(std > _CONSTANT * np.abs(mean), std, 1.0)
        train = {"mlp4096": self._keras, "logreg": self._logreg, "svm": self._svm, "mlp": self._mlp}
        options: dict[str, Any] = {"single_label": single_label}
        if ends is not None and self.kind == "mlp4096" and len(ends[0]):
            options["valid"] = ((ends[0] - mean) / std, ends[1])
        layers, kernel = train[self.kind]((x - mean) / std, truth, **options)
        return Head(self.kind, tags, single_label, mean, std, layers, **kernel)

    @property
    def _weight(self) -> str | None:
        return "balanced" if self.balanced else None

    def _logreg(self, x: Array, truth: Truth, *, single_label: bool) -> tuple[Layers, dict[str, Any]]:
        from sklearn.linear_model import LogisticRegression

        def model() -> Any:
            cost = self.cost or _COSTS["logreg"]
            return LogisticRegression(C=cost, class_weight=self._weight, max_iter=5000)

        if single_label:
            found = model().fit(x, truth.argmax(axis=1))
            return (_of_classes(found.classes_, found.coef_.T, found.intercept_, truth.shape[1]),), {}
        weights, biases = _silent(x.shape[1], truth)
        for tag in _both(truth):
            found = model().fit(x, truth[:, tag])
            weights[:, tag], biases[tag] = found.coef_[0], found.intercept_[0]
        return ((weights, biases),), {}

    def _svm(self, x: Array, truth: Truth, *, single_label: bool) -> tuple[Layers, dict[str, Any]]:
        from sklearn.svm import SVC

        gamma = 1 / (x.shape[1] * max(float(x.var()), 1e-12))
        weights, biases = _silent(len(x), truth)
        for tag in _both(truth):
            model = SVC(C=self.cost or _COSTS["svm"], gamma=gamma, class_weight=self._weight)
            model.fit(x, truth[:, tag])
            weights[model.support_, tag], biases[tag] = model.dual_coef_[0], model.intercept_[0]
        used = np.flatnonzero(weights.any(axis=1))
        used = used if len(used) else np.arange(1)
        return ((weights[used], biases),), {"support": x[used], "gamma": gamma}

    def _mlp(self, x: Array, truth: Truth, *, single_label: bool) -> tuple[Layers, dict[str, Any]]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        hidden = self.hidden or _HIDDEN["mlp"]
        model = MLPClassifier(
            (hidden,), alpha=0.01, max_iter=self.epochs or _EPOCHS["mlp"], random_state=self.seed
        )
        known = _both(truth)
        target = truth.argmax(axis=1) if single_label else truth[:, known].astype(int).squeeze()
        weight = _clip_weights(truth) if self.balanced else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are what was asked for
            model.fit(x, target, sample_weight=weight)
        *inner, (weights, biases) = zip(model.coefs_, model.intercepts_, strict=True)
        if single_label:
            return (*inner, _of_classes(model.classes_, weights, biases, truth.shape[1])), {}
        last = _silent(hidden, truth)
        last[0][:, known], last[1][known] = weights, biases
        return (*inner, last), {}

    def _keras(
        self, x: Array, truth: Truth, *, single_label: bool, valid: Any = None
    ) -> tuple[Layers, dict[str, Any]]:
        from samplecnn_zoo.transfer.dense import train

        layers = train(
            (x, truth),
            valid,
            single_label=single_label,
            hidden=self.hidden or _HIDDEN["mlp4096"],
            weights=_weights(truth, single_label) if self.balanced else None,
            seed=self.seed,
            epochs=self.epochs or _EPOCHS["mlp4096"],
            patience=self.patience,
            learning_rate=self.learning_rate,
        )
        return layers, {}


def _checked(
    features: npt.ArrayLike, labels: npt.ArrayLike, tags: tuple[str, ...], single_label: bool
) -> tuple[Array, Truth]:
    x, truth = np.asarray(features, np.float64), np.asarray(labels) > 0
    if x.ndim != 2 or truth.shape != (len(x), len(tags)):
        raise TransferError(
            f"features are (clips, columns) and labels (clips, {len(tags)}), got {x.shape} and {truth.shape}"
        )
    if not np.isfinite(x).all():
        raise TransferError("features must be finite numbers")
    if single_label and not (truth.sum(axis=1) == 1).all():
        raise TransferError("a clip of single-label data has one tag; some have none or several")
    return x, truth


def _check_known(truth: Truth, single_label: bool) -> None:
    known = int(truth.any(axis=0).sum())
    if known < (2 if single_label else 1):
        raise TransferError(f"clips of two classes or of a tag are needed to learn from, got {known}")


def _both(truth: Truth) -> npt.NDArray[np.intp]:
    """The tags that some clips have and some lack."""
    return np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))


def _silent(rows: int, truth: Truth) -> tuple[Array, Array]:
    """Weights of 0, and biases that say never, or always, for the tags that no clip, or each, has."""
    biases = np.where(truth.all(axis=0), -_NEVER, _NEVER).astype(np.float64)
    return np.zeros((rows, truth.shape[1])), biases


def _of_classes(
    classes: npt.NDArray[np.intp], weights: Array, biases: Array, tags: int
) -> tuple[Array, Array]:
    """The last layer with an output a tag: of two classes scikit-learn has one, of unseen ones none."""
    if len(classes) == 2:
        weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
        biases = np.concatenate([np.zeros_like(biases), biases])
    all_weights = np.zeros((len(weights), tags))
    all_biases = np.full(tags, float(biases.min()) + _NEVER)
    all_weights[:, classes], all_biases[classes] = weights, biases
    return all_weights, all_biases


def _clip_weights(truth: Truth) -> Array:
    """(clips,) with a mean of 1: each tag has the same say, a clip the mean of its tags'."""
    counts = np.maximum(1, truth.sum(axis=0))
    own = (truth / counts).sum(axis=1) / np.maximum(1, truth.sum(axis=1))
    own = np.where(own > 0, own, 1 / len(truth))
    found: Array = own / own.mean()
    return found


def _weights(truth: Truth, single_label: bool) -> Array:
    """(clips,) of classes; (clips, tags) else: a tag's clips count for as much as those without it."""
    if single_label:
        return _clip_weights(truth)
    share = np.clip(truth.mean(axis=0), 1 / len(truth), 1 - 1 / len(truth))
    found: Array = np.where(truth, np.minimum(0.5 / share, _MOST), np.minimum(0.5 / (1 - share), _MOST))
    return found
