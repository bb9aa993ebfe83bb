"""One forward and one backward step of a small model of every family, alike on TensorFlow, JAX and torch.

Keras takes its backend at import, so each one gets a process: this file, run as a script.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Compile fast, not well: XLA's optimizing is half of the time of these steps.
XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def families() -> dict[str, Callable[[], Any]]:
    """Return a builder of a small model for each family."""
    from samplecnn_zoo.models import FrameLevelMel, FrameLevelRaw, SampleCNN

    small: dict[str, Any] = {"num_tags": 7, "widths": (4, 6, 8)}
    deeper: dict[str, Any] = {"num_tags": 7, "widths": (4, 6, 6, 8), "multi_level": True}
    return {
        "paper": lambda: SampleCNN(3, 2, **small),
        "rates": lambda: SampleCNN((3, 2, 4), **small),
        "theano": lambda: SampleCNN((3, 2, 4), **small, alignment="theano"),
        "raw": lambda: FrameLevelRaw(27, 9, 2, **small),
        "mel": lambda: FrameLevelMel(27, 9, 2, **small, mean=0.2, std=1.3),
        "basic_multi": lambda: SampleCNN(2, 3, **deeper),
        "se": lambda: SampleCNN(3, 2, **small, block="se"),
        "res1": lambda: SampleCNN(3, 2, **small, block="res1"),
        "res2": lambda: SampleCNN(3, 2, **small, block="res2"),
        "rese1": lambda: SampleCNN(3, 2, **small, block="rese1"),
        "rese2_multi": lambda: SampleCNN(2, 3, **deeper, block="rese2"),
        "won_sample": lambda: SampleCNN(3, 2, **small, input_padding=1),
        "won_se": lambda: SampleCNN(3, 2, **small, block="rese_won", input_padding=1),
    }


def step(model: Any) -> dict[str, Any]:
    """Score a batch with seeded weights, train on it once, and name the kernels that stood still."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.trainable and not layer.name.endswith("norm"):
            layer.set_weights([draw(rng, weight.shape) for weight in layer.get_weights()])
    x = rng.uniform(-1, 1, (5, model.input_shape[1], 1)).astype("float32")
    # Only JAX gains by compiling a step that runs once.
    jit = os.environ["KERAS_BACKEND"] == "jax"
    model.compile("sgd", "binary_crossentropy", jit_compile=jit, run_eagerly=not jit)
    scores = model.predict(x, verbose=0)
    before = model.get_weights()
    loss = model.train_on_batch(x, rng.integers(0, 2, (5, 7)).astype("float32"))
    still = [
        weight.path
        for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if old.ndim > 1 and np.array_equal(old, new)
    ]
    return {"scores": scores.tolist(), "loss": float(loss), "still": still}


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Draw kernels of both signs; biases and BatchNorm's values, variances among them, above zero."""
    return rng.uniform(0.1, 0.6, shape) * rng.choice([-1, 1], shape) ** (len(shape) > 1)


@cache
def run(backend: str) -> dict[str, dict[str, Any]]:
    """Step every family in a process of that backend."""
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": root, "XLA_FLAGS": XLA_FLAGS}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_family_steps_forward_and_backward(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'samplecnn_zoo[backends]'")
    results = run(backend)
    assert set(results) == set(families())
    for family, result in results.items():
        assert np.isfinite(result["loss"]), family
        frozen = ["stage1_cos/kernel", "stage1_sin/kernel", "stage1_mel/kernel"] if family == "mel" else []
        assert result["still"] == frozen, family


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'samplecnn_zoo[backends]'")
    for family, result in run("tensorflow").items():
        scores = np.array(result["scores"])
        assert scores.std(axis=0).max() > 1e-3, f"{family} scores all segments alike"
        np.testing.assert_allclose(run(backend)[family]["scores"], scores, atol=1e-4, err_msg=family)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({family: step(build()) for family, build in families().items()}) + "\n")
