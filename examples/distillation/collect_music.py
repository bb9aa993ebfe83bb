"""Cut pieces of 30 s from a folder of music, and pack them small enough to carry to a GPU.

    apt-get download wesnoth-1.16-music warzone2100-music …        # or any other folder of music
    python examples/distillation/collect_music.py music/ --out pieces/

Each folder in `music/` becomes one Ogg Opus file of pieces (24 kHz, mono), at most `--minutes` of it and
evenly from all of its files, so that no collection outweighs the others. Debian packages (`*.deb`) in
`music/` are unpacked first, and archives inside them. `sources.csv` says what came from where.

With `--voices`, files under 20 s are joined instead: speech, shouts and effects, to be mixed into music.
"""

import argparse
import csv
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from rich.progress import track

SUFFIXES = {".ogg", ".oga", ".opus", ".mp3", ".flac", ".wav", ".au"}
ARCHIVES = {".pk3", ".zip", ".wz"}
RATE = 24_000  # Hz; Opus knows only a few
PIECE_S = 30
SHORT_S = 20  # what is shorter is no music
LEVEL = 0.95  # of libsndfile: 0 codes best, 1 smallest; about 20 kbit/s


def main() -> None:
    """Unpack, cut, pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("music", type=Path, help="a folder of folders of music, and of Debian packages")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed pieces")
    parser.add_argument("--minutes", type=float, default=36, help="at most so much of each folder")
    parser.add_argument("--voices", action="store_true", help="join short files instead")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for package in track(sorted(options.music.glob("*.deb")), "unpacking"):
        unpack(package, options.music / package.name.split("_")[0])
    folders = [folder for folder in sorted(options.music.iterdir()) if folder.is_dir()]
    if not folders:
        raise SystemExit(f"{options.music}: it holds no folders of music and no Debian packages")
    work = partial(pack, out=options.out, minutes=options.minutes, voices=options.voices)
    with ProcessPoolExecutor() as processes:
        packed = track(processes.map(work, folders), "packing", len(folders))
        rows = [row for found in packed for row in found]
    with (options.out / "sources.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("folder", "file", "seconds"), *rows])
    if not rows:
        raise SystemExit(
            f"{options.music}: no file of {'under' if options.voices else 'over'} {SHORT_S} s in it"
        )
    print(f"{sum(row[2] for row in rows) / 3600:.1f} hours from {len(rows)} files in {len(folders)} folders")


def unpack(package: Path, folder: Path) -> None:
    """Take the sound files out of a Debian package, and out of archives in it."""
    if folder.exists():
        return
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(listing.stdout)) as members:
        for member in members:
            path = Path(member.name)
            if member.isfile() and path.suffix.lower() in SUFFIXES | ARCHIVES:
                data = members.extractfile(member).read()  # type: ignore[union-attr]
                keep(folder, path, data)


def keep(folder: Path, path: Path, data: bytes) -> None:
    """Write a sound file, or those in an archive, below `folder`."""
    if path.suffix.lower() in ARCHIVES:
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as members:
                for name in members.namelist():
                    if Path(name).suffix.lower() in SUFFIXES:
                        keep(folder, path.with_suffix("") / name, members.read(name))
        return
    target = folder / "_".join(part for part in path.parts if part not in ("..", ".", "/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def pack(folder: Path, *, out: Path, minutes: float, voices: bool) -> list[tuple[str, str, float]]:
    """Write the pieces of one folder; return rows of folder, file and seconds taken."""
    lengths = {path: length for path in sorted(folder.rglob("*")) if (length := seconds(path))}
    music = {path: length for path, length in lengths.items() if length >= SHORT_S}
    chosen = {path: length for path, length in lengths.items() if path not in music} if voices else music
    if not chosen:
        return []
    share = min(1.0, minutes * 60 / sum(chosen.values()))
    sounds, rows = [], []
    for path, length in chosen.items():
        for samples in [read(path, 0, length)] if voices else pieces(path, length, share):
            sounds.append(samples)
            rows.append((folder.name, str(path.relative_to(folder)), round(len(samples) / RATE, 1)))
        if voices and sum(map(len, sounds)) > minutes * 60 * RATE:
            break
    write(out / f"{folder.name}.ogg", np.concatenate(sounds))
    return rows


def seconds(path: Path) -> float:
    """Length of a sound file; 0 for what is none."""
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return 0.0
    try:
        return float(soundfile.info(path).duration)
    except soundfile.LibsndfileError:
        return 0.0


def pieces(path: Path, length: float, share: float) -> Iterator[np.ndarray]:
    """As many pieces as `share` of the file holds, one at least, evenly over it; a short file is repeated."""
    count = max(1, round(length * share / PIECE_S))
    for start in np.linspace(0, max(0.0, length - PIECE_S), count + 2)[1:-1] if count > 1 else [length / 4]:
        samples = read(path, min(start, max(0.0, length - PIECE_S)), PIECE_S)
        yield np.resize(samples, PIECE_S * RATE)


def read(path: Path, start: float, length: float) -> np.ndarray:
    """Samples at RATE, mono, with a peak of 0.9."""
    with soundfile.SoundFile(path) as file:
        file.seek(int(start * file.samplerate))
        samples = file.read(int(length * file.samplerate), dtype="float32", always_2d=True).mean(axis=1)
        samples = soxr.resample(samples, file.samplerate, RATE)
    return 0.9 * samples / max(1e-4, float(np.abs(samples).max()))


def write(path: Path, samples: np.ndarray) -> None:
    """Code as Ogg Opus, a block at a time: libsndfile's stack overflows on more."""
    with soundfile.SoundFile(
        path, "w", RATE, 1, format="OGG", subtype="OPUS", compression_level=LEVEL
    ) as file:
        for start in range(0, len(samples), RATE):
            file.write(samples[start : start + RATE])


if __name__ == "__main__":
    main()
