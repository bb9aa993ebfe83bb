"""Weights that the authors of the networks published, as records: where the file is and what it holds.

Nothing is read or downloaded here. `samplecnn_zoo.zoo.converters` makes a preset out of such a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from math import prod
from types import MappingProxyType
from typing import Any

from samplecnn_zoo.zoo.preset import Normalization, Preset, PresetError, Score, SegmentRule, Source

FORMATS = ("keras1_hdf5", "torch_legacy", "torch_lightning")
FAMILIES = ("lee", "won", "clmr")

COVER = SegmentRule()

_NOT_OURS = "published, not measured here"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of weights that somebody published, and everything about it that it does not say itself.

    Attributes:
        name: of the preset, `architecture.tag`.
        source: the file; `blob` None where it has no git blob id and comes in from a local file only.
        format: how it is stored, one of `FORMATS`.
        family: whose code wrote it, one of `FAMILIES`: names, layout and order of its arrays.
        arguments: of `builder`, which builds the network.
        parameters: trainable numbers in the network that is built.
        tags: in the order of the outputs; with `numbered`, placeholders because no list was published.
        scores: as published; nothing of it was measured here.
        size_bytes: of the file, None where it is not known.
    """

    name: str
    source: Source
    format: str
    family: str
    arguments: Mapping[str, Any] = field(hash=False)
    parameters: int
    sample_rate: int
    segment_samples: int
    tags: tuple[str, ...]
    license: str
    training_data: str
    description: str
    builder: str = "SampleCNN"
    numbered: bool = False
    segment_rule: SegmentRule = COVER
    normalization: Normalization | None = None
    scores: tuple[Score, ...] = ()
    size_bytes: int | None = None

    @property
    def url(self) -> str | None:
        """Address of the file at its pinned commit; None for one that comes in from a local file only."""
        if self.source.blob is None:
            return None
        return f"https://raw.githubusercontent.com/{self.source.repo}/{self.source.commit}/{self.source.path}"

    def preset(self, *, tags: Sequence[str] | None = None, **changes: Any) -> Preset:
        """Return the record of the preset that the file becomes, without hashes.

        Args:
            tags: names for numbered outputs.
            changes: other fields of `Preset` to replace.

        Raises:
            PresetError: if there are more or fewer tags than outputs, or `tags` contradict known ones.
        """
        fields: dict[str, Any] = {
            "name": self.name,
            "builder": self.builder,
            "arguments": dict(self.arguments),
            "sample_rate": self.sample_rate,
            "segment_samples": self.segment_samples,
            "tags": self.tags if tags is None else self._named(tuple(tags)),
            "license": self.license,
            "training_data": self.training_data,
            "description": self.description,
            "normalization": self.normalization,
            "segment_rule": self.segment_rule,
            "source": self.source,
            "scores": self.scores,
        }
        return Preset(**fields | changes)

    def _named(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        if len(tags) != len(self.tags):
            raise PresetError(f"{self.name} has {len(self.tags)} outputs, got {len(tags)} tags")
        if not self.numbered and tags != self.tags:
            at = next(index for index, tag in enumerate(tags) if tag != self.tags[index])
            raise PresetError(
                f"{self.name} has its own tags: output {at} is {self.tags[at]!r}, got {tags[at]!r}; "
                "leave the tags out"
            )
        return tags


def numbered(count: int, word: str) -> tuple[str, ...]:
    """Return names for outputs that nobody named: `class_0`, `class_1`, …."""
    return tuple(f"{word}_{index}" for index in range(count))


def _tags(name: str) -> tuple[str, ...]:
    text = files("samplecnn_zoo.zoo").joinpath("tags", f"{name}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def _lee() -> Iterator[Published]:
    """Yield the networks of Lee et al. for MagnaTagATune and the Million Song Dataset: Keras 1 on Theano."""
    lee: dict[str, Any] = {
        "format": "keras1_hdf5",
        "family": "lee",
        "sample_rate": 22050,
        "segment_samples": 3**10,
        "license": "MIT",
    }
    yield Published(
        name="samplecnn_3x9.lee_mtat",
        source=Source(
            "jongpillee/sampleCNN_visualization",
            "9d889f99bc17e6920cf731cf11a8294c4f3105c2",
            "best_weights_19683frames_power3_ETE_256_3_3_0.000016.hdf5",
            "7bb348fdeb0fb20130da1e76b152e52ef63f71df",
        ),
        arguments={"m": 3, "n": 9, "widths": "released", "alignment": "theano"},
        parameters=1_869_874,
        tags=_tags("lee_mtat"),
        training_data="MagnaTagATune, its 50 most frequent tags",
        description="3^9 SampleCNN of Lee et al. for MagnaTagATune, from the authors' weights",
        # Of this architecture (Kim et al. 2018, Basic without -multi); the paper's own net is wider.
        scores=(_score("ROC-AUC", 0.9055, "MagnaTagATune"),),
        **lee,
    )
    yield Published(
        name="samplecnn_3x9.lee_msd",
        source=Source(
            "jongpillee/musicTagging_MSD",
            "71ed2353cf3ccf261603eb016fef37e368c70e41",
            "models/weight_msdTag.hdf5",
            "a58dddfd6a9813585874ddd001f9d3613b704d28",
        ),
        arguments={
            "m": 3,
            "n": 9,
            "widths": [128, 128, *[256] * 7],
            "dropout": 0,
            "alignment": "theano",
        },
        parameters=1_462_322,
        tags=_tags("msd"),
        training_data="Million Song Dataset, the 50 most frequent tags of Last.fm",
        description="3^9 SampleCNN of Lee et al. for the Million Song Dataset, narrower at the top; the "
        "scores in their papers are of another network",
        # Their prediction script takes 30 s // 59049 + 1 windows, hop = (length - 59049) // 11.
        segment_rule=SegmentRule("even", windows=12),
        **lee,
    )


# ms at 44.1 kHz → stage sizes, trainable parameters, git blob id. The widths are those of "released".
_DCASE = {
    372: ((2,) * 14, 1_855_889, "8c435d69a3b1c995a5fe71faa526d2bf03df5e37"),
    557: ((2,) * 13 + (3,), 1_986_961, "7bc3e1f14b8336855d19fcb1dedf32194e85df9e"),
    627: ((2,) * 10 + (3,) * 3, 1_986_193, "477a30ce8b6bad29408f689235b071e289e108ae"),
    743: ((2,) * 15, 1_987_729, "b9f418a595aca3a628a893ec335619f720c3dbbb"),
    893: ((3,) * 9 + (2,), 1_721_873, "f4627de4db542256bdc793f28b616d405aab62bc"),
    1486: ((2,) * 16, 2_119_569, "0ef8113cd2a756c101c7bcab1122d47c22029487"),
    2678: ((3,) * 10 + (2,), 1_919_249, "4bd6daebb42a373d53b6d0d0ab879805938ddcd0"),
    3543: ((5,) * 7 + (2,), 1_851_665, "3d574d555762c60ca8d8e66388567038c9ecd74b"),
}


def _dcase() -> Iterator[Published]:
    """Yield Lee's eight scales for task 4 of DCASE 2017; which class is which output was not published."""
    for milliseconds, (sizes, parameters, blob) in _DCASE.items():
        yield Published(
            name=f"samplecnn_{milliseconds}.lee_dcase2017",
            source=Source(
                "jongpillee/dcase2017submission",
                "188178edfc661b099137c30a0d6ab85283a868f0",
                f"dcase2017task4_models/weights_input{milliseconds}.hdf5",
                blob,
            ),
            format="keras1_hdf5",
            family="lee",
            arguments={
                "m": list(sizes),
                "sr": 44100,
                "num_tags": 17,
                "widths": "released",
                "alignment": "theano",
            },
            parameters=parameters,
            sample_rate=44100,
            segment_samples=prod(sizes),
            tags=numbered(17, "class"),
            numbered=True,
            license="MIT",
            training_data="DCASE 2017 task 4: warning and vehicle sounds of AudioSet, 17 classes",
            description=f"SampleCNN of Lee et al. for DCASE 2017, segments of {milliseconds} ms; "
            "which output is which class was not published",
        )


# (data set, block) → git blob id, ROC-AUC and PR-AUC of Won et al. 2020.
_WON = {
    ("mtat", "sample"): ("0ce2469da86fddc73be75936fbcddc9471e7ce21", 0.9058, 0.4422),
    ("mtat", "se"): ("5f20d799b05a88ebbc2140f75c663283d556e3de", 0.9103, 0.4520),
    ("msd", "sample"): ("3888125187cd62bff2ec7f6763b474b916407d95", 0.8789, 0.2959),
    ("msd", "se"): ("7d5eca8d6a5d47631126042c3d40d7dcf6a9a451", 0.8838, 0.3109),
    ("jamendo", "sample"): ("db5bedf34a0ea6500d95e254a43a203a185cec06", 0.8208, 0.2742),
    ("jamendo", "se"): ("a4b55509c3af0558c02723322f3aab5122ae8d14", 0.8233, 0.2784),
}
_WON_SETS = {
    "mtat": ("MagnaTagATune", "won_mtat", "MagnaTagATune, its 50 most frequent tags"),
    "msd": ("MSD", "msd", "Million Song Dataset, the 50 most frequent tags of Last.fm"),
    "jamendo": ("MTG-Jamendo", "won_jamendo", "MTG-Jamendo, its 50 most frequent tags, split 0"),
}


def _won() -> Iterator[Published]:
    """Yield the networks of Won et al. 2020: PyTorch, 16 kHz."""
    for (data, block), (blob, roc, pr) in _WON.items():
        dataset, tags, training_data = _WON_SETS[data]
        se = block == "se"
        yield Published(
            name=f"samplecnn_{'se_' if se else ''}16k.won_{data}",
            source=Source(
                "minzwon/sota-music-tagging-models",
                "36aa13b7205ff156cf4dcab60fd69957da453151",
                f"models/{data}/{block}/best_model.pth",
                blob,
            ),
            format="torch_legacy",
            family="won",
            arguments={"m": 3, "n": 9, "sr": 16000, "widths": "released", "input_padding": 1}
            | ({"block": "rese_won"} if se else {}),
            parameters=6_951_858 if se else 1_869_874,
            sample_rate=16000,
            segment_samples=3**10,
            tags=_tags(tags),
            license="MIT",
            training_data=training_data,
            description=f"3^9 SampleCNN{' with squeeze-and-excitation' if se else ''} of Won et al. 2020",
            # Their evaluation: 16 windows, hop = (length - 59049) // 16.
            segment_rule=SegmentRule("even", windows=16, to_end=False),
            scores=(_score("ROC-AUC", roc, dataset), _score("PR-AUC", pr, dataset)),
        )


def _clmr() -> Published:
    """Return the encoder of Spijkervet & Burgoyne 2021, learned without tags (PyTorch Lightning)."""
    return Published(
        name="samplecnn_3x9.clmr",
        source=Source(
            "Spijkervet/CLMR",
            "423414d086350d04fd46e48bc74af30a208eff90",
            "clmr_checkpoint_10000.zip",
        ),
        format="torch_lightning",
        family="clmr",
        arguments={"m": 3, "n": 9, "widths": "released", "include_top": False, "dropout": 0},
        parameters=1_844_224,
        sample_rate=22050,
        segment_samples=3**10,
        tags=numbered(512, "feature"),
        numbered=True,
        license="Apache-2.0",
        training_data="MagnaTagATune, without its tags (contrastive learning)",
        description="3^9 SampleCNN encoder of CLMR (Spijkervet & Burgoyne 2021): features, no tags",
    )


def _score(metric: str, value: float, dataset: str) -> Score:
    return Score(metric, value, dataset=dataset, split="test", note=_NOT_OURS)


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {record.name: record for record in (*_lee(), *_dcase(), *_won(), _clmr())}
)
"""Every published file that this package reads, by the name of its preset."""
