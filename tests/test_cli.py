"""The command as a user runs it: what it prints, how it ends, and that a killed run loses nothing."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from samplecnn_zoo import DEFAULT_PRESET, Tagger, __version__
from samplecnn_zoo.cli import app
from samplecnn_zoo.zoo import find, save_pretrained
from tests.sounds import hostile, noise, tone, write

TAGS = tuple(f"tag {index}" for index in range(12))
LEVELS = {"level_-1": 9, "level_-2": 9, "level_-3": 8}
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX systems")


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small network with random weights, 729 samples at 8 kHz."""
    from tests.presets import preset_for, tiny_model

    model = tiny_model(num_tags=len(TAGS))
    record = preset_for(model, name="tiny.test", tags=TAGS, license="MIT")
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    save_pretrained(model, folder, preset=record)
    return str(folder)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of three formats, in two folders."""
    folder = tmp_path_factory.mktemp("music")
    (folder / "b").mkdir()
    write(folder / "tone.wav", tone(0.6, 22050, channels=2), 22050)
    write(folder / "noise.flac", noise(0.9, 16000), 16000)
    write(folder / "b" / "high.ogg", tone(0.7, 44100, hz=3000), 44100)
    write(folder / "b" / "short.wav", noise(0.15, 8000), 8000)
    (folder / "notes.txt").write_text("no music")
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough files that a run can be stopped in its midst; the third is bad."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(30):
        write(folder / f"{index:02d}.wav", noise(3.0, 8000, seed=index), 8000)
    (folder / "02.wav").write_bytes(b"no audio at all")
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "samplecnn_zoo", *map(str, arguments)]


def samplecnn(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, **options)


def quick(*arguments: object) -> tuple[int, str, str]:
    """The same within this process."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def expected(preset: str, files: list[Path], top: int | None) -> list[dict[str, Any]]:
    tagger = Tagger(preset)
    clips = [tagger.tag_file(file, top=top) for file in files]
    return [
        {
            "path": str(clip.path),
            "duration_s": pytest.approx(clip.duration_s, abs=1e-6),
            "tags": [{"tag": tag.tag, "score": pytest.approx(tag.score, abs=1e-7)} for tag in clip.tags],
        }
        for clip in clips
    ]


def in_order(music: Path) -> list[Path]:
    """The clips as the command is to list them."""
    return [
        music / "b" / "high.ogg",
        music / "b" / "short.wav",
        music / "noise.flac",
        music / "tone.wav",
    ]


# What it prints


def test_help_starts_fast_and_imports_no_framework() -> None:
    watch = "import sys, time; start = time.perf_counter()\n"
    bare = f"{watch}import typer, rich.console, rich.progress, rich.panel\nprint(time.perf_counter() - start)"
    ours = (
        f"{watch}from samplecnn_zoo.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'pyarrow'}\n"
        "print(*heavy & {*sys.modules})\nprint(time.perf_counter() - start)"
    )

    def best(code: str) -> tuple[float, list[str]]:
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
            for _ in range(4)
        ]
        return min(float(run.splitlines()[-1]) for run in runs), runs[0].splitlines()

    bare_s, _ = best(bare)
    ours_s, lines = best(ours)
    assert lines[-2] == ""
    assert ours_s < 4 * bare_s, (
        f"--help took {ours_s:.2f} s where its libraries take {bare_s:.2f} s to import"
    )


def test_help_names_every_command_and_version_is_told() -> None:
    code, out, _ = quick("--help")
    assert code == 0
    assert all(name in out for name in ("list", "info", "tag", "embed", "--version"))
    assert quick("--version") == (0, f"samplecnn_zoo {__version__}\n", "")


def test_the_default_preset_is_bundled_and_hears_a_piano() -> None:
    assert DEFAULT_PRESET in find.bundled()
    prelude = Path(__file__).parents[1] / "examples" / "audio" / "prelude.ogg"
    first, *_ = Tagger().tag_file(prelude).tags
    assert first.tag == "piano" and first.score > 0.5


def test_table_has_a_line_a_clip_and_nothing_else_is_said(preset: str, music: Path) -> None:
    # FORCE_COLOR makes no terminal of a pipe.
    run = samplecnn("tag", music, "--preset", preset, "--top", 2, env={**os.environ, "FORCE_COLOR": "1"})
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0].split() == ["clip", "length", "tags"]
    assert [line.split()[0] for line in lines[1:]] == [str(path) for path in in_order(music)]
    for line in lines[1:]:
        assert re.search(r" +0:0[01]  tag \d+ 0\.\d\d, tag \d+ 0\.\d\d$", line)


def test_json_is_a_list_of_clips_as_the_tagger_hears_them(preset: str, music: Path) -> None:
    code, out, _ = quick("tag", music, "-p", preset, "--top", 3, "--format", "json")
    assert code == 0
    assert json.loads(out) == expected(preset, in_order(music), 3)


def test_ten_tags_where_people_read_and_all_where_programs_do(preset: str, music: Path) -> None:
    clip = music / "tone.wav"
    assert len(json.loads(quick("tag", clip, "-p", preset, "-f", "json")[1])[0]["tags"]) == 10
    (row,) = csv.DictReader(io.StringIO(quick("tag", clip, "-p", preset, "-f", "csv")[1]))
    assert list(row) == ["path", "duration_s", *TAGS]
    assert all(row[tag] for tag in TAGS)


def test_csv_and_parquet_hold_a_row_a_clip_and_a_column_a_tag(
    preset: str, music: Path, tmp_path: Path
) -> None:
    wanted = expected(preset, in_order(music), 4)
    for name in ("tags.csv", "tags.parquet"):
        assert quick("tag", music, "-p", preset, "--top", 4, "-o", tmp_path / name)[0] == 0
    table = parquet.read_table(tmp_path / "tags.parquet")
    assert table.column_names == ["path", "duration_s", *TAGS]
    rows = csv.DictReader((tmp_path / "tags.csv").read_text(encoding="utf-8").splitlines())
    for clip, csv_row, row in zip(wanted, rows, table.to_pylist(), strict=True):
        scores = {tag["tag"]: tag["score"] for tag in clip["tags"]}
        assert csv_row["path"] == row["path"] == clip["path"]
        assert float(csv_row["duration_s"]) == row["duration_s"] == clip["duration_s"]
        for tag in TAGS:
            assert row[tag] == scores.get(tag)
            assert csv_row[tag] == "" if tag not in scores else np.float32(csv_row[tag]) == row[tag]


def test_embeddings_in_every_format(preset: str, music: Path, tmp_path: Path) -> None:
    tagger = Tagger(preset)
    files = in_order(music)
    for name in ("vectors.parquet", "vectors.json", "vectors.csv"):
        assert quick("embed", music, "-p", preset, "-o", tmp_path / name)[0] == 0
    table = parquet.read_table(tmp_path / "vectors.parquet")
    assert table.column_names == ["path", *LEVELS]
    columns = [f"{level}_{index}" for level, width in LEVELS.items() for index in range(width)]
    header, *numbers = csv.reader((tmp_path / "vectors.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["path", *columns]
    records = json.loads((tmp_path / "vectors.json").read_text(encoding="utf-8"))
    for file, row, record, cells in zip(files, table.to_pylist(), records, numbers, strict=True):
        levels = tagger.embed_file(file).levels
        assert row["path"] == record["path"] == cells[0] == str(file)
        vectors = [levels[level].tolist() for level in (-1, -2, -3)]
        assert [row[name] for name in LEVELS] == vectors
        assert np.array_equal(np.array(cells[1:], np.float32), np.concatenate(vectors, dtype=np.float32))
        assert [np.float32(record[name]).tolist() for name in LEVELS] == vectors


def test_levels_are_the_ones_asked_for(preset: str, music: Path) -> None:
    code, out, _ = quick("embed", music / "tone.wav", "-p", preset, "--levels", "-2")
    assert code == 0
    assert list(json.loads(out)[0]) == ["path", "level_-2"]


def test_hop_changes_the_windows(preset: str, music: Path) -> None:
    clip = music / "noise.flac"
    wide, tight = (
        json.loads(quick("tag", clip, "-p", preset, "-f", "json", *hop)[1]) for hop in ([], ["--hop", 0.01])
    )
    assert wide != tight
    close = Tagger(preset, hop_s=0.01).tag_file(clip).tags[0]
    assert tight[0]["tags"][0]["score"] == pytest.approx(close.score, abs=1e-7)


def test_both_engines_give_the_same_table(preset: str, music: Path) -> None:
    clips = [
        json.loads(quick("tag", music, "-p", preset, "-f", "json", "--engine", engine)[1])
        for engine in ("keras", "openvino")
    ]
    for judged, fast in zip(*clips, strict=True):
        scores = {tag["tag"]: tag["score"] for tag in fast["tags"]}
        for tag in judged["tags"]:
            assert tag["score"] == pytest.approx(scores[tag["tag"]], abs=1e-4)


def test_info_numbers_the_outputs(preset: str) -> None:
    code, out, _ = quick("info", preset)
    assert code == 0
    assert "8000 Hz" in out
    assert "0 tag 0, 1 tag 1, 2 tag 2" in out
    assert json.loads(quick("info", preset, "--format", "json")[1])["tags"] == list(TAGS)


def test_list_names_the_bundled_presets(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samplecnn_zoo.zoo.find.weights_dir", lambda: Path(preset).parent)
    code, out, _ = quick("list")
    assert code == 0
    header, row, *others = out.splitlines()
    assert header.split() == ["preset", "where", "size", "license", "score"]
    assert not any(" bundled " in other for other in others)
    assert row.split()[1:] == ["bundled", "0.1", "MB", "MIT"] or row.split()[1] == "bundled"
    listed = json.loads(quick("list", "--format", "json")[1])[0]
    assert listed["where"] == "bundled"
    assert listed["size_bytes"] > 0


# How it ends


def test_bad_files_are_named_and_the_others_done(preset: str, music: Path, tmp_path: Path) -> None:
    bad = hostile(tmp_path)
    named = [bad.pop("missing"), bad.pop("not_regular")]  # a folder gives neither
    del bad["directory"]
    named[1].unlink()
    run = samplecnn("tag", named[0], tmp_path, music, "-p", preset, "-f", "json")
    assert run.returncode == 1
    assert [clip["path"] for clip in json.loads(run.stdout)] == [str(path) for path in in_order(music)]
    lines = run.stderr.splitlines()
    assert len(lines) == 1 + len(bad)
    assert all(any(line.startswith(f"{path}: ") for line in lines) for path in [named[0], *bad.values()])


def test_a_folder_without_audio_is_named(preset: str, music: Path, tmp_path: Path) -> None:
    code, out, err = quick("tag", tmp_path, music / "tone.wav", "-p", preset, "-f", "json")
    assert code == 1
    assert [clip["path"] for clip in json.loads(out)] == [str(music / "tone.wav")]
    assert err.startswith(f"{tmp_path}: this is a folder")


def test_a_folder_named_twice_is_done_once_and_an_empty_path_is_none(preset: str, music: Path) -> None:
    code, out, err = quick("tag", music, f"{music}/../{music.name}", "--preset", preset, "--format", "json")
    assert code == 0 and len(json.loads(out)) == 4, err
    code, _, err = quick("tag", "", "--preset", preset)
    assert code == 2 and "a path is empty" in err


@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory as Linux counts it")
def test_a_long_file_takes_no_more_memory_than_a_short_one(preset: str, tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 30):
        write(tmp_path / f"{minutes}.wav", noise(60.0 * minutes, 8000), 8000)
        watch = (
            "import resource, subprocess, sys\n"
            "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        arguments = command("tag", tmp_path / f"{minutes}.wav", "--preset", preset)
        done = subprocess.run([sys.executable, "-c", watch, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 25, f"peaks of {peaks} MB"  # the 30 minutes alone are 58 MB as float32


def test_only_bad_files_give_an_empty_list(preset: str, tmp_path: Path) -> None:
    code, out, err = quick("tag", tmp_path / "none.wav", "-p", preset, "-f", "json")
    assert (code, json.loads(out)) == (1, [])
    assert err == f"{tmp_path / 'none.wav'}: there is no such file; check the path\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tag", "{music}", "-p", "samplecnn_9k.nothing"], "neither a directory nor the name of a preset"),
        (["tag", "{music}", "-f", "parquet"], "say where to write it with -o"),
        (["tag", "{music}", "-o", "out.xyz"], "its name tells no format"),
        (["tag", "{music}", "--resume"], "--resume wants the output"),
        (["tag", "{music}", "--resume", "--overwrite", "-o", "x.json"], "give one of them"),
        (["tag", "{music}", "--hop", "-1"], "hop_s must be above 0"),
        (["tag", "{music}", "--hop", "3600"], "hop_s must be above 0"),
        (["tag", "{music}/b/../empty"], "no audio files in .*empty"),
        (["tag", "{music}", "-o", "{music}/none/out.json"], "No such file or directory; choose"),
        (["tag", "{music}", "-o", "{music}/b", "-f", "json"], "it is no plain file"),
        (["embed", "{music}", "--levels", "1"], "--levels wants negative numbers"),
        (["embed", "{music}", "--levels", "-1,-9"], "--levels of .* are -1, -2, -3, -4, -5, got -1,-9"),
        (["embed", "{music}", "-o", "out.txt"], "an embedding has no table"),
        (["info", "nothing"], "neither a directory nor the name of a preset"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    preset: str,
    music: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    (music / "empty").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    given = [argument.format(music=music) for argument in arguments]
    if "-p" not in given and given[0] != "info":
        given += ["-p", preset]
    code, out, err = quick(*given)
    assert (code, out) == (2, "")
    assert re.search(words, err), err
    assert err.startswith("samplecnn: ")
    assert err.count("\n") == 1
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "arguments", [["tag"], ["tag", "x", "--top", "0"], ["tag", "x", "--engine", "gpu"], ["sing"]]
)
def test_wrong_options_exit_with_2(arguments: list[str]) -> None:
    code, out, err = quick(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: " in err


def test_work_is_not_thrown_away_unasked(preset: str, music: Path, tmp_path: Path) -> None:
    output = tmp_path / "tags.json"
    assert quick("tag", music, "-p", preset, "-o", output)[0] == 0
    first = output.read_bytes()
    assert os.listdir(tmp_path) == ["tags.json"]
    for options in ([], ["--resume"]):
        code, _, err = quick("tag", music / "b", "-p", preset, "-o", output, *options)
        assert code == 2
        assert "it is there and complete; --overwrite" in err
    assert output.read_bytes() == first
    assert quick("tag", music / "b", "-p", preset, "-o", output, "--overwrite")[0] == 0
    assert len(json.loads(output.read_bytes())) == 2


def test_a_link_stays_a_link(preset: str, music: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    link = tmp_path / "tags.json"
    link.symlink_to(target / "real.json")
    assert quick("tag", music / "b", "-p", preset, "-o", link)[0] == 0
    assert link.is_symlink()
    assert len(json.loads((target / "real.json").read_bytes())) == 2


def test_failed_files_are_tried_again_on_resuming(preset: str, tmp_path: Path) -> None:
    bad, good, output = tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "tags.json"
    bad.write_bytes(b"no audio")
    write(good, noise(0.5, 8000), 8000)
    code, _, err = quick("tag", bad, good, "-p", preset, "-o", output)
    assert code == 1
    assert err.splitlines()[-1].startswith("1 of 2 files in ")
    assert "give the same command with --resume" in err
    code, _, err = quick("tag", bad, good, "-p", preset, "-o", output)
    assert code == 2
    assert "--resume goes on, --overwrite starts anew" in err
    write(bad, noise(0.5, 8000), 8000)
    assert quick("tag", bad, good, "-p", preset, "-o", output, "--resume")[0] == 0
    assert [clip["path"] for clip in json.loads(output.read_bytes())] == [str(bad), str(good)]
    assert not Path(f"{output}.journal").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--top", 3], "begun with top 10, now it is 3"),
        (["--hop", 0.02], "begun with hop_s None, now it is 0.02"),
        (["--engine", "keras"], "begun with engine 'auto', now it is 'keras'"),
    ],
)
def test_resuming_with_other_options_is_refused(
    preset: str, tmp_path: Path, changed: list[object], words: str
) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    arguments = ["tag", tmp_path / "a.wav", "-p", preset, "-o", tmp_path / "tags.json"]
    assert quick(*arguments)[0] == 1
    code, _, err = quick(*arguments, "--resume", *changed)
    assert code == 2
    assert words in err


def test_resuming_with_a_preset_that_changed_is_refused(preset: str, tmp_path: Path) -> None:
    copy = tmp_path / "preset"
    copy.mkdir()
    for file in Path(preset).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (tmp_path / "a.wav").write_bytes(b"no audio")
    arguments = ["tag", tmp_path / "a.wav", "-p", copy, "-o", tmp_path / "tags.json"]
    assert quick(*arguments)[0] == 1
    text = (copy / "preset.json").read_text(encoding="utf-8")
    (copy / "preset.json").write_text(text.replace("tag 11", "tag eleven"), encoding="utf-8")
    code, _, err = quick(*arguments, "--resume")
    assert code == 2
    assert "begun with preset_sha256" in err


# What it survives


def journal_lines(output: Path) -> int:
    try:
        return Path(f"{output}.journal").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def stop_after(lines: int, with_signal: int, arguments: list[object], output: Path) -> tuple[int, str]:
    """Start the command, and send it a signal when its journal has so many lines."""
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while journal_lines(output) < lines and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(with_signal)
        _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.fixture(scope="module")
def undisturbed(
    preset: str, many: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], bytes]:
    """What a run gives that nothing stops."""
    folder = tmp_path_factory.mktemp("undisturbed")

    @cache
    def output(what: str, suffix: str) -> bytes:
        path = folder / f"{what}{suffix}"
        assert quick(what, many, "-p", preset, "-o", path)[0] == 1
        return path.read_bytes()

    return output


@POSIX
@pytest.mark.parametrize(("what", "name"), [("tag", "tags.json"), ("embed", "vectors.parquet")])
def test_killed_half_way_and_resumed_the_output_is_the_same_byte_for_byte(
    preset: str,
    many: Path,
    tmp_path: Path,
    undisturbed: Callable[[str, str], bytes],
    what: str,
    name: str,
) -> None:
    output = tmp_path / name
    arguments: list[object] = [what, many, "-p", preset, "-o", output]
    done = 0
    for lines in (2, 15):
        code, _ = stop_after(lines, signal.SIGKILL, arguments, output)
        assert code == -signal.SIGKILL, "the run ended before it could be killed"
        assert not output.exists()
        assert lines <= journal_lines(output)
        done, arguments = journal_lines(output), [what, many, "-p", preset, "-o", output, "--resume"]
    run = samplecnn(*arguments)
    assert run.returncode == 1
    assert run.stderr.splitlines()[0].startswith(f"{many / '02.wav'}: ")
    assert done >= 15
    assert output.read_bytes() == undisturbed(what, output.suffix)
    journal = [json.loads(line) for line in Path(f"{output}.journal").read_bytes().splitlines()[1:]]
    done_paths = [line["path"] for line in journal if "record" in line]
    assert len(done_paths) == len(set(done_paths)) == 29, "a file was lost or done twice"


@POSIX
def test_ctrl_c_says_how_to_go_on(
    preset: str, many: Path, tmp_path: Path, undisturbed: Callable[[str, str], bytes]
) -> None:
    output = tmp_path / "tags.json"
    arguments: list[object] = ["tag", many, "-p", preset, "-o", output]
    code, err = stop_after(10, signal.SIGINT, arguments, output)
    assert code == 130
    assert re.fullmatch(
        r"samplecnn: stopped; \d+ of 30 files are done, the same command with --resume goes on",
        err.splitlines()[-1],
    )
    assert "Traceback" not in err
    assert samplecnn(*arguments, "--resume").returncode == 1
    assert output.read_bytes() == undisturbed("tag", ".json")


@POSIX
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    preset: str, many: Path, tmp_path: Path, undisturbed: Callable[[str, str], bytes]
) -> None:
    import resource

    output = tmp_path / "tags.json"
    arguments: list[object] = ["tag", many, "-p", preset, "-o", output]

    def limit() -> None:  # no file may grow beyond this, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    run = samplecnn(*arguments, preexec_fn=limit)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    last = run.stderr.splitlines()[-1]
    assert re.search(
        r"File too large; \d+ of 30 files are done, the same command with --resume goes on$", last
    )
    assert not output.exists()
    assert samplecnn(*arguments, "--resume").returncode == 1
    assert output.read_bytes() == undisturbed("tag", ".json")


@POSIX
def test_a_full_standard_output_is_one_line(preset: str, music: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb") as stream:
        run = subprocess.run(
            command("tag", music, "-p", preset), stdout=stream, stderr=subprocess.PIPE, text=True
        )
    assert run.returncode == 1
    assert run.stderr == "samplecnn: standard output: No space left on device\n"


@POSIX
def test_a_reader_that_leaves_is_no_error(preset: str, many: Path) -> None:
    with subprocess.Popen(
        command("tag", many, "-p", preset), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 1
    assert all(line.startswith(f"{many}") for line in err.splitlines())


def on_terminal(arguments: list[str]) -> str:
    """What a run shows on a terminal that is both its output and its error stream."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        os.environ |= {"TERM": "xterm", "COLUMNS": "100"}
        os.execv(arguments[0], arguments)

    def shown() -> Iterator[bytes]:
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the other side is gone
                return
            if not data:
                return
            yield data

    text = b"".join(shown()).decode()
    os.waitpid(pid, 0)
    os.close(terminal)
    return text


@POSIX
def test_a_terminal_shows_a_bar_and_the_lines_above_it(preset: str, many: Path) -> None:
    text = on_terminal(command("tag", many, "-p", preset, "--top", "1"))
    assert "files/s" in text
    assert "eta" in text
    assert re.search(r"\d+/30", text)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", text.replace("\r", "\n")).split("\n")
    assert sum(bool(re.fullmatch(r"\S+\.wav +0:03  tag \d+ 0\.\d\d", line)) for line in lines) == 29
    assert sum("02.wav: " in line for line in lines) == 1
