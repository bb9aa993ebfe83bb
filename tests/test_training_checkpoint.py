"""The file that a run goes on from: whole or not there, exact, and nothing in it is run."""

import pickle
import resource
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from samplecnn_zoo.models import SampleCNN
from samplecnn_zoo.training import TrainingError
from samplecnn_zoo.training.checkpoint import (
    FILE,
    Checkpoint,
    Standing,
    capture,
    load,
    restore,
    save,
    weights_of,
)


def small(widths: tuple[int, int] = (3, 4)) -> keras.Model:
    model = SampleCNN(3, 2, num_tags=5, widths=widths)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", jit_compile=False)
    return model


def step(model: keras.Model, seed: int) -> float:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 27, 1)), rng.integers(0, 2, (6, 5))
    return float(model.train_on_batch(x.astype("float32"), y.astype("float32")))


def full(model: keras.Model) -> Checkpoint:
    row = {"epoch": 1, "loss": 0.1 + 0.2, "valid_loss": float("inf"), "valid_roc_auc": None}
    standing = Standing(epoch=1, batch=7, history=[row], schedule={"rate": 1}, best=row, loss=1e-9)
    return Checkpoint(standing, {**capture(model), "best": weights_of(model)})


def test_a_restored_model_goes_on_bit_for_bit_dropout_and_moments_among_it(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = small()
    step(model, 0)
    save(tmp_path, full(model))
    losses = [step(model, seed) for seed in (1, 2, 3)]
    other = small()
    step(other, 9)
    found = load(tmp_path)
    assert found is not None
    restore(other, found.arrays)
    assert [step(other, seed) for seed in (1, 2, 3)] == losses
    for ours, theirs in zip(weights_of(model), weights_of(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_plain_values_come_back_exactly(tmp_path: Path) -> None:
    model = small()
    written = full(model)
    save(tmp_path, written)
    found = load(tmp_path)
    assert found is not None
    assert found.standing == written.standing
    assert {name: len(arrays) for name, arrays in found.arrays.items()}.keys() == written.arrays.keys()


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert load(tmp_path) is None


def test_another_network_is_refused(tmp_path: Path) -> None:
    save(tmp_path, full(small()))
    found = load(tmp_path)
    assert found is not None
    with pytest.raises(TrainingError, match=r"weights are of another network.*start a new run"):
        restore(small((3, 5)), found.arrays)


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "pickle", "newer"])
def test_a_damaged_file_is_named_and_nothing_in_it_runs(tmp_path: Path, damage: str) -> None:
    save(tmp_path, full(small()))
    path = tmp_path / FILE
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        with zipfile.ZipFile(path) as bundle:
            place = bundle.getinfo("weights/2.npy").header_offset
        content[place + 250] ^= 0xFF
    elif damage == "text":
        content = bytearray(b"not a checkpoint")
    path.write_bytes(content)
    if damage in ("pickle", "newer"):
        rewrite(path, damage)
    with pytest.raises(TrainingError, match=r"last\.npz: this checkpoint can't be read.*delete it"):
        load(tmp_path)


def rewrite(path: Path, damage: str) -> None:
    with zipfile.ZipFile(path) as bundle:
        members = {name: bundle.read(name) for name in bundle.namelist()}
    if damage == "newer":
        members["state.json"] = members["state.json"].replace(b'"format": 1', b'"format": 2')
    else:
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
        members["weights/0.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        members["weights/0.npy"] += pickle.dumps([print])
    with zipfile.ZipFile(path, "w") as bundle:
        for name, member in members.items():
            bundle.writestr(name, member)


def test_a_full_disk_leaves_the_old_checkpoint_and_no_rest(tmp_path: Path) -> None:
    model = small()
    save(tmp_path, full(model))
    before = (tmp_path / FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save(tmp_path, full(model))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename is None or "partial" in str(caught.value.filename)
    assert (tmp_path / FILE).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
