"""The page itself, in gradio: what a visitor gives, and what comes of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from samplecnn_zoo.audio import AudioError
from samplecnn_zoo.demo import drawing
from samplecnn_zoo.demo.hearing import Limits, Refused, hear
from samplecnn_zoo.demo.shelf import Shelf
from samplecnn_zoo.demo.uploads import Uploads
from samplecnn_zoo.tagger import Tagger

Parts = tuple[str, str, str, str]
"""Of the results, in HTML: over time, in the whole clip, the nearest clips, files to keep."""

TITLE = "What does it hear in your music?"
AT_ONCE = 2  # clips that are listened to at the same time; each takes all cores
WAITING = 64  # and visitors who wait for their turn
EXAMPLES = 6

HINT = "Drop a song or record a few seconds above: what is heard will stand here."


@dataclass(frozen=True)
class Studio:
    """All that the page works with.

    Attributes:
        taggers: By the names of their presets, the first one is chosen at the beginning.
        shelf: The clips that come with the page.
        limits: On what a visitor may bring.
        uploads: Where that is held.
    """

    taggers: Mapping[str, Tagger]
    shelf: Shelf
    limits: Limits
    uploads: Uploads

    def listen(self, given: str | None, preset: str) -> Iterator[Parts]:
        """Yield what to show while a file is listened to, and then what was heard."""
        if not given:
            yield drawing.message(HINT, kind="hint"), "", "", ""
            return
        path = Path(given)
        yield drawing.message(f"Listening to {path.name} …", kind="busy"), "", "", ""
        yield self._heard(path, preset)

    def _heard(self, path: Path, preset: str) -> Parts:
        """The results for a file; what goes wrong is told in their first part."""
        try:
            with self.uploads.opened(path) as file:
                heard = hear(self.taggers[preset], file, self.limits)
        except (AudioError, Refused) as error:
            return drawing.message(str(error)), "", "", ""
        near = self.shelf.nearest(preset, heard.vector, but=path)
        return drawing.taggram(heard), drawing.bars(heard), drawing.nearest(near), drawing.files(heard, near)


def build(studio: Studio) -> gr.Blocks:
    """Return the page, not yet served."""
    gr.set_static_paths(
        [str(path) for path in studio.shelf.paths]
    )  # served from where they are, never copied
    with gr.Blocks(title=f"{TITLE} · samplecnn_zoo", analytics_enabled=False) as page:
        gr.HTML(_head(), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                audio = _audio()
                examples = _examples(studio.shelf)
                gr.HTML(_refusal(studio.limits), padding=False)
                over_time = gr.HTML(
                    drawing.message(HINT, kind="hint"), elem_id="zoo-over-time", padding=False
                )
            with gr.Column(scale=2, min_width=300):
                preset = _presets(studio)
                about = gr.HTML(_about(studio.taggers, next(iter(studio.taggers))), padding=False)
                bars = gr.HTML(elem_id="zoo-tags", padding=False)
        nearest = gr.HTML(elem_id="zoo-nearest", padding=False)
        files = gr.HTML(elem_id="zoo-files", padding=False)
        gr.HTML(_foot(studio.limits), padding=False)
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        for button, path in examples:
            button.click(partial(str, path), outputs=audio, queue=False, **quiet)
        preset.change(partial(_about, studio.taggers), preset, about, queue=False, **quiet)
        gr.on(
            [audio.change, preset.change],
            studio.listen,
            [audio, preset],
            [over_time, bars, nearest, files],
            concurrency_limit=AT_ONCE,
            trigger_mode="always_last",
            show_progress="minimal",
            api_visibility="private",
        )
    page.queue(max_size=WAITING)
    return page


def _audio() -> gr.Audio:
    return gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Your music",
        editable=False,
        buttons=[],
        elem_id="zoo-audio",
        # Its own waveform scrolls where a clip is long; the one that is drawn over the tags always fits them.
        waveform_options=gr.WaveformOptions(show_recording_waveform=False),
    )


def _examples(shelf: Shelf) -> list[tuple[gr.Button, Path]]:
    """A button for each of the first clips of the shelf."""
    if not shelf.paths:
        return []
    gr.HTML('<p class="zoo-try">Or try one of these:</p>', padding=False)
    with gr.Row(elem_id="zoo-examples"):
        return [
            (gr.Button(drawing.title(path), size="sm", min_width=90), path) for path in shelf.paths[:EXAMPLES]
        ]


def _presets(studio: Studio) -> gr.Dropdown:
    names = list(studio.taggers)
    return gr.Dropdown(
        names, value=names[0], label="The network that listens", elem_id="zoo-preset", filterable=False
    )


def _about(taggers: Mapping[str, Tagger], name: str) -> str:
    """What a preset says of itself."""
    preset = taggers[name].preset
    facts = [
        preset.description and f"{preset.description.rstrip('.')}.",
        f"Licence of the weights: {preset.license}.",
    ]
    return f'<p class="zoo-about">{escape(" ".join(filter(None, facts)))}</p>'


def _refusal(limits: Limits) -> str:
    """Where the page itself says that a file is too large, before it is sent."""
    look = 'class="zoo-message zoo-error" role="alert"'
    return f'<p id="zoo-refusal" {look} data-bytes="{limits.bytes}" hidden></p>'


def _head() -> str:
    return (
        f'<header class="zoo-head"><h1>{TITLE}</h1><p>Drop a song, or record a few seconds. A small neural '
        "network listens to the bare sound wave and says what it hears (instruments, style, mood, tempo, "
        "whatever it was taught), how sure it is, and when.</p></header>"
    )


def _foot(limits: Limits) -> str:
    return (
        f'<footer class="zoo-foot"><p>Up to {limits.megabytes:g} MB and {limits.minutes:g} minutes: wav, '
        "mp3, flac, ogg and more. Your audio is not kept: it is in memory for half an hour so that you can "
        "switch networks, then forgotten, and no computer but the one that serves this page gets it.</p>"
        "<p>A score is no certainty: networks hear wrongly what they were never taught. Made with "
        "samplecnn_zoo.</p></footer>"
    )
