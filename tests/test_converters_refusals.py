"""Files that must not become presets: malicious, damaged, swapped, renamed, of another architecture."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from samplecnn_zoo.zoo import PresetError, preset_info
from samplecnn_zoo.zoo.cache import git_blob
from samplecnn_zoo.zoo.converters import (
    clmr,
    convert,
    convert_like,
    convert_record,
    keras1,
    lee,
    won,
)
from samplecnn_zoo.zoo.converters.torch_files import read_state_dict
from samplecnn_zoo.zoo.published import PUBLISHED
from tests import checkpoints as stand_in
from tests import torch_writer as torch_file
from tests.checkpoints import State

ROOT = Path(__file__).resolve().parents[1]
SIZES, WIDTHS = (2, 3, 3), (4, 5, 6)


@pytest.fixture
def lee_file(tmp_path: Path) -> Path:
    return stand_in.write_lee(tmp_path / "weights.hdf5", stand_in.lee_state(SIZES, WIDTHS, 3))


@pytest.fixture
def won_state() -> State:
    return stand_in.won_state(WIDTHS, 3)


@pytest.fixture
def won_file(tmp_path: Path, won_state: State) -> Path:
    return torch_file.write_legacy(tmp_path / "best_model.pth", won_state)


@pytest.mark.parametrize("kept", [0, 1, 30, 200, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["legacy", "zip", "hdf5"])
def test_a_file_that_is_cut_off_is_refused(kind: str, kept: float, tmp_path: Path, won_state: State) -> None:
    file = tmp_path / "file"
    if kind == "hdf5":
        stand_in.write_lee(file, stand_in.lee_state(SIZES, WIDTHS, 3))
    else:
        write = torch_file.write_legacy if kind == "legacy" else torch_file.write_zip
        write(file, won_state)
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(PresetError, match=r"fetch (it|the file) again|no checkpoint|damaged|incomplete"):
        (lee if kind == "hdf5" else won).read(file)


def test_bytes_after_the_end_are_refused(won_file: Path) -> None:
    with won_file.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(PresetError, match="cut off or damaged"):
        won.read(won_file)


def test_no_flipped_bit_becomes_other_than_an_error_or_numbers(tmp_path: Path, won_state: State) -> None:
    """In an archive every flip of a number is found; in a stream it is an error or another number."""
    rng = np.random.default_rng(0)
    for write in (torch_file.write_zip, torch_file.write_legacy):
        file = write(tmp_path / "file", won_state)
        content = bytearray(file.read_bytes())
        for place in rng.integers(0, len(content), 300):
            flipped = bytearray(content)
            flipped[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(flipped)
            try:
                found = read_state_dict(file)
            except PresetError:
                continue
            if write is torch_file.write_zip:  # a flip in a field that says nothing of the content
                for name, array in won_state.items():
                    np.testing.assert_array_equal(found[name], array)
            assert all(isinstance(array, np.ndarray) for array in found.values())


def test_a_file_that_takes_the_hdf5_library_down_is_an_error(
    lee_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras1.try_apart(lee_file)
    keras1.try_apart(tmp_path / "what can't be opened says so when it is read for real")
    monkeypatch.setattr(keras1, "_WALK", "import os; os.abort()")
    with pytest.raises(
        PresetError, match=r"weights\.hdf5: reading it takes the HDF5 library down .exit -?\d+.:"
    ):
        convert_like(lee_file, "samplecnn_3x9.lee_mtat", tmp_path / "preset")
    assert not (tmp_path / "preset").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 2e6])
def test_numbers_that_no_network_has_are_refused(value: float, tmp_path: Path, won_state: State) -> None:
    won_state["layer2.conv.weight"][0, 0, 0] = value
    with pytest.raises(
        PresetError, match=r"layer2\.conv\.weight holds numbers up to .*: the file is damaged"
    ):
        won.read(torch_file.write_legacy(tmp_path / "file", won_state))
    state = stand_in.lee_state(SIZES, WIDTHS, 3)
    state["convolution1d_2_W"][0, 0, 0, 0] = value
    with pytest.raises(PresetError, match="convolution1d_2_W holds numbers up to"):
        lee.read(stand_in.write_lee(tmp_path / "file.hdf5", state))


def test_a_variance_below_zero_is_refused(tmp_path: Path, won_state: State) -> None:
    won_state["layer1.bn.running_var"][2] = -0.1
    with pytest.raises(PresetError, match=r"layer1\.bn\.running_var is a variance and holds -0\.1"):
        won.read(torch_file.write_legacy(tmp_path / "file", won_state))
    state = stand_in.lee_state(SIZES, WIDTHS, 3)
    state["batchnormalization_1_running_std"], state["batchnormalization_1_running_mean"] = (
        state["batchnormalization_1_running_mean"],
        state["batchnormalization_1_running_std"],
    )
    with pytest.raises(PresetError, match="batchnormalization_1_running_std is a variance"):
        lee.read(stand_in.write_lee(tmp_path / "file.hdf5", state))


def rename(file: h5py.File, old: str, new: str) -> None:
    file.move(old, new)


def swap_layers(file: h5py.File) -> None:
    names = list(file.attrs["layer_names"])
    first, second = names.index(b"convolution1d_2"), names.index(b"convolution1d_3")
    names[first], names[second] = names[second], names[first]
    file.attrs["layer_names"] = np.array(names)


def swap_groups(file: h5py.File) -> None:
    file.move("convolution1d_2", "away")
    file.move("convolution1d_3", "convolution1d_2")
    file.move("away", "convolution1d_3")


def drop_layer(file: h5py.File) -> None:
    del file["batchnormalization_2"]


def forget_layer(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.array(
        [n for n in file.attrs["layer_names"] if n != b"batchnormalization_2"]
    )


def whole_numbers(file: h5py.File) -> None:
    del file["dense_1/dense_1_b"]
    file["dense_1/dense_1_b"] = np.arange(3)


def link_outside(file: h5py.File) -> None:
    del file["dense_1/dense_1_b"]
    file["dense_1/dense_1_b"] = h5py.ExternalLink("/etc/passwd", "x")


def newer_keras(file: h5py.File) -> None:
    file.attrs["keras_version"] = b"2.4.0"
    file.attrs["backend"] = b"tensorflow"


def only_announced(file: h5py.File) -> None:
    del file["dense_1/dense_1_b"]
    file["dense_1"].create_dataset("dense_1_b", (10**9,), "f4", chunks=(1000,))


HARMS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "a layer's group renamed": (lambda f: rename(f, "dense_1", "dense_2"), "renamed"),
    "an array renamed": (lambda f: rename(f, "dense_1/dense_1_b", "dense_1/bias"), "renamed or lost"),
    "layers in another order": (swap_layers, "layers are swapped|no kernel over"),
    "groups swapped": (swap_groups, "renamed or swapped"),
    "a layer lost": (drop_layer, "no such group"),
    "a layer not listed": (forget_layer, "not in the attribute layer_names"),
    "whole numbers": (whole_numbers, "holds no array of floating-point numbers"),
    "a link to elsewhere": (link_outside, "no array in this file"),
    "Keras 2": (newer_keras, "written by Keras 2.4.0"),
    "an array without its numbers": (only_announced, "announced but not stored"),
    "no order": (lambda f: f.attrs.__delitem__("layer_names"), "neither the attribute layer_names nor"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_hdf5_file_is_refused(harm: str, lee_file: Path) -> None:
    change, message = HARMS[harm]
    with h5py.File(lee_file, "r+") as opened:
        change(opened)
    with pytest.raises(PresetError, match=message):
        lee.read(lee_file)


def stated_config() -> dict[str, Any]:
    """What Keras 1 writes of a network with SIZES."""
    layers: list[dict[str, Any]] = []
    for row, size in enumerate((*SIZES, 1)):
        first = row == 0
        convolution = {
            "filter_length": size,
            "subsample_length": size if first else 1,
            "activation": "linear",
        }
        convolution["border_mode"] = "valid" if first else "same"
        norm = {"epsilon": 1e-05, "mode": 0, "axis": -1}
        layers += [
            {"class_name": "Convolution1D", "config": convolution},
            {"class_name": "BatchNormalization", "config": norm},
            {"class_name": "Activation", "config": {"activation": "relu"}},
        ]
        if 0 < row < len(SIZES):
            pool = {"pool_length": size, "border_mode": "valid"}
            layers.append({"class_name": "MaxPooling1D", "config": pool})
    layers.append({"class_name": "Dense", "config": {"activation": "sigmoid"}})
    return {"config": {"layers": layers}}


def of_kind(config: dict[str, Any], kind: str, row: int) -> dict[str, Any]:
    found: dict[str, Any] = [
        layer["config"] for layer in config["config"]["layers"] if layer["class_name"] == kind
    ][row]
    return found


@pytest.mark.parametrize(
    ("kind", "row", "change", "message"),
    [
        ("", 0, {}, ""),
        ("Convolution1D", 0, {"subsample_length": 3}, r"states kernels of .*, a stride of 3"),
        ("MaxPooling1D", 1, {"pool_length": 2}, r"states .* pools of \[3, 2\]"),
        ("BatchNormalization", 2, {"epsilon": 0.001}, "states epsilon 0.001 of a BatchNormalization"),
        ("BatchNormalization", 1, {"mode": 2}, "states mode 2"),
        ("Convolution1D", 1, {"activation": "relu"}, "states activation 'relu' of a Convolution1D"),
        ("Convolution1D", 1, {"border_mode": "valid"}, r"border modes \['valid', 'valid', 'same', 'same'\]"),
        ("Activation", 1, {"activation": "tanh"}, "states the activations relu, tanh, relu, relu, sigmoid"),
        ("Dense", 0, {"activation": "softmax"}, "states the activations relu, relu, relu, relu, softmax"),
    ],
)
def test_a_configuration_that_says_otherwise_is_refused(
    kind: str, row: int, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = stand_in.write_lee(tmp_path / "w.hdf5", stand_in.lee_state(SIZES, WIDTHS, 3), whole_model=True)
    config = stated_config()
    if kind:
        of_kind(config, kind, row).update(change)
    with h5py.File(file, "r+") as opened:
        opened.attrs["model_config"] = json.dumps(config)
    if not message:
        assert lee.read(file).arguments["m"] == list(SIZES)
        return
    with pytest.raises(PresetError, match=message):
        lee.read(file)


@pytest.mark.parametrize("text", ["null", "[1]", "{}", "{"])
def test_a_configuration_that_is_none_is_refused(text: str, lee_file: Path) -> None:
    with h5py.File(lee_file, "r+") as opened:
        opened.attrs["model_config"] = text
    with pytest.raises(PresetError, match="the attribute model_config is"):
        lee.read(lee_file)


@pytest.mark.parametrize("kind", ["convolution1d", "batchnormalization"])
def test_layers_of_one_shape_that_changed_places_are_refused(kind: str, tmp_path: Path) -> None:
    file = stand_in.write_lee(tmp_path / "w.hdf5", stand_in.lee_state((3,) * 4, (5,) * 4, 3))
    with h5py.File(file, "r+") as opened:
        names = [name.decode() for name in opened.attrs["layer_names"]]
        one, other = names.index(f"{kind}_2"), names.index(f"{kind}_3")
        names[one], names[other] = names[other], names[one]
        opened.attrs["layer_names"] = [name.encode() for name in names]
    with pytest.raises(PresetError, match=rf"layer {kind}_3 stands before {kind}_2: layers are swapped"):
        convert_like(file, "samplecnn_3x9.lee_mtat", tmp_path / "preset")


@pytest.mark.parametrize("size", [2, 4, 5])
def test_other_sizes_of_pytorch_networks_are_refused(size: int, tmp_path: Path, won_state: State) -> None:
    """Their code pads both sides by half and names the pools apart: the arrays don't tell."""
    kernel = won_state["layer2.conv.weight"]
    won_state["layer2.conv.weight"] = np.ones((*kernel.shape[:2], size), np.float32)
    with pytest.raises(PresetError, match=rf"filters of size 3, this file has the sizes \[3, {size}, 3\]"):
        won.read(torch_file.write_legacy(tmp_path / "won", won_state))
    state = stand_in.clmr_state((4, 5, 6))
    kernel = state["sequential.1.0.weight"]
    state["sequential.1.0.weight"] = np.ones((*kernel.shape[:2], size), np.float32)
    with pytest.raises(PresetError, match="filters of size 3"):
        clmr.read(torch_file.write_legacy(tmp_path / "clmr", state))


@pytest.mark.parametrize("array", [h5py.Empty("f4"), np.array([b"text"]), np.float32(1), np.ones(3, "c8")])
def test_arrays_that_hold_no_numbers_are_refused(array: Any, lee_file: Path) -> None:
    with h5py.File(lee_file, "r+") as opened:
        del opened["convolution1d_1/convolution1d_1_b"]
        opened["convolution1d_1/convolution1d_1_b"] = array
    with pytest.raises(PresetError, match="convolution1d_1_b holds no array of floating-point numbers"):
        lee.read(lee_file)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_numbers_of_other_precisions_are_judged_alike(
    dtype: type[Any], tmp_path: Path, won_state: State
) -> None:
    state = {name: array.astype(dtype) for name, array in won_state.items() if array.dtype.kind == "f"}
    kernel = won.read(torch_file.write_legacy(tmp_path / "good", state)).layers["stage2_conv"].arrays[0]
    assert kernel.dtype == np.float32
    state["layer2.conv.weight"][0, 0, 0] = np.inf
    with pytest.raises(PresetError, match="holds numbers up to inf"):
        won.read(torch_file.write_legacy(tmp_path / "bad", state))


def test_another_architecture_is_refused_by_name(lee_file: Path, won_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "preset"
    with pytest.raises(PresetError, match=r"another architecture than samplecnn_3x9\.lee_mtat.*--like"):
        convert(lee_file, "samplecnn_3x9.lee_mtat", out)
    with pytest.raises(PresetError, match=r"another architecture than samplecnn_se_16k\.won_msd"):
        convert(won_file, "samplecnn_se_16k.won_msd", out)
    with pytest.raises(PresetError, match=r"a SampleCNN of Won et al\. has layer1"):
        won.read(torch_file.write_legacy(tmp_path / "clmr.pt", stand_in.clmr_state(WIDTHS)))
    with pytest.raises(PresetError, match=r"CLMR's encoder has sequential\.0\.0\.weight"):
        clmr.read(won_file)
    with pytest.raises(PresetError, match="no whole HDF5 file"):
        lee.read(won_file)
    with pytest.raises(PresetError, match="neither a pickle nor a zip archive"):
        won.read(lee_file)
    assert not out.exists()


def test_a_checkpoint_with_more_or_less_is_refused(tmp_path: Path, won_state: State) -> None:
    more = won_state | {"spec.mel": np.ones(3, np.float32)}
    with pytest.raises(PresetError, match=r"another architecture: spec\.mel and 0 more"):
        won.read(torch_file.write_legacy(tmp_path / "more", more))
    less = {name: array for name, array in won_state.items() if name != "layer2.bn.bias"}
    with pytest.raises(PresetError, match=r"layer2\.bn\.bias is missing"):
        won.read(torch_file.write_legacy(tmp_path / "less", less))


def test_two_encoders_that_differ_are_refused(tmp_path: Path) -> None:
    state = stand_in.clmr_state((4, 5, 6))
    other = {name: array.copy() for name, array in state.items()}
    other["sequential.1.0.bias"][0] += 1
    both = {f"encoder.{name}": array for name, array in state.items()}
    both |= {f"model.encoder.{name}": array for name, array in other.items()}
    with pytest.raises(PresetError, match=r"two encoders that differ in sequential\.1\.0\.bias"):
        clmr.read(torch_file.write_legacy(tmp_path / "file", both))


def test_what_holds_no_state_dict_is_refused(tmp_path: Path) -> None:
    for content, message in (
        ([1, 2], "holds list, no state_dict"),
        ({"epoch": 3}, "'epoch' in this checkpoint is no tensor"),
        ({"state_dict": {"a": "b"}}, "'a' in this checkpoint is no tensor"),
        ({}, "no state_dict"),
    ):
        with pytest.raises(PresetError, match=message):
            read_state_dict(torch_file.write_legacy(tmp_path / "file", content))


def test_archives_that_hold_no_checkpoint_or_several_are_refused(tmp_path: Path, won_file: Path) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(won_file.read_bytes())
    with pytest.raises(
        PresetError, match=r"should hold one checkpoint, it holds best_model\.pth, other\.pth"
    ):
        read_state_dict(torch_file.in_archive(tmp_path / "two.zip", won_file, other))
    with pytest.raises(PresetError, match="should hold one checkpoint, it holds nothing"):
        read_state_dict(torch_file.in_archive(tmp_path / "none.zip"))


def test_another_published_file_is_told_by_its_bytes(
    lee_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Won's files for two sets have the same shapes: only the hash tells them apart."""
    record = PUBLISHED["samplecnn_16k.won_msd"]
    swapped = replace(record, source=replace(record.source, blob=git_blob(lee_file)))
    changed = {**PUBLISHED, record.name: swapped}
    monkeypatch.setattr("samplecnn_zoo.zoo.converters.PUBLISHED", changed)
    with pytest.raises(
        PresetError, match=r"this is the file of samplecnn_16k\.won_msd, not of samplecnn_16k\.won_mtat"
    ):
        convert_record(lee_file, PUBLISHED["samplecnn_16k.won_mtat"], tmp_path / "preset")


def test_names_and_places_are_checked(tmp_path: Path, lee_file: Path) -> None:
    with pytest.raises(
        PresetError, match=r"no published preset is called 'samplecnn_3x9\.lee_mtatt'; did you mean"
    ):
        convert(lee_file, "samplecnn_3x9.lee_mtatt", tmp_path / "preset")
    with pytest.raises(PresetError, match=r"gone\.hdf5: it cannot be read \(No such file"):
        convert(tmp_path / "gone.hdf5", "samplecnn_3x9.lee_mtat", tmp_path / "preset")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something is there already"):
        convert_like(lee_file, "samplecnn_3x9.lee_mtat", tmp_path / "full")


def samplecnn(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "samplecnn_zoo", "convert", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command(tmp_path: Path, won_file: Path) -> None:
    (tmp_path / "tags.txt").write_text("rock\npop\nbösendorfer\n", encoding="utf-8")
    out = tmp_path / "mine"
    done = samplecnn(
        won_file,
        "--like",
        "samplecnn_16k.won_mtat",
        "-o",
        out,
        "--tags",
        tmp_path / "tags.txt",
        "--license",
        "MIT",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}: mine, 3 tags\n", "")
    assert (preset_info(out).tags, preset_info(out).license) == (("rock", "pop", "bösendorfer"), "MIT")
    done = samplecnn(won_file, "--like", "samplecnn_16k.won_mtat", "-o", out)
    assert done.returncode == 2 and "something is there already; name a new folder with -o" in done.stderr
    done = samplecnn(won_file, "--as", "samplecnn_16k.won_mtat", "-o", tmp_path / "other")
    assert (done.returncode, done.stdout) == (2, "")
    assert "another architecture than samplecnn_16k.won_mtat" in done.stderr and done.stderr.count("\n") == 1


def test_the_command_says_what_it_could_not_verify(tmp_path: Path) -> None:
    state = stand_in.won_state([128, 128, 128, *[256] * 6, 512], 50)
    file = torch_file.write_legacy(tmp_path / "best_model.pth", state)
    done = samplecnn(file, "--as", "samplecnn_16k.won_jamendo", "-o", tmp_path / "preset")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/preset: samplecnn_16k.won_jamendo, 50 tags\n")
    assert "could not be verified as the published file" in done.stderr
    done = samplecnn(file, "-o", tmp_path / "preset")
    assert done.returncode == 2 and "say what the file is: --as NAME" in done.stderr
