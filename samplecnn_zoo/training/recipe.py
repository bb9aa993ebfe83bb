"""What a training run is, as a record: network, optimizer, schedule, how clips become batches, precision."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from samplecnn_zoo.datasets.augment import Augmentation

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
ORDERS = ("random", "consecutive")
KEEPS = ("best", "last")
BUILDERS = ("SampleCNN", "FrameLevelRaw", "FrameLevelMel")


class TrainingError(ValueError):
    """A run that can't be started, gone on with or finished: one line with what is wrong and the way out."""


class LossError(TrainingError):
    """The loss became NaN or infinite: the message tells where, and what to try."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TrainingError(message)


def _choice(name: str, value: object, known: tuple[str, ...]) -> None:
    _require(value in known, f"{name} is one of {', '.join(known)}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What turns gradients into steps.

    Attributes:
        kind: `adamw` or `sgd`.
        learning_rate: The first one of a plateau, the highest one of a cosine.
        momentum: Of `sgd`.
        nesterov: Of `sgd` (paper, section 5.2).
        weight_decay: Part of each weight that a step takes away, times the learning rate.
        clip_norm: Longest gradient over all weights; None clips nothing.
    """

    kind: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _choice("optimizer", self.kind, OPTIMIZERS)
        _require(
            0 < self.learning_rate < float("inf"),
            f"learning_rate must be finite and more than 0, got {self.learning_rate}",
        )
        _require(0 <= self.momentum < 1, f"momentum must be at least 0 and less than 1, got {self.momentum}")
        _require(self.weight_decay >= 0, f"weight_decay must be at least 0, got {self.weight_decay}")
        _require(
            self.clip_norm is None or self.clip_norm > 0,
            f"clip_norm must be more than 0 or None, got {self.clip_norm}",
        )


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """The learning rate climbs to its height over `warmup` of all steps, then falls along half a cosine.

    It starts from the height times `warmup` and ends at the height times `floor`.
    """

    warmup: float = 0.05
    floor: float = 1e-3

    def __post_init__(self) -> None:
        _require(0 <= self.warmup < 1, f"warmup must be at least 0 and less than 1, got {self.warmup}")
        _require(0 <= self.floor <= 1, f"floor must be from 0 to 1, got {self.floor}")


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """The paper's schedule (section 5.2): when validation loss stands still, back to the best and slower on.

    Attributes:
        factor: What the learning rate is divided by.
        rates: How many rates there are, the first among them; after the last one the run ends.
        patience: Epochs without a lower validation loss that a rate is given.
    """

    factor: float = 5.0
    rates: int = 5
    patience: int = 3

    def __post_init__(self) -> None:
        _require(self.factor > 1, f"factor must be more than 1, got {self.factor}")
        _require(
            self.rates >= 1 and self.patience >= 1,
            f"rates and patience must be at least 1, got {self.rates} and {self.patience}",
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A run's every choice, and what is known of it.

    Attributes:
        name: What `samplecnn train` calls it.
        builder: A function of `samplecnn_zoo.models`.
        arguments: Its keywords; the rate, the number of tags and the last activation come from the data.
        epochs: At most so many; None leaves the end to a plateau.
        batch_size: Segments a step, over all devices.
        order: `random` places in a clip, or `consecutive` segments as in the paper.
        per_clip: Segments a clip and epoch; None is as many as stand beside each other in a clip.
        optimizer: Steps.
        schedule: Learning rates.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16` (Keras scales the loss of the last one).
        jit: Compile with XLA; torch ignores it.
        label_smoothing: Part of each label that is spread evenly.
        augmentation: Keywords of `datasets.augment.Augmentation`; None changes nothing.
        normalization: (mean, std) of the samples, or None to feed them as they are.
        freeze_below: Stages below this one stand still (`freeze`); None trains all.
        stage_decay: What the learning rate of each stage is multiplied by for that below it; the head has the
            whole rate, the highest stage `stage_decay` of it. 1 gives all the same.
        keep: Which epoch becomes the preset: the `best` by validation loss, or the `last`.
        command: How to run it.
        hardware: What it is for, or ran on.
        hours: How long that took; None where nobody has measured it.
        expected: The score to expect, with its source; None where nobody has measured it.

    Raises:
        TrainingError: A value out of its range, or a schedule that can't end.
    """

    name: str
    arguments: Mapping[str, Any]
    builder: str = "SampleCNN"
    epochs: int | None = 16
    batch_size: int = 16
    order: Literal["random", "consecutive"] = "random"
    per_clip: int | None = None
    optimizer: Optimizer = Optimizer()
    schedule: Cosine | Plateau | None = Cosine()
    precision: str = "float32"
    jit: bool = True
    label_smoothing: float = 0.0
    augmentation: Mapping[str, Any] | None = None
    normalization: tuple[float, float] | None = None
    freeze_below: str | None = None
    stage_decay: float = 1.0
    keep: str = "best"
    command: str = field(default="", compare=False)
    hardware: str = field(default="", compare=False)
    hours: float | None = field(default=None, compare=False)
    expected: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _choice("builder", self.builder, BUILDERS)
        _choice("order", self.order, ORDERS)
        _choice("precision", self.precision, PRECISIONS)
        _choice("keep", self.keep, KEEPS)
        _require(self.batch_size >= 1, f"batch_size must be at least 1, got {self.batch_size}")
        _require(
            self.per_clip is None or self.per_clip >= 1,
            f"per_clip must be at least 1 or None, got {self.per_clip}",
        )
        _require(
            0 <= self.label_smoothing < 1,
            f"label_smoothing must be at least 0 and less than 1, got {self.label_smoothing}",
        )
        _require(
            0 < self.stage_decay <= 1,
            f"stage_decay must be more than 0 and at most 1, got {self.stage_decay}",
        )
        _require(
            self.stage_decay == 1 or self.precision != "mixed_float16",
            "stage_decay wants float32 or mixed_bfloat16: mixed_float16 leaves steps out",
        )
        _check_augmentation(self.augmentation)
        if self.epochs is None:
            _require(
                isinstance(self.schedule, Plateau),
                "epochs=None wants the schedule Plateau, which ends itself",
            )
        else:
            _require(self.epochs >= 1, f"epochs must be at least 1, got {self.epochs}")

    def facts(self) -> dict[str, Any]:
        """Return what the trained weights depend on, as JSON would give it back: no name, no hours."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.compare}
        del values["name"]
        if self.stage_decay == 1:  # as it was before there was such a choice: older runs go on
            del values["stage_decay"]
        schedule = values["schedule"]
        values["optimizer"] = asdict(self.optimizer)
        values["schedule"] = schedule and {"kind": type(schedule).__name__, **asdict(schedule)}
        return {name: _plain(value) for name, value in values.items()}

    def but(self, **changes: Any) -> "Recipe":
        """Return the recipe with other values; those of the optimizer are given by their own names."""
        own = {item.name for item in fields(Optimizer)}
        steps = {name: value for name, value in changes.items() if name in own}
        rest = {name: value for name, value in changes.items() if name not in own}
        optimizer = rest.pop("optimizer", self.optimizer)
        return replace(self, optimizer=replace(optimizer, **steps), **rest)


def _check_augmentation(changes: Mapping[str, Any] | None) -> None:
    known = [item.name for item in fields(Augmentation)]
    for name in changes or {}:
        _require(name in known, f"there is no change {name!r}; augmentation knows {', '.join(known)}")
    try:
        Augmentation(**(changes or {}))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"augmentation: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
