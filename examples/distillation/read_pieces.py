"""Decode packed pieces into one array that a GPU takes whole: (pieces, 661,500) int16 at 22,050 Hz.

    python examples/distillation/read_pieces.py pieces/*.ogg -o pieces.npy

Twenty hours are 3 GB.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr
from collect_music import PIECE_S

RATE = 22_050


def main() -> None:
    """Decode on all cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="from collect_music.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    with ProcessPoolExecutor() as processes:
        pieces = np.concatenate(list(processes.map(decode, sorted(options.files))))
    np.save(options.output, pieces)
    print(f"{options.output}: {len(pieces)} pieces, {len(pieces) * PIECE_S / 3600:.1f} hours")


def decode(path: Path) -> np.ndarray:
    """The pieces of one file; what is left over at its end is dropped."""
    samples, rate = soundfile.read(path, dtype="float32")
    samples = soxr.resample(samples, rate, RATE)
    length = PIECE_S * RATE
    samples = samples[: len(samples) // length * length].reshape(-1, length)
    return np.clip(samples * 32_767, -32_768, 32_767).astype("int16")


if __name__ == "__main__":
    main()
