"""The MIDI set: notes from files, tags from notes, groups and splits, rendering that goes on when killed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.soundfonts import write_soundfont

mido = pytest.importorskip("mido", reason="needs the extra midi")

from samplecnn_zoo.datasets import midi  # noqa: E402
from samplecnn_zoo.datasets.midi_score import (  # noqa: E402
    Control,
    Note,
    Score,
    ScoreError,
    note_hash,
    phrases,
    read_score,
)
from samplecnn_zoo.datasets.midi_tags import NAMES, loudness_tags, score_tags  # noqa: E402

needs_synth = pytest.mark.skipif(
    importlib.util.find_spec("tinysoundfont") is None, reason="needs: pip install --no-deps tinysoundfont"
)
TICKS = 480


def write_midi(
    path: Path,
    notes: Sequence[tuple[float, float, int, int]],
    bpm: float = 120,
    program: int = 0,
    velocity: int = 90,
) -> Path:
    """Notes as (start beat, beats, channel, pitch); every channel but the drums plays `program`."""
    file = mido.MidiFile(ticks_per_beat=TICKS)
    events = [(0.0, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))]
    events += [(0.0, mido.Message("program_change", channel=c, program=program)) for c in range(9)]
    for start, beats, channel, pitch in notes:
        events.append((start, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((start + beats, mido.Message("note_off", channel=channel, note=pitch)))
    events.sort(key=lambda event: event[0])
    track, now = mido.MidiTrack(), 0
    for beat, message in events:
        ticks = round(beat * TICKS)
        track.append(message.copy(time=ticks - now))
        now = ticks
    file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def note(start_s: float, end_s: float, program: int = 0, pitch: int = 60, channel: int = 0) -> Note:
    return Note(start_s, end_s, channel, program, pitch, 100, 0.6)


def test_notes_are_read_in_seconds_with_program_and_level(tmp_path: Path) -> None:
    score = read_score(write_midi(tmp_path / "a.mid", [(0, 2, 0, 60), (4, 1, 9, 38)], bpm=60, program=24))
    first, second = score.notes
    assert (first.start_s, first.end_s, first.program) == (0.0, 2.0, 24)
    assert first.level == pytest.approx(90 * 100 * 127 / 127**3)
    assert second.is_drum and second.start_s == 4.0
    assert score.tempos[0][1] == pytest.approx(60)


def test_a_note_struck_again_ends_and_velocity_zero_is_an_end(tmp_path: Path) -> None:
    file = mido.MidiFile(ticks_per_beat=TICKS)
    messages = [("note_on", 90, 0), ("note_on", 80, TICKS), ("note_on", 0, TICKS)]
    track = mido.MidiTrack(mido.Message(kind, note=60, velocity=v, time=t) for kind, v, t in messages)
    file.tracks.append(track)
    file.save(tmp_path / "a.mid")
    assert [(n.start_s, n.end_s, n.velocity) for n in read_score(tmp_path / "a.mid").notes] == [
        (0.0, 0.5, 90), (0.5, 1.0, 80)
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"MThd", b"not midi at all" * 20, b"MThd" + bytes(60)])
def test_what_is_not_midi_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.mid").write_bytes(content)
    with pytest.raises(ScoreError, match=r"bad\.mid"):
        read_score(tmp_path / "bad.mid")


def test_an_excerpt_begins_at_zero_with_the_notes_that_already_sound() -> None:
    score = Score((note(0, 10), note(12, 14), note(30, 31)), (), ((0.0, 100.0), (11.0, 50.0)))
    excerpt = score.excerpt(5.0, 10.0)
    assert [(n.start_s, n.end_s) for n in excerpt.notes] == [(0.0, 5.0), (7.0, 9.0)]
    assert excerpt.tempos == ((0.0, 100.0), (6.0, 50.0))


def test_the_note_hash_ignores_tempo_and_sees_a_changed_pitch() -> None:
    slow = Score((note(0, 1), note(1, 2, pitch=64)), (), ())
    fast = Score((note(0, 0.5), note(0.5, 1, pitch=64)), (), ())
    other = Score((note(0, 1), note(1, 2, pitch=65)), (), ())
    assert note_hash(slow) == note_hash(fast) != note_hash(other)


def test_instruments_are_tagged_by_the_time_they_sound() -> None:
    long_trumpet = note(0, 10, program=56)
    short_flute = note(0, 0.4, program=73, channel=1)
    quiet_organ = Note(0, 10, 2, 19, 60, 5, 0.01)
    tags = score_tags(Score((long_trumpet, short_flute, quiet_organ), (), ((0.0, 100.0),)), 10.0)
    assert {"trumpet", "brass", "solo", "sparse"} <= tags
    assert not {"flute", "organ", "drums", "ensemble", "slow", "fast"} & tags


def test_overlapping_notes_are_not_counted_twice() -> None:
    chord = tuple(note(0, 0.4, program=46, pitch=60 + k) for k in range(8))  # 0.4 s of harp, not 3.2 s
    assert "harp" not in score_tags(Score(chord, (), ((0.0, 100.0),)), 10.0)


def test_drums_and_tempo() -> None:
    hits = tuple(note(k / 4, k / 4 + 0.1, pitch=51, channel=9) for k in range(8))
    tags = score_tags(Score(hits, (), ((0.0, 200.0), (1.0, 70.0))), 10.0)
    assert {"drums", "ride cymbal", "slow"} <= tags
    assert "fast" not in tags and "crash cymbal" not in tags


@pytest.mark.parametrize(
    ("genre", "name", "group"),
    [
        ("pop", "The Beatles - Help!.mid", "beatles"),
        ("pop", "Beatles - Yesterday (2).mid", "beatles"),
        ("rock", "The The - Slow Emotion.mid", "the"),
        ("rock", "R.E.M. - Drive.mid", "rem"),
        ("classical", "Etude op10 n03.mid", "etude"),
        ("classical", "Etude op25 n11.mid", "etude"),
        ("classical", "mz_570_1_format0.mid", "mz"),
        ("classical", "Moments Musicaux, Opus 94 Mov.4.mid", "moments musicaux"),
        ("jazz", "1999.mid", "1999"),
    ],
)
def test_groups_are_artists_or_works(genre: str, name: str, group: str) -> None:
    assert midi.Piece(genre, "0", name).group == group


def test_a_group_lies_in_one_split_and_the_shares_hold() -> None:
    splits = [midi.split_of(f"artist {k}") for k in range(4000)]
    assert splits == [midi.split_of(f"artist {k}") for k in range(4000)]
    assert splits != [midi.split_of(f"artist {k}", seed=1) for k in range(4000)]
    for split, share in midi.SPLITS.items():
        assert splits.count(split) / len(splits) == pytest.approx(share, abs=0.02)


def make_set(root: Path, pieces: int = 6) -> Path:
    """A folder of pieces of 32 s: one too short, one a duplicate, one that is not MIDI."""
    rows = ["genre\tfile\tname"]
    for k in range(pieces):
        pitches = [(beat, 1.0, 0, 48 + (7 * beat + 3 * k) % 24) for beat in range(66)]
        drums = [(beat, 0.5, 9, 51) for beat in range(0, 66, 2)] if k % 2 else []
        write_midi(root / "jazz" / f"{k:04}.mid", [*pitches, *drums])
        rows.append(f"jazz\t{k:04}\tArtist {k} - Title.mid")
    write_midi(root / "jazz" / "short.mid", [(0, 1, 0, 60)])
    (root / "jazz" / "same.mid").write_bytes((root / "jazz" / "0001.mid").read_bytes())
    (root / "jazz" / "bad.mid").write_bytes(b"no")
    rows += [f"jazz\t{name}\tArtist - {name}.mid" for name in ("short", "same", "bad")]
    (root / "index.tsv").write_text("\n".join(rows) + "\n")
    return root


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@needs_synth
def test_prepare_writes_labelled_audio_and_says_what_it_left_out(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set"), write_soundfont(tmp_path / "font.sf2")
    left_out = midi.prepare(root, tmp_path / "out", font, workers=2)
    assert len(left_out) == 3
    for reason in ("s of music", "the same notes as 0001", "not readable as MIDI"):
        assert sum(reason in line for line in left_out) == 1
    clips = midi.read_clips(tmp_path / "out")
    assert [clip.file for clip in clips] == [f"{k:04}" for k in range(6)]
    assert {"jazz", "piano", "drums"} <= set(clips[1].tags) <= set(midi.read_tags(tmp_path / "out"))
    assert "drums" not in clips[0].tags
    for clip in clips:
        audio, rate = soundfile.read(tmp_path / "out" / "audio" / f"{clip.file}.flac")
        assert rate == midi.SAMPLE_RATE and len(audio) == round(midi.EXCERPT_S * rate)
        assert 10 * np.log10(np.mean(audio**2)) == pytest.approx(clip.rms_db, abs=0.1)


@needs_synth
def test_a_piece_that_is_mended_is_tried_again_and_the_others_are_not(tmp_path: Path) -> None:
    root, font, out = make_set(tmp_path / "set", 2), write_soundfont(tmp_path / "font.sf2"), tmp_path / "out"
    assert len(midi.prepare(root, out, font, workers=1)) == 3
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("audio/*")}
    write_midi(root / "jazz" / "bad.mid", [(0, 80, 0, 72)])
    left_out = midi.prepare(root, out, font, workers=1)
    assert len(left_out) == 2 and "bad" in [clip.file for clip in midi.read_clips(out)]
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("audio/*")}
    assert {name for name in after if before.get(name) != after[name]} == {"bad.json", "bad.flac"}
    (root / "jazz" / "short.mid").unlink()  # as the line that says why it was left out advises
    (out / "audio" / "0000.flac").unlink()
    assert len(midi.prepare(root, out, font, workers=1)) == 2
    assert (out / "audio" / "0000.flac").exists()


@needs_synth
def test_a_rendered_note_has_its_pitch(tmp_path: Path) -> None:
    from samplecnn_zoo.datasets.midi_render import SYNTH_RATE, Renderer

    renderer = Renderer(write_soundfont(tmp_path / "font.sf2"))
    audio = renderer.render(Score((note(0.5, 1.5, pitch=57),), (), ()), 2.0)
    assert audio.shape == (2 * SYNTH_RATE,) and audio.dtype == np.float32
    assert np.abs(audio[: SYNTH_RATE // 2]).max() < 1e-4 < np.abs(audio).max()
    spectrum = np.abs(np.fft.rfft(audio[SYNTH_RATE // 2 : SYNTH_RATE * 3 // 2]))
    assert np.argmax(spectrum) == pytest.approx(220, abs=2)  # bins of 1 Hz
    again = renderer.render(Score((note(0.5, 1.5, pitch=57),), (), ()), 2.0)
    np.testing.assert_array_equal(again, audio)  # nothing is left over from the excerpt before


@needs_synth
def test_killed_and_run_again_gives_the_same_files(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", pieces=12), write_soundfont(tmp_path / "font.sf2")
    midi.prepare(root, tmp_path / "whole", font, workers=1)
    out = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path; from samplecnn_zoo.datasets import midi\n"
        "if __name__ == '__main__':\n"
        "    midi.prepare(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), workers=1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(root), str(out), str(font)], start_new_session=True
    )
    while len(list(out.glob("audio/*.json"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(out.glob("audio/*.json")))
    assert done < 15 and not (out / "index.csv").exists()
    midi.prepare(root, out, font, workers=1)
    for partial in out.rglob("*.partial"):
        partial.unlink()
    assert tree(out) == tree(tmp_path / "whole")
    before = {path: path.stat().st_mtime_ns for path in out.glob("audio/*")}
    midi.prepare(root, out, font, workers=1)
    assert {path: path.stat().st_mtime_ns for path in out.glob("audio/*")} == before


@needs_synth
def test_what_is_wrong_with_the_set_up_is_not_taken_for_bad_pieces(tmp_path: Path) -> None:
    root, font, out = make_set(tmp_path / "set", 2), write_soundfont(tmp_path / "font.sf2"), tmp_path / "out"
    harp = write_midi(root / "jazz" / "harp.mid", [(0, 64, 0, 60)], program=46)
    with open(root / "index.tsv", "a") as file:
        file.write("jazz\tharp\tArtist - Harp.mid\n")
    with pytest.raises(ValueError, match="no program 46"):  # the tests' soundfont has one program
        midi.prepare(root, out, font, workers=1)
    harp.unlink()
    with pytest.raises(FileNotFoundError, match="harp"):
        midi.prepare(root, out, font, workers=1)
    assert not (out / "audio" / "harp.json").exists() and not (out / "index.csv").exists()


@needs_synth
def test_data_made_otherwise_is_not_gone_on_with(tmp_path: Path) -> None:
    root, font = make_set(tmp_path / "set", 2), write_soundfont(tmp_path / "font.sf2")
    midi.prepare(root, tmp_path / "out", font, workers=1)
    with pytest.raises(ValueError, match=r"'seed': 0.*another folder"):
        midi.prepare(root, tmp_path / "out", font, seed=1, workers=1)


def test_a_test_clip_of_a_work_that_is_trained_on_is_left_out() -> None:
    def clip(file: str, split: str) -> midi.Clip:
        return midi.Clip(file, "classical", file, split, (), 0.0, -20.0, file)

    clips = [clip("a", "train"), clip("b", "test"), clip("c", "test"), clip("d", "train")]
    runs = {"a": set(range(100)), "b": set(range(70, 170)), "c": set(range(90, 190)), "d": set(range(100))}
    kept, lines = midi._without_known_works(clips, runs)
    assert [c.file for c in kept] == ["a", "c", "d"]  # b shares 30 of its 100 phrases with a, c 10
    assert lines == ["b: a test clip of the same work as a"]


def test_phrases_tell_works_apart_whatever_the_tempo() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(40, 90, 800) for _ in range(2))

    def score(pitches: np.ndarray, step_s: float) -> Score:
        return Score(
            tuple(note(k * step_s, (k + 1) * step_s, pitch=int(p)) for k, p in enumerate(pitches)), (), ()
        )

    slow, fast, other = (phrases(score(p, s)) for p, s in ((first, 0.4), (first, 0.2), (second, 0.4)))
    assert len(slow) > 20 and slow == fast
    assert not set(slow) & set(other)


def test_a_missing_soundfont_and_an_unprepared_folder_are_clear_errors(tmp_path: Path) -> None:
    from samplecnn_zoo.datasets.midi_render import Renderer

    with pytest.raises(FileNotFoundError, match="fluid-soundfont-gm"):
        Renderer(tmp_path / "none.sf2")
    with pytest.raises(FileNotFoundError, match="index"):
        midi.read_clips(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("jazz\t1\tA - b\nrock\t1\tC - d", "line 3: '1' again"),
        ("jazz\ta.1\tA - b\njazz\ta\tA - c", "'a.1' is what a later take"),
        ("jazz\t1", "line 2: genre, file or name is missing"),
        ("jazz\t\tA - b", "line 2: genre, file or name is missing"),
    ],
)
def test_a_wrong_index_is_told_by_its_line(rows: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "index.tsv").write_text(f"genre\tfile\tname\n{rows}\n")
    with pytest.raises(ValueError, match=message):
        midi.read_index(tmp_path)


def test_every_tag_that_the_rules_give_is_known() -> None:
    def piece(bpm: float, notes: list[Note], bends: int = 0) -> Score:
        wheel = mido.Message("pitchwheel", pitch=100)
        controls = tuple(Control(k / 8 + 0.1, wheel) for k in range(bends))
        return Score(tuple(notes), controls, ((0.0, bpm),))

    low = [note(0, 10, pitch=40)]
    band = [note(0, 10, program=p, pitch=90) for p in range(128)]
    hits = [note(k, k + 1, pitch=p, channel=9) for k in range(10) for p in range(35, 82)]
    found = score_tags(piece(60, low, bends=40), 10.0) | score_tags(piece(200, band + hits), 10.0)
    assert found | loudness_tags(-40) | loudness_tags(-5) == NAMES


def test_labels_have_a_row_a_clip_and_a_column_a_tag_even_of_none() -> None:
    clip = midi.Clip("0", "jazz", "0", "train", ("a",), 0.0, -20.0, "0")
    assert midi.label_matrix([], ["a", "b"]).shape == (0, 2)
    assert midi.label_matrix([clip, clip], []).shape == (2, 0)
    np.testing.assert_array_equal(midi.label_matrix([clip], ["a", "b"]), [[1, 0]])
