"""Results as HTML: bars, a waveform and a taggram on one axis of time, the nearest clips, files to keep.

Colours come from the page's theme, so that all of it is light or dark with the page. Nothing here is fetched
from anywhere: pictures and files to keep stand in the page as data.
"""

import base64
import html
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from samplecnn_zoo import __version__
from samplecnn_zoo.demo.hearing import Heard
from samplecnn_zoo.demo.shelf import Neighbour
from samplecnn_zoo.formats import shortest
from samplecnn_zoo.tagger import Taggram
from samplecnn_zoo.visualize.taggram import ceiling, to_csv

TOP = 12  # tags that are shown; the files to keep have all
COLUMNS = 600  # of a taggram's picture

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


def title(path: Path) -> str:
    """A file's name as a title.

    >>> title(Path("oh_susanna.ogg"))
    'Oh susanna'
    """
    text = path.stem.replace("_", " ").strip() or path.name
    return text[0].upper() + text[1:]


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.2)
    '1:15'
    """
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def message(text: str, *, kind: str = "error") -> str:
    """A line for the visitor: an "error", a "hint", or that the page is "busy"."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="zoo-message zoo-{kind}" role="{role}">{html.escape(text)}</p>'


def bars(heard: Heard, top: int = TOP) -> str:
    """The tags with the highest scores, a bar each."""
    rows = [
        f'<li><span class="zoo-name">{html.escape(tag.tag)}</span>'
        f'<span class="zoo-bar"><span style="width:{100 * tag.score:.1f}%"></span></span>'
        f'<span class="zoo-score">{100 * tag.score:.0f} %</span></li>'
        for tag in heard.clip.tags[:top]
    ]
    about = f"{html.escape(heard.clip.path.name)}, {clock(heard.clip.duration_s)}"
    return (
        f'<section class="zoo-bars"><h2>In the whole clip</h2><p class="zoo-about">{about}</p>'
        f"<ol>{''.join(rows)}</ol></section>"
    )


def taggram(heard: Heard, top: int = TOP) -> str:
    """The waveform and below it the same tags over time, with a line that goes along with the player."""
    gram = heard.taggram
    columns = over_time(gram, COLUMNS)
    place = {tag: row for row, tag in enumerate(gram.tags)}
    shown = [place[tag.tag] for tag in heard.clip.tags[:top]]
    percents = np.round(100 * columns[:, shown].T).astype(int).tolist()
    highest = ceiling(columns[:, shown])
    rows = [_strip(gram.tags[row], columns[:, row] / highest) for row in shown]
    ticks = [
        f'<span style="left:{100 * second / gram.duration_s:.2f}%">{clock(second)}</span>'
        for second in _ticks(gram.duration_s)
    ]
    return (
        f'<section class="zoo-taggram" data-duration="{gram.duration_s:.3f}" '
        f'data-percents="{json.dumps(percents, separators=(",", ":"))}">'
        "<h2>Over time</h2>"
        f'<p class="zoo-about">The stronger the colour, the surer, up to {100 * highest:.0f} %. '
        "Play the clip and the line moves along; click anywhere to hear that moment.</p>"
        f'<div class="zoo-strips">{_waveform(heard.outline)}{"".join(rows)}'
        '<div class="zoo-cursor" hidden></div></div>'
        f'<div class="zoo-axis" aria-hidden="true">{"".join(ticks)}</div></section>'
    )


def over_time(gram: Taggram, columns: int) -> npt.NDArray[np.float64]:
    """The scores (columns, tags) at equal steps of time, at most `columns`.

    A moment has the scores of the segment whose middle is nearest; where a step holds several, their mean.
    """
    count = max(1, min(columns, 8 * len(gram.start_s)))
    fine = count * max(1, -(-len(gram.start_s) // count))
    moments = (np.arange(fine) + 0.5) * gram.duration_s / fine
    middles = gram.start_s + min(gram.segment_s, gram.duration_s) / 2
    rows = np.searchsorted((middles[1:] + middles[:-1]) / 2, moments)
    scores = gram.scores[rows].astype(np.float64)
    means: npt.NDArray[np.float64] = scores.reshape(count, fine // count, -1).mean(axis=1)
    return means


def nearest(neighbours: Sequence[Neighbour]) -> str:
    """The page's own clips that sound most alike, each with a player."""
    if not neighbours:
        return ""
    cards = [
        f"<li><strong>{html.escape(title(one.path))}</strong>"
        f'<span class="zoo-score">{100 * one.similarity:.0f} % alike</span>'
        f'<audio controls preload="none" src="gradio_api/file={quote(str(one.path))}"></audio></li>'
        for one in neighbours
    ]
    return (
        '<section class="zoo-nearest"><h2>Sounds most like</h2><p class="zoo-about">Of the clips that come '
        "with this page, by what the network's last hidden layer makes of them.</p>"
        f"<ol>{''.join(cards)}</ol></section>"
    )


def files(heard: Heard, neighbours: Sequence[Neighbour]) -> str:
    """Links that save the results: the data is in the links, so no server keeps it."""
    stem = heard.clip.path.stem
    text = json.dumps(record(heard, neighbours), ensure_ascii=False)
    links = [
        _link(f"{stem}.json", "application/json", text, "Everything (JSON)"),
        _link(f"{stem}.csv", "text/csv", to_csv(heard.taggram), "Tags over time (CSV)"),
    ]
    return f'<section class="zoo-files"><h2>Keep the results</h2><p>{" ".join(links)}</p></section>'


def record(heard: Heard, neighbours: Sequence[Neighbour]) -> dict[str, Any]:
    """The results, ready for JSON: the clip and its tags as `samplecnn tag` has them, taggram, nearest."""
    gram = heard.taggram
    return {
        "path": heard.clip.path.name,
        "duration_s": round(heard.clip.duration_s, 6),
        "preset": heard.preset,
        "samplecnn_zoo": __version__,
        "tags": [{"tag": tag.tag, "score": shortest(tag.score)} for tag in heard.clip.tags],
        "taggram": {
            "segment_s": gram.segment_s,
            "start_s": np.round(gram.start_s, 6).tolist(),
            "tags": list(gram.tags),
            "scores": [[shortest(score) for score in row] for row in gram.scores],
        },
        "nearest": [{"clip": one.path.name, "similarity": round(one.similarity, 4)} for one in neighbours],
    }


def _link(name: str, kind: str, text: str, label: str) -> str:
    data = base64.b64encode(text.encode()).decode()
    return (
        f'<a class="zoo-link" download="{html.escape(name)}" '
        f'href="data:{kind};charset=utf-8;base64,{data}">{html.escape(label)}</a>'
    )


def _waveform(outline: Floats) -> str:
    points = [f"{at},{peak:.3f}" for at, peak in enumerate([*outline, outline[-1]])]
    points += [f"{at},{-peak:.3f}" for at, peak in reversed([*enumerate([*outline, outline[-1]])])]
    return (
        f'<svg class="zoo-wave" viewBox="0 -1.02 {len(outline)} 2.04" preserveAspectRatio="none" role="img" '
        f'aria-label="Waveform"><polygon points="{" ".join(points)}"/></svg>'
    )


def _strip(tag: str, scores: npt.NDArray[np.float64]) -> str:
    name = html.escape(tag)
    picture = base64.b64encode(_png(_pixels(scores))).decode()
    return (
        f'<div class="zoo-row"><span class="zoo-name">{name}</span><span class="zoo-now"></span>'
        f'<span class="zoo-heat" role="img" aria-label="{name} over time">'
        f'<span style="--heat:url(data:image/png;base64,{picture})"></span></span></div>'
    )


def _pixels(scores: npt.NDArray[np.float64]) -> Bytes:
    """A row of (1, columns, 4) pixels, as opaque as the score is high: a mask for the theme's colour."""
    pixels = np.zeros((1, len(scores), 4), np.uint8)
    pixels[..., 3] = np.round(255 * np.clip(scores, 0, 1))
    return pixels


def _png(pixels: Bytes) -> bytes:
    """Pixels (rows, columns, 4) as a PNG."""
    rows, columns, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _ticks(duration_s: float, most: int = 6) -> list[float]:
    """Round times from 0 on, at most about six, and none so late that its label would stick out.

    >>> _ticks(29.1)
    [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    """
    steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600]
    step = next((step for step in steps if duration_s / step <= most), 3600)
    return [float(second) for second in range(0, int(0.97 * duration_s) + 1, step)]
