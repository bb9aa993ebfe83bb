"""Which songs of a folder sound alike: nearest neighbours among their features.

    python examples/similar_songs.py music/                            # the three nearest of every song
    python examples/similar_songs.py music/ --like music/saints.ogg    # of one, inside the folder or not

Features are the last three hidden layers of a preset (several --preset: side by side), standardized over the
folder and compared by the angle between them. They are kept in --cache: a killed run goes on, and new songs
alone are heard next time.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from samplecnn_zoo import DEFAULT_PRESET
from samplecnn_zoo.audio import find_audio
from samplecnn_zoo.transfer import FeatureTable, Scale, extract


def main() -> None:
    """Print the nearest songs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--like", type=Path, help="a song; else every song of the folder")
    parser.add_argument("--preset", action="append", help="a name or folder; may be repeated")
    parser.add_argument("--top", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path("runs/similar"))
    options = parser.parse_args()

    songs = [*find_audio(options.folder), *([options.like] if options.like else [])]
    scales = [Scale.of(preset) for preset in options.preset or [DEFAULT_PRESET]]
    table = extract(scales, songs, cache=options.cache, progress=show)
    alike = similarity(table)
    asked = [str(options.like)] if options.like else table.keys
    for song in asked:
        row = table.keys.index(song)
        order = [index for index in np.argsort(-alike[row]) if index != row][: options.top]
        print(song)
        for index in order:
            print(f"  {alike[row, index]:5.2f}  {table.keys[index]}")


def show(steps: Iterable[str | None], total: int) -> Iterator[str | None]:
    """A progress bar, and a line for each bad file, which is left out."""
    for step in track(steps, "features", total=total):
        if step:
            print(step)
        yield step


def similarity(table: FeatureTable) -> np.ndarray:
    """(songs, songs) cosines of the angles between standardized features, 1 for the same."""
    spread = table.values.std(axis=0)
    rows = (table.values - table.values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    cosines: np.ndarray = rows @ rows.T
    return cosines


if __name__ == "__main__":
    main()
