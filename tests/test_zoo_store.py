"""Presets in directories: what is saved comes back bit for bit, what was touched is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from samplecnn_zoo.zoo import Normalization, PresetError, load_pretrained, save_pretrained, save_record
from samplecnn_zoo.zoo.store import read_stored
from tests.presets import (
    CONFIG,
    PRESET,
    TAGS,
    WEIGHTS,
    edit,
    preset_for,
    save_tiny,
    scores,
    segments,
    settle,
    sign,
    tiny_model,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset that no test changes; stages 3 and 4 have the same shapes."""
    directory = tmp_path_factory.mktemp("zoo") / "tiny.random"
    model = tiny_model(widths=[6, 7, 7, 7])
    save_pretrained(model, directory, preset=preset_for(model, normalization=Normalization(0.01, 0.3)))
    return directory


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def refuse(directory: Path, message: str) -> None:
    """Check that nothing loads, with Keras or without."""
    with pytest.raises(PresetError, match=message):
        read_stored(directory)
    with pytest.raises(PresetError, match=message):
        load_pretrained(directory)


def test_a_saved_model_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "p", normalization=Normalization(0.01, 0.3))
    loaded = load_pretrained(tmp_path / "p")
    for layer in model.layers:
        for before, after in zip(
            layer.get_weights(), loaded.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(before, after)
    x = segments(3)
    np.testing.assert_array_equal(scores(model, x), scores(loaded, x))


def test_the_record_comes_back_with_its_hashes(tmp_path: Path) -> None:
    model = tiny_model()
    preset = preset_for(model, normalization=Normalization(0.01, 0.3))
    saved = save_pretrained(model, tmp_path / "p", preset=preset)
    assert replace(saved, weights_sha256=None, config_sha256=None) == preset
    assert saved.weights_sha256 == sha256((tmp_path / "p" / WEIGHTS).read_bytes()).hexdigest()
    assert model.preset == load_pretrained(tmp_path / "p").preset == saved


def test_a_directory_holds_what_it_should(original: Path) -> None:
    names = sorted(file.name for file in original.iterdir())
    assert names == ["README.md", CONFIG, "metadata.json", WEIGHTS, PRESET]


def test_plain_keras_loads_the_directory(original: Path) -> None:
    plain = keras.saving.load_model(original)
    x = segments(2)
    np.testing.assert_array_equal(scores(plain, x), scores(load_pretrained(original), x))


def test_the_preset_stays_on_a_model_that_is_saved(original: Path, tmp_path: Path) -> None:
    model = load_pretrained(original)
    model.save(tmp_path / "model.keras")
    assert model.preset.tags == TAGS
    again = save_pretrained(model, tmp_path / "again")  # takes model.preset
    assert again.weights_sha256 is not None
    np.testing.assert_array_equal(
        load_pretrained(tmp_path / "again").get_layer("tags").get_weights()[0],
        model.get_layer("tags").get_weights()[0],
    )


def test_saving_twice_gives_the_same_configuration(tmp_path: Path) -> None:
    save_tiny(tmp_path / "a")
    keras.utils.clear_session()
    save_tiny(tmp_path / "b")
    assert (tmp_path / "a" / CONFIG).read_bytes() == (tmp_path / "b" / CONFIG).read_bytes()


def test_a_trained_model_is_saved_without_its_optimizer(tmp_path: Path) -> None:
    model = tiny_model()
    model.compile("adam", "binary_crossentropy", run_eagerly=True)
    model.fit(segments(4), np.zeros((4, len(TAGS))), verbose=0)
    save_pretrained(model, tmp_path / "p", preset=preset_for(model))
    with h5py.File(tmp_path / "p" / WEIGHTS) as file:
        assert set(file) == {"layers", "vars"}
    loaded = load_pretrained(tmp_path / "p")
    assert not loaded.compiled
    x = segments(2)
    np.testing.assert_array_equal(scores(model, x), scores(loaded, x))


def test_a_model_of_mixed_precision_is_saved_for_float32(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny_model()
    finally:
        keras.config.set_dtype_policy("float32")
    save_pretrained(model, tmp_path / "p", preset=preset_for(model))
    loaded = load_pretrained(tmp_path / "p")
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    np.testing.assert_array_equal(
        loaded.get_layer("stage3_conv").get_weights()[0], model.get_layer("stage3_conv").get_weights()[0]
    )


def test_weights_stored_in_float16_load(copy: Path) -> None:
    before = load_pretrained(copy).get_layer("stage2_conv").get_weights()[0]
    with h5py.File(copy / WEIGHTS, "a") as file:
        vars_ = file["layers/conv1d_1/vars"]
        half = vars_["0"][()].astype(np.float16)
        del vars_["0"]
        vars_["0"] = half
    sign(copy)
    after = load_pretrained(copy).get_layer("stage2_conv").get_weights()[0]
    assert after.dtype == np.float32
    np.testing.assert_array_equal(after, before.astype(np.float16).astype(np.float32))


def test_kernels_can_be_stored_in_float16(tmp_path: Path) -> None:
    model = tiny_model(widths=[64, 64, 64, 64])
    before = [layer.get_weights() for layer in model.layers]
    for name, half in (("whole", False), ("half", True)):
        save_pretrained(model, tmp_path / name, preset=preset_for(model), half=half)
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.65 * sizes[0]
    loaded, plain = load_pretrained(tmp_path / "half"), keras.saving.load_model(tmp_path / "half")
    x = segments(3)
    np.testing.assert_allclose(scores(loaded, x), scores(model, x), atol=1e-3)
    np.testing.assert_array_equal(scores(plain, x), scores(loaded, x))
    for old, layer, new in zip(before, model.layers, loaded.layers, strict=True):
        for a, b, c in zip(old, layer.get_weights(), new.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)  # the model that was saved stays as it is
            rounded = a.size >= 0.03 * model.count_params()
            np.testing.assert_array_equal(c, a.astype(np.float16) if rounded else a)


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    kernel, *others = model.get_layer("stage2_conv").get_weights()
    assert kernel.size > 0.03 * model.count_params()
    model.get_layer("stage2_conv").set_weights([kernel + 1e5, *others])
    with pytest.raises(PresetError, match="'stage2_conv' has weights beyond 65,504"):
        save_pretrained(model, tmp_path / "p", preset=preset_for(model), half=True)
    assert not (tmp_path / "p").exists()


def test_the_record_alone_can_be_replaced_but_not_by_that_of_other_weights(copy: Path) -> None:
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    preset = replace(load_pretrained(copy).preset, description="said anew")
    save_record(copy, preset)
    assert load_pretrained(copy).preset == preset and "said anew" in (copy / "README.md").read_text()
    assert all((copy / name).read_bytes() == before[name] for name in (WEIGHTS, CONFIG))
    for change in ({"weights_sha256": "0" * 64}, {"tags": preset.tags[:-1]}, {"sample_rate": 12345}):
        with pytest.raises(PresetError, match=f"not of the network that lies there .{next(iter(change))}"):
            save_record(copy, replace(preset, **change))
    assert load_pretrained(copy).preset == preset


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    refuse(copy, f"{name}: it cannot be read .No such file or directory.; fetch the preset again")


def test_a_directory_without_a_record_is_no_preset(copy: Path) -> None:
    (copy / PRESET).unlink()
    refuse(copy, "holds no preset.json, so it is no preset")


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
@pytest.mark.parametrize("damage", ["cut", "flipped", "grown", "emptied"])
def test_a_touched_file_is_refused(copy: Path, name: str, damage: str) -> None:
    content = (copy / name).read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    touched = {"cut": content[:-1], "flipped": bytes(flipped), "grown": content + b"\0", "emptied": b""}[
        damage
    ]
    (copy / name).write_bytes(touched)
    refuse(copy, f"{name}: its sha256 is .* preset.json states .*damaged, incomplete or of another preset")


def test_weights_of_another_preset_are_refused(copy: Path, tmp_path: Path) -> None:
    save_tiny(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / WEIGHTS, copy / WEIGHTS)
    refuse(copy, "of another preset")


def test_a_record_without_hashes_is_refused(copy: Path) -> None:
    edit(copy / PRESET, lambda value: value.update(weights_sha256=None))
    refuse(copy, "states no sha256 for it; save the preset with save_pretrained")


def test_a_newer_format_is_refused(copy: Path) -> None:
    edit(copy / PRESET, lambda value: value.update(format_version=2))
    refuse(copy, "preset.json: format_version 2 is newer")


def test_a_record_that_is_no_text_is_refused(copy: Path) -> None:
    (copy / PRESET).write_bytes(b"\xff\xfe{}")
    refuse(copy, "preset.json: it cannot be read")


def swap(file: h5py.File, one: str, other: str) -> None:
    file.move(one, "aside")
    file.move(other, one)
    file.move("aside", other)


def set_array(path: str, array: np.ndarray[Any, Any]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = array

    return change


def link_outside(file: h5py.File) -> None:
    del file["layers/conv1d_1"]
    file["layers/conv1d_1"] = h5py.ExternalLink("elsewhere.h5", "/layers/conv1d_1")


def announce_much(file: h5py.File) -> None:
    del file["layers/conv1d_1/vars/1"]
    file.create_dataset("layers/conv1d_1/vars/1", (1 << 40,), np.float32, chunks=(1 << 10,))


KERNEL = "layers/conv1d_1/vars/0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: swap(file, "layers/conv1d_2", "layers/conv1d_3"),
            "conv1d_2 holds layer 'stage4_conv', config.json expects 'stage3_conv' there: layers are swapped",
        ),
        (
            lambda file: swap(file, "layers/batch_normalization_2", "layers/batch_normalization_3"),
            "batch_normalization_2 holds layer 'stage4_bn'",
        ),
        (
            lambda file: file["layers/dense/vars"].attrs.modify("name", "genres"),
            "layers/dense holds layer 'genres', config.json expects 'tags'",
        ),
        (lambda file: file.pop("layers/conv1d_3"), "no group layers/conv1d_3 for layer 'stage4_conv'"),
        (lambda file: file.copy("layers/dense", "layers/dense_1"), "belong to no layer.*layers/dense_1"),
        (lambda file: file.create_dataset("optimizer/vars/0", (3,)), "belong to no layer.*optimizer"),
        (lambda file: file.pop(KERNEL), "arrays of layer 'stage2_conv' are .'1'., not .'0'."),
        (set_array(KERNEL, np.full((3, 6, 7), np.nan)), "'stage2_conv' has NaN or infinite weights"),
        (set_array(KERNEL, np.zeros((3, 6, 7), int)), "'stage2_conv' has int64 numbers, not floating-point"),
        (link_outside, "no group layers/conv1d_1"),
        (announce_much, "is announced but not stored"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused_whatever_the_hash(
    copy: Path, change: Callable[[h5py.File], object], message: str
) -> None:
    with h5py.File(copy / WEIGHTS, "a") as file:
        change(file)
    sign(copy)
    refuse(copy, message)


def test_plain_keras_would_load_the_swapped_layers(copy: Path) -> None:
    with h5py.File(copy / WEIGHTS, "a") as file:
        swap(file, "layers/conv1d_2", "layers/conv1d_3")
    keras.saving.load_model(copy)  # no error: why names are compared


@pytest.mark.parametrize("shape", [(3, 7, 6), (3, 6, 8), (3 * 6 * 7,)])
def test_an_array_of_another_shape_is_refused(copy: Path, shape: tuple[int, ...]) -> None:
    with h5py.File(copy / WEIGHTS, "a") as file:
        set_array(KERNEL, np.zeros(shape, np.float32))(file)
    sign(copy)
    with pytest.raises(
        PresetError, match=r"'stage2_conv' needs arrays of shapes \[\(3, 6, 7\), \(7,\)\], got"
    ):
        load_pretrained(copy)


def test_a_file_cut_before_it_was_hashed_is_refused(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes((copy / WEIGHTS).read_bytes()[:4000])
    sign(copy)
    refuse(copy, "this is no whole HDF5 file")


def first_layer(config: dict[str, Any], kind: str) -> dict[str, Any]:
    layer: dict[str, Any] = next(one for one in config["config"]["layers"] if one["class_name"] == kind)
    return layer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(class_name="Sequential"), "a functional Keras model is needed, got Sequential"),
        (lambda c: c.pop("config"), "no Keras 3 configuration"),
        (lambda c: c["config"].pop("layers"), "no Keras 3 configuration"),
        (lambda c: first_layer(c, "ReLU").update(module="somebody.layers"), "holds stock Keras layers only"),
        (
            lambda c: first_layer(c, "ReLU")["inbound_nodes"].append({"args": [], "kwargs": {}}),
            "'stage1_relu' is used 2 times",
        ),
        (
            lambda c: c["config"].update(output_layers=[["tags", 0, 0], ["top_relu", 0, 0]]),
            "one input and one output",
        ),
        (lambda c: c["config"]["layers"].reverse(), "not seen before it"),
        (
            lambda c: c["config"].update(output_layers=["genres", 0, 0]),
            "none of its layers: waveform.*genres",
        ),
        (
            lambda c: c["config"]["layers"].append(c["config"]["layers"][-1]),
            "several layers are called tags",
        ),
    ],
)
def test_a_configuration_that_is_not_ours_is_refused_whatever_the_hash(
    copy: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(copy / CONFIG, change)
    sign(copy)
    refuse(copy, message)


def test_a_configuration_that_keras_cannot_build_is_refused(copy: Path) -> None:
    edit(copy / CONFIG, lambda config: first_layer(config, "Conv1D")["config"].update(filters=-1))
    sign(copy)
    with pytest.raises(PresetError, match=r"config.json: Keras .* cannot build it"):
        load_pretrained(copy)


def test_another_number_of_tags_is_refused(copy: Path) -> None:
    edit(copy / PRESET, lambda value: value["tags"].pop())
    refuse(copy, "names 4 tags, the network's output is .*5.* instead of .None, 4.")


def test_another_segment_is_refused(copy: Path) -> None:
    edit(copy / PRESET, lambda value: value.update(segment_samples=728))
    refuse(copy, "has segments of 728 samples, the network takes .None, 729, 1.")


def test_another_sample_rate_is_refused(copy: Path) -> None:
    edit(copy / PRESET, lambda value: value.update(sample_rate=16000))
    refuse(copy, "has a sample rate of 16000 Hz, the network is for 8000 Hz")


def test_a_new_head_keeps_the_rest(original: Path) -> None:
    with pytest.warns(UserWarning, match="the head of .*tiny.random' is new: its 3 outputs are untrained"):
        model = load_pretrained(original, tags=["jazz", "polka", "techno"])
    trained = load_pretrained(original)
    assert model.output_shape == (None, 3)
    assert model.preset.tags == ("jazz", "polka", "techno")
    assert (model.preset.name, model.preset.scores) == ("tiny.random-new-head", ())
    for layer in trained.layers[:-1]:
        for before, after in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
    assert np.ptp(model.get_layer("tags").get_weights()[0]) > 0


def test_a_new_head_of_a_number_has_numbered_tags(original: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 outputs are untrained"):
        model = load_pretrained(original, num_tags=2)
    assert model.preset.tags == ("tag_0", "tag_1")
    save_pretrained(settle(model), tmp_path / "fine-tuned")
    assert load_pretrained(tmp_path / "fine-tuned").preset.arguments["num_tags"] == 2


def test_a_new_head_is_asked_for_sensibly(original: Path) -> None:
    with pytest.raises(ValueError, match="num_tags or tags, not both"):
        load_pretrained(original, num_tags=2, tags=["a", "b"])
    with pytest.raises(PresetError, match="at least one"):
        load_pretrained(original, num_tags=0)


def test_a_model_without_a_record_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="carries no preset: pass preset="):
        save_pretrained(tiny_model(), tmp_path / "p")
    assert not list(tmp_path.iterdir())


def custom_layer_model() -> keras.Model:
    class Twice(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 2 * x

    x = inputs = keras.Input((729, 1))
    x = Twice()(x)
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(x)))


def nan_model() -> keras.Model:
    model = tiny_model()
    kernel, bias = model.get_layer("tags").get_weights()
    model.get_layer("tags").set_weights([kernel * np.nan, bias])
    return model


def sequential_model() -> keras.Model:
    flatten, dense = keras.layers.Flatten(), keras.layers.Dense(5)
    return keras.Sequential([keras.Input((729, 1)), flatten, dense])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (custom_layer_model, "holds stock Keras layers only"),
        (sequential_model, "a functional Keras model is needed, got Sequential"),
        (nan_model, "layer 'tags' has NaN or infinite weights"),
        (lambda: tiny_model(num_tags=4), "names 5 tags"),
        (lambda: tiny_model(sr=22050), "the network is for 22050 Hz"),
        (lambda: keras.Sequential(), "functional model with one input, this one has 0"),
    ],
)
def test_a_model_that_cannot_be_a_preset_leaves_nothing_behind(
    tmp_path: Path, make: Callable[[], keras.Model], message: str
) -> None:
    with pytest.raises(PresetError, match=message):
        save_pretrained(make(), tmp_path / "p", preset=preset_for(tiny_model()))
    assert not list(tmp_path.iterdir())


def test_something_in_the_way_is_not_replaced_unasked(tmp_path: Path) -> None:
    save_tiny(tmp_path / "p")
    before = (tmp_path / "p" / PRESET).read_bytes()
    model = tiny_model(seed=1)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_pretrained(model, tmp_path / "p", preset=preset_for(model))
    assert (tmp_path / "p" / PRESET).read_bytes() == before
    save_pretrained(model, tmp_path / "p", preset=preset_for(model), overwrite=True)
    assert load_pretrained(tmp_path / "p").preset.weights_sha256 == model.preset.weights_sha256
    assert [file.name for file in tmp_path.iterdir()] == ["p"]


def test_a_directory_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    model = tiny_model()
    with pytest.raises(FileExistsError, match=r"no preset.json, so it is no preset and is not replaced"):
        save_pretrained(model, tmp_path, preset=preset_for(model), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    save_tiny(tmp_path / "p")
    assert read_stored(tmp_path / "p").preset.name == "tiny.random"


OS_SYSTEM = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}
POPEN = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}, "registered_name": None}
LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": OS_SYSTEM}, "layer 'tags' names function"),
        ({"activation": LAMBDA}, "layer 'tags' names __lambda__"),
        ({"kernel_initializer": POPEN}, r"layer 'tags' names subprocess\.Popen"),
        ({"kernel_initializer": {**POPEN, "config": [POPEN]}}, r"layer 'tags' names subprocess\.Popen"),
    ],
)
def test_a_configuration_that_reaches_outside_of_keras_is_refused(
    copy: Path, change: dict[str, Any], message: str
) -> None:
    def harm(config: Any) -> None:
        (layer,) = (layer for layer in config["config"]["layers"] if layer["name"] == "tags")
        layer["config"].update(change)

    edit(copy / CONFIG, harm)
    sign(copy)
    refuse(copy, message)


@pytest.mark.parametrize("kind", ["Lambda", "TFSMLayer", "TorchModuleWrapper", "StringLookup"])
def test_layers_that_hold_code_or_read_files_are_refused(copy: Path, kind: str) -> None:
    def harm(config: Any) -> None:
        config["config"]["layers"][2]["class_name"] = kind

    edit(copy / CONFIG, harm)
    sign(copy)
    refuse(copy, rf"is a keras\.layers\.{kind}; a preset holds stock Keras layers only, without code")
