"""Domain randomization of a score: the piece as others would have arranged, played and mixed it.

Tags are read from the notes afterwards, so they stay exact whatever is changed here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from samplecnn_zoo.datasets.effects import Effects
from samplecnn_zoo.datasets.midi_score import DEFAULT_BPM, DRUM_CHANNEL, Control, Note, Score

_CHANNELS = 16
_VOLUME, _DEFAULT_VOLUME = 7, 100
_FULL = 127

# General MIDI programs (0-based) that may stand for each other; any other program keeps its part.
FAMILIES: tuple[tuple[int, ...], ...] = (
    (0, 1, 2, 3),  # pianos
    (4, 5),  # electric pianos
    (6, 7),  # harpsichord, clavinet
    (8, 9, 10, 11, 12, 13),  # mallets
    (16, 17, 18, 19, 20),  # organs
    (21, 22, 23),  # accordions, harmonica
    (24, 25),  # acoustic guitars
    (26, 27, 28),  # electric guitars
    (29, 30),  # overdriven and distorted guitar
    (32, 33, 34, 35, 36, 37, 38, 39),  # basses
    (40, 41, 42, 110),  # solo strings
    (44, 45),  # tremolo, pizzicato
    (48, 49, 50, 51),  # string ensembles
    (52, 53, 54),  # choirs
    (56, 57, 59, 60),  # brass instruments
    (61, 62, 63),  # brass sections
    (64, 65, 66, 67),  # saxophones
    (68, 69, 70, 71),  # reeds
    (72, 73, 74, 75, 76, 77, 78, 79),  # flutes, whistles
    (80, 81, 82, 83, 84, 85, 86, 87),  # synth leads
    (88, 89, 90, 91, 92, 93, 94, 95),  # synth pads
)
_FAMILY_OF = {program: family for family in FAMILIES for program in family}


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far a piece may be from its file; each take draws anew within these bounds.

    Attributes:
        semitones: Transposed up or down by at most so many; drums stay.
        tempo: At most so many times faster or slower; 1 keeps the tempo.
        substitution: Share of a channel's programs that are drawn anew from their family, the same or not.
        mixing_db: Each channel is softer by up to so many dB.
        effects: What is done to the rendered sound; None leaves it as it is.

    Raises:
        ValueError: A number is out of its range.
    """

    semitones: int = 5
    tempo: float = 1.2
    substitution: float = 0.4
    mixing_db: float = 12.0
    effects: Effects | None = field(default_factory=Effects)

    def __post_init__(self) -> None:
        if not isinstance(self.semitones, int) or not 0 <= self.semitones <= 24:
            raise ValueError(f"semitones is a whole number from 0 to 24, not {self.semitones!r}")
        if not 1 <= self.tempo <= 4:
            raise ValueError(f"tempo is a factor from 1 to 4, not {self.tempo!r}")
        if not 0 <= self.substitution <= 1:
            raise ValueError(f"substitution is a share between 0 and 1, not {self.substitution!r}")
        if not 0 <= self.mixing_db <= 40:
            raise ValueError(f"mixing_db is a number from 0 to 40, not {self.mixing_db!r}")


UNVARIED = Variation(semitones=0, tempo=1.0, substitution=0.0, mixing_db=0.0, effects=None)
"""Every score as its file has it, every sound as it was rendered."""


def vary(score: Score, variation: Variation, rng: np.random.Generator, *, least_s: float = 0.0) -> Score:
    """Draw tempo, key, instruments and levels, and return the piece with them.

    Args:
        score: The piece.
        variation: Bounds.
        rng: Draws; the same state gives the same piece.
        least_s: The piece is not made shorter than this many seconds (nor lengthened to it).
    """
    stretch = variation.tempo ** rng.uniform(-1.0, 1.0)
    if score.duration_s > 0:
        stretch = max(stretch, min(1.0, least_s / score.duration_s))
    semitones = int(rng.integers(-variation.semitones, variation.semitones + 1))
    programs = _substitutes(score, variation.substitution, rng)
    faders = _faders(rng.uniform(-variation.mixing_db, 0.0, _CHANNELS))
    notes = (_varied_note(note, stretch, semitones, programs, faders) for note in score.notes)
    controls = (_varied_control(control, stretch, programs, faders) for control in score.controls)
    return Score(
        tuple(note for note in notes if 0 <= note.pitch <= _FULL),
        (*_settings(score, programs, faders), *controls),
        tuple((time_s * stretch, bpm / stretch) for time_s, bpm in _stated(score.tempos)),
    )


def _stated(tempos: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Tempos from the beginning on: a file that states none there is played at the default."""
    return tempos if tempos and tempos[0][0] <= 0 else ((0.0, DEFAULT_BPM), *tempos)


Programs = dict[tuple[int, int], int]
Faders = np.ndarray


def _substitutes(score: Score, share: float, rng: np.random.Generator) -> Programs:
    """(channel, program) -> program, for all that are played or set, but the drums."""
    played = {(note.channel, note.program) for note in score.notes}
    was_set = {
        (control.message.channel, control.message.program)
        for control in score.controls
        if control.message.type == "program_change"
    }
    programs: Programs = {}
    for channel, program in sorted(played | was_set):
        family = _FAMILY_OF.get(program, (program,))
        other = family[int(rng.integers(len(family)))]
        changes = rng.random() < share and channel != DRUM_CHANNEL
        programs[channel, program] = other if changes else program
    return programs


def _faders(gain_db: np.ndarray) -> Faders:
    """(16,) factors of a channel's volume, which tinysoundfont plays cubed."""
    factors: Faders = 10.0 ** (gain_db / 60.0)
    return factors


def _varied_note(note: Note, stretch: float, semitones: int, programs: Programs, faders: Faders) -> Note:
    return replace(
        note,
        start_s=note.start_s * stretch,
        end_s=note.end_s * stretch,
        program=programs[note.channel, note.program],
        pitch=note.pitch if note.is_drum else note.pitch + semitones,
        level=note.level * float(faders[note.channel]),
    )


def _varied_control(control: Control, stretch: float, programs: Programs, faders: Faders) -> Control:
    message = control.message
    if message.type == "program_change":
        message = message.copy(program=programs[message.channel, message.program])
    elif message.type == "control_change" and message.control == _VOLUME:
        message = message.copy(value=_volume(message.value, faders[message.channel]))
    return Control(control.time_s * stretch, message)


def _settings(score: Score, programs: Programs, faders: Faders) -> Iterator[Control]:
    """What channels are set to before the piece sets them: program 0 and volume 100, as they are varied."""
    import mido

    for channel in sorted({note.channel for note in score.notes}):
        if programs.get((channel, 0), 0):
            yield Control(0.0, mido.Message("program_change", channel=channel, program=programs[channel, 0]))
        volume = _volume(_DEFAULT_VOLUME, faders[channel])
        if volume != _DEFAULT_VOLUME:
            yield Control(0.0, mido.Message("control_change", channel=channel, control=_VOLUME, value=volume))


def _volume(value: int, fader: float) -> int:
    return min(_FULL, max(1, round(value * float(fader)))) if value else 0
