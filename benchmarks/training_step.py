"""How fast a network trains: Keras, as `samplecnn train` compiles it, beside PyTorch, by turns in one run.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --contenders keras-jax torch-compile --precision mixed_bfloat16

The second line is for a GPU.
Trains the paper's 3^9 (2,460,466 parameters, Table 1) on batches of 23 noise segments, SGD with Nesterov
momentum, each contender in a process of its own that does nothing while it is not its turn:

- keras-tensorflow, keras-jax   `model.fit`, compiled by XLA
- keras-tensorflow-plain        the same without XLA (`samplecnn train --no-jit`)
- keras-torch                   Keras on PyTorch
- torch                         the same network in plain PyTorch, eager
- torch-compile                 the same through torch.compile (wants a C++ compiler on a CPU)

Prints each one's median over rounds in segments/s, and the median over rounds of the ratio to the last one
named. On a GPU float32 is TF32, for all. Needs torch: pip install 'samplecnn_zoo[backends]'.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

SEGMENT = 59049
TAGS = 50
PARAMETERS = 2_460_466  # paper, Table 1, with BatchNormalization's gamma and beta
WIDTHS = (128, 128, 128, 256, 256, 256, 256, 256, 512, 512)  # the strided convolution and nine modules

CONTENDERS = (
    "keras-tensorflow",
    "keras-tensorflow-plain",
    "keras-jax",
    "keras-torch",
    "torch",
    "torch-compile",
)

Train = Callable[[int], None]


def main() -> None:
    """Measure and print."""
    options = parse_options()
    workers = [Worker(name, options) for name in options.contenders]
    times: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for worker in workers:
        worker.train(options.warm_up)
    for _ in range(options.rounds):
        for worker in workers:
            times[worker.name].append(worker.train(options.steps))
    for worker in workers:
        worker.stop()
    last = options.contenders[-1]
    segments = options.steps * options.batch
    for name, seconds in times.items():
        ratios = [base / own for base, own in zip(times[last], seconds, strict=True)]
        rates = sorted(segments / second for second in seconds)
        print(
            f"{name:<24} {statistics.median(rates):8.2f} segments/s ({rates[0]:.2f} to {rates[-1]:.2f})  "
            f"{statistics.median(ratios):.2f} x {last}"
        )


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=["keras-tensorflow", "keras-jax", "torch"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="a round")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the first round: compiling")
    parser.add_argument("--batch", type=int, default=23)
    parser.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"), default="float32"
    )
    return parser.parse_args()


class Worker:
    """One contender in its process: told a number of steps, it answers with the seconds that they took."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, options.batch, options.precision))
        self._process.start()

    def train(self, steps: int) -> float:
        """Train so many steps; return the seconds."""
        self._pipe.send(steps)
        return float(self._pipe.recv())

    def stop(self) -> None:
        """End the process."""
        self._pipe.send(0)
        self._process.join()


def serve(pipe: Connection, name: str, batch: int, precision: str) -> None:
    """Train as told until told 0."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.5, 0.5, (batch, SEGMENT, 1)).astype(np.float32)
    y = (rng.random((batch, TAGS)) < 0.05).astype(np.float32)
    if name.startswith("keras-"):
        _, backend, *plain = name.split("-")
        train = keras_training(backend, x, y, precision, jit=backend != "torch" and not plain)
    else:
        train = torch_training(x, y, precision, compiled=name == "torch-compile")
    while steps := pipe.recv():
        begun = time.perf_counter()
        train(steps)
        pipe.send(time.perf_counter() - begun)


def keras_training(backend: str, x: np.ndarray, y: np.ndarray, precision: str, *, jit: bool) -> Train:
    """The network and optimizer of the recipe paper_mtat, compiled as `samplecnn train` does."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    from samplecnn_zoo.training import get_recipe, network

    if backend == "tensorflow":
        import tensorflow as tf

        data: Any = tf.data.Dataset.from_tensors((x, y)).repeat().prefetch(2)
    else:
        data = Same(x, y) if backend == "torch" else same(x, y)
    recipe = get_recipe("paper_mtat").but(precision=precision)
    model = network.build(recipe, rate=22050, tags=TAGS, single_label=False)
    if sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) != PARAMETERS:
        raise SystemExit("the Keras network is not the paper's")
    model = network.in_precision(network.trainable_copy(model, 0), precision)
    network.compile_model(model, recipe, steps=None, single_label=False, jit=jit)
    model.optimizer.learning_rate = 1e-4  # noise is learnt slowly, and no round ends in NaN

    def train(steps: int) -> None:
        model.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False)
        float(keras.ops.convert_to_numpy(model.optimizer.iterations))  # all is done

    return train


def same(x: np.ndarray, y: np.ndarray) -> Any:
    """One batch again and again."""
    while True:
        yield x, y


def Same(x: np.ndarray, y: np.ndarray) -> Any:
    """One batch again and again, for Keras on torch, which wants its generators anew for every fit."""
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras publishes no types
        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return x, y

    return Batches()


def torch_training(x: np.ndarray, y: np.ndarray, precision: str, *, compiled: bool) -> Train:
    """The same network, optimizer and loss in plain PyTorch."""
    import torch

    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as XLA has it
    torch.backends.cudnn.allow_tf32 = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch_network().to(device)
    if sum(weight.numel() for weight in model.parameters()) != PARAMETERS:
        raise SystemExit("the PyTorch network is not the paper's")
    step = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
    half = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device, enabled=precision == "mixed_float16")
    segments, labels = torch.from_numpy(x).transpose(1, 2).contiguous(), torch.from_numpy(y)

    def train(steps: int) -> None:
        for _ in range(steps):
            inputs, wanted = segments.to(device), labels.to(device)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, dtype=half, enabled=half is not None):
                logits = step(inputs)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), wanted)
            torch.autograd.backward(scaler.scale(loss))
            scaler.step(optimizer)
            scaler.update()
        loss.item()  # all is done

    return train


def torch_network() -> Any:
    """SampleCNN 3^9, `paper` widths, up to the logits."""
    from torch import nn

    layers: list[nn.Module] = []
    before = 1
    for index, width in enumerate(WIDTHS):
        first = index == 0
        layers.append(nn.Conv1d(before, width, 3, stride=3 if first else 1, padding=0 if first else 1))
        layers += [nn.BatchNorm1d(width, eps=1e-5), nn.ReLU()]
        layers += [] if first else [nn.MaxPool1d(3)]
        before = width
    layers += [nn.Conv1d(before, 512, 1), nn.BatchNorm1d(512, eps=1e-5), nn.ReLU()]
    layers += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, TAGS)]
    return nn.Sequential(*layers)


if __name__ == "__main__":
    main()
