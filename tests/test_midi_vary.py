"""Domain randomization of scores: other keys, tempos, instruments and levels, and tags that still hold."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

mido = pytest.importorskip("mido", reason="needs the extra midi")

from samplecnn_zoo.datasets import midi  # noqa: E402
from samplecnn_zoo.datasets.effects import Effects  # noqa: E402
from samplecnn_zoo.datasets.midi_score import Control, Note, Score  # noqa: E402
from samplecnn_zoo.datasets.midi_tags import INSTRUMENTS, score_tags  # noqa: E402
from samplecnn_zoo.datasets.midi_vary import FAMILIES, UNVARIED, Variation, vary  # noqa: E402
from tests.soundfonts import write_soundfont  # noqa: E402
from tests.test_midi import make_set, needs_synth, note, tree, write_midi  # noqa: E402

DRUMS = 9


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def program(channel: int, number: int, time_s: float = 0.0) -> Control:
    return Control(time_s, mido.Message("program_change", channel=channel, program=number))


def a_score() -> Score:
    """A saxophone, a piano on a channel that sets no program, and a drum."""
    notes = (
        note(0.0, 1.0, program=66, channel=2),
        note(1.0, 3.0, program=0, channel=0, pitch=64),
        Note(2.0, 2.1, DRUMS, 0, 38, 100, 0.6),
        note(4.0, 8.0, program=66, channel=2, pitch=70),
    )
    return Score(notes, (program(2, 66),), ((0.0, 100.0), (5.0, 130.0)))


def test_what_is_not_varied_stays() -> None:
    assert vary(a_score(), UNVARIED, rng()) == a_score()


def test_all_pitches_move_together_and_drums_stay() -> None:
    shifts = set()
    for seed in range(60):
        varied = vary(a_score(), replace(UNVARIED, semitones=3), rng(seed))
        pairs = zip(varied.notes, a_score().notes, strict=True)
        moved = {after.pitch - before.pitch for after, before in pairs if not after.is_drum}
        assert len(moved) == 1
        assert [n.pitch for n in varied.notes if n.is_drum] == [38]
        shifts |= moved
    assert shifts == set(range(-3, 4))


def test_notes_that_leave_the_keyboard_are_left_out() -> None:
    edge = Score((note(0.0, 1.0, pitch=127), note(0.0, 1.0, pitch=0), note(0.0, 1.0, pitch=60)), (), ())
    for seed in range(20):
        varied = vary(edge, replace(UNVARIED, semitones=2), rng(seed))
        shift = next(n.pitch for n in varied.notes if 55 < n.pitch < 65) - 60
        assert len(varied.notes) == (3 if shift == 0 else 2)


def test_tempo_stretches_notes_controls_and_tempos_alike() -> None:
    stretches = []
    for seed in range(40):
        varied = vary(a_score(), replace(UNVARIED, tempo=1.25), rng(seed))
        stretch = varied.duration_s / 8.0
        assert [n.start_s for n in varied.notes] == pytest.approx([0.0, stretch, 2 * stretch, 4 * stretch])
        assert np.array(varied.tempos) == pytest.approx(
            np.array([(0.0, 100 / stretch), (5 * stretch, 130 / stretch)])
        )
        stretches.append(stretch)
    assert 0.8 <= min(stretches) < 0.85 and 1.18 < max(stretches) <= 1.25


def test_a_piece_is_not_made_shorter_than_asked() -> None:
    wanted = replace(UNVARIED, tempo=2.0)
    assert min(vary(a_score(), wanted, rng(k), least_s=7.0).duration_s for k in range(40)) == pytest.approx(
        7.0
    )
    short = min(vary(a_score(), wanted, rng(k), least_s=20.0).duration_s for k in range(40))
    assert short == pytest.approx(8.0)  # nor stretched to it


def test_another_instrument_is_of_the_family_and_tags_follow() -> None:
    heard: set[int] = set()
    for seed in range(80):
        varied = vary(a_score(), replace(UNVARIED, substitution=1.0), rng(seed))
        sax = {n.program for n in varied.notes if n.channel == 2}
        piano = {n.program for n in varied.notes if n.channel == 0}
        assert len(sax) == 1 and sax <= {64, 65, 66, 67} and piano <= {0, 1, 2, 3}
        assert {n.program for n in varied.notes if n.is_drum} == {0}
        set_to = {
            c.message.channel: c.message.program
            for c in varied.controls
            if c.message.type == "program_change"
        }
        assert {set_to[2]} == sax and {set_to.get(0, 0)} == piano and DRUMS not in set_to
        tags = score_tags(varied.excerpt(0.0, 8.0), 8.0)
        assert ("tenor saxophone" in tags) == (sax == {66}) and ("alto saxophone" in tags) == (sax == {65})
        heard |= sax | piano
    assert heard == {64, 65, 66, 67, 0, 1, 2, 3}


def test_families_are_disjoint_and_share_a_tag() -> None:
    programs = [program for family in FAMILIES for program in family]
    assert len(programs) == len(set(programs)) and set(programs) <= set(range(128))
    kinds = [set(numbers) for numbers in INSTRUMENTS.values()]
    alone = [family for family in FAMILIES if not any(set(family) <= kind for kind in kinds)]
    assert [family[0] for family in alone] == [
        6,
        21,
        44,
    ]  # keyboards, reeds and strings that have no common tag


@needs_synth
def test_a_softer_channel_sounds_as_much_softer_as_its_level_says(tmp_path: Path) -> None:
    from samplecnn_zoo.datasets.midi_render import Renderer

    renderer = Renderer(write_soundfont(tmp_path / "font.sf2"))
    volume = Control(0.0, mido.Message("control_change", channel=3, control=7, value=90))
    pieces = {
        "its volume is set": Score((note(0.1, 1.9, channel=3, pitch=69),), (volume,), ()),
        "its volume is the default": Score((note(0.1, 1.9, channel=3, pitch=69),), (), ()),
    }
    for piece in pieces.values():
        plain = renderer.render(piece, 2.0)
        for seed in range(5):
            varied = vary(piece, replace(UNVARIED, mixing_db=12.0), rng(seed))
            softer_db = 60 * np.log10(varied.notes[0].level / piece.notes[0].level)
            heard_db = 10 * np.log10(np.mean(renderer.render(varied, 2.0) ** 2) / np.mean(plain**2))
            assert -12 <= softer_db <= 0
            assert heard_db == pytest.approx(softer_db, abs=0.4)  # a volume is a whole number


@needs_synth
def test_only_what_is_trained_on_is_varied_and_taken_again(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", pieces=12), write_soundfont(tmp_path / "font.sf2")
    other = tmp_path / "other.sf2"
    other.write_bytes(font.read_bytes()[:-2] + b"\1\0")
    variation = Variation(substitution=0.0, effects=Effects(noise=1.0))  # the font has one program
    midi.prepare(root, tmp_path / "plain", font, workers=1, seed=3)
    options = {"workers": 1, "seed": 3, "variation": variation, "tags": ["piano", "drums"]}
    left_out = midi.prepare(root, tmp_path / "varied", [font, other], takes=2, **options)  # type: ignore[arg-type]
    plain, varied = (midi.read_clips(tmp_path / name) for name in ("plain", "varied"))
    apart = {clip.file: clip.split for clip in varied}
    assert set(apart.values()) >= {"train", "test"}
    again = {f"{clip.file}.1" for clip in plain if clip.split == "train"}
    assert set(apart) == {clip.file for clip in plain} | again
    assert {apart[file] for file in again} == {"train"}
    assert midi.read_tags(tmp_path / "varied") == ["piano", "drums"]
    assert any(line.startswith("same.1: the same notes as 0001") for line in left_out)
    for clip in plain:
        files = [midi.audio_path(tmp_path / name, clip).read_bytes() for name in ("plain", "varied")]
        assert (files[0] == files[1]) == (clip.split != "train")
    first, second = ((tmp_path / "varied" / "audio" / f"{name}.flac").read_bytes()
                     for name in (min(again).removesuffix(".1"), min(again)))  # fmt: skip
    assert first != second
    before = tree(tmp_path / "varied")
    midi.prepare(root, tmp_path / "varied", [font, other], takes=3, **options)  # type: ignore[arg-type]
    after = tree(tmp_path / "varied")
    assert {name for name in after if name not in before and name.endswith(".2.flac")}
    assert {name: after[name] for name in before if name != "index.csv"} == {
        name: before[name] for name in before if name != "index.csv"
    }


@needs_synth
@pytest.mark.parametrize("change", ["variation", "soundfonts"])
def test_data_varied_otherwise_is_not_gone_on_with(tmp_path: Path, change: str) -> None:
    root, font = make_set(tmp_path / "set", 2), write_soundfont(tmp_path / "font.sf2")
    midi.prepare(root, tmp_path / "out", font, workers=1, variation=replace(UNVARIED, tempo=1.1))
    variation = replace(UNVARIED, tempo=1.3 if change == "variation" else 1.1)
    fonts = [font, font] if change == "soundfonts" else [font]
    with pytest.raises(ValueError, match="another folder"):
        midi.prepare(root, tmp_path / "out", fonts, workers=1, variation=variation)


def test_no_take_and_a_missing_soundfont_are_clear_errors(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", 2), write_soundfont(tmp_path / "font.sf2")
    with pytest.raises(ValueError, match="soundfont is empty"):
        midi.prepare(root, tmp_path / "out", [])
    with pytest.raises(ValueError, match="takes must be at least 1, not 0"):
        midi.prepare(root, tmp_path / "out", font, takes=0)
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        midi.prepare(root, tmp_path / "out", font, limit=0)
    with pytest.raises(ValueError, match=r"index\.tsv: no soundfont"):
        midi.prepare(root, tmp_path / "out", [font, root / "index.tsv"])
    assert not (tmp_path / "out").exists()  # what is wrong does not stick to it
    with pytest.raises(FileNotFoundError, match=r"none\.sf2: no such soundfont"):
        midi.prepare(root, tmp_path / "out", [font, tmp_path / "none.sf2"])


@needs_synth
def test_a_twin_of_a_test_clip_is_not_trained_on_by_a_later_take(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", pieces=2), write_soundfont(tmp_path / "font.sf2")
    twin = (root / "jazz" / "0000.mid").read_bytes()
    names = {split: next(f"artist {k}" for k in range(99) if midi.split_of(f"artist{k}") == split)
             for split in ("test", "train")}  # fmt: skip
    rows = ["genre\tfile\tname"]
    for split, name in names.items():
        (root / "jazz" / f"{split}.mid").write_bytes(twin)
        rows.append(f"jazz\t{split}\t{name} - Title.mid")
    (root / "index.tsv").write_text("\n".join(rows) + "\n")
    left_out = midi.prepare(root, tmp_path / "out", font, takes=3, workers=1)
    assert [(clip.file, clip.split) for clip in midi.read_clips(tmp_path / "out")] == [("test", "test")]
    assert left_out == [f"train{take}: the same notes as test" for take in ("", ".1", ".2")]


@needs_synth
def test_an_unknown_tag_is_refused_and_one_given_twice_counts_once(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", 2), write_soundfont(tmp_path / "font.sf2")
    with pytest.raises(ValueError, match="there is no tag 'paino'"):
        midi.prepare(root, tmp_path / "out", font, workers=1, tags=["drums", "paino"])
    assert not (tmp_path / "out").exists()  # told before anything is rendered
    with pytest.raises(ValueError, match="tags is empty"):
        midi.prepare(root, tmp_path / "out", font, workers=1, tags=[])
    with pytest.raises(ValueError, match="no clip has the tag 'harp'"):
        midi.prepare(root, tmp_path / "out", font, workers=1, tags=["drums", "harp"])
    midi.prepare(root, tmp_path / "out", font, workers=1, tags=["piano", "drums", "piano"])
    assert midi.read_tags(tmp_path / "out") == ["piano", "drums"]


@needs_synth
def test_silence_is_left_out_whatever_the_effects_make_of_it(tmp_path: Path) -> None:
    from samplecnn_zoo.datasets.midi_takes import Take, render_take

    pieces = write_midi(tmp_path / "soft.mid", [(beat, 1.0, 0, 60) for beat in range(66)], velocity=1)
    font = write_soundfont(tmp_path / "font.sf2")
    louder = replace(UNVARIED, effects=Effects(peak_db=(0.0, 0.0)))
    render_take(Take(pieces, "jazz", "soft", "0", (font,), louder), tmp_path)
    assert "silent when rendered" in json.loads((tmp_path / "soft.json").read_text())["left_out"]
    assert not (tmp_path / "soft.flac").exists()


def test_a_piece_that_states_no_tempo_is_varied_from_the_default() -> None:
    unstated = replace(a_score(), tempos=())
    late = replace(a_score(), tempos=((2.0, 100.0),))
    varied = vary(unstated, replace(UNVARIED, tempo=1.2), rng(0))
    stretch = varied.duration_s / 8.0
    assert stretch != pytest.approx(1.0, abs=0.01)
    assert np.array(varied.tempos) == pytest.approx(np.array([(0.0, 120 / stretch)]))
    assert len(vary(late, replace(UNVARIED, tempo=1.2), rng(1)).tempos) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"semitones": 2.5}, {"semitones": 30}, {"tempo": 0.9}, {"substitution": 2.0}, {"mixing_db": -1.0}],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Variation(**wrong)  # type: ignore[arg-type]


def test_the_rng_alone_decides() -> None:
    one, two, other = (vary(a_score(), Variation(), rng(seed)) for seed in (4, 4, 5))
    assert one == two != other


@needs_synth
def test_the_example_renders_varies_and_goes_on(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", pieces=4), write_soundfont(tmp_path / "font.sf2")
    script = Path(__file__).parents[1] / "examples" / "render_midi.py"
    command: list[str | Path] = [
        sys.executable,
        script,
        root,
        "--soundfont",
        font,
        "--out",
        tmp_path / "out",
        "--workers",
        "1",
    ]
    varied = [*command, "--vary", "sound", "--takes", "2"]
    for _ in range(2):
        done = subprocess.run(varied, capture_output=True, text=True, check=True)
        assert "left out" in done.stdout.splitlines()[-1]
    made = json.loads((tmp_path / "out" / "made.json").read_text())
    assert made["variation"]["semitones"] == 0 and made["variation"]["effects"]["room"] > 0
    assert list((tmp_path / "out" / "audio").glob("*.1.flac"))
    level = [*command[:-4], "--out", tmp_path / "level", "--workers", "1", "--vary", "level"]
    subprocess.run(level, capture_output=True, check=True)
    made = json.loads((tmp_path / "level" / "made.json").read_text())
    effects = made["variation"].pop("effects")
    assert effects.pop("peak_db") == [-30, 0] and set(effects.values()) == {0}
    both = subprocess.run([*command, "--vary", "sound", "level"], capture_output=True, text=True)
    assert both.returncode == 2 and "give one of them" in both.stderr
    other = subprocess.run([*command, "--vary", "score"], capture_output=True, text=True)
    assert other.returncode == 2 and "prepare into another folder" in other.stderr
    assert "Traceback" not in other.stderr
    (root / "index.tsv").write_text("genre,file,name\n")
    other = subprocess.run([*command[:-4], "--out", tmp_path / "new"], capture_output=True, text=True)
    assert other.returncode == 2 and "no column 'file'; columns are split by tabs" in other.stderr
