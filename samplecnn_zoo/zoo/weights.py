"""Weight arrays out of model.weights.h5, found by place and checked by name, without Keras."""

import io

import h5py
import numpy as np
import numpy.typing as npt

from samplecnn_zoo.zoo.network import Network
from samplecnn_zoo.zoo.preset import PresetError

Arrays = tuple[npt.NDArray[np.float32], ...]


def parse_weights(content: bytes, network: Network) -> dict[str, Arrays]:
    """Return the float32 arrays of each layer of `network` that has any, in Keras's order (kernel, bias, …).

    Raises:
        PresetError: if `content` is no whole HDF5 file, a layer's group is missing, carries another layer's
            name or belongs to no layer, or an array is not made of finite floating-point numbers.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return _read(file, network)
    except (OSError, RuntimeError) as error:
        raise PresetError(
            f"model.weights.h5: this is no whole HDF5 file ({error}); fetch it again"
        ) from error


def _read(file: h5py.File, network: Network) -> dict[str, Arrays]:
    names, arrays = _contents(file)
    groups = network.weight_groups()
    for layer, group in groups.items():
        _check_name(layer, group, names.get(group))
    extra = sorted((names.keys() | arrays.keys()) - set(groups.values()) - {""})
    if extra or "" in arrays:
        raise PresetError(
            f"model.weights.h5: groups that belong to no layer of config.json: {', '.join(extra) or 'vars'}"
        )
    return {layer: _in_order(layer, arrays[group]) for layer, group in groups.items() if group in arrays}


def _contents(file: h5py.File) -> tuple[dict[str, str], dict[str, dict[str, h5py.Dataset]]]:
    """Return each group's stated layer name and its arrays; a link to elsewhere is never followed."""
    names: dict[str, str] = {}
    arrays: dict[str, dict[str, h5py.Dataset]] = {}

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        group, _, last = path.rpartition("/")
        if isinstance(item, h5py.Group):
            if last == "vars":
                names[group] = str(item.attrs.get("name", ""))
            return
        if item.is_virtual or item.external:
            raise PresetError(f"model.weights.h5: {path} points outside the file")
        parent = group.removesuffix("vars").rstrip("/")
        arrays.setdefault(parent, {})[last] = item

    file.visititems(visit)
    return names, arrays


def _check_name(layer: str, group: str, found: str | None) -> None:
    if found is None:
        raise PresetError(f"model.weights.h5: no group {group} for layer {layer!r}; fetch the preset again")
    if found != layer:
        raise PresetError(
            f"model.weights.h5: {group} holds layer {found!r}, config.json expects {layer!r} there: "
            "layers are swapped or renamed"
        )


def _in_order(layer: str, datasets: dict[str, h5py.Dataset]) -> Arrays:
    names = [str(index) for index in range(len(datasets))]
    if set(names) != datasets.keys():
        raise PresetError(f"model.weights.h5: arrays of layer {layer!r} are {sorted(datasets)}, not {names}")
    return tuple(_array(layer, datasets[name]) for name in names)


def _array(layer: str, dataset: h5py.Dataset) -> npt.NDArray[np.float32]:
    if dataset.dtype.kind != "f":
        raise PresetError(
            f"model.weights.h5: layer {layer!r} has {dataset.dtype} numbers, not floating-point"
        )
    if dataset.nbytes > 100 * dataset.id.get_storage_size():  # a few stored bytes that ask for all the memory
        raise PresetError(f"model.weights.h5: an array of layer {layer!r} is announced but not stored")
    array: npt.NDArray[np.float32] = np.asarray(dataset[()], dtype=np.float32)
    if not np.isfinite(array).all():
        raise PresetError(f"model.weights.h5: layer {layer!r} has NaN or infinite weights")
    return array
