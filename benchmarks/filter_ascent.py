"""How fast all filters are climbed to at once, beside one filter at a time in a plain Python loop.

    python benchmarks/filter_ascent.py samplecnn_8k.midi50

For each stage that `samplecnn visualize spectra` shows: `ascend` on all its filters, compiling included; and
the loop that one writes first, a gradient tape around the same shortened network for one filter after the
other, on a few filters spread over the stage. The loop's time is scaled from those to all filters of the
stage; building the network is outside its time, and its first filter, which warms it up, is not counted.
Both in one process, stage by stage in turn. For Keras on TensorFlow.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from samplecnn_zoo import DEFAULT_PRESET, load_pretrained
from samplecnn_zoo.visualize import Ascent, ascend, frame_samples, lowest_stages
from samplecnn_zoo.visualize.shorten import shortened


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", nargs="?", default=DEFAULT_PRESET, help="a name or a folder")
    parser.add_argument("--sample", type=int, default=4, help="filters a stage that the loop does")
    options = parser.parse_args()
    model = load_pretrained(options.preset)
    stages = lowest_stages(model)
    samples = frame_samples(model, stages)
    totals = np.zeros(2)
    for stage in stages:
        begun = time.perf_counter()
        filters = len(ascend(model, stage, samples=samples).waveforms)
        batch_s = time.perf_counter() - begun
        loop_s = filters * loop_time(model, stage, samples, filters, options.sample)
        totals += (batch_s, loop_s)
        report(stage, filters, batch_s, loop_s)
    report("all stages", samples, *totals)


def loop_time(model: keras.Model, stage: str, samples: int, filters: int, sample: int) -> float:
    """Seconds a filter of the plain loop, over a sample of filters."""
    network = shortened(model, stage, samples)
    climb(network, 0, samples)
    chosen = np.linspace(0, filters - 1, sample).astype(int)
    begun = time.perf_counter()
    for index in chosen:
        climb(network, int(index), samples)
    return (time.perf_counter() - begun) / sample


def climb(network: keras.Model, index: int, samples: int) -> np.ndarray:
    """One filter, by its mean activation after the non-linearity."""
    settings = Ascent()
    rng = np.random.default_rng(settings.seed)
    x = tf.constant(rng.uniform(-settings.noise, settings.noise, (1, samples, 1)), tf.float32)
    for _ in range(settings.steps):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            activation = tf.reduce_mean(tf.nn.relu(network(x, training=False)[..., index]))
        slope = tape.gradient(activation, x)
        x += settings.step * slope / (tf.sqrt(tf.reduce_mean(slope**2)) + 1e-9)
    waveform: np.ndarray = x.numpy()[0, :, 0]
    return waveform


def report(what: str, count: int, batch_s: float, loop_s: float) -> None:
    """Print a line: how many filters (samples an input, of all), seconds of both, and their ratio."""
    unit = "samples" if what == "all stages" else "filters"
    print(
        f"{what:<11}{count:>5} {unit}   at once {batch_s:7.1f} s   "
        f"one at a time {loop_s:8.1f} s (scaled)   {loop_s / batch_s:6.1f} times"
    )


if __name__ == "__main__":
    main()
