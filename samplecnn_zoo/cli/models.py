"""Networks by name, for `samplecnn train --model`."""

import difflib
from typing import Any

from samplecnn_zoo.cli.console import fail
from samplecnn_zoo.models import (
    FRAME_LEVEL_MEL_PLANS,
    FRAME_LEVEL_RAW_PLANS,
    MULTI_SCALE_PLANS,
    SAMPLING_RATE_PLANS,
    SUCCESSORS,
)

Network = tuple[str, dict[str, Any]]

NETWORKS: dict[str, Network] = (
    {f"samplecnn_{m}x{n}": ("SampleCNN", {"m": m, "n": n}) for m, n in MULTI_SCALE_PLANS}
    | {
        f"samplecnn_{rate // 1000}k": ("SampleCNN", {"m": plan, "sr": rate})
        for rate, plan in SAMPLING_RATE_PLANS.items()
        if rate % 1000 == 0  # that of 22050 Hz is samplecnn_3x9
    }
    | {
        f"samplecnn_{name.removeprefix('kim_')}": ("SampleCNN", dict(keys))
        for name, keys in SUCCESSORS.items()
    }
    | {
        f"framelevel_{kind.lower()}_{window}_{hop}": (
            f"FrameLevel{kind}",
            {"window": window, "hop": hop, "n": n},
        )
        for kind, plans in (("Raw", FRAME_LEVEL_RAW_PLANS), ("Mel", FRAME_LEVEL_MEL_PLANS))
        for window, hop, n in plans
    }
)
"""Name → builder of `samplecnn_zoo.models` and its keywords."""


def network(name: str) -> Network:
    """Return the network of that name; end the command when there is none."""
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS, n=1)
        way_out = f"did you mean {close[0]}?" if close else f"there are {', '.join(NETWORKS)}"
        fail(f"there is no model {name!r}; {way_out}")
    return NETWORKS[name]
