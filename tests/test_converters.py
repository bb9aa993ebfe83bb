"""Every family of published checkpoints: stand-ins, converted, against a slow forward pass in NumPy."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from samplecnn_zoo.models import SampleCNN, feature_model
from samplecnn_zoo.models.plans import sample_plan
from samplecnn_zoo.zoo import PresetError, SegmentRule, load_pretrained, preset_info, save_pretrained
from samplecnn_zoo.zoo.cache import git_blob
from samplecnn_zoo.zoo.converters import (
    checkpoint,
    clmr,
    convert,
    convert_like,
    convert_record,
    lee,
    won,
)
from samplecnn_zoo.zoo.published import PUBLISHED, Published
from tests import checkpoints as stand_in
from tests import torch_writer as torch_file
from tests.checkpoints import Array, State, waveform

TOLERANCE = 1e-4
LEE = [name for name, record in PUBLISHED.items() if record.family == "lee"]
WON = [name for name, record in PUBLISHED.items() if record.family == "won"]


def narrow(name: str) -> tuple[Published, list[int], list[int]]:
    """Return the record of a network a sixteenth as wide, the sizes of its stages and their widths."""
    record = PUBLISHED[name]
    shape = {key: record.arguments[key] for key in ("m", "n", "widths") if key in record.arguments}
    stages = sample_plan(**shape).stages
    sizes, widths = [stage.kernel for stage in stages], [stage.width // 16 for stage in stages]
    return replace(record, arguments={**record.arguments, "widths": widths}), sizes, widths


def lee_stand_in(name: str, file: Path, **layout: bool) -> tuple[Published, State]:
    record, sizes, widths = narrow(name)
    state = stand_in.lee_state(sizes, widths, len(record.tags), seed=len(name))
    stand_in.write_lee(file, state, **layout)
    return record, state


def built(record: Published, file: Path) -> keras.Model:
    """Return the network with the arrays of the file in it, as converting does before it saves."""
    model = SampleCNN(**record.arguments)
    checkpoint.assign(model, {"lee": lee, "won": won}[record.family].read(file), record.name)
    return model


def check(model: keras.Model, wanted: Array, x: Array, outputs: Sequence[Array] = ()) -> None:
    """Compare scores and the highest levels, and say no to scores that don't depend on the input."""
    network = feature_model(model, include_scores=True)
    *levels, scores = (np.asarray(y) for y in network(np.stack([x, x[::-1]])[..., None], training=False))
    assert np.abs(scores[0] - scores[1]).max() > 10 * TOLERANCE
    np.testing.assert_allclose(scores[0], wanted, rtol=0, atol=TOLERANCE)
    for level, output in zip(levels, outputs[:-4:-1], strict=False):
        np.testing.assert_allclose(level[0], output, rtol=0, atol=3e-4)


@pytest.mark.parametrize("name", LEE)
def test_lee(name: str, tmp_path: Path) -> None:
    record, state = lee_stand_in(name, tmp_path / "weights.hdf5")
    x = waveform(record.segment_samples)
    wanted, outputs = stand_in.run_lee(state, x)
    check(built(record, tmp_path / "weights.hdf5"), wanted, x, outputs)


@pytest.mark.parametrize("name", ["samplecnn_893.lee_dcase2017", "samplecnn_16k.won_mtat"])
def test_the_preset_gives_what_the_file_did(name: str, tmp_path: Path) -> None:
    """The rest of the way for one network of each format: saved, loaded by its folder."""
    record, sizes, widths = narrow(name)
    if record.family == "lee":
        state = stand_in.lee_state(sizes, widths, 17, seed=2)
        file = stand_in.write_lee(tmp_path / "file", state)
    else:
        state = stand_in.won_state(widths, 50, seed=2)
        file = torch_file.write_legacy(tmp_path / "file", state)
    x = waveform(record.segment_samples)
    run = stand_in.run_lee if record.family == "lee" else stand_in.run_won
    assert convert_record(file, record, tmp_path / "preset") == tmp_path / "preset"
    check(load_pretrained(tmp_path / "preset"), run(state, x)[0], x)


@pytest.mark.parametrize("layout", [{"whole_model": True}, {"old": True}, {"whole_model": True, "old": True}])
def test_lees_other_layouts_hold_the_same(layout: dict[str, bool], tmp_path: Path) -> None:
    _, state = lee_stand_in("samplecnn_893.lee_dcase2017", tmp_path / "weights.hdf5", **layout)
    found = lee.read(tmp_path / "weights.hdf5")
    stand_in.write_lee(tmp_path / "usual.hdf5", state)
    wanted = lee.read(tmp_path / "usual.hdf5")
    assert found.arguments == wanted.arguments
    for name, layer in wanted.layers.items():
        for one, other in zip(found.layers[name].arrays, layer.arrays, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("sizes", "widths"),
    [
        ((4, 4, 4, 4), (5, 6, 7, 8)),
        ((5, 5, 5), (7, 6, 5)),
        ((2, 3, 4, 5, 2), (6, 5, 6, 7, 9)),
        ((3,) * 4, (1, 1, 4, 3)),
    ],
)
def test_other_sizes_of_the_same_code_are_read_off_the_arrays(
    sizes: tuple[int, ...], widths: tuple[int, ...], tmp_path: Path
) -> None:
    state = stand_in.lee_state(sizes, widths, 4, seed=3)
    file = stand_in.write_lee(tmp_path / "mine.hdf5", state)
    convert_like(file, "samplecnn_3x9.lee_mtat", tmp_path / "mine", tags=["a", "b", "c", "d"], license="MIT")
    x = waveform(int(np.prod(sizes)))
    check(load_pretrained(tmp_path / "mine"), stand_in.run_lee(state, x)[0], x)
    preset = preset_info(tmp_path / "mine")
    assert (preset.name, preset.tags, preset.license) == ("mine", ("a", "b", "c", "d"), "MIT")
    assert (preset.source, preset.scores, preset.training_data) == (None, (), "unknown")


@pytest.mark.parametrize("write", [torch_file.write_legacy, torch_file.write_zip])
@pytest.mark.parametrize("name", ["samplecnn_16k.won_mtat", "samplecnn_se_16k.won_mtat"])
def test_won(name: str, write: Callable[..., Path], tmp_path: Path) -> None:
    record, _, widths = narrow(name)
    state = stand_in.won_state(widths, len(record.tags), se="block" in record.arguments, seed=len(name))
    x = waveform(record.segment_samples, rate=16000)
    wanted, outputs = stand_in.run_won(state, x)
    check(built(record, write(tmp_path / "best_model.pth", state)), wanted, x, outputs)


def test_wons_networks_for_other_sets_are_the_same() -> None:
    for kind in ("samplecnn_16k", "samplecnn_se_16k"):
        first, *others = (PUBLISHED[f"{kind}.won_{data}"] for data in ("mtat", "msd", "jamendo"))
        assert all(other.arguments == first.arguments for other in others)


WIDTHS = [8, 8, 8, 16, 16, 16, 16, 16, 16, 32]


def clmr_file(file: Path, kind: str, state: State, head: State) -> Path:
    """Write CLMR's encoder as it is found: plain, wrapped, with a classifier, in an archive."""
    projector = {"projector.0.weight": np.ones((4, 4), np.float32)}
    plain = {f"encoder.{name}": array for name, array in state.items()}
    model = {f"model.encoder.{name}": array for name, array in state.items()}
    model |= {f"model.{name}": array for name, array in projector.items()}
    match kind:
        case "plain":
            return torch_file.write_legacy(file, plain | projector)
        case "bare":
            return torch_file.write_zip(file, state)
        case "lightning":
            return torch_file.write_zip(file, torch_file.lightning(plain | model))
        case "supervised":
            named = {f"encoder.fc.{name}": array for name, array in head.items()}
            return torch_file.write_legacy(file, plain | named)
        case "supervised by Lightning":  # whose model is the encoder itself
            network = state | {f"fc.{name}": array for name, array in head.items()}
            doubled = {
                f"{way}.{name}": array for way in ("encoder", "model") for name, array in network.items()
            }
            return torch_file.write_zip(file, torch_file.lightning(doubled))
        case "linear evaluation of a supervised one":
            other = {f"encoder.fc.{name}": array + 1 for name, array in head.items()}
            named = {f"model.0.{name}": array for name, array in head.items()}
            return torch_file.write_zip(file, torch_file.lightning(plain | other | named))
        case "linear evaluation":
            named = {f"model.0.{name}": array for name, array in head.items()}
            return torch_file.write_zip(file, torch_file.lightning(plain | named))
    torch_file.write_legacy(file.with_name("clmr_checkpoint_10000.pt"), plain | projector)
    file.with_name("clmr_checkpoint_10000_optim.pt").write_bytes(b"not needed")
    return torch_file.in_archive(file, *sorted(file.parent.glob("*.pt")))


@pytest.mark.parametrize("kind", ["linear evaluation", "archive of files"])
def test_clmr(kind: str, tmp_path: Path) -> None:
    state, head = clmr_arrays()
    file = clmr_file(tmp_path / "clmr.ckpt", kind, state, head)
    convert_like(file, "samplecnn_3x9.clmr", tmp_path / "preset")
    x = waveform(3**10)
    wanted = stand_in.run_clmr(state, x)
    has_head = kind == "linear evaluation"
    if has_head:
        wanted = stand_in.sigmoid(head["weight"] @ wanted + head["bias"])
    check(load_pretrained(tmp_path / "preset"), wanted, x)
    preset = preset_info(tmp_path / "preset")
    assert preset.is_encoder is not has_head
    assert preset.tags == tuple(f"tag_{i}" if has_head else f"feature_{i}" for i in range(len(wanted)))


WRAPPED = {
    "plain": 0,
    "bare": 0,
    "lightning": 0,
    "archive of files": 0,
    "supervised": 7,
    "supervised by Lightning": 7,
    "linear evaluation of a supervised one": 7,
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_clmrs_encoder_is_the_same_however_it_is_wrapped(kind: str, tmp_path: Path) -> None:
    state, head = clmr_arrays()
    wanted = clmr.read(clmr_file(tmp_path / "wanted.ckpt", "linear evaluation", state, head))
    found = clmr.read(clmr_file(tmp_path / "found.ckpt", kind, state, head))
    assert found.outputs == WRAPPED[kind]
    assert wanted.layers.keys() - found.layers.keys() == (set() if WRAPPED[kind] else {"tags"})
    for name, layer in found.layers.items():
        for one, other in zip(layer.arrays, wanted.layers[name].arrays, strict=True):
            np.testing.assert_array_equal(one, other)


def clmr_arrays() -> tuple[State, State]:
    head = stand_in.torch_state({"weight": (7, 32), "bias": (7,)}, seed=6)
    return stand_in.clmr_state(WIDTHS, seed=5), head


def test_an_encoder_gets_a_head_that_is_new(tmp_path: Path) -> None:
    file = torch_file.write_legacy(tmp_path / "clmr.pt", stand_in.clmr_state(WIDTHS))
    convert_like(file, "samplecnn_3x9.clmr", tmp_path / "encoder")
    encoder = load_pretrained(tmp_path / "encoder")
    with pytest.warns(UserWarning, match="its 2 outputs are untrained"):
        model = load_pretrained(tmp_path / "encoder", tags=["yes", "no"])
    kernel, bias = model.get_layer("tags").get_weights()
    x = waveform(3**10)[None, :, None]
    features = np.asarray(encoder(x, training=False))
    np.testing.assert_allclose(
        np.asarray(model(x, training=False)), stand_in.sigmoid(features @ kernel + bias), atol=1e-5
    )
    save_pretrained(model, tmp_path / "tagger")
    rebuilt = SampleCNN(**preset_info(tmp_path / "tagger").arguments)
    assert [layer.name for layer in rebuilt.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("legacy", [True, False])
def test_what_pytorch_itself_writes_is_read(legacy: bool, tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    from samplecnn_zoo.zoo.converters.torch_files import read_state_dict

    base = torch.arange(24.0).reshape(2, 3, 4)
    state = {
        "whole": base,
        "turned": base.transpose(0, 2),
        "part": base[1, 1:, ::2],
        "half": base.half(),
        "double": base.double(),
        "brain": base.bfloat16(),
        "count": torch.tensor(7),
        "parameter": torch.nn.Parameter(base * 2),
        "none": torch.zeros(0, 3),
    }
    torch.save(state, tmp_path / "state.pt", _use_new_zipfile_serialization=not legacy)
    found = read_state_dict(tmp_path / "state.pt")
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.detach().float().numpy())


# A converter that is wrong in one way must fail. Each line: the mutation, and the check that it has to break.


def no_flip(name: str, stored: Array, channels: int) -> Array:
    return np.ascontiguousarray(RIGHT_KERNEL(name, stored, channels)[::-1])


def variance_as_std(layer: Any) -> checkpoint.LayerArrays:
    found = RIGHT_NORM(layer)
    return replace(found, arrays=(*found.arrays[:3], found.arrays[3] ** 2))


RIGHT_KERNEL, RIGHT_NORM = lee.kernel_from_theano, lee._batch_norm


@pytest.mark.parametrize(
    "mutation", ["none", "no kernel flip", "variance as std", "'same' on the wrong side"]
)
def test_a_converter_that_is_wrong_in_one_way_fails(
    mutation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, state = lee_stand_in("samplecnn_743.lee_dcase2017", tmp_path / "weights.hdf5")
    if mutation == "no kernel flip":
        monkeypatch.setattr(lee, "kernel_from_theano", no_flip)
    elif mutation == "variance as std":
        monkeypatch.setattr(lee, "_batch_norm", variance_as_std)
    elif mutation == "'same' on the wrong side":
        record = replace(record, arguments={**record.arguments, "alignment": "tensorflow"})
    x = waveform(record.segment_samples)
    wanted = stand_in.run_lee(state, x)[0]
    model = built(record, tmp_path / "weights.hdf5")
    if mutation == "none":
        check(model, wanted, x)
        return
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(model, wanted, x)


ENDS = {
    "samplecnn_3x9.lee_mtat": (50, "guitar", ("country", "femaleVoice", "metal", "choral")),
    "samplecnn_16k.won_mtat": (50, "guitar", ("country", "metal", "female voice", "choral")),
    "samplecnn_3x9.lee_msd": (50, "rock", ("sad", "House", "happy")),
    "samplecnn_se_16k.won_msd": (50, "rock", ("sad", "House", "happy")),
    "samplecnn_16k.won_jamendo": (50, "genre---alternative", ("mood/theme---happy", "mood/theme---relaxing")),
}


@pytest.mark.parametrize("name", ENDS)
def test_tags_stand_in_the_order_of_the_authors(name: str) -> None:
    tags, (count, first, last) = PUBLISHED[name].tags, ENDS[name]
    assert (len(tags), len(set(tags)), tags[0], tags[-len(last) :]) == (count, count, first, last)
    assert list(tags) == sorted(tags) if name.endswith("jamendo") else list(tags) != sorted(tags)


def test_the_output_that_the_file_raises_has_its_tag(tmp_path: Path) -> None:
    """A bias of 9 at output 47: 'femaleVoice' in Lee's order, 'metal' in Won's."""
    record, state = lee_stand_in("samplecnn_3x9.lee_mtat", tmp_path / "weights.hdf5")
    state["dense_1_W"] *= 0.1
    state["dense_1_b"][47] = 9
    stand_in.write_lee(tmp_path / "raised.hdf5", state)
    model = built(record, tmp_path / "raised.hdf5")
    scores = np.asarray(model(waveform(3**10)[None, :, None], training=False))[0]
    assert record.preset().tags[int(scores.argmax())] == "femaleVoice"
    wrong = replace(record, tags=PUBLISHED["samplecnn_16k.won_mtat"].tags)
    assert wrong.preset().tags[int(scores.argmax())] == "metal"


def test_records_are_whole() -> None:
    assert len(PUBLISHED) == 17
    blobs = [record.source.blob for record in PUBLISHED.values() if record.source.blob]
    assert len(set(blobs)) == 16 and all(len(blob) == 40 for blob in blobs)
    for name, record in PUBLISHED.items():
        assert record.name == name
        assert record.preset().tags == record.tags
        assert (record.url is None) == (name == "samplecnn_3x9.clmr")
        assert all(score.note == "published, not measured here" for score in record.scores)
        if record.url:
            assert record.url.startswith(f"https://raw.githubusercontent.com/{record.source.repo}/")


@pytest.mark.parametrize(
    "name", ["samplecnn_3x9.lee_msd", "samplecnn_557.lee_dcase2017", "samplecnn_se_16k.won_msd"]
)
def test_the_network_of_a_record_is_as_large_as_published(name: str) -> None:
    record = PUBLISHED[name]
    model = SampleCNN(**record.arguments)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == record.parameters
    assert model.input_shape == (None, record.segment_samples, 1)
    assert model.output_shape == (None, len(record.tags))


def test_segment_rules_are_those_of_the_published_scores() -> None:
    assert PUBLISHED["samplecnn_3x9.lee_msd"].segment_rule == SegmentRule("even", windows=12)
    assert PUBLISHED["samplecnn_3x9.lee_mtat"].segment_rule == SegmentRule()
    assert {PUBLISHED[name].segment_rule for name in WON} == {SegmentRule("even", windows=16, to_end=False)}


def test_a_file_by_its_published_name(tmp_path: Path) -> None:
    """The whole width, and what is said of a file whose bytes are not the published ones."""
    name = "samplecnn_3x9.lee_msd"
    state = stand_in.lee_state([3] * 10, [128, 128, 128, *[256] * 7], 50, seed=1)
    file = stand_in.write_lee(tmp_path / "weights.hdf5", state)
    assert convert(file, name, tmp_path / "preset") == tmp_path / "preset"
    x = waveform(3**10)
    check(load_pretrained(tmp_path / "preset"), stand_in.run_lee(state, x)[0], x)
    preset = preset_info(tmp_path / "preset")
    assert (preset.name, preset.tags, preset.sample_rate) == (name, PUBLISHED[name].tags, 22050)
    assert preset.segment_rule.windows == 12 and (preset.source, preset.scores) == (None, ())
    assert "not byte for byte the published one" in preset.description


def test_the_published_file_itself_keeps_its_source_and_scores(tmp_path: Path) -> None:
    record, _ = lee_stand_in("samplecnn_3x9.lee_mtat", tmp_path / "weights.hdf5")
    blob = git_blob(tmp_path / "weights.hdf5")
    record = replace(record, source=replace(record.source, blob=blob))
    convert_record(tmp_path / "weights.hdf5", record, tmp_path / "preset")
    preset = preset_info(tmp_path / "preset")
    assert (preset.source, preset.scores) == (record.source, record.scores)
    assert preset.description == record.description


def test_names_for_numbered_outputs(tmp_path: Path) -> None:
    record, _ = lee_stand_in("samplecnn_3543.lee_dcase2017", tmp_path / "weights.hdf5")
    names = [f"sound {index}" for index in range(17)]
    convert_record(tmp_path / "weights.hdf5", record, tmp_path / "preset", tags=names)
    assert preset_info(tmp_path / "preset").tags == tuple(names)
    with pytest.raises(PresetError, match="has 17 outputs, got 16 tags"):
        convert_record(tmp_path / "weights.hdf5", record, tmp_path / "other", tags=names[1:])
    with pytest.raises(PresetError, match="output 47 is 'femaleVoice', got 'metal'; leave the tags out"):
        PUBLISHED["samplecnn_3x9.lee_mtat"].preset(tags=_won_order())


def _won_order() -> list[str]:
    tags = list(PUBLISHED["samplecnn_3x9.lee_mtat"].tags)
    tags[47:49] = tags[48:46:-1]
    return tags
