"""Presets as records: what a stored network is, what it wants and how well it does, and their JSON form."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

FORMAT_VERSION = 1
SEGMENT_RULES = ("cover", "even")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PresetError(ValueError):
    """A preset that cannot be found, trusted or used; the message says which, why, and the way out."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise PresetError(message)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _require_texts(record: object, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        what = f"{type(record).__name__}.{name}"
        _require(isinstance(value, str), f"{what} must be a string, got {value!r}")


@dataclass(frozen=True)
class Normalization:
    """What is done to every sample before the network sees it: (x - mean) / std.

    Raises:
        PresetError: if mean or std is no finite number, or std is not above zero.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        _require(_is_number(self.mean), f"Normalization.mean must be a finite number, got {self.mean!r}")
        _require(
            _is_number(self.std) and self.std > 0,
            f"Normalization.std must be a finite number above 0, got {self.std!r}",
        )


@dataclass(frozen=True)
class SegmentRule:
    """How a clip is cut into segments, and so what the published scores were measured with.

    `cover` takes a segment every `hop_samples` (None: one segment's length, so that they touch), the last
    one aligned to the end. `even` takes `windows` segments whatever the clip's length, spread evenly over
    it: the last one ends with the clip, or with `to_end` False one hop before, as in Won et al. 2020. The
    clip's score is the mean over segments either way.

    Raises:
        PresetError: if this version does not know the kind, a number is no positive whole number, or a
            field belongs to the other kind.
    """

    kind: str = "cover"
    hop_samples: int | None = None
    windows: int | None = None
    to_end: bool = True

    def __post_init__(self) -> None:
        _require(
            self.kind in SEGMENT_RULES,
            f"the segment rule must be one of {', '.join(SEGMENT_RULES)}, got {self.kind!r}; "
            "a newer samplecnn_zoo may know it",
        )
        for name in ("hop_samples", "windows"):
            value = getattr(self, name)
            _require(
                value is None or _is_count(value),
                f"SegmentRule.{name} must be a whole number of at least 1 or null, got {value!r}",
            )
        _require(isinstance(self.to_end, bool), f"SegmentRule.to_end must be a bool, got {self.to_end!r}")
        if self.kind == "even":
            _require(self.windows is not None, "the segment rule 'even' needs a number of windows")
            _require(self.hop_samples is None, "the segment rule 'even' has windows, not hop_samples")
        else:
            plain = self.windows is None and self.to_end
            _require(plain, "the segment rule 'cover' has no windows or to_end")


@dataclass(frozen=True)
class Source:
    """Where the weights were first published: one file of one commit, verified by its git blob id."""

    repo: str
    commit: str
    path: str
    blob: str | None = None

    def __post_init__(self) -> None:
        _require_texts(self, "repo", "commit", "path")
        _require(self.blob is None or isinstance(self.blob, str), "Source.blob must be a string or null")


@dataclass(frozen=True)
class Training:
    """How the weights came about, so that somebody else can make them again."""

    command: str
    hours: float
    machine: str
    note: str = ""

    def __post_init__(self) -> None:
        _require_texts(self, "command", "machine", "note")
        _require(
            _is_number(self.hours) and self.hours >= 0,
            f"Training.hours must be a number of at least 0, got {self.hours!r}",
        )


@dataclass(frozen=True)
class Score:
    """One measured figure: a metric on a named split of a data set, with its interval where there is one.

    Raises:
        PresetError: if a figure is not finite, or value does not lie within low and high.
    """

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    dataset: str = ""
    split: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _require_texts(self, "metric", "dataset", "split", "note")
        _require(_is_number(self.value), f"Score.value must be a finite number, got {self.value!r}")
        for bound in (self.low, self.high):
            _require(bound is None or _is_number(bound), f"a Score's bounds must be finite, got {bound!r}")
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        _require(low <= self.value <= high, f"{self.metric} {self.value} must lie within {low} and {high}")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Everything about a stored network that its weights do not say.

    `tags` stand in the order of the network's outputs. `sample_rate` is in Hz. `normalization` is applied
    to the audio by whoever feeds the network; None feeds it as it is. `license` is that of the weights,
    `code_license` that of the code that builds the network. `save_pretrained` fills in the two hashes.

    Raises:
        PresetError: if a field breaks its rule; the message names the field and the value.
    """

    name: str
    builder: str
    arguments: Mapping[str, Any] = field(hash=False)
    sample_rate: int
    segment_samples: int
    tags: tuple[str, ...]
    license: str
    training_data: str
    description: str = ""
    normalization: Normalization | None = None
    segment_rule: SegmentRule = SegmentRule()
    source: Source | None = None
    training: Training | None = None
    scores: tuple[Score, ...] = ()
    code_license: str = "MIT"
    weights_sha256: str | None = None
    config_sha256: str | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _require_texts(self, "name", "builder", "license", "training_data", "description", "code_license")
        _require(
            _NAME.fullmatch(self.name) is not None,
            f"a preset's name is made of letters, digits, '.', '_' and '-', got {self.name!r}",
        )
        _require(
            self.format_version == FORMAT_VERSION,
            f"format_version must be {FORMAT_VERSION}, got {self.format_version!r}",
        )
        for name in ("sample_rate", "segment_samples"):
            value = getattr(self, name)
            _require(_is_count(value), f"{name} must be a whole number of at least 1, got {value!r}")
        for name in ("weights_sha256", "config_sha256"):
            value = getattr(self, name)
            _require(
                value is None or (isinstance(value, str) and _SHA256.fullmatch(value) is not None),
                f"{name} must be 64 lower-case hexadecimal digits or null, got {value!r}",
            )
        for name, part in _PARTS.items():
            value = getattr(self, name)
            optional = value is None and name != "segment_rule"
            _require(optional or isinstance(value, part), f"{name} must be a {part.__name__}, got {value!r}")
        for score in self.scores:
            _require(isinstance(score, Score), f"scores must be Score records, got {score!r}")
        _require(
            self.hop_samples <= self.segment_samples,
            f"a hop of {self.hop_samples} samples leaves gaps between segments of {self.segment_samples}",
        )
        object.__setattr__(self, "tags", _tags(self.tags))
        object.__setattr__(self, "scores", tuple(self.scores))
        object.__setattr__(self, "arguments", _plain(self.arguments))

    @property
    def segment_s(self) -> float:
        """Length of a segment in seconds."""
        return self.segment_samples / self.sample_rate

    @property
    def is_encoder(self) -> bool:
        """True for a network that ends before the tags: its outputs are features, not scores."""
        return self.arguments.get("include_top") is False

    @property
    def hop_samples(self) -> int:
        """Samples from the start of one segment to the start of the next where segments cover the clip."""
        return self.segment_rule.hop_samples or self.segment_samples

    def to_json(self) -> str:
        """Return the text of preset.json; `Preset.from_json` gives back an equal record."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "preset.json") -> "Preset":
        """Return the record that `text` holds.

        Raises:
            PresetError: if it is no JSON object, was written in a newer format, misses a field, has an
                unknown one, or a field breaks its rule. Each message begins with `where`.
        """
        try:
            return _preset(text)
        except PresetError as error:
            raise PresetError(f"{where}: {error}") from error


def _tags(tags: object) -> tuple[str, ...]:
    if not isinstance(tags, (tuple, list)) or not tags:
        raise PresetError(f"tags must be a list of at least one string, got {tags!r}")
    for tag in tags:
        _require(
            isinstance(tag, str) and tag.strip() == tag != "", f"a tag must be a trimmed text, got {tag!r}"
        )
    repeated = sorted(tag for tag, count in Counter(tags).items() if count > 1)
    _require(not repeated, f"every tag must be named once, repeated: {', '.join(repeated)}")
    return tuple(tags)


def _plain(arguments: object) -> dict[str, Any]:
    """Return `arguments` as JSON would give them back, so that a record equals its reloaded self."""
    _require(isinstance(arguments, Mapping), f"arguments must be a mapping, got {arguments!r}")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PresetError(f"arguments must be plain JSON values: {error}") from error
    return plain


_PARTS: dict[str, type[Any]] = {
    "normalization": Normalization,
    "segment_rule": SegmentRule,
    "source": Source,
    "training": Training,
}


def _preset(text: str) -> Preset:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise PresetError(f"this is no JSON ({error}); fetch the preset again") from error
    if not isinstance(value, dict):
        raise PresetError(f"a JSON object is needed, got {type(value).__name__}")
    version = value.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise PresetError(f"format_version must be a whole number, got {version!r}")
    if version > FORMAT_VERSION:
        raise PresetError(
            f"format_version {version} is newer than this samplecnn_zoo reads ({FORMAT_VERSION}): upgrade it"
        )
    parts = dict(value)
    for name, part in _PARTS.items():
        if parts.get(name) is not None:
            parts[name] = _record(part, parts[name], name)
    scores = parts.get("scores", [])
    if not isinstance(scores, list):
        raise PresetError(f"scores must be a list, got {scores!r}")
    parts["scores"] = tuple(_record(Score, score, "a score") for score in scores)
    preset: Preset = _record(Preset, parts, "the preset")
    return preset


def _record(kind: type[Any], value: object, what: str) -> Any:
    """Build a `kind` from a JSON object that holds its fields, no more and none of the needed ones fewer."""
    if not isinstance(value, dict):
        raise PresetError(f"{what} must be a JSON object, got {value!r}")
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    unknown = sorted(value.keys() - {f.name for f in fields(kind)})
    missing = sorted(needed - value.keys())
    _require(not unknown, f"{what} has unknown fields: {', '.join(unknown)}")
    _require(not missing, f"{what} lacks the fields: {', '.join(missing)}")
    return kind(**value)
