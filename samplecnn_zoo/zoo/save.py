"""Models into preset directories: for inference, whole or not at all, read back before they count."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from samplecnn_zoo.files import write_whole
from samplecnn_zoo.zoo.card import model_card
from samplecnn_zoo.zoo.network import parse_network
from samplecnn_zoo.zoo.preset import Preset, PresetError
from samplecnn_zoo.zoo.stored import (
    CARD_FILE,
    CONFIG_FILE,
    PRESET_FILE,
    WEIGHTS_FILE,
    StoredPreset,
    check_model,
    read_directory,
    read_preset,
)

if TYPE_CHECKING:
    import keras

LARGE = 0.03  # share of all numbers from which on an array is halved: small ones lie below, and matter more

_FLOAT16 = np.finfo(np.float16)
_FLOAT32 = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}


def save_pretrained(
    model: "keras.Model",
    directory: str | Path,
    *,
    preset: Preset | None = None,
    overwrite: bool = False,
    half: bool = False,
) -> Preset:
    """Write a model as a preset directory, and put the completed record on `model.preset`.

    What is written is for inference: no optimizer, every layer in float32. It is read back and compared
    bit for bit before it takes its place, so that a directory is whole or not there. `overwrite` replaces
    an earlier preset, its model card too. `half` stores the large kernels in float16, which nearly halves the
    file of a wide network; it still computes in float32. Scores of `samplecnn_3x9.midi50` move by less than
    0.001.

    Returns:
        The record as stored, with both hashes.

    Raises:
        PresetError: if neither `preset` nor `model.preset` says what the model is, if it is not a flat
            functional model of stock layers, if tags or segment length do not fit it, or if a weight is not
            finite (for `half`: beyond 65,504).
        FileExistsError: if `directory` holds something and `overwrite` is False, or it is no preset.
    """
    preset = preset or getattr(model, "preset", None)
    if preset is None:
        raise PresetError(
            "the model carries no preset: pass preset=Preset(...), which names tags, rate and segment"
        )
    check_model(preset, model)
    directory = Path(directory).resolve()
    _check_target(directory, overwrite)
    plain = _inference_copy(model)
    least = round(LARGE * plain.count_params()) if half else None
    if least is not None:
        _round(plain, least)
    with _place(directory) as draft:
        saved = _write(plain, draft, preset, least)
        _verify(plain if half else model, draft)
    model.preset = saved
    return saved


def save_record(directory: str | Path, preset: Preset) -> None:
    """Replace what a preset directory says of itself, `preset.json` and the model card; the network stays.

    Raises:
        PresetError: if there is no preset, or `preset` is the record of other weights, tags or segments.
        OSError: if it can't be written.
    """
    directory = Path(directory)
    known = read_preset(directory)
    bound = ("config_sha256", "weights_sha256", "tags", "sample_rate", "segment_samples")
    if changed := [name for name in bound if getattr(preset, name) != getattr(known, name)]:
        raise PresetError(f"{directory}: the record is not of the network that lies there ({changed[0]})")
    write_whole(directory / PRESET_FILE, preset.to_json().encode())
    write_whole(directory / CARD_FILE, model_card(preset).encode())


def _check_target(directory: Path, overwrite: bool) -> None:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(
            f"{directory}: something is there already; pass overwrite=True to replace a preset"
        )
    if not (directory / PRESET_FILE).is_file():
        raise FileExistsError(
            f"{directory}: it holds no {PRESET_FILE}, so it is no preset and is not replaced"
        )


@contextlib.contextmanager
def _place(directory: Path) -> Iterator[Path]:
    """Give a directory to write in, which takes the place of `directory` when all went well."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
        draft = Path(scratch) / "new"
        draft.mkdir()
        yield draft
        _swap(draft, directory, Path(scratch) / "old")


def _swap(new: Path, directory: Path, old: Path) -> None:
    if directory.exists():
        directory.rename(old)
    try:
        new.rename(directory)
    except OSError:
        if old.exists():
            old.rename(directory)
        raise


def _write(plain: "keras.Model", draft: Path, preset: Preset, least: int | None) -> Preset:
    plain.save(draft, zipped=False)
    if least is not None:
        _halve(draft / WEIGHTS_FILE, least)
    with contextlib.suppress(OSError):
        (draft / "assets").rmdir()  # Keras leaves it behind, empty, when the path is an absolute one
    config = plain_config(json.loads((draft / CONFIG_FILE).read_bytes()))
    (draft / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    saved = replace(
        preset, config_sha256=_sha256(draft / CONFIG_FILE), weights_sha256=_sha256(draft / WEIGHTS_FILE)
    )
    (draft / PRESET_FILE).write_text(saved.to_json(), encoding="utf-8")
    (draft / CARD_FILE).write_text(model_card(saved), encoding="utf-8")
    return saved


def stored_from_model(model: "keras.Model", preset: Preset) -> StoredPreset:
    """Return a model in memory as a checked preset, its arrays copied.

    Raises:
        PresetError: if it is no flat functional model of stock layers, or does not fit `preset`.
    """
    import keras

    config = plain_config(keras.saving.serialize_keras_object(model))
    network = parse_network(config)
    check_model(preset, model)
    weights = {
        layer.name: tuple(np.array(array, dtype=np.float32) for array in layer.get_weights())
        for layer in model.layers
        if layer.weights
    }
    return StoredPreset(preset, config, network, weights)


def plain_config(value: Any) -> Any:
    """Return a Keras configuration with every layer in float32 and no ids that change from run to run."""
    if isinstance(value, (list, tuple)):
        return [plain_config(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return _FLOAT32
    return {key: plain_config(part) for key, part in value.items() if key != "shared_object_id"}


def _inference_copy(model: "keras.Model") -> "keras.Model":
    """Return the same network in float32 and without its optimizer, which would triple the file."""
    import keras

    config = {**plain_config(keras.saving.serialize_keras_object(model)), "compile_config": None}
    parse_network(config)  # refuses what a preset cannot hold before anything is written
    plain: keras.Model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return plain


def _round(model: "keras.Model", least: int) -> None:
    """Round arrays of at least so many numbers to what float16 holds."""
    for layer in model.layers:
        arrays = layer.get_weights()
        if any(np.abs(array).max() > _FLOAT16.max for array in arrays if array.size >= least):
            raise PresetError(
                f"layer {layer.name!r} has weights beyond {_FLOAT16.max:,.0f}, which float16 cannot hold: "
                "save without half=True"
            )
        layer.set_weights([a.astype(np.float16).astype(a.dtype) if a.size >= least else a for a in arrays])


def _halve(file: Path, least: int) -> None:
    """Write the file anew with its large arrays, which hold such numbers already, in float16."""
    whole = file.with_name("whole.h5")
    file.rename(whole)
    with h5py.File(whole) as old, h5py.File(file, "w") as new:

        def copy(path: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                new.create_group(path).attrs.update(item.attrs)
            else:
                data = item[()]
                new.create_dataset(path, data=data.astype(np.float16) if data.size >= least else data)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    whole.unlink()


def _verify(model: "keras.Model", draft: Path) -> None:
    """Read `draft` both ways, by name as we do and by position as Keras does, and compare every array."""
    import keras

    stored = read_directory(draft)
    reloaded = keras.saving.load_model(draft, compile=False)
    for layer in model.layers:
        arrays = [np.asarray(array, dtype=np.float32) for array in layer.get_weights()]
        for copy in (stored.weights.get(layer.name, ()), reloaded.get_layer(layer.name).get_weights()):
            if len(arrays) != len(copy) or not all(map(np.array_equal, arrays, copy)):
                raise PresetError(
                    f"layer {layer.name!r} reads back with other weights than it was saved with: "
                    "nothing was written; please report this with the model's summary"
                )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
