"""Makers of small copies of the data sets, in the formats of the real ones, with sounds of their own."""

import csv
import io
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from samplecnn_zoo.datasets.gtzan import filtered_split
from samplecnn_zoo.datasets.published import lines
from tests.sounds import noise, write

RATE = 1000  # the lowest rate that is read: clips of 30 s are small
TRACKS = [f"TR{letter}AAA{number:02d}128F{letter}" for letter in "ABC" for number in range(8)]


def clip(path: Path, seconds: float = 0.5) -> Path:
    """Write noise; the format follows the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = RATE if path.suffix in (".wav", ".flac", ".au") else 8000
    return write(path, noise(seconds, rate), rate)


def magnatagatune(root: Path, *, seconds: float = 29.2, suffix: str = ".wav") -> Path:
    """Two clips in each of the folders 0 to f, as the table names them; the published top 50 come out."""
    names = [f"{letter}/{artist}-01-song-0-29" for letter in "0123456789abcdef" for artist in ("bach", "x_y")]
    tags = annotations(names)
    table(root / "annotations_final.csv", tags)
    for name in names:
        clip(root / f"{name}{suffix}", seconds)
    return root


def annotations(names: Sequence[str]) -> dict[str, set[str]]:
    """Tags for clips: each has the first, fewer the second, and so on; no clip has none."""
    top = [spaced(tag) for tag in lines("magnatagatune_top50.txt")]
    step = len(names) / (len(top) + 1)
    counts = {tag: len(names) - int(index * step) for index, tag in enumerate(top)}
    return {name: {tag for tag in top if place < counts[tag]} for place, name in enumerate(names)}


def spaced(tag: str) -> str:
    """The paper's name of a tag as the table has it."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in tag)


def table(path: Path, tags: Mapping[str, set[str]], extra: Sequence[str] = ("rare", "singer")) -> Path:
    """annotations_final.csv: quoted cells between tabs, a column a tag, the path last.

    The columns come in the order of the published list, and others behind them: where counts are equal the
    order of the columns decides.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [*(spaced(tag) for tag in lines("magnatagatune_top50.txt")), *extra]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["clip_id", *columns, "mp3_path"])
        for number, (name, held) in enumerate(tags.items(), start=1):
            writer.writerow([number, *(int(tag in held) for tag in columns), f"{name}.mp3"])
    return path


def gtzan(root: Path, *, suffix: str = ".wav", tracks: Sequence[int] = range(100)) -> Path:
    """Clips of the fault-filtered split in genres/, those of the tracks given."""
    sound = clip(root / f"sound{suffix}", 0.2)
    for name in filtered_split():
        genre, _, number = name.partition(".")
        if int(number) in tracks:
            (root / "genres" / genre).mkdir(parents=True, exist_ok=True)
            shutil.copy(sound, root / "genres" / genre / f"{name}{suffix}")
    sound.unlink()
    return root


def python2(value: object) -> bytes:
    """A pickle as Python 2 wrote it (protocol 0): lists, dictionaries, texts, numbers, arrays of flags."""
    out = io.BytesIO()
    _python2(value, out)
    out.write(b".")
    return out.getvalue()


def _python2(value: object, out: io.BytesIO) -> None:
    if isinstance(value, str):
        out.write(f"S{value!r}\n".encode())
    elif isinstance(value, int):
        out.write(f"I{value}\n".encode())
    elif isinstance(value, dict):
        out.write(b"(d")
        for key, item in value.items():
            _python2(key, out)
            _python2(item, out)
            out.write(b"s")
    elif isinstance(value, list):
        out.write(b"(l")
        for item in value:
            _python2(item, out)
            out.write(b"a")
    else:
        array = np.asarray(value, np.bool_)
        sides = "".join(f"I{side}\n" for side in array.shape)
        data = "".join(f"\\x{byte:02x}" for byte in array.tobytes())
        out.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n")
        out.write(f"({sides}tcnumpy\ndtype\n(S'b1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n".encode())
        out.write(f"S'{data}'\ntb".encode())


def msd_lists(folder: Path, *, tracks: Sequence[str] = TRACKS) -> Path:
    """The six files of MSD_split/: the last quarter of the tracks is tested on."""
    folder.mkdir(parents=True, exist_ok=True)
    held = 3 * len(tracks) // 4
    vectors = {track: np.arange(50)[:, None] % (2 + index) == 0 for index, track in enumerate(tracks)}
    seven = {track: 1000 + index for index, track in enumerate(tracks)}
    paths = {number: f"{number % 10}/{number // 10 % 10}/{number}.clip.mp3" for number in seven.values()}
    (folder / "50tagList.txt").write_text("\n".join(lines("msd_top50.txt")))
    for name, value in {
        "filtered_list_train.cP": list(tracks[:held]),
        "filtered_list_test.cP": list(tracks[held:]),
        "msd_id_to_tag_vector.cP": vectors,
        "MSD_id_to_7D_id.pkl": seven,
        "7D_id_to_path.pkl": paths,
    }.items():
        (folder / name).write_bytes(python2(value))
    return folder


def msd(root: Path) -> Path:
    """Lists, and audio by track id: A/A/TRA….wav."""
    msd_lists(root / "MSD_split")
    for track in TRACKS:
        clip(root / track[2] / f"{track}.wav")
    return root


def tagtraum(root: Path, *, genres: Sequence[str] = ("Jazz", "New Age", "Rap")) -> Path:
    """Labels and lists, and audio by track id."""
    folder = root / "TAGTRAUM_split"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_list.cP").write_bytes(python2(TRACKS[:18]))
    (folder / "test_list.cP").write_bytes(python2(TRACKS[18:]))
    rows = [f"{track}\t{genres[index % len(genres)]}\n" for index, track in enumerate(TRACKS)]
    (root / "msd_tagtraum_cd2c.cls").write_text("# genre annotations\n#\n" + "".join(rows))
    for track in TRACKS:
        clip(root / f"{track}.flac")
    return root


def jamendo(root: Path) -> Path:
    """The clone's three tables beside low-quality tracks; a tag is in at least one of them."""
    folder = root / "mtg-jamendo-dataset" / "data" / "splits" / "split-0"
    folder.mkdir(parents=True)
    for number, part in enumerate(("train", "validation", "test")):
        rows = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"]
        for index in range(4):
            track = 1000 * number + 210 + index
            tags = "\t".join(["mood/theme---happy", f"genre---g{index}", "instrument---bass"][: 1 + index])
            rows.append(
                f"track_{track:07d}\tartist_1\talbum_2\t{track % 100:02d}/{track}.mp3\t151.4\t{tags}\n"
            )
            clip(root / f"{track % 100:02d}" / f"{track}.low.mp3")
        (folder / f"autotagging_top50tags-{part}.tsv").write_text("".join(rows))
    return root


def folder(root: Path, *, clips: int = 10) -> Path:
    """Three classes, one of them with a folder inside."""
    for label in ("cello", "harp", "lute"):
        for index in range(clips):
            clip(root / label / ("solo" if label == "harp" else "") / f"{index}.wav", 0.2)
    return root


def own_table(root: Path) -> Path:
    """A table of six clips with tags and a split."""
    rows = ["path,tags,split"]
    for index in range(6):
        split = ("train", "train", "train", "valid", "test", "test")[index]
        rows.append(f"audio/{index}.wav,{'slow|' if index % 2 else ''}calm,{split}")
        clip(root / "audio" / f"{index}.wav", 0.2)
    (root / "tracks.csv").write_text("\n".join(rows) + "\n")
    return root


def midi(root: Path) -> Path:
    """A rendered folder: index.csv, tags.txt, audio/."""
    (root / "audio").mkdir(parents=True)
    rows = ["file,genre,group,split,tags,start_s,rms_db,notes"]
    for index, split in enumerate(("train", "train", "valid", "test")):
        rows.append(f"c{index},jazz,g{index},{split},jazz|piano|rare,0.0,-20.0,{index:016x}")
        clip(root / "audio" / f"c{index}.flac")
    (root / "index.csv").write_text("\n".join(rows) + "\n")
    (root / "tags.txt").write_text("piano\njazz\n")
    return root


def repository(folder: Path) -> str:
    """Make a Git repository of the folder, that gives single commits and files; returns the commit."""
    name = ["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "--quiet"],
        ["config", "uploadpack.allowFilter", "true"],
        ["config", "uploadpack.allowAnySHA1InWant", "true"],
        ["add", "."],
        [*name, "commit", "--quiet", "--no-verify", "-m", "lists"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
