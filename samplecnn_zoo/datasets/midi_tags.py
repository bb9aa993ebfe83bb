"""From the notes that sound in an excerpt to its tags: instruments, drums, tempo, density, register."""

from collections import defaultdict
from collections.abc import Iterable

from samplecnn_zoo.datasets.midi_score import Note, Score

# General MIDI programs (0-based) by the name a listener would use. A program may have several names.
INSTRUMENTS: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 2, 3),
    "electric piano": (4, 5),
    "harpsichord": (6,),
    "clavinet": (7,),
    "mallets": (8, 9, 10, 11, 12, 13, 14),
    "vibraphone": (11,),
    "organ": (16, 17, 18, 19, 20),
    "accordion": (21, 23),
    "harmonica": (22,),
    "guitar": tuple(range(24, 32)),
    "nylon guitar": (24,),
    "steel guitar": (25,),
    "jazz guitar": (26,),
    "clean electric guitar": (27,),
    "muted electric guitar": (28,),
    "overdriven guitar": (29,),
    "distorted guitar": (30,),
    "bass": tuple(range(32, 40)),
    "acoustic bass": (32,),
    "fingered bass": (33,),
    "picked bass": (34,),
    "fretless bass": (35,),
    "slap bass": (36, 37),
    "synth bass": (38, 39),
    "solo strings": (40, 41, 42, 43, 110),
    "violin": (40, 110),
    "viola": (41,),
    "cello": (42,),
    "contrabass": (43,),
    "tremolo strings": (44,),
    "pizzicato strings": (45,),
    "harp": (46,),
    "timpani": (47,),
    "string ensemble": (48, 49, 50, 51),
    "choir": (52, 53, 54),
    "brass": tuple(range(56, 64)),
    "trumpet": (56, 59),
    "trombone": (57,),
    "tuba": (58,),
    "french horn": (60,),
    "brass section": (61, 62, 63),
    "saxophone": (64, 65, 66, 67),
    "alto saxophone": (65,),
    "tenor saxophone": (66,),
    "woodwind": tuple(range(68, 80)),
    "oboe": (68, 69),
    "bassoon": (70,),
    "clarinet": (71,),
    "flute": (72, 73, 74, 75),
    "whistle": (76, 77, 78, 79),
    "synth lead": tuple(range(80, 88)),
    "synth pad": tuple(range(88, 96)),
    "banjo": (105,),
    "sitar": (104,),
    "steel drums": (114,),
}

# General MIDI percussion keys.
PERCUSSION: dict[str, tuple[int, ...]] = {
    "side stick": (37,),
    "hand clap": (39,),
    "open hi-hat": (46,),
    "toms": (41, 43, 45, 47, 48, 50),
    "ride cymbal": (51, 53, 59),
    "crash cymbal": (49, 57),
    "tambourine": (54,),
    "cowbell": (56,),
    "hand drums": (60, 61, 62, 63, 64),
    "shaker": (69, 70, 82),
    "triangle": (80, 81),
}

OTHERS = (
    "drums", "solo", "ensemble", "sparse", "busy", "low register", "high register", "slow", "fast",
    "bent notes", "quiet", "loud",
)  # fmt: skip
NAMES = frozenset((*INSTRUMENTS, *PERCUSSION, *OTHERS))
"""Every tag that an excerpt may have beside its genre."""

INAUDIBLE = 0.04  # velocity x volume x expression; 0.04 is about -28 dB below full level
MIN_SHARE = 0.05  # an instrument is tagged when its notes last this share of the excerpt
MIN_HITS = 4  # a percussion instrument is tagged when it is struck this often
SLOW_BPM, FAST_BPM = 80.0, 140.0
SPARSE_PER_S, BUSY_PER_S = 4.0, 20.0
LOW_PITCH, HIGH_PITCH = 52.0, 67.0  # mean pitch of the pitched notes; 60 is middle C
QUIET_DB, LOUD_DB = -30.0, -16.0  # RMS of the rendered excerpt in dB below full scale
ENSEMBLE = 7  # sounding instruments
BENDS_PER_S = 2.0


def score_tags(excerpt: Score, seconds: float) -> set[str]:
    """Tags of what is played in an excerpt of `seconds` seconds.

    No tag is the complement of another: between slow and fast, sparse and busy, low and high, solo and
    ensemble lies a range that has neither.
    """
    notes = [note for note in excerpt.notes if note.level >= INAUDIBLE]
    pitched = [note for note in notes if not note.is_drum]
    drums = [note for note in notes if note.is_drum]
    return (
        _instruments(pitched, seconds)
        | _percussion(drums)
        | _texture(pitched, drums, seconds)
        | _tempo(excerpt, seconds)
        | _bends(excerpt, pitched, seconds)
    )


def loudness_tags(rms_db: float) -> set[str]:
    """The tag of the level at which an excerpt sounds, in dB below full scale."""
    return {"quiet"} if rms_db <= QUIET_DB else {"loud"} if rms_db >= LOUD_DB else set()


def _instruments(pitched: Iterable[Note], seconds: float) -> set[str]:
    shares = _shares(pitched, seconds)
    return {
        name
        for name, programs in INSTRUMENTS.items()
        if sum(shares.get(program, 0.0) for program in programs) >= MIN_SHARE
    }


def _shares(pitched: Iterable[Note], seconds: float) -> dict[int, float]:
    """Program -> share of the excerpt during which at least one of its notes sounds."""
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for note in pitched:
        spans[note.program].append((note.start_s, note.end_s))
    return {program: _covered(sorted(parts)) / seconds for program, parts in spans.items()}


def _covered(spans: list[tuple[float, float]]) -> float:
    total, reached = 0.0, 0.0
    for start_s, end_s in spans:
        total += max(0.0, end_s - max(start_s, reached))
        reached = max(reached, end_s)
    return total


def _percussion(drums: list[Note]) -> set[str]:
    hits: dict[int, int] = defaultdict(int)
    for note in drums:
        hits[note.pitch] += 1
    tags = {name for name, keys in PERCUSSION.items() if sum(hits[key] for key in keys) >= MIN_HITS}
    return tags | ({"drums"} if len(drums) >= MIN_HITS else set())


def _texture(pitched: list[Note], drums: list[Note], seconds: float) -> set[str]:
    sounding = [program for program, share in _shares(pitched, seconds).items() if share >= MIN_SHARE]
    density = (len(pitched) + len(drums)) / seconds
    pitch = sum(note.pitch for note in pitched) / len(pitched) if pitched else 60.0
    rules = {
        "solo": len(sounding) == 1 and not drums,
        "ensemble": len(sounding) >= ENSEMBLE,
        "sparse": density <= SPARSE_PER_S,
        "busy": density >= BUSY_PER_S,
        "low register": pitch <= LOW_PITCH,
        "high register": pitch >= HIGH_PITCH,
    }
    return {tag for tag, holds in rules.items() if holds}


def _tempo(excerpt: Score, seconds: float) -> set[str]:
    """Slow or fast by the tempo that holds longest in the excerpt."""
    ends = [time_s for time_s, _ in excerpt.tempos[1:]] + [seconds]
    lasting: dict[float, float] = defaultdict(float)
    for (start_s, bpm), end_s in zip(excerpt.tempos, ends, strict=True):
        lasting[bpm] += end_s - start_s
    bpm = max(lasting, key=lambda tempo: lasting[tempo])
    return {"slow"} if bpm <= SLOW_BPM else {"fast"} if bpm >= FAST_BPM else set()


def _bends(excerpt: Score, pitched: list[Note], seconds: float) -> set[str]:
    """Notes bent by pitch wheel, as guitars and saxophones do, in channels that sound."""
    sounding = {note.channel for note in pitched}
    bends = sum(
        control.message.type == "pitchwheel" and control.time_s > 0 and control.message.channel in sounding
        for control in excerpt.controls
    )
    return {"bent notes"} if bends / seconds >= BENDS_PER_S else set()
