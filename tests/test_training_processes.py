"""Runs in processes of their own: killed, on other backends, on two devices."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("training_process.py")
# Compile fast, not well.
XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def run(job: str, folder: Path, backend: str, flags: str = "") -> dict[str, Any]:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'samplecnn_zoo[backends]'")
    environment = os.environ | {"KERAS_BACKEND": backend, "XLA_FLAGS": f"{XLA_FLAGS} {flags}"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), job, str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_a_run_killed_ten_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    result = run("kills", tmp_path, "tensorflow")
    assert result["kills"] == 10
    assert result["after_a_checkpoint"] >= 5
    assert result["difference"] == 0.0
    assert result["same_log"]


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_every_backend_goes_on_with_the_same_bits(tmp_path: Path, backend: str) -> None:
    result = run("resume", tmp_path, backend)
    assert result == {"going_on": "going on in epoch 2 at batch 3", "difference": 0.0}


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_devices_give_the_result_of_one(tmp_path: Path, backend: str) -> None:
    result = run("devices", tmp_path, backend, "--xla_force_host_platform_device_count=2")
    assert result["difference"] < 1e-5
    assert result["plain"]


def test_without_synchronized_normalization_they_would_not(tmp_path: Path) -> None:
    assert run("apart", tmp_path, "tensorflow")["difference"] > 1e-3


def test_devices_that_are_not_there_are_refused(tmp_path: Path) -> None:
    from samplecnn_zoo.training import TrainingError, train
    from tests import training_sets as sets

    prepared = sets.make(tmp_path / "set")
    with pytest.raises(TrainingError, match="4 devices are wanted, there are 1"):
        train(sets.recipe(), prepared, tmp_path / "run", devices=4)
    with pytest.raises(TrainingError, match="a batch of 8 segments can't be split evenly over 3 devices"):
        train(sets.recipe(), prepared, tmp_path / "run3", devices=3)
