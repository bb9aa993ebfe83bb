"""Play three public-domain pieces with a soundfont: this made the clips in examples/audio/.

    python examples/make_audio.py --soundfont FluidR3_GM.sf2 -o examples/audio

The pieces are written out below: J. S. Bach, Prelude in C major BWV 846 (1722), bars 1-11; Stephen Foster,
Oh! Susanna (1848); and the traditional When the Saints Go Marching In. The soundfont is Debian's
fluid-soundfont-gm (FluidR3_GM by Frank Wen, MIT licence).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import soundfile

from samplecnn_zoo.datasets.midi_render import SYNTH_RATE, Renderer
from samplecnn_zoo.datasets.midi_score import DRUM_CHANNEL, Control, Note, Score

# Each bar's five notes, played as 1 2 3 4 5 3 4 5, twice.
PRELUDE = """
C4 E4 G4 C5 E5 | C4 D4 A4 D5 F5 | B3 D4 G4 D5 F5 | C4 E4 G4 C5 E5 | C4 E4 A4 E5 A5 | C4 D4 F#4 A4 D5
B3 D4 G4 D5 G5 | B3 C4 E4 G4 C5 | A3 C4 E4 G4 C5 | D3 A3 D4 F#4 C5 | G3 B3 D4 G4 B4
"""
# Melodies: note and length in beats; R is a rest. Chords: one a bar.
SUSANNA = """
C5:.5 D5:.5 E5:1 G5:1 G5:1.5 A5:.5 G5:1 E5:1 C5:1.5 D5:.5 E5:1 E5:1 D5:1 C5:1 D5:3
C5:.5 D5:.5 E5:1 G5:1 G5:1.5 A5:.5 G5:1 E5:1 C5:1.5 D5:.5 E5:1 E5:1 D5:1 D5:1 C5:4
F5:2 F5:2 A5:1 A5:2 A5:1 G5:1 G5:1 E5:1 C5:1 D5:3
C5:.5 D5:.5 E5:1 G5:1 G5:1.5 A5:.5 G5:1 E5:1 C5:1.5 D5:.5 E5:1 E5:1 D5:1 D5:1 C5:4
"""
SUSANNA_CHORDS = "C C C G C C G C F F C G C C G C"
SAINTS = """
C4:1 E4:1 F4:1 G4:4 R:1 C4:1 E4:1 F4:1 G4:4 R:1 C4:1 E4:1 F4:1 G4:2 E4:2 C4:2 E4:2 D4:4
R:1 E4:1 E4:1 D4:1 C4:3 C4:1 E4:2 G4:1 G4:1 F4:4 R:1 R:1 E4:1 F4:1 G4:2 E4:2 C4:2 D4:2 C4:4
"""
SAINTS_CHORDS = "C C C C C C G G C C F F C G C C"
TRIADS = {"C": ("C3", "E3", "G3"), "F": ("F3", "A3", "C4"), "G": ("G3", "B3", "D4")}
BANJO, FIDDLE, STEEL_GUITAR, ACOUSTIC_BASS, PIANO = 105, 110, 25, 32, 0
TRUMPET, TROMBONE, TUBA, CLARINET = 56, 57, 58, 71
KICK, SNARE, RIDE = 36, 38, 51

Notes = Iterator[Note]


def main() -> None:
    """Write the three clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    parser.add_argument("-o", "--output", type=Path, default=Path("examples/audio"))
    options = parser.parse_args()
    renderer = Renderer(options.soundfont)
    for name, notes in (("prelude", prelude()), ("oh_susanna", oh_susanna()), ("saints", saints())):
        write(renderer, list(notes), options.output / f"{name}.ogg")


def write(renderer: Renderer, notes: list[Note], path: Path) -> None:
    """Render notes, with a second for the last ones to ring, as Ogg Vorbis at -1 dB peak."""
    programs = {note.channel: note.program for note in notes if not note.is_drum}
    controls = tuple(
        Control(0.0, mido.Message("program_change", channel=channel, program=program))
        for channel, program in programs.items()
    )
    seconds = max(note.end_s for note in notes) + 1.0
    audio = renderer.render(Score(tuple(sorted(notes, key=lambda n: n.start_s)), controls, ()), seconds)
    soundfile.write(path, 0.89 * audio / np.abs(audio).max(), SYNTH_RATE)


def prelude() -> Notes:
    """Solo piano."""
    sixteenth_s = 60 / 92 / 4
    for bar, notes in enumerate(PRELUDE.replace("\n", " | ").strip(" |").split(" | ")):
        pitches = notes.split()
        figure = [*pitches, *pitches[2:]]
        for step, name in enumerate(figure * 2):
            start_s = (bar * 16 + step) * sixteenth_s
            held = 8 - step % 8 if step % 8 < 2 else 1  # the two low notes are held through the figure
            yield Note(
                start_s, start_s + held * sixteenth_s, 0, PIANO, pitch(name), 68 + 6 * (step % 8 == 0), 1
            )


def oh_susanna() -> Notes:
    """Fiddle, banjo, steel-string guitar, bass."""
    beat_s = 60 / 126
    yield from melody(SUSANNA, beat_s, 3.0, 0, FIDDLE, 96)
    for bar, chord in enumerate(SUSANNA_CHORDS.split()):
        low, middle, high = (pitch(name) for name in TRIADS[chord])
        first = 4 * (bar + 1)
        for beat in (0, 2):
            yield played(first + beat, 1, beat_s, 1, ACOUSTIC_BASS, low - 12 - 5 * (beat == 2), 96)
            for note in (low, middle, high):
                yield played(first + beat + 1, 0.6, beat_s, 2, STEEL_GUITAR, note + 12, 70)
        for step, note in enumerate((low, high, middle, high + 5, low, high, middle, high + 5)):
            yield played(first + step / 2, 0.5, beat_s, 3, BANJO, note + 12, 84)


def saints() -> Notes:
    """A street band: trumpet, clarinet, trombone, banjo, tuba, drums."""
    beat_s = 60 / 168
    yield from melody(SAINTS, beat_s, 1.0, 0, TRUMPET, 108, shift=12)
    for bar, chord in enumerate(SAINTS_CHORDS.split()):
        low, middle, high = (pitch(name) for name in TRIADS[chord])
        first = 4 * (bar + 1)
        for step, note in enumerate((high, low + 12, middle + 12, high)):
            yield played(first + step, 0.9, beat_s, 1, CLARINET, note + 12, 84)
        yield played(first, 3.5, beat_s, 2, TROMBONE, middle, 88)
        for beat in range(4):
            yield played(first + beat, 0.5, beat_s, 3, BANJO, (low, middle, high, middle)[beat] + 12, 80)
            yield drum(first + beat, beat_s, RIDE, 80)
            yield drum(first + beat, beat_s, SNARE if beat % 2 else KICK, 92)
        for beat in (0, 2):
            yield played(first + beat, 1, beat_s, 4, TUBA, low - 12 - 5 * (beat == 2), 104)


def melody(
    text: str, beat_s: float, first_beat: float, channel: int, program: int, velocity: int, shift: int = 0
) -> Notes:
    """Notes of a written melody, from `first_beat` on."""
    beat = first_beat
    for name, beats in (item.split(":") for item in text.split()):
        if name != "R":
            yield played(beat, float(beats) * 0.95, beat_s, channel, program, pitch(name) + shift, velocity)
        beat += float(beats)


def played(
    beat: float, beats: float, beat_s: float, channel: int, program: int, pitch: int, velocity: int
) -> Note:
    """One note at a beat."""
    return Note(beat * beat_s, (beat + beats) * beat_s, channel, program, pitch, velocity, 1.0)


def drum(beat: float, beat_s: float, key: int, velocity: int) -> Note:
    """One stroke at a beat."""
    return played(beat, 0.5, beat_s, DRUM_CHANNEL, 0, key, velocity)


def pitch(name: str) -> int:
    """MIDI pitch of a note name such as F#4."""
    steps = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    return steps[name[0]] + ("#" in name) + 12 * (int(name[-1]) + 1)


if __name__ == "__main__":
    main()
