"""A trained classifier as plain arrays: standardize, perhaps compare with examples, multiply, score.

Whatever trained it, scikit-learn or Keras, it is applied by NumPy from the same arrays that are stored. So a
head gives the same scores in the process that made it and in one years later, no library's release matters,
and a file is data: nothing in it is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from samplecnn_zoo.transfer.errors import TransferError
from samplecnn_zoo.transfer.scales import Floats

KINDS = ("mlp4096", "logreg", "svm", "mlp")
_ROWS = 256  # scored at a time

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Head:
    """From features to a score a tag.

    Attributes:
        kind: One of KINDS.
        tags: In the order of the scores.
        single_label: Scores are of classes and add up to 1, or each tag has its own (sigmoid).
        mean: (columns,) taken away from features.
        std: (columns,) that they are then divided by.
        layers: (in, out) weights and (out,) biases; ReLU between them.
        support: (examples, columns) standardized, for a Gaussian kernel below the layers; None has none.
        gamma: Of the kernel, exp(-gamma · distance²).

    Raises:
        TransferError: The arrays do not fit each other, or a number is not finite.
    """

    kind: str
    tags: tuple[str, ...]
    single_label: bool
    mean: Array
    std: Array
    layers: tuple[tuple[Array, Array], ...]
    support: Array | None = None
    gamma: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TransferError(f"a head is one of {', '.join(KINDS)}, got {self.kind!r}")
        arrays = self.arrays()
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise TransferError(f"a head's numbers must be finite; {self.kind} has others")
        sizes = [len(self.mean) if self.support is None else len(self.support)]
        fits = self.mean.shape == self.std.shape == arrays.get("support", self.mean[None]).shape[1:]
        for weights, biases in self.layers:
            fits = fits and weights.shape == (sizes[-1], len(biases))
            sizes.append(len(biases))
        if not fits or not self.layers or sizes[-1] != len(self.tags):
            shapes = {name: array.shape for name, array in arrays.items()}
            raise TransferError(f"arrays {shapes} make no head for {len(self.tags)} tags")

    @property
    def width(self) -> int:
        """Number of features that it wants."""
        return len(self.mean)

    def scores(self, features: npt.ArrayLike) -> Floats:
        """Return (clips, tags) float32 in 0 to 1 for (clips, columns) features.

        Raises:
            TransferError: They have another number of columns.
        """
        rows = np.asarray(features)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise TransferError(f"the head wants (clips, {self.width}) features, got {rows.shape}")
        blocks = [self._block(rows[at : at + _ROWS]) for at in range(0, len(rows), _ROWS)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.tags)), np.float32)

    def _block(self, rows: Array) -> Floats:
        x: Array = ((rows - self.mean) / self.std).astype(self.layers[0][0].dtype)
        if self.support is not None:
            x = _kernel(x, self.support, self.gamma)
        for index, (weights, biases) in enumerate(self.layers):
            x = (np.maximum(x, 0) if index else x) @ weights + biases
        return _softmax(x) if self.single_label else _sigmoid(x)

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name, for a file."""
        found: dict[str, Array] = {"mean": self.mean, "std": self.std}
        if self.support is not None:
            found |= {"support": self.support, "gamma": np.array(self.gamma)}
        for index, (weights, biases) in enumerate(self.layers):
            found |= {f"weights_{index}": weights, f"biases_{index}": biases}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], **facts: Any) -> Self:
        """Return the head whose `arrays` these are; `facts` are kind, tags and single_label.

        Raises:
            TransferError: Arrays are missing or do not fit each other.
        """
        count = sum(name.startswith("weights_") for name in arrays)
        try:
            layers = tuple((arrays[f"weights_{index}"], arrays[f"biases_{index}"]) for index in range(count))
            kernel = (arrays["support"], float(arrays["gamma"])) if "support" in arrays else (None, 0.0)
            return cls(facts["kind"], tuple(facts["tags"]), bool(facts["single_label"]),
                       arrays["mean"], arrays["std"], layers, *kernel)  # fmt: skip
        except (KeyError, TypeError) as error:
            raise TransferError(f"the classifier lacks {error}; train it again") from error


def _kernel(x: Array, support: Array, gamma: float) -> Array:
    squares = (x**2).sum(axis=1)[:, np.newaxis] + (support**2).sum(axis=1) - 2 * (x @ support.T)
    found: Array = np.exp(-gamma * np.maximum(squares, 0))
    return found


def _softmax(x: Array) -> Floats:
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    scores: Floats = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores


def _sigmoid(x: Array) -> Floats:
    scores: Floats = (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)  # no overflow on either side
    return scores
