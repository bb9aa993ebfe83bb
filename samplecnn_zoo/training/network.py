"""The network of a run: built from a recipe or taken from a preset, in the run's precision, compiled."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

import samplecnn_zoo.models as models
from samplecnn_zoo.training.finetuning import by_stage, stage_factors
from samplecnn_zoo.training.freezing import freeze
from samplecnn_zoo.training.recipe import Cosine, Recipe, TrainingError
from samplecnn_zoo.training.schedule import make_optimizer
from samplecnn_zoo.zoo import Preset, load_pretrained

_POLICY = {"module": "keras", "class_name": "DTypePolicy", "registered_name": None}


def build(recipe: Recipe, *, rate: int, tags: int, single_label: bool) -> keras.Model:
    """Build the recipe's network with random weights, for audio at `rate` Hz and so many tags.

    Raises:
        TrainingError: The recipe's arguments fit no network, or were made for another rate.
    """
    builder: Callable[..., keras.Model] = getattr(models, recipe.builder)
    try:
        return builder(**arguments(recipe, rate=rate, tags=tags, single_label=single_label))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"recipe {recipe.name}: {recipe.builder}: {error}") from error


def arguments(recipe: Recipe, *, rate: int, tags: int, single_label: bool) -> dict[str, Any]:
    """Return the builder's keywords: the recipe's, and what the data say.

    Raises:
        TrainingError: The recipe states another rate than the data have.
    """
    stated = recipe.arguments.get("sr", rate)
    if stated != rate:
        raise TrainingError(
            f"recipe {recipe.name} is for {stated} Hz, the prepared set has {rate} Hz; "
            f"prepare it with --rate {stated}, or choose another model"
        )
    head = {"classifier_activation": "softmax"} if single_label else {}
    return {**recipe.arguments, **head, "sr": rate, "num_tags": tags}


def from_preset(name: str, *, rate: int, tags: tuple[str, ...], single_label: bool) -> tuple[Any, bool]:
    """Return the model of a preset, and whether its head is new because its tags or their kind are others.

    Raises:
        TrainingError: The preset is for another rate.
        PresetError: There is no such preset, or it is damaged.
    """
    model = load_pretrained(name)
    if model.preset.sample_rate != rate:
        raise TrainingError(
            f"{name} is for {model.preset.sample_rate} Hz, the prepared set has {rate} Hz; "
            f"prepare it with --rate {model.preset.sample_rate}"
        )
    head = model.layers[-1]
    activation = "softmax" if single_label else "sigmoid"
    if model.preset.tags == tags and head.activation.__name__ == activation:
        return model, False
    return _new_head(model, tags, activation), True


def _new_head(model: keras.Model, tags: tuple[str, ...], activation: str) -> keras.Model:
    """Return the model with an output layer of other tags; Keras draws its weights."""
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise TrainingError(
            f"a new head takes the place of a Dense layer, {last.name!r} is a {type(last).__name__}"
        )
    preset: Preset = model.preset
    new = rebuild(model, {last.name: {"units": len(tags), "activation": activation}})
    new.preset = replace(
        preset,
        tags=tags,
        arguments={**preset.arguments, "num_tags": len(tags), "classifier_activation": activation},
        scores=(),
        weights_sha256=None,
        config_sha256=None,
    )
    return new


def rebuild(model: keras.Model, changes: Mapping[str, Mapping[str, Any]]) -> keras.Model:
    """Return the network with some layers configured otherwise, and all weights that still fit.

    Args:
        model: A functional model.
        changes: Layer's name → what is different in its configuration.
    """
    config = copy.deepcopy(keras.saving.serialize_keras_object(model)) | {"compile_config": None}
    for entry in config["config"]["layers"]:
        entry["config"].update(changes.get(entry["name"], {}))
        entry.pop("build_config", None)
    new: keras.Model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    copy_weights(model, new)
    return new


def trainable_copy(model: keras.Model, seed: int, *, synchronized: bool = False) -> keras.Model:
    """Return the network as it is trained; the given one stays as it is to be saved.

    Each Dropout gets a seed of its own: without one, Keras on torch draws from a generator that is no part of
    the model, so that no checkpoint holds it.

    Args:
        model: The network.
        seed: Of the run.
        synchronized: BatchNormalization over all devices' parts of a batch, where each would see its own.
    """
    changes: dict[str, dict[str, Any]] = {}
    for index, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Dropout):
            changes[layer.name] = {"seed": int(np.random.default_rng((seed, index)).integers(2**31))}
        if synchronized and isinstance(layer, keras.layers.BatchNormalization):
            changes[layer.name] = {"synchronized": True}
    return rebuild(model, changes)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give each layer of `target` the weights of the layer of its name where all their shapes are equal."""
    for layer in target.layers:
        arrays = source.get_layer(layer.name).get_weights()
        if [array.shape for array in arrays] == [tuple(weight.shape) for weight in layer.weights]:
            layer.set_weights(arrays)


def in_precision(model: keras.Model, precision: str) -> keras.Model:
    """Return the network with this dtype policy in all layers that compute what training changes.

    The last layer stays in float32: sigmoids and losses need the range. So does all below the first layer
    with trainable weights, which is the mel front end.
    """
    if precision == "float32":
        return model
    names = [layer.name for layer in model.layers]
    learning = [layer.name for layer in model.layers if layer.trainable_weights]
    inner = model.layers[names.index(learning[0]) : names.index(learning[-1])]
    policy = {"dtype": {**_POLICY, "config": {"name": precision}}}
    return rebuild(model, {layer.name: policy for layer in inner})


def compile_model(
    model: keras.Model, recipe: Recipe, *, steps: int | None, single_label: bool, jit: bool
) -> None:
    """Freeze what the recipe freezes, and compile with its optimizer and loss; `steps` of the whole run."""
    if recipe.freeze_below is not None:
        freeze(model, below=recipe.freeze_below)
    kind = keras.losses.CategoricalCrossentropy if single_label else keras.losses.BinaryCrossentropy
    schedule_steps = steps if isinstance(recipe.schedule, Cosine) else None
    optimizer = make_optimizer(recipe.optimizer, recipe.schedule, schedule_steps)
    if recipe.stage_decay != 1:
        factors = stage_factors(model, recipe.stage_decay)
        optimizer = by_stage(optimizer, model.trainable_variables, factors)
    if recipe.precision == "mixed_float16":
        # Gradients below 6e-8 would be 0. Keras sees the policy of the model, not of its layers: it wouldn't.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, kind(label_smoothing=recipe.label_smoothing), jit_compile=jit)
    model.optimizer.build(model.trainable_variables)
