"""A song map as a page to look around in: one file, no network, a clip's name and tags where one points."""

import html
import json
from importlib.resources import files
from typing import Any

import numpy as np

from samplecnn_zoo.formats import printable
from samplecnn_zoo.visualize import style
from samplecnn_zoo.visualize.map_figure import SHAPES, check_tags, reach
from samplecnn_zoo.visualize.maps import LevelMap, SongMap


def page(song: SongMap) -> str:
    """Return the text of the page.

    Whatever stands in names and tags is shown as text: in the page it is JSON without a sign of markup, and
    its script makes no markup of it.

    Raises:
        MapError: There are more tags than can be told apart.
    """
    check_tags(song.tags)
    template = (files("samplecnn_zoo.visualize") / "map_page.html").read_text(encoding="utf-8")
    head, _, rest = template.partition("__TITLE__")
    middle, _, tail = rest.partition("__DATA__")
    return head + html.escape(printable(song.title)) + middle + _safe(_data(song)) + tail


def _safe(value: Any) -> str:
    """JSON that nothing in a page can take for its own: neither an end of the script nor a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _data(song: SongMap) -> dict[str, Any]:
    colors = [style.CYCLE[index % len(style.CYCLE)] for index in range(len(song.tags))]
    places = np.round(np.stack([level.places for level in song.levels], axis=1), 4)  # (clips, levels, 2)
    places[..., 1] *= -1  # a page's y goes down
    clips = [
        {
            "name": printable(name),
            "tags": [printable(tag) for tag in held],
            "of": np.flatnonzero(has).tolist(),
            "at": at.tolist(),
        }
        for name, held, has, at in zip(song.names, song.held, song.has(), places, strict=True)
    ]
    return {
        "title": printable(song.title),
        "note": _note(song),
        "tags": [printable(tag) for tag in song.tags],
        "colors": colors,
        "shapes": [[*SHAPES[index], reach(index)] for index in range(len(song.tags))],
        "size": float(np.clip(0.25 / len(clips) ** 0.5, 0.008, 0.028)),
        "neighbours": song.neighbours,
        "levels": [_level(level) for level in song.levels],
        "clips": clips,
    }


def _level(level: LevelMap) -> dict[str, Any]:
    rows = [
        [
            printable(one.tag),
            f"{one.clips:,}",
            *(f"{value:.2f}" for value in (one.share, one.chance, one.chance_high)),
        ]
        for one in level.closeness
    ]
    return {"name": str(level.level).replace("-", "−"), "closeness": rows}


def _note(song: SongMap) -> str:
    return (
        f"{len(song.names):,} clips, t-SNE of perplexity {song.perplexity:.3g}: neighbours stay together, "
        "larger distances and directions mean nothing. The numbers below each map are of the features: "
        f"of the {song.neighbours} nearest neighbours of a clip with a tag, the share that has it, too."
    )
