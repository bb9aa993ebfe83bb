"""Rendering an excerpt of a score to audio with a soundfont, through tinysoundfont's synthesizer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from samplecnn_zoo.datasets.midi_score import DRUM_CHANNEL, Score

SYNTH_RATE = 44100  # the rate of the soundfont's own samples
GAIN_DB = -4.0  # the median excerpt then has an RMS of about -22 dB; only the densest ones clip
MAX_VOICES = 256
_NEUTRAL_BEND = 8192
_FADE_FRAMES = 8192
# Bank select (a General MIDI font has one bank) and "reset all controllers" (the synthesizer would reset
# the volume, too, which the MIDI specification forbids) are left out.
_UNPLAYED_CONTROLS = frozenset({0, 32, 121})


class SoundfontError(ValueError):
    """A soundfont that cannot play what the music asks for."""


class Renderer:
    """A synthesizer with one soundfont loaded, used for many excerpts (loading takes over a second).

    Raises:
        ImportError: tinysoundfont is not installed; the message gives the pip line.
        FileNotFoundError: There is no such soundfont.
        SoundfontError: The file is none, or is damaged.
    """

    def __init__(self, soundfont: Path) -> None:
        check_soundfont(soundfont)
        self._synth: Any = _tinysoundfont().Synth(samplerate=SYNTH_RATE)
        try:
            self._font: int = self._synth.sfload(str(soundfont), gain=GAIN_DB, max_voices=MAX_VOICES)
        except RuntimeError as error:
            raise SoundfontError(f"{soundfont}: damaged, it can't be loaded; get it anew") from error

    def render(self, excerpt: Score, seconds: float) -> np.ndarray:
        """Play an excerpt: (seconds * 44100,) float32, the mean of both channels, clipped to [-1, 1].

        Raises:
            SoundfontError: The soundfont lacks an instrument that the excerpt uses.
        """
        self._reset()
        position = 0
        parts: list[np.ndarray] = []
        for time_s, play in _actions(excerpt):
            frames = round(min(time_s, seconds) * SYNTH_RATE) - position
            if frames > 0:
                parts.append(self._generate(frames))
                position += frames
            play(self._synth)
        parts.append(self._generate(round(seconds * SYNTH_RATE) - position))
        audio: np.ndarray = np.clip(np.concatenate(parts), -1.0, 1.0)
        return audio

    def _generate(self, frames: int) -> np.ndarray:
        if frames <= 0:
            return np.zeros(0, np.float32)
        stereo = np.frombuffer(self._synth.generate(frames), np.float32).reshape(frames, 2)
        mono: np.ndarray = stereo.mean(axis=1)
        return mono

    def _reset(self) -> None:
        self._synth.sounds_off()
        self._generate(_FADE_FRAMES)  # the voices fade for some milliseconds: not into the next excerpt
        for channel in range(16):
            self._synth.control_change(channel, 121, 0)
            self._synth.control_change(channel, 7, 100)
            self._synth.control_change(channel, 10, 64)
            self._synth.pitchbend_range(channel, 2)
            self._synth.pitchbend(channel, _NEUTRAL_BEND)
            drums = channel == DRUM_CHANNEL
            self._synth.program_select(channel, self._font, 128 if drums else 0, 0, drums)


def check_soundfont(path: Path) -> None:
    """Look whether a file begins as soundfonts do (.sf2, .sf3), without loading it.

    Raises:
        FileNotFoundError: There is no such file.
        SoundfontError: It is something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such soundfont; on Debian: apt-get install fluid-soundfont-gm")
    with open(path, "rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise SoundfontError(f"{path}: no soundfont; give a .sf2 or .sf3 file")


def _actions(excerpt: Score) -> Iterator[tuple[float, Any]]:
    """Yield (time in seconds, call on the synthesizer), in playing order: ends, controls, starts."""
    actions: list[tuple[float, int, int, Any]] = []
    for order, control in enumerate(excerpt.controls):
        if control.message.type == "control_change" and control.message.control in _UNPLAYED_CONTROLS:
            continue
        actions.append((control.time_s, 1, order, _control(control.message)))
    for order, note in enumerate(excerpt.notes):
        on = (note.channel, note.pitch, note.velocity)
        off = (note.channel, note.pitch)
        actions.append((note.start_s, 2, order, lambda synth, on=on: synth.noteon(*on)))
        actions.append((note.end_s, 0, order, lambda synth, off=off: synth.noteoff(*off)))
    for time_s, _, _, play in sorted(actions, key=lambda action: action[:3]):
        yield time_s, play


def _control(message: Any) -> Any:
    channel = message.channel
    if message.type == "program_change":
        return lambda synth: _set_program(synth, channel, message.program)
    if message.type == "pitchwheel":
        return lambda synth: synth.pitchbend(channel, message.pitch + _NEUTRAL_BEND)
    return lambda synth: synth.control_change(channel, message.control, message.value)


def _set_program(synth: Any, channel: int, program: int) -> None:
    try:
        synth.program_change(channel, program, channel == DRUM_CHANNEL)
    except RuntimeError as error:
        raise SoundfontError(f"the soundfont has no program {program}; use a General MIDI one") from error


def _tinysoundfont() -> Any:
    try:
        import tinysoundfont
    except ImportError as error:
        raise ImportError(
            "rendering MIDI needs tinysoundfont: pip install --no-deps tinysoundfont "
            "(--no-deps: it plays nothing here, so PyAudio and a compiler are not needed)"
        ) from error
    return tinysoundfont
