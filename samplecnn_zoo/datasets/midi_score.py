"""A MIDI file as notes and controller events on a time line in seconds, and excerpts of it."""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mido

DRUM_CHANNEL = 9
DEFAULT_BPM = 120.0
CHORD_S = 0.03  # notes that start this close together count as one chord
MAX_HOURS = 2  # a longer "piece" is a broken tempo map
_CONTROLS = ("program_change", "control_change", "pitchwheel")
_VOLUME, _EXPRESSION = 7, 11


class ScoreError(ValueError):
    """A MIDI file that cannot be read as music; the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Note:
    """One sounding note: times in seconds, pitch and velocity as in MIDI, level in [0, 1]."""

    start_s: float
    end_s: float
    channel: int
    program: int
    pitch: int
    velocity: int
    level: float  # velocity x channel volume x expression: 0 is inaudible

    @property
    def is_drum(self) -> bool:
        """Whether it is percussion, whose pitch is a kind of drum."""
        return self.channel == DRUM_CHANNEL


@dataclass(frozen=True, slots=True)
class Control:
    """A program, controller or pitch-bend message at a time in seconds."""

    time_s: float
    message: "mido.Message"


@dataclass(frozen=True)
class Score:
    """All notes (by start) and controls (by time) of a piece, and its tempo changes as (seconds, bpm)."""

    notes: tuple[Note, ...]
    controls: tuple[Control, ...]
    tempos: tuple[tuple[float, float], ...]

    @property
    def duration_s(self) -> float:
        """End of the last note in seconds."""
        return max((note.end_s for note in self.notes), default=0.0)

    def excerpt(self, start_s: float, seconds: float) -> "Score":
        """What sounds in [start_s, start_s + seconds), moved to time 0.

        Notes that already sound at the start begin there; earlier controls are kept at time 0, so that
        every channel has the program and volume it has in the whole piece.
        """
        end_s = start_s + seconds
        notes = tuple(
            Note(max(n.start_s - start_s, 0.0), min(n.end_s, end_s) - start_s,
                 n.channel, n.program, n.pitch, n.velocity, n.level)
            for n in self.notes
            if n.start_s < end_s and n.end_s > start_s
        )  # fmt: skip
        controls = tuple(
            Control(max(c.time_s - start_s, 0.0), c.message) for c in self.controls if c.time_s < end_s
        )
        before = [bpm for time_s, bpm in self.tempos if time_s <= start_s]
        within = [(time_s - start_s, bpm) for time_s, bpm in self.tempos if start_s < time_s < end_s]
        return Score(notes, controls, ((0.0, before[-1] if before else DEFAULT_BPM), *within))


def read_score(path: Path) -> Score:
    """Read a standard MIDI file.

    Raises:
        ScoreError: The file is not MIDI, is damaged, has no notes, or lasts longer than two hours.
        OSError: There is no such file, or it can't be read.
        ImportError: mido is not installed.
    """
    try:
        import mido
    except ImportError as error:
        raise ImportError("reading MIDI needs mido: pip install 'samplecnn_zoo[midi]'") from error
    path.open("rb").close()  # mido's own errors for damage are OSErrors, too
    try:
        score = _collect(mido.MidiFile(path, clip=True))
    except Exception as error:  # mido raises whatever the damage leads to, its own KeySignatureError among it
        raise ScoreError(f"{path}: not readable as MIDI ({error}); mend or remove it") from error
    if not score.notes:
        raise ScoreError(f"{path}: no notes; mend or remove it")
    if score.duration_s > MAX_HOURS * 3600:
        raise ScoreError(f"{path}: {score.duration_s / 3600:.0f} hours long; its tempo map is broken")
    return score


def note_hash(score: Score) -> int:
    """A hash that is equal for two files with the same pitches in the same order, whatever their tempo."""
    notes = [note for note in score.notes if not note.is_drum] or score.notes
    return int.from_bytes(hashlib.sha256(bytes(note.pitch for note in notes)).digest()[:8], "big")


def phrases(score: Score) -> list[int]:
    """Hashes of a sixteenth of all runs of eight notes: files of one work share many, others hardly any."""
    pitched = (note for note in score.notes if not note.is_drum)
    chords = sorted((round(note.start_s / CHORD_S), note.pitch) for note in pitched)
    pitches = bytes(pitch for _, pitch in chords)
    runs = {zlib.crc32(pitches[at : at + 8]) for at in range(len(pitches) - 7)}
    return sorted(run for run in runs if run % 16 == 0)


def _collect(file: "mido.MidiFile") -> Score:
    notes: list[Note] = []
    controls: list[Control] = []
    tempos: list[tuple[float, float]] = []
    channels = _Channels()
    for time_s, message in _timed(file):
        if message.type == "set_tempo":
            tempos.append((time_s, 60e6 / message.tempo))
        elif message.type in _CONTROLS:
            channels.control(message)
            controls.append(Control(time_s, message))
        elif message.type in ("note_on", "note_off"):
            notes.extend(channels.note(time_s, message))
    notes.sort(key=lambda note: (note.start_s, note.channel, note.pitch))
    return Score(tuple(notes), tuple(controls), tuple(tempos))


def _timed(file: "mido.MidiFile") -> Iterator[tuple[float, "mido.Message"]]:
    time_s = 0.0
    for message in file:
        time_s += message.time
        yield time_s, message


class _Channels:
    """What each of the 16 channels is set to while the messages go by, and which of its keys are down."""

    def __init__(self) -> None:
        self.program = [0] * 16
        self.volume = [100] * 16
        self.expression = [127] * 16
        self.down: dict[tuple[int, int], tuple[float, int]] = {}

    def control(self, message: "mido.Message") -> None:
        if message.type == "program_change":
            self.program[message.channel] = message.program
        elif message.type == "control_change" and message.control == _VOLUME:
            self.volume[message.channel] = message.value
        elif message.type == "control_change" and message.control == _EXPRESSION:
            self.expression[message.channel] = message.value

    def note(self, time_s: float, message: "mido.Message") -> Iterator[Note]:
        """Yield the note that this message ends, if any; a key struck again ends its note, too."""
        key = (message.channel, message.note)
        if key in self.down:
            start_s, velocity = self.down.pop(key)
            if time_s > start_s:
                yield self._sounded(start_s, time_s, message.channel, message.note, velocity)
        if message.type == "note_on" and message.velocity > 0:
            self.down[key] = (time_s, message.velocity)

    def _sounded(self, start_s: float, end_s: float, channel: int, pitch: int, velocity: int) -> Note:
        level = velocity * self.volume[channel] * self.expression[channel] / 127**3
        return Note(start_s, end_s, channel, self.program[channel], pitch, velocity, level)
