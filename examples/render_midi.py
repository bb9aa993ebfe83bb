r"""Render MIDI files into a labelled set, as they stand or varied: other instruments, keys, rooms, coders.

    python examples/render_midi.py midi5genres/ --soundfont FluidR3_GM.sf2 --out runs/midi50
    python examples/render_midi.py midi5genres/ --soundfont FluidR3_GM.sf2 TimGM6mb.sf2 --out runs/varied \
        --vary score sound --takes 3 --tags runs/midi50/tags.txt

The first line gives the MIDI set of docs/midi50.md. The second has the same clips in valid and test; pieces
of train are varied, three takes of each. A killed run goes on when the same command is given again.
Then `samplecnn prepare midi --root runs/varied -o shards --rate 8000`, and train.
Needs `pip install 'samplecnn_zoo[midi]' && pip install --no-deps tinysoundfont`.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from samplecnn_zoo.datasets import midi
from samplecnn_zoo.datasets.effects import LEVEL_ALONE
from samplecnn_zoo.datasets.midi_vary import UNVARIED, Variation


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("midi", type=Path, help="folder with index.tsv")
    parser.add_argument(
        "--soundfont", type=Path, nargs="+", required=True, help="the first plays valid and test"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to fill")
    parser.add_argument(
        "--vary", nargs="*", choices=("score", "sound", "level"), default=[],
        help="score: key, tempo, instruments, volume of each channel; sound: equalizer, room, noise, MP3, "
        "peak level and others; level: that of the clip alone",
    )  # fmt: skip
    parser.add_argument("--takes", type=int, default=1, help="excerpts of each piece that is trained on")
    parser.add_argument("--tags", type=Path, help="tags to keep, one a line; default: the 50 most frequent")
    parser.add_argument("--limit", type=int, help="at most so many pieces, spread over the index")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; default: one a core")
    options = parser.parse_args()
    if {"sound", "level"} <= set(options.vary):
        parser.error("--vary sound varies the level, too; give one of them")
    bar: Callable[[Iterable[None], int], Iterable[None]] = lambda steps, total: track(  # noqa: E731
        steps, "rendering", total=total
    )
    try:
        left_out = midi.prepare(
            options.midi, options.out, options.soundfont, seed=options.seed, takes=options.takes,
            variation=variation(options.vary), workers=options.workers, limit=options.limit, progress=bar,
            tags=options.tags.read_text("utf-8").splitlines() if options.tags else None,
        )  # fmt: skip
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: stopped; the same command goes on\n")
    except (ImportError, OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for line in left_out:
        print(f"left out: {line}")
    clips = midi.read_clips(options.out)
    parts = ", ".join(f"{sum(clip.split == split for clip in clips)} {split}" for split in midi.SPLITS)
    print(f"{options.out}: {parts}; {len(left_out)} left out")


def variation(changes: list[str]) -> Variation | None:
    """What is varied, by name; None where nothing is."""
    if not changes:
        return None
    everything = Variation()
    score = everything if "score" in changes else UNVARIED
    if "sound" in changes:
        return replace(score, effects=everything.effects)
    return replace(score, effects=LEVEL_ALONE if "level" in changes else None)


if __name__ == "__main__":
    main()
