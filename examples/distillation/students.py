"""Who is taught: the networks by name, and what a preset says of them."""

from dataclasses import dataclass
from typing import Any

import keras
from musicnn import TAGS

from samplecnn_zoo import SampleCNN
from samplecnn_zoo.models.plans import SAMPLING_RATE_PLANS

LEVELS = (-1, -2, -3)


@dataclass(frozen=True)
class Student:
    """A network: arguments of `SampleCNN`."""

    rate: int
    arguments: dict[str, Any]


STUDENTS = {
    "samplecnn_3x9": Student(22_050, {"m": 3, "n": 9}),
    "samplecnn_rese1_multi_3x9": Student(
        22_050, {"m": 3, "n": 9, "widths": "released", "block": "rese1", "multi_level": True, "se_ratio": 1}
    ),
    "samplecnn_8k": Student(8000, {"m": SAMPLING_RATE_PLANS[8000]}),
    "samplecnn_small_8k": Student(
        8000, {"m": SAMPLING_RATE_PLANS[8000], "widths": [64, 64, 96, 96, 128, 128, 128, 192, 256]}
    ),
}


def arguments(name: str) -> dict[str, Any]:
    """All arguments of the builder."""
    student = STUDENTS[name]
    return {**student.arguments, "sr": student.rate, "num_tags": len(TAGS), "dropout": 0.2}


def build(name: str) -> keras.Model:
    """The network with random weights, under the precision policy in force."""
    return SampleCNN(**arguments(name))
