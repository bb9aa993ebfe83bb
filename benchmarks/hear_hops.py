"""What timestamps of the HEAR interface cost: CPU time by hop.

    python benchmarks/hear_hops.py samplecnn_8k.midi50 --seconds 10

Prints, for the default hop and for shorter ones, embeddings and seconds of CPU time (of all cores together)
for each second of audio, and the ratio to the default.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from samplecnn_zoo import hear


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", nargs="?", default="", help="a preset's name or directory")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clip of noise")
    parser.add_argument("--hops", type=float, nargs="+", default=[500.0, 50.0], help="milliseconds")
    options = parser.parse_args()
    print("hop ms    embeddings/s    CPU s/s    ratio")
    base = None
    for hop_ms in (None, *options.hops):
        shown, rate, cost = measure(options.preset, hop_ms, options.seconds)
        base = base or cost
        print(f"{shown:7.1f} {rate:14.1f} {cost:11.3f} {cost / base:8.1f}")


def measure(preset: str, hop_ms: float | None, seconds: float) -> tuple[float, float, float]:
    """Return the hop in milliseconds, and embeddings and CPU seconds for each second of audio."""
    model = hear.load_model(preset, hop_ms=hop_ms)
    audio = np.random.default_rng(0).uniform(-1, 1, (1, round(seconds * model.sample_rate)))
    hear.get_timestamp_embeddings(audio[:, : model.sample_rate // 2], model)  # compiles
    start = time.process_time()
    embeddings, _ = hear.get_timestamp_embeddings(audio, model)
    cost = time.process_time() - start
    embedder = model.embedder
    hop = 1000 * embedder.hop_samples / embedder.preset.sample_rate
    return hop, embeddings.shape[1] / seconds, cost / seconds


if __name__ == "__main__":
    main()
