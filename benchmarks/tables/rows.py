"""The rows of the paper's tables, each a network to train, with the paper's figures on MagnaTagATune."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samplecnn_zoo.models import (
    FRAME_LEVEL_MEL_PLANS,
    FRAME_LEVEL_RAW_PLANS,
    MULTI_SCALE_PLANS,
    SAMPLING_RATE_PLANS,
    frame_plan,
    sample_plan,
)

FULL_RATE = 22_050


@dataclass(frozen=True)
class Row:
    """A network of a table.

    Attributes:
        name: Tells it from the others, in files too.
        arguments: Of its builder, widths apart.
        builder: A function of `samplecnn_zoo.models`.
        rate: Of the sound that it hears, in Hz.
        paper_auc: ROC-AUC in the paper; None where it has none.
        paper_time: Training time as a share of that of the network for 22,050 Hz, in the paper.
    """

    name: str
    arguments: Mapping[str, Any]
    builder: str = "SampleCNN"
    rate: int = FULL_RATE
    paper_auc: float | None = None
    paper_time: float | None = None

    def narrowed(self, shrink: int) -> dict[str, Any]:
        """The arguments with each of the paper's widths divided by `shrink`; 128 mel bands stay."""
        if self.builder == "SampleCNN":
            plan = sample_plan(self.arguments["m"], self.arguments.get("n"))
        else:
            plan = frame_plan(*(self.arguments[name] for name in ("window", "hop", "n")))
        widths = [stage.width // shrink for stage in plan.stages]
        return {**self.arguments, "widths": widths[1:] if self.builder == "FrameLevelMel" else widths}


_MEL_AUC = (0.9000, 0.9005, 0.9047, 0.9059, 0.9025)
_RAW_AUC = (0.8655, 0.8742, 0.8823, 0.8906, 0.8936, 0.9002, 0.9030)  # 3-3-9 is 3^9 itself
_RATE_AUC = (0.8700, 0.8838, 0.9031, 0.9033, 0.9033, 0.9055, 0.9055)
_RATE_TIME = (0.23, 0.41, 0.55, 0.69, 0.79, 0.86, 1.00)

SAMPLE_LEVEL = Row("3x9", {"m": 3, "n": 9}, paper_auc=0.9055, paper_time=1.0)

_MEL = tuple(
    Row(f"mel-{w}-{h}-{n}", {"window": w, "hop": h, "n": n}, "FrameLevelMel", paper_auc=auc)
    for (w, h, n), auc in zip(FRAME_LEVEL_MEL_PLANS, _MEL_AUC, strict=True)
)
_RAW = tuple(
    Row(f"raw-{w}-{h}-{n}", {"window": w, "hop": h, "n": n}, "FrameLevelRaw", paper_auc=auc)
    for (w, h, n), auc in zip(FRAME_LEVEL_RAW_PLANS[:-1], _RAW_AUC, strict=True)
)
_RATES = tuple(
    SAMPLE_LEVEL if rate == FULL_RATE
    else Row(f"{rate}hz", {"m": sizes, "sr": rate}, rate=rate, paper_auc=auc, paper_time=time)
    for (rate, sizes), auc, time in zip(SAMPLING_RATE_PLANS.items(), _RATE_AUC, _RATE_TIME, strict=True)
)  # fmt: skip
_SCALES = tuple(
    SAMPLE_LEVEL if (m, n) == (3, 9) else Row(f"{m}x{n}", {"m": m, "n": n}) for m, n in MULTI_SCALE_PLANS
)
_EIGHT = {"m": SAMPLING_RATE_PLANS[8000], "sr": 8000}
_SUCCESSORS = (
    Row("8000hz", _EIGHT, rate=8000),
    *(
        Row(
            f"{block}{'_multi' if multi else ''}",
            {**_EIGHT, "block": block, "multi_level": multi, **({"se_ratio": 1} if "se" in block else {})},
            rate=8000,
        )
        for block in ("basic", "se", "res1", "res2", "rese1", "rese2")
        for multi in (False, True)
        if multi or block != "basic"
    ),
)

TABLES: dict[str, tuple[Row, ...]] = {
    "table2": (*_MEL, *_RAW, SAMPLE_LEVEL),
    "table5": _RATES,
    "table4": _SCALES,
    "successors": _SUCCESSORS,
}
"""Table 2: frame and sample level; 4: scales; 5: sampling rates, planned in Table 3; successors at 8 kHz."""
