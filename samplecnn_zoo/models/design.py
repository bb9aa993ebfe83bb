"""Blocks and heads as data: what a network is besides its table of stages, checked here, without Keras."""

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from samplecnn_zoo.models.plans import check_choice, whole


@dataclass(frozen=True)
class Block:
    """What a stage is made of.

    Attributes:
        convs: convolutions, each with BatchNorm.
        residual: add the input before the last ReLU, through a convolution where the shape changes.
        shortcut_1x1: that convolution has size 1, else the stage's own size, stride and padding.
        se_ratio: hidden channels of squeeze-and-excitation per channel; 0 is none.
        dropout: rate between two convolutions.
        everywhere: the first and the 1x1 stage are made of it too, not only the modules.
        head: the head that its authors put on it.
        bn_epsilon: of BatchNorm; 1e-5 in the authors' released nets.
    """

    convs: int = 1
    residual: bool = False
    shortcut_1x1: bool = True
    se_ratio: float = 0
    dropout: float = 0
    everywhere: bool = False
    head: str = "dense"
    bn_epsilon: float = 1e-5


BLOCKS = {
    # Lee et al. 2018, Table 1.
    "basic": Block(head="conv1x1"),
    # Kim, Lee, Nam 2018 (ICASSP). Their public code has no Res-1 and ReSE-1: our reading of the paper.
    "se": Block(se_ratio=16),
    "res1": Block(residual=True),
    "res2": Block(residual=True, convs=2, dropout=0.2),
    "rese1": Block(residual=True, se_ratio=16),
    "rese2": Block(residual=True, convs=2, dropout=0.2, se_ratio=16),
    # Won et al. 2020, "sample-level CNN + squeeze-and-excitation".
    "rese_won": Block(
        residual=True, convs=2, se_ratio=1, shortcut_1x1=False, everywhere=True, head="conv1x1+dense"
    ),
}

SUCCESSORS: dict[str, dict[str, Any]] = {
    f"kim_{block}{'_multi' if multi else ''}": {
        "m": 3,
        "n": 9,
        "widths": "released",
        "block": block,
        "head": "dense",
        "multi_level": multi,
    }
    for block in ("basic", "se", "res1", "res2", "rese1", "rese2")
    for multi in (False, True)
} | {
    "won_sample": {"m": 3, "n": 9, "sr": 16000, "widths": "released", "input_padding": 1},
    "won_se": {"m": 3, "n": 9, "sr": 16000, "widths": "released", "input_padding": 1, "block": "rese_won"},
}
"""Name → keywords of `SampleCNN` for the successors' networks (Kim et al. 2018, Won et al. 2020)."""

HEADS = ("conv1x1", "dense", "conv1x1+dense")


@dataclass(frozen=True, kw_only=True)
class Design:
    """Everything about a network but its plan; the attributes are the keywords of `SampleCNN`.

    Raises:
        ValueError: an unknown block or head, or a number out of its range.
    """

    sr: int = 22050
    num_tags: int = 50
    block: str = "basic"
    multi_level: bool = False
    head: str | None = None
    se_ratio: float | None = None
    include_top: bool = True
    classifier_activation: str | None = "sigmoid"
    dropout: float = 0.5
    bn_epsilon: float = 1e-5
    flexible: bool = False

    def __post_init__(self) -> None:
        whole("sr", self.sr, at_least=1)
        whole("num_tags", self.num_tags, at_least=1)
        check_choice("block", self.block, tuple(BLOCKS))
        if self.head is not None:
            check_choice("head", self.head, HEADS, or_else="None for the block's own")
        if self.se_ratio is not None and not 0 < self.se_ratio < inf:
            raise ValueError(
                f"se_ratio must be finite and more than 0; got {self.se_ratio}: None is the block's own"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1; got {self.dropout}")
        if not self.bn_epsilon > 0:
            raise ValueError(f"bn_epsilon must be more than 0; got {self.bn_epsilon}: the nets have 1e-5")

    @property
    def module(self) -> Block:
        """What the modules are made of."""
        kind = BLOCKS[self.block]
        ratio = self.se_ratio or kind.se_ratio
        return replace(kind, se_ratio=ratio if kind.se_ratio else 0, bn_epsilon=self.bn_epsilon)

    @property
    def end(self) -> Block:
        """What the first and the 1x1 stage are made of."""
        return self.module if self.module.everywhere else Block(bn_epsilon=self.bn_epsilon)

    @property
    def has_top(self) -> bool:
        """Whether a 1x1 stage stands on the modules (last row of Table 1)."""
        return self._head != "dense"

    @property
    def has_dense(self) -> bool:
        """Whether a hidden Dense layer stands between the pooled features and the tags."""
        return self._head != "conv1x1"

    @property
    def _head(self) -> str:
        own = "dense" if self.multi_level and self.block == "basic" else BLOCKS[self.block].head
        return self.head or own
